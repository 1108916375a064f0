//! Settings of the log, and `footfall log …`: flags and the sections `[log_dump]` and `[log_salvage]`.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand, ValueEnum};
use figment::Figment;
use figment::providers::Serialized;
use serde::{Deserialize, Serialize};

use super::args::{DataArgs, OutputArgs};

#[derive(Debug, Args, Serialize)]
pub struct LogArgs {
    /// Never delete a part of the log, so that everything can be made anew from a copy of it.
    #[arg(long, env = "FOOTFALL_KEEP_LOG", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_log: Option<bool>,
    /// What the log may hold that is not in the tables yet; past it events are refused with 503. [default: 8192]
    #[arg(long, env = "FOOTFALL_LOG_BUDGET", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_budget: Option<u64>,
    /// Space that stays free on the log's disk, for flushing; past it events are refused with 503. [default: 256, or a
    /// twentieth of a smaller disk]
    #[arg(long, env = "FOOTFALL_LOG_MIN_FREE", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_min_free: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print a line for each record of the log, also of one that is damaged or in use. Exit code 1 if it is damaged.
    Dump {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        dump: DumpArgs,
    },
    /// Copy every sound record to a new log, and report what was left out. The source is not changed.
    Salvage {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        salvage: SalvageArgs,
    },
}

#[derive(Debug, Args, Serialize)]
pub struct DumpArgs {
    /// Form of the lines on standard output. [default: text]
    #[arg(long, env = "FOOTFALL_FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<DumpFormat>,
    /// Leave out the records before this one.
    #[arg(long, env = "FOOTFALL_FROM", value_name = "LSN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    /// Only records of this project.
    #[arg(long, env = "FOOTFALL_PROJECT", value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<u32>,
    /// Also what the records hold, as lines of JSON.
    #[arg(long, env = "FOOTFALL_PAYLOAD", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<bool>,
}

#[derive(Debug, Args, Serialize)]
pub struct SalvageArgs {
    /// Folder of the new log; must be empty or missing.
    #[arg(long, env = "FOOTFALL_TO", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<PathBuf>,
    /// Let the new log go on at this number or later: past what the tables hold, if the end of the log is lost.
    #[arg(long, env = "FOOTFALL_NEXT_LSN", value_name = "LSN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    next_lsn: Option<u64>,
    #[command(flatten)]
    #[serde(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpSettings {
    pub format: DumpFormat,
    pub from: u64,
    pub project: Option<u32>,
    pub payload: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SalvageSettings {
    pub to: Option<PathBuf>,
    pub next_lsn: u64,
    pub json: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DumpFormat {
    #[default]
    Text,
    /// One object a line.
    Json,
}

impl LogCommand {
    pub(super) fn data(&self) -> &DataArgs {
        match self {
            Self::Dump { data, .. } | Self::Salvage { data, .. } => data,
        }
    }

    pub(super) fn merge_into(&self, figment: Figment) -> Figment {
        match self {
            Self::Dump { dump, .. } => figment.merge(Serialized::global("log_dump", dump)),
            Self::Salvage { salvage, .. } => figment.merge(Serialized::global("log_salvage", salvage)),
        }
    }
}
