//! object_store's own integration functions against the GCS server of the tests: the server may stand in for Google's
//! only where all of them pass, through the same client that the product uses.
//!
//! Left out are `rename_and_copy` and `copy_if_not_exists`: the client of object_store 0.13.2 swaps the two kinds of
//! copy, whatever the server does, and the product asks for neither.
//!
//! The program starts the server and then itself once more, with the environment that leads the client to the server
//! and to its tokens.
#![allow(dead_code, reason = "the tests use more of the server than this program")]

#[path = "../../it/harness/gcs/mod.rs"]
mod gcs;

use std::process::ExitCode;

use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::integration as functions;
use tokio::process::Command;

/// Google's pages of listings, and pages so short that every listing has several.
const PAGE_SIZES: [usize; 2] = [1_000, 3];

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(page_size) = std::env::args().nth(1) {
        pass_all(page_size.parse().expect("the size of pages")).await;
        return ExitCode::SUCCESS;
    }
    for page_size in PAGE_SIZES {
        let server = gcs::GcsServer::with_pages_of(page_size).await;
        let program = std::env::current_exe().expect("a program that runs has a path");
        let passed = Command::new(program).arg(page_size.to_string()).envs(server.environment()).status().await;
        if !passed.expect("the program starts once more").success() {
            eprintln!("the GCS server of the tests does not behave as a store has to, pages of {page_size}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn pass_all(page_size: usize) {
    let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(gcs::BUCKET);
    let store: GoogleCloudStorage = builder.build().expect("the environment says all");
    macro_rules! pass {
        ($($name:ident($($argument:expr),*);)*) => {
            $(functions::$name($($argument),*).await; println!("passed {}", stringify!($name));)*
        };
    }
    pass! {
        put_get_delete_list(&store);
        list_with_offset_exclusivity(&store);
        list_uses_directories_correctly(&store);
        list_with_delimiter(&store);
        stream_get(&store);
        multipart(&store, &store);
        multipart_race_condition(&store, true);
        multipart_out_of_order(&store);
        get_opts(&store);
        put_opts(&store, true);
        put_get_attributes(&store);
    }
    // It wants pages as long as it asks for, which a store need not give.
    if page_size == PAGE_SIZES[0] {
        pass! { list_paginated(&store, &store); }
    }
}
