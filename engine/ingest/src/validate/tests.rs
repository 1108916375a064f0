use footfall_model::Event;

use super::*;
use crate::decode::{Damage, Form, decode};

/// 2026-08-01T00:00:00Z.
const NOW: i64 = 1_785_542_400_000;
const DAY: i64 = 86_400_000;

fn track() -> Rules<'static> {
    Rules {
        route: Route::Track,
        strict: false,
        merge: MergeMode::Simplified,
        now_ms: NOW,
        track_window: Some(Duration::from_secs(5 * 86_400)),
        request_address: None,
    }
}

fn lenient() -> Rules<'static> {
    Rules { route: Route::Import, ..track() }
}

fn strict() -> Rules<'static> {
    Rules { strict: true, ..lenient() }
}

fn run(text: &str, rules: Rules<'_>) -> Outcome {
    let damage = if rules.strict { Damage::Report } else { Damage::Refuse };
    let item = decode(text.as_bytes(), Form::Json, damage).unwrap().remove(0);
    validate(item, &rules, &IdSource::seeded(7))
}

fn accepted(text: &str, rules: Rules<'_>) -> Event {
    match run(text, rules) {
        Outcome::Accepted(accepted) => accepted.event,
        other => panic!("{text}: {other:?}"),
    }
}

fn fault(text: &str, rules: Rules<'_>) -> Fault {
    match run(text, rules) {
        Outcome::Rejected(rejected) => rejected.fault,
        other => panic!("{text}: {other:?}"),
    }
}

/// An event with everything strict import asks for, and these properties besides or instead.
fn with(properties: &str) -> String {
    let comma = if properties.is_empty() { "" } else { "," };
    format!(
        r#"{{"event":"E","properties":{{"token":"TOK","time":1785542000,"distinct_id":"u1","$insert_id":"i-1"{comma}{properties}}}}}"#
    )
}

#[test]
fn an_event_becomes_columns_and_properties() {
    let text = r#"{"event":"Sign Up","meta":1,"properties":{"plan":"pro","token":"TOK","time":1785542000.123,
        "distinct_id":"u1","$insert_id":"5d958f87542f","ip":"203.0.113.7","n":1,"bucket":"b","mp_processing_time_ms":5}}"#;
    let property = |name: &str, value| (name.to_owned(), value);
    let mut expect = Event {
        name: "Sign Up".into(),
        distinct_id: "u1".into(),
        time: 1_785_542_000_123,
        insert_id: "5d958f87542f".into(),
        insert_id_generated: false,
        properties: vec![
            property("plan", Value::Text("pro".into())),
            property("n", Value::Int(1)),
            property("$mp_api_endpoint", Value::Text("footfall".into())),
        ],
    };
    let Outcome::Accepted(by_track) = run(text, track()) else { panic!() };
    assert_eq!(by_track, Accepted { token: Some("TOK".into()), event: expect.clone(), repairs: Repairs::default() });
    expect.properties.insert(2, property("$import", Value::Bool(true)));
    assert_eq!(accepted(text, strict()), expect);
}

#[test]
fn strict_import_says_what_clients_match() {
    let check = |text: &str, field: &str, message: &str| {
        let fault = fault(text, strict());
        assert_eq!((&*fault.field(), &*fault.message()), (field, message), "{text}");
    };
    check("[1]", "", "record is invalid: must be an object");
    let blank = "'event' must not be missing or blank";
    for text in ["{}", r#"{"event":" ","properties":{}}"#, r#"{"event":5,"properties":{}}"#, r#"{"event":null}"#] {
        check(text, "event", blank);
    }
    check(r#"{"event":"E"}"#, "properties", "'properties' is invalid: must be an object");
    check(r#"{"event":"E","properties":[]}"#, "properties", "'properties' is invalid: must be an object");

    let time = "properties.time";
    let seconds = "'properties.time' is invalid: must be specified as seconds since epoch";
    check(r#"{"event":"E","properties":{"distinct_id":"u","$insert_id":"i"}}"#, time, seconds);
    for value in [r#""x""#, r#""2026-07-31""#, "true", "null", r#""""#, "{}"] {
        check(&with(&format!(r#""time":{value}"#)), time, seconds);
    }
    let between = "'properties.time' is invalid: must be between 1971-01-01 and one hour from now";
    for value in ["31535999", "-1", "0", "1785546001", "1785546000001", "9e18", "-1e300"] {
        check(&with(&format!(r#""time":{value}"#)), time, between);
    }

    let not_allowed = "'properties.distinct_id' is invalid: value is not allowed";
    for value in ["true", r#""NULL""#, "0", "[]", r#""anonymous""#, r#""00000000-0000-0000-0000-000000000000""#] {
        check(&with(&format!(r#""distinct_id":{value}"#)), "properties.distinct_id", not_allowed);
    }
    check(
        &with(r#""$user_id":"null""#),
        "properties.$user_id",
        "'properties.$user_id' is invalid: value is not allowed",
    );

    let insert_id = "$insert_id";
    let missing = "'$insert_id' is invalid: must not be missing or blank";
    for value in ["null", r#""""#, r#"" ""#] {
        check(&with(&format!(r#""$insert_id":{value}"#)), insert_id, missing);
    }
    let characters = "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters";
    for value in [r#""a_b""#, r#""é""#, "1.5", r#""[]""#] {
        check(&with(&format!(r#""$insert_id":{value}"#)), insert_id, characters);
    }
    let long = "1".repeat(37);
    check(&with(&format!(r#""$insert_id":"{long}""#)), insert_id, "'$insert_id' is invalid: must not exceed 36 bytes");
    check(&with(r#""$insert_id":"undefined""#), insert_id, "'$insert_id' is invalid: value is not allowed");

    check(&with(r#""p":"\ud83d""#), "properties.p", "properties.p is invalid: string should be valid utf8");
    check(
        &with(r#""p":[[[[1]]]]"#),
        "properties.p",
        "'properties.p' is invalid: must not be nested deeper than 3 levels",
    );
}

#[test]
fn other_routes_give_short_reasons() {
    let check = |text: &str, reason: &str| assert_eq!(fault(text, track()).reason(), reason, "{text}");
    check("[1]", "data, invalid json");
    check(r#"{"properties":{"token":"TOK"}}"#, "event, missing or empty");
    check(r#"{"event":"E"}"#, "properties, missing or invalid");
    check(r#"{"event":"E","properties":{}}"#, "token, missing or empty");
    check(r#"{"event":"E","properties":{"token":""}}"#, "token, missing or empty");
    check(&with(r#""time":"x""#), "time, must be seconds since epoch");
    check(&with(&format!(r#""time":{}"#, (NOW - 6 * DAY) / 1000)), "time, more than 5 days in the past");
    check(&with(r#""time":0"#), "time, more than 5 days in the past");
    check(r#"{"event":"$merge","properties":{"token":"TOK"}}"#, "event, $merge is accepted by /import only");
    assert_eq!(fault(&with(r#""time":0"#), lenient()).reason(), "time, before 1971-01-01");
}

#[test]
fn a_report_names_the_insert_id() {
    let insert_id = |text: &str| match run(text, strict()) {
        Outcome::Rejected(rejected) => rejected.insert_id,
        other => panic!("{other:?}"),
    };
    assert_eq!(insert_id(&with(r#""time":"x""#)), "i-1");
    assert_eq!(insert_id(&with(r#""$insert_id":"a_b""#)), "a_b");
    assert_eq!(insert_id(r#"{"properties":{"$insert_id":17}}"#), "17");
    assert_eq!(insert_id(r#"{"event":"E","properties":{}}"#), "");
    assert_eq!(insert_id(&with(&format!(r#""$insert_id":"{}""#, "_".repeat(9000)))).len(), 255);
}

#[test]
fn the_clock_of_arrival_bounds_time() {
    let check = |time: &str, rules: Rules<'_>, expect: i64| {
        assert_eq!(accepted(&with(&format!(r#""time":{time}"#)), rules).time, expect, "{time}");
    };
    check("1700000000.5", strict(), 1_700_000_000_500);
    check("1700000000000", strict(), 1_700_000_000_000);
    check(r#""1700000000""#, strict(), 1_700_000_000_000);
    check("31536000", strict(), 31_536_000_000);
    check("1785542401", strict(), NOW);
    check("1785546000", strict(), NOW);
    check("1785546001", lenient(), NOW);
    check("9e18", lenient(), NOW);
    check("null", lenient(), NOW);
    check(r#""2023-11-14T22:13:20""#, lenient(), 1_700_000_000_000);
    check("9e18", track(), NOW);
    check("null", track(), NOW);
    let edge = NOW - 5 * DAY;
    check(&edge.to_string(), track(), edge);
    assert_eq!(fault(&with(&format!(r#""time":{}"#, edge - 1)), track()), Fault::TimeTooOld { days: 5 });
    check("1700000000", Rules { track_window: None, ..track() }, 1_700_000_000_000);
}

#[test]
fn simplified_projects_derive_the_distinct_id() {
    let check = |properties: &str, expect: &str| {
        let text = format!(r#"{{"event":"E","properties":{{"token":"TOK",{properties}}}}}"#);
        assert_eq!(accepted(&text, track()).distinct_id, expect, "{properties}");
    };
    check(r#""distinct_id":"u1""#, "u1");
    check(r#""distinct_id":"$device:d1""#, "$device:d1");
    check(r#""distinct_id":"x","$user_id":"U","$device_id":"d""#, "U");
    check(r#""distinct_id":"x","$device_id":"d""#, "$device:d");
    check(r#""$user_id":17"#, "17");
    check(r#""$user_id":null,"$device_id":"d""#, "$device:d");
    check(r#""$user_id":"","$device_id":"""#, "");
    check(r#""$user_id":"undefined","$device_id":"d""#, "$device:d");
    check(r#""$device_id":"00000000-0000-0000-0000-000000000000","distinct_id":"u1""#, "u1");
    check(r#""distinct_id":17"#, "17");
    check(r#""distinct_id":1.5"#, "1.5");
    check(r#""distinct_id":{"b":1,"a":[true]}"#, r#"{"a":[true],"b":1}"#);
    check(r#""distinct_id":true"#, "");
    check(r#""distinct_id":"Null""#, "");
    check(r#""distinct_id":"""#, "");
    check(r#""distinct_id":null"#, "");
    check(&format!(r#""distinct_id":"{}""#, "é".repeat(300)), &"é".repeat(255));
    check(r#""distinct_id":18446744073709551615"#, "18446744073709551615");
}

#[test]
fn ids_stay_properties_and_none_are_added() {
    let names = |properties: &str| -> Vec<String> {
        accepted(&with(properties), track()).properties.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(r#""$user_id":"U","$device_id":"d""#), ["$user_id", "$device_id", "$mp_api_endpoint"]);
    assert_eq!(names(""), ["$mp_api_endpoint"]);
}

#[test]
fn a_missing_distinct_id_depends_on_the_merge_mode() {
    let text = r#"{"event":"E","properties":{"time":1700000000,"$insert_id":"i","$device_id":"d","$user_id":"U"}}"#;
    assert_eq!(accepted(text, strict()).distinct_id, "U");
    for merge in [MergeMode::Original, MergeMode::Legacy] {
        let fault = fault(text, Rules { merge, ..strict() });
        assert_eq!(fault.message(), "'properties.distinct_id' is invalid: must not be missing");
        assert_eq!(fault.field(), "properties.distinct_id");
        assert_eq!(accepted(text, Rules { merge, ..lenient() }).distinct_id, "");
        let given = with(r#""$user_id":"U""#);
        assert_eq!(accepted(&given, Rules { merge, ..strict() }).distinct_id, "u1");
    }
    let nobody = r#"{"event":"E","properties":{"time":1700000000,"$insert_id":"i"}}"#;
    assert_eq!(accepted(nobody, strict()).distinct_id, "");
}

#[test]
fn the_address_stands_in_for_a_missing_id_only() {
    let address = |properties: &str, request_address| {
        let text = format!(r#"{{"event":"E","properties":{{"token":"TOK"{properties}}}}}"#);
        accepted(&text, Rules { request_address, ..track() }).distinct_id
    };
    let one = address("", Some("203.0.113.7"));
    assert_eq!(one.len(), 32);
    assert_eq!(one, address("", Some("203.0.113.7")));
    assert_ne!(one, address("", Some("203.0.113.8")));
    assert_eq!(address("", None), "");
    assert_eq!(address(r#","distinct_id":"""#, Some("203.0.113.7")), "");
    assert_eq!(address(r#","distinct_id":"u1""#, Some("203.0.113.7")), "u1");
}

#[test]
fn identity_events_need_less() {
    let merge = r#"{"event":"$merge","properties":{"$distinct_ids":["a","b"],"token":"TOK"}}"#;
    for mode in [MergeMode::Simplified, MergeMode::Original] {
        for rules in [strict(), lenient()] {
            let event = accepted(merge, Rules { merge: mode, ..rules });
            assert_eq!((event.time, &*event.distinct_id, event.insert_id_generated), (NOW, "", true));
        }
        assert_eq!(fault(merge, Rules { merge: mode, ..track() }), Fault::MergeOnTrack);
    }
    let identify = r#"{"event":"$identify","properties":{"time":1700000000,"$insert_id":"i","$identified_id":"U","$anon_id":"a"}}"#;
    for merge in [MergeMode::Simplified, MergeMode::Original] {
        assert_eq!(accepted(identify, Rules { merge, ..strict() }).distinct_id, "U");
    }
    let alias = r#"{"event":"$create_alias","properties":{"distinct_id":"u1","alias":"old-7","token":"TOK"}}"#;
    assert_eq!(accepted(alias, track()).distinct_id, "u1");
}

#[test]
fn insert_ids_are_kept_made_or_hashed() {
    let check = |value: &str, expect: &str, generated: bool| {
        let event = accepted(&with(&format!(r#""$insert_id":{value}"#)), lenient());
        assert_eq!((&*event.insert_id, event.insert_id_generated), (expect, generated), "{value}");
    };
    check(r#""abc-1""#, "abc-1", false);
    check("17", "17", false);
    for made in ["null", r#""""#, r#""null""#, r#""N/A""#, "[]", "{}", "true"] {
        check(made, "0000000000000007-0", true);
    }
    check(r#""a_b""#, &hashed("a_b"), false);
    let (one, other) = ("x".repeat(300), "x".repeat(301));
    check(&format!(r#""{one}""#), &hashed(&one), false);
    check(&format!(r#""{other}""#), &hashed(&other), false);
    assert!(hashed("a_b").len() <= 36);
}

#[test]
fn an_ignored_event_is_no_fault() {
    for rules in [track(), lenient(), strict()] {
        assert_eq!(run(&with(r#""$ignore":true,"time":"x""#), rules), Outcome::Ignored);
    }
    let beside = r#"{"event":"E","$ignore":1,"properties":{"token":"TOK"}}"#;
    assert_eq!(run(beside, track()), Outcome::Ignored);
}

#[test]
fn an_event_has_at_most_255_properties_and_a_megabyte() {
    let many = |n: usize| with(&(0..n).map(|i| format!(r#""p{i}":{i}"#)).collect::<Vec<_>>().join(","));
    assert_eq!(accepted(&many(255), strict()).properties.len(), 257);
    assert_eq!(fault(&many(256), strict()), Fault::TooManyProperties);
    assert_eq!(fault(&many(256), track()), Fault::TooManyProperties);
    assert_eq!(fault(&many(5000), track()), Fault::TooManyProperties);
    let long = |n: usize| with(&format!(r#""p":"{}""#, "x".repeat(n)));
    assert_eq!(accepted(&long(1_000_000), strict()).properties[0].1, Value::Text("x".repeat(255)));
    assert_eq!(fault(&long(1 << 20), strict()), Fault::TooBig);
    assert_eq!(fault(&long(1 << 20), track()), Fault::TooBig);
}

#[test]
fn names_and_texts_are_cut() {
    let long = "é".repeat(300);
    let text =
        format!(r#"{{"event":"{long}","properties":{{"token":"TOK","{long}1":"{long}","{long}2":[["{long}"]]}}}}"#);
    let event = accepted(&text, track());
    let cut = "é".repeat(255);
    assert_eq!(event.name, cut);
    // Both names are the same once cut; the last value counts.
    let nested = Value::List(vec![Value::List(vec![Value::Text(cut.clone())])]);
    assert_eq!(event.properties[0], (cut, nested));
    assert_eq!(event.properties.len(), 2);
}

#[test]
fn what_the_sender_says_of_the_endpoint_stands() {
    let event = accepted(&with(r#""$mp_api_endpoint":"api.mixpanel.com","$import":false"#), strict());
    let expect = [
        ("$mp_api_endpoint".to_owned(), Value::Text("api.mixpanel.com".into())),
        ("$import".to_owned(), Value::Bool(true)),
    ];
    assert_eq!(event.properties, expect);
}

#[test]
fn damage_is_reported_where_it_is() {
    let check = |text: &[u8], expect: Fault| {
        let item = decode(text, Form::Json, Damage::Report).unwrap().remove(0);
        let Outcome::Rejected(rejected) = validate(item, &strict(), &IdSource::seeded(7)) else { panic!() };
        assert_eq!(rejected.fault, expect);
    };
    check(b"{\"event\":\"\xff\",\"properties\":{}}", Fault::NameNotUtf8);
    check(b"{\"event\":\"E\",\"properties\":{\"a\":1,\"b\":[{\"c\":\"\xc3\"}]}}", Fault::NotUtf8("b".into()));
    check(b"{\"event\":\"E\",\"properties\":{\"\xff\":1}}", Fault::NotUtf8("\u{fffd}".into()));
}

#[test]
fn merge_modes_have_names() {
    for mode in [MergeMode::Simplified, MergeMode::Original, MergeMode::Legacy] {
        assert_eq!(mode.to_string().parse(), Ok(mode));
        assert_eq!(serde_json::to_value(mode).unwrap(), serde_json::Value::from(mode.to_string()));
    }
    assert_eq!("Original".parse::<MergeMode>(), Err(UnknownMergeMode));
}

/// Each change is told, and only where there was one.
#[test]
fn what_was_mended_is_told() {
    let long = "x".repeat(300);
    let repairs = |properties: &str, rules| match run(&with(properties), rules) {
        Outcome::Accepted(accepted) => accepted.repairs,
        other => panic!("{properties}: {other:?}"),
    };
    let check = |properties: &str, expect: &[Repair]| {
        let repairs = repairs(properties, Rules { track_window: None, ..lenient() });
        assert_eq!(repairs.iter().collect::<Vec<_>>(), expect, "{properties}");
        assert_eq!(repairs.is_empty(), expect.is_empty());
    };
    check(r#""p":1"#, &[]);
    check(r#""time":null"#, &[Repair::TimeMissing]);
    check(r#""time":9999999999"#, &[Repair::TimeAhead]);
    check(r#""distinct_id":"null""#, &[Repair::DistinctIdDenied]);
    check(r#""$user_id":"0""#, &[Repair::IdDenied]);
    check(r#""$insert_id":"""#, &[Repair::InsertIdMade]);
    check(r#""$insert_id":"a b""#, &[Repair::InsertIdHashed]);
    check(&format!(r#""p":"{long}""#), &[Repair::TextCut]);
    check(&format!(r#""p":["{long}"]"#), &[Repair::TextCut]);
    check(&format!(r#""{long}":1"#), &[Repair::NameCut]);
    check(r#""p":[[[[1]]]]"#, &[Repair::DepthFlattened]);
    check(&format!(r#""p":[{}]"#, vec!["1"; 300].join(",")), &[Repair::ElementsCut]);
    check(r#""p":"\ud83d""#, &[Repair::TextMended]);
    let ahead = format!(r#""time":{}"#, NOW + 1234);
    assert_eq!(repairs(&ahead, track()).ahead_ms, 1234);
    assert_eq!(repairs(&ahead, strict()).ahead_ms, 1234);
}
