//! `EXPLAIN` tells what was planned: whole users per partition, only the files and columns that a query needs.
//!
//! All that depends on the text of a plan is in [`Plan`].

use crate::harness::{DAY_MS, Project, Server, ServerOptions};
use crate::oracle::RawEvent;

const FIRST_MS: i64 = 1_704_067_200_000;
const DAYS: i64 = 20;

/// The physical plan as `EXPLAIN` prints it.
struct Plan(String);

impl Plan {
    async fn of(project: &Project, query: &str) -> Self {
        let table = project.sql(&format!("EXPLAIN {query}")).await;
        let texts = table.rows.iter().flatten().filter_map(|value| value.as_str());
        Self(texts.collect::<Vec<_>>().join("\n"))
    }

    fn scan(&self) -> &str {
        let line = self.0.lines().find(|line| line.contains("ShardScanExec"));
        line.unwrap_or_else(|| panic!("no ShardScanExec in\n{}", self.0))
    }

    fn is_partitioned_by_user_ranges(&self) -> bool {
        self.scan().contains("Range(")
    }

    fn repartitions_by_user(&self) -> bool {
        let hashes =
            |line: &&str| line.contains("RepartitionExec") && (line.contains("user_id") || line.contains("uid"));
        self.0.lines().find(hashes).is_some()
    }

    /// `files=READ/TOTAL`.
    fn files(&self) -> (u32, u32) {
        let scan = self.scan();
        let text = scan.split_once("files=").map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default());
        let pair = text.and_then(|text| text.split_once('/'));
        let pair = pair.and_then(|(read, total)| Some((read.parse().ok()?, total.parse().ok()?)));
        pair.unwrap_or_else(|| panic!("no files=READ/TOTAL in {scan}"))
    }

    /// `columns=[a, b]`, or DataFusion's own word for it.
    fn columns(&self) -> Vec<&str> {
        let scan = self.scan();
        let list = ["columns=[", "projection=["].iter().find_map(|label| scan.split_once(label));
        let (_, rest) = list.unwrap_or_else(|| panic!("no columns=[…] in {scan}"));
        let (list, _) = rest.split_once(']').expect("the list ends");
        let mut columns = list.split(", ").map(|name| name.split('@').next().unwrap_or(name)).collect::<Vec<_>>();
        columns.sort_unstable();
        columns
    }
}

async fn flushed(server: &mut Server) -> Project {
    let project = server.create_project("plans").await;
    let event = |n: i64| {
        let event = RawEvent::new(
            ["Paid", "Seen"][n as usize % 2],
            &format!("u{}", n % 200),
            FIRST_MS + n * DAYS * DAY_MS / 4_000,
            &format!("p-{n}"),
        );
        event.with("country", ["AT", "DE"][n as usize % 2]).with("plan", "pro").with("price", n).to_json()
    };
    project.import(&(0..4_000).map(event).collect::<Vec<_>>()).await;
    server.restart().await;
    project
}

const DAU: &str = "SELECT date_trunc('day', time) AS d, count(DISTINCT user_id) FROM events GROUP BY 1";
const NARROW: &str = "SELECT country, count(*) FROM events WHERE event = 'Paid' \
                      AND time >= '2024-01-03T00:00:00' AND time < '2024-01-05T00:00:00' GROUP BY country";

#[tokio::test]
async fn daily_users_are_counted_where_the_users_lie() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = flushed(&mut server).await;
    let plan = Plan::of(&project, DAU).await;
    assert!(plan.is_partitioned_by_user_ranges(), "the scan declares ranges of users:\n{}", plan.0);
    assert!(!plan.repartitions_by_user(), "no repartition by user:\n{}", plan.0);
    let counted = project.sql(&format!("SELECT count(*), min(c), max(c) FROM ({DAU}) AS t(d, c)")).await;
    assert_eq!(counted.rows, [[DAYS, 200, 200].map(serde_json::Value::from)], "and the plan's answer is right");
    project.import(&[RawEvent::new("Paid", "new user", FIRST_MS, "live").to_json()]).await;
    let mixed = Plan::of(&project, DAU).await;
    assert!(mixed.is_partitioned_by_user_ranges() && !mixed.repartitions_by_user(), "with live rows too:\n{}", mixed.0);
    let first = project.sql(&format!("SELECT max(c) FROM ({DAU}) AS t(d, c)")).await;
    assert_eq!(first.int(), 201);
}

#[tokio::test]
async fn a_filtered_query_opens_the_files_of_its_days_and_reads_the_columns_it_names() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = flushed(&mut server).await;
    let plan = Plan::of(&project, NARROW).await;
    let (read, total) = plan.files();
    assert!(
        read > 0 && read * 5 <= total,
        "2 of {DAYS} days are asked for, {read} of {total} files opened:\n{}",
        plan.0
    );
    // The event's name is answered by the index in each file's footer.
    assert_eq!(plan.columns(), ["country", "time"], "{}", plan.0);
    let (all, of) = Plan::of(&project, "SELECT count(price) FROM events").await.files();
    assert_eq!(all, of, "a query without a filter opens all files");
    assert_eq!(project.sql(NARROW).await.rows.len(), 1, "the narrow query finds one country");
}

/// However often an expression names a property: the scan has its column once, and reads it once.
#[tokio::test]
async fn an_expression_reads_a_property_once_however_often_it_names_it() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = flushed(&mut server).await;
    let ten = |one: &str, op: &str| vec![one; 10].join(op);
    let bytes = async |query: &str| {
        let Plan(text) = Plan::of(&project, &format!("ANALYZE {query}")).await;
        let (_, rest) = text.split_once("bytes_scanned=").unwrap_or_else(|| panic!("no bytes_scanned in {text}"));
        rest.split([',', ']']).next().unwrap_or_default().to_owned()
    };
    for (one, many, columns) in [
        (
            r#"SELECT count(*) FROM events WHERE expr('properties["price"] != 3')"#.to_owned(),
            format!(
                "SELECT count(*) FROM events WHERE expr('{}')",
                (0..10).map(|n| format!(r#"properties["price"] != {n}"#)).collect::<Vec<_>>().join(" and ")
            ),
            vec!["price"],
        ),
        (
            r#"SELECT sum(expr('properties["price"]')) FROM events"#.to_owned(),
            format!("SELECT sum(expr('{}')) FROM events", ten(r#"properties["price"]"#, " + ")),
            vec!["price"],
        ),
        (
            r#"SELECT expr('properties["country"]'), count(*) FROM events GROUP BY 1"#.to_owned(),
            format!(
                "SELECT expr('{}'), count(*) FROM events WHERE country <> 'XX' GROUP BY 1",
                ten(r#"properties["country"]"#, " + ")
            ),
            vec!["country"],
        ),
    ] {
        let plan = Plan::of(&project, &many).await;
        assert_eq!(plan.columns(), columns, "{}", plan.0);
        assert_eq!(plan.0.matches("ShardScanExec").count(), 1, "{}", plan.0);
        assert_eq!(bytes(&many).await, bytes(&one).await, "{many}");
    }
}

/// A condition on values leaves out the files whose statistics have none of them, in SQL's words or in an expression's.
#[tokio::test]
async fn conditions_on_values_skip_files_by_their_statistics() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = flushed(&mut server).await;
    let read = async |query: &str| {
        let Plan(text) = Plan::of(&project, &format!("ANALYZE {query}")).await;
        let count = |name: &str| {
            let (_, rest) = text.split_once(name).unwrap_or_else(|| panic!("no {name} in {text}"));
            rest.split([',', ']']).next().and_then(|count| count.trim().parse::<u32>().ok()).unwrap_or_default()
        };
        (count("segments_read="), count("segments_skipped="))
    };
    let (all, _) = read("SELECT count(price) FROM events").await;
    // Prices rise with time, so each day has its own.
    for (condition, rows) in [
        (r#"expr('properties["price"] == 1000')"#, 1),
        (r#"expr('properties["price"] in [1000, 1001]')"#, 2),
        (r#"expr('properties["price"] > 999 and properties["price"] <= 1002 and properties["plan"] == "pro"')"#, 3),
        (r#"country = 'AT' AND expr('1010 > properties["price"] and properties["price"] >= 1000')"#, 5),
        ("price = 1000", 1),
        (r#"expr('properties["plan"] == "free"')"#, 0),
        (r#"expr('defined(properties["absent"])')"#, 0),
    ] {
        let query = format!("SELECT count(*) FROM events WHERE {condition}");
        assert_eq!(project.sql(&query).await.int(), rows, "{query}");
        let plan = Plan::of(&project, &query).await;
        if !plan.0.contains("ShardScanExec") {
            continue;
        }
        let (few, skipped) = read(&query).await;
        assert!(few * 10 <= all && few + skipped == all, "{query}: {few} of {all} read, {skipped} skipped");
    }
    let (every, skipped) = read(r#"SELECT count(*) FROM events WHERE expr('properties["price"] + 1 > 0')"#).await;
    assert_eq!((every, skipped), (all, 0), "statistics do not answer this");
}

/// The bytes of an unnamed column may be gone, and a query that does not name it is as good as before.
#[tokio::test]
async fn absent_matches_prune_every_file() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = flushed(&mut server).await;
    let plan = Plan::of(&project, "SELECT count(*) FROM events WHERE time >= '2025-06-01T00:00:00'").await;
    // A planner that proves the answer empty may leave out the scan altogether.
    if plan.0.contains("ShardScanExec") {
        assert_eq!(plan.files().0, 0, "no file holds such a time:\n{}", plan.0);
    }
    let count = project.sql("SELECT count(*) FROM events WHERE time >= '2025-06-01T00:00:00'").await;
    assert_eq!(count.int(), 0);
}
