//! Broken bodies of every form: the server answers each with a documented status, never panics, and goes on.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Reply, Server, ServerOptions, seed};

const ROUNDS: usize = 3_000;

/// Routes that take bodies, with the statuses that any body may get.
const ROUTES: [(&str, &[u16]); 10] = [
    ("/track", &[200, 413]),
    ("/track/?verbose=1", &[200, 413]),
    ("/import?strict=1", &[200, 400, 413]),
    ("/import?strict=0&verbose=1", &[200, 400, 413]),
    ("/engage", &[200, 413]),
    ("/engage/?strict=1", &[200, 413]),
    ("/groups?verbose=1", &[200, 413]),
    ("/groups?callback=f", &[200, 413]),
    // After a hundred calls of a day there are no more.
    ("/lookup-tables?name=fuzz", &[200, 400, 409, 413, 429]),
    ("/record/?format=gzip", &[200, 413]),
];

const FRAGMENTS: [&str; 20] = [
    "\u{0}", "\"", "{", "}", "[", "]", "\\u", "\\ud800", "1e999", "-", "data=", "%", "%ff", "&", "null", "\n",
    "\u{feff}", "📈", "NaN", "+",
];

fn valid(rng: &mut ChaCha8Rng, token: &str) -> Vec<u8> {
    let mut events = vec![];
    for n in 0..rng.random_range(0..4) {
        let mut event = json!({"event": "F", "properties": {"token": token, "distinct_id": n, "time": 1_700_000_000,
            "$insert_id": format!("f-{n}"), "nested": {"list": [1, [2, {"deep": null}]]}}});
        if rng.random_bool(0.2) {
            event["properties"]["time"] =
                [json!(-1), json!(1e300), json!("x"), json!([]), json!(null)].choose(rng).expect("one").clone();
        }
        events.push(event);
        let operation = *["$set", "$add", "$union", "$unset", "$delete", "$append", "set"].choose(rng).expect("one");
        let operand = [json!({"p": n}), json!({"p": [n, {"q": null}]}), json!(["p"]), json!("p"), json!(null)];
        let operand = operand.choose(rng).expect("one");
        events.push(json!({"$token": token, "$distinct_id": n, "$group_key": "k", "$group_id": n, operation: operand}));
    }
    json!(events).to_string().into_bytes()
}

fn mutate(rng: &mut ChaCha8Rng, body: &mut Vec<u8>) {
    for _ in 0..rng.random_range(0..4) {
        let at = rng.random_range(0..=body.len());
        match rng.random_range(0..6) {
            0 => body.truncate(at),
            1 => drop(body.splice(at..at, FRAGMENTS.choose(rng).expect("one").bytes())),
            2 if at < body.len() => body[at] = rng.random(),
            3 => drop(body.splice(at..at, "[".repeat(rng.random_range(1..5_000)).into_bytes())),
            4 => drop(body.splice(at..at, b"{\"a\":".repeat(rng.random_range(1..2_000)))),
            _ => body.extend_from_within(..at.min(200)),
        }
    }
}

fn encode(rng: &mut ChaCha8Rng, body: Vec<u8>) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => STANDARD.encode(body).into_bytes(),
        1 => [b"data=", STANDARD.encode(body).as_bytes()].concat(),
        2 => [b"data=".as_slice(), &body].concat(),
        _ => body,
    }
}

#[tokio::test]
async fn no_body_makes_the_server_panic_or_stop_answering() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("fuzz").await;
    let mut rng = ChaCha8Rng::seed_from_u64(seed(77));
    let types = [
        "application/json",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "text/plain",
        "x/y; charset=utf8",
        "",
    ];
    for round in 0..ROUNDS {
        let mut body = valid(&mut rng, &project.token);
        mutate(&mut rng, &mut body);
        let mut body = encode(&mut rng, body);
        let (path, documented) = ROUTES.choose(&mut rng).expect("one");
        let mut request =
            project.request(Method::POST, path).header("content-type", *types.choose(&mut rng).expect("one"));
        if rng.random_bool(0.2) {
            request = request.header("content-encoding", "gzip");
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&body).expect("memory takes it");
            body = encoder.finish().expect("memory takes it");
            mutate(&mut rng, &mut body);
        }
        let sent = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        let reply = Reply::of(request.body(body)).await;
        assert!(
            documented.contains(&reply.status),
            "round {round}, {path}: {} {} to {sent:?}",
            reply.status,
            reply.text()
        );
    }
    server.assert_no_panic();
    let event = json!({"event": "After", "properties": {"distinct_id": "u"}});
    assert_eq!(project.track(&[event]).await.text(), "1", "it goes on");
    let after = project.sql("SELECT count(*) FROM events WHERE event = 'After'").await;
    assert_eq!(after.int(), 1);
    let before = project.sql("SELECT count(*) FROM events").await;
    server.restart().await;
    assert_eq!(project.sql("SELECT count(*) FROM events").await, before, "whatever was taken is flushed as it was");
}
