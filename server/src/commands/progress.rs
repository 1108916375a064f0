//! Progress of long work: a bar on a terminal, a plain line now and then elsewhere. Standard error in both cases.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    Bytes,
    Days,
}

pub struct Progress {
    label: String,
    total: u64,
    quantity: Quantity,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    pub fn new(label: &str, total: u64, quantity: Quantity) -> Self {
        let display = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(total);
            let counts = match quantity {
                Quantity::Bytes => "{bytes}/{total_bytes}",
                Quantity::Days => "day {pos}/{len}",
            };
            let template = format!("{{prefix}} {{wide_bar}} {counts} {{eta}} {{msg}}");
            // The template is ours and right; were it not, the default bar would do.
            bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(label.to_owned());
            Display::Bar(bar)
        } else {
            Display::Lines { last: Instant::now() }
        };
        Self { label: label.to_owned(), total, quantity, display }
    }

    /// `done` of the total; `note` says more in a few words.
    pub fn set(&mut self, done: u64, note: &str) {
        match &mut self.display {
            Display::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(note.to_owned());
            }
            Display::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = Instant::now();
                let (label, done, total) = (&self.label, show(done, self.quantity), show(self.total, self.quantity));
                eprintln!("{label}: {done} of {total} {note}");
            }
            Display::Lines { .. } => {}
        }
    }

    /// Leaves nothing on the terminal; the summary is the caller's.
    pub fn finish(self) {
        if let Display::Bar(bar) = self.display {
            bar.finish_and_clear();
        }
    }
}

fn show(amount: u64, quantity: Quantity) -> String {
    match quantity {
        Quantity::Bytes => HumanBytes(amount).to_string(),
        Quantity::Days => format!("{amount} days"),
    }
}
