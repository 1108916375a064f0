use footfall_ingest::MergeMode;

use super::*;

fn parse(args: &str) -> Result<Settings, ConfigError> {
    let cli = Cli::try_parse_from(args.split(' '))?;
    settings(&cli.command)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn flags_go_before_the_file_and_the_file_before_defaults() {
    let file = file("http = '127.0.0.1:9000'\nflush_rows = 7\ninsecure = true\n[sql]\nformat = 'csv'\n");
    let path = file.path().display();
    let settings = parse(&format!("footfall serve --config {path} --flush-rows 8")).unwrap();
    assert_eq!(settings.http, "127.0.0.1:9000");
    assert_eq!(settings.flush_rows.get(), 8);
    assert!(settings.insecure);
    assert_eq!(settings.flush_age, Settings::default().flush_age);
    let settings = parse(&format!("footfall serve --config {path} --insecure=false")).unwrap();
    assert!(!settings.insecure);
    assert_eq!(parse(&format!("footfall sql --config {path} Q")).unwrap().sql.format, SqlFormat::Csv);
    assert_eq!(parse(&format!("footfall sql --config {path} --format json Q")).unwrap().sql.format, SqlFormat::Json);
}

#[test]
fn each_command_has_its_flags() {
    let settings = parse("footfall serve --data-dir d --store gs://bucket/x --shards 3 --insecure").unwrap();
    assert_eq!(settings.data_dir, Path::new("d"));
    assert_eq!(settings.store.unwrap().as_str(), "gs://bucket/x");
    assert!(settings.insecure && settings.shards.get() == 3);
    let settings =
        parse("footfall project create p --timezone Europe/Berlin --merge original --json --shards 9").unwrap();
    assert_eq!(settings.project.timezone.0, chrono_tz::Europe::Berlin);
    assert_eq!((settings.project.merge, settings.project.json, settings.shards.get()), (MergeMode::Original, true, 9));
    let settings = parse("footfall import --project p --format mixpanel-export f").unwrap();
    assert_eq!(settings.import.format, Some(ImportFormat::MixpanelExport));
    let settings =
        parse("footfall import --project p --map time=at,event=what --time-unit us --strict --json a.csv s3://b/c -")
            .unwrap();
    assert_eq!(settings.import.map, ["time=at", "event=what"]);
    assert_eq!(settings.import.time_unit, Some(TimeUnit::Microseconds));
    assert!(settings.import.strict && settings.import.json && !settings.import.restart);
    let settings = parse("footfall compact --all --json --compaction-segment-max 7").unwrap();
    assert_eq!((settings.compact.all, settings.compact.json, settings.compaction.segment_max), (true, true, 7));
    assert!(!parse("footfall serve --compaction-enabled=false").unwrap().compaction.enabled);
    assert!(parse("footfall project list --json").unwrap().project.json);
    assert_eq!(parse("footfall demo --users 10").unwrap().demo.users.get(), 10);
}

#[test]
fn unknown_names_are_errors_with_code_2() {
    for (text, culprit) in
        [("htpp = 'x'\n", "htpp"), ("[sql]\nforma = 'csv'\n", "forma"), ("[project]\ntimezone = 'Mars'\n", "Mars")]
    {
        let file = file(text);
        let error = parse(&format!("footfall serve --config {}", file.path().display())).unwrap_err();
        assert!(error.to_string().contains(culprit), "{error}");
        assert_eq!(error.report(), 2);
    }
    for args in [
        "footfall serve --flight x",
        "footfall serv",
        "footfall sql --format x Q",
        "footfall serve --shards 0",
        "footfall import --project p",
    ] {
        assert_eq!(parse(args).unwrap_err().report(), 2, "{args}");
    }
    assert!(matches!(parse("footfall serve --config /none"), Err(ConfigError::NoFile(_))));
}

#[test]
fn help_is_no_failure() {
    assert_eq!(parse("footfall --help").unwrap_err().report(), 0);
}

#[test]
fn misspelt_variables_are_found() {
    let unknown = |names: &[&str]| unknown_variables(names.iter().map(OsString::from));
    let known = ["FOOTFALL_HTTP", "FOOTFALL_CONFIG", "PATH", "FOOTFALL_SERVICE_HOST", "FOOTFALL_PORT_8080_TCP"];
    assert!(unknown(&known).is_empty());
    assert_eq!(unknown(&["FOOTFALL_HTPP"]), ["FOOTFALL_HTPP"]);
}

/// The rule of the command line, checked on every flag there is.
#[test]
fn every_flag_has_a_variable_of_its_name() {
    fn check(command: &clap::Command) {
        for arg in command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) {
            let Some(long) = arg.get_long() else { continue };
            let expect = format!("FOOTFALL_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(expect.as_str()), "--{long}");
        }
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}
