//! Flags of the commands that listen: the address, patience with slow clients, and how to stop.

use clap::Args;
use clap::builder::BoolishValueParser;
use serde::Serialize;

#[derive(Debug, Args, Serialize)]
pub struct ListenArgs {
    /// Address of the HTTP listener; a socket passed on by systemd goes before it. [default: 127.0.0.1:8080]
    #[arg(long, env = "FOOTFALL_HTTP", value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<String>,
    /// Allow to listen on other addresses than loopback although there is no TLS.
    #[arg(long, env = "FOOTFALL_INSECURE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    insecure: Option<bool>,
    /// How long the head of a request may take to arrive, from its first byte. [default: 10]
    #[arg(long, env = "FOOTFALL_HEADER_TIMEOUT", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    header_timeout: Option<u64>,
    /// How long a body may keep the server waiting, and a second more for each KiB that arrived. [default: 30]
    #[arg(long, env = "FOOTFALL_BODY_TIMEOUT", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    body_timeout: Option<u64>,
    /// How long a connection without a request stays open; more than the same setting of a proxy in front. [default: 75]
    #[arg(long, env = "FOOTFALL_IDLE_TIMEOUT", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<u64>,
    /// How long a client may take nothing of its reply. [default: 60]
    #[arg(long, env = "FOOTFALL_WRITE_TIMEOUT", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    write_timeout: Option<u64>,
    /// Connections open at once, as far as the limit of open files allows; past it, the longest idle one is closed for
    /// a new one. [default: 10000]
    #[arg(long, env = "FOOTFALL_CONNECTIONS_MAX", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    connections_max: Option<usize>,
    /// How long new connections are still taken after SIGTERM, while /readyz says no already. [default: 0]
    #[arg(long, env = "FOOTFALL_DRAIN_DELAY", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_delay: Option<u64>,
    /// How long requests may take to finish when the server stops or restarts. [default: 30]
    #[arg(long, env = "FOOTFALL_DRAIN_TIMEOUT", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_timeout: Option<u64>,
    /// How long an idle connection is kept open when the server stops, for a request that is just being sent. [default: 1]
    #[arg(long, env = "FOOTFALL_LINGER", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    linger: Option<u64>,
    /// How long to wait for another process to let go of the data directory. [default: 60 with a socket that was passed
    /// on, otherwise 0]
    #[arg(long, env = "FOOTFALL_TAKEOVER", value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    #[serde(skip_serializing_if = "Option::is_none")]
    takeover: Option<u64>,
    /// Free disk space, in MiB, below which /readyz says no. [default: 256]
    #[arg(long, env = "FOOTFALL_DISK_FREE_MIN", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_free_min: Option<u64>,
    /// Read the settings, say what is wrong with them, and end.
    #[arg(long, env = "FOOTFALL_CHECK", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip)]
    check: Option<bool>,
}

impl ListenArgs {
    pub fn is_check(&self) -> bool {
        self.check == Some(true)
    }
}
