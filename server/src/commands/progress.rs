//! Progress of long work: a bar on a terminal, a plain line now and then elsewhere. Standard error in both cases.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

const LINE_INTERVAL: Duration = Duration::from_secs(3);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    Bytes,
    Days,
    Events,
    Files,
}

pub struct Progress {
    label: String,
    total: u64,
    quantity: Quantity,
    /// What was done before, in another run: it says nothing about the speed of this one.
    before: u64,
    began: Instant,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    pub fn new(label: &str, total: u64, quantity: Quantity) -> Self {
        Self::resumed(label, total, quantity, 0)
    }

    /// Work of which `before` was done already.
    pub fn resumed(label: &str, total: u64, quantity: Quantity, before: u64) -> Self {
        let display = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(total).with_position(before);
            bar.reset_eta();
            let counts = match quantity {
                Quantity::Bytes => "{bytes}/{total_bytes}",
                Quantity::Days => "day {pos}/{len}",
                Quantity::Events => "{human_pos}/{human_len} events",
                Quantity::Files => "{human_pos}/{human_len} files",
            };
            let template = format!("{{prefix}} {{wide_bar}} {counts} {{eta}} {{msg}}");
            // The template is ours and right; were it not, the default bar would do.
            bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(label.to_owned());
            Display::Bar(bar)
        } else {
            Display::Lines { last: Instant::now() }
        };
        Self { label: label.to_owned(), total, quantity, before, began: Instant::now(), display }
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
                let (label, shown, total) = (&self.label, show(done, self.quantity), show(self.total, self.quantity));
                let left = self.left(done).map_or(String::new(), |left| format!(", {} left", HumanDuration(left)));
                eprintln!("{label}: {shown} of {total}{left}, {note}");
            }
            Display::Lines { .. } => {}
        }
    }

    /// Something that has to be read even though the work goes on.
    pub fn say(&self, line: &str) {
        match &self.display {
            Display::Bar(bar) => bar.println(line),
            Display::Lines { .. } => eprintln!("{line}"),
        }
    }

    /// Leaves nothing on the terminal; the summary is the caller's.
    pub fn finish(self) {
        if let Display::Bar(bar) = self.display {
            bar.finish_and_clear();
        }
    }

    /// As long again for what is left, at the speed since the beginning.
    fn left(&self, done: u64) -> Option<Duration> {
        let here = done.checked_sub(self.before).filter(|here| *here > 0)?;
        let share = self.total.saturating_sub(done) as f64 / here as f64;
        Duration::try_from_secs_f64((self.began.elapsed().as_secs_f64() * share).round()).ok()
    }
}

fn show(amount: u64, quantity: Quantity) -> String {
    match quantity {
        Quantity::Bytes => HumanBytes(amount).to_string(),
        Quantity::Days => format!("{amount} days"),
        Quantity::Events => format!("{} events", HumanCount(amount)),
        Quantity::Files => format!("{} files", HumanCount(amount)),
    }
}
