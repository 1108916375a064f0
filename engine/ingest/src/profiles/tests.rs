use super::*;
use crate::decode::{Damage, DecodeError, Form};

fn items(text: &str) -> Vec<ProfileItem> {
    decode(text.as_bytes(), Form::Json, Damage::Refuse).unwrap()
}

fn judged(subject: Subject, text: &str, strict: bool) -> Result<ProfileUpdate, RejectedProfile> {
    validate(items(text).remove(0), subject, strict)
}

fn person(operations: &str) -> String {
    format!(r#"{{"$token":"T","$distinct_id":"u1",{operations}}}"#)
}

/// The record that is kept, as JSON.
#[track_caller]
fn kept(text: &str) -> String {
    let update = judged(Subject::People, text, false).unwrap();
    serde_json::to_string(&update.record).unwrap()
}

#[track_caller]
fn check(operations: &str, expect: &str) {
    assert_eq!(kept(&person(operations)), format!("{{{expect}}}"), "{operations}");
}

#[track_caller]
fn refused(subject: Subject, text: &str, field: &str, message: &str, reason: &str) {
    let RejectedProfile { fault, .. } = judged(subject, text, true).unwrap_err();
    assert_eq!((&*fault.field(), &*fault.message(), &*fault.reason()), (field, message, reason), "{text}");
    let fault = judged(subject, text, false).unwrap_err().fault;
    assert_eq!(fault.reason(), reason, "{text}");
}

#[test]
fn every_operation_has_one_form() {
    check(r#""$set":{"a":1,"b":[1,"x"],"c":{"d":null}}"#, r#""$set":{"a":1,"b":[1,"x"],"c":{"d":null}}"#);
    check(r#""$set_once":{"a":null}"#, r#""$set_once":{"a":null}"#);
    check(r#""$add":{"a":1,"b":-2.5}"#, r#""$add":{"a":1,"b":-2.5}"#);
    check(r#""$increment":{"a":1}"#, r#""$add":{"a":1}"#);
    check(r#""$add":{"a":1,"b":2},"$increment":{"a":3}"#, r#""$add":{"a":3,"b":2}"#);
    check(r#""$append":{"l":{"$amount":9.9}}"#, r#""$append":{"l":{"$amount":9.9}}"#);
    check(r#""$union":{"l":["x"],"s":"y","n":null}"#, r#""$union":{"l":["x"],"s":["y"],"n":[]}"#);
    check(r#""$remove":{"l":"x"}"#, r#""$remove":{"l":"x"}"#);
    check(r#""$unset":["a","b"]"#, r#""$unset":["a","b"]"#);
    check(r#""$unset":"a""#, r#""$unset":["a"]"#);
    for value in [r#""""#, "null", r#""null""#, "{}", "[1]"] {
        check(&format!(r#""$delete":{value}"#), r#""$delete":"""#);
    }
    check(r#""$set":{},"$add":{"n":1}"#, r#""$set":{},"$add":{"n":1}"#);
}

#[test]
fn envelopes_keep_what_means_something() {
    check(
        r#""$ip":"1.2.3.4","$time":1700000000.5,"$ignore_time":true,"$ignore_alias":false,"$device_id":"d",
           "$user_id":"u","$had_persisted_distinct_id":true,"$latitude":1.5,"$longitude":2,"x":1,"$set":{}"#,
        r#""$time":1700000000.5,"$ignore_time":true,"$latitude":1.5,"$longitude":2,"$set":{}"#,
    );
    check(r#""$time":"soon","$latitude":"north","$ignore_time":"1","$set":{}"#, r#""$ignore_time":true,"$set":{}"#);
    check(r#""$set":{"$distinct_id":"other","$token":"x","$name":"n"}"#, r#""$set":{"$name":"n"}"#);
}

#[test]
fn ids_are_texts_with_all_their_digits() {
    let target =
        |id: &str| match judged(Subject::People, &format!(r#"{{"$token":"T","$distinct_id":{id},"$set":{{}}}}"#), true)
        {
            Ok(ProfileUpdate { target: ProfileTarget::Person { distinct_id }, .. }) => distinct_id,
            other => panic!("{other:?}"),
        };
    assert_eq!(target("17"), "17");
    assert_eq!(target("18446744073709551615"), "18446744073709551615");
    assert_eq!(target("true"), "true");
    assert_eq!(target(r#""$device:d1""#), "$device:d1");
    assert_eq!(target(&format!("\"{}\"", "é".repeat(300))).chars().count(), 255);
    let group = r#"{"$token":"T","$group_key":"company","$group_id":17,"$distinct_id":"u","$set":{"tier":"gold"}}"#;
    let update = judged(Subject::Groups, group, true).unwrap();
    assert_eq!(update.target, ProfileTarget::Group { key: "company".into(), id: "17".into() });
    let record = serde_json::to_string(&update.record).unwrap();
    assert_eq!(record, r#"{"$set":{"tier":"gold"}}"#);
}

#[test]
fn what_is_missing_is_named() {
    let people = |text: &str, field: &str, message: &str, reason: &str| {
        refused(Subject::People, text, field, message, reason);
    };
    people("[1]", "", "record is invalid: must be an object", "data, invalid json");
    people(
        r#"{"$distinct_id":"u","$set":{}}"#,
        "$token",
        "'$token' must not be missing or blank",
        "token, missing or empty",
    );
    for id in ["null", r#""""#, r#"" ""#] {
        people(
            &format!(r#"{{"$token":"T","$distinct_id":{id},"$set":{{}}}}"#),
            "$distinct_id",
            "'$distinct_id' must not be missing or blank",
            "$distinct_id, missing or empty",
        );
    }
    people(
        r#"{"$token":"T","$distinct_id":"u","set":{}}"#,
        "",
        "record is invalid: must have an operation such as $set",
        "no operation found",
    );
    let groups = |text: &str, key: &str| {
        let (message, reason) = (format!("'{key}' must not be missing or blank"), format!("{key}, missing or empty"));
        refused(Subject::Groups, text, key, &message, &reason);
    };
    groups(r#"{"$token":"T","$group_id":"acme","$set":{}}"#, "$group_key");
    groups(r#"{"$token":"T","$group_key":"company","$set":{}}"#, "$group_id");
}

#[test]
fn operands_of_another_shape_are_refused() {
    for operation in ["$set", "$set_once", "$add", "$append", "$union", "$remove"] {
        for operand in ["1", "[]", "null", r#""x""#] {
            let (message, reason) =
                (format!("'{operation}' is invalid: must be an object"), format!("{operation}, must be an object"));
            refused(Subject::People, &person(&format!(r#""{operation}":{operand}"#)), operation, &message, &reason);
        }
    }
    for operand in ["1", "{}", "null", "[1]", r#"["a",null]"#] {
        let text = person(&format!(r#""$unset":{operand}"#));
        let message = "'$unset' is invalid: must be a list of names";
        refused(Subject::People, &text, "$unset", message, "$unset, must be a list of names");
    }
    for operand in [r#""1""#, "null", "true", "[1]"] {
        let text = person(&format!(r#""$add":{{"n":{operand}}}"#));
        refused(Subject::People, &text, "$add.n", "'$add.n' is invalid: must be a number", "$add.n, must be a number");
    }
    let both = person(r#""$set":{"a":1},"$add":{"n":"x"}"#);
    assert!(judged(Subject::People, &both, false).is_err(), "an update is applied whole or not at all");
}

#[test]
fn sizes_are_bounded() {
    let members = |n: usize| (0..n).map(|i| format!("\"p{i}\":{i}")).collect::<Vec<_>>().join(",");
    let set = |n: usize| person(&format!(r#""$set":{{{}}}"#, members(n)));
    assert!(judged(Subject::People, &set(2000), true).is_ok());
    let too_many = "record is invalid: must not name more than 2000 properties";
    refused(Subject::People, &set(2001), "", too_many, "properties, too many");
    let both = person(&format!(r#""$set":{{{}}},"$add":{{"q":1}}"#, members(2000)));
    refused(Subject::People, &both, "", too_many, "properties, too many");

    let list = |n: usize| person(&format!(r#""$set":{{"l":[{}]}}"#, vec!["\"0123456789\""; n].join(",")));
    assert!(judged(Subject::People, &list(20_000), true).is_ok());
    let message = "'$set.l' is invalid: must not exceed 262144 bytes";
    refused(Subject::People, &list(21_000), "$set.l", message, "$set.l, too big");

    let many_lists = (0..7).map(|i| format!(r#""l{i}":[{}]"#, vec!["\"0123456789\""; 19_000].join(",")));
    let big = person(&format!(r#""$set":{{{}}}"#, many_lists.collect::<Vec<_>>().join(",")));
    assert!(big.len() > 1 << 20);
    refused(Subject::People, &big, "", "record is invalid: must not exceed 1048576 bytes", "data, record too big");
    // The token stands behind what was dropped: size is what is wrong, not the token.
    let late = format!(r#"{{"$set":{{"x":[{}]}},"$token":"T","$distinct_id":"u"}}"#, vec!["1"; 600_000].join(","));
    refused(Subject::People, &late, "", "record is invalid: must not exceed 1048576 bytes", "data, record too big");

    let deep = person(r#""$set":{"d":[[[[1]]]]}"#);
    let fault = judged(Subject::People, &deep, true).unwrap_err().fault;
    assert_eq!((&*fault.field(), fault), ("$set.d", ProfileFault::TooDeep("$set.d".into())));
    assert_eq!(kept(&deep), r#"{"$set":{"d":[[["[1]"]]]}}"#);
    let long = "é".repeat(300);
    let cut = "é".repeat(255);
    check(&format!(r#""$set":{{"{long}":"{long}"}}"#), &format!(r#""$set":{{"{cut}":"{cut}"}}"#));
}

#[test]
fn rejected_records_name_whom_they_meant() {
    let of = |text: &str| judged(Subject::People, text, true).unwrap_err().id;
    assert_eq!(of(r#"{"$token":"T","$distinct_id":17}"#), "17");
    assert_eq!(of(r#"{"$distinct_id":"u","$set":{}}"#), "u");
    assert_eq!(of("[1]"), "");
}

#[test]
fn broken_text_fails_its_own_record() {
    let text =
        br#"[{"$token":"T","$distinct_id":"u","$set":{"a":"\ud83d"}},{"$token":"T","$distinct_id":"v","$set":{}}]"#;
    let strict = decode(text, Form::Json, Damage::Report).unwrap();
    let judged: Vec<_> = strict.into_iter().map(|item| validate(item, Subject::People, true)).collect();
    let fault = judged[0].clone().unwrap_err().fault;
    assert_eq!((&*fault.field(), &*fault.message()), ("$set", "$set is invalid: string should be valid utf8"));
    assert!(judged[1].is_ok());
    let lenient = decode(text, Form::Json, Damage::Refuse).unwrap();
    assert!(lenient.into_iter().all(|item| validate(item, Subject::People, false).is_ok()));
    assert_eq!(decode(b"\xff", Form::Json, Damage::Refuse), Err(DecodeError::InvalidJson));
}

#[test]
fn requests_are_objects_arrays_or_lines() {
    let count = |text: &str, form| decode(text.as_bytes(), form, Damage::Refuse).map(|items| items.len());
    assert_eq!(count("{}", Form::Json), Ok(1));
    assert_eq!(count("[{},{}]", Form::Json), Ok(2));
    assert_eq!(count("{}\n\n{}\nx", Form::Ndjson), Ok(3));
    assert_eq!(count("[]", Form::Json), Err(DecodeError::Empty));
    assert_eq!(count(&format!("[{}]", vec!["{}"; 2001].join(",")), Form::Json), Err(DecodeError::TooManyRecords));
}
