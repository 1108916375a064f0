//! String literals in either quote, with JSON's escapes plus `\'`.

use super::Lexer;
use crate::{Diagnostic, token::TokenKind};

impl<'t> Lexer<'t> {
    pub(super) fn string(&mut self, quote: char) -> Result<TokenKind<'t>, Diagnostic> {
        let start = self.at;
        self.advance();
        let mut value = String::new();
        loop {
            value.push_str(self.take_while(|c| c != quote && c != '\\'));
            match self.advance() {
                Some('\\') => value.push(self.escape()?),
                Some(_) => return Ok(TokenKind::Text(value)),
                None => return Err(Diagnostic::new(format!("expected a closing {quote}"), start..self.at)),
            }
        }
    }

    /// The character meant by an escape whose backslash has been read.
    fn escape(&mut self) -> Result<char, Diagnostic> {
        let start = self.at - 1;
        let meant = match self.advance() {
            Some(c @ ('"' | '\'' | '\\' | '/')) => Some(c),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('u') => self.unicode_escape(),
            _ => None,
        };
        meant.ok_or_else(|| Diagnostic::new("invalid escape in a string", start..self.at))
    }

    /// `XXXX` after `\u`; a high surrogate takes the `\uXXXX` of its low one with it.
    fn unicode_escape(&mut self) -> Option<char> {
        let high = self.four_hex_digits()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        if !(self.eat(|c| c == '\\') && self.eat(|c| c == 'u')) {
            return None;
        }
        let low = self.four_hex_digits()?;
        if !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    }

    fn four_hex_digits(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek()?.to_digit(16)?;
            self.advance();
            value = value * 16 + digit;
        }
        Some(value)
    }
}
