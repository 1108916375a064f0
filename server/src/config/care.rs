//! `footfall inspect`, `verify` and `backup …`: flags and the sections `[inspect]`, `[verify]` and `[backup]`.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use figment::Figment;
use figment::providers::Serialized;
use footfall_engine::care::Selection;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::args::{DataArgs, EngineArgs, OutputArgs};

#[derive(Debug, Args, Serialize)]
pub struct VerifyArgs {
    /// Also decode every file and check all that it promises: order, event index, statistics, key filter.
    #[arg(long, env = "FOOTFALL_DEEP", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    deep: Option<bool>,
    #[command(flatten)]
    #[serde(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Copy to TARGET what it lacks of the store: everything acknowledged until now, also while a server runs.
    Create {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        engine: EngineArgs,
        #[command(flatten)]
        output: OutputArgs,
        /// Folder, file:///…, gs://bucket/prefix or s3://bucket/prefix; the same one each time.
        target: String,
    },
    /// List the backups in TARGET.
    List {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        output: OutputArgs,
        target: String,
    },
    /// Read every byte of the backups in TARGET. Exit code 1 if one is damaged.
    Verify {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        select: SelectArgs,
        #[command(flatten)]
        output: OutputArgs,
        target: String,
    },
    /// Make an empty place what a backup in FROM says. The store that was backed up is not needed.
    Restore {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        select: SelectArgs,
        /// A new data directory, or file:///…, gs://bucket/prefix or s3://bucket/prefix for a new store.
        #[arg(long, env = "FOOTFALL_TO", value_name = "DIR|URL")]
        to: String,
        #[command(flatten)]
        output: OutputArgs,
        from: String,
    },
}

#[derive(Debug, Args, Serialize)]
pub struct SelectArgs {
    /// Number of the backup, or a time as in 2026-11-28T06:00:00Z: the newest that is not later. [default: the newest]
    #[arg(long, env = "FOOTFALL_AT", value_name = "NUMBER|TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<BackupAt>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectSettings {
    pub json: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifySettings {
    pub deep: bool,
    pub json: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSettings {
    pub at: Option<BackupAt>,
    pub json: bool,
}

/// Which backup: `7`, or the time of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupAt(pub Selection);

impl FromStr for BackupAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse() {
            return Ok(Self(Selection::Number(number)));
        }
        let time = DateTime::parse_from_rfc3339(text);
        let time = time.map_err(|_| format!("{text} is neither a number nor a time as in 2026-11-28T06:00:00Z"))?;
        Ok(Self(Selection::At(time.with_timezone(&Utc))))
    }
}

impl Serialize for BackupAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Selection::Newest => serializer.serialize_str(""),
            Selection::Number(number) => serializer.serialize_str(&number.to_string()),
            Selection::At(time) => serializer.serialize_str(&time.to_rfc3339()),
        }
    }
}

impl<'de> Deserialize<'de> for BackupAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl BackupCommand {
    pub(super) fn data(&self) -> &DataArgs {
        match self {
            Self::Create { data, .. }
            | Self::List { data, .. }
            | Self::Verify { data, .. }
            | Self::Restore { data, .. } => data,
        }
    }

    pub(super) fn merge_into(&self, figment: Figment) -> Figment {
        match self {
            Self::Create { engine, output, .. } => {
                figment.merge(Serialized::globals(engine)).merge(Serialized::global("backup", output))
            }
            Self::List { output, .. } => figment.merge(Serialized::global("backup", output)),
            Self::Verify { select, output, .. } | Self::Restore { select, output, .. } => {
                figment.merge(Serialized::global("backup", select)).merge(Serialized::global("backup", output))
            }
        }
    }
}
