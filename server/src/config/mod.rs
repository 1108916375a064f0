//! What a run of `footfall` is told to do: command line over environment over file over defaults.
//!
//! A flag `--data-dir` is the environment variable `FOOTFALL_DATA_DIR` and the key `data_dir` of the TOML file given by
//! `--config`. What belongs to one command only has a table of its own there: `[import] format = "ndjson"`. Names that
//! mean nothing are errors in all three, so that a typing mistake never runs with a default. Read once, at start.

mod args;
mod cache_args;
mod care;
mod compaction;
mod ingest;
mod listen_args;
mod live;
mod log;
mod settings;
mod view;

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, Parser};
use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};

pub use args::{Cli, Command, ProjectCommand};
pub use care::{BackupCommand, BackupSettings, InspectSettings, VerifySettings};
pub use ingest::IngestSettings;
pub use log::{DumpFormat, DumpSettings, LogCommand, SalvageSettings};
pub use settings::{ImportFormat, ImportSettings, Settings, SqlFormat, TimeUnit, seconds};
pub use view::ViewCommand;

/// Set by a server for its successor, never by a person: when it stopped answering, in Unix milliseconds.
pub const HANDED_OVER_AT: &str = "FOOTFALL_HANDED_OVER_AT";
/// Prefix of the environment variables that belong to us.
const ENV_PREFIX: &str = "FOOTFALL_";

/// The request was understood neither here nor by clap; exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Help and version arrive this way too; clap knows the text and the exit code.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    #[error("configuration file {0} does not exist")]
    NoFile(String),
    #[error("{}", setting_message(.0))]
    Setting(Box<figment::Error>),
}

/// A command and the settings it runs with.
#[derive(Debug)]
pub struct Invocation {
    pub command: Command,
    pub settings: Settings,
}

/// Reads the command line `args` (program name first) and everything it refers to.
pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, ConfigError> {
    for name in unknown_variables(std::env::vars_os().map(|(name, _)| name)) {
        eprintln!("warning: no setting reads the environment variable {name}");
    }
    let cli = Cli::try_parse_from(args)?;
    let settings = settings(&cli.command)?;
    Ok(Invocation { command: cli.command, settings })
}

fn settings(command: &Command) -> Result<Settings, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Settings::default()));
    if let Some(file) = command.config_file() {
        if !Path::new(file).is_file() {
            return Err(ConfigError::NoFile(file.display().to_string()));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    command.merge_into(figment).extract().map_err(|e| ConfigError::Setting(Box::new(e)))
}

/// Variables with our prefix that no flag names: probably misspelt, so worth a word; but an environment is shared with
/// scripts that have variables of their own, so not worth a refusal. Those that Kubernetes sets for a service called
/// `footfall` are nobody's mistake.
fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let mut known = Vec::new();
    collect_variables(&Cli::command(), &mut known);
    let ours = names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with(ENV_PREFIX));
    ours.filter(|name| {
        let of_kubernetes = name.starts_with("FOOTFALL_SERVICE_") || name.starts_with("FOOTFALL_PORT");
        !of_kubernetes && name.as_str() != HANDED_OVER_AT && !known.iter().any(|k| k == name.as_str())
    })
    .collect()
}

/// What is wrong with which key; figment's own text also names places in our source.
fn setting_message(error: &figment::Error) -> String {
    let file = error.metadata.as_ref().and_then(|m| m.source.as_ref()).and_then(|source| source.file_path());
    let file = file.map_or(String::new(), |path| format!(" in {}", path.display()));
    match error.path.as_slice() {
        [] => format!("{}{file}", error.kind),
        path => format!("{}: {}{file}", path.join("."), error.kind),
    }
}

fn collect_variables(command: &clap::Command, known: &mut Vec<OsString>) {
    known.extend(command.get_arguments().filter_map(|arg| arg.get_env()).map(OsString::from));
    for sub in command.get_subcommands() {
        collect_variables(sub, known);
    }
}

impl ConfigError {
    /// Prints what is wrong (or the help that was asked for) and answers the exit code.
    pub fn report(&self) -> u8 {
        match self {
            Self::Arguments(e) => {
                // Nobody is left to tell when the terminal is gone.
                drop(e.print());
                u8::try_from(e.exit_code()).unwrap_or(2)
            }
            other => {
                eprintln!("error: {other}");
                2
            }
        }
    }
}

#[cfg(test)]
mod tests;
