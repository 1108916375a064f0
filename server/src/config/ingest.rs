//! What requests that bring data are held to: the table `[ingest]`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

/// Plain settings of the routes that take data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// Largest body, before and after it is unzipped, in bytes.
    pub body_bytes_max: usize,
    /// How many times its size a body may unzip to, once that is more than a megabyte.
    pub unzip_ratio_max: NonZeroUsize,
    /// Records in one request.
    pub records_max: NonZeroUsize,
    /// Seconds that a body may take, however slowly it comes; one that keeps up 16 KiB a second has longer.
    pub body_seconds: u64,
    /// Bytes of bodies in memory at once, zipped and unzipped: of all requests, and of one project's.
    pub bodies_bytes_max: usize,
    pub project_bodies_bytes_max: usize,
    /// Requests of one project that may wait for their turn.
    pub waiting_max: NonZeroUsize,
    /// Events that a project may send a second; 0 for any number.
    pub events_per_second: u32,
    /// Bytes of JSON that a project may send a minute; 0 for any number.
    pub bytes_per_minute: u64,
    /// `/track` refuses events older than this many days; 0 for any age.
    pub track_window_days: u32,
    /// Report events with an unknown token as invalid instead of dropping them.
    pub reject_unknown_token: bool,
    /// Follow `redirect=`; whoever may send people through this server may send them anywhere.
    pub allow_redirect: bool,
    /// Largest lookup table, before and after it is unzipped, in bytes.
    pub lookup_bytes_max: usize,
    /// Lookup tables that a project may create or replace within 24 hours; 0 for any number.
    pub lookup_calls_per_day: usize,
    /// A replacement of a lookup table that is not there creates it, under its id as its name.
    pub lookup_create_missing: bool,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            body_bytes_max: 10 << 20,
            unzip_ratio_max: const { NonZeroUsize::new(100).unwrap() },
            records_max: const { NonZeroUsize::new(footfall_ingest::RECORDS_MAX).unwrap() },
            body_seconds: 30,
            bodies_bytes_max: 256 << 20,
            project_bodies_bytes_max: 64 << 20,
            waiting_max: const { NonZeroUsize::new(1024).unwrap() },
            events_per_second: 0,
            bytes_per_minute: 0,
            track_window_days: 5,
            reject_unknown_token: false,
            allow_redirect: true,
            lookup_bytes_max: 100 << 20,
            lookup_calls_per_day: 100,
            lookup_create_missing: false,
        }
    }
}

impl IngestSettings {
    /// The oldest that `/track` takes; `None` is any age.
    pub fn track_window(&self) -> Option<Duration> {
        (self.track_window_days > 0).then(|| Duration::from_secs(u64::from(self.track_window_days) * 86_400))
    }
}

/// The same as flags. Doc comments here are the help texts.
#[derive(Debug, Args, Serialize)]
pub struct IngestArgs {
    /// Largest request body, before and after it is unzipped. [default: 10485760]
    #[arg(long, env = "FOOTFALL_BODY_BYTES_MAX", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    body_bytes_max: Option<usize>,
    /// How many times its size a body may unzip to. [default: 100]
    #[arg(long, env = "FOOTFALL_UNZIP_RATIO_MAX", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    unzip_ratio_max: Option<usize>,
    /// Records in one request. [default: 2000]
    #[arg(long, env = "FOOTFALL_RECORDS_MAX", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    records_max: Option<usize>,
    /// Time for a body that comes at less than 16 KiB a second. [default: 30]
    #[arg(long, env = "FOOTFALL_BODY_SECONDS", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    body_seconds: Option<u64>,
    /// Bodies in memory at once; past it the answer is 429. [default: 268435456]
    #[arg(long, env = "FOOTFALL_BODIES_BYTES_MAX", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    bodies_bytes_max: Option<usize>,
    /// Bodies of one project in memory at once. [default: 67108864]
    #[arg(long, env = "FOOTFALL_PROJECT_BODIES_BYTES_MAX", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    project_bodies_bytes_max: Option<usize>,
    /// Requests of one project that may wait for their turn. [default: 1024]
    #[arg(long, env = "FOOTFALL_WAITING_MAX", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_max: Option<usize>,
    /// Events that a project may send a second; past it the answer is 429. [default: 0, no limit]
    #[arg(long, env = "FOOTFALL_EVENTS_PER_SECOND", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    events_per_second: Option<u32>,
    /// Bytes of JSON that a project may send a minute. [default: 0, no limit]
    #[arg(long, env = "FOOTFALL_BYTES_PER_MINUTE", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_minute: Option<u64>,
    /// Days that events on /track may lie back; 0 for any number. [default: 5]
    #[arg(long, env = "FOOTFALL_TRACK_WINDOW_DAYS", value_name = "DAYS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    track_window_days: Option<u32>,
    /// Report events with an unknown token as invalid instead of dropping them in silence.
    #[arg(long, env = "FOOTFALL_REJECT_UNKNOWN_TOKEN", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    reject_unknown_token: Option<bool>,
    /// Follow `redirect=` on /track. [default: true]
    #[arg(long, env = "FOOTFALL_ALLOW_REDIRECT", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_redirect: Option<bool>,
    /// Largest lookup table. [default: 104857600]
    #[arg(long, env = "FOOTFALL_LOOKUP_BYTES_MAX", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup_bytes_max: Option<usize>,
    /// Lookup tables that a project may create or replace within 24 hours; 0 for any number. [default: 100]
    #[arg(long, env = "FOOTFALL_LOOKUP_CALLS_PER_DAY", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup_calls_per_day: Option<usize>,
    /// Create a lookup table that is replaced but not there, in place of answering 404.
    #[arg(long, env = "FOOTFALL_LOOKUP_CREATE_MISSING", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    lookup_create_missing: Option<bool>,
}
