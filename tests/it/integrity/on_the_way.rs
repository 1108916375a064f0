//! Bits that flip between a bucket and us: each is noticed by a checksum. It is read again, or named; nothing that is
//! answered is wrong.

use std::time::Duration;

use serde_json::Value;

use super::{QUESTIONS, answers, fill, url};
use crate::harness::{Chaos, CliOutput, Fault, GcsServer, Reply, Server, ServerOptions, Start, Table, seed};

/// Of all objects that are read, one in five has a flipped bit; four such readings in a row are named as damage.
const SHARE: f64 = 0.2;
const STARTS: u64 = 5;
const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// What an error says that is about damage.
fn names_damage(text: &str) -> bool {
    ["corrupt", "damaged", "checksum", "malformed", "newer version"].iter().any(|word| text.contains(word))
}

fn check_named(output: &CliOutput) {
    assert!(output.code == Some(1) && names_damage(&output.stderr), "{output:?}");
}

/// Runs a command until it succeeds; how often it did not.
async fn at_last(server: &Server, args: &[&str]) -> usize {
    for failed in 0..20 {
        let output = server.cli(args).await;
        if output.code == Some(0) {
            return failed;
        }
        check_named(&output);
    }
    panic!("{args:?} never succeeds");
}

/// Starts on an empty data directory, however often that takes; how often it did not come about.
async fn start(server: &mut Server) -> usize {
    for failed in 0..20 {
        server.forget_log();
        server.spawn();
        match server.start_ends(STARTED_WITHIN).await {
            Start::Ready => return failed,
            Start::Ended(status) => {
                assert!(status.code() == Some(1) && names_damage(&server.log()), "{}", server.log())
            }
            Start::Stuck => panic!("the start hangs: {}", server.log()),
        }
    }
    panic!("no start succeeds: {}", server.log());
}

#[tokio::test]
async fn a_bit_that_flips_on_the_way_is_read_again_or_named_and_no_answer_is_wrong() {
    let store = GcsServer::start().await;
    let mut server =
        Server::start(ServerOptions::never_flushing().on_gcs(&store, "flips").env("FOOTFALL_SHARDS", 4)).await;
    let project = server.create_project("flips").await;
    fill(&server, &project, 1_500).await;
    let csv = project.request(reqwest::Method::POST, "/lookup-tables").query(&[("name", "Plans")]);
    Reply::of(csv.body("id,cost\nfree,1\npaid,7\n")).await.ok();
    let joined = "SELECT sum(cost), count(*) FROM events JOIN \"lookup_Plans\" ON plan = id";
    let mut truth: Vec<(&str, Value)> = QUESTIONS.into_iter().zip(answers(&project).await).collect();
    truth.push((joined, Value::from(project.sql(joined).await.rows.into_iter().map(Value::from).collect::<Vec<_>>())));
    server.stop().await;
    let seed = seed(91);
    let (mut right, mut named) = (0, 0);
    for round in 0..STARTS {
        // Nothing but the store has anything.
        server.forget_data();
        store.misbehaves(Chaos::new(seed ^ round, SHARE, &[Fault::Flipped]));
        named += start(&mut server).await;
        for (question, answer) in &truth {
            let reply = project.sql_reply(question).await;
            if reply.status == 200 {
                let rows = Table::from_json(&reply.json()).rows;
                assert_eq!(Value::from(rows.into_iter().map(Value::from).collect::<Vec<_>>()), *answer, "{question}");
                right += 1;
            } else {
                assert!(reply.status >= 500 && names_damage(&reply.text()), "{question}: {}", reply.text());
                named += 1;
            }
        }
        server.kill().await;
    }
    let target = url(&server.scratch("backup"));
    named += at_last(&server, &["backup", "create", &target]).await;
    store.behaves();
    let flipped = store.faults_met()[&Fault::Flipped];
    println!("{flipped} bits flipped: {right} right answers, {named} named failures");
    assert!(flipped > 30 && right > STARTS as usize);
    server.cli(&["verify", "--deep"]).await.succeeded();

    // What was backed up is what is there, and not what came.
    server.forget_data();
    let data_dir = server.data_dir();
    server.cli(&["backup", "restore", &target, "--to", data_dir.to_str().expect("UTF-8")]).await.succeeded();
    server.set_env("FOOTFALL_STORE", None);
    server.start_again().await;
    assert_eq!(answers(&project).await, truth.iter().map(|(_, answer)| answer.clone()).take(4).collect::<Vec<_>>());
    server.cli(&["verify", "--deep"]).await.succeeded();
}
