//! Columns, bad records, and what is said of them.

use serde_json::{Value, json};

use super::{import, run_import, text};
use crate::harness::{Server, ServerOptions};

async fn rows(project: &crate::harness::Project, sql: &str) -> Vec<Vec<Value>> {
    project.sql(sql).await.rows
}

#[tokio::test]
async fn columns_mean_what_they_are_mapped_to() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("mapped").await;
    let file = server.scratch("visits.csv");
    let csv = "\u{feff}User,TS,País,price,vip,since,zip,tags,note\r\n\
               7,1704067200000000,España,12.5,TRUE,2024-02-29T13:00:00+01:00,01234,\"[\"\"a\"\",\"\"b\"\"]\",\"two\nlines\"\r\n\
               8,1704067201000000,,1e3,no,,5,[1],\r\n";
    std::fs::write(&file, csv).expect("a file");
    let map = ["--map", "distinct_id=User,time=TS", "--time-unit", "us", "--event", "Visit", "--format", "csv"];
    let summary = import(&server, &project, &[&map[..], &[text(&file)]].concat()).await;
    assert_eq!((&summary["events"], &summary["first_day"]), (&json!(2), &json!("2024-01-01")));
    let sql = "SELECT event, distinct_id, CAST(time AS BIGINT) AS ms, \"País\", price, vip, since, zip, note FROM events ORDER BY ms";
    assert_eq!(
        rows(&project, sql).await,
        [
            vec![
                json!("Visit"),
                json!("7"),
                json!(1_704_067_200_000_i64),
                json!("España"),
                json!(12.5),
                json!("true"),
                json!("2024-02-29T12:00:00"),
                json!("01234"),
                json!("two\nlines"),
            ],
            vec![
                json!("Visit"),
                json!("8"),
                json!(1_704_067_201_000_i64),
                json!(null),
                json!(1000.0),
                json!("no"),
                json!(null),
                json!("5"),
                json!(null),
            ],
        ]
    );
    let exported = project.export("2024-01-01", "2024-01-01", &[]).await;
    let of = |name: &str| exported.iter().map(|row| row["properties"][name].clone()).collect::<Vec<_>>();
    assert_eq!(of("vip"), [json!(true), json!("no")]);
    assert_eq!(of("tags"), [json!(["a", "b"]), json!("[1]")]);
    assert_eq!(of("zip"), [json!("01234"), json!(5)]);
    assert_eq!(of("distinct_id"), [json!("7"), json!("8")]);
    let ids = of("$insert_id");
    assert!(ids[0].as_str().is_some_and(|id| id.len() == 32) && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn bad_records_are_named_counted_and_left_out() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("bad").await;
    let file = server.scratch("rows.csv");
    std::fs::write(
        &file,
        "event,distinct_id,time,properties\nA,u,1704067200,\nA,u,soon,\nA,u\n,u,1704067200,\nA,u,1704067200,{\nB,u,1704067200,\"{\"\"p\"\":1}\"\n",
    )
    .expect("a file");
    let output = run_import(&server, &project, &[text(&file)]).await.succeeded();
    let summary = output.json();
    assert_eq!([&summary["records"], &summary["events"], &summary["rejected"]], [&json!(6), &json!(2), &json!(4)]);
    let place = |reason: &str| {
        let all = summary["rejections"].as_array().expect("a list");
        let found = all.iter().find(|r| r["reason"].as_str().is_some_and(|text| text.contains(reason)));
        found.unwrap_or_else(|| panic!("{reason}: {summary}"))["places"][0].clone()
    };
    assert_eq!(place("time, must be"), json!({"file": "rows.csv", "line": 3, "column": "time"}));
    assert_eq!(place("2 cells"), json!({"file": "rows.csv", "line": 4}));
    assert_eq!(place("event, missing"), json!({"file": "rows.csv", "line": 5, "column": "event"}));
    assert_eq!(place("JSON object"), json!({"file": "rows.csv", "line": 6, "column": "properties"}));
    assert!(output.stderr.contains("rows.csv:3, column time: time, must be"), "{}", output.stderr);
    assert_eq!(
        rows(&project, "SELECT event, p FROM events ORDER BY event").await,
        [[json!("A"), json!(null)], [json!("B"), json!(1)]]
    );
}

#[tokio::test]
async fn strict_loads_all_or_nothing() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("strict").await;
    let file = server.scratch("events.ndjson");
    let good = r#"{"event":"A","properties":{"time":1704067200,"distinct_id":"u"}}"#;
    std::fs::write(&file, format!("{good}\n{good}\nbroken\n")).expect("a file");
    let refused = run_import(&server, &project, &["--strict", text(&file)]).await;
    assert_eq!(refused.code, Some(1));
    let summary = refused.json();
    assert_eq!((&summary["state"], &summary["rejections"][0]["places"][0]["line"]), (&json!("refused"), &json!(3)));
    assert_eq!(project.sql("SELECT count(*) FROM events").await.int(), 0);
    // Put right, it is another file and no unfinished business.
    std::fs::write(&file, format!("{good}\n{good}\n")).expect("a file");
    import(&server, &project, &["--strict", text(&file)]).await;
    assert_eq!(project.sql("SELECT count(*) FROM events").await.int(), 2, "equal lines are two events");
    // Without insert ids in the file: they are made of the place, so nothing is there twice.
    import(&server, &project, &["--restart", text(&file)]).await;
    assert_eq!(project.sql("SELECT count(*) FROM events").await.int(), 2);
}

#[tokio::test]
async fn what_cannot_be_read_says_what_to_do() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("unreadable").await;
    let cut = {
        let packed = crate::harness::gzip(&[b'x'; 100_000]);
        packed[..packed.len() - 9].to_vec()
    };
    for (name, content, args, told) in [
        ("a.csv", &b"what,user_id,time\n"[..], &[][..], "--map event=COLUMN"),
        ("b.csv", b"event,who,time\n", &[], "--map distinct_id=COLUMN"),
        ("c.csv", b"event,user_id,time\n", &["--map", "time=at"], "no column \"at\""),
        ("d.json", b"[{\"event\":1}]", &[], "one record a line"),
        ("e.dat", b"event,user_id,time\n", &[], "--format"),
        ("f.parquet", b"PAR1 and nothing else", &[], "cannot read"),
        ("g.ndjson.gz", &cut, &[], "cannot read"),
        ("h.ndjson", b"{}", &["--event", "A"], "for CSV and Parquet"),
    ] {
        let file = server.scratch(name);
        std::fs::write(&file, content).expect("a file");
        let output = run_import(&server, &project, &[args, &[text(&file)]].concat()).await;
        assert_eq!(output.code, Some(1), "{name}: {output:?}");
        assert!(output.stderr.contains(told) && output.stderr.contains(name), "{name}: {output:?}");
    }
    for args in [&["--map", "tiem=at", "x.csv"][..], &["-", "-"], &["--time-unit", "h", "x.csv"], &[]] {
        assert_eq!(run_import(&server, &project, args).await.code, Some(2), "{args:?}");
    }
    assert_eq!(project.sql("SELECT count(*) FROM events").await.int(), 0);
}
