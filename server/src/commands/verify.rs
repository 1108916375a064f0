//! `footfall verify`: everything stored, read and checked. It changes nothing and may run beside a server.
//!
//! Three checks: the store by itself; the log by itself, and that it goes on where the tables end; and, for a sample of
//! days, that what queries answer is what a plain reader counts in the files.

use std::path::PathBuf;
use std::sync::Arc;

use footfall_engine::care::{self, Depth, Orphan, StoreDamage, Verification};
use footfall_engine::log::{Finding, LogError, inspect, log_dir};
use footfall_engine::{CachePolicy, Engine, EngineOptions, Ownership, Recount};
use footfall_model::ProjectId;
use futures::TryStreamExt;
use object_store::ObjectStore;
use serde::Serialize;

use super::backend::{existing_store, open_projects};
use super::output::{print, print_json};
use super::{CommandError, Progress, Quantity};
use crate::config::Settings;
use crate::projects::random_hex;

/// Days of a project that are counted twice.
const DAYS_SAMPLED: usize = 4;
const DAYS_SAMPLED_DEEP: usize = 32;

#[derive(Debug, Serialize)]
struct Report {
    sound: bool,
    projects: usize,
    tables: u64,
    commits: u64,
    files: u64,
    bytes: u64,
    log_records: u64,
    /// Days of which the events were counted twice.
    days_counted: u64,
    events_counted: u64,
    damages: Vec<StoreDamage>,
    orphans: Vec<Orphan>,
}

pub async fn run(settings: &Settings) -> Result<(), CommandError> {
    let store = existing_store(settings).await?;
    let depth = if settings.verify.deep { Depth::Contents } else { Depth::Checksums };
    let checked = check_store(&store, depth).await?;
    let Verification { projects, tables, commits, files, bytes, damages, orphans } = checked;
    let mut report = Report {
        sound: false,
        projects: projects.len(),
        tables,
        commits,
        files,
        bytes,
        log_records: 0,
        days_counted: 0,
        events_counted: 0,
        damages,
        orphans,
    };
    let flushed: Vec<_> = projects.iter().map(|p| (p.project, p.transactions.as_slice())).collect();
    report.check_log(settings, &flushed)?;
    let readable: Vec<ProjectId> = projects.iter().filter(|p| p.readable && p.events > 0).map(|p| p.project).collect();
    if !readable.is_empty() {
        let recounting = Recounting::begin();
        report.recount(&recounting, settings, &readable).await?;
    }
    report.sound = report.damages.is_empty();
    report.show(settings)
}

async fn check_store(store: &Arc<dyn ObjectStore>, depth: Depth) -> Result<Verification, CommandError> {
    let unreachable = |e: object_store::Error| CommandError::failed(format!("cannot list the store: {e}"));
    let total = store.list(None).try_fold(0, async |sum, object| Ok(sum + object.size)).await.map_err(unreachable)?;
    let mut progress = Progress::new("checking", total, Quantity::Bytes);
    let checked = care::verify(store, depth, &mut |checked| progress.set(checked.bytes, checked.table)).await;
    progress.finish();
    Ok(checked?)
}

impl Report {
    /// The log's own checksums and numbers, and that it does not end before what the tables hold.
    fn check_log(
        &mut self,
        settings: &Settings,
        flushed: &[(ProjectId, &[(String, i64)])],
    ) -> Result<(), CommandError> {
        let dir = log_dir(&settings.data_dir);
        if !dir.is_dir() {
            return Ok(());
        }
        let damages = &mut self.damages;
        let found = inspect(&dir, |finding| {
            if let Finding::Damage(damage) = finding {
                let what = format!("{} at {}, {} bytes", damage.what, damage.offset, damage.bytes);
                damages.push(StoreDamage { path: damage.file.display().to_string(), what });
            }
            Ok::<(), LogError>(())
        });
        let found = found.map_err(|e| CommandError::failed(footfall_engine::log::chain(&e)))?;
        self.log_records = found.records;
        let Some(node) = found.node else { return Ok(()) };
        let app_id = format!("footfall-log-{node}");
        for (project, transactions) in flushed {
            let at = transactions.iter().find(|(app, _)| *app == app_id).map(|(_, at)| at.unsigned_abs());
            if let Some(at) = at.filter(|at| *at >= found.next_lsn.0) {
                let what = format!(
                    "the log goes on at lsn={}, the tables of project {project} hold records up to lsn={at}",
                    found.next_lsn
                );
                self.damages.push(StoreDamage { path: dir.display().to_string(), what });
            }
        }
        Ok(())
    }

    async fn recount(
        &mut self,
        recounting: &Recounting,
        settings: &Settings,
        projects: &[ProjectId],
    ) -> Result<(), CommandError> {
        let days = if settings.verify.deep { DAYS_SAMPLED_DEEP } else { DAYS_SAMPLED };
        let counted = recounting.count(settings, projects, days).await;
        recounting.end();
        for (project, day) in counted? {
            self.days_counted += 1;
            self.events_counted += day.counted.values().sum::<u64>();
            if day.counted != day.queried {
                let names = day.counted.keys().chain(day.queried.keys());
                let differing = names.filter(|name| day.counted.get(*name) != day.queried.get(*name)).min();
                let name = differing.map_or("", String::as_str);
                let (counted, queried) = (day.counted.get(name).unwrap_or(&0), day.queried.get(name).unwrap_or(&0));
                let what =
                    format!("{counted} events {name:?} on day {} in the files, queries answer {queried}", day.day);
                self.damages.push(StoreDamage { path: format!("{project}/events"), what });
            }
        }
        Ok(())
    }

    fn show(&self, settings: &Settings) -> Result<(), CommandError> {
        if settings.verify.json {
            print_json(self)?;
        } else {
            for damage in &self.damages {
                print(&format!("damaged  {}: {}", damage.path, damage.what))?;
            }
            for orphan in &self.orphans {
                print(&format!("orphan   {}, {} bytes, of {}", orphan.path, orphan.bytes, orphan.modified))?;
            }
            print(&format!(
                "{} projects, {} tables, {} commits, {} files, {} bytes read; {} records in the log; {} events of {} days counted twice; {} orphans",
                self.projects,
                self.tables,
                self.commits,
                self.files,
                self.bytes,
                self.log_records,
                self.events_counted,
                self.days_counted,
                self.orphans.len()
            ))?;
        }
        match self.damages.len() {
            0 if settings.verify.json => Ok(()),
            0 => print("everything is sound"),
            count => Err(CommandError::failed(format!("damage was found: places={count}"))),
        }
    }
}

/// An engine of our own on the tables, with an empty log beside them: it sees what is in segments and writes nothing.
struct Recounting {
    dir: PathBuf,
}

impl Recounting {
    fn begin() -> Self {
        Self { dir: std::env::temp_dir().join(format!("footfall-verify-{}", random_hex(8))) }
    }

    async fn count(
        &self,
        settings: &Settings,
        projects: &[ProjectId],
        days: usize,
    ) -> Result<Vec<(ProjectId, Recount)>, CommandError> {
        let failed = |what: &str| CommandError::failed(what.to_owned());
        let store = match &settings.store {
            Some(url) => url.clone(),
            None => {
                let folder = std::path::absolute(settings.data_dir.join("store"));
                let folder = folder.map_err(|e| CommandError::failed(format!("no data directory: {e}")))?;
                url::Url::from_directory_path(folder)
                    .map_err(|()| failed("the data directory is no path of a folder"))?
            }
        };
        let options = EngineOptions {
            data_dir: self.dir.clone(),
            store: Some(store),
            ownership: Ownership::Guest,
            cache: CachePolicy { disk_bytes: Some(0), heal_from: None, ..settings.engine_options().cache },
            ..settings.engine_options()
        };
        let registered = open_projects(settings, None).await?.list().await?;
        let engine = Engine::open(options).await?;
        let mut counted = Vec::new();
        for project in registered.iter().filter(|project| projects.contains(&project.id)) {
            engine.attach(project.config()).await?;
            let days = engine.recount(project.id, days).await?;
            counted.extend(days.into_iter().map(|day| (project.id, day)));
        }
        // Not closed, which would write.
        engine.suspend().await;
        Ok(counted)
    }

    fn end(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "a folder for counting stays behind");
        }
    }
}
