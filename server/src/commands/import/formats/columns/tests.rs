use super::*;

fn settings(map: &[&str]) -> ImportSettings {
    ImportSettings { map: map.iter().map(|pair| (*pair).to_owned()).collect(), ..ImportSettings::default() }
}

fn resolve(names: &[&str], map: &[&str]) -> Result<(Columns, Vec<String>), String> {
    let mapping = Mapping::new(&settings(map)).unwrap();
    let mut notes = Vec::new();
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Columns::resolve(names, &mapping, &mut notes).map(|columns| (columns, notes))
}

/// (roles by column name, properties)
fn check(names: &[&str], map: &[&str], roles: &[(Role, &str)], properties: &[&str]) {
    let (columns, _) = resolve(names, map).unwrap();
    let name = |column: &usize| columns.names[*column].as_str();
    let found: Vec<_> = columns.roles.iter().map(|(role, column)| (*role, name(column))).collect();
    assert_eq!(found, roles, "{names:?} {map:?}");
    assert_eq!(columns.properties.iter().map(name).collect::<Vec<_>>(), properties, "{names:?} {map:?}");
}

#[test]
fn usual_names_need_no_mapping() {
    use Role::{DeviceId, DistinctId, Event, InsertId, Properties, Time, UserId};
    check(
        &["event", "distinct_id", "time", "insert_id", "plan"],
        &[],
        &[(Event, "event"), (DistinctId, "distinct_id"), (Time, "time"), (InsertId, "insert_id")],
        &["plan"],
    );
    check(
        &["EVENT", "User_Id", "timestamp", "$insert_id"],
        &[],
        &[
            (Event, "EVENT"),
            (UserId, "User_Id"),
            (Time, "timestamp"),
            (InsertId, "$insert_id"),
            (DistinctId, "User_Id"),
        ],
        &[],
    );
    check(&["event", "properties"], &[], &[(Event, "event"), (Properties, "properties")], &[]);
    check(
        &["event", "time", "timestamp", "device_id"],
        &[],
        &[(Event, "event"), (DeviceId, "device_id"), (Time, "time")],
        &["timestamp"],
    );
}

#[test]
fn a_mapping_goes_before_usual_names() {
    use Role::{DistinctId, Event, Time};
    check(
        &["what", "who", "at", "event", "Time"],
        &["event=what", "distinct_id=who", "time=at"],
        &[(Event, "what"), (DistinctId, "who"), (Time, "at")],
        &["event", "Time"],
    );
    // As a property it would be taken for the time.
    let (columns, notes) = resolve(&["event", "at", "time", "user_id"], &["time=at"]).unwrap();
    assert!(columns.properties.is_empty());
    assert!(notes[0].contains("column time is left out"), "{notes:?}");
    check(&["event", "time", "x"], &["distinct_id="], &[(Event, "event"), (Time, "time")], &["x"]);
    check(
        &["event", "time", "user_id"],
        &["user_id=", "distinct_id="],
        &[(Event, "event"), (Time, "time")],
        &["user_id"],
    );
}

#[test]
fn what_cannot_be_loaded_says_what_to_do() {
    let error = |names: &[&str], map: &[&str]| resolve(names, map).unwrap_err();
    assert!(error(&["a", "time", "user_id"], &[]).contains("--map event=COLUMN, or --event NAME"));
    assert!(error(&["event", "b", "user_id"], &[]).contains("--map time=COLUMN"));
    assert!(error(&["event", "time", "c"], &[]).contains("--map distinct_id=COLUMN"));
    assert!(error(&["event", "time"], &["time=zeit"]).contains("has no column \"zeit\"; its columns are event, time"));
    assert!(error(&["event", "time", "x", "x"], &[]).contains("two columns that are called \"x\""));
    let (_, notes) = resolve(&["", "event", "time", "user_id"], &[]).unwrap();
    assert_eq!(notes, ["column 1 has no name and is left out"]);
}

#[test]
fn mappings_that_mean_nothing_are_refused() {
    let usage = |map: &[&str]| Mapping::new(&settings(map)).unwrap_err().to_string();
    assert!(usage(&["evnt=x"]).contains("TARGET is one of event, distinct_id, user_id"));
    assert!(usage(&["event"]).contains("TARGET=COLUMN"));
    assert!(usage(&["time=a", "time=b"]).contains("two columns for time"));
    let event = Some("Login".to_owned());
    let both = Mapping::new(&ImportSettings { event: event.clone(), ..settings(&["event=x"]) });
    assert!(both.unwrap_err().to_string().contains("give one"));
    let mapping = Mapping::new(&ImportSettings { event, ..settings(&[]) }).unwrap();
    assert!(!mapping.is_empty());
    let names = ["time", "user_id"].map(str::to_owned).to_vec();
    assert!(Columns::resolve(names, &mapping, &mut Vec::new()).is_ok());
}
