//! Settings as plain data. The keys are those of the TOML file.

use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use footfall_engine::log::LogPolicy;
use footfall_engine::{CachePolicy, EngineOptions, Ownership, StorePolicy};
use footfall_ingest::MergeMode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::care::{BackupSettings, InspectSettings, VerifySettings};
use super::compaction::{CompactSettings, CompactionSettings};
use super::ingest::IngestSettings;
use super::live::LiveSettings;
use super::log::{DumpSettings, SalvageSettings};
use super::view::ViewSettings;
use crate::listen::Limits;

const MIB: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub data_dir: PathBuf,
    pub store: Option<Url>,
    /// Seconds, as is the next.
    pub store_timeout: Option<NonZeroU64>,
    pub store_patience: u64,
    pub log: Option<String>,
    pub flush_rows: NonZeroUsize,
    /// MiB.
    pub flush_memory: NonZeroUsize,
    /// Seconds.
    pub flush_age: u64,
    pub shards: NonZeroU16,
    pub query_threads: NonZeroUsize,
    pub http: String,
    pub insecure: bool,
    /// Seconds, as are the other times of the listener.
    pub header_timeout: NonZeroU64,
    pub body_timeout: NonZeroU64,
    pub idle_timeout: NonZeroU64,
    pub write_timeout: NonZeroU64,
    pub connections_max: NonZeroUsize,
    pub drain_delay: u64,
    pub drain_timeout: u64,
    pub linger: u64,
    /// Seconds; unset: as long as a socket that was inherited deserves.
    pub takeover: Option<u64>,
    /// MiB.
    pub disk_free_min: u64,
    pub project: ProjectSettings,
    pub import: ImportSettings,
    pub sql: SqlSettings,
    pub view: ViewSettings,
    pub demo: DemoSettings,
    pub live: LiveSettings,
    pub keep_log: bool,
    /// MiB.
    pub log_budget: u64,
    /// MiB.
    pub log_min_free: Option<u64>,
    /// MiB.
    pub cache_memory: u64,
    pub cache_dir: Option<PathBuf>,
    pub cache_bytes: Option<u64>,
    pub heal_from: Option<Url>,
    pub inspect: InspectSettings,
    pub verify: VerifySettings,
    pub backup: BackupSettings,
    pub log_dump: DumpSettings,
    pub log_salvage: SalvageSettings,
    pub ingest: IngestSettings,
    pub compaction: CompactionSettings,
    pub compact: CompactSettings,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectSettings {
    pub timezone: ZoneName,
    pub merge: MergeMode,
    pub json: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportSettings {
    pub project: Option<String>,
    /// `None`: told from each file's name and content.
    pub format: Option<ImportFormat>,
    /// `target=column` each.
    pub map: Vec<String>,
    pub time_unit: Option<TimeUnit>,
    /// Name of the events in tables that have no column for it.
    pub event: Option<String>,
    pub strict: bool,
    pub restart: bool,
    pub json: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlSettings {
    pub project: Option<String>,
    pub format: SqlFormat,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoSettings {
    pub users: NonZeroU32,
}

/// A time zone by its IANA name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneName(pub chrono_tz::Tz);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ImportFormat {
    /// One JSON object per line: Mixpanel records or flat ones.
    Ndjson,
    /// What Mixpanel's raw export gives.
    MixpanelExport,
    /// A line of column names, then one line an event.
    Csv,
    /// One row an event.
    Parquet,
}

/// What the numbers of a table's time column count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum TimeUnit {
    /// Seconds.
    #[serde(rename = "s")]
    #[value(name = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    #[value(name = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    #[value(name = "us")]
    Microseconds,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    #[value(name = "ns")]
    Nanoseconds,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SqlFormat {
    #[default]
    Table,
    Json,
    Csv,
    Arrow,
}

/// The engine knows what suits it; here is only what the engine does not know.
impl Default for Settings {
    fn default() -> Self {
        let engine = EngineOptions::default();
        Self {
            data_dir: engine.data_dir,
            store: engine.store,
            store_timeout: None,
            store_patience: engine.store_policy.patience.as_secs(),
            log: None,
            flush_rows: NonZeroUsize::new(engine.flush_rows).unwrap_or(NonZeroUsize::MIN),
            flush_memory: NonZeroUsize::new(engine.flush_bytes >> 20).unwrap_or(NonZeroUsize::MIN),
            flush_age: engine.flush_age.as_secs(),
            shards: NonZeroU16::new(engine.shards).unwrap_or(NonZeroU16::MIN),
            query_threads: NonZeroUsize::new(engine.query_threads).unwrap_or(NonZeroUsize::MIN),
            http: "127.0.0.1:8080".to_owned(),
            insecure: false,
            header_timeout: const { NonZeroU64::new(10).unwrap() },
            body_timeout: const { NonZeroU64::new(30).unwrap() },
            idle_timeout: const { NonZeroU64::new(75).unwrap() },
            write_timeout: const { NonZeroU64::new(60).unwrap() },
            connections_max: const { NonZeroUsize::new(10_000).unwrap() },
            drain_delay: 0,
            drain_timeout: 30,
            linger: 1,
            takeover: None,
            disk_free_min: 256,
            project: ProjectSettings::default(),
            import: ImportSettings::default(),
            sql: SqlSettings::default(),
            view: ViewSettings::default(),
            demo: DemoSettings::default(),
            live: LiveSettings::default(),
            keep_log: false,
            log_budget: LogPolicy::default().bytes_max / MIB,
            log_min_free: None,
            cache_memory: engine.cache.memory_bytes / MIB,
            cache_dir: engine.cache.dir,
            cache_bytes: engine.cache.disk_bytes,
            heal_from: engine.cache.heal_from,
            inspect: InspectSettings::default(),
            verify: VerifySettings::default(),
            backup: BackupSettings::default(),
            log_dump: DumpSettings::default(),
            log_salvage: SalvageSettings::default(),
            ingest: IngestSettings::default(),
            compaction: CompactionSettings::default(),
            compact: CompactSettings::default(),
        }
    }
}

impl Default for DemoSettings {
    fn default() -> Self {
        Self { users: const { NonZeroU32::new(42_000).unwrap() } }
    }
}

/// As good as for ever, and still a time that can be added to others.
const LONGEST_SECONDS: u64 = 10 * 365 * 86_400;

/// A time that somebody has configured.
pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(LONGEST_SECONDS))
}

impl Settings {
    pub fn limits(&self) -> Limits {
        Limits {
            header: seconds(self.header_timeout.get()),
            body: seconds(self.body_timeout.get()),
            idle: seconds(self.idle_timeout.get()),
            write: seconds(self.write_timeout.get()),
            linger: seconds(self.linger),
            connections_max: self.connections_max.get(),
        }
    }

    pub fn store_policy(&self) -> StorePolicy {
        StorePolicy {
            request_timeout: self.store_timeout.map(|timeout| seconds(timeout.get())),
            patience: seconds(self.store_patience),
        }
    }

    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            data_dir: self.data_dir.clone(),
            store: self.store.clone(),
            store_policy: self.store_policy(),
            shards: self.shards.get(),
            flush_rows: self.flush_rows.get(),
            flush_bytes: self.flush_memory.get().saturating_mul(1 << 20),
            flush_age: Duration::from_secs(self.flush_age),
            query_threads: self.query_threads.get(),
            live: self.live.options(),
            log: LogPolicy {
                keep: self.keep_log,
                bytes_max: self.log_budget.saturating_mul(MIB),
                free_bytes_min: self.log_min_free.map(|free| free.saturating_mul(MIB)),
            },
            compaction: self.compaction.options(),
            cache: CachePolicy {
                memory_bytes: self.cache_memory.saturating_mul(MIB),
                dir: self.cache_dir.clone(),
                disk_bytes: self.cache_bytes,
                heal_from: self.heal_from.clone(),
            },
            ownership: Ownership::Owner,
            ..EngineOptions::default()
        }
    }
}

impl Serialize for ZoneName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("unknown time zone {name:?}, use a name as Europe/Berlin"));
        name.parse().map(Self).map_err(|_| unknown())
    }
}
