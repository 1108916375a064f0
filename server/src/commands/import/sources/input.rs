//! A source's bytes, decompressed. Compression is known by the first bytes, whatever the name says.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use super::{Place, Source};

const BUFFER: usize = 1 << 18;
/// How much of the content is looked at to tell what it is.
const HEAD: usize = 4 << 10;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A frame to be skipped, with which some writers of zstd begin: 0x184D2A50 to 0x184D2A5F.
const ZSTD_SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// A source that is being read.
pub struct Input {
    pub content: Box<dyn BufRead>,
    /// The first bytes of the content.
    pub head: Vec<u8>,
    /// Bytes of the source, as it is stored, that have been read.
    pub consumed: Rc<Cell<u64>>,
    /// The content is the file itself, which can be read at any place.
    pub file: Option<File>,
}

/// Opens a source. `runtime` fetches objects in the background.
pub fn open(source: &Source, runtime: &tokio::runtime::Handle) -> io::Result<Input> {
    let (raw, file): (Box<dyn Read>, _) = match &source.place {
        Place::File(path) => {
            let file = File::open(path)?;
            (Box::new(file.try_clone()?), Some(file))
        }
        Place::Object(bucket, location) => {
            (Box::new(bucket.read(location, source.stamp.etag.as_deref(), runtime)), None)
        }
    };
    decompressed(raw, file)
}

fn decompressed(raw: Box<dyn Read>, file: Option<File>) -> io::Result<Input> {
    let consumed = Rc::new(Cell::new(0));
    let (head, raw) = peek(Counted { inner: raw, count: consumed.clone() })?;
    let raw = BufReader::with_capacity(BUFFER, raw);
    let zstd =
        head.starts_with(&ZSTD) || head.first().is_some_and(|b| b >> 4 == 5) && head.get(1..4) == Some(&ZSTD_SKIPPED);
    if !zstd && !head.starts_with(&GZIP) {
        return Ok(Input { content: Box::new(raw), head, consumed, file });
    }
    let unpacked: Box<dyn Read> = if zstd {
        Box::new(zstd::stream::read::Decoder::with_buffer(raw)?)
    } else {
        Box::new(MultiGzDecoder::new(raw))
    };
    let (head, unpacked) = peek(unpacked)?;
    Ok(Input { content: Box::new(BufReader::with_capacity(BUFFER, unpacked)), head, consumed, file: None })
}

/// The first bytes, and a reader that still has them.
fn peek<R: Read>(mut reader: R) -> io::Result<(Vec<u8>, impl Read)> {
    let mut head = Vec::with_capacity(HEAD);
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
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
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(text, 1).unwrap()
    }

    fn check(stored: Vec<u8>, expect: &[u8]) {
        let size = stored.len() as u64;
        let mut input = decompressed(Box::new(Cursor::new(stored)), None).unwrap();
        let mut content = Vec::new();
        input.content.read_to_end(&mut content).unwrap();
        assert_eq!(content, expect);
        assert_eq!(input.head, expect[..expect.len().min(HEAD)]);
        assert_eq!(input.consumed.get(), size);
    }

    #[test]
    fn every_compression_gives_the_same_content() {
        let text = "abc\n".repeat(5000).into_bytes();
        check(text.clone(), &text);
        check(gzip(&text), &text);
        check(zstd(&text), &text);
        // `cat a.gz b.gz` is gzip too, and so for zstd; some zstd files begin with a frame that says nothing.
        check([gzip(b"a\n"), gzip(&text)].concat(), &[b"a\n", &text[..]].concat());
        check([zstd(b"a\n"), zstd(&text)].concat(), &[b"a\n", &text[..]].concat());
        check([&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9], &zstd(&text)[..]].concat(), &text);
        check(Vec::new(), b"");
        check(b"a".to_vec(), b"a");
    }

    #[test]
    fn a_cut_file_is_an_error() {
        for stored in [gzip(&[7; 9999]), zstd(&[7; 9999])] {
            let cut = stored[..stored.len() - 3].to_vec();
            let mut input = decompressed(Box::new(Cursor::new(cut)), None);
            let read = input.as_mut().map(|input| input.content.read_to_end(&mut Vec::new()).is_ok());
            assert!(!read.unwrap_or(false));
        }
    }
}
