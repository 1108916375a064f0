//! `footfall log dump | salvage`: the log's files, read past whatever is wrong with them.

use footfall_engine::log::{
    Contents, Damage, Finding, Inspected, Located, LogError, Lsn, chain, contents, inspect, log_dir, salvage,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::CommandError;
use super::output::{Reader, print, print_json, write};
use crate::config::{DumpFormat, DumpSettings, LogCommand, Settings};

pub fn run(command: &LogCommand, settings: &Settings) -> Result<(), CommandError> {
    match command {
        LogCommand::Dump { .. } => dump(settings),
        LogCommand::Salvage { .. } => run_salvage(settings),
    }
}

/// Why reading ends before the log does.
enum Stop {
    /// Nobody reads what is printed.
    ReaderGone,
    Failed(CommandError),
}

impl From<CommandError> for Stop {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        Self::Failed(unreadable(&error))
    }
}

fn unreadable(error: &LogError) -> CommandError {
    CommandError::failed(chain(error))
}

fn dump(settings: &Settings) -> Result<(), CommandError> {
    let dir = log_dir(&settings.data_dir);
    let wanted = &settings.log_dump;
    let mut damages = 0;
    let outcome = inspect(&dir, |finding| {
        let line = match finding {
            Finding::Record(found) if !is_wanted(&found, wanted) => return Ok(()),
            Finding::Record(found) => record_line(&found, wanted)?,
            Finding::Damage(damage) => {
                damages += 1;
                damage_line(&damage, wanted.format)?
            }
            Finding::TornTail { file, offset, bytes } => {
                let what = "a group that was not written to its end; a start cuts it off";
                let tail = Tail { torn_tail: Place { file: &name(file), offset, bytes, what } };
                match wanted.format {
                    DumpFormat::Json => json_line(&tail)?,
                    DumpFormat::Text => format!("torn tail file={} offset={offset} bytes={bytes} {what}\n", name(file)),
                }
            }
        };
        match write(line.as_bytes())? {
            Reader::Listening => Ok(()),
            Reader::Gone => Err(Stop::ReaderGone),
        }
    });
    match outcome {
        Err(Stop::ReaderGone) => Ok(()),
        Err(Stop::Failed(error)) => Err(error),
        Ok(_) if damages == 0 => Ok(()),
        Ok(found) => Err(CommandError::failed(format!(
            "the log is damaged: places={damages}, sound records={}, dir={}",
            found.records,
            dir.display()
        ))),
    }
}

fn is_wanted(found: &Located<'_>, wanted: &DumpSettings) -> bool {
    let of_project = wanted.project.is_none_or(|project| project == found.record.project);
    of_project && found.record.lsn >= Lsn(wanted.from)
}

#[derive(Serialize)]
struct RecordLine<'a> {
    lsn: u64,
    epoch: u32,
    project: u32,
    kind: &'static str,
    rows: usize,
    file: &'a str,
    offset: u64,
    bytes: u64,
    /// Lines of JSON as they are in the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Vec<Box<RawValue>>>,
}

#[derive(Serialize)]
struct Place<'a> {
    file: &'a str,
    offset: u64,
    bytes: u64,
    what: &'a str,
}

#[derive(Serialize)]
struct Tail<'a> {
    torn_tail: Place<'a>,
}

#[derive(Serialize)]
struct DamageLine {
    damage: DamageInfo,
}

#[derive(Serialize)]
struct DamageInfo {
    file: String,
    offset: u64,
    bytes: u64,
    /// The first and the last record that should be there.
    lsns: Option<(u64, u64)>,
    what: &'static str,
}

impl From<&Damage> for DamageInfo {
    fn from(damage: &Damage) -> Self {
        let lsns = damage.lsns.as_ref().map(|lsns| (lsns.start, lsns.end.saturating_sub(1)));
        Self { file: name(&damage.file), offset: damage.offset, bytes: damage.bytes, lsns, what: damage.what }
    }
}

impl std::fmt::Display for DamageInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "file={} offset={} bytes={}", self.file, self.offset, self.bytes)?;
        if let Some((first, last)) = self.lsns {
            write!(f, " lsns={first}..={last}")?;
        }
        write!(f, " {}", self.what)
    }
}

fn record_line(found: &Located<'_>, wanted: &DumpSettings) -> Result<String, CommandError> {
    let Contents { kind, rows } = contents(found.record.kind, found.record.payload);
    let (lsn, file) = (found.record.lsn.0, name(found.file));
    let lines = || found.record.payload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    match wanted.format {
        DumpFormat::Json => {
            let raw = |line: &[u8]| match serde_json::from_slice(line) {
                Ok(raw) => Ok(raw),
                // Not ours to understand: shown as text.
                Err(_) => serde_json::value::to_raw_value(&String::from_utf8_lossy(line)),
            };
            let payload = wanted.payload.then(|| lines().map(raw).collect::<Result<_, _>>()).transpose();
            let payload = payload.map_err(|e| CommandError::failed(e.to_string()))?;
            let Located { record, epoch, offset, bytes, .. } = *found;
            json_line(&RecordLine {
                lsn,
                epoch,
                project: record.project,
                kind,
                rows,
                file: &file,
                offset,
                bytes,
                payload,
            })
        }
        DumpFormat::Text => {
            let mut text = format!(
                "lsn={lsn} epoch={} project={} kind={kind} rows={rows} file={file} offset={} bytes={}\n",
                found.epoch, found.record.project, found.offset, found.bytes
            );
            for line in lines().filter(|_| wanted.payload) {
                text.push_str(&String::from_utf8_lossy(line));
                text.push('\n');
            }
            Ok(text)
        }
    }
}

fn damage_line(damage: &Damage, format: DumpFormat) -> Result<String, CommandError> {
    let damage = DamageInfo::from(damage);
    match format {
        DumpFormat::Json => json_line(&DamageLine { damage }),
        DumpFormat::Text => Ok(format!("damage {damage}\n")),
    }
}

fn json_line(value: &impl Serialize) -> Result<String, CommandError> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(|e| CommandError::failed(e.to_string()))
}

/// The segment's name; its folder is always the log's.
fn name(file: &std::path::Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

#[derive(Serialize)]
struct Report {
    to: String,
    records: u64,
    /// The first lsn of the new log and the one it goes on at.
    oldest_lsn: u64,
    next_lsn: u64,
    lost_records: u64,
    torn_tail_bytes: u64,
    skipped: Vec<DamageInfo>,
}

fn run_salvage(settings: &Settings) -> Result<(), CommandError> {
    let wanted = &settings.log_salvage;
    let to = wanted.to.as_deref().ok_or_else(|| CommandError::usage("--to is missing"))?;
    let from = log_dir(&settings.data_dir);
    let salvaged = salvage(&from, to, Lsn(wanted.next_lsn)).map_err(|error| unreadable(&error))?;
    let Inspected { records, oldest_lsn, next_lsn, .. } = salvaged.source;
    let report = Report {
        to: to.display().to_string(),
        records,
        oldest_lsn: oldest_lsn.0,
        next_lsn: next_lsn.0.max(wanted.next_lsn),
        lost_records: salvaged.lost,
        torn_tail_bytes: salvaged.torn_bytes,
        skipped: salvaged.skipped.iter().map(DamageInfo::from).collect(),
    };
    if wanted.json {
        return print_json(&report);
    }
    for skipped in &report.skipped {
        print(&format!("skipped {skipped}"))?;
    }
    print(&format!(
        "{} records copied to {}, {} lost; the log goes on at lsn={}",
        report.records, report.to, report.lost_records, report.next_lsn
    ))
}
