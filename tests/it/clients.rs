//! Real client libraries, unchanged, against the running binary; what they sent comes back byte-identical.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Project, Server, ServerOptions, node, python, today_utc};

/// Every exported event: (event, distinct_id) → its `s` properties, sorted.
async fn read_back(project: &Project) -> BTreeMap<(String, String), Vec<Value>> {
    let rows = project.export("2023-01-01", &today_utc().to_string(), &[]).await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut found: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for row in rows {
        let key = (text(&row["event"]), text(&row["properties"]["distinct_id"]));
        found.entry(key).or_default().push(row["properties"]["s"].clone());
    }
    found
}

fn keys(found: &BTreeMap<(String, String), Vec<Value>>) -> Vec<(usize, &str, &str)> {
    found.iter().map(|((event, user), rows)| (rows.len(), event.as_str(), user.as_str())).collect()
}

fn of<'a>(found: &'a BTreeMap<(String, String), Vec<Value>>, event: &str, user: &str) -> &'a [Value] {
    &found[&(event.to_owned(), user.to_owned())]
}

#[tokio::test]
async fn python_package_tracks_batches_and_imports() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let p = server.create_project("python").await;
    let id = p.id.to_string();
    let base = server.base();
    let args = [&base, &p.token, &p.username, &p.secret, &id, &p.api_secret].map(String::as_str);
    let Some(printed) = python("client_mixpanel.py", &args).await else { return };
    assert_eq!(printed.trim(), "ok");
    for state in ["live", "flushed"] {
        let found = read_back(&p).await;
        let mut want = (0..60).map(|n| (1, "PyBatch".to_owned(), format!("b{n}"))).collect::<Vec<_>>();
        want.extend([(1, "Py".to_owned(), "u1".to_owned()), (2, "PyOld".to_owned(), "u1".to_owned())]);
        want.sort_by_key(|(_, event, user)| (event.clone(), user.clone()));
        let want = want.iter().map(|(count, event, user)| (*count, event.as_str(), user.as_str())).collect::<Vec<_>>();
        assert_eq!(keys(&found), want, "{state}");
        assert_eq!(of(&found, "Py", "u1"), ["a+b é ~>>>>"], "{state}");
        for n in 0..60 {
            assert_eq!(of(&found, "PyBatch", &format!("b{n}")), [format!("{n}+é ~>>>>?")], "{state}");
        }
        server.restart().await;
    }
}

#[tokio::test]
async fn node_package_tracks_batches_and_imports() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let p = server.create_project("node").await;
    let address = server.address();
    let Some(printed) = node("client_mixpanel.js", &[&address, &p.token, &p.api_secret]).await else { return };
    assert_eq!(printed.trim(), "ok");
    for state in ["live", "flushed"] {
        let found = read_back(&p).await;
        let want = [(1, "Node", "u1"), (1, "NodeBatch", "u1"), (1, "NodeBatch", "u2"), (1, "NodeOld", "u1")];
        assert_eq!(keys(&found), want, "{state}");
        assert_eq!(of(&found, "Node", "u1"), ["a>>>>é"], "{state}");
        assert_eq!(of(&found, "NodeBatch", "u1"), ["a>>>>>"], "{state}");
        assert_eq!(of(&found, "NodeBatch", "u2"), ["ab>>>>>"], "{state}");
        server.restart().await;
    }
}
