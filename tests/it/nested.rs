//! Lists and maps from end to end: the rock stars of the seed (claims 4 and 48), who sell records on other planets.

use serde_json::{Value, json};

use crate::harness::{Checks, Project, Server, ServerOptions};

/// 2024-03-01.
const DAY_MS: i64 = 1_709_251_200_000;

fn track(name: &str, seconds: u32) -> Value {
    json!({"name": name, "secs": seconds})
}

fn artists() -> Vec<Value> {
    let profile = |name: &str, years: Value, albums: Value| json!({"artist": name, "years_active": years, "albums": albums, "min_year": 1972, "planets": ["Mars", "Earth"]});
    vec![
        profile(
            "Ziggy Stardust",
            json!(2),
            json!([
                {"title": "Ziggy", "year": 1972, "tracks": [track("Five Years", 282), track("Starman", 254)]},
                {"title": "Low", "year": 1977, "label": "RCA", "tracks": [track("Warszawa", 383)]},
            ]),
        ),
        profile("Spiders", json!("five"), json!([{"title": "Low", "year": "1977", "tracks": []}])),
        profile(
            "Hermione",
            json!(40),
            json!([{"title": "Lodger", "year": 1979, "tracks": [track("Move On", 196)]}, 7]),
        ),
        profile("Nobody", json!(null), json!([])),
        profile("Somebody", json!(1), json!("Low")),
        profile("Map", json!(3), json!({"title": "Low", "year": 1977})),
    ]
}

/// A filter, and the artists it keeps. The type error of `any(album["year"] …)` drops its record and no other.
const QUESTIONS: [(&str, &[&str]); 17] = [
    (r#"properties["artist"] == "Ziggy Stardust" and properties["years_active"] < 5"#, &["Ziggy Stardust"]),
    (r#"any(album["title"] == "Low" for album in properties["albums"])"#, &["Ziggy Stardust", "Spiders"]),
    (r#"any(album, properties["albums"], album["title"] = "Low")"#, &["Ziggy Stardust", "Spiders"]),
    (r#"all(album["year"] > 1975 for album in properties["albums"])"#, &["Nobody"]),
    (r#"any(any(t["secs"] > 300 for t in album["tracks"]) for album in properties["albums"])"#, &["Ziggy Stardust"]),
    (
        r#"any(any(t["secs"] > 250 and album["year"] == properties["min_year"] for t in album["tracks"]) for album in properties["albums"])"#,
        &["Ziggy Stardust"],
    ),
    (
        r#"any(all(t["secs"] < 200 for t in album["tracks"]) for album in properties["albums"])"#,
        &["Spiders", "Hermione"],
    ),
    (
        r#"all(any(t["secs"] > 100 for t in album["tracks"]) for album in properties["albums"])"#,
        &["Ziggy Stardust", "Nobody"],
    ),
    (
        r#"any(any(x["name"] == "Move On" for x in x["tracks"]) and x["title"] == "Lodger" for x in properties["albums"])"#,
        &["Hermione"],
    ),
    (
        r#"not any(album["title"] == "Low" for album in properties["albums"])"#,
        &["Hermione", "Nobody", "Somebody", "Map"],
    ),
    (r#"any(album["title"] for album in properties["albums"])"#, &[]),
    (r#"len(filter(a, properties["albums"], a["year"] >= 1972)) == 2"#, &["Ziggy Stardust"]),
    (r#"sum(map(a, properties["albums"], sum(map(t, a["tracks"], t["secs"])))) == 919"#, &["Ziggy Stardust"]),
    (r#"properties["albums"][1]["tracks"][0]["secs"] == 383"#, &["Ziggy Stardust"]),
    (r#"properties["albums"]["year"] == 1977"#, &["Map"]),
    (r#""Mars" in properties["planets"] and 7 in properties["albums"]"#, &["Hermione"]),
    (
        r#"any(let(y, album["year"], y == 1977 or y == "1977") for album in properties["albums"])"#,
        &["Ziggy Stardust", "Spiders"],
    ),
];

async fn check(project: &Project, stage: &str, checks: &mut Checks) {
    for (filter, expect) in QUESTIONS {
        let kept = project.export("2024-03-01", "2024-03-01", &[("where", filter)]).await;
        let artist = |event: &Value| event["properties"]["artist"].as_str().unwrap_or("?").to_owned();
        let kept: Vec<String> = kept.iter().map(artist).collect();
        checks.equal(format!("{stage}: {filter}"), format!("{kept:?}"), format!("{expect:?}"));
        let on = [
            ("event", "Play"),
            ("from_date", "2024-03-01"),
            ("to_date", "2024-03-01"),
            ("on", r#"properties["artist"]"#),
            ("where", filter),
        ];
        let values = &project.segmentation(&on).await["data"]["values"];
        let segments: Vec<&str> = values.as_object().map_or(Vec::new(), |map| map.keys().map(String::as_str).collect());
        let (mut found, mut wanted) = (segments, expect.to_vec());
        found.sort_unstable();
        wanted.sort_unstable();
        checks.equal(format!("{stage}, by artist: {filter}"), format!("{found:?}"), format!("{wanted:?}"));
    }
}

#[tokio::test]
async fn a_rock_stars_albums_and_tracks_are_asked_about() {
    let mut server = Server::start(ServerOptions::never_flushing()).await;
    let project = server.create_project("records").await;
    let events: Vec<Value> = (0_i64..)
        .zip(artists())
        .map(|(n, mut properties)| {
            properties["time"] = json!(DAY_MS + n);
            properties["distinct_id"] = properties["artist"].clone();
            properties["$insert_id"] = json!(format!("id-{n}"));
            json!({"event": "Play", "properties": properties})
        })
        .collect();
    project.import(&events).await;
    let mut checks = Checks::default();
    check(&project, "live", &mut checks).await;
    server.restart().await;
    check(&project, "flushed", &mut checks).await;
    checks.finish();
    server.assert_no_panic();
}
