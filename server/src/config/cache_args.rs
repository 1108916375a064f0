//! Flags about what is kept of segments that were read.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

#[derive(Debug, Args, Serialize)]
pub struct CacheArgs {
    /// Memory for the columns and footers of segments that were read. [default: 1024]
    #[arg(long, env = "FOOTFALL_CACHE_MEMORY", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_memory: Option<u64>,
    /// Folder of the cache on disk. [default: {data-dir}/cache]
    #[arg(long, env = "FOOTFALL_CACHE_DIR", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_dir: Option<PathBuf>,
    /// Most bytes of the cache on disk; 0: none is kept there. [default: 10 GiB before a bucket, 0 before a local folder]
    #[arg(long, env = "FOOTFALL_CACHE_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_bytes: Option<u64>,
    /// A replica of the store, or a target of `footfall backup`, from which damaged segments are healed.
    #[arg(long, env = "FOOTFALL_HEAL_FROM", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    heal_from: Option<url::Url>,
}
