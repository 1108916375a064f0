//! A change to the profile of a user or a group, as it was sent.

use serde::{Deserialize, Serialize};

use crate::Value;

/// Whose profile is changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ProfileTarget {
    /// A user, by the id that the record names.
    Person { distinct_id: String },
    /// One group of a kind: key `company`, id `acme`. An id that was no text is its JSON.
    Group {
        #[serde(rename = "group_key")]
        key: String,
        #[serde(rename = "group_id")]
        id: String,
    },
}

/// One valid record of `/engage` or `/groups`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileUpdate {
    #[serde(flatten)]
    pub target: ProfileTarget,
    /// The record without `$token`, as a map: its operation and what that is given.
    pub record: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_come_back_from_their_json() {
        let record = Value::Map(vec![("$set".into(), Value::Map(vec![("n".into(), Value::Float(5.0))]))]);
        for target in [
            ProfileTarget::Person { distinct_id: "ann".into() },
            ProfileTarget::Group { key: "company".into(), id: "acme".into() },
        ] {
            let update = ProfileUpdate { target, record: record.clone() };
            let text = serde_json::to_string(&update).unwrap();
            assert_eq!(serde_json::from_str::<ProfileUpdate>(&text).unwrap(), update, "{text}");
        }
    }
}
