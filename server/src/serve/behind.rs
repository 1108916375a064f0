//! What is behind the gate: the engine, the projects, and what works for them.

use std::sync::Arc;
use std::time::Duration;

use footfall_engine::{DataDirectory, Engine};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Front;
use crate::commands::{CommandError, print};
use crate::config::Settings;
use crate::health::Health;
use crate::intake::Intake;
use crate::local::LocalToken;
use crate::phase::Stage;
use crate::projects::{NewAccount, Projects};
use crate::state::AppState;
use crate::telemetry;

/// How late a token rotated by another process is refused here.
const PROJECTS_INTERVAL: Duration = Duration::from_secs(30);
/// How soon a store that was away is asked again.
const PROJECTS_RETRY: Duration = Duration::from_secs(5);

pub struct Behind {
    pub state: AppState,
    pub tasks: JoinSet<()>,
}

impl Front {
    /// Opens the engine in `directory` and starts what works for it.
    pub async fn open(&self, settings: &Settings, directory: DataDirectory) -> Result<Behind, CommandError> {
        self.phase.enter(Stage::Starting("reading the log"));
        let engine = Engine::open_in(directory, settings.engine_options()).await?;
        self.phase.enter(Stage::Starting("opening the projects"));
        let projects = Arc::new(Projects::open(engine.store(), Some(engine.clone())).await?);
        if let Some(admin) = projects.ensure_admin().await? {
            print_admin(&admin)?;
        }
        let predecessors = self.handed_over_at.and_then(|_| LocalToken::of_predecessor(&settings.data_dir));
        let local_token = Arc::new(predecessors.unwrap_or_else(LocalToken::random));
        let metrics = self.health.metrics.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(telemetry::keep_up(metrics.clone()));
        tasks.spawn(refresh_projects(projects.clone(), engine.clone(), self.health.health.clone()));
        tasks.spawn(self.health.health.clone().watch(engine.clone()));
        // Only who has the directory may read what its predecessor wrote last.
        let intake = Arc::new(Intake::open(settings.ingest.clone(), &settings.data_dir, engine.nice().clone()));
        self.health.books.show(intake.clone(), engine.caches());
        tasks.spawn(intake.quality.clone().keep_saved());
        let phase = self.phase.clone();
        let state = AppState { engine, projects, local_token, metrics, intake, phase };
        Ok(Behind { state, tasks })
    }
}

/// Looks for projects that others have made; what comes of it also tells whether the store is there.
async fn refresh_projects(projects: Arc<Projects>, engine: Arc<Engine>, health: Arc<Health>) {
    loop {
        let refreshed = projects.refresh().await;
        let again_at = Instant::now() + if refreshed.is_ok() { PROJECTS_INTERVAL } else { PROJECTS_RETRY };
        if let Err(error) = &refreshed {
            tracing::warn!(%error, "cannot look for new projects");
        }
        health.store_seen(Instant::now(), refreshed.err().map(|error| error.to_string()));
        loop {
            tokio::time::sleep(PROJECTS_RETRY).await;
            // A flush that fails may have met what we are to find out.
            if Instant::now() >= again_at || engine.failing_flushes().is_some() {
                break;
            }
        }
    }
}

fn print_admin(admin: &NewAccount) -> Result<(), CommandError> {
    print(&format!("administrator, shown once: user {}  secret {}", admin.username, admin.secret))
}
