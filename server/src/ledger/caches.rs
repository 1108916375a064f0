//! What the caches of segments did, in Prometheus' text format.

use std::fmt;

use footfall_engine::CacheFigures;

use super::exposition::Metric;

/// Appends the figures.
pub fn render_caches(out: &mut String, figures: &CacheFigures) {
    // Writing to a string cannot fail.
    let _ = write(out, figures);
}

fn write(out: &mut String, figures: &CacheFigures) -> fmt::Result {
    let hits = Metric::counter("footfall_cache_hits_total", "Parts of segments that were in memory or on disk.");
    hits.head(out)?;
    hits.line(out, &[("tier", "memory")], figures.memory_hits)?;
    hits.line(out, &[("tier", "disk")], figures.disk_hits)?;
    for (name, help, count) in [
        ("footfall_cache_misses_total", "Parts of segments that were fetched from the store.", figures.misses),
        ("footfall_cache_fetched_bytes_total", "Bytes of segments asked of the store.", figures.fetched_bytes),
        ("footfall_cache_damaged_total", "Damaged files of the cache, fetched again.", figures.disk_damaged),
        ("footfall_segments_healed_total", "Reads of damaged segments that a copy answered.", figures.healed),
    ] {
        let metric = Metric::counter(name, help);
        metric.head(out)?;
        metric.line(out, &[], count)?;
    }
    let bytes = Metric { name: "footfall_cache_bytes", kind: "gauge", help: "Bytes that the caches hold." };
    bytes.head(out)?;
    bytes.line(out, &[("tier", "memory")], figures.memory_bytes)?;
    bytes.line(out, &[("tier", "disk")], figures.disk_bytes)
}
