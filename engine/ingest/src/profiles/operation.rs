//! The operations of a profile update, and the operands they take.

use footfall_model::Value;

use super::ProfileFault;
use crate::ids::truncate;
use crate::members::{Members, keep_last};
use crate::validate::fit::{Misfit, profile_container};

/// What an update does. The names are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Set,
    SetOnce,
    Add,
    Append,
    Union,
    Remove,
    Unset,
    Delete,
}

/// The operation that a key of the envelope names.
pub(super) fn named(key: &str) -> Option<Operation> {
    Some(match key {
        "$set" => Operation::Set,
        "$set_once" => Operation::SetOnce,
        "$add" | "$increment" => Operation::Add,
        "$append" => Operation::Append,
        "$union" => Operation::Union,
        "$remove" => Operation::Remove,
        "$unset" => Operation::Unset,
        "$delete" => Operation::Delete,
        _ => return None,
    })
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "$set",
            Self::SetOnce => "$set_once",
            Self::Add => "$add",
            Self::Append => "$append",
            Self::Union => "$union",
            Self::Remove => "$remove",
            Self::Unset => "$unset",
            Self::Delete => "$delete",
        }
    }

    /// The operand in its one form, and how many properties it names.
    pub fn normalized(self, operand: Value, strict: bool) -> Result<(Value, usize), ProfileFault> {
        match (self, operand) {
            (Self::Delete, _) => Ok((Value::Text(String::new()), 0)),
            (Self::Unset, Value::Text(name)) => self.names(vec![Value::Text(name)]),
            (Self::Unset, Value::List(names)) => self.names(names),
            (Self::Unset, _) => Err(ProfileFault::OperandNotAList(self.name())),
            (_, Value::Map(members)) => self.members(members, strict),
            _ => Err(ProfileFault::OperandNotAnObject(self.name())),
        }
    }

    fn names(self, names: Vec<Value>) -> Result<(Value, usize), ProfileFault> {
        let names = names.into_iter().map(|name| match name {
            Value::Text(mut name) => {
                truncate(&mut name);
                Ok(Value::Text(name))
            }
            _ => Err(ProfileFault::OperandNotAList(self.name())),
        });
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let count = names.len();
        Ok((Value::List(names), count))
    }

    fn members(self, mut members: Members, strict: bool) -> Result<(Value, usize), ProfileFault> {
        members.retain(|(name, _)| !matches!(name.as_str(), "$distinct_id" | "$token"));
        let mut cut = false;
        for (name, value) in &mut members {
            cut |= truncate(name);
            self.fit(name, value, strict)?;
        }
        if cut {
            keep_last(&mut members);
        }
        let count = members.len();
        Ok((Value::Map(members), count))
    }

    fn fit(self, name: &str, value: &mut Value, strict: bool) -> Result<(), ProfileFault> {
        if self == Self::Add && !matches!(value, Value::Int(_) | Value::Float(_)) {
            return Err(ProfileFault::NotANumber(self.path(name)));
        }
        if self == Self::Union && !matches!(value, Value::List(_)) {
            let single = std::mem::replace(value, Value::Null);
            // Nothing is no element.
            *value = Value::List(if single == Value::Null { Vec::new() } else { vec![single] });
        }
        match value {
            Value::Text(text) => {
                truncate(text);
            }
            Value::List(_) | Value::Map(_) => {
                profile_container(value, strict).map_err(|misfit| match misfit {
                    Misfit::TooDeep => ProfileFault::TooDeep(self.path(name)),
                    Misfit::TooManyMembers | Misfit::TooBig => ProfileFault::ContainerTooBig(self.path(name)),
                })?;
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
        }
        Ok(())
    }

    fn path(self, name: &str) -> String {
        format!("{}.{name}", self.name())
    }
}
