//! What the process is told by signals: SIGTERM and SIGINT to stop, SIGUSR2 to make way for its successor.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::commands::CommandError;
use crate::phase::{Phase, Stage};

/// Heeds signals from now on. The first one to stop is passed on to `phase`, the second ends the process.
pub fn watch(tasks: &mut JoinSet<()>, phase: &Phase) -> Result<(), CommandError> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut restart = listen(SignalKind::user_defined2())?;
    let stopping = phase.clone();
    tasks.spawn(async move {
        let mut next = async || {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        next().await;
        tracing::info!("stopping");
        stopping.enter(Stage::Stopping);
        next().await;
        tracing::warn!("stopping at once");
        std::process::exit(1);
    });
    let phase = phase.clone();
    tasks.spawn(async move {
        while restart.recv().await.is_some() {
            if let Err(reason) = phase.restart().await {
                tracing::error!(reason, "no restart");
            }
        }
    });
    Ok(())
}

fn listen(kind: SignalKind) -> Result<Signal, CommandError> {
    signal(kind).map_err(|e| CommandError::failed(format!("cannot listen to signals: {e}")))
}
