//! Small JSON objects under a checksum of their own.
//!
//! JSON has no redundancy: a flipped bit in a number or a text is another number or text. So the last member of an object
//! that we write is a CRC-32C of all that comes before it:
//!
//! ```text
//! { "format": 1, "name": "Accounts", "crc32c": 2896712543 }
//! └────────── under it ───────────┘
//! ```
//!
//! It stays JSON that anybody reads. Objects of the time before have no such member and are taken as they are.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StorageError;
use crate::sound::read_sound;

const MEMBER: &str = "\"crc32c\":";

/// `record`, which must be a JSON object with members, as the bytes to store.
pub fn seal(record: &impl Serialize) -> Result<Bytes, StorageError> {
    let text = serde_json::to_string_pretty(record).map_err(|error| malformed("record", &error))?;
    let text = text.strip_suffix("\n}").ok_or_else(|| StorageError::corrupt("record", "no JSON object"))?;
    let sum = crc32c::crc32c(text.as_bytes());
    Ok(format!("{text},\n  {MEMBER} {sum}\n}}").into())
}

/// What the object at `what` says, if it is as it was written.
pub fn unseal<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StorageError> {
    if let Some((text, sum)) = std::str::from_utf8(bytes).ok().and_then(split) {
        // Whatever else stands there is damage too.
        let sum = sum.trim_end().strip_suffix('}').and_then(|sum| sum.trim().parse().ok());
        if sum != Some(crc32c::crc32c(text.as_bytes())) {
            return Err(StorageError::corrupt(what, "checksum mismatch"));
        }
    }
    serde_json::from_slice(bytes).map_err(|error| malformed(what, &error))
}

/// Reads and [unseals](unseal) the object at `path`; `None` if there is none. Damage on the way passes.
pub async fn read_sealed<T: DeserializeOwned>(
    store: &dyn ObjectStore,
    path: &Path,
) -> Result<Option<(T, Bytes)>, StorageError> {
    read_sound(|| get(store, path), |bytes| Ok((unseal(path.as_ref(), &bytes)?, bytes))).await
}

/// The object at `path`; `None` if there is none.
pub(crate) async fn get(store: &dyn ObjectStore, path: &Path) -> Result<Option<Bytes>, StorageError> {
    let found: Result<Bytes, object_store::Error> = async { store.get(path).await?.bytes().await }.await;
    match found {
        Ok(bytes) => Ok(Some(bytes)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is under the sum, and what follows its name.
fn split(text: &str) -> Option<(&str, &str)> {
    // The last: within a text the quotes would be escaped, and a text itself is followed by no colon.
    let (before, sum) = text.rsplit_once(MEMBER)?;
    Some((before.trim_end().strip_suffix(',')?, sum))
}

fn malformed(what: &str, error: &serde_json::Error) -> StorageError {
    StorageError::corrupt(what, &format!("malformed: {error}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        name: String,
        shards: u16,
    }

    fn record() -> Record {
        Record { name: "\"crc32c\":".to_owned(), shards: 12 }
    }

    #[test]
    fn what_is_sealed_is_json_and_reads_back() {
        let bytes = seal(&record()).unwrap();
        assert_eq!(unseal::<Record>("x", &bytes).unwrap(), record());
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["shards"], 12);
        assert_eq!(unseal::<Record>("x", br#"{"name":"crc32c","shards":3}"#).unwrap().shards, 3, "of the time before");
        assert!(seal(&7).is_err());
    }

    #[test]
    fn no_flipped_bit_changes_what_is_read() {
        let bytes = seal(&record()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Where the member's own name is damaged, the rest is not.
            if let Ok(read) = unseal::<Record>("x", &flipped) {
                assert_eq!(read, record(), "bit {bit}");
            }
        }
    }
}
