//! `footfall inspect`: the parts of a segment, as its footer has them and as its rows are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{events, flip, segments};
use crate::harness::{Server, ServerOptions, parquet_files};

fn column<'a>(report: &'a Value, name: &str) -> &'a Value {
    let columns = report["row_groups"][0]["columns"].as_array().expect("columns");
    columns.iter().find(|column| column["name"] == name).unwrap_or_else(|| panic!("no column {name}"))
}

#[tokio::test]
async fn inspect_shows_encodings_order_event_index_and_checksums() {
    let mut server = Server::start(ServerOptions::never_flushing().env("FOOTFALL_SHARDS", 1)).await;
    let project = server.create_project("inspected").await;
    project.import(&events(0..3_000)).await;
    let counts = project.sql("SELECT event, count(*) FROM events GROUP BY event ORDER BY event").await;
    server.stop().await;

    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for file in segments(&server.data_dir()) {
        let path = file.to_str().expect("UTF-8");
        let report = server.cli(&["inspect", path, "--json"]).await.succeeded().json();
        assert_eq!(
            (&report["kind"], &report["format"], &report["sound"]),
            (&json!("segment"), &json!(1), &json!(true))
        );
        assert_eq!(report["sort_order"], json!(["event", "uid", "time", "received_at"]));
        assert_eq!(report["bytes"], file.metadata().expect("a file").len());
        let mut next = 0;
        for event in report["event_index"].as_array().expect("an index") {
            let (first, end) = (event["first"].as_u64().expect("a row"), event["end"].as_u64().expect("a row"));
            assert_eq!(first, next, "without gaps");
            next = end;
            *rows.entry(event["event"].as_str().expect("a name").to_owned()).or_default() += end - first;
        }
        assert_eq!(report["rows"], next);
        // Few values: written once. Ever other ones: a dictionary would be longer than they are.
        assert_eq!(column(&report, "plan")["dictionary"], true);
        for (name, encoding) in [("note", "DELTA_LENGTH_BYTE_ARRAY"), ("n", "DELTA_BINARY_PACKED"), ("price", "PLAIN")]
        {
            let column = column(&report, name);
            assert_eq!((&column["dictionary"], &column["encodings"]), (&json!(false), &json!([encoding])), "{name}");
        }
        assert_eq!(column(&report, "uid")["compression"], "none");
        assert_eq!(column(&report, "note")["compression"], "zstd");
        assert!(column(&report, "n")["max"].as_str().and_then(|max| max.parse::<u64>().ok()) >= Some(2_990));
        assert_eq!(report["key_filter"]["sound"], true);
    }
    let counted = rows.into_iter().map(|(event, rows)| vec![json!(event), json!(rows)]).collect::<Vec<_>>();
    assert_eq!(counted, counts.rows);

    let file = segments(&server.data_dir()).pop().expect("a segment");
    let text = server.cli(&["inspect", file.to_str().expect("UTF-8")]).await.succeeded().stdout;
    for part in ["sorted by", "row group 0", "event index: 3 names", "key filter", "DELTA_BINARY_PACKED", "all hold"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    flip(&file, 8);
    let report = server.cli(&["inspect", file.to_str().expect("UTF-8"), "--json"]).await.succeeded().json();
    assert_eq!(report["sound"], false);
    assert_eq!(report["row_groups"][0]["columns"][0]["sound"], false);
}

#[tokio::test]
async fn inspect_reads_any_parquet_file_and_says_what_is_none() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("others").await;
    project.import(&events(0..10)).await;
    server.stop().await;
    let users = parquet_files(&server.data_dir().join("store"))
        .into_iter()
        .find(|path| path.parent().is_some_and(|p| p.ends_with("users")));
    let users = users.expect("a file of the users' table");
    let report = server.cli(&["inspect", users.to_str().expect("UTF-8"), "--json"]).await.succeeded().json();
    assert_eq!((&report["kind"], &report["rows"]), (&json!("parquet"), &json!(10)));
    let other = server.data_dir().join("FORMAT.json");
    let refused = server.cli(&["inspect", other.to_str().expect("UTF-8")]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("footer"), "{refused:?}");
    assert_eq!(server.cli(&["inspect", "/nowhere.parquet"]).await.code, Some(1));
}
