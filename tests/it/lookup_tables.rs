//! Lookup tables (`mixpanel-http-api.md` §7; check I41): created, replaced whole or not at all, there after any restart,
//! and readable by SQL with the types that their values are written in.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Checks, Project, Reply, Server, ServerOptions, gzip};

const ACCOUNTS: &str = "id,seats,since,active,tags,note,mixed\r\n\
    acme,5,2024-01-02T03:04:05Z,TRUE,\"[\"\"x\"\",\"\"y\"\"]\",\"says \"\"hi\"\",\nand é\",1\r\n\
    umbra,7.5,2024-01-02T04:04:05+01:00,false,[],,two\r\n\
    blank,,,,,,\r\n";

fn put(project: &Project, id: &str, csv: impl Into<reqwest::Body>) -> RequestBuilder {
    project.request(Method::PUT, &format!("/lookup-tables/{id}")).header("content-type", "text/csv").body(csv)
}

fn create(project: &Project, name: &str, csv: &str) -> RequestBuilder {
    project.request(Method::POST, "/lookup-tables").query(&[("name", name)]).body(csv.to_owned())
}

async fn created(project: &Project, name: &str, csv: &str) -> String {
    let reply = Reply::of(create(project, name, csv)).await.ok().json();
    assert_eq!(
        (&reply["code"], &reply["status"], &reply["results"]["name"]),
        (&json!(200), &json!("OK"), &json!(name))
    );
    reply["results"]["id"].as_str().expect("an id").to_owned()
}

async fn list(project: &Project) -> Value {
    project.get("/lookup-tables/", &[]).await.ok().json()
}

async fn ids(project: &Project, table: &str) -> Vec<Vec<Value>> {
    project.sql(&format!("SELECT id FROM \"lookup_{table}\" ORDER BY id")).await.rows
}

#[tokio::test]
async fn i41_a_table_is_replaced_whole_or_not_at_all() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("lookup").await;
    let mut checks = Checks::default();
    let empty = json!({"code": 200, "status": "OK", "results": []});
    checks.equal("no tables", list(&project).await, empty);
    let id = created(&project, "Accounts", "id\na\nb\n").await;
    let listed = json!({"code": 200, "status": "OK", "results": [{"id": id, "name": "Accounts"}]});
    checks.equal("listed", list(&project).await, listed.clone());

    let failed = |records: Value| {
        let error = "some data points in the request failed validation";
        json!({"code": 400, "error": error, "status": "Bad Request", "failed_records": records})
    };
    for (case, csv, records) in [
        (
            "I41",
            "id,n\na,1\nb,2\nb,3\n".to_owned(),
            json!([{"index": 2, "message": "invalid row: row indexes 1 and 2 have the same primary key"}]),
        ),
        (
            "blank keys and lengths",
            "id,n\na,1\n,2\nb\n".to_owned(),
            json!([
                {"index": 1, "message": "primary key is required and cannot be blank"},
                {"index": 2, "message": "invalid row: wrong number of fields"},
            ]),
        ),
        (
            "column names",
            "id,id\n".to_owned(),
            json!([{"index": 0, "message": "invalid header: column names must be unique"}]),
        ),
        (
            "the first ten",
            format!("id\n{}", " \n".repeat(30)),
            (0..10)
                .map(|n| json!({"index": n, "message": "primary key is required and cannot be blank"}))
                .collect::<Value>(),
        ),
    ] {
        let reply = Reply::of(put(&project, &id, csv.clone())).await;
        checks.equal(format!("{case}: PUT"), (reply.status, reply.json()), (400, failed(records.clone())));
        let reply = Reply::of(create(&project, "Other", &csv)).await;
        checks.equal(format!("{case}: POST"), (reply.status, reply.json()), (400, failed(records)));
    }
    checks.equal("nothing of it was taken", ids(&project, "Accounts").await, vec![vec![json!("a")], vec![json!("b")]]);
    checks.equal("and no table was made", list(&project).await, listed.clone());

    let done = json!({"code": 200, "status": "OK"});
    let reply = Reply::of(put(&project, &id, ACCOUNTS)).await;
    checks.equal("replaced", (reply.status, reply.json()), (200, done.clone()));
    let zipped = put(&project, &id, gzip(ACCOUNTS.as_bytes())).header("content-encoding", "gzip");
    let reply = Reply::of(zipped).await;
    checks.equal("gzip", (reply.status, reply.json()), (200, done));
    let reply = Reply::of(create(&project, "Accounts", "id\nx\n")).await;
    checks.equal("a name is given once", (reply.status, reply.json()["code"].clone()), (409, json!(409)));

    let question = "SELECT id, seats, since, active, tags, note, mixed FROM \"lookup_Accounts\" ORDER BY id";
    let want = json!([
        ["acme", 5.0, "2024-01-02T03:04:05Z", true, ["x", "y"], "says \"hi\",\nand é", "1"],
        ["blank", null, null, null, null, null, null],
        ["umbra", 7.5, "2024-01-02T03:04:05Z", false, [], null, "two"],
    ]);
    server.kill().await;
    server.start_again().await;
    let rows = project.sql(question).await.rows;
    let plain = |rows: &Vec<Vec<Value>>| {
        let text = json!(rows).to_string().replace(".000Z", "Z");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    checks.equal("typed, and there after a kill", plain(&rows), want);
    checks.equal("listed after a kill", list(&project).await, listed);
    project
        .import(&[json!({"event": "Seat", "properties":
            {"time": 1_704_164_645, "distinct_id": "u", "$insert_id": "i", "company": "acme"}})])
        .await;
    let joined = "SELECT e.event, a.seats FROM events e JOIN \"lookup_Accounts\" a ON e.company = a.id";
    checks.equal("joined to events", project.sql(joined).await.rows, vec![vec![json!("Seat"), json!(5.0)]]);
    let missing = project.sql_reply("SELECT * FROM lookup_none").await;
    checks.equal("a table that is none", missing.status, 400);
    checks.finish();
}

#[tokio::test]
async fn who_may_see_and_change_a_table() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let (mine, theirs) = (server.create_project("mine").await, server.create_project("theirs").await);
    let mut checks = Checks::default();
    let id = created(&mine, "Accounts", "id\na\n").await;
    let none = "6f1c2f1e-0000-4000-8000-000000000000";
    let not_found = |id: &str| json!({"code": 404, "error": format!("Lookup table with id '{id}' was not found."), "status": "Not Found"});
    for unknown in [none, "x"] {
        let reply = Reply::of(put(&mine, unknown, "id\na\n")).await;
        checks.equal(format!("PUT {unknown}"), (reply.status, reply.json()), (404, not_found(unknown)));
    }
    let reply = Reply::of(put(&theirs, &id, "id\nstolen\n")).await;
    checks.equal("another's table", (reply.status, reply.json()), (404, not_found(&id)));
    checks.equal("another's list", list(&theirs).await["results"].clone(), json!([]));
    checks.equal("another's SQL", theirs.sql_reply("SELECT * FROM \"lookup_Accounts\"").await.status, 400);

    let unauthorized = json!({"code": 401, "error": "Invalid credentials", "status": "Unauthorized"});
    let path = format!("/lookup-tables/{id}");
    let as_user = |user: &str| mine.anonymous(Method::PUT, &path).basic_auth(user, Some("")).body("id\nb\n");
    for (who, request) in [
        ("nobody", mine.anonymous(Method::PUT, &path).body("id\nb\n")),
        ("the token, which is public", as_user(&mine.token)),
        ("nobody's list", mine.anonymous(Method::GET, "/lookup-tables?project_id=1")),
    ] {
        let reply = Reply::of(request).await;
        checks.equal(who, (reply.status, reply.json()), (401, unauthorized.clone()));
    }
    let foreign = mine.anonymous(Method::PUT, &path).basic_auth(&theirs.username, Some(&theirs.secret));
    let reply = Reply::of(foreign.query(&[("project_id", mine.id)]).body("id\nb\n")).await;
    checks.equal("another's account", reply.status, 403);
    checks.equal("unchanged until here", ids(&mine, "Accounts").await, vec![vec![json!("a")]]);
    let reply = Reply::of(as_user(&mine.api_secret)).await;
    checks.equal("the project's secret", (reply.status, reply.json()), (200, json!({"code": 200, "status": "OK"})));
    checks.equal("changed", ids(&mine, "Accounts").await, vec![vec![json!("b")]]);

    let nameless = Reply::of(mine.request(Method::POST, "/lookup-tables").body("id\na\n")).await;
    checks.equal("a table without a name", (nameless.status, nameless.json()["code"].clone()), (400, json!(400)));
    let damaged = put(&mine, &id, "no gzip").header("content-encoding", "gzip");
    checks.equal("damaged gzip", Reply::of(damaged).await.status, 400);
    checks.equal("still the last whole one", ids(&mine, "Accounts").await, vec![vec![json!("b")]]);
    checks.finish();
}

#[tokio::test]
async fn size_and_number_of_uploads_are_limited() {
    let server = Server::start(ServerOptions::never_flushing()).await;
    let (project, other) = (server.create_project("limits").await, server.create_project("other").await);
    let mut checks = Checks::default();
    let id = created(&project, "Accounts", "id\na\n").await;
    // 101 MB of rows, which zip to a thousandth of it.
    let big = gzip("0123456789abcdef0123456789abcde,\n".repeat(101 << 15).as_bytes());
    let reply = Reply::of(put(&project, &id, big).header("content-encoding", "gzip")).await;
    let body = json!({
        "code": 413, "error": "request exceeds max limit of 104857600 bytes", "status": "Request Entity Too Large",
    });
    checks.equal("101 MB", (reply.status, reply.json()), (413, body));
    for call in 3..=99 {
        // One that is refused for its rows counts too.
        let status = Reply::of(put(&project, &id, "id\n,\n")).await.status;
        checks.equal(format!("call {call}"), status, 400);
    }
    checks.equal("call 100", Reply::of(put(&project, &id, "id\n100\n")).await.status, 200);
    let reply = Reply::of(put(&project, &id, "id\nlate\n")).await;
    checks.equal("call 101", (reply.status, reply.json()["code"].clone()), (429, json!(429)));
    let wait: u64 = reply.header("retry-after").parse().expect("seconds");
    checks.holds("Retry-After is within a day", (80_000..=86_401).contains(&wait), wait);
    // Refused before a byte of it is read, and yet nobody is hung up on: the connection takes the next request.
    for _ in 0..20 {
        let reply = Reply::of(put(&project, &id, vec![b'x'; 1 << 20])).await;
        checks.equal("a megabyte more", reply.status, 429);
        let reply = Reply::of(project.anonymous(Method::PUT, "/lookup-tables/x").body(vec![b'x'; 1 << 20])).await;
        checks.equal("a megabyte of nobody", reply.status, 401);
    }
    checks.equal("the last that was taken counts", ids(&project, "Accounts").await, vec![vec![json!(100.0)]]);
    checks.equal("lists are not limited", list(&project).await["code"].clone(), json!(200));
    created(&other, "Accounts", "id\na\n").await;
    checks.finish();
}

#[tokio::test]
async fn settings_say_how_many_and_whether_a_put_creates() {
    let options = ServerOptions::never_flushing()
        .env("FOOTFALL_LOOKUP_CALLS_PER_DAY", 2)
        .env("FOOTFALL_LOOKUP_CREATE_MISSING", true)
        .env("FOOTFALL_LOOKUP_BYTES_MAX", 1_000);
    let server = Server::start(options).await;
    let project = server.create_project("settings").await;
    let mut checks = Checks::default();
    let id = "6f1c2f1e-0000-4000-8000-000000000000";
    checks.equal("created under its id", Reply::of(put(&project, id, "id\na\n")).await.status, 200);
    checks.equal("listed", list(&project).await["results"].clone(), json!([{"id": id, "name": id}]));
    checks.equal("readable", ids(&project, id).await, vec![vec![json!("a")]]);
    let reply = Reply::of(put(&project, id, "id\n".repeat(400))).await;
    let error = "request exceeds max limit of 1000 bytes";
    checks.equal("1200 bytes", (reply.status, reply.json()["error"].clone()), (413, json!(error)));
    checks.equal("the third call", Reply::of(put(&project, id, "id\nb\n")).await.status, 429);
    checks.finish();
}
