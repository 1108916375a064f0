//! A scanner of JSON text that steps over what nobody asked for.
//!
//! It trusts that the text is JSON, as storage writes it, and checks no more than it must to read on. `None` means that
//! the text is not what it seems; the caller then asks a real parser.

use std::borrow::Cow;

use memchr::memchr2;

/// A position in a JSON text, always at the beginning of a token or of white space before it.
#[derive(Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// What a text holds between its quotes, escapes not yet undone.
#[derive(Clone, Copy)]
pub(super) struct Quoted<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Quoted<'a> {
    /// The text itself.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.raw));
        }
        serde_json::from_str::<String>(&format!("\"{}\"", self.raw)).ok().map(Cow::Owned)
    }
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The first byte of the next token.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Steps over one byte of punctuation.
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// After an element or member: whether there is another one. The closing bracket is stepped over.
    pub(super) fn more(&mut self, close: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            byte if byte == close => Some(false),
            _ => None,
        }
    }

    /// After an opening bracket: whether there is anything inside. The closing bracket is stepped over.
    pub(super) fn any(&mut self, close: u8) -> Option<bool> {
        let empty = self.peek()? == close;
        self.at += usize::from(empty);
        Some(!empty)
    }

    /// Steps over `true`, `false` or `null`.
    pub(super) fn word(&mut self, word: &str) -> Option<()> {
        let end = self.at + word.len();
        (self.text.as_bytes().get(self.at..end)? == word.as_bytes()).then(|| self.at = end)
    }

    pub(super) fn quoted(&mut self) -> Option<Quoted<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let end = self.at + memchr2(b'"', b'\\', self.text.as_bytes().get(self.at..)?)?;
            if self.byte(end)? == b'"' {
                self.at = end + 1;
                return Some(Quoted { raw: self.text.get(start..end)?, escaped });
            }
            escaped = true;
            self.at = end + 2;
        }
    }

    /// A number as the double nearest to it.
    pub(super) fn number(&mut self) -> Option<f64> {
        let start = self.at;
        let negative = self.byte(start)? == b'-';
        self.at += usize::from(negative);
        let (mut digits, mut mantissa, mut point) = (0_u32, 0_u64, None);
        loop {
            match self.byte(self.at) {
                Some(byte @ b'0'..=b'9') if digits < 16 => {
                    mantissa = mantissa * 10 + u64::from(byte - b'0');
                    digits += 1;
                }
                Some(b'.') if point.is_none() => point = Some(digits),
                Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') => return self.long_number(start),
                _ => break,
            }
            self.at += 1;
        }
        if digits == 0 || digits == 16 {
            return self.long_number(start);
        }
        // Both are exact, so one division rounds once: the same double that a full parse gives.
        let scale = POWERS.get(point.map_or(0, |point| digits - point) as usize)?;
        let magnitude = mantissa as f64 / scale;
        Some(if negative { -magnitude } else { magnitude })
    }

    fn long_number(&mut self, start: usize) -> Option<f64> {
        while let Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') = self.byte(self.at) {
            self.at += 1;
        }
        self.text.get(start..self.at)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Steps over any value; what it was written as.
    pub(super) fn skip(&mut self) -> Option<&'a str> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => self.quoted().map(|_| ())?,
            b'{' | b'[' => self.skip_nested()?,
            _ => {
                while !matches!(self.byte(self.at), None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n')) {
                    self.at += 1;
                }
            }
        }
        self.text.get(start..self.at).filter(|token| !token.is_empty())
    }

    /// In a loop: a value may nest as deeply as it likes.
    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.byte(self.at)? {
                b'"' => {
                    self.quoted()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// Powers of ten up to the most digits that the quick way takes; exact as doubles.
const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_a_parser_reads_them() {
        for text in [
            "0",
            "-0",
            "5",
            "-17",
            "3.25",
            "0.1",
            "123456789012345",
            "1234567890123456",
            "9007199254740993",
            "0.3",
            "1e21",
            "-2.5e-3",
            "9223372036854775807",
            "18446744073709551615",
            "123456.789012345",
            "5e-324",
            "1.7976931348623157e308",
            "0.000000000000001",
            "100000.00000000001",
        ] {
            let expect: f64 = text.parse().unwrap();
            let mut scanner = Scanner::new(text);
            assert_eq!(scanner.number().map(f64::to_bits), Some(expect.to_bits()), "{text}");
            assert_eq!(scanner.at, text.len(), "{text}");
        }
        assert_eq!(Scanner::new("-").number(), None);
        assert_eq!(Scanner::new("1e999").number(), None);
    }

    #[test]
    fn any_value_is_stepped_over() {
        for text in [r#""a\"]b\\""#, r#"{"a":[1,{"b":"]}"}],"c":null}"#, "[]", "{}", "-1.5e3", "true", r#"[[["\\"]]]"#]
        {
            assert_eq!(Scanner::new(&format!(" {text}, 1")).skip(), Some(text));
        }
        for text in ["", "[1", "\"a", "\"a\\", "{\"a\":[}", "]"] {
            assert_eq!(Scanner::new(text).skip(), None, "{text}");
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(Scanner::new(&deep).skip(), Some(&*deep));
    }
}
