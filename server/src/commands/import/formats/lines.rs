//! Whole lines of a text, about a megabyte at a time.

use std::io::{self, BufRead, Read};

use super::Chunk;

const CHUNK: usize = 1 << 20;
/// Far beyond the largest event; a longer line is passed over without keeping it.
const LINE_MAX: usize = 16 << 20;

pub struct Lines {
    input: Box<dyn BufRead>,
    /// What was read behind the last line that was given out.
    rest: Vec<u8>,
    offset: u64,
    line: u64,
}

impl Lines {
    pub fn new(input: Box<dyn BufRead>) -> Self {
        Self { input, rest: Vec::new(), offset: 0, line: 1 }
    }

    pub fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let mut text = std::mem::take(&mut self.rest);
        loop {
            let read = self.input.by_ref().take(CHUNK as u64).read_to_end(&mut text)?;
            if read < CHUNK {
                // The end of the input; its last line may lack a line feed.
                break;
            }
            if let Some(end) = memchr::memrchr(b'\n', &text) {
                self.rest = text.split_off(end + 1);
                break;
            }
            if text.len() > LINE_MAX {
                return self.pass_over_line(text.len()).map(Some);
            }
        }
        Ok(self.chunk(text))
    }

    /// Passes over the first `lines` lines.
    pub fn skip(&mut self, mut lines: u64) -> io::Result<()> {
        while lines > 0 {
            match self.next_chunk()? {
                None => return Err(io::Error::other("it has fewer lines than were read of it before")),
                Some(Chunk::Lines { mut text, offset, line, lines: held }) if held > lines => {
                    let end = memchr::memchr_iter(b'\n', &text).nth(lines as usize - 1).map_or(text.len(), |at| at + 1);
                    let mut rest = text.split_off(end);
                    rest.append(&mut self.rest);
                    self.rest = rest;
                    self.offset = offset + end as u64;
                    self.line = line + lines;
                    return Ok(());
                }
                Some(chunk) => lines -= chunk.records(),
            }
        }
        Ok(())
    }

    fn chunk(&mut self, text: Vec<u8>) -> Option<Chunk> {
        if text.is_empty() {
            return None;
        }
        let lines = memchr::memchr_iter(b'\n', &text).count() as u64 + u64::from(text.last() != Some(&b'\n'));
        let chunk = Chunk::Lines { offset: self.offset, line: self.line, lines, text };
        if let Chunk::Lines { text, .. } = &chunk {
            self.offset += text.len() as u64;
        }
        self.line += lines;
        Some(chunk)
    }

    /// Reads on to the end of a line of which `read` bytes have been read.
    fn pass_over_line(&mut self, read: usize) -> io::Result<Chunk> {
        self.offset += read as u64;
        loop {
            let available = self.input.fill_buf()?;
            if available.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', available);
            let taken = end.map_or(available.len(), |end| end + 1);
            self.input.consume(taken);
            self.offset += taken as u64;
            if end.is_some() {
                break;
            }
        }
        self.line += 1;
        Ok(Chunk::LongLine { line: self.line - 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Lines {
        Lines::new(Box::new(io::BufReader::new(io::Cursor::new(text.to_vec()))))
    }

    /// (offset, number, text) of every line.
    fn read(mut lines: Lines) -> Vec<(u64, u64, String)> {
        let mut found = Vec::new();
        while let Some(chunk) = lines.next_chunk().unwrap() {
            match chunk {
                Chunk::Lines { text, mut offset, line, lines } => {
                    let before = found.len() as u64;
                    for (number, text) in (line..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
                        found.push((offset, number, String::from_utf8(text.trim_ascii_end().to_vec()).unwrap()));
                        offset += text.len() as u64;
                    }
                    assert_eq!(found.len() as u64 - before, lines);
                }
                Chunk::LongLine { line } => found.push((0, line, "long".to_owned())),
                _ => unreachable!("lines give lines"),
            }
        }
        found
    }

    #[test]
    fn lines_know_their_place() {
        let expect = vec![(0, 1, "a".to_owned()), (2, 2, String::new()), (3, 3, "bc".to_owned())];
        assert_eq!(read(lines(b"a\n\nbc")), expect);
        assert_eq!(read(lines(b"a\n\nbc\n")), expect);
        assert_eq!(read(lines(b"")), vec![]);
    }

    #[test]
    fn a_file_of_many_chunks_can_be_entered_anywhere() {
        let text: String = (0..400_000).map(|i| format!("{i:>0$}\n", i % 13)).collect();
        let all = read(lines(text.as_bytes()));
        assert_eq!(all.len(), 400_000);
        for skip in [1, 2, 399_999, 400_000, 123_456] {
            let mut rest = lines(text.as_bytes());
            rest.skip(skip as u64).unwrap();
            assert_eq!(read(rest), all[skip..]);
        }
        assert!(lines(b"a\nb").skip(3).is_err());
    }

    #[test]
    fn a_line_without_end_is_passed_over() {
        let mut text = b"a\n".to_vec();
        text.extend(vec![b'x'; LINE_MAX + CHUNK + 5]);
        let place = text.len() as u64 + 1;
        text.extend_from_slice(b"\nb\n");
        let found = read(lines(&text));
        assert_eq!(found[0], (0, 1, "a".to_owned()));
        assert_eq!(found[1].1, 2);
        assert_eq!(found[1].2, "long");
        assert_eq!(found[2], (place, 3, "b".to_owned()));
    }
}
