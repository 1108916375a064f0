//! `footfall restart`: the running server makes way for the program as it is on disk now.

use std::time::{Duration, Instant};

use super::{CommandError, print};
use crate::config::{Settings, seconds};
use crate::local::{LocalClient, ServerRecord};

/// Beyond the time that requests may take to finish: for reading the log.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at what the server leaves in its directory.
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub async fn run(settings: &Settings) -> Result<(), CommandError> {
    let none = || CommandError::failed(format!("no server runs on {}", settings.data_dir.display()));
    let before = ServerRecord::read(&settings.data_dir).ok_or_else(none)?;
    let server = LocalClient::connect(&settings.data_dir).await.ok_or_else(none)?;
    let began = Instant::now();
    server.restart().await?;
    let successor = async {
        loop {
            if let Some(record) = ServerRecord::read(&settings.data_dir).filter(|record| record.start != before.start) {
                return record;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let patience = PATIENCE + seconds(settings.drain_timeout);
    let successor = tokio::time::timeout(patience, successor).await;
    let successor = successor.map_err(|_| CommandError::failed("the server has not come back; its log says why"))?;
    let Some(gap) = successor.handed_over_ms else {
        return Err(CommandError::failed(
            "the new program could not be started and the old one goes on; its log says why",
        ));
    };
    print(&format!("restarted in {} ms; for {gap} ms of them requests had to wait", began.elapsed().as_millis()))
}
