//! Footfall as its users meet it: the real binary, over loopback and from the command line.
//!
//! Nothing here links the engine. `harness` starts and stops servers, `oracle` computes every answer naively from the
//! raw events that were sent, `generate` makes them from a printed seed. `README.md` beside this folder tells how to
//! run one check, and which environment variables make the long forms.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

mod generate;
mod harness;
mod oracle;

mod admission;
mod clients;
mod compaction;
mod connections;
mod constancy;
mod crash;
mod delta;
mod demo;
mod duplicates;
mod explain;
mod export;
mod expressions;
mod fuzz;
mod hostile;
mod hot_user;
mod import_history;
mod import_wire;
mod integrity;
mod isolation;
mod layers;
mod ledger;
mod live;
mod log_faults;
mod lookup_tables;
mod make_mp_data;
mod nested;
mod profile_wire;
mod quality;
mod queue_client;
mod rejected;
mod replay;
mod restart;
mod schema;
mod sdk;
mod segmentation;
mod sql;
mod stores;
mod track_wire;
mod views;
mod visibility;
mod year;
