//! Lines of a file, plain or gzip, with their place.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

/// Far beyond the largest event; a longer line is passed over without keeping it.
const LINE_MAX: usize = 16 << 20;
const BUFFER: usize = 1 << 18;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads the lines of one file.
pub struct Lines {
    input: Box<dyn BufRead>,
    consumed: Rc<Cell<u64>>,
    offset: u64,
    buffer: Vec<u8>,
}

/// One line without its line feed.
#[derive(Debug, PartialEq)]
pub struct Line<'a> {
    /// Where it begins, in bytes of the uncompressed text.
    pub offset: u64,
    pub content: Content<'a>,
}

#[derive(Debug, PartialEq)]
pub enum Content<'a> {
    Text(&'a [u8]),
    TooLong,
}

impl Lines {
    /// Compression is known by the first bytes, whatever the name says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let consumed = Rc::new(Cell::new(0));
        let counted = Counted { inner: File::open(path)?, count: consumed.clone() };
        let mut file = BufReader::with_capacity(BUFFER, counted);
        let input: Box<dyn BufRead> = if file.fill_buf()?.starts_with(&GZIP_MAGIC) {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        };
        Ok(Self { input, consumed, offset: 0, buffer: Vec::new() })
    }

    /// Bytes of the file, as it is on disk, that have been read.
    pub fn consumed(&self) -> u64 {
        self.consumed.get()
    }

    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let offset = self.offset;
        let mut long = false;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if available.is_empty() {
                break;
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len(), |end| end + 1);
            let text = available.get(..end.unwrap_or(taken)).unwrap_or_default();
            long |= self.buffer.len() + text.len() > LINE_MAX;
            if !long {
                self.buffer.extend_from_slice(text);
            }
            self.input.consume(taken);
            self.offset += taken as u64;
            if end.is_some() {
                break;
            }
        }
        if self.offset == offset {
            return Ok(None);
        }
        let content = if long { Content::TooLong } else { Content::Text(&self.buffer) };
        Ok(Some(Line { offset, content }))
    }
}

struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(bytes: &[u8]) -> Vec<(u64, String)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut lines = Lines::open(file.path()).unwrap();
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            let text = match line.content {
                Content::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                Content::TooLong => "too long".to_owned(),
            };
            found.push((line.offset, text));
        }
        assert_eq!(lines.consumed(), bytes.len() as u64);
        found
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn plain_and_compressed_give_the_same_lines() {
        let expect = vec![(0, "a".to_owned()), (2, String::new()), (3, "bc".to_owned())];
        assert_eq!(read(b"a\n\nbc"), expect);
        assert_eq!(read(b"a\n\nbc\n"), expect);
        assert_eq!(read(&gzip(b"a\n\nbc")), expect);
        // `cat a.gz b.gz` is gzip too.
        assert_eq!(read(&[gzip(b"a\n"), gzip(b"\nbc")].concat()), expect);
        assert_eq!(read(b""), vec![]);
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let mut text = vec![b'x'; LINE_MAX + 1];
        text.extend_from_slice(b"\nb\n");
        assert_eq!(read(&text), vec![(0, "too long".to_owned()), (LINE_MAX as u64 + 2, "b".to_owned())]);
    }
}
