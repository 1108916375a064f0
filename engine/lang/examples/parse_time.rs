//! How long the parser takes for a text of each hard shape as the text grows to a megabyte: linear if the rows stay level.
//!
//!     cargo run --release -p footfall-lang --example parse_time

use std::hint::black_box;
use std::time::Instant;

use footfall_lang::parse_within;

const SIZES: [usize; 5] = [1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20];
const RUNS: usize = 5;

/// Begins, repeats and ends: chains, deep nesting again and again, names bound and hidden, mistakes without end.
const SHAPES: [(&str, &str, &str, &str); 9] = [
    ("chain of or", "true", " or properties[\"a\"] == 1", ""),
    ("chain of minus", "1", " - 1", ""),
    ("parentheses, 20 deep", "0", " + ((((((((((((((((((((1))))))))))))))))))))", ""),
    ("quantifiers that hide", "true", " and any(x > 0 for x in [1]) and all(x, [2], any(x, [3], x == 1))", ""),
    ("lets", "0", " + let(a, 1, b, a, c, b, a + b + c)", ""),
    ("list literal", "1 in [0", ",-1.5e3", "]"),
    ("unknown functions", "0", " + flor(1)", ""),
    ("unbound names", "0", " + name", ""),
    ("one string", "\"", "\\u00e9 ", "\""),
];

fn main() {
    println!("| shape | {} |", SIZES.map(|size| format!("{} KiB, ns per byte", size >> 10)).join(" | "));
    println!("|---|{}", "---|".repeat(SIZES.len()));
    for (name, begin, repeat, end) in SHAPES {
        let per_byte = SIZES.map(|size| {
            let text = format!("{begin}{}{end}", repeat.repeat(size / repeat.len()));
            let best = (0..RUNS).map(|_| {
                let started = Instant::now();
                black_box(parse_within(black_box(&text), usize::MAX));
                started.elapsed()
            });
            best.min().unwrap_or_default().as_secs_f64() * 1e9 / text.len() as f64
        });
        println!("| {name} | {} |", per_byte.map(|ns| format!("{ns:.1}")).join(" | "));
    }
}
