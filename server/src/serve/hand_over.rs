//! A restart in which no request is refused, reset or failed.
//!
//! The program on disk is tried out first; if it does not start, nothing has happened. Then everything that takes time
//! is done while requests are answered as ever: the flush, and waiting for old requests to end. Only then does the
//! listener hold: what is under way is finished, and what comes is queued by the kernel, in the listening socket and in
//! those of idle connections, which all go on to the next program, under the same process id.
//!
//! The flush comes before the hold, and what arrives meanwhile is left to the log. Measured, unoptimised, with 50,000 live
//! rows: to write them out takes 0.92 s and to read them from the log 0.99 s, so neither belongs where somebody waits for
//! it. This way requests wait for 45 ms, and for 42 ms with nothing to flush, which is what a start takes.
//!
//! If the last step fails, the engine is opened again and the sockets are served on.

use std::time::{Duration, SystemTime};

use footfall_engine::DataDirectory;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::behind::Behind;
use super::{Server, flush_within};
use crate::commands::CommandError;
use crate::config::seconds;
use crate::listen::{Acceptor, Mode};
use crate::local::ServerFile;
use crate::phase::{RestartRequest, Stage};

/// How long requests may take that are still under way once nothing is accepted any more. None of them is old, unless
/// old ones did not end within the drain time.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// How long the engine that was closed may take to be gone.
const REOPEN_MAX: Duration = Duration::from_secs(30);

impl Server {
    /// Whether the next program would start, and so the restart is to be; tells whoever asked for it.
    pub(super) async fn agrees(&self, request: RestartRequest) -> bool {
        let checked = tokio::select! {
            checked = self.would_start() => checked,
            () = self.stopped() => Err("the server is stopping".to_owned()),
        };
        if let Err(reason) = &checked {
            tracing::error!(reason, "no restart");
        }
        let agreed = checked.is_ok();
        // They may have gone away since.
        drop(request.send(checked));
        agreed
    }

    async fn would_start(&self) -> Result<(), String> {
        self.front.program.check().await?;
        // It would have to read the tables, which we have in mind.
        let reached = self.state.projects.refresh().await;
        reached.map_err(|_| "the store does not answer, so that the next program could not open its tables".to_owned())
    }

    /// Becomes the next program, and does not return if all goes well. `Ok` is a server that goes on: it was told to stop,
    /// or the program could not be started after all.
    pub(super) async fn hand_over(mut self, file: ServerFile) -> Result<(Self, ServerFile), CommandError> {
        self.front.phase.enter(Stage::Restarting);
        tracing::info!(program = %self.front.program.path().display(), "restarting");
        self.front.acceptor.enter(Mode::Settling);
        let drain_max = seconds(self.settings.drain_timeout);
        let stopped = self.stopped();
        tokio::select! {
            () = self.settle(drain_max) => {}
            () = stopped => return Ok((self, file)),
        }
        let since = now();
        let Self { state, settings, mut front, mut tasks, flushes } = self;
        let sockets = front.acceptor.hand_over(Instant::now() + HOLD_MAX).await;
        let sockets = sockets.map_err(|e| CommandError::failed(format!("the listener failed: {e}")))?;
        front.gate.close();
        tasks.shutdown().await;
        state.intake.save().await;
        state.engine.suspend().await;
        drop(flushes);
        file.keep();
        if front.phase.stage() != Stage::Stopping {
            tracing::info!(held = ?gap_since(since), connections = sockets.connections.len(), "handing over");
            let error = front.program.exec(&sockets, front.activated, since);
            tracing::error!(%error, program = %front.program.path().display(), "cannot become the next program; going on");
        }
        drop(state);
        let directory = DataDirectory::take(&settings.data_dir, REOPEN_MAX).await?;
        let acceptor = Acceptor::start(sockets, front.gate.clone(), front.limits);
        front.acceptor = acceptor.map_err(|e| CommandError::failed(format!("the listener failed: {e}")))?;
        let Behind { state, tasks } = front.open(&settings, directory).await?;
        let file = front.open_gate(&settings, &state)?;
        Ok((Self { state, settings, front, tasks, flushes: JoinSet::new() }, file))
    }

    /// Does while everything is answered what would take long afterwards.
    async fn settle(&mut self, within: Duration) {
        flush_within(&self.state.engine, &mut self.flushes, within).await;
        self.front.acceptor.calm(within).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "it is compared with the clock of another process, once")]
fn now() -> SystemTime {
    SystemTime::now()
}

pub fn gap_since(since: SystemTime) -> Duration {
    now().duration_since(since).unwrap_or_default()
}
