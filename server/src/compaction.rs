//! The steps of `footfall compact`, as a server takes them for the command or the command takes them itself.

use footfall_engine::{Collected, Compacted, Engine, Error};
use footfall_model::ProjectId;
use serde::{Deserialize, Serialize};

/// The reply of `/v1/local/compact`: what one merge has done, and how many files hold the events now.
#[derive(Debug, Serialize, Deserialize)]
pub struct CompactReply {
    pub state: CompactionState,
    /// In microseconds since the epoch: what is to be merged by the steps that follow.
    pub arrived_by: i64,
    pub segments: usize,
    pub files: usize,
    pub rows: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompactionState {
    /// The live rows are in files now; nothing is merged yet.
    Begun,
    Merged,
    /// A flush came between; the next step does it again.
    Overtaken,
    /// Nothing is left to do.
    Nothing,
}

impl CompactReply {
    /// The first step, or with `arrived_by` of its reply one of the next.
    pub async fn step(engine: &Engine, project: ProjectId, arrived_by: Option<i64>) -> Result<Self, Error> {
        let (arrived_by, state, compacted) = match arrived_by {
            None => (engine.begin_compaction(project).await?, CompactionState::Begun, Compacted::Nothing),
            Some(arrived_by) => {
                let compacted = engine.compact(project, arrived_by).await?;
                let state = match compacted {
                    Compacted::Nothing => CompactionState::Nothing,
                    Compacted::Overtaken => CompactionState::Overtaken,
                    Compacted::Merged { .. } => CompactionState::Merged,
                };
                (arrived_by, state, compacted)
            }
        };
        let segments = engine.segment_count(project)?;
        let mut reply = Self { state, arrived_by, segments, files: 0, rows: 0, bytes_read: 0, bytes_written: 0 };
        if let Compacted::Merged { files, rows, bytes_read, bytes_written } = compacted {
            reply = Self { files, rows, bytes_read, bytes_written, ..reply };
        }
        Ok(reply)
    }
}

/// The reply of `/v1/local/collect`: files that were deleted.
#[derive(Debug, Serialize, Deserialize)]
pub struct CollectReply {
    pub removed: usize,
    pub orphaned: usize,
    pub bytes: u64,
    pub failed: usize,
}

impl From<Collected> for CollectReply {
    fn from(collected: Collected) -> Self {
        let Collected { removed, orphaned, bytes, failed } = collected;
        Self { removed, orphaned, bytes, failed }
    }
}
