//! Footfall's server and command line: protocols in, calls to the [engine](footfall_engine) out.
//!
//! Wire forms, status codes, credentials and configuration live here and nowhere else; what a number means lives below.

pub mod admission;
pub mod auth;
pub mod commands;
mod compaction;
pub mod config;
pub mod demo;
pub mod encode;
pub mod health;
pub mod http;
pub mod intake;
pub mod ledger;
pub mod listen;
pub mod local;
mod packed;
pub mod phase;
pub mod projects;
pub mod quality;
mod restart;
pub mod serve;
mod server_file;
mod signals;
pub mod state;
mod tables_note;
mod telemetry;

use std::ffi::OsString;
use std::process::ExitCode;

use commands::CommandError;
use config::{Command, Invocation};
use listen::Inherited;
use telemetry::Voice;

/// Runs the command that `args` (program name first) ask for. Exit codes: 0 done, 1 failed, 2 usage.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let invocation = match config::read(args) {
        Ok(invocation) => invocation,
        Err(error) => return ExitCode::from(error.report()),
    };
    let voice = match &invocation.command {
        Command::Serve { .. } | Command::Demo { .. } => Voice::Server,
        Command::Restart { .. }
        | Command::Project(_)
        | Command::Import { .. }
        | Command::Compact { .. }
        | Command::Sql { .. }
        | Command::View(_)
        | Command::Inspect { .. }
        | Command::Verify { .. }
        | Command::Backup(_)
        | Command::Log(_) => Voice::Command,
    };
    if invocation.command.is_check() {
        return ExitCode::SUCCESS;
    }
    // First of all, while there is one thread: it changes the environment.
    let inherited = Inherited::from_env();
    telemetry::start_logging(invocation.settings.log.as_deref(), voice);
    // Two TLS libraries in one process must agree on their cryptography; a second call finds it done.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(async_threads()).enable_all().build()
    {
        Ok(runtime) => runtime,
        Err(e) => return CommandError::failed(format!("cannot start the runtime: {e}")).report(),
    };
    match runtime.block_on(execute(invocation, inherited)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// More than cores: computing on requests is bounded by turns of its own (`admission`), one per core for short and for long
/// work. The threads beyond those are there to serve sockets meanwhile.
fn async_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
    2 * cores + 2
}

async fn execute(invocation: Invocation, inherited: Inherited) -> Result<(), CommandError> {
    let Invocation { command, settings } = invocation;
    let settings = tables_note::recall(settings)?;
    match command {
        Command::Serve { .. } => serve::serve(&settings, inherited).await,
        Command::Demo { .. } => demo::demo(&settings, inherited).await,
        Command::Restart { .. } => commands::restart::run(&settings).await,
        Command::Project(command) => commands::project::run(command, &settings).await,
        Command::Import { sources, .. } => commands::import::run(&sources, &settings).await,
        Command::Compact { .. } => commands::compact::run(&settings).await,
        Command::Sql { query, .. } => commands::sql::run(&query, &settings).await,
        Command::View(command) => commands::view::run(command, &settings).await,
        Command::Inspect { file, .. } => commands::inspect::run(&file, &settings).await,
        Command::Verify { .. } => commands::verify::run(&settings).await,
        Command::Backup(command) => commands::backup::run(&command, &settings).await,
        Command::Log(command) => commands::log::run(&command, &settings),
    }
}
