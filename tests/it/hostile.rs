//! What is sent to hurt: each has a stated reply, memory stays flat, and a valid client is served all the while.

use std::fmt::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Checks, Project, Reply, Server, ServerOptions, now_ms};

/// Far more than the server's bound on bodies and the little that works on them; far less than any of these would take.
const MEMORY_MAX: usize = 400 << 20;

fn track(project: &Project, body: impl Into<reqwest::Body>) -> RequestBuilder {
    project.anonymous(Method::POST, "/track").header("content-type", "application/json").body(body)
}

fn strict(project: &Project, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = project.request(Method::POST, "/import").query(&[("strict", "1")]);
    request.header("content-type", "application/json").body(body)
}

/// One event with these properties beside what an event needs.
fn event(project: &Project, properties: &str) -> String {
    let now = now_ms() / 1000 - 10;
    format!(
        r#"[{{"event":"E","properties":{{"token":"{}","time":{now},"distinct_id":"u","$insert_id":"i",{properties}}}}}]"#,
        project.token
    )
}

fn keys(count: usize) -> String {
    let mut text = String::with_capacity(count * 10);
    for n in 0..count {
        let _ = write!(text, "{}\"{n:x}\":1", if n == 0 { "" } else { "," });
    }
    text
}

/// 10 GiB of zeros in less than the 10 MiB that a body may have: members of 10 MiB each, one after the other.
fn bomb() -> Vec<u8> {
    let member = {
        use std::io::Write as _;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 10 << 20]).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    };
    let bomb = member.repeat(1024);
    assert!(bomb.len() < 10 << 20, "{} bytes", bomb.len());
    bomb
}

#[tokio::test]
async fn texts_made_to_hurt_have_a_stated_reply() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("hostile").await;
    let mut checks = Checks::default();
    project.track(&[json!({"event": "before", "properties": {}})]).await.ok();
    let before = server.memory_bytes();

    let deep = event(&project, &format!("\"p\":{}{}", "[".repeat(100_000), "]".repeat(100_000)));
    let opened = "[".repeat(1_000_000);
    let many = event(&project, &keys(1_000_000));
    let nested = event(&project, &format!("\"p\":{{{}}}", keys(100_000)));
    let too_big = event(&project, &format!("\"p\":{{{}}}", keys(1_000_000)));
    let repeated = event(&project, &vec!["\"same\":1"; 1_000_000].join(","));
    let huge = event(&project, &format!("\"p\":{}", "9".repeat(1_000_000)));
    let infinite = event(&project, "\"p\":1e400");
    let not_a_number = event(&project, "\"p\":NaN");
    let invalid = "data, invalid json";
    let members = "'properties' is invalid: must not have more than 255 properties";
    let list = "'properties.p' is invalid: must not have more than 254 elements";
    let big = "record is invalid: must not exceed 1048576 bytes";
    // What strict import says of the request or of its one record, and whether the others store it.
    for (claim, body, error, fault, kept) in [
        ("10^5 levels", &deep, invalid, None, false),
        ("levels that never end", &opened, invalid, None, false),
        ("10^6 properties", &many, "", Some(members), false),
        ("10^5 members", &nested, "", Some(list), true),
        ("10^6 members", &too_big, "", Some(big), false),
        ("10^6 times the same name", &repeated, "", Some(members), false),
        ("a number of 10^6 digits", &huge, invalid, None, false),
        ("a number past all doubles", &infinite, invalid, None, false),
        ("NaN", &not_a_number, invalid, None, false),
    ] {
        let reply = Reply::of(track(&project, body.clone())).await;
        let expect = if kept { "1" } else { "0" };
        checks.equal(format!("{claim}: /track"), (reply.status, reply.text()), (200, expect.to_owned()));
        let reply = Reply::of(strict(&project, body.clone())).await;
        checks.equal(format!("{claim}: strict"), reply.status, 400);
        match fault {
            None => checks.equal(format!("{claim}: error"), reply.json()["error"].clone(), json!(error)),
            Some(fault) => {
                let said = reply.json()["failed_records"][0]["message"].clone();
                checks.equal(format!("{claim}: message"), said, json!(fault));
            }
        }
    }
    let lone =
        event(&project, r#""p":"x\ud83d","q":"\ude00y""#).replace("\"$insert_id\":\"i\"", "\"$insert_id\":\"l\"");
    checks.equal("lone surrogates: /track", Reply::of(track(&project, lone.clone())).await.text(), "1".to_owned());
    let said = Reply::of(strict(&project, lone)).await.json()["failed_records"][0]["message"].clone();
    checks.equal("lone surrogates: strict", said, json!("properties.p is invalid: string should be valid utf8"));
    let twice = event(&project, r#""p":"first","p":"second""#).replace("\"$insert_id\":\"i\"", "\"$insert_id\":\"t\"");
    checks.equal("a name twice", Reply::of(track(&project, twice)).await.text(), "1".to_owned());

    let rows = project.sql("SELECT insert_id, p FROM events WHERE event = 'E' ORDER BY insert_id").await.rows;
    let texts: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[1].as_str().unwrap_or_default())).collect();
    checks.equal("stored", texts.len(), 3);
    let text = |id: &str| texts.iter().find(|(found, _)| *found == json!(id)).map(|(_, text)| (*text).to_owned());
    let kept: Option<Value> = text("i").and_then(|text| serde_json::from_str(&text).ok());
    let members = kept.as_ref().and_then(Value::as_object).map(|members| members.len());
    checks.equal("10^5 members: as many are kept as are allowed", members, Some(254));
    checks.equal("lone surrogates: stored", text("l"), Some("x\u{fffd}".to_owned()));
    checks.equal("a name twice: the last counts", text("t"), Some("second".to_owned()));
    let grown = server.memory_bytes().saturating_sub(before);
    checks.holds("memory stays flat", grown < MEMORY_MAX, format!("{} MiB more", grown >> 20));
    server.stop().await;
    checks.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_early_and_a_valid_client_is_served_among_them() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("bombed").await;
    // Not copied for each request: the client's memory is no part of this.
    let bomb: &'static [u8] = Box::leak(bomb().into_boxed_slice());
    let before = server.memory_bytes();
    let mut bombs = JoinSet::new();
    for _ in 0..4 {
        let project = project.clone();
        bombs.spawn(async move {
            let mut replies = Vec::new();
            for _ in 0..6 {
                let request = track(&project, bomb).header("content-encoding", "gzip");
                replies.push(Reply::of(request).await);
            }
            replies
        });
    }
    let (mut served, mut most) = (0, 0);
    let mut replies = Vec::new();
    while !bombs.is_empty() {
        let good = json!({"event": "good", "properties": {"distinct_id": "u"}});
        assert_eq!(project.track(&[good]).await.text(), "1");
        served += 1;
        most = most.max(server.memory_bytes());
        while let Some(done) = bombs.try_join_next() {
            replies.extend(done.expect("each is answered"));
        }
    }
    let mut checks = Checks::default();
    let expect = json!({"code": 413, "error": "request exceeds max limit of 10485760 bytes",
        "status": "Request Entity Too Large"});
    for reply in &replies {
        // Too many at once are asked to come again: nothing of them was unzipped.
        checks.holds("413, or 429", [413, 429].contains(&reply.status), reply.status);
        if reply.status == 413 {
            checks.equal("413: body", reply.json(), expect.clone());
        }
    }
    checks.equal("all are answered", replies.len(), 24);
    checks.holds("some are refused for what they are", replies.iter().any(|reply| reply.status == 413), replies.len());
    let grown = most.saturating_sub(before);
    checks.holds("memory stays flat", grown < MEMORY_MAX, format!("{} MiB more", grown >> 20));
    checks.equal("every good event is stored", project.sql("SELECT count(*) FROM events").await.int(), served);
    server.stop().await;
    checks.finish();
}
