//! `footfall compact`: as few and as large files as can be, now, and the dead ones deleted.
//!
//! Where a server runs it does the work, one merge a request, so that no request is long and progress can be told.

use footfall_model::ProjectId;
use serde::Serialize;

use super::backend::Backend;
use super::{CommandError, Progress, Quantity, print};
use crate::compaction::{CollectReply, CompactReply, CompactionState};
use crate::config::Settings;
use crate::local::ProjectInfo;

/// What was done to one project.
#[derive(Debug, Default, Serialize)]
struct Report {
    project_id: u32,
    name: String,
    segments_before: usize,
    segments_after: usize,
    files_merged: usize,
    rows_rewritten: u64,
    bytes_read: u64,
    bytes_written: u64,
    dead_files_deleted: usize,
    dead_bytes_deleted: u64,
}

#[derive(Serialize)]
struct Reports {
    projects: Vec<Report>,
}

pub async fn run(settings: &Settings) -> Result<(), CommandError> {
    let wanted = &settings.compact;
    if wanted.project.is_none() && !wanted.all {
        return Err(CommandError::usage("--project or --all is missing"));
    }
    let backend = Backend::open(settings).await?;
    let reports = compact_all(&backend, wanted.project.as_deref()).await;
    let closed = backend.close().await;
    let projects = reports?;
    closed?;
    if wanted.json {
        let json = serde_json::to_string(&Reports { projects });
        return print(&json.map_err(|e| CommandError::failed(e.to_string()))?);
    }
    projects.iter().try_for_each(|report| print(&report.line()))
}

async fn compact_all(backend: &Backend, only: Option<&str>) -> Result<Vec<Report>, CommandError> {
    let mut reports = Vec::new();
    for project in backend.projects().await? {
        let id = project.project_id.to_string();
        if only.is_none_or(|only| only == project.name || only == id) {
            reports.push(compact(backend, project).await?);
        }
    }
    match only {
        Some(name) if reports.is_empty() => Err(CommandError::failed(format!("there is no project {name}"))),
        _ => Ok(reports),
    }
}

async fn compact(backend: &Backend, project: ProjectInfo) -> Result<Report, CommandError> {
    let id = ProjectId(project.project_id);
    let begun = backend.compact(id, None).await?;
    let mut report = Report {
        project_id: project.project_id,
        name: project.name,
        segments_before: begun.segments,
        segments_after: begun.segments,
        ..Report::default()
    };
    let mut progress = Progress::new(&report.name, begun.segments as u64, Quantity::Files);
    loop {
        let step = backend.compact(id, Some(begun.arrived_by)).await?;
        report.segments_after = step.segments;
        match step.state {
            CompactionState::Begun | CompactionState::Nothing => break,
            CompactionState::Overtaken => {}
            CompactionState::Merged => report.add(&step),
        }
        progress.set((report.files_merged as u64).min(begun.segments as u64), "");
    }
    let CollectReply { removed, orphaned, bytes, .. } = backend.collect(id).await?;
    (report.dead_files_deleted, report.dead_bytes_deleted) = (removed + orphaned, bytes);
    progress.finish();
    Ok(report)
}

impl Report {
    fn add(&mut self, step: &CompactReply) {
        self.files_merged += step.files;
        self.rows_rewritten += step.rows;
        self.bytes_read += step.bytes_read;
        self.bytes_written += step.bytes_written;
    }

    fn line(&self) -> String {
        format!(
            "{}: {} segments are now {}; {} rows rewritten, {} bytes read, {} written; {} dead files deleted, {} bytes",
            self.name,
            self.segments_before,
            self.segments_after,
            self.rows_rewritten,
            self.bytes_read,
            self.bytes_written,
            self.dead_files_deleted,
            self.dead_bytes_deleted,
        )
    }
}
