//! The book in Prometheus' text format.
//!
//! Written from one copy of the book, so that the sums in a scrape hold (B1); through a recorder each figure would be
//! read at a moment of its own.

use std::fmt::{self, Display, Write};

use super::{Book, Kind, Records, Source};
use crate::admission::Gauges;

/// Projects that have a line of their own: those that sent most.
const PROJECTS_MAX: usize = 10;

/// The whole text.
pub fn render(book: &Book, gauges: &Gauges) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, book, gauges);
    text
}

fn write(out: &mut String, book: &Book, gauges: &Gauges) -> fmt::Result {
    records(out, book)?;
    sources(out, book)?;
    projects(out, book)?;
    waiting(out, gauges)
}

/// Name, type, help and how it is read, of a figure that each kind of record has.
type OfKind = (&'static str, &'static str, &'static str, fn(&Records) -> u64);

const OF_KIND: [OfKind; 5] = [
    ("received_total", "counter", "Records read from requests.", |r| r.received),
    ("stored_total", "counter", "Records stored for good.", |r| r.settled.stored),
    ("duplicate_total", "counter", "Identical copies of stored records.", |r| r.settled.duplicates),
    ("superseded_total", "counter", "Stored records that a later copy replaced.", |r| r.settled.superseded),
    ("in_flight", "gauge", "Records received that nothing has become of yet.", |r| r.in_flight),
];

fn records(out: &mut String, book: &Book) -> fmt::Result {
    let none = Records::default();
    let kinds = Kind::ALL.map(|kind| (kind.name(), book.records.get(&kind).unwrap_or(&none)));
    for (name, kind_of_figure, help, read) in OF_KIND {
        let metric = Metric { name: &format!("footfall_ingest_records_{name}"), kind: kind_of_figure, help };
        metric.head(out)?;
        for (kind, of_kind) in &kinds {
            metric.line(out, &[("kind", kind)], read(of_kind))?;
        }
    }
    let rejected = Metric::counter("footfall_ingest_records_rejected_total", "Records refused, by reason.");
    rejected.head(out)?;
    for (kind, of_kind) in &kinds {
        for (reason, count) in &of_kind.settled.rejected {
            rejected.line(out, &[("kind", kind), ("reason", reason)], count)?;
        }
    }
    let help = "Records accepted and stored nowhere, by reason.";
    let dropped = Metric::counter("footfall_ingest_records_dropped_total", help);
    dropped.head(out)?;
    for (kind, of_kind) in &kinds {
        for (reason, count) in &of_kind.settled.dropped {
            dropped.line(out, &[("kind", kind), ("reason", reason)], count)?;
        }
    }
    Ok(())
}

fn sources(out: &mut String, book: &Book) -> fmt::Result {
    let token = |source: &Source| if source.known { "known" } else { "unknown" };
    let requests = Metric::counter("footfall_ingest_requests_total", "Requests that bring data, by source.");
    requests.head(out)?;
    for (source, traffic) in &book.traffic {
        requests.line(out, &[("route", source.route), ("token", token(source))], traffic.requests)?;
    }
    let bytes = Metric::counter("footfall_ingest_request_bytes_total", "Bytes of their bodies as received.");
    bytes.head(out)?;
    for (source, traffic) in &book.traffic {
        bytes.line(out, &[("route", source.route), ("token", token(source))], traffic.bytes)?;
    }
    let help = "Requests refused as a whole, before their records were known.";
    let refused = Metric::counter("footfall_ingest_requests_refused_total", help);
    refused.head(out)?;
    for (source, traffic) in &book.traffic {
        for (reason, count) in &traffic.refused {
            refused.line(out, &[("route", source.route), ("token", token(source)), ("reason", reason)], count)?;
        }
    }
    Ok(())
}

fn projects(out: &mut String, book: &Book) -> fmt::Result {
    let mut projects: Vec<_> = book.projects.iter().collect();
    projects.sort_by_key(|(project, records)| (std::cmp::Reverse(**records), **project));
    let metric = Metric::counter("footfall_ingest_project_records_total", "Records of the projects that sent most.");
    metric.head(out)?;
    for (project, records) in projects.into_iter().take(PROJECTS_MAX) {
        metric.line(out, &[("project", &project.to_string())], records)?;
    }
    Ok(())
}

fn waiting(out: &mut String, gauges: &Gauges) -> fmt::Result {
    let help = "Bytes of request bodies in memory.";
    let bytes = Metric { name: "footfall_ingest_bodies_bytes", kind: "gauge", help };
    bytes.head(out)?;
    bytes.line(out, &[], gauges.bodies_bytes)?;
    let waiting = Metric { name: "footfall_ingest_waiting", kind: "gauge", help: "Requests that wait for a turn." };
    waiting.head(out)?;
    gauges.waiting.iter().try_for_each(|(queue, count)| waiting.line(out, &[("queue", queue)], count))
}

pub(super) struct Metric<'a> {
    pub name: &'a str,
    pub kind: &'static str,
    pub help: &'static str,
}

impl<'a> Metric<'a> {
    pub fn counter(name: &'a str, help: &'static str) -> Self {
        Self { name, kind: "counter", help }
    }

    pub fn head(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "# HELP {} {}", self.name, self.help)?;
        writeln!(out, "# TYPE {} {}", self.name, self.kind)
    }

    /// Label values are words of ours and numbers: nothing in them needs an escape.
    pub fn line(&self, out: &mut String, labels: &[(&str, &str)], value: impl Display) -> fmt::Result {
        out.push_str(self.name);
        for (nth, (name, label)) in labels.iter().enumerate() {
            write!(out, "{}{name}=\"{label}\"", if nth == 0 { '{' } else { ',' })?;
        }
        writeln!(out, "{} {value}", if labels.is_empty() { "" } else { "}" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use footfall_model::ProjectId;

    use super::super::{Ledger, Settled};
    use super::*;

    #[test]
    fn figures_have_a_type_and_labels_of_a_closed_set() {
        let ledger = Arc::new(Ledger::default());
        let mut receipt = ledger.receive(Kind::Group, 12);
        receipt.settle(Some(ProjectId(7)), &Settled { stored: 9, ..Settled::default() });
        receipt.settle(None, &Settled::rejected("too_big", 2));
        let source = Source { route: "/track", known: false };
        ledger.count_request(source, 100);
        ledger.count_refused(source, "memory");
        let gauges = Gauges { bodies_bytes: 5, waiting: [("short", 0), ("long", 1), ("log", 2)] };
        let text = render(&ledger.book(), &gauges);
        for line in [
            "# TYPE footfall_ingest_records_received_total counter",
            "footfall_ingest_records_received_total{kind=\"group\"} 12",
            "footfall_ingest_records_received_total{kind=\"event\"} 0",
            "footfall_ingest_records_stored_total{kind=\"group\"} 9",
            "footfall_ingest_records_rejected_total{kind=\"group\",reason=\"too_big\"} 2",
            "# TYPE footfall_ingest_records_in_flight gauge",
            "footfall_ingest_records_in_flight{kind=\"group\"} 1",
            "footfall_ingest_requests_total{route=\"/track\",token=\"unknown\"} 1",
            "footfall_ingest_request_bytes_total{route=\"/track\",token=\"unknown\"} 100",
            "footfall_ingest_requests_refused_total{route=\"/track\",token=\"unknown\",reason=\"memory\"} 1",
            "footfall_ingest_project_records_total{project=\"7\"} 9",
            "footfall_ingest_bodies_bytes 5",
            "footfall_ingest_waiting{queue=\"log\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
