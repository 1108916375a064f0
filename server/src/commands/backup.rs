//! `footfall backup create | list | verify | restore`.
//!
//! A backup is of what is in the tables. Before one is made, everything acknowledged until then is flushed: by the server
//! that runs, or by an engine of our own where the log is. What arrives meanwhile is in the next backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use footfall_engine::care::{self, Copied, Selection};
use footfall_engine::log::log_dir;
use footfall_engine::{Engine, check_directory};
use indicatif::HumanBytes;
use object_store::ObjectStore;
use serde_json::json;

use super::backend::{existing_store, open_projects};
use super::output::{print, print_json};
use super::place::{Place, folder_store};
use super::{CommandError, Progress, Quantity};
use crate::config::{BackupCommand, Settings};
use crate::local::LocalClient;

type Store = Arc<dyn ObjectStore>;

pub async fn run(command: &BackupCommand, settings: &Settings) -> Result<(), CommandError> {
    let selection = settings.backup.at.map(|at| at.0);
    let policy = &settings.store_policy();
    match command {
        BackupCommand::Create { target, .. } => create(target, settings).await,
        BackupCommand::List { target, .. } => list(&Place::of(target)?.to_read(policy).await?, settings).await,
        BackupCommand::Verify { target, .. } => {
            verify(&Place::of(target)?.to_read(policy).await?, selection, settings).await
        }
        BackupCommand::Restore { from, to, .. } => {
            let from = Place::of(from)?.to_read(policy).await?;
            restore(&from, to, selection.unwrap_or(Selection::Newest), settings).await
        }
    }
}

async fn create(target: &str, settings: &Settings) -> Result<(), CommandError> {
    let began = Instant::now();
    let source = existing_store(settings).await?;
    let place = Place::of(target)?;
    if place.is_within(&configured(settings)?) {
        let why = "each backup would hold those before it";
        return Err(CommandError::usage(format!("{target} is within the store that is backed up: {why}")));
    }
    let target = &place.to_write(&settings.store_policy()).await?;
    flush(settings).await?;
    let mut progress = Shown::new("backing up");
    let created = care::back_up(&source, target, &mut |copied| progress.set(copied)).await;
    progress.finish();
    let created = created?;
    let (backup, took) = (created.backup, began.elapsed());
    if settings.backup.json {
        return print_json(
            &json!({"backup": backup, "new_objects": created.new_objects, "seconds": took.as_secs_f64()}),
        );
    }
    print(&format!(
        "backup {}: {} objects, {} bytes ({}); copied {} objects, {} bytes, {} in {}",
        backup.number,
        backup.objects,
        backup.bytes,
        HumanBytes(backup.bytes),
        created.new_objects,
        backup.new_bytes,
        rate(backup.new_bytes, took),
        shown(took),
    ))
}

/// Where the store is that is backed up.
fn configured(settings: &Settings) -> Result<Place, CommandError> {
    match &settings.store {
        Some(url) => Place::of(url.as_str()),
        None => Ok(Place::Folder(settings.data_dir.join("store"))),
    }
}

/// Everything acknowledged before is in the tables afterwards.
async fn flush(settings: &Settings) -> Result<(), CommandError> {
    if let Some(server) = LocalClient::connect(&settings.data_dir).await {
        return server.flush().await;
    }
    // A store without its log, as from another machine: only who has the log can flush.
    if !log_dir(&settings.data_dir).is_dir() {
        return Ok(());
    }
    let engine = Engine::open(settings.engine_options()).await?;
    open_projects(settings, Some(engine.clone())).await?;
    Ok(engine.close().await?)
}

async fn list(target: &Store, settings: &Settings) -> Result<(), CommandError> {
    let backups = care::backups(target).await?;
    if settings.backup.json {
        return print_json(&backups);
    }
    for b in backups {
        let (number, at) = (b.number, b.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        print(&format!("{number:>6}  {at}  {} objects, {} bytes, {} of them new", b.objects, b.bytes, b.new_bytes))?;
    }
    Ok(())
}

async fn verify(target: &Store, selection: Option<Selection>, settings: &Settings) -> Result<(), CommandError> {
    let began = Instant::now();
    let mut progress = Shown::new("reading");
    let verified = care::verify_backups(target, selection, &mut |copied| progress.set(copied)).await;
    progress.finish();
    let verified = verified?;
    let took = began.elapsed();
    if settings.backup.json {
        print_json(
            &json!({"sound": verified.damages.is_empty(), "seconds": took.as_secs_f64(), "verified": verified}),
        )?;
    } else {
        for damage in &verified.damages {
            print(&format!("damaged  {}: {}", damage.path, damage.what))?;
        }
        let (backups, objects, bytes) = (verified.backups, verified.objects, verified.bytes);
        print(&format!("{backups} backups, {objects} objects, {bytes} bytes read in {}", shown(took)))?;
    }
    match verified.damages.len() {
        0 => Ok(()),
        count => Err(CommandError::failed(format!("the backup is damaged: objects={count}"))),
    }
}

async fn restore(from: &Store, to: &str, selection: Selection, settings: &Settings) -> Result<(), CommandError> {
    let began = Instant::now();
    let to_store = match Place::of(to)? {
        Place::Folder(dir) if !to.starts_with("file://") => data_directory(&dir, settings)?,
        place => place.to_write(&settings.store_policy()).await?,
    };
    let mut progress = Shown::new("restoring");
    let restored = care::restore(from, &to_store, selection, &mut |copied| progress.set(copied)).await;
    progress.finish();
    let backup = restored?.backup;
    let took = began.elapsed();
    if settings.backup.json {
        return print_json(&json!({"backup": backup, "seconds": took.as_secs_f64()}));
    }
    print(&format!(
        "restored backup {} of {}: {} objects, {} bytes, {} in {}",
        backup.number,
        backup.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        backup.objects,
        backup.bytes,
        rate(backup.bytes, took),
        shown(took),
    ))
}

/// The store of a data directory that nobody has used yet. A log there would speak of other tables.
fn data_directory(dir: &Path, settings: &Settings) -> Result<Store, CommandError> {
    check_directory(dir).map_err(footfall_engine::Error::from)?;
    let log: PathBuf = log_dir(dir);
    if log.read_dir().is_ok_and(|mut files| files.next().is_some()) {
        return Err(CommandError::failed(format!("{} is not empty: it has a log", dir.display())));
    }
    folder_store(&dir.join("store"), &settings.store_policy())
}

/// The progress of a copy, shown once its length is known.
struct Shown {
    label: &'static str,
    progress: Option<Progress>,
}

impl Shown {
    fn new(label: &'static str) -> Self {
        Self { label, progress: None }
    }

    fn set(&mut self, copied: Copied) {
        let progress = self.progress.get_or_insert_with(|| Progress::new(self.label, copied.total, Quantity::Bytes));
        progress.set(copied.done, "");
    }

    fn finish(self) {
        if let Some(progress) = self.progress {
            progress.finish();
        }
    }
}

fn shown(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

fn rate(bytes: u64, took: Duration) -> String {
    format!("{}/s", HumanBytes((bytes as f64 / took.as_secs_f64().max(1e-3)) as u64))
}
