//! Starts the real binary, speaks to it, and gathers what did not hold.

mod api;
mod bytes;
mod checks;
mod clock;
mod eventually;
mod figures;
mod gcs;
mod http1;
mod process;
mod s3;
mod server;
mod small_disk;
mod strace;
mod stream;
mod tools;

pub use api::{Project, Reply, Table};
pub use bytes::gzip;
pub use checks::Checks;
pub use clock::{DAY_MS, now_ms, today_utc};
pub use eventually::eventually;
pub use figures::Figures;
pub use gcs::{BUCKET, Chaos, Fault, GcsServer};
pub use http1::{Connection, raw_get, raw_request};
pub use process::{CliOutput, footfall, run_cli};
pub use s3::S3Server;
pub use server::{Server, ServerOptions, Start, free_port, parquet_files};
pub use small_disk::SmallDisk;
pub use strace::strace;
pub use stream::LiveStream;
pub use tools::{chromium, crate_folder, node, python, python_command, python_unit_tests, repository_root, seed};
