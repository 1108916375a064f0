//! The `footfall` binary; everything is in the library.

use std::process::ExitCode;

/// Ingestion and queries allocate many small pieces on many threads, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    footfall_engine::failpoint::arm();
    footfall_server::run(std::env::args_os())
}
