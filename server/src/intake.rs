//! Everything that requests which bring data have in common: their limits, their turns, and the books about them.

use std::path::Path;
use std::sync::Arc;

use footfall_engine::SegmentCaches;
use parking_lot::RwLock;
use tokio::runtime::Handle;

use crate::admission::Admission;
use crate::config::IngestSettings;
use crate::ledger::{self, Ledger};
use crate::quality::Quality;

/// One per server; share it in an `Arc`.
#[derive(Debug)]
pub struct Intake {
    pub settings: IngestSettings,
    pub admission: Admission,
    pub ledger: Arc<Ledger>,
    pub quality: Arc<Quality>,
}

impl Intake {
    /// Reads what is known of the quality of data in `data_dir`; all counters start at nothing. `nice` are threads that
    /// give way to others.
    pub fn open(settings: IngestSettings, data_dir: &Path, nice: Handle) -> Self {
        Self {
            admission: Admission::new(&settings, nice),
            ledger: Arc::default(),
            quality: Arc::new(Quality::open(data_dir)),
            settings,
        }
    }
}

impl Intake {
    /// Writes what is known of the quality of data; for when nothing more is counted.
    pub async fn save(&self) {
        let quality = self.quality.clone();
        // A panic has been written by the hook, and there is nothing else to do about it.
        drop(tokio::task::spawn_blocking(move || quality.save()).await);
    }
}

/// Where `/metrics` finds the books: it is answered before there are any, and through every change of engine.
#[derive(Clone, Default)]
pub struct Books(Arc<RwLock<Option<Shown>>>);

#[derive(Clone)]
struct Shown {
    intake: Arc<Intake>,
    caches: Arc<SegmentCaches>,
}

impl Books {
    /// From now on these are shown.
    pub fn show(&self, intake: Arc<Intake>, caches: Arc<SegmentCaches>) {
        *self.0.write() = Some(Shown { intake, caches });
    }

    /// The text of `/metrics` about them, all of one moment.
    pub fn render(&self) -> String {
        let Some(Shown { intake, caches }) = self.0.read().clone() else { return String::new() };
        let mut text = ledger::render(&intake.ledger.book(), &intake.admission.gauges());
        ledger::render_caches(&mut text, &caches.figures());
        text
    }
}
