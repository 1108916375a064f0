//! Every form and compression, from files, folders, addresses and standard input.

use std::process::Stdio;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::data::{assert_same, expected, held, lines, records, write_folder};
use super::{import, run_import, text};
use crate::harness::{DAY_MS, Project, Server, ServerOptions, footfall, gzip, now_ms, python, seed};
use crate::oracle::RawEvent;

const MAP: &str = "event=what,distinct_id=who,time=at,insert_id=id";

#[tokio::test]
async fn every_form_and_compression_gives_the_same_events() {
    let mut server = Server::start(ServerOptions::flushing_every(3_000)).await;
    let records = records(seed(41), 3_000, 40);
    let source = server.scratch("records.ndjson");
    std::fs::write(&source, lines(&records)).expect("a file");
    let folder = server.scratch("forms");
    let Some(printed) = python("import_files.py", &[text(&source), text(&folder)]).await else { return };
    let want = expected(&records);
    let mut projects = Vec::new();
    for (number, path) in printed.lines().enumerate() {
        let project = server.create_project(&format!("form-{number}")).await;
        // Compressed tables are not named as such, so their form is told.
        let table = if path.contains("csv") || path.contains("parquet") { &["--map", MAP][..] } else { &[] };
        let summary = import(&server, &project, &[table, &[path]].concat()).await;
        assert_eq!(summary["records"], records.len(), "{path}: {summary}");
        assert_eq!(summary["rejected"], 0, "{path}: {summary}");
        assert_eq!(
            summary["stored"].as_i64().unwrap_or_default() - summary["superseded"].as_i64().unwrap_or_default(),
            want.len() as i64,
            "{path}: {summary}"
        );
        assert_same(path, &held(&project).await, &want);
        projects.push((path.to_owned(), project));
    }
    assert_eq!(projects.len(), 12);
    server.restart().await;
    for (path, project) in &projects {
        assert_same(&format!("{path}, flushed"), &held(project).await, &want);
    }
}

#[tokio::test]
async fn folders_addresses_and_standard_input_are_sources() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let records = records(seed(42), 900, 9);
    let want = expected(&records);
    let folder = server.scratch("folder");
    let files = write_folder(&folder, &records, 3);
    // Sorted by name, whatever lies deeper; what is hidden is nobody's events.
    let deeper = folder.join("part-00a");
    std::fs::create_dir(&deeper).expect("a folder");
    std::fs::rename(&files[1], deeper.join("x.jsonl")).expect("moved");
    std::fs::write(folder.join(".hidden"), "no events").expect("a file");
    std::fs::write(folder.join("_SUCCESS"), "").expect("a file");
    let order = [text(&files[0]).to_owned(), text(&files[2]).to_owned(), deeper.join("x.jsonl").display().to_string()];
    let read = order.iter().map(|path| std::fs::read_to_string(path).expect("a file")).collect::<String>();
    let in_order: Vec<RawEvent> = [&records[0..300], &records[600..900], &records[300..600]].concat();
    assert_eq!(read, lines(&in_order), "the order of names");
    let want_folder = expected(&in_order);

    let project = server.create_project("folder").await;
    let summary = import(&server, &project, &[text(&folder)]).await;
    assert_eq!((&summary["files"], &summary["records"]), (&json!(3), &json!(900)));
    assert_same("a folder", &held(&project).await, &want_folder);

    let project = server.create_project("address").await;
    let address = format!("file://{}", folder.display());
    import(&server, &project, &[&address]).await;
    assert_same("an address", &held(&project).await, &want_folder);

    let project = server.create_project("pipe").await;
    let packed = gzip(lines(&records).as_bytes());
    pipe(&server, &project, &packed).await;
    assert_same("standard input", &held(&project).await, &want);
    // The same bytes again are the same import, which is over.
    assert_eq!(pipe(&server, &project, &packed).await["state"], "finished_before");
    assert_same("standard input again", &held(&project).await, &want);
}

async fn pipe(server: &Server, project: &Project, bytes: &[u8]) -> serde_json::Value {
    let mut child = footfall()
        .args(["import", "--project", &project.name, "--json", "-", "--data-dir"])
        .arg(server.data_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(bytes).await.expect("the import reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("the import ends");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

/// Row 65 of the seed's claims: no window, however late.
#[tokio::test]
async fn late_events_land_in_their_own_day() {
    let mut server = Server::start(ServerOptions::flushing_every(50)).await;
    let project = server.create_project("late").await;
    let today = now_ms() / DAY_MS * DAY_MS;
    let event = |days: i64, id: &str| RawEvent::new("Late", "u", today - days * DAY_MS, id);
    project.import(&[event(0, "live-0").to_json(), event(1, "live-1").to_json()]).await;
    let late = [event(2, "two"), event(10, "ten"), event(4_000, "old"), event(1, "one")];
    let file = server.scratch("late.ndjson");
    std::fs::write(&file, lines(&late)).expect("a file");
    import(&server, &project, &[text(&file)]).await;
    let by_day = "SELECT CAST(CAST(time AS DATE) AS VARCHAR), count(*) FROM events GROUP BY 1 ORDER BY 1";
    let day = |days: i64| {
        let moment = chrono::DateTime::from_timestamp_millis(today - days * DAY_MS).expect("a time");
        json!(moment.format("%Y-%m-%d").to_string())
    };
    let want = [4_000, 10, 2, 1, 0].map(|days| vec![day(days), json!(if days == 1 { 2 } else { 1 })]);
    assert_eq!(project.sql(by_day).await.rows, want);
    let report = project
        .segmentation(&[
            ("event", "Late"),
            ("from_date", day(10).as_str().expect("a day")),
            ("to_date", day(0).as_str().expect("a day")),
        ])
        .await;
    let counts = &report["data"]["values"]["Late"];
    assert_eq!(
        (&counts[day(10).as_str().expect("a day")], &counts[day(2).as_str().expect("a day")]),
        (&json!(1), &json!(1))
    );
    server.restart().await;
    assert_eq!(project.sql(by_day).await.rows, want);
}

#[tokio::test]
async fn a_changed_source_is_refused_until_told_to_begin_anew() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("changed").await;
    let file = server.scratch("events.ndjson");
    let records = records(seed(43), 200, 3);
    std::fs::write(&file, lines(&records[..150])).expect("a file");
    import(&server, &project, &[text(&file)]).await;
    let again = import(&server, &project, &[text(&file)]).await;
    assert_eq!((&again["state"], &again["records"]), (&json!("finished_before"), &json!(150)));

    std::fs::write(&file, lines(&records)).expect("a file");
    let refused = run_import(&server, &project, &[text(&file)]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("has changed") && refused.stderr.contains("--restart"), "{refused:?}");
    assert_eq!(refused.stdout, "");
    let summary = import(&server, &project, &["--restart", text(&file)]).await;
    assert_eq!((&summary["state"], &summary["records"]), (&json!("finished"), &json!(200)));
    let arrivals = [&records[..150], &records[..]].concat();
    assert_same("begun anew", &held(&project).await, &expected(&arrivals));
}
