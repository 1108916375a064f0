use footfall_model::Value as Property;

use super::*;

const NOW: i64 = 1_800_000_000_000;

fn import(format: ImportFormat, files: &[(&str, &str)]) -> (Vec<Event>, Tally) {
    let dir = tempfile::tempdir().unwrap();
    let sources = files.iter().map(|(name, text)| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Source { path, name: (*name).to_owned(), bytes: text.len() as u64 }
    });
    let mut events = Vec::new();
    let reader = Reader::new(format, MergeMode::Simplified, NOW);
    let tally = reader.read(sources.collect(), |batch| {
        events.extend(batch.events);
        true
    });
    (events, tally.unwrap())
}

fn one(line: &str) -> Event {
    let (mut events, tally) = import(ImportFormat::Ndjson, &[("f", line)]);
    assert_eq!(events.len(), 1, "{line}: {tally:?}");
    events.remove(0)
}

#[test]
fn mixpanel_and_flat_records_give_the_same_event() {
    let mixpanel =
        one(r#"{"event":"A","properties":{"time":1704067200,"$user_id":"u","$insert_id":"i-1","plan":"pro"}}"#);
    for flat in [
        r#"{"event":"A","time":"2024-01-01T00:00:00Z","user_id":"u","insert_id":"i-1","plan":"pro"}"#,
        r#"{"event":"A","time":1704067200000,"$user_id":"u","$insert_id":"i-1","plan":"pro"}"#,
    ] {
        let event = one(flat);
        assert_eq!(
            (event.name.as_str(), event.time, event.distinct_id.as_str(), event.insert_id.as_str()),
            ("A", mixpanel.time, "u", "i-1")
        );
        let plan = |event: &Event| event.properties.iter().find(|(name, _)| name == "plan").map(|(_, v)| v.clone());
        assert_eq!(plan(&event), Some(Property::Text("pro".into())));
        assert_eq!(plan(&event), plan(&mixpanel));
    }
}

#[test]
fn a_device_names_the_user_until_the_user_does() {
    assert_eq!(one(r#"{"event":"A","time":1704067200,"$device_id":"d"}"#).distinct_id, "$device:d");
    assert_eq!(one(r#"{"event":"A","time":1704067200,"device_id":"d","user_id":"u"}"#).distinct_id, "u");
    assert_eq!(one(r#"{"event":"A","time":1704067200,"distinct_id":"x"}"#).distinct_id, "x");
}

#[test]
fn made_ids_are_the_same_in_every_run_and_differ_between_lines() {
    let line = r#"{"event":"A","properties":{"time":1704067200,"distinct_id":"u"}}"#;
    let text = format!("{line}\n{line}\n");
    let ids = |files: &[(&str, &str)]| -> Vec<String> {
        import(ImportFormat::Ndjson, files).0.into_iter().map(|event| event.insert_id).collect()
    };
    let first = ids(&[("a", &text), ("b", &text)]);
    assert_eq!(first, ids(&[("a", &text), ("b", &text)]));
    assert_eq!(first.iter().collect::<std::collections::HashSet<_>>().len(), 4);
    assert!(import(ImportFormat::Ndjson, &[("a", &text)]).0.iter().all(|event| !event.insert_id_generated));
}

#[test]
fn bad_lines_are_counted_by_reason_and_the_others_kept() {
    let text = [
        r#"{"event":"A","properties":{"time":1704067200,"distinct_id":"u"}}"#,
        "",
        "not json",
        r#"{"event":"","time":1704067200}"#,
        r#"{"event":"A","properties":{"distinct_id":"u"}}"#,
        r#"{"event":"A","time":4000000000}"#,
        r#"{"event":"A","properties":{"time":1704067200,"$ignore":true}}"#,
    ]
    .join("\n");
    let (events, tally) = import(ImportFormat::Ndjson, &[("f", &text)]);
    assert_eq!((events.len(), tally.read, tally.ignored), (1, 6, 1));
    let rejected: Vec<_> = tally.rejected.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    assert_eq!(rejected, [("data, invalid json", 1), ("event, missing or empty", 1), (TIME_UNUSABLE, 2)]);
}

#[test]
fn exports_hold_no_flat_records() {
    let (events, tally) = import(ImportFormat::MixpanelExport, &[("f", r#"{"event":"A","time":1704067200}"#)]);
    assert_eq!((events.len(), tally.rejected.get("properties, missing or invalid")), (0, Some(&1)));
}
