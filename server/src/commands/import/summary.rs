//! What an import says when it is over: text for people, or one JSON object.

use std::fmt;

use footfall_model::ProjectId;
use serde_json::json;

use super::loading::day_text;
use super::tally::{Loaded, Tally};
use crate::commands::CommandError;
use crate::commands::output::{print, print_json};

/// Kinds of faults that the text names.
const NAMED_MAX: usize = 20;

/// How an import ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Finished,
    /// An earlier run had finished it; this one did nothing.
    FinishedBefore,
    /// `--strict`, and a record was bad.
    Refused,
}

pub struct Summary {
    pub state: State,
    pub project: ProjectId,
    pub files: usize,
    pub tally: Tally,
    pub loaded: Loaded,
    pub days: Option<(i32, i32)>,
}

impl Summary {
    /// Prints it; an error where the import was refused.
    pub fn print(&self, as_json: bool) -> Result<(), CommandError> {
        if as_json { print_json(&self.json()) } else { print(&self.to_string()) }?;
        match self.state {
            State::Refused => Err(CommandError::failed("a record is bad, so nothing was loaded (--strict)")),
            State::Finished | State::FinishedBefore => Ok(()),
        }
    }

    fn json(&self) -> serde_json::Value {
        let Loaded { events, stored, duplicates, superseded, uncounted } = self.loaded;
        let state = match self.state {
            State::Finished => "finished",
            State::FinishedBefore => "finished_before",
            State::Refused => "refused",
        };
        let rejections: Vec<_> = self.tally.rejected.iter().collect();
        let rejections = rejections
            .iter()
            .map(|(reason, r)| json!({"reason": reason, "count": r.count, "places": r.places}))
            .collect::<Vec<_>>();
        json!({
            "state": state,
            "project_id": self.project,
            "files": self.files,
            "records": self.tally.read,
            "ignored": self.tally.ignored,
            "rejected": self.tally.rejected(),
            "rejections": rejections,
            "events": events,
            "stored": stored,
            "duplicates": duplicates,
            "superseded": superseded,
            "uncounted": uncounted,
            "first_day": self.days.map(|(first, _)| day_text(first)),
            "last_day": self.days.map(|(_, last)| day_text(last)),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.state == State::FinishedBefore {
            writeln!(f, "this import was finished before; nothing to do (--restart reads everything anew)")?;
        }
        let (tally, loaded) = (&self.tally, &self.loaded);
        write!(f, "read {}  stored {}  duplicates {}", tally.read, loaded.stored, loaded.duplicates)?;
        write!(f, "  rejected {}", tally.rejected())?;
        if tally.ignored > 0 {
            write!(f, "  ignored {}", tally.ignored)?;
        }
        if loaded.superseded > 0 {
            write!(f, "  replaced {}", loaded.superseded)?;
        }
        if loaded.uncounted > 0 {
            write!(f, "  stored before a break, not told apart {}", loaded.uncounted)?;
        }
        if let Some((first, last)) = self.days {
            write!(f, "  days {} to {}", day_text(first), day_text(last))?;
        }
        for (reason, rejections) in tally.rejected.iter().take(NAMED_MAX) {
            let first = rejections.places.first().map_or(String::new(), |place| format!(" (first: {place})"));
            write!(f, "\n  rejected {}: {reason}{first}", rejections.count)?;
        }
        if tally.rejected.len() > NAMED_MAX {
            write!(f, "\n  and for {} more reasons", tally.rejected.len() - NAMED_MAX)?;
        }
        Ok(())
    }
}
