//! Bounds of live views: the `[live]` section and its flags.

use clap::Args;
use footfall_engine::LiveOptions;
use serde::{Deserialize, Serialize};

const MIB: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveSettings {
    pub kept_rows: usize,
    /// MiB.
    pub kept_memory: usize,
    /// MiB.
    pub kept_memory_total: usize,
    pub viewers: usize,
    pub viewers_total: usize,
}

impl Default for LiveSettings {
    fn default() -> Self {
        let engine = LiveOptions::default();
        Self {
            kept_rows: engine.kept_rows,
            kept_memory: engine.kept_bytes / MIB,
            kept_memory_total: engine.kept_bytes_total / MIB,
            viewers: engine.viewers,
            viewers_total: engine.viewers_total,
        }
    }
}

impl LiveSettings {
    pub fn options(&self) -> LiveOptions {
        LiveOptions {
            kept_rows: self.kept_rows,
            kept_bytes: self.kept_memory.saturating_mul(MIB),
            kept_bytes_total: self.kept_memory_total.saturating_mul(MIB),
            viewers: self.viewers,
            viewers_total: self.viewers_total,
        }
    }
}

#[derive(Debug, Args, Serialize)]
pub struct LiveArgs {
    /// Flushed events of a project kept in memory for live views that are behind or come back. [default: 65536]
    #[arg(long = "live-kept-rows", env = "FOOTFALL_LIVE_KEPT_ROWS", value_name = "ROWS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_rows: Option<usize>,
    /// Memory that these may take in a project. [default: 32]
    #[arg(long = "live-kept-memory", env = "FOOTFALL_LIVE_KEPT_MEMORY", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_memory: Option<usize>,
    /// Memory that these may take in all projects together. [default: 256]
    #[arg(long = "live-kept-memory-total", env = "FOOTFALL_LIVE_KEPT_MEMORY_TOTAL", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_memory_total: Option<usize>,
    /// Live views of one project at once. [default: 32]
    #[arg(long = "live-viewers", env = "FOOTFALL_LIVE_VIEWERS", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    viewers: Option<usize>,
    /// Live views of all projects at once. [default: 256]
    #[arg(long = "live-viewers-total", env = "FOOTFALL_LIVE_VIEWERS_TOTAL", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    viewers_total: Option<usize>,
}
