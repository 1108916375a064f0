//! The CSV of a lookup table: accepted whole, or refused with the rows that are at fault.
//!
//! The first row names the columns; the first column is the key of a row. What a value means, number, date or text, is
//! settled when the table is read.

use std::collections::HashSet;

use csv::{ByteRecord, ReaderBuilder};
use xxhash_rust::xxh3::xxh3_128;

/// Rows at fault that are reported; the others would only say the same.
const REPORTED_MAX: usize = 10;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// Place among the rows below the names, from zero; zero too where the names themselves are wrong.
    pub index: usize,
    pub message: String,
}

/// Checks a whole table. `Err` holds the first ten faults in the order of the rows.
pub fn check(text: &[u8]) -> Result<(), Vec<RowFault>> {
    let mut reader = ReaderBuilder::new().has_headers(true).flexible(true).from_reader(without_mark(text));
    let names = reader.byte_headers().map_err(|_| vec![fault(0, UNREADABLE)])?.clone();
    check_names(&names).map_err(|message| vec![fault(0, message)])?;
    let mut faults = Vec::new();
    let mut keys = Keys::default();
    let mut record = ByteRecord::new();
    let mut index = 0;
    // A missing key, a repeated one and a wrong length are faults that can be in any row; ten are enough to go on.
    while faults.len() < REPORTED_MAX {
        match reader.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(_) => {
                faults.push(fault(index, UNREADABLE));
                break;
            }
        }
        match problem(&record, names.len()) {
            Some(message) => faults.push(fault(index, message)),
            None => keys.note(record.get(0).unwrap_or_default(), index),
        }
        index += 1;
    }
    faults.extend(keys.repeated().into_iter().map(|(earlier, later)| {
        fault(later, &format!("invalid row: row indexes {earlier} and {later} have the same primary key"))
    }));
    if faults.is_empty() {
        return Ok(());
    }
    faults.sort_by_key(|fault| fault.index);
    faults.truncate(REPORTED_MAX);
    Err(faults)
}

const UNREADABLE: &str = "invalid row: must be csv";

fn fault(index: usize, message: &str) -> RowFault {
    RowFault { index, message: message.to_owned() }
}

fn check_names(names: &ByteRecord) -> Result<(), &'static str> {
    let mut seen = HashSet::new();
    for name in names {
        let Ok(name) = std::str::from_utf8(name) else { return Err("invalid header: string should be valid utf8") };
        if name.trim().is_empty() {
            return Err("invalid header: column names are required and cannot be blank");
        }
        if !seen.insert(name) {
            return Err("invalid header: column names must be unique");
        }
    }
    if seen.is_empty() { Err("invalid header: column names are required and cannot be blank") } else { Ok(()) }
}

fn problem(record: &ByteRecord, columns: usize) -> Option<&'static str> {
    if record.len() != columns {
        Some("invalid row: wrong number of fields")
    } else if record.iter().any(|field| std::str::from_utf8(field).is_err()) {
        Some("invalid row: string should be valid utf8")
    } else if record.get(0).unwrap_or_default().trim_ascii().is_empty() {
        Some("primary key is required and cannot be blank")
    } else {
        None
    }
}

/// The keys seen, 16 bytes each however long they are: 96 bits of a hash, and the row. Of a hundred million keys two
/// would be taken for one with a chance of one in ten million million.
#[derive(Default)]
struct Keys(Vec<u128>);

impl Keys {
    fn note(&mut self, key: &[u8], row: usize) {
        // 2^32 rows would be four gigabytes of text, which is never read.
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        self.0.push((xxh3_128(key) & !u128::from(u32::MAX)) | u128::from(row));
    }

    /// Pairs of rows with one key: each row that repeats a key, behind the one before it that has it.
    fn repeated(mut self) -> Vec<(usize, usize)> {
        self.0.sort_unstable();
        let row = |entry: u128| (entry & u128::from(u32::MAX)) as usize;
        let pairs = self.0.windows(2).filter_map(|pair| match *pair {
            [a, b] if a >> 32 == b >> 32 => Some((row(a), row(b))),
            _ => None,
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable_by_key(|(_, later)| *later);
        pairs.truncate(REPORTED_MAX);
        pairs
    }
}

/// The byte order mark that spreadsheets begin a file with.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &[u8], expect: &[(usize, &str)]) {
        let faults = check(text).unwrap_err();
        let found: Vec<_> = faults.iter().map(|fault| (fault.index, fault.message.as_str())).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn tables_of_rfc_4180_are_accepted() {
        for text in [
            "id\n",
            "id,name\na,1\nb,2",
            "id,name\r\n\"a\r\nb\",\"say \"\"yes\"\"\"\r\nc,\r\n",
            "\u{feff}id,tags\na,\"[\"\"x\"\",\"\"y\"\"]\"\n\n",
            "id\nä\nA\na\n",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn names_are_there_and_unique() {
        for blank in ["", "\n", "id,\n", " \na\n"] {
            refused(blank.as_bytes(), &[(0, "invalid header: column names are required and cannot be blank")]);
        }
        refused(b"id,name,id\na,b,c\n", &[(0, "invalid header: column names must be unique")]);
        refused(b"id,\xff\n", &[(0, "invalid header: string should be valid utf8")]);
    }

    #[test]
    fn rows_at_fault_are_named_from_zero() {
        refused(b"id,n\na,1\nb,2\n,3\n", &[(2, "primary key is required and cannot be blank")]);
        refused(
            b"id,n\na,1\nb,2\nb,3\na,4\n",
            &[
                (2, "invalid row: row indexes 1 and 2 have the same primary key"),
                (3, "invalid row: row indexes 0 and 3 have the same primary key"),
            ],
        );
        refused(
            b"id,n\na\n\xff,1\n \t,2\nb,2,3\n",
            &[
                (0, "invalid row: wrong number of fields"),
                (1, "invalid row: string should be valid utf8"),
                (2, "primary key is required and cannot be blank"),
                (3, "invalid row: wrong number of fields"),
            ],
        );
        refused(
            b"id\na\na\na\n",
            &[
                (1, "invalid row: row indexes 0 and 1 have the same primary key"),
                (2, "invalid row: row indexes 1 and 2 have the same primary key"),
            ],
        );
    }

    #[test]
    fn ten_faults_are_enough() {
        let text = format!("id,n\n{}", ",1\n".repeat(50));
        let faults = check(text.as_bytes()).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.index).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        let text = format!("id\n{}", "a\n".repeat(50));
        assert_eq!(check(text.as_bytes()).unwrap_err().len(), 10);
    }
}
