//! Number literals: digits, an optional fraction, an optional exponent, and then neither letter nor point.

use super::Lexer;
use crate::{Diagnostic, token::TokenKind};

impl<'t> Lexer<'t> {
    pub(super) fn number(&mut self) -> Result<TokenKind<'t>, Diagnostic> {
        let start = self.at;
        let whole = self.digits();
        let mut digits_only = true;
        if self.eat(|c| c == '.') {
            digits_only = false;
            if self.digits().is_empty() {
                return Err(Diagnostic::new("expected a digit after the decimal point", start..self.at));
            }
        }
        if self.eat(|c| matches!(c, 'e' | 'E')) {
            digits_only = false;
            self.eat(|c| matches!(c, '+' | '-'));
            if self.digits().is_empty() {
                return Err(Diagnostic::new("expected a digit in the exponent of a number", start..self.at));
            }
        }
        if self.eat(|c| c.is_alphabetic() || matches!(c, '_' | '.')) {
            return Err(Diagnostic::new("a number runs into a letter or a point", start..self.at));
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                // Digits that overflow are a position past every end.
                let position = digits_only.then(|| whole.parse().unwrap_or(usize::MAX));
                Ok(TokenKind::Number { value, position })
            }
            _ => Err(Diagnostic::new("number too large", start..self.at)),
        }
    }

    fn digits(&mut self) -> &'t str {
        self.take_while(|c| c.is_ascii_digit())
    }
}
