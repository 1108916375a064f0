use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use footfall_model::Value as Property;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::super::formats::{Chunks, Mapping, Opening};
use super::super::sources::{Place, Source, Stamp};
use super::*;
use crate::config::ImportSettings;

const NOW: i64 = 1_800_000_000_000;

/// The events of a file, in order, and what became of its records.
fn import_as(format: Option<ImportFormat>, name: &str, bytes: &[u8], settings: &ImportSettings) -> (Vec<Event>, Tally) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let stamp = Stamp { address: name.to_owned(), bytes: 0, modified: 0, etag: None };
    let source = Source { place: Place::File(path), name: name.to_owned(), stamp };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mapping = Mapping::new(settings).unwrap();
    let opening = Opening { format, mapping: &mapping, scratch: dir.path(), runtime: runtime.handle() };
    let mut chunks = Chunks::open(&source, &opening, 0).unwrap();
    let judge = Judge::new(format, MergeMode::Simplified, NOW);
    let (mut events, mut tally) = (Vec::new(), Tally::default());
    while let Some(chunk) = chunks.next_chunk().unwrap() {
        let portion = judge.portion(name, &chunk);
        for fragment in portion.fragments {
            let block = packed::Packer::new().unwrap().block(&fragment.raw, fragment.events).unwrap();
            let unpacked = packed::unpack(&block).unwrap();
            assert!(unpacked.iter().all(|event| bin_of(event) == fragment.bin));
            events.extend(unpacked);
        }
        tally.add(portion.tally);
    }
    assert_eq!(tally.events, events.len() as u64);
    (events, tally)
}

fn import(name: &str, text: &str) -> (Vec<Event>, Tally) {
    import_as(None, name, text.as_bytes(), &ImportSettings::default())
}

fn one(line: &str) -> Event {
    let (mut events, tally) = import("f.json", line);
    assert_eq!(events.len(), 1, "{line}: {tally:?}");
    events.remove(0)
}

fn property<'a>(event: &'a Event, name: &str) -> Option<&'a Property> {
    event.properties.iter().find(|(n, _)| n == name).map(|(_, value)| value)
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
        assert_eq!((event.name.as_str(), event.distinct_id.as_str(), event.insert_id.as_str()), ("A", "u", "i-1"));
        assert_eq!(event.time, mixpanel.time);
        assert_eq!(property(&event, "plan"), Some(&Property::Text("pro".into())));
        assert_eq!(property(&event, "plan"), property(&mixpanel, "plan"));
    }
}

#[test]
fn a_device_names_the_user_until_the_user_does() {
    assert_eq!(one(r#"{"event":"A","time":1704067200,"$device_id":"d"}"#).distinct_id, "$device:d");
    assert_eq!(one(r#"{"event":"A","time":1704067200,"device_id":"d","user_id":"u"}"#).distinct_id, "u");
    assert_eq!(one(r#"{"event":"A","time":1704067200,"distinct_id":"x"}"#).distinct_id, "x");
}

#[test]
fn made_ids_are_the_same_in_every_run_and_differ_between_records() {
    let line = r#"{"event":"A","properties":{"time":1704067200,"distinct_id":"u"}}"#;
    let row = "A,u,1704067200";
    for text in [format!("{line}\n{line}\n"), format!("event,distinct_id,time\n{row}\n{row}\n")] {
        let name = if text.starts_with('{') { "json" } else { "csv" };
        let ids = |file: &str| -> Vec<String> {
            import(&format!("{file}.{name}"), &text).0.into_iter().map(|event| event.insert_id).collect()
        };
        let (a, b) = (ids("a"), ids("b"));
        assert_eq!(a, ids("a"));
        assert_eq!([a, b].concat().into_iter().collect::<std::collections::HashSet<_>>().len(), 4);
        assert!(import(&format!("a.{name}"), &text).0.iter().all(|event| !event.insert_id_generated));
    }
}

#[test]
fn bad_lines_are_told_by_reason_and_place_and_the_others_kept() {
    let text = [
        r#"{"event":"A","properties":{"time":1704067200,"distinct_id":"u"}}"#,
        "",
        "not json",
        r#"{"event":"","time":1704067200}"#,
        r#"{"event":"A","properties":{"distinct_id":"u"}}"#,
        r#"{"event":"A","time":4000000000}"#,
        r#"{"event":"A","properties":{"time":1704067200,"$ignore":true}}"#,
        r#"{"event":"$merge","properties":{"$distinct_ids":["a","b"]}}"#,
        "terminated early",
    ]
    .join("\n");
    let (events, tally) = import("f.json", &text);
    assert_eq!((events.len(), tally.read, tally.ignored), (2, 8, 1));
    assert_eq!(events[1].time, NOW);
    let places = |reason: &str| -> Vec<u64> {
        tally
            .rejected
            .get(reason)
            .unwrap_or_else(|| panic!("{reason}: {tally:?}"))
            .places
            .iter()
            .filter_map(|p| p.line)
            .collect()
    };
    assert_eq!(places("data, invalid json"), [3]);
    assert_eq!(places("event, missing or empty"), [4]);
    assert_eq!(places(TIME_UNUSABLE), [5, 6]);
    assert_eq!(places(EXPORT_INCOMPLETE), [9]);
}

#[test]
fn exports_are_held_to_their_form() {
    let flat = r#"{"event":"A","time":1704067200,"distinct_id":"u"}"#;
    let format = Some(ImportFormat::MixpanelExport);
    assert_eq!(import_as(format, "f", flat.as_bytes(), &ImportSettings::default()).1.rejected(), 1);
    assert_eq!(import("f", flat).1.rejected(), 0);
}

#[test]
fn a_bad_row_names_its_line_and_column() {
    let text =
        "event,distinct_id,ts,properties\nA,u,1704067200,\nB,u,soon,\nC,u\nD,u,1704067200,[1]\nE,u,1704067200,{}\n";
    let settings = ImportSettings { map: vec!["time=ts".into()], ..ImportSettings::default() };
    let (events, tally) = import_as(None, "f.csv", text.as_bytes(), &settings);
    assert_eq!(events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["A", "E"]);
    let spots: Vec<String> = tally.rejected.iter().map(|(reason, r)| format!("{}: {reason}", r.places[0])).collect();
    assert_eq!(
        spots,
        [
            "f.csv:5, column properties: must be a JSON object".to_owned(),
            "f.csv:4: the row has 2 cells, but there are 4 columns".to_owned(),
            format!("f.csv:3, column ts: {TIME_INVALID}"),
        ]
    );
}

#[test]
fn a_properties_column_is_merged_and_the_row_s_own_columns_count() {
    let text = "event,properties,plan\nA,\"{\"\"time\"\":1704067200,\"\"distinct_id\"\":\"\"u\"\",\"\"plan\"\":\"\"free\"\",\"\"n\"\":{\"\"k\"\":1}}\",pro\n";
    let (events, _) = import("f.csv", text);
    assert_eq!((events[0].distinct_id.as_str(), events[0].time), ("u", 1_704_067_200_000));
    assert_eq!(property(&events[0], "plan"), Some(&Property::Text("pro".into())));
    assert_eq!(property(&events[0], "n"), Some(&Property::Map(vec![("k".into(), Property::Int(1))])));
}

#[test]
fn events_of_one_user_share_a_lane_and_users_do_not() {
    let event = |user: usize| one(&format!(r#"{{"event":"A","time":1704067200,"distinct_id":"u{user}"}}"#));
    let lanes: std::collections::HashSet<u8> = (0..40).map(|user| bin_of(&event(user)).lane).collect();
    assert_eq!(lanes.len(), usize::from(LANES));
    assert_eq!(bin_of(&event(1)), bin_of(&event(1)));
}

/// One row of a table, and one record of JSON.
#[derive(Clone, Debug)]
struct Fact {
    event: String,
    user: String,
    /// Microseconds.
    time: i64,
    insert_id: String,
    count: Option<i64>,
    ratio: Option<f64>,
    flag: Option<bool>,
    text: Option<String>,
}

fn fact() -> impl Strategy<Value = Fact> {
    let ids = (
        "[A-Za-z][ -~]{0,6}[a-z]",
        "u[0-9a-z,\" ]{0,6}",
        31_536_000_000_000i64..1_700_000_000_000_000,
        "[a-z0-9-]{4,9}",
    );
    // As a CSV cell such a text is typed as text.
    let text = prop::option::of("x\\PC{0,12}");
    let ratio = prop::option::of((-1_000_000..1_000_000i64).prop_map(|n| n as f64 / 64.0 + 0.0078125));
    let values = (prop::option::of(any::<i64>()), ratio, prop::option::of(any::<bool>()), text);
    (ids, values).prop_map(|((event, user, time, insert_id), (count, ratio, flag, text))| Fact {
        event,
        user,
        time,
        insert_id,
        count,
        ratio,
        flag,
        text,
    })
}

fn as_json(facts: &[Fact]) -> Vec<u8> {
    let mut lines = Vec::new();
    for fact in facts {
        let mut properties = Map::new();
        properties.insert("time".into(), (fact.time.div_euclid(1_000) as f64 / 1_000.0).into());
        properties.insert("distinct_id".into(), fact.user.clone().into());
        properties.insert("$insert_id".into(), fact.insert_id.clone().into());
        let values: [(&str, Option<Value>); 4] = [
            ("count", fact.count.map(Value::from)),
            ("ratio", fact.ratio.map(Value::from)),
            ("flag", fact.flag.map(Value::from)),
            ("text", fact.text.clone().map(Value::from)),
        ];
        properties.extend(values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        serde_json::to_writer(&mut lines, &serde_json::json!({"event": fact.event, "properties": properties})).unwrap();
        lines.push(b'\n');
    }
    lines
}

fn as_csv(facts: &[Fact]) -> Vec<u8> {
    let mut csv = ::csv::Writer::from_writer(Vec::new());
    csv.write_record(["event", "who", "at", "insert_id", "count", "ratio", "flag", "text"]).unwrap();
    for fact in facts {
        let shown = |value: Option<String>| value.unwrap_or_default();
        csv.write_record([
            fact.event.clone(),
            fact.user.clone(),
            fact.time.to_string(),
            fact.insert_id.clone(),
            shown(fact.count.map(|n| n.to_string())),
            shown(fact.ratio.map(|n| n.to_string())),
            shown(fact.flag.map(|b| b.to_string().to_uppercase())),
            shown(fact.text.clone()),
        ])
        .unwrap();
    }
    csv.into_inner().unwrap()
}

fn as_parquet(facts: &[Fact]) -> Vec<u8> {
    let texts =
        |of: &dyn Fn(&Fact) -> Option<String>| -> ArrayRef { Arc::new(facts.iter().map(of).collect::<StringArray>()) };
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("event", texts(&|fact| Some(fact.event.clone())), true),
        ("who", texts(&|fact| Some(fact.user.clone())), true),
        ("at", Arc::new(facts.iter().map(|fact| Some(fact.time)).collect::<TimestampMicrosecondArray>()), true),
        ("insert_id", texts(&|fact| Some(fact.insert_id.clone())), true),
        ("count", Arc::new(facts.iter().map(|fact| fact.count).collect::<Int64Array>()), true),
        ("ratio", Arc::new(facts.iter().map(|fact| fact.ratio).collect::<Float64Array>()), true),
        ("flag", Arc::new(facts.iter().map(|fact| fact.flag).collect::<BooleanArray>()), true),
        ("text", texts(&|fact| fact.text.clone()), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes.into_inner()
}

/// Events without regard to the order of their properties, which tables give by column.
fn sorted(mut events: Vec<Event>) -> Vec<Event> {
    events.iter_mut().for_each(|event| event.properties.sort_by(|a, b| a.0.cmp(&b.0)));
    events.sort_by(|a, b| {
        (&a.insert_id, a.time, &a.name, &a.distinct_id).cmp(&(&b.insert_id, b.time, &b.name, &b.distinct_id))
    });
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The same facts are the same events, whichever of the formats they come in.
    #[test]
    fn tables_and_records_give_the_same_events(facts in prop::collection::vec(fact(), 1..20)) {
        let map = vec!["distinct_id=who".to_owned(), "time=at".to_owned()];
        let table = ImportSettings { map, time_unit: Some(crate::config::TimeUnit::Microseconds), ..ImportSettings::default() };
        let (json, tally) = import_as(None, "f.ndjson", &as_json(&facts), &ImportSettings::default());
        prop_assert_eq!(tally.rejected(), 0, "{:?}", tally);
        let json = sorted(json);
        prop_assert_eq!(&sorted(import_as(None, "f.csv", &as_csv(&facts), &table).0), &json);
        prop_assert_eq!(&sorted(import_as(None, "f.parquet", &as_parquet(&facts), &table).0), &json);
    }
}
