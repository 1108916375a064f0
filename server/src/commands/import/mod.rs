//! `footfall import`: history into a project, oldest day first, once however often it is broken off.
//!
//! ```text
//! sources ─ formats: chunks ─ judge: events ─▶ spill, by day         first pass  (reading)
//!                                               spill ─▶ project     second pass (loading)
//! ```
//!
//! Records are parsed and judged once, in the first pass, whatever the order in which files have them; the second pass
//! finds each day's events together. Both can be killed at any point: the journal knows how far reading has got, and the
//! project itself how far loading has, because each batch is numbered and applied at most once. A run that goes on
//! therefore ends with the same events, and the same rejected copies, as one that was never broken off.
//!
//! The same command over the same sources is the same import: its folder is named by a hash of both. A record that
//! brings no `$insert_id` gets one made of its file, its place in it and its text, so that even a new import over old
//! files (`--restart`) finds every event there already.

mod formats;
mod journal;
mod judge;
mod loading;
mod reading;
mod sources;
mod spill;
mod summary;
mod tally;

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;

use footfall_engine::failpoint;
use footfall_model::ProjectId;
use indicatif::HumanBytes;
use xxhash_rust::xxh3::xxh3_64;

use super::CommandError;
use super::backend::{Backend, ProjectHandle};
use crate::config::Settings;
use crate::projects::random_hex;
use formats::Mapping;
use journal::{Begun, Checkpoint, Entry, History, Journal, JournalError, VERSION};
use loading::Loading;
use reading::Reading;
use sources::{Received, STANDARD_INPUT_COPY, Source};
use spill::Plan;
use summary::{State, Summary};

const STANDARD_INPUT: &str = "-";
const IMPORTS: &str = "imports";

pub async fn run(arguments: &[PathBuf], settings: &Settings) -> Result<(), CommandError> {
    let name = settings.import.project.as_deref().ok_or_else(|| CommandError::usage("--project is missing"))?;
    let mapping = Mapping::new(&settings.import)?;
    let paths: Vec<PathBuf> = arguments.iter().filter(|path| path.as_os_str() != STANDARD_INPUT).cloned().collect();
    let dashes = arguments.len() - paths.len();
    if dashes > 1 {
        return Err(CommandError::usage("standard input (-) can be read once only"));
    }
    let (mut sources, left_out) = sources::find(&paths, settings).await?;
    if left_out > 0 {
        eprintln!("{left_out} files are left out because their names begin with a dot or an underscore");
    }
    let backend = Arc::new(Backend::open(settings).await?);
    let result = async {
        let project = backend.project(name).await?;
        let imports = settings.data_dir.join(IMPORTS);
        let received = match dashes {
            0 => None,
            _ => Some(receive(imports.clone()).await?),
        };
        let key = key(project.id, &paths, received.as_ref(), settings);
        let import = Import { backend: backend.clone(), project, mapping, settings, folder: imports.join(key) };
        let _lock = import.lock()?;
        if let Some(received) = received {
            sources.push(received.settle(&import.folder)?);
        }
        import.run(sources).await
    };
    let result = result.await;
    let closed = backend.close().await;
    let summary = result?;
    closed?;
    summary.print(settings.import.json)
}

async fn receive(imports: PathBuf) -> Result<Received, CommandError> {
    let received = tokio::task::spawn_blocking(move || sources::receive(&imports)).await;
    received.map_err(|_| CommandError::failed("reading standard input stopped unexpectedly"))?
}

/// Names an import: by its project, what it reads and how.
fn key(project: ProjectId, paths: &[PathBuf], received: Option<&Received>, settings: &Settings) -> String {
    let mut identity = Vec::new();
    for path in paths {
        // The same file, wherever the command is run. What is no path of this machine stays as it is.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        identity.push(path.display().to_string());
    }
    identity.extend(received.map(|received| format!("{:032x}", received.content)));
    let import = &settings.import;
    identity.push(format!("{:?} {:?} {:?} {:?}", import.format, import.map, import.time_unit, import.event));
    format!("{project}-{:016x}", xxh3_64(identity.join("\0").as_bytes()))
}

struct Import<'a> {
    backend: Arc<Backend>,
    project: ProjectHandle,
    mapping: Mapping,
    settings: &'a Settings,
    folder: PathBuf,
}

impl Import<'_> {
    /// Held while a process works on this import.
    fn lock(&self) -> Result<File, CommandError> {
        fs::create_dir_all(&self.folder).map_err(|e| self.unusable(&e))?;
        let lock = File::create(self.folder.join("lock")).map_err(|e| self.unusable(&e))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(CommandError::failed("this import is running already")),
            Err(TryLockError::Error(e)) => Err(self.unusable(&e)),
        }
    }

    async fn run(&self, sources: Vec<Source>) -> Result<Summary, CommandError> {
        let opened = if self.settings.import.restart { None } else { Journal::open(&self.folder).map_err(failed)? };
        let (mut journal, mut history) = match opened {
            Some((journal, history)) => {
                self.check_unchanged(&sources, &history)?;
                if let Some((loaded, days)) = history.finished {
                    self.clear(Keep::Journal)?;
                    let tally = history.checkpoint.tally;
                    return Ok(self.summary(State::FinishedBefore, tally, loaded, days, sources.len()));
                }
                (journal, history)
            }
            None => self.begin(&sources)?,
        };
        if !history.checkpoint.complete {
            self.state_needs(&sources);
            let checkpoint = std::mem::take(&mut history.checkpoint);
            (journal, history.checkpoint) = self.read(&sources, checkpoint, &history, journal).await?;
            if let Some(failure) = self.refuse_if_strict(&history.checkpoint)? {
                return Ok(failure);
            }
            // What the journal holds now is what every later run will plan from.
            drop(journal);
            let read_again = Journal::open(&self.folder).map_err(failed)?;
            (journal, history) = read_again.ok_or_else(|| CommandError::failed("the journal is gone"))?;
        } else if let Some(failure) = self.refuse_if_strict(&history.checkpoint)? {
            return Ok(failure);
        }
        let plan = Plan::new(history.blocks.iter().copied());
        let days = plan.days;
        let backend = self.backend.clone();
        let loaded = Loading::run(backend, self.project.id, plan, &self.folder, journal, &history).await;
        let loaded = loaded
            .map_err(|e| CommandError::failed(format!("{e}; what was stored stays, and the same command goes on")))?;
        pass("import::finish")?;
        self.conclude(&history, Entry::Finished { loaded, days })?;
        Ok(self.summary(State::Finished, history.checkpoint.tally, loaded, days, sources.len()))
    }

    /// A folder with nothing in it but a journal that says what is to be read.
    fn begin(&self, sources: &[Source]) -> Result<(Journal, History), CommandError> {
        self.clear(Keep::StandardInput)?;
        let begun = Begun {
            version: VERSION,
            import: random_hex(8),
            project: self.project.id,
            at: chrono::Utc::now().timestamp_millis(),
            sources: sources.iter().map(|source| source.stamp.clone()).collect(),
        };
        let mut journal = Journal::create(&self.folder).map_err(failed)?;
        journal.append(&Entry::Begun(begun.clone())).map_err(failed)?;
        Ok((journal, History { begun: Some(begun), ..History::default() }))
    }

    fn check_unchanged(&self, sources: &[Source], history: &History) -> Result<(), CommandError> {
        let Some(begun) = &history.begun else { return Ok(()) };
        let mut changes = Vec::new();
        for stamp in &begun.sources {
            match sources.iter().find(|source| source.stamp.address == stamp.address) {
                None => changes.push(format!("{} is gone", stamp.address)),
                Some(source) if source.stamp != *stamp => changes.push(format!("{} has changed", stamp.address)),
                Some(_) => {}
            }
        }
        let known = |source: &&Source| begun.sources.iter().any(|stamp| stamp.address == source.stamp.address);
        changes
            .extend(sources.iter().filter(|source| !known(source)).map(|new| format!("{} is new", new.stamp.address)));
        if changes.is_empty() {
            return Ok(());
        }
        const NAMED_MAX: usize = 3;
        let named = changes.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        let more = changes.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let when = if history.finished.is_some() { "finished" } else { "began" };
        Err(CommandError::failed(format!(
            "{named}{more}, since this import {when}. --restart reads everything anew; events that are there already are \
             recognised by their insert ids"
        )))
    }

    fn state_needs(&self, sources: &[Source]) {
        // Packed events take about a third of plain JSON, and up to twice what is compressed already.
        let needed: u64 = sources.iter().map(|source| needed(&source.stamp)).sum();
        let free = rustix::fs::statvfs(&self.folder).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        let bytes: u64 = sources.iter().map(|source| source.stamp.bytes).sum();
        eprintln!(
            "{} files, {}; while the import runs it needs about {} in {} ({} are free)",
            sources.len(),
            HumanBytes(bytes),
            HumanBytes(needed),
            self.folder.display(),
            HumanBytes(free),
        );
        if free < needed {
            eprintln!("warning: the disk may become full");
        }
    }

    async fn read(
        &self,
        sources: &[Source],
        from: Checkpoint,
        history: &History,
        mut journal: Journal,
    ) -> Result<(Journal, Checkpoint), CommandError> {
        let (sources, mapping, folder) = (sources.to_vec(), self.mapping.clone(), self.folder.clone());
        let (format, merge, strict) = (self.settings.import.format, self.project.merge, self.settings.import.strict);
        let begun_ms = history.begun.as_ref().map_or(0, |begun| begun.at);
        let runtime = tokio::runtime::Handle::current();
        let reading = tokio::task::spawn_blocking(move || {
            let reading = Reading {
                sources: &sources,
                format,
                mapping: &mapping,
                merge,
                begun_ms,
                strict,
                folder: &folder,
                runtime,
            };
            reading.run(from, &mut journal).map(|checkpoint| (journal, checkpoint))
        });
        reading.await.map_err(|_| CommandError::failed("reading stopped unexpectedly"))?
    }

    /// With `--strict` one bad record is enough: nothing has been loaded yet, and nothing will be.
    fn refuse_if_strict(&self, checkpoint: &Checkpoint) -> Result<Option<Summary>, CommandError> {
        if !self.settings.import.strict || checkpoint.tally.rejected() == 0 {
            return Ok(None);
        }
        self.clear(Keep::Nothing)?;
        let tally = checkpoint.tally.clone();
        Ok(Some(self.summary(State::Refused, tally, tally::Loaded::default(), None, 0)))
    }

    /// Leaves a short journal, by which the same import is recognised, and nothing else.
    fn conclude(&self, history: &History, finished: Entry) -> Result<(), CommandError> {
        let begun = history.begun.clone().map(Entry::Begun);
        let entries: Vec<Entry> =
            begun.into_iter().chain([Entry::Read(history.checkpoint.clone()), finished]).collect();
        Journal::replace(&self.folder, &entries).map_err(failed)?;
        self.clear(Keep::Journal)
    }

    /// Removes what the folder holds.
    fn clear(&self, keep: Keep) -> Result<(), CommandError> {
        for entry in fs::read_dir(&self.folder).map_err(|e| self.unusable(&e))? {
            let path = entry.map_err(|e| self.unusable(&e))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let kept = match keep {
                Keep::Nothing => false,
                Keep::Journal => name == journal::FILE,
                Keep::StandardInput => name == STANDARD_INPUT_COPY,
            };
            if !kept && name != "lock" {
                fs::remove_file(&path).map_err(|e| self.unusable(&e))?;
            }
        }
        Ok(())
    }

    fn unusable(&self, error: &std::io::Error) -> CommandError {
        CommandError::failed(format!("cannot use the folder {}: {error}", self.folder.display()))
    }

    fn summary(
        &self,
        state: State,
        tally: tally::Tally,
        loaded: tally::Loaded,
        days: Option<(i32, i32)>,
        files: usize,
    ) -> Summary {
        Summary { state, project: self.project.id, files, tally, loaded, days }
    }
}

/// What stays in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Nothing,
    Journal,
    /// It has just been copied there.
    StandardInput,
}

/// Disk space for a source's packed events.
fn needed(stamp: &sources::Stamp) -> u64 {
    let packed = [".gz", ".zst", ".zstd", ".parquet", ".pq"].iter().any(|suffix| stamp.address.ends_with(suffix));
    if packed { stamp.bytes * 2 } else { stamp.bytes / 3 }
}

fn pass(failpoint: &'static str) -> Result<(), CommandError> {
    failpoint::hit(failpoint).map_err(|e| CommandError::failed(e.to_string()))
}

fn failed(error: JournalError) -> CommandError {
    CommandError::failed(error.to_string())
}
