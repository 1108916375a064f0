//! Why a record was refused, in the words clients know: `message` for strict import, `reason` for everything else.

use std::borrow::Cow;

use crate::limits::{
    CONTAINER_BYTES_MAX, DEPTH_MAX, INSERT_ID_BYTES_MAX, NESTED_MAX, PROPERTIES_MAX, RECORD_BYTES_MAX,
};
use crate::validate::fit::Misfit;

/// One situation in which a record is refused. Names are those of properties, as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A line of NDJSON that is no JSON.
    Malformed,
    NotAnObject,
    EventMissing,
    PropertiesMissing,
    TokenMissing,
    /// `$merge` rewrites history and therefore needs the credentials of `/import`.
    MergeOnTrack,
    TooBig,
    TooManyProperties,
    TimeInvalid,
    /// Before 1971, or further ahead than a wrong clock explains.
    TimeOutOfRange,
    /// Older than the window of `/track`, in whole days.
    TimeTooOld {
        days: u64,
    },
    DistinctIdMissing,
    /// The property (`distinct_id`, `$user_id`, `$device_id`) holds a value on the deny list.
    IdDenied(&'static str),
    InsertIdMissing,
    InsertIdDenied,
    InsertIdCharacters,
    InsertIdTooLong,
    /// The event's name holds broken text.
    NameNotUtf8,
    NotUtf8(String),
    TooDeep(String),
    TooManyMembers(String),
    ContainerTooBig(String),
}

impl Fault {
    /// The word by which refusals are counted. There are no others than these.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotAnObject => "not_an_object",
            Self::EventMissing => "event_missing",
            Self::PropertiesMissing => "properties_missing",
            Self::TokenMissing => "token_missing",
            Self::MergeOnTrack => "merge_on_track",
            Self::TooBig => "too_big",
            Self::TooManyProperties => "too_many_properties",
            Self::TimeInvalid => "time_invalid",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::TimeTooOld { .. } => "time_too_old",
            Self::DistinctIdMissing => "distinct_id_missing",
            Self::IdDenied(_) => "id_denied",
            Self::InsertIdMissing => "insert_id_missing",
            Self::InsertIdDenied => "insert_id_denied",
            Self::InsertIdCharacters => "insert_id_characters",
            Self::InsertIdTooLong => "insert_id_too_long",
            Self::NameNotUtf8 | Self::NotUtf8(_) => "not_utf8",
            Self::TooDeep(_) => "too_deep",
            Self::TooManyMembers(_) => "too_many_members",
            Self::ContainerTooBig(_) => "container_too_big",
        }
    }

    /// The list or object of the property `name` does not fit.
    pub(crate) fn of_container(misfit: Misfit, name: &str) -> Self {
        let name = name.to_owned();
        match misfit {
            Misfit::TooDeep => Self::TooDeep(name),
            Misfit::TooManyMembers => Self::TooManyMembers(name),
            Misfit::TooBig => Self::ContainerTooBig(name),
        }
    }

    /// The part of the record at fault, as `failed_records[].field` names it; empty for the record as a whole.
    pub fn field(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed | Self::NotAnObject | Self::TooBig => "".into(),
            Self::EventMissing | Self::NameNotUtf8 | Self::MergeOnTrack => "event".into(),
            Self::PropertiesMissing | Self::TooManyProperties => "properties".into(),
            Self::TokenMissing => "properties.token".into(),
            Self::TimeInvalid | Self::TimeOutOfRange | Self::TimeTooOld { .. } => "properties.time".into(),
            Self::DistinctIdMissing => "properties.distinct_id".into(),
            Self::IdDenied(name) => format!("properties.{name}").into(),
            Self::InsertIdMissing | Self::InsertIdDenied | Self::InsertIdCharacters | Self::InsertIdTooLong => {
                "$insert_id".into()
            }
            Self::NotUtf8(name) | Self::TooDeep(name) | Self::TooManyMembers(name) | Self::ContainerTooBig(name) => {
                format!("properties.{name}").into()
            }
        }
    }

    /// What strict import says. Several of these texts are matched by clients to the letter.
    pub fn message(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed => "record is invalid: must be valid json".into(),
            Self::NotAnObject => "record is invalid: must be an object".into(),
            Self::EventMissing => "'event' must not be missing or blank".into(),
            Self::PropertiesMissing => "'properties' is invalid: must be an object".into(),
            Self::TokenMissing => "'properties.token' is invalid: must not be missing or blank".into(),
            Self::MergeOnTrack => "'event' is invalid: $merge is accepted by /import only".into(),
            Self::TooBig => format!("record is invalid: must not exceed {RECORD_BYTES_MAX} bytes").into(),
            Self::TooManyProperties => {
                format!("'properties' is invalid: must not have more than {PROPERTIES_MAX} properties").into()
            }
            Self::TimeInvalid => "'properties.time' is invalid: must be specified as seconds since epoch".into(),
            Self::TimeOutOfRange => {
                "'properties.time' is invalid: must be between 1971-01-01 and one hour from now".into()
            }
            Self::TimeTooOld { days } => {
                format!("'properties.time' is invalid: must not be more than {days} days in the past").into()
            }
            Self::DistinctIdMissing => "'properties.distinct_id' is invalid: must not be missing".into(),
            Self::IdDenied(name) => format!("'properties.{name}' is invalid: value is not allowed").into(),
            Self::InsertIdMissing => "'$insert_id' is invalid: must not be missing or blank".into(),
            Self::InsertIdDenied => "'$insert_id' is invalid: value is not allowed".into(),
            Self::InsertIdCharacters => {
                "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters".into()
            }
            Self::InsertIdTooLong => {
                format!("'$insert_id' is invalid: must not exceed {INSERT_ID_BYTES_MAX} bytes").into()
            }
            Self::NameNotUtf8 => "event is invalid: string should be valid utf8".into(),
            Self::NotUtf8(name) => format!("properties.{name} is invalid: string should be valid utf8").into(),
            Self::TooDeep(name) => {
                format!("'properties.{name}' is invalid: must not be nested deeper than {DEPTH_MAX} levels").into()
            }
            Self::TooManyMembers(name) => {
                format!("'properties.{name}' is invalid: must not have more than {NESTED_MAX} elements").into()
            }
            Self::ContainerTooBig(name) => {
                format!("'properties.{name}' is invalid: must not exceed {CONTAINER_BYTES_MAX} bytes").into()
            }
        }
    }

    /// What `/track` and lenient import say when no record of the request was valid.
    pub fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed | Self::NotAnObject => "data, invalid json".into(),
            Self::EventMissing => "event, missing or empty".into(),
            Self::PropertiesMissing => "properties, missing or invalid".into(),
            Self::TokenMissing => "token, missing or empty".into(),
            Self::MergeOnTrack => "event, $merge is accepted by /import only".into(),
            Self::TooBig => "data, record too big".into(),
            Self::TooManyProperties => "properties, too many".into(),
            Self::TimeInvalid => "time, must be seconds since epoch".into(),
            Self::TimeOutOfRange => "time, before 1971-01-01".into(),
            Self::TimeTooOld { days } => format!("time, more than {days} days in the past").into(),
            strict_only => strict_only.message(),
        }
    }
}
