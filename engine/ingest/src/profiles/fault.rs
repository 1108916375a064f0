//! Why a profile update was refused, in the words clients know: `message` in strict mode, `reason` otherwise.

use std::borrow::Cow;

use crate::limits::{DEPTH_MAX, PROFILE_CONTAINER_BYTES_MAX, PROFILE_PROPERTIES_MAX, RECORD_BYTES_MAX};

/// One situation in which a profile update is refused. Texts are paths such as `$set.plan`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileFault {
    /// A line of NDJSON that is no JSON.
    Malformed,
    NotAnObject,
    TooBig,
    TokenMissing,
    /// The key of the envelope that should name somebody: `$distinct_id`, `$group_key`, `$group_id`.
    IdMissing(&'static str),
    NotUtf8(String),
    NoOperation,
    OperandNotAnObject(&'static str),
    /// `$unset` takes names.
    OperandNotAList(&'static str),
    /// `$add` takes numbers.
    NotANumber(String),
    TooManyProperties,
    TooDeep(String),
    ContainerTooBig(String),
}

impl ProfileFault {
    /// The word by which refusals are counted. There are no others than these.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotAnObject => "not_an_object",
            Self::TooBig => "too_big",
            Self::TokenMissing => "token_missing",
            Self::IdMissing(_) => "id_missing",
            Self::NotUtf8(_) => "not_utf8",
            Self::NoOperation => "no_operation",
            Self::OperandNotAnObject(_) | Self::OperandNotAList(_) => "operand_invalid",
            Self::NotANumber(_) => "not_a_number",
            Self::TooManyProperties => "too_many_properties",
            Self::TooDeep(_) => "too_deep",
            Self::ContainerTooBig(_) => "container_too_big",
        }
    }

    /// The part of the record at fault, as `failed_records[].field` names it; empty for the record as a whole.
    pub fn field(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed | Self::NotAnObject | Self::TooBig | Self::NoOperation | Self::TooManyProperties => {
                "".into()
            }
            Self::TokenMissing => "$token".into(),
            Self::IdMissing(key) | Self::OperandNotAnObject(key) | Self::OperandNotAList(key) => (*key).into(),
            Self::NotUtf8(path) | Self::NotANumber(path) | Self::TooDeep(path) | Self::ContainerTooBig(path) => {
                path.clone().into()
            }
        }
    }

    /// What strict mode says about the record.
    pub fn message(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed => "record is invalid: must be valid json".into(),
            Self::NotAnObject => "record is invalid: must be an object".into(),
            Self::TooBig => format!("record is invalid: must not exceed {RECORD_BYTES_MAX} bytes").into(),
            Self::TokenMissing => "'$token' must not be missing or blank".into(),
            Self::IdMissing(key) => format!("'{key}' must not be missing or blank").into(),
            Self::NotUtf8(path) => format!("{path} is invalid: string should be valid utf8").into(),
            Self::NoOperation => "record is invalid: must have an operation such as $set".into(),
            Self::OperandNotAnObject(key) => format!("'{key}' is invalid: must be an object").into(),
            Self::OperandNotAList(key) => format!("'{key}' is invalid: must be a list of names").into(),
            Self::NotANumber(path) => format!("'{path}' is invalid: must be a number").into(),
            Self::TooManyProperties => {
                format!("record is invalid: must not name more than {PROFILE_PROPERTIES_MAX} properties").into()
            }
            Self::TooDeep(path) => {
                format!("'{path}' is invalid: must not be nested deeper than {DEPTH_MAX} levels").into()
            }
            Self::ContainerTooBig(path) => {
                format!("'{path}' is invalid: must not exceed {PROFILE_CONTAINER_BYTES_MAX} bytes").into()
            }
        }
    }

    /// What is said when no record of the request was valid.
    pub fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed | Self::NotAnObject => "data, invalid json".into(),
            Self::TooBig => "data, record too big".into(),
            Self::TokenMissing => "token, missing or empty".into(),
            Self::IdMissing(key) => format!("{key}, missing or empty").into(),
            Self::NoOperation => "no operation found".into(),
            Self::OperandNotAnObject(key) => format!("{key}, must be an object").into(),
            Self::OperandNotAList(key) => format!("{key}, must be a list of names").into(),
            Self::NotANumber(path) => format!("{path}, must be a number").into(),
            Self::TooManyProperties => "properties, too many".into(),
            Self::ContainerTooBig(path) => format!("{path}, too big").into(),
            strict_only @ (Self::NotUtf8(_) | Self::TooDeep(_)) => strict_only.message(),
        }
    }
}
