//! Views by the command line, with and without a server, and by SQL: always the answer of their statement, and only what
//! changed is computed.

use serde_json::{Value, json};

use crate::harness::{DAY_MS, Project, Server, ServerOptions, now_ms};

const DAILY: &str = "SELECT CAST(time AS DATE) AS day, count(*) AS n, count(DISTINCT user_id) AS users, sum(price) AS paid \
                     FROM events WHERE event = 'Buy' GROUP BY 1";

fn buys(days: std::ops::Range<i64>, each: i64, price: i64) -> Vec<Value> {
    let today = now_ms() / DAY_MS * DAY_MS;
    let buy = |day: i64, i: i64| {
        json!({"event": "Buy", "properties": {"time": today - day * DAY_MS - i * 1000, "distinct_id": format!("u{}", i % 7),
               "$insert_id": format!("{day}-{i}"), "price": price + i}})
    };
    days.flat_map(|day| (0..each).map(move |i| buy(day, i))).collect()
}

async fn flushed(server: &mut Server) {
    server.stop().await;
    server.start_again().await;
}

async fn command(server: &Server, arguments: &[&str]) -> Value {
    let common = ["--project", "shop", "--json"];
    let output = server.cli(&[&["view"], arguments, &common].concat()).await.succeeded().stdout;
    serde_json::from_str(&output).unwrap_or_else(|e| panic!("{output}: {e}"))
}

/// The view beside its statement, at this moment.
async fn check(project: &Project, state: &str) {
    let want = project.sql(&format!("SELECT * FROM ({DAILY}) ORDER BY day")).await;
    let got = project.sql("SELECT * FROM view_daily ORDER BY day").await;
    assert!(!want.rows.is_empty());
    assert_eq!(got, want, "{state}");
}

#[tokio::test]
async fn a_view_is_never_out_of_date_and_a_refresh_computes_only_what_changed() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("shop").await;
    project.import(&buys(0..20, 30, 0)).await;
    let made = command(&server, &["create", "daily", "--sql", DAILY]).await;
    assert_eq!((&made["computed"], &made["kept"]), (&json!(0), &json!(0)), "nothing is in segments yet");
    check(&project, "live").await;
    flushed(&mut server).await;
    check(&project, "flushed, not refreshed").await;
    let all = command(&server, &["refresh", "daily"]).await;
    let cells = all["computed"].as_i64().unwrap_or_default();
    assert!(cells >= 20, "{all}");
    check(&project, "refreshed").await;

    // An event of today, one nineteen days late, and a changed copy of a third day's.
    project.import(&buys(0..1, 31, 0)[30..]).await;
    project.import(&buys(19..20, 31, 0)[30..]).await;
    project.import(&buys(7..8, 1, 900)).await;
    check(&project, "live beside cells").await;
    flushed(&mut server).await;
    check(&project, "late and changed events in segments").await;
    let some = command(&server, &["refresh", "daily"]).await;
    assert_eq!((&some["computed"], &some["kept"], &some["swept"]), (&json!(3), &json!(cells - 3), &json!(3)));
    check(&project, "refreshed again").await;

    // Without a server the same commands work on the directory itself.
    server.stop().await;
    let again = command(&server, &["refresh", "daily"]).await;
    assert_eq!((&again["computed"], &again["kept"]), (&json!(0), &json!(cells)));
    let listed = command(&server, &["list"]).await;
    assert_eq!((&listed[0]["name"], &listed[0]["sql"]), (&json!("daily"), &json!(DAILY)));
    server.start_again().await;
    command(&server, &["drop", "daily"]).await;
    let gone = project.sql_reply("SELECT * FROM view_daily").await;
    assert_eq!(gone.status, 400, "{}", gone.text());
    assert_eq!(command(&server, &["list"]).await, json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_view_is_refused_with_the_reason() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("shop").await;
    project.import(&buys(0..1, 3, 0)).await;
    let create = async |name: &str, sql: &str| {
        let request = project.request(reqwest::Method::POST, "/v1/views").json(&json!({"name": name, "sql": sql}));
        crate::harness::Reply::of(request).await
    };
    for (name, sql, status, field, reason) in [
        ("a b", DAILY, 400, json!("name"), "letters"),
        ("n", "SELECT count(*) FROM events WHERE time > now()", 400, json!("query"), "now()"),
        ("n", "SELECT count(*) FROM events WHERE expr('datetime(NOW) > today()')", 400, json!("query"), "NOW"),
        ("n", "SELECT 1", 400, json!("query"), "events"),
        ("n", "SELEC", 400, json!("query"), ""),
    ] {
        let reply = create(name, sql).await;
        let error = &reply.json()["error"];
        assert_eq!((reply.status, &error["field"]), (status, &field), "{sql}: {error}");
        assert!(error["message"].as_str().unwrap_or_default().contains(reason), "{sql}: {error}");
    }
    create("daily", DAILY).await.ok();
    let twice = create("daily", DAILY).await;
    assert_eq!((twice.status, &twice.json()["error"]["code"]), (409, &json!("conflict")));
    let missing = project.request(reqwest::Method::POST, "/v1/views/other/refresh");
    assert_eq!(crate::harness::Reply::of(missing).await.status, 404);
    let anonymous = project.anonymous(reqwest::Method::GET, "/v1/views");
    assert_eq!(crate::harness::Reply::of(anonymous).await.status, 401);
    // Another project sees nothing of it.
    let other = server.create_project("other").await;
    assert_eq!(other.get("/v1/views", &[]).await.ok().json(), json!({"views": []}));
    other.import(&buys(0..1, 3, 0)).await;
    assert_eq!(other.sql_reply("SELECT * FROM view_daily").await.status, 400);
}

/// `seed-claims.md` row 64: what a daily refresh reads grows with the day, not with the history.
#[tokio::test]
async fn a_daily_refresh_reads_the_same_over_ten_times_the_history() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let mut projects = Vec::new();
    for (name, days) in [("short", 4), ("long", 40)] {
        let project = server.create_project(name).await;
        for from in (1..=days).step_by(10) {
            project.import(&buys(from..(from + 10).min(days + 1), 150, 0)).await;
        }
        projects.push(project);
    }
    // Each command is a process of its own, with nothing in its caches.
    let view = async |server: &Server, arguments: &[&str], project: &Project| -> Value {
        let common = ["--project", &project.name, "--json"];
        let output = server.cli(&[&["view"], arguments, &common].concat()).await.succeeded().stdout;
        serde_json::from_str(&output).expect("JSON")
    };
    server.stop().await;
    for project in &projects {
        view(&server, &["create", "daily", "--sql", DAILY], project).await;
    }
    server.start_again().await;
    for project in &projects {
        project.import(&buys(0..1, 150, 0)).await;
    }
    server.stop().await;
    let mut read = Vec::new();
    for project in &projects {
        let counts = view(&server, &["refresh", "daily"], project).await;
        assert!(counts["computed"].as_i64().is_some_and(|cells| (1..=8).contains(&cells)), "{counts}");
        read.push(counts["bytes_read"].as_f64().expect("a number"));
    }
    assert!(read[0] > 0.0 && (0.9..=1.1).contains(&(read[1] / read[0])), "{read:?}");
}
