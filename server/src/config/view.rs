//! `footfall view …`: flags and the section `[view]`.

use clap::{Args, Subcommand};
use figment::Figment;
use figment::providers::Serialized;
use serde::{Deserialize, Serialize};

use super::args::{DataArgs, EngineArgs, OutputArgs};

#[derive(Debug, Subcommand)]
pub enum ViewCommand {
    /// Keep a statement's result by shard and day; read it in SQL as the table view_NAME.
    Create {
        #[command(flatten)]
        options: ViewOptions,
        /// The statement over events, such as 'SELECT CAST(time AS DATE) AS day, count(*) AS n FROM events GROUP BY 1'.
        #[arg(long, env = "FOOTFALL_SQL", value_name = "STATEMENT")]
        sql: String,
        name: String,
    },
    /// List the views of a project.
    List {
        #[command(flatten)]
        options: ViewOptions,
    },
    /// Compute what has changed since the last time, late events of any age included. Readings need no refresh; they are
    /// faster after one.
    Refresh {
        #[command(flatten)]
        options: ViewOptions,
        name: String,
    },
    /// Forget a view and all that was kept of it.
    Drop {
        #[command(flatten)]
        options: ViewOptions,
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct ViewOptions {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    view: ViewArgs,
}

#[derive(Debug, Args, Serialize)]
pub struct ViewArgs {
    /// Name or id of the project.
    #[arg(long, env = "FOOTFALL_PROJECT", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewSettings {
    pub project: Option<String>,
    pub json: bool,
}

impl ViewCommand {
    fn options(&self) -> &ViewOptions {
        match self {
            Self::Create { options, .. }
            | Self::List { options }
            | Self::Refresh { options, .. }
            | Self::Drop { options, .. } => options,
        }
    }

    pub(super) fn data(&self) -> &DataArgs {
        &self.options().data
    }

    pub(super) fn merge_into(&self, figment: Figment) -> Figment {
        let options = self.options();
        figment.merge(Serialized::globals(&options.engine)).merge(Serialized::global("view", &options.view))
    }
}
