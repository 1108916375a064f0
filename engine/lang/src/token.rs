//! The tokens that the lexer hands to the parser.

use std::fmt;

use crate::ast::Span;

/// A token and the bytes it covers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token<'t> {
    pub kind: TokenKind<'t>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind<'t> {
    Keyword(Keyword),
    /// Any other word: a source, a function, a variable, a reserved name.
    Word(&'t str),
    /// `position` is set when the number is written in digits alone, as a list index must be.
    Number {
        value: f64,
        position: Option<usize>,
    },
    /// A string literal, escapes resolved.
    Text(String),
    Symbol(Symbol),
    /// The end of the text.
    End,
    /// The lexer stopped here; its diagnostic says why.
    Invalid,
}

/// Words with a fixed meaning in the grammar, in any letter case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    And,
    Or,
    Not,
    For,
    In,
    True,
    False,
    Null,
    Undefined,
    Now,
}

impl Keyword {
    const ALL: [(&'static str, Self); 10] = [
        ("and", Self::And),
        ("or", Self::Or),
        ("not", Self::Not),
        ("for", Self::For),
        ("in", Self::In),
        ("true", Self::True),
        ("false", Self::False),
        ("null", Self::Null),
        ("undefined", Self::Undefined),
        ("now", Self::Now),
    ];

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|&(_, keyword)| keyword)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|&&(_, keyword)| keyword == self).map_or("keyword", |&(name, _)| name)
    }
}

/// Operators and punctuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    Equal,
    NotEqual,
    LessEqual,
    GreaterEqual,
    Less,
    Greater,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    ParenOpen,
    ParenClose,
    BracketOpen,
    BracketClose,
    Comma,
}

impl Symbol {
    /// Longer spellings come first, so that the first match is the longest.
    pub(crate) const SPELLINGS: [(&'static str, Self); 17] = [
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<=", Self::LessEqual),
        (">=", Self::GreaterEqual),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
        ("+", Self::Plus),
        ("-", Self::Minus),
        ("*", Self::Star),
        ("/", Self::Slash),
        ("%", Self::Percent),
        ("(", Self::ParenOpen),
        (")", Self::ParenClose),
        ("[", Self::BracketOpen),
        ("]", Self::BracketClose),
        (",", Self::Comma),
    ];

    fn spelling(self) -> &'static str {
        Self::SPELLINGS.iter().find(|&&(_, symbol)| symbol == self).map_or("symbol", |&(text, _)| text)
    }
}

/// As a diagnostic names it: "found `)`".
impl fmt::Display for TokenKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword(keyword) => write!(f, "`{}`", keyword.name()),
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Number { .. } => f.write_str("a number"),
            Self::Text(_) => f.write_str("a string"),
            Self::Symbol(symbol) => write!(f, "`{}`", symbol.spelling()),
            Self::End => f.write_str("the end of the text"),
            Self::Invalid => f.write_str("an invalid character"),
        }
    }
}
