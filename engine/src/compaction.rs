//! The task that merges small files and deletes dead ones, one piece of work at a time for the whole process.
//!
//! It makes way: for flushes, since what waits for a flush is memory and log, but only for so long, since under a load
//! that never ends files become ever more; and, by its pace, for whoever needs the cores. A project that fails rests and
//! holds up no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Utc;
use footfall_model::ProjectId;
use footfall_storage::StorageError;
use footfall_storage::compaction::{CompactionMode, CompactionPolicy, Grace, Pace};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::{Collected, Compacted, Engine, Error, Project};

/// How often it looks for work when there is none.
const TICK: Duration = Duration::from_millis(250);
/// Time alone makes a merge due when a day becomes quiet: how often a project is asked whose files are the same.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(30);
/// A flush is always urgent where events come as fast as they are taken: longer than this nothing waits for that.
const MAKES_WAY_MAX: Duration = Duration::from_secs(2);
/// Pause of a project after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Settings of the background work on files: plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionOptions {
    /// Whether it happens without being asked for.
    pub enabled: bool,
    pub policy: CompactionPolicy,
    /// Percent of one core.
    pub percent: u8,
    /// How long dead files are kept.
    pub grace: Grace,
    /// How often they are looked for.
    pub collect_every: Duration,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            enabled: true,
            policy: CompactionPolicy { quiet: Duration::from_secs(60), bytes_max: 128 << 20, rows_max: 8 << 20 },
            percent: 50,
            grace: Grace { removed: day, orphaned: day },
            collect_every: Duration::from_secs(6 * 3_600),
        }
    }
}

/// What all compactions of a process share.
#[derive(Default)]
pub(crate) struct Compactor {
    /// One piece of work at a time.
    one: tokio::sync::Mutex<()>,
    pub stop: Arc<AtomicBool>,
}

/// When a project is worth a look.
#[derive(Default)]
struct Agenda {
    projects: HashMap<ProjectId, Look>,
    /// Since when work has been waiting for flushes.
    makes_way_since: Option<Instant>,
}

struct Look {
    /// The files that were looked at last.
    version: u64,
    again: Instant,
    collect: Instant,
    rests: bool,
}

impl Engine {
    pub(crate) fn spawn_compaction(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        if !self.options.compaction.enabled {
            return None;
        }
        let engine = Arc::downgrade(self);
        Some(self.nice().spawn(async move {
            let mut agenda = Agenda::default();
            loop {
                let Some(engine) = engine.upgrade() else { return };
                if engine.closing.load(Ordering::Acquire) {
                    return;
                }
                let is_busy = engine.work_on_files(&mut agenda).await;
                drop(engine);
                if !is_busy {
                    tokio::time::sleep(TICK).await;
                }
            }
        }))
    }

    /// One piece of work for each project that has some, as long as nothing more urgent waits; whether there was any.
    async fn work_on_files(&self, agenda: &mut Agenda) -> bool {
        let projects: Vec<_> = self.projects.read().values().cloned().collect();
        // Then each project has its turn, so that none is always the one that is not reached.
        let waits_no_longer = agenda.makes_way_since.is_some_and(|since| since.elapsed() >= MAKES_WAY_MAX);
        let mut worked = false;
        for project in projects {
            if self.closing.load(Ordering::Acquire) || self.log.stall().is_some() {
                return false;
            }
            if self.is_flush_urgent() && !waits_no_longer {
                agenda.makes_way_since.get_or_insert_with(Instant::now);
                return false;
            }
            let options = &self.options.compaction;
            let now = Instant::now();
            let look = agenda.of(&project, now, options.collect_every);
            let id = project.store.id();
            if look.is_due(&project, now) {
                let version = project.store.segments_version();
                let done = self.step(&project, CompactionMode::Due, options.percent).await;
                let (again, rests) = match done {
                    Ok(Compacted::Nothing) => (options.policy.quiet.min(LOOK_AGAIN_MAX).max(TICK), false),
                    Ok(_) => (Duration::ZERO, false),
                    Err(error) => {
                        if self.closing.load(Ordering::Acquire) {
                            return false;
                        }
                        tracing::warn!(project = %id, %error, "files could not be merged; it is tried again");
                        (PAUSE_AFTER_FAILURE, true)
                    }
                };
                worked |= again.is_zero();
                (look.version, look.again, look.rests) = (version, Instant::now() + again, rests);
            }
            if look.collect <= now {
                look.collect = Instant::now() + options.collect_every;
                if let Err(error) = self.collect_of(&project).await {
                    tracing::warn!(project = %id, %error, "dead files could not be looked for");
                }
            }
        }
        agenda.makes_way_since = None;
        worked
    }

    fn is_flush_urgent(&self) -> bool {
        self.projects.read().values().any(|project| self.has_grown(project))
    }

    /// One merge of files of the project that is worth it when cost does not count, of rows that had arrived by a time in
    /// microseconds since the epoch. Repeated until it answers [`Compacted::Nothing`], it leaves as few files as can be.
    pub async fn compact(&self, project: ProjectId, arrived_by: i64) -> Result<Compacted, Error> {
        self.check_open()?;
        let project = self.project(project)?;
        self.step(&project, CompactionMode::Full { arrived_by }, 100).await
    }

    /// Writes a project's live rows to its tables; answers the time that is to be compacted up to.
    pub async fn begin_compaction(&self, project: ProjectId) -> Result<i64, Error> {
        self.check_open()?;
        let project = self.project(project)?;
        let now = Utc::now().timestamp_micros();
        project.store.flush().await?;
        Ok(now.max(project.store.last_received_at()))
    }

    /// Deletes the project's dead files now.
    pub async fn collect(&self, project: ProjectId) -> Result<Collected, Error> {
        self.check_open()?;
        let project = self.project(project)?;
        self.collect_of(&project).await
    }

    /// Files that hold a project's events.
    pub fn segment_count(&self, project: ProjectId) -> Result<usize, Error> {
        Ok(self.project(project)?.store.segment_count())
    }

    async fn step(&self, project: &Project, mode: CompactionMode, percent: u8) -> Result<Compacted, Error> {
        let _one_at_a_time = self.compactor.one.lock().await;
        let began = Instant::now();
        let pace = Pace::new(percent, self.compactor.stop.clone());
        let compacted = project.store.compact(self.options.compaction.policy, mode, pace).await;
        count(&compacted, began.elapsed());
        Ok(compacted?)
    }

    async fn collect_of(&self, project: &Project) -> Result<Collected, Error> {
        let _one_at_a_time = self.compactor.one.lock().await;
        let collected = project.store.collect(self.options.compaction.grace).await?;
        let deleted = |why| metrics::counter!("footfall_compaction_dead_files_deleted_total", "why" => why);
        deleted("removed").increment(collected.removed as u64);
        deleted("orphaned").increment(collected.orphaned as u64);
        metrics::counter!("footfall_compaction_dead_bytes_deleted_total").increment(collected.bytes);
        if collected.removed + collected.orphaned > 0 {
            tracing::info!(project = %project.store.id(), ?collected, "dead files deleted");
        }
        Ok(collected)
    }
}

fn count(compacted: &Result<Compacted, StorageError>, took: Duration) {
    let merges = |outcome| metrics::counter!("footfall_compaction_merges_total", "outcome" => outcome).increment(1);
    match compacted {
        Ok(Compacted::Nothing) | Err(StorageError::Closed) => {}
        Ok(Compacted::Merged { files, rows, bytes_read, bytes_written }) => {
            merges("merged");
            metrics::histogram!("footfall_compaction_seconds").record(took.as_secs_f64());
            metrics::counter!("footfall_compaction_files_merged_total").increment(*files as u64);
            metrics::counter!("footfall_compaction_rows_rewritten_total").increment(*rows);
            metrics::counter!("footfall_compaction_bytes_read_total").increment(*bytes_read);
            metrics::counter!("footfall_compaction_bytes_written_total").increment(*bytes_written);
        }
        Ok(Compacted::Overtaken) => merges("overtaken"),
        Err(_) => merges("failed"),
    }
}

impl Agenda {
    fn of(&mut self, project: &Project, now: Instant, collect_every: Duration) -> &mut Look {
        let new = || Look { version: u64::MAX, again: now, collect: now + collect_every, rests: false };
        self.projects.entry(project.store.id()).or_insert_with(new)
    }
}

impl Look {
    fn is_due(&self, project: &Project, now: Instant) -> bool {
        self.again <= now || (!self.rests && project.store.segments_version() != self.version)
    }
}
