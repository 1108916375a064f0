//! What decoding and validating costs per event, on one thread.
//!
//! `cargo run --release -p footfall-ingest --example ingest_cost`

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use footfall_ingest::{Damage, Form, IdSource, MergeMode, Outcome, Route, Rules, decode, validate};

const BATCH: usize = 1000;
const ROUNDS: usize = 300;

fn main() {
    let text = batch();
    let ids = IdSource::random();
    let rules = Rules {
        route: Route::Import,
        strict: true,
        merge: MergeMode::Simplified,
        now_ms: 1_785_542_400_000,
        track_window: None,
        request_address: None,
    };
    let (mut decoding, mut validating) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let items = decode(black_box(text.as_bytes()), Form::Json, Damage::Report).unwrap_or_default();
        decoding = decoding.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let outcomes: Vec<Outcome> = items.into_iter().map(|item| validate(item, &rules, &ids)).collect();
        validating = validating.min(start.elapsed().as_secs_f64());
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_))));
        black_box(outcomes);
    }
    let micros = |seconds: f64| seconds * 1e6 / BATCH as f64;
    println!("{} bytes per event", text.len() / BATCH);
    println!("decode   {:.2} µs per event", micros(decoding));
    println!("validate {:.2} µs per event", micros(validating));
}

/// Events of 15 properties, as a browser SDK sends them.
fn batch() -> String {
    let mut text = String::from("[");
    for i in 0..BATCH {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"event":"Product Viewed","properties":{{"token":"0123456789abcdef0123456789abcdef","time":{time}.{ms:03},"distinct_id":"user-{i}","$insert_id":"r8ai9znzaq5x{i:04}","$os":"Mac OS X","$browser":"Chrome","$browser_version":139,"$current_url":"https://shop.example/products/{i}?utm_source=mail","$screen_height":1080,"$screen_width":1920,"mp_lib":"web","$lib_version":"2.83.0","price":{price}.95,"category":"shoes","in_stock":true}}}}"#,
            time = 1_785_000_000 + i,
            ms = i % 1000,
            price = i % 90 + 10,
        );
    }
    text.push(']');
    text
}
