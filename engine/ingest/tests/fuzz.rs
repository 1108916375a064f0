//! Hostile text: whatever arrives, decoding and validating end, do not panic, and accept only what keeps the promises.
//!
//! `FOOTFALL_FUZZ_CASES=1000000 cargo test -p footfall-ingest --release --test fuzz` is the long form.

use std::time::Duration;

use footfall_ingest::profiles::Subject;
use footfall_ingest::{
    Accepted, Damage, DecodeError, Form, IdSource, MergeMode, Outcome, Route, Rules, decode, profiles, validate,
};
use footfall_model::{Event, ProfileTarget, ProfileUpdate, Value};
use proptest::prelude::*;

const NOW: i64 = 1_785_542_400_000;

fn config() -> ProptestConfig {
    let cases = std::env::var("FOOTFALL_FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Runs a text through every form and set of rules, and checks what comes out.
fn survive(text: &[u8]) {
    let ids = IdSource::seeded(1);
    for (form, damage) in [
        (Form::Json, Damage::Refuse),
        (Form::Json, Damage::Report),
        (Form::Ndjson, Damage::Refuse),
        (Form::Ndjson, Damage::Report),
    ] {
        let items = match decode(text, form, damage) {
            Ok(items) => items,
            Err(DecodeError::Empty | DecodeError::InvalidJson | DecodeError::TooManyRecords) => continue,
        };
        assert!((1..=2000).contains(&items.len()));
        for rules in rules() {
            for item in items.iter().cloned() {
                match validate(item, &rules, &ids) {
                    Outcome::Accepted(Accepted { event, .. }) => check(&event, &rules),
                    Outcome::Rejected(rejected) => {
                        assert!(!rejected.fault.message().is_empty() && !rejected.fault.reason().is_empty());
                        assert!(rejected.insert_id.chars().count() <= 255);
                    }
                    Outcome::Ignored => {}
                }
            }
        }
    }
}

/// The same for profiles: whatever is accepted has an id, an operation, and operands of their one form.
fn survive_as_profiles(text: &[u8]) {
    for (form, damage) in [(Form::Json, Damage::Refuse), (Form::Json, Damage::Report), (Form::Ndjson, Damage::Report)] {
        let Ok(items) = profiles::decode(text, form, damage) else { continue };
        assert!((1..=2000).contains(&items.len()));
        for (subject, strict) in [(Subject::People, true), (Subject::People, false), (Subject::Groups, true)] {
            for item in items.iter().cloned() {
                match profiles::validate(item, subject, strict) {
                    Ok(update) => check_update(&update),
                    Err(rejected) => {
                        assert!(!rejected.fault.message().is_empty() && !rejected.fault.reason().is_empty());
                        assert!(rejected.id.chars().count() <= 255);
                    }
                }
            }
        }
    }
}

fn check_update(update: &ProfileUpdate) {
    match &update.target {
        ProfileTarget::Person { distinct_id } => assert!(!distinct_id.trim().is_empty()),
        ProfileTarget::Group { key, id } => assert!(!key.trim().is_empty() && !id.trim().is_empty()),
    }
    let Value::Map(envelope) = &update.record else { panic!("{update:?}") };
    let operands: Vec<_> = envelope.iter().filter(|(name, _)| OPERATIONS.contains(&name.as_str())).collect();
    assert!(!operands.is_empty(), "{envelope:?}");
    for (name, operand) in operands {
        match (name.as_str(), operand) {
            ("$delete", Value::Text(text)) => assert_eq!(text, ""),
            ("$unset", Value::List(names)) => assert!(names.iter().all(|name| matches!(name, Value::Text(_)))),
            ("$add", Value::Map(m)) => assert!(m.iter().all(|(_, v)| matches!(v, Value::Int(_) | Value::Float(_)))),
            ("$union", Value::Map(m)) => assert!(m.iter().all(|(_, v)| matches!(v, Value::List(_)))),
            (_, Value::Map(_)) => {}
            _ => panic!("{name}: {operand:?}"),
        }
    }
}

const OPERATIONS: [&str; 8] = ["$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete"];

fn rules() -> [Rules<'static>; 4] {
    let track = Rules {
        route: Route::Track,
        strict: false,
        merge: MergeMode::Simplified,
        now_ms: NOW,
        track_window: Some(Duration::from_secs(5 * 86_400)),
        request_address: Some("::1"),
    };
    let import = Rules { route: Route::Import, ..track };
    [track, import, Rules { strict: true, ..import }, Rules { strict: true, merge: MergeMode::Original, ..import }]
}

fn check(event: &Event, rules: &Rules<'_>) {
    assert!(!event.name.is_empty() && event.name.chars().count() <= 255);
    assert!((31_536_000_000..=NOW).contains(&event.time), "{}", event.time);
    assert!(event.distinct_id.chars().count() <= 255 + "$device:".len());
    assert!((1..=36).contains(&event.insert_id.len()), "{:?}", event.insert_id);
    assert!(event.insert_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    assert!(!(rules.strict && event.insert_id_generated && event.name != "$merge"));
    let mut names: Vec<_> = event.properties.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    assert!(names.len() <= 257);
    for (name, value) in &event.properties {
        assert!(name.chars().count() <= 255);
        assert!(!["token", "time", "distinct_id", "$insert_id", "ip"].contains(&name.as_str()));
        check_value(value);
    }
}

fn check_value(value: &Value) {
    match value {
        Value::Text(text) => assert!(text.chars().count() <= 255),
        Value::Float(number) => assert!(number.is_finite()),
        Value::List(items) => {
            assert!(items.len() <= 254);
            items.iter().for_each(check_value);
        }
        Value::Map(members) => {
            assert!(members.len() <= 254);
            members.iter().for_each(|(_, value)| check_value(value));
        }
        Value::Null | Value::Bool(_) | Value::Int(_) => {}
    }
}

/// JSON text, not always valid: odd numbers, lone surrogates, repeated and meaningful names.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|x| format!("{x:e}")),
        (1_785_000_000u32..1_786_000_000).prop_map(|n| n.to_string()),
        ".{0,12}".prop_map(|text| serde_json::Value::String(text).to_string()),
        "[a-z0-9-]{0,40}".prop_map(|text| format!("\"{text}\"")),
        r#"\\u[0-9a-fdD]{3,4}"#.prop_map(|escape| format!("\"{escape}\"")),
        (0usize..600).prop_map(|n| format!("\"{}\"", "é".repeat(n))),
        prop::sample::select(vec!["\"null\"", "\"2026-07-31T01:02:03Z\"", "\"1785540000.5\"", "-0", "1e999", "0x1"])
            .prop_map(str::to_owned),
    ];
    scalar.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name(), inner.clone()), 0..6).prop_map(object),
            (inner.clone(), 1usize..140).prop_map(|(x, n)| format!("{}{x}{}", "[".repeat(n), "]".repeat(n))),
            // Bounded, because these nest.
            (inner, 1usize..400).prop_map(|(x, n)| format!("[{}]", vec![&*x; n.min(20_000 / x.len())].join(","))),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let known = vec![
        "event",
        "properties",
        "token",
        "time",
        "distinct_id",
        "$insert_id",
        "$user_id",
        "$device_id",
        "$ignore",
        "ip",
        "$identified_id",
        "$import",
        "bucket",
        "",
        "p",
    ];
    prop_oneof![4 => prop::sample::select(known).prop_map(str::to_owned), 1 => "[a-z]{1,300}"]
}

fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<_> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// Something like an event, so that validation gets far.
fn event() -> impl Strategy<Value = String> {
    let given = prop::collection::vec((name(), json()), 0..12);
    let names = prop::sample::select(vec!["\"E\"", "\"$merge\"", "\"$identify\"", "\"$create_alias\"", "\"\"", "7"]);
    (names, given).prop_map(|(event, mut given)| {
        given.insert(0, ("token".into(), "\"TOK\"".into()));
        given.insert(0, ("time".into(), "1785540000".into()));
        given.insert(0, ("$insert_id".into(), "\"i-1\"".into()));
        format!("{{\"event\":{event},\"properties\":{}}}", object(given))
    })
}

/// Overwrites, removes or doubles a few bytes.
fn mutate(mut text: Vec<u8>, edits: Vec<(u8, usize, u8)>) -> Vec<u8> {
    for (kind, at, byte) in edits {
        if text.is_empty() {
            break;
        }
        let at = at % text.len();
        match kind % 4 {
            0 => text[at] = byte,
            1 => drop(text.remove(at)),
            2 => text.insert(at, byte),
            _ => text.truncate(at),
        }
    }
    text
}

/// Something like a profile update, so that validation gets far.
fn update() -> impl Strategy<Value = String> {
    let keys = ["$increment", "$time", "$ip", "$ignore_time", "$group_key", "$group_id", "$distinct_id"];
    let name = prop::sample::select([&OPERATIONS[..], &keys[..]].concat());
    let operand = prop_oneof![json(), prop::collection::vec((name_of_property(), json()), 0..4).prop_map(object)];
    prop::collection::vec((name.prop_map(str::to_owned), operand), 0..6).prop_map(|mut given| {
        given.insert(0, ("$token".into(), "\"TOK\"".into()));
        given.insert(0, ("$distinct_id".into(), "\"u\"".into()));
        object(given)
    })
}

fn name_of_property() -> impl Strategy<Value = String> {
    prop_oneof![Just("$name".to_owned()), Just("$token".to_owned()), "[a-z]{1,300}"]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn profile_updates(update in update(), edits in prop::collection::vec((any::<u8>(), any::<usize>(), any::<u8>()), 0..3)) {
        survive_as_profiles(&mutate(update.into_bytes(), edits));
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survive(&bytes);
    }

    #[test]
    fn random_json(text in json()) {
        survive(text.as_bytes());
    }

    #[test]
    fn events(events in prop::collection::vec(event(), 1..4), array in any::<bool>()) {
        let text = if array { format!("[{}]", events.join(",")) } else { events.join("\n") };
        survive(text.as_bytes());
    }

    #[test]
    fn mutated_events(text in event(), edits in prop::collection::vec((any::<u8>(), any::<usize>(), any::<u8>()), 1..6)) {
        survive(&mutate(text.into_bytes(), edits));
    }

    #[test]
    fn structure_only(text in r#"[\[\]{}",:0\\u ]{0,200}"#) {
        survive(text.as_bytes());
    }
}
