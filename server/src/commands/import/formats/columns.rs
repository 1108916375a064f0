//! What the columns of a table mean: a few have a role in every event, the others are properties under their own names.
//!
//! Roles go to the columns that `--map` names, else to columns of the usual names (`timestamp` for `time`, in any case
//! of letters). `user_id` and `device_id` become `$user_id` and `$device_id`, as they do in flat JSON records; a table
//! that has `user_id` and no `distinct_id` takes the one for the other.

use std::fmt;

use footfall_model::Value;

use super::cell::CellFault;
use crate::commands::CommandError;
use crate::config::{ImportSettings, TimeUnit};

/// What a column can be for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Event,
    DistinctId,
    UserId,
    DeviceId,
    Time,
    InsertId,
    /// A JSON object whose members are properties.
    Properties,
}

impl Role {
    const ALL: [Self; 7] =
        [Self::Event, Self::DistinctId, Self::UserId, Self::DeviceId, Self::Time, Self::InsertId, Self::Properties];

    /// As `--map` calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::DistinctId => "distinct_id",
            Self::UserId => "user_id",
            Self::DeviceId => "device_id",
            Self::Time => "time",
            Self::InsertId => "insert_id",
            Self::Properties => "properties",
        }
    }

    /// Names by which columns have it on their own, the best first.
    fn usual_names(self) -> &'static [&'static str] {
        match self {
            Self::Event => &["event"],
            Self::DistinctId => &["distinct_id"],
            Self::UserId => &["$user_id", "user_id"],
            Self::DeviceId => &["$device_id", "device_id"],
            Self::Time => &["time", "timestamp"],
            Self::InsertId => &["$insert_id", "insert_id"],
            Self::Properties => &["properties"],
        }
    }

    /// The property that carries it in a record; none where the record is not told by a property.
    fn property(self) -> Option<&'static str> {
        match self {
            Self::Event | Self::Properties => None,
            Self::DistinctId => Some("distinct_id"),
            Self::UserId => Some("$user_id"),
            Self::DeviceId => Some("$device_id"),
            Self::Time => Some("time"),
            Self::InsertId => Some("$insert_id"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the command line says about columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    /// An empty column: no column has the role.
    columns: Vec<(Role, String)>,
    time_unit: Option<TimeUnit>,
    event: Option<String>,
}

impl Mapping {
    pub fn new(settings: &ImportSettings) -> Result<Self, CommandError> {
        let mut columns: Vec<(Role, String)> = Vec::new();
        for pair in &settings.map {
            let (target, column) = pair.split_once('=').unwrap_or((pair, ""));
            let role = Role::ALL.into_iter().find(|role| role.name() == target.trim());
            let Some(role) = role.filter(|_| pair.contains('=')) else {
                let roles = Role::ALL.map(Role::name).join(", ");
                return Err(CommandError::usage(format!(
                    "--map {pair}: write TARGET=COLUMN, where TARGET is one of {roles}"
                )));
            };
            if columns.iter().any(|(other, _)| *other == role) {
                return Err(CommandError::usage(format!("--map names two columns for {role}")));
            }
            columns.push((role, column.trim().to_owned()));
        }
        let event = settings.event.clone();
        if event.as_ref().is_some_and(|name| name.trim().is_empty()) {
            return Err(CommandError::usage("--event needs a name"));
        }
        if event.is_some() && columns.iter().any(|(role, column)| *role == Role::Event && !column.is_empty()) {
            return Err(CommandError::usage(
                "--event names all events alike, --map event=… each by its column: give one",
            ));
        }
        Ok(Self { columns, time_unit: settings.time_unit, event })
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The columns of one table.
#[derive(Debug)]
pub struct Columns {
    pub names: Vec<String>,
    roles: Vec<(Role, usize)>,
    /// Columns that are properties under their own name.
    properties: Vec<usize>,
    pub time_unit: Option<TimeUnit>,
    event: Option<String>,
}

impl Columns {
    /// Gives each column its meaning. What is worth telling the user goes into `notes`; an error says what to do.
    pub fn resolve(names: Vec<String>, mapping: &Mapping, notes: &mut Vec<String>) -> Result<Self, String> {
        if let Some(name) = first_repeated(&names) {
            return Err(format!("has two columns that are called {name:?}; rename one"));
        }
        let mut roles = Vec::new();
        for role in Role::ALL {
            let mapped = mapping.columns.iter().find(|(other, _)| *other == role);
            let column = match mapped {
                Some((_, column)) if column.is_empty() => None,
                Some((_, column)) => Some(position(&names, column).ok_or_else(|| missing(column, &names))?),
                None => usual_column(role, &names),
            };
            roles.extend(column.map(|column| (role, column)));
        }
        let column_of = |role: Role| roles.iter().find(|(other, _)| *other == role).map(|(_, column)| *column);
        let unmapped = |role: Role| !mapping.columns.iter().any(|(other, _)| *other == role);
        if let (None, Some(user), true) =
            (column_of(Role::DistinctId), column_of(Role::UserId), unmapped(Role::DistinctId))
        {
            roles.push((Role::DistinctId, user));
        }
        let has = |role: Role| roles.iter().any(|(other, _)| *other == role);
        let says = |what: &str, how: &str| {
            format!("has no column that says {what}: {how}; its columns are {}", listed(&names))
        };
        if !has(Role::Event) && mapping.event.is_none() {
            return Err(says("which event a row is", "give --map event=COLUMN, or --event NAME for all rows"));
        }
        if !has(Role::Time) && !has(Role::Properties) {
            return Err(says("when it happened", "give --map time=COLUMN"));
        }
        let somebody = [Role::DistinctId, Role::UserId, Role::DeviceId, Role::Properties];
        if !somebody.into_iter().any(has) && unmapped(Role::DistinctId) {
            let how = "give --map distinct_id=COLUMN, or --map distinct_id= if the events are nobody's";
            return Err(says("whose event it is", how));
        }
        let mut properties = Vec::new();
        for (column, name) in names.iter().enumerate() {
            let taken = roles.iter().any(|(_, other)| *other == column);
            // As a property it would be understood as what it is called, although --map says otherwise.
            let denied = Role::ALL.into_iter().find(|role| role.property() == Some(name));
            match (name.is_empty(), taken, denied) {
                (_, true, _) => {}
                (true, ..) => notes.push(format!("column {} has no name and is left out", column + 1)),
                (_, _, Some(role)) => notes.push(format!("column {name} is left out: --map says otherwise for {role}")),
                _ => properties.push(column),
            }
        }
        Ok(Self { names, roles, properties, time_unit: mapping.time_unit, event: mapping.event.clone() })
    }

    /// The record of a row: the event's name, and the properties as a client would have sent them. Of a name that is a
    /// column and a member of the `properties` column, the column counts.
    pub fn record(&self, row: &impl Row) -> Result<(Option<Value>, Vec<(String, Value)>), CellFault> {
        let mut event = self.event.clone().map(Value::Text);
        let mut members = Vec::with_capacity(self.names.len());
        for (_, column) in self.roles.iter().filter(|(role, _)| *role == Role::Properties) {
            members.extend(row.object(*column)?.unwrap_or_default());
        }
        for (role, column) in &self.roles {
            let value = match role {
                Role::Properties => continue,
                Role::Time => row.time(*column, self.time_unit)?,
                _ => row.id(*column)?,
            };
            match (role.property(), value) {
                (_, None) => {}
                (None, value) => event = value,
                (Some(name), Some(value)) => members.push((name.to_owned(), value)),
            }
        }
        for column in &self.properties {
            if let (Some(value), Some(name)) = (row.value(*column)?, self.names.get(*column)) {
                members.push((name.clone(), value));
            }
        }
        Ok((event, members))
    }

    /// The column behind a field that validation names.
    pub fn behind(&self, field: &str) -> Option<&str> {
        let property = field.strip_prefix("properties.").unwrap_or(field);
        let role = self.roles.iter().find(|(role, _)| role.property() == Some(property) || role.name() == field);
        match role {
            Some((_, column)) => self.names.get(*column).map(String::as_str),
            None => self.names.iter().map(String::as_str).find(|name| *name == property),
        }
    }
}

/// One row of a table. `None` is a cell without a value.
pub trait Row {
    /// What names something: kept to the letter.
    fn id(&self, column: usize) -> Result<Option<Value>, CellFault>;
    /// A moment, as the `time` of a record understands it.
    fn time(&self, column: usize, unit: Option<TimeUnit>) -> Result<Option<Value>, CellFault>;
    /// A JSON object.
    fn object(&self, column: usize) -> Result<Option<Vec<(String, Value)>>, CellFault>;
    /// A property.
    fn value(&self, column: usize) -> Result<Option<Value>, CellFault>;
}

fn position(names: &[String], wanted: &str) -> Option<usize> {
    names.iter().position(|name| name == wanted)
}

fn usual_column(role: Role, names: &[String]) -> Option<usize> {
    let usual = role.usual_names();
    let exact = usual.iter().find_map(|usual| position(names, usual));
    exact.or_else(|| usual.iter().find_map(|usual| names.iter().position(|name| name.eq_ignore_ascii_case(usual))))
}

fn first_repeated(names: &[String]) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    names.iter().map(String::as_str).find(|name| !name.is_empty() && !seen.insert(*name))
}

fn missing(column: &str, names: &[String]) -> String {
    format!("has no column {column:?}; its columns are {}", listed(names))
}

fn listed(names: &[String]) -> String {
    const SHOWN_MAX: usize = 30;
    let shown: Vec<&str> = names.iter().take(SHOWN_MAX).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN_MAX);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

#[cfg(test)]
mod tests;
