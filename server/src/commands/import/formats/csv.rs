//! CSV by RFC 4180 with a line of column names. A row that is broken costs itself and no other.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;
use std::sync::Arc;

use csv::{ByteRecord, Reader, ReaderBuilder};
use footfall_model::Value;

use super::cell::{CellFault, moment, object, typed};
use super::{Chunk, Columns, Mapping, Row, without_mark};
use crate::commands::CommandError;
use crate::config::TimeUnit;

const CHUNK_ROWS: usize = 4_000;
const CHUNK_BYTES: usize = 1 << 20;
/// A row that is longer has a quote that nobody closed: the rest of the file would become one cell.
const ROW_BYTES_MAX: usize = 16 << 20;
const BUFFER: usize = 1 << 16;

pub struct Rows {
    reader: Reader<Bounded>,
    /// What may still be read for the current row.
    room: Rc<Cell<usize>>,
    columns: Arc<Columns>,
    address: String,
}

impl Rows {
    pub fn new(
        input: Box<dyn BufRead>,
        mapping: &Mapping,
        address: &str,
        notes: &mut Vec<String>,
    ) -> Result<Self, CommandError> {
        let room = Rc::new(Cell::new(ROW_BYTES_MAX));
        let bounded = Bounded { input, room: room.clone() };
        let mut reader = ReaderBuilder::new().flexible(true).buffer_capacity(BUFFER).from_reader(bounded);
        let header = reader.byte_headers().map_err(|e| broken(address, &e))?;
        let mut names = Vec::with_capacity(header.len());
        for (column, name) in header.iter().enumerate() {
            let name = if column == 0 { without_mark(name) } else { name };
            let name = std::str::from_utf8(name);
            let name = name.map_err(|_| CommandError::failed(format!("{address}: a column's name is not UTF-8")))?;
            names.push(name.trim().to_owned());
        }
        let columns = Columns::resolve(names, mapping, notes);
        let columns = columns.map_err(|reason| CommandError::failed(format!("{address} {reason}")))?;
        Ok(Self { reader, room, columns: Arc::new(columns), address: address.to_owned() })
    }

    pub fn skip(&mut self, rows: u64) -> Result<(), CommandError> {
        let mut row = ByteRecord::new();
        for _ in 0..rows {
            if !self.read(&mut row)? {
                let message = "has fewer rows than were read of it before";
                return Err(CommandError::failed(format!("{} {message}", self.address)));
            }
        }
        Ok(())
    }

    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, CommandError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let mut row = ByteRecord::new();
        while rows.len() < CHUNK_ROWS && bytes < CHUNK_BYTES && self.read(&mut row)? {
            bytes += row.as_slice().len();
            rows.push(std::mem::take(&mut row));
        }
        Ok((!rows.is_empty()).then(|| Chunk::Csv { columns: self.columns.clone(), rows }))
    }

    fn read(&mut self, row: &mut ByteRecord) -> Result<bool, CommandError> {
        self.room.set(ROW_BYTES_MAX);
        self.reader.read_byte_record(row).map_err(|e| broken(&self.address, &e))
    }
}

fn broken(address: &str, error: &csv::Error) -> CommandError {
    CommandError::failed(format!("cannot read {address}: {error}"))
}

/// Ends in an error where a row has no end.
struct Bounded {
    input: Box<dyn BufRead>,
    room: Rc<Cell<usize>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.room.get();
        if room == 0 {
            let message = format!("a row is longer than {ROW_BYTES_MAX} bytes; is there a quote that is not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let read = self.input.read(buffer)?;
        self.room.set(room.saturating_sub(read));
        Ok(read)
    }
}

/// One row, with as many cells as there are columns.
pub struct CsvRow<'a>(&'a ByteRecord);

impl<'a> CsvRow<'a> {
    /// The row; its fault is that it has another number of cells.
    pub fn new(row: &'a ByteRecord, columns: &Columns) -> Result<Self, String> {
        match (row.len(), columns.names.len()) {
            (cells, names) if cells == names => Ok(Self(row)),
            (cells, names) => Err(format!("the row has {cells} cells, but there are {names} columns")),
        }
    }

    fn text(&self, column: usize) -> Result<&'a str, CellFault> {
        let cell = self.0.get(column).unwrap_or_default();
        std::str::from_utf8(cell).map_err(|_| CellFault::new(column, "is not UTF-8"))
    }
}

impl Row for CsvRow<'_> {
    fn id(&self, column: usize) -> Result<Option<Value>, CellFault> {
        let text = self.text(column)?;
        Ok((!text.is_empty()).then(|| Value::Text(text.to_owned())))
    }

    fn time(&self, column: usize, unit: Option<TimeUnit>) -> Result<Option<Value>, CellFault> {
        Ok(self.id(column)?.map(|value| moment(value, unit)))
    }

    fn object(&self, column: usize) -> Result<Option<Vec<(String, Value)>>, CellFault> {
        object(column, self.text(column)?)
    }

    fn value(&self, column: usize) -> Result<Option<Value>, CellFault> {
        Ok(typed(self.text(column)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8]) -> Result<Rows, CommandError> {
        let input = Box::new(io::BufReader::new(io::Cursor::new(text.to_vec())));
        Rows::new(input, &Mapping::default(), "t.csv", &mut Vec::new())
    }

    fn read(mut rows: Rows) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        while let Some(Chunk::Csv { rows, .. }) = rows.next_chunk().unwrap() {
            let text = |cell: &[u8]| String::from_utf8_lossy(cell).into_owned();
            found.extend(rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>()));
        }
        found
    }

    #[test]
    fn quotes_line_feeds_and_a_byte_order_mark_are_understood() {
        let text = b"\xef\xbb\xbfevent,time,user_id\r\n\"a \"\"b\"\"\",1,\"x\ny\"\n\nc,2\n";
        let rows = rows(text).unwrap();
        assert_eq!(rows.columns.names, ["event", "time", "user_id"]);
        assert_eq!(read(rows), [vec!["a \"b\"", "1", "x\ny"], vec!["c", "2"]]);
    }

    #[test]
    fn a_file_of_many_chunks_can_be_entered_anywhere() {
        let text: String = (0..20_000).map(|i| format!("e{i},{i},u\n")).collect();
        let text = format!("event,time,user_id\n{text}");
        let all = read(rows(text.as_bytes()).unwrap());
        assert_eq!(all.len(), 20_000);
        for skip in [1, 4_000, 19_999, 20_000] {
            let mut rest = rows(text.as_bytes()).unwrap();
            rest.skip(skip as u64).unwrap();
            assert_eq!(read(rest), all[skip..]);
        }
        assert!(rows(text.as_bytes()).unwrap().skip(20_001).is_err());
    }

    #[test]
    fn an_open_quote_does_not_swallow_the_file() {
        let mut text = b"event,time,user_id\na,1,u\nb,2,\"".to_vec();
        text.extend(vec![b'x'; ROW_BYTES_MAX + BUFFER]);
        let Err(error) = rows(&text).unwrap().next_chunk() else { panic!("an error") };
        assert!(error.to_string().contains("a quote that is not closed"), "{error}");
    }
}
