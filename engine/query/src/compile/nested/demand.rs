//! What an expression asks of the inside of a property: which keys and positions, which lists it goes through, and which
//! lanes of each value it reads.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields};
use footfall_lang::ast::Index;

/// One of the columns that hold a value; at most one is set in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::compile) enum Lane {
    Bool,
    /// Float64, finite, never −0.
    Number,
    Text,
    /// Int64 seconds; never in JSON.
    Datetime,
    /// True where the value is null.
    Null,
    /// True where the value is a list or map.
    Nested,
    /// The text of a list or map, the same for equal values.
    Json,
    /// The elements of a list.
    List,
    /// The same of `list(x)`: of a value that is no list, the value itself.
    Listed,
    /// True where a type error happened.
    Error,
}

impl Lane {
    pub(super) const SCALARS: [Self; 5] = [Self::Bool, Self::Number, Self::Text, Self::Null, Self::Nested];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Number => "number",
            Self::Text => "text",
            Self::Datetime => "datetime",
            Self::Null => "null",
            Self::Nested => "nested",
            Self::Json => "json",
            Self::List => "list",
            Self::Listed => "listed",
            Self::Error => "error",
        }
    }
}

/// A step from a value to one inside of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::compile) enum Hop {
    Index(Index),
    /// To every element of a list.
    Elements,
    /// To every element of `list(x)`.
    Listed,
}

/// The name of a lane's column: that of the value it is in, the way from there, the lane.
pub(super) fn column_name(value: &str, path: &[Index], lane: Lane) -> String {
    let mut name = value.to_owned();
    for index in path {
        push_index(&mut name, index);
    }
    name + "#" + lane.name()
}

fn push_index(name: &mut String, index: &Index) {
    // Writing to a string does not fail.
    let _ = match index {
        Index::Key(key) => write!(name, "[{key:?}]"),
        Index::Position(position) => write!(name, "[{position}]"),
    };
}

/// What is asked of a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Demand {
    pub(super) lanes: Vec<Lane>,
    pub(super) members: Vec<(Index, Demand)>,
    /// Of the elements of a list; present if the list is asked for at all.
    pub(super) elements: Option<Box<Demand>>,
    /// As `elements`, of `list(x)`.
    pub(super) listed: Option<Box<Demand>>,
}

impl Demand {
    /// Asks for a lane of the value at the end of a way.
    pub(super) fn want(&mut self, way: &[Hop], lane: Lane) {
        match way.split_first() {
            Some((Hop::Elements, rest)) => self.elements.get_or_insert_default().want(rest, lane),
            Some((Hop::Listed, rest)) => self.listed.get_or_insert_default().want(rest, lane),
            Some((Hop::Index(index), rest)) => self.member(index).want(rest, lane),
            None if lane == Lane::List => {
                self.elements.get_or_insert_default();
            }
            None if lane == Lane::Listed => {
                self.listed.get_or_insert_default();
            }
            None if self.lanes.contains(&lane) => {}
            None => self.lanes.push(lane),
        }
    }

    fn member(&mut self, index: &Index) -> &mut Self {
        let position = self.members.iter().position(|(known, _)| known == index).unwrap_or_else(|| {
            self.members.push((index.clone(), Self::default()));
            self.members.len() - 1
        });
        &mut self.members[position].1
    }

    /// The columns of the value, those of its members included: what [`super::decode`] makes, in this order.
    pub(super) fn fields(&self) -> Fields {
        let mut fields = Vec::new();
        self.push_fields("", &mut fields);
        Fields::from(fields)
    }

    fn push_fields(&self, value: &str, fields: &mut Vec<Field>) {
        for lane in &self.lanes {
            let data_type = match lane {
                Lane::Number => DataType::Float64,
                Lane::Text | Lane::Json => DataType::Utf8View,
                _ => DataType::Boolean,
            };
            fields.push(Field::new(column_name(value, &[], *lane), data_type, true));
        }
        for (lane, elements) in [(Lane::List, &self.elements), (Lane::Listed, &self.listed)] {
            if let Some(elements) = elements {
                let list = DataType::ListView(elements_field(elements.fields()));
                fields.push(Field::new(column_name(value, &[], lane), list, true));
            }
        }
        for (index, member) in &self.members {
            let mut inner = value.to_owned();
            push_index(&mut inner, index);
            member.push_fields(&inner, fields);
        }
    }
}

/// The field of a list whose elements have these columns.
pub(super) fn elements_field(fields: Fields) -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Struct(fields), false))
}
