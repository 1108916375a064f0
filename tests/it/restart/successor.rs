//! What is handed over, to which program, and what happens if that one does not start.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::harness::{Connection, LiveStream, Server, ServerOptions, eventually, footfall, raw_get, raw_request};

#[tokio::test]
async fn idle_connections_go_to_the_successor() {
    let mut server = Server::start(ServerOptions::default()).await;
    let address = server.address();
    let mut used = Connection::open(&address).await.unwrap();
    assert_eq!(used.ask(&raw_get("/livez")).await.unwrap().status, 200);
    let mut unused = Connection::open(&address).await.unwrap();
    for _ in 0..3 {
        server.hand_over().await;
        for connection in [&mut used, &mut unused] {
            let reply = connection.ask(&raw_get("/readyz")).await.expect("the connection lives on");
            assert!(reply.status == 200 && !reply.closes(), "{}", reply.head);
        }
    }
}

#[tokio::test]
async fn a_request_under_way_is_finished_and_its_connection_lives_on() {
    let mut server = Server::start(ServerOptions::default()).await;
    let project = server.create_project("p").await;
    let mut connection = Connection::open(&server.address()).await.unwrap();
    let event = json!([{"event": "A", "properties": {"distinct_id": "u", "time": 1_704_067_200, "$insert_id": "i"}}]);
    let request = raw_request(&project, "POST", "/import?strict=1", event.to_string().as_bytes());
    let (begin, rest) = request.split_at(request.len() - 9);
    connection.send(begin).await.unwrap();
    // A reply to a later connection shows that the earlier one has been read.
    Connection::open(&server.address()).await.unwrap().ask(&raw_get("/livez")).await.unwrap();
    let before = server.start_mark();
    server.signal("USR2").await;
    // Not a wait for anything: nothing is what should happen.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(server.start_mark(), before, "the restart waits for the request");
    connection.send(rest).await.unwrap();
    let reply = connection.reply().await.expect("the request is answered");
    assert!(reply.status == 200 && !reply.closes(), "{}", reply.head);
    eventually("a successor comes", async || server.start_mark() != before).await;
    let count = raw_request(&project, "POST", "/v1/sql", br#"{"query":"SELECT count(*) FROM events"}"#);
    assert_eq!(connection.ask(&count).await.unwrap().json()["rows"], json!([[1]]));
    server.ready().await;
}

#[tokio::test]
async fn a_live_view_is_ended_and_may_come_back() {
    let mut server = Server::start(ServerOptions::default()).await;
    let project = server.create_project("p").await;
    let live = || project.request(reqwest::Method::GET, "/v1/live");
    let mut stream = LiveStream::open(live()).await;
    server.hand_over().await;
    assert_eq!(stream.next().await, None, "the stream has an end, not a break");
    LiveStream::open(live()).await;
}

/// The path that a server was started by leads to something else than it did.
fn put(path: &Path, script: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, script).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[tokio::test]
async fn the_program_on_disk_takes_over_unless_it_would_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("footfall");
    let binary = footfall().as_std().get_program().to_owned();
    std::os::unix::fs::symlink(&binary, &link).unwrap();
    let config = folder.path().join("footfall.toml");
    std::fs::write(&config, "linger = 1\n").unwrap();
    // The command is not asked to read what the server cannot.
    let sound = folder.path().join("sound.toml");
    std::fs::write(&sound, "").unwrap();
    let sound = sound.display().to_string();
    let options = ServerOptions::default().program(link.clone()).env("FOOTFALL_CONFIG", config.display());
    let server = Server::start(options).await;
    let mark = server.start_mark();

    let refused = async |why: &str| {
        let output = server.cli(&["restart", "--config", &sound]).await;
        let output_of_both = format!("{}{}", output.stdout, output.stderr);
        assert!(output.code == Some(1) && output_of_both.contains(why), "{why}: {output:?}");
        assert_eq!(server.start_mark(), mark, "{why}: the old one goes on");
        let mut connection = Connection::open(&server.address()).await.unwrap();
        assert_eq!(connection.ask(&raw_get("/readyz")).await.unwrap().status, 200, "{why}");
    };
    std::fs::write(&config, "lingr = 1\n").unwrap();
    refused("lingr").await;
    std::fs::write(&config, "linger = 1\n").unwrap();
    put(&link, "#!/bin/sh\necho 'a library is missing' >&2; exit 127\n");
    refused("a library is missing").await;
    std::fs::remove_file(&link).unwrap();
    refused("cannot be started").await;

    let trace = folder.path().join("was-here");
    put(
        &link,
        &format!("#!/bin/sh\necho \"$1\" >> {}\nexec {} \"$@\"\n", trace.display(), Path::new(&binary).display()),
    );
    server.cli(&["restart", "--config", &sound]).await.succeeded();
    assert_ne!(server.start_mark(), mark);
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), "serve\nserve\n", "tried out, and then run");
}

/// It passes its trial and is gone when it is needed.
#[tokio::test]
async fn a_program_that_fails_at_the_last_moment_leaves_the_old_one_serving() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("footfall");
    std::os::unix::fs::symlink(footfall().as_std().get_program(), &link).unwrap();
    let server = Server::start(ServerOptions::default().program(link.clone())).await;
    let project = server.create_project("p").await;
    let event = json!({"event": "A", "properties": {"distinct_id": "u", "time": 1_704_067_200, "$insert_id": "i"}});
    project.import(&[event]).await;
    let mut idle = Connection::open(&server.address()).await.unwrap();
    assert_eq!(idle.ask(&raw_get("/readyz")).await.unwrap().status, 200);

    put(&link, "#!/bin/sh\nrm \"$0\"\n");
    let output = server.cli(&["restart"]).await;
    assert!(output.code == Some(1) && output.stderr.contains("the old one goes on"), "{output:?}");
    let count = raw_request(&project, "POST", "/v1/sql", br#"{"query":"SELECT count(*) FROM events"}"#);
    let reply = idle.ask(&count).await.expect("its idle connections are kept");
    assert_eq!(reply.json()["rows"], json!([[1]]));
    project
        .import(&[json!({"event": "A", "properties": {"distinct_id": "u", "time": 1_704_067_201, "$insert_id": "j"}})])
        .await;
    assert_eq!(project.sql("SELECT count(*) FROM events").await.int(), 2);
}

#[tokio::test]
async fn a_command_without_a_server_says_so() {
    let server = Server::prepare(ServerOptions::default());
    let output = server.cli(&["restart"]).await;
    assert!(output.code == Some(1) && output.stderr.contains("no server runs"), "{output:?}");
}
