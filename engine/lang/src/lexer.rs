//! Text to tokens (§1).
//!
//! The lexer stops at the first thing that is no token and marks the place with [`TokenKind::Invalid`]; the parser
//! reports the lexer's diagnostic when it gets there, so that of two mistakes the earlier one is shown.

mod number;
mod string;
#[cfg(test)]
mod tests;

use crate::{
    Diagnostic,
    token::{Keyword, Symbol, Token, TokenKind},
};

/// The tokens of `text`, ended by `End` or, with a diagnostic, by `Invalid`.
pub(crate) fn lex(text: &str) -> (Vec<Token<'_>>, Option<Diagnostic>) {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_white_space();
        let start = lexer.at;
        match lexer.token() {
            Ok(kind) => {
                let last = kind == TokenKind::End;
                tokens.push(Token { kind, span: start..lexer.at });
                if last {
                    return (tokens, None);
                }
            }
            Err(diagnostic) => {
                tokens.push(Token { kind: TokenKind::Invalid, span: diagnostic.span.clone() });
                return (tokens, Some(diagnostic));
            }
        }
    }
}

/// A position in the text, always on a character boundary.
struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn token(&mut self) -> Result<TokenKind<'t>, Diagnostic> {
        let Some(first) = self.peek() else { return Ok(TokenKind::End) };
        match first {
            'A'..='Z' | 'a'..='z' | '_' => Ok(self.word()),
            '0'..='9' => self.number(),
            '"' | '\'' => self.string(first),
            _ => self.symbol(first),
        }
    }

    fn word(&mut self) -> TokenKind<'t> {
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        Keyword::from_word(word).map_or(TokenKind::Word(word), TokenKind::Keyword)
    }

    fn symbol(&mut self, first: char) -> Result<TokenKind<'t>, Diagnostic> {
        for (spelling, symbol) in Symbol::SPELLINGS {
            if self.rest().starts_with(spelling) {
                self.at += spelling.len();
                return Ok(TokenKind::Symbol(symbol));
            }
        }
        let hint = match first {
            '&' => "; write `and`",
            '|' => "; write `or`",
            '!' => "; write `not`",
            '.' => "; a property is read as properties[\"name\"], a fraction needs a digit before its point",
            '\u{a0}' => "; this is a no-break space, use a plain one",
            _ => "",
        };
        let span = self.at..self.at + first.len_utf8();
        Err(Diagnostic::new(format!("unexpected character {first:?}{hint}"), span))
    }

    fn skip_white_space(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn eat(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let hit = self.peek().is_some_and(wanted);
        if hit {
            self.advance();
        }
        hit
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }
}
