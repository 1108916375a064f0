//! What an operator may change about ingestion.

use std::time::Duration;

/// Plain settings of `/track` and `/import`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestSettings {
    /// Largest body, before and after it is unzipped, in bytes.
    pub body_bytes_max: usize,
    /// `/track` refuses events older than this. `None`: any age.
    pub track_window: Option<Duration>,
    /// Report events with an unknown token as invalid instead of dropping them.
    pub reject_unknown_token: bool,
    /// Follow `redirect=`; whoever may send people through this server may send them anywhere.
    pub allow_redirect: bool,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            body_bytes_max: 10 << 20,
            track_window: Some(Duration::from_secs(5 * 86_400)),
            reject_unknown_token: false,
            allow_redirect: true,
        }
    }
}
