//! The Rust half of the benches: makes the data and sends it. `run.py` beside this crate drives both and the peers.
//!
//! - `generate` writes one set of events twice: NDJSON as an SDK would send it, and Parquet for the peers.
//! - `load` sends NDJSON to `/import` in batches from many connections and prints what it measured as one line of JSON.

mod generate;
mod load;
mod sample;
mod shape;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Data and load for Footfall's benches")]
struct Arguments {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Write events.ndjson, events.parquet and meta.json.
    Generate(generate::GenerateOptions),
    /// Send NDJSON to a running server's /import; print the rate and the times to acknowledgement.
    Load(load::LoadOptions),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().work {
        Work::Generate(options) => generate::generate(&options),
        Work::Load(options) => load::load(options),
    }
}
