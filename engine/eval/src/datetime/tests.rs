use super::*;

const NEW_YORK: Tz = Tz::America__New_York;

/// A date string read as a literal in a zone, written back in UTC.
fn check(text: &str, zone: Option<Tz>, expect: Option<&str>) {
    let found = parse_datetime(text, zone).and_then(|seconds| datetime_to_text(seconds, Tz::UTC));
    assert_eq!(found.as_deref(), expect, "{text:?} {zone:?}");
}

#[test]
fn shapes() {
    check("2024-01-02", None, Some("2024-01-02T00:00:00"));
    check("2024-01-02 03:04:05", None, Some("2024-01-02T03:04:05"));
    check("2024-01-02T03:04:05.123456789012Z", None, Some("2024-01-02T03:04:05"));
    check("2024-01-02T03:04:05-0330", None, Some("2024-01-02T06:34:05"));
    check("2024-01-02T03:04:05+02:00", Some(NEW_YORK), Some("2024-01-02T01:04:05"));
    check("0001-01-01", None, Some("0001-01-01T00:00:00"));
    check("2024-02-29", None, Some("2024-02-29T00:00:00"));
    for bad in [
        "",
        " 2024-01-02",
        "2024-01-02 ",
        "2024-1-2",
        "24-01-02",
        "2024-02-30",
        "2023-02-29",
        "2024-13-01",
        "2024-01-02T",
        "2024-01-02T03:04",
        "2024-01-02T3:04:05",
        "2024-01-02T24:00:00",
        "2024-01-02T03:04:60",
        "2024-01-02T03:04:05.",
        "2024-01-02Z",
        "2024-01-02T03:04:05z",
        "2024-01-02t03:04:05",
        "2024-01-02T03:04:05+2",
        "2024-01-02T03:04:05+24:00",
        "2024-01-02T03:04:05+02:60",
        "2024-01-02T03:04:05Zx",
        "2024/01/02",
        "２024-01-02",
        "+2024-01-02",
    ] {
        check(bad, None, None);
    }
}

#[test]
fn a_literal_is_local_and_data_is_utc() {
    check("2024-01-01", Some(NEW_YORK), Some("2024-01-01T05:00:00"));
    check("2024-07-01", Some(NEW_YORK), Some("2024-07-01T04:00:00"));
    check("2024-07-01", None, Some("2024-07-01T00:00:00"));
}

#[test]
fn the_offset_before_a_change_holds() {
    // Missing: 02:30 on the day clocks go from 02:00 to 03:00.
    check("2024-03-10T02:30:00", Some(NEW_YORK), Some("2024-03-10T07:30:00"));
    check("2024-03-10T02:00:00", Some(NEW_YORK), Some("2024-03-10T07:00:00"));
    check("2024-03-10T03:00:00", Some(NEW_YORK), Some("2024-03-10T07:00:00"));
    // Twice: 01:30 on the day clocks go from 02:00 to 01:00.
    check("2024-11-03T01:30:00", Some(NEW_YORK), Some("2024-11-03T05:30:00"));
    // A day that never was, and a half-hour change.
    check("2011-12-30T12:00:00", Some(Tz::Pacific__Apia), Some("2011-12-30T22:00:00"));
    check("2024-10-06T02:15:00", Some(Tz::Australia__Lord_Howe), Some("2024-10-05T15:45:00"));
}

#[test]
fn today_starts_at_local_midnight() {
    let check = |now: &str, zone: Tz, expect: &str| {
        let start = today(parse_datetime(now, None).unwrap(), zone).and_then(|start| datetime_to_text(start, Tz::UTC));
        assert_eq!(start.as_deref(), Some(expect), "{now} {zone}");
    };
    check("2024-01-01T04:59:59", NEW_YORK, "2023-12-31T05:00:00");
    check("2024-01-01T05:00:00", NEW_YORK, "2024-01-01T05:00:00");
    // São Paulo skipped from 00:00 to 01:00.
    check("2018-11-04T12:00:00", Tz::America__Sao_Paulo, "2018-11-04T03:00:00");
}

#[test]
fn calendar_fields_are_local() {
    let check = |field: CalendarField, zone: Tz, expect: f64| {
        let seconds = parse_datetime("2025-01-01T03:04:05Z", None).unwrap();
        assert_eq!(calendar_field(field, seconds, zone), Some(expect), "{field:?} {zone}");
    };
    check(CalendarField::Year, Tz::UTC, 2025.0);
    check(CalendarField::Year, NEW_YORK, 2024.0);
    check(CalendarField::Month, NEW_YORK, 12.0);
    check(CalendarField::Day, NEW_YORK, 31.0);
    check(CalendarField::Hour, NEW_YORK, 22.0);
    check(CalendarField::Minute, NEW_YORK, 4.0);
    check(CalendarField::Second, NEW_YORK, 5.0);
    check(CalendarField::Week, NEW_YORK, 1.0);
}

#[test]
fn differences() {
    let check = |from: &str, to: &str, unit: &str, expect: Option<i64>| {
        let (from_at, to_at) = (parse_datetime(from, None).unwrap(), parse_datetime(to, None).unwrap());
        let found = date_difference(from_at, to_at, DateUnit::from_name(unit).unwrap(), Tz::UTC);
        assert_eq!(found, expect, "{from} {to} {unit}");
    };
    check("2024-01-15", "2024-03-14", "M", Some(1));
    check("2024-01-15", "2024-03-14", "MD", Some(28));
    check("2024-01-31", "2024-02-29", "M", Some(1));
    check("2024-01-31", "2024-03-01", "MD", Some(1));
    check("2000-02-29", "2024-02-28", "Y", Some(23));
    check("2000-02-29", "2023-02-28", "Y", Some(23));
    check("2000-02-29", "2024-02-28", "YM", Some(11));
    check("2000-02-29", "2024-02-28", "yd", Some(365));
    check("2024-01-01T23:59:59", "2024-01-02T00:00:00", "D", Some(1));
    check("2024-01-01T10:00:00", "2024-01-01T08:00:00", "D", Some(0));
    check("2024-01-02", "2024-01-01", "D", None);
    check("0001-01-01", "9999-12-31", "Y", Some(9998));
    assert_eq!(DateUnit::from_name("W"), None);
}

#[test]
fn absurd_instants_have_no_calendar() {
    for seconds in [i64::MIN, i64::MAX, 1 << 60, -(1 << 60)] {
        assert_eq!(datetime_to_text(seconds, NEW_YORK), None);
        assert_eq!(calendar_field(CalendarField::Year, seconds, NEW_YORK), None);
        assert_eq!(today(seconds, NEW_YORK), None);
    }
}
