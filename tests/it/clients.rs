//! Real client libraries, unchanged, against the running binary: the scripts S1, S2 and S3 of `mixpanel-http-api.md`
//! §14.2, S3 both in a made-up page and in Chromium. What they sent comes back, its texts byte for byte.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Checks, Project, Server, ServerOptions, chromium, node, python, today_utc};

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

/// `ok`, or `None` when the tools are missing.
async fn s1(server: &Server, p: &Project) -> Option<String> {
    let (base, id) = (server.base(), p.id.to_string());
    python("client_mixpanel.py", &[&base, &p.token, &p.username, &p.secret, &id, &p.api_secret]).await
}

async fn s2(server: &Server, p: &Project) -> Option<String> {
    node("client_mixpanel.js", &[&server.address(), &p.token, &p.api_secret]).await
}

async fn s3(server: &Server, p: &Project) -> Option<String> {
    node("client_jsdom.js", &[&server.base(), &p.token]).await
}

#[tokio::test]
async fn python_package_tracks_batches_and_imports() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let p = server.create_project("python").await;
    let Some(printed) = s1(&server, &p).await else { return };
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
    let Some(printed) = s2(&server, &p).await else { return };
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

/// The expected read-back of §14.2, but for `WebAnon`: its `$device:` id is linked by identity alone.
#[tokio::test]
async fn the_three_scripts_leave_what_s0_prints() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let p = server.create_project("readback").await;
    let Some(printed) = s1(&server, &p).await else { return };
    assert_eq!(printed.trim(), "ok");
    let Some(printed) = s2(&server, &p).await else { return };
    assert_eq!(printed.trim(), "ok");
    let Some(printed) = s3(&server, &p).await else { return };
    assert_eq!(printed.trim(), "ok 1");
    let mut want = ["1 $identify web1", "1 Node u1", "1 NodeBatch u1", "1 NodeBatch u2", "1 NodeOld u1", "1 Py u1"]
        .map(str::to_owned)
        .to_vec();
    want.extend((0..60).map(|n| format!("1 PyBatch b{n}")));
    want.extend(["2 PyOld u1", "1 WebAnon $device:*", "1 WebKnown web1", "1 WebNow web1"].map(str::to_owned));
    want.sort();
    let id = p.id.to_string();
    for state in ["live", "flushed"] {
        let lines = python("read_back.py", &[&server.base(), &p.username, &p.secret, &id]).await.expect("it ran above");
        let mut found = lines.lines().map(str::to_owned).collect::<Vec<_>>();
        for line in &mut found {
            if let Some((before, device)) = line.split_once("$device:") {
                assert_eq!(device.len(), 36, "{line}");
                *line = format!("{before}$device:*");
            }
        }
        found.sort();
        assert_eq!(found, want, "{state}");
        server.restart().await;
    }
}

#[tokio::test]
async fn browser_package_tracks_from_a_page_of_another_origin_in_chromium() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let p = server.create_project("chromium").await;
    let Some(browser) = chromium() else { return };
    let Some(printed) = node("client_chromium.js", &[&browser, &server.base(), &p.token]).await else { return };
    let report: Value = serde_json::from_str(printed.trim()).expect("one line of JSON");
    let mut checks = Checks::default();
    let origin = report["origin"].as_str().expect("an origin");
    checks.holds("another origin", origin.starts_with("http://localhost:") && !server.base().contains(origin), origin);
    checks.equal("nothing failed and nothing was complained of", report["errors"].clone(), json!([]));
    checks.equal("a batch and a single event are one success", report["now"].clone(), json!(1));
    checks.equal("a flag that is none", report["flags"].clone(), json!("fallback"));
    checks.equal("what a foreign page may not read", report["foreign"].clone(), json!("TypeError"));
    let replies = report["replies"].as_array().expect("a list");
    let seen = |method: &str, path: &str, status: u64| {
        replies.iter().any(|r| r["method"] == method && r["path"] == path && r["status"] == status)
    };
    for path in ["/track/", "/engage/", "/groups/"] {
        checks.holds(format!("POST {path}"), seen("POST", path, 200), &report);
    }
    for path in ["/flags/", "/settings/"] {
        checks.holds(format!("preflight of {path}"), seen("OPTIONS", path, 204), &report);
        checks.holds(format!("GET {path}"), seen("GET", path, 200), &report);
    }
    let failed = replies.iter().filter(|r| r["status"].as_u64() >= Some(300)).collect::<Vec<_>>();
    checks.equal("no other status", failed, vec![]);

    let found = read_back(&p).await;
    let anonymous = found.iter().find(|((event, _), _)| event == "WebAnon");
    let ((_, device), texts) = anonymous.expect("the anonymous event is there");
    checks.holds("it is a device's", device.starts_with("$device:"), device);
    checks.equal("its text is unharmed", texts.clone(), vec![json!("a+b é ~>>>>")]);
    let mut events = keys(&found);
    events.retain(|(_, event, _)| *event != "WebAnon");
    checks.equal("the others", events, vec![(1, "$identify", "web1"), (1, "WebKnown", "web1"), (1, "WebNow", "web1")]);
    checks.finish();
}
