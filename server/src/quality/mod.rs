//! Data quality of each project: what came in, what was refused and mended, how clocks ran. Answers `GET /v1/quality`.
//!
//! Counts live in memory and are written to `{data_dir}/quality/{project}.json` every 15 seconds and at a clean stop,
//! each file whole and in one step. A crash loses the counts of that interval at most, never an event: these are
//! statistics about data that is elsewhere, and nothing waits for them.

mod observed;
mod record;
mod report;
mod saved;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use footfall_model::ProjectId;
use parking_lot::Mutex;

pub use observed::{Observed, Refused};
pub use record::{DAYS_MAX, Record};
pub use report::report;

use crate::ledger::Settled;

/// How much a crash may lose.
const SAVE_INTERVAL: Duration = Duration::from_secs(15);

/// The records of all projects.
#[derive(Debug)]
pub struct Quality {
    folder: PathBuf,
    projects: Mutex<HashMap<ProjectId, Entry>>,
    /// One writer at a time, so that an older state never replaces a newer one.
    saving: Mutex<()>,
}

#[derive(Debug, Default)]
struct Entry {
    record: Record,
    /// Not yet on disk.
    changed: bool,
}

impl Quality {
    /// Reads what the last run wrote. A file that cannot be read counts as empty, and is left alone until its project
    /// has something new to tell.
    pub fn open(data_dir: &Path) -> Self {
        let folder = data_dir.join("quality");
        let found = saved::read_all(&folder);
        let projects = found.into_iter().map(|(id, record)| (id, Entry { record, changed: false })).collect();
        Self { folder, projects: Mutex::new(projects), saving: Mutex::new(()) }
    }

    /// Adds what a request showed of a project and what became of its records.
    pub fn add(&self, project: ProjectId, now_ms: i64, route: &'static str, observed: Observed, settled: &Settled) {
        self.change(project, |record| record.add(now_ms, route, observed, settled));
    }

    /// Adds a request of which no record could be read.
    pub fn add_refused_request(&self, project: ProjectId, now_ms: i64, route: &'static str, reason: &'static str) {
        self.change(project, |record| record.add_refused_request(now_ms, route, reason));
    }

    /// What is known of a project, as of now.
    pub fn record(&self, project: ProjectId, now_ms: i64) -> Record {
        let mut record = self.projects.lock().get(&project).map(|entry| entry.record.clone()).unwrap_or_default();
        record.forget(now_ms);
        record
    }

    /// Writes what has changed. Blocks on the disk.
    pub fn save(&self) {
        let _one_at_a_time = self.saving.lock();
        let changed: Vec<_> = {
            let mut projects = self.projects.lock();
            let changed = projects.iter_mut().filter(|(_, entry)| entry.changed);
            let taken = changed.map(|(id, entry)| {
                entry.changed = false;
                (*id, entry.record.clone())
            });
            taken.collect()
        };
        for (project, record) in changed {
            if let Err(error) = saved::write(&self.folder, project, &record) {
                tracing::warn!(%project, %error, "data quality could not be saved; it is tried again");
                if let Some(entry) = self.projects.lock().get_mut(&project) {
                    entry.changed = true;
                }
            }
        }
    }

    /// Saves again and again, for as long as it is polled.
    pub async fn keep_saved(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SAVE_INTERVAL);
        loop {
            ticks.tick().await;
            let quality = self.clone();
            // A panic has been written by the hook, and the next tick tries again.
            drop(tokio::task::spawn_blocking(move || quality.save()).await);
        }
    }

    fn change(&self, project: ProjectId, change: impl FnOnce(&mut Record)) {
        let mut projects = self.projects.lock();
        let entry = projects.entry(project).or_default();
        change(&mut entry.record);
        entry.changed = true;
    }
}
