//! What happens to files in the background, and when `footfall compact` asks for it: sections `[compaction]` and `[compact]`.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use footfall_engine::{CompactionOptions, CompactionPolicy, Grace};
use serde::{Deserialize, Serialize};

use super::args::OutputArgs;
use super::settings::seconds;

const MIB: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompactionSettings {
    pub enabled: bool,
    /// Seconds.
    pub quiet: u64,
    /// MiB.
    pub segment_max: u64,
    /// Percent of one core.
    pub share: u8,
    /// Seconds.
    pub keep_dead: u64,
    /// Seconds.
    pub collect_every: u64,
}

impl Default for CompactionSettings {
    fn default() -> Self {
        let engine = CompactionOptions::default();
        Self {
            enabled: engine.enabled,
            quiet: engine.policy.quiet.as_secs(),
            segment_max: engine.policy.bytes_max / MIB,
            share: engine.percent,
            keep_dead: engine.grace.removed.as_secs(),
            collect_every: engine.collect_every.as_secs(),
        }
    }
}

impl CompactionSettings {
    pub fn options(&self) -> CompactionOptions {
        let keep = seconds(self.keep_dead);
        let policy = CompactionOptions::default().policy;
        CompactionOptions {
            enabled: self.enabled,
            policy: CompactionPolicy {
                quiet: seconds(self.quiet),
                bytes_max: self.segment_max.max(1).saturating_mul(MIB),
                ..policy
            },
            percent: self.share,
            grace: Grace { removed: keep, orphaned: keep },
            collect_every: seconds(self.collect_every).max(Duration::from_secs(1)),
        }
    }
}

#[derive(Debug, Args, Serialize)]
pub struct CompactionArgs {
    /// Merge small files in the background. [default: true]
    #[arg(long = "compaction-enabled", env = "FOOTFALL_COMPACTION_ENABLED", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    /// How long no event of a day arrives until its files become one; more in proportion where that rewrites much for a
    /// little. [default: 60]
    #[arg(long = "compaction-quiet", env = "FOOTFALL_COMPACTION_QUIET", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet: Option<u64>,
    /// Largest file that is made of smaller ones. [default: 128]
    #[arg(long = "compaction-segment-max", env = "FOOTFALL_COMPACTION_SEGMENT_MAX", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_max: Option<u64>,
    /// Share of one core that merging takes. [default: 50]
    #[arg(long = "compaction-share", env = "FOOTFALL_COMPACTION_SHARE", value_name = "PERCENT")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<u8>,
    /// How long files that nothing refers to any more are kept, for readers in other programs. [default: 86400]
    #[arg(long = "compaction-keep-dead", env = "FOOTFALL_COMPACTION_KEEP_DEAD", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_dead: Option<u64>,
    /// How often such files are looked for. [default: 21600]
    #[arg(long = "compaction-collect-every", env = "FOOTFALL_COMPACTION_COLLECT_EVERY", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    collect_every: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompactSettings {
    pub project: Option<String>,
    pub all: bool,
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct CompactArgs {
    /// Name or id of the project.
    #[arg(long, env = "FOOTFALL_PROJECT", value_name = "NAME", conflicts_with = "all")]
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// All projects, one after the other.
    #[arg(long, env = "FOOTFALL_ALL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    all: Option<bool>,
    #[command(flatten)]
    #[serde(flatten)]
    output: OutputArgs,
}
