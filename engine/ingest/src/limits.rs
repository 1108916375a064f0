//! The documented bounds on one request, one event and one profile update. Anything beyond is rejected or cut, never stored.

/// Records in one request.
pub const RECORDS_MAX: usize = 2000;

/// One event or one profile update as compact JSON, in bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 1 << 20;

/// Properties of one event, not counting those that become columns of their own (`time`, `distinct_id`, …).
pub(crate) const PROPERTIES_MAX: usize = 255;

/// Members read from one `properties` object before giving up on it. Above `PROPERTIES_MAX`, because repeated names
/// count once and some names do not count at all.
pub(crate) const PROPERTIES_READ_MAX: usize = 2 * PROPERTIES_MAX;

/// Elements of a list, members of a nested object: "fewer than 255".
pub(crate) const NESTED_MAX: usize = 254;

/// Levels of nesting below a property. A list of objects is one level, not two: it is a documented type of its own.
pub(crate) const DEPTH_MAX: usize = 3;

/// A list or an object as compact JSON, in bytes.
pub(crate) const CONTAINER_BYTES_MAX: usize = 8 << 10;

/// Properties that one update of a profile names.
pub(crate) const PROFILE_PROPERTIES_MAX: usize = 2000;

/// A list or an object of a profile as compact JSON, in bytes. The number of its elements is not limited: such lists
/// grow by `$append`, past any number that could be checked at arrival.
pub(crate) const PROFILE_CONTAINER_BYTES_MAX: usize = 256 << 10;

/// Unicode scalar values in a text or a name; what is longer is cut.
pub(crate) const TEXT_CHARS_MAX: usize = 255;

/// Bytes of an `$insert_id`.
pub(crate) const INSERT_ID_BYTES_MAX: usize = 36;

/// Earliest time accepted: 1971-01-01T00:00:00Z, in milliseconds.
pub(crate) const TIME_MIN_MS: i64 = 31_536_000_000;

/// How far ahead of arrival a clock may run before strict import calls it an error, in milliseconds.
pub(crate) const TIME_AHEAD_MAX_MS: i64 = 3_600_000;
