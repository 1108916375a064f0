//! How constants and lookups are written.

use std::fmt::{self, Write};

use crate::ast::{ExprKind, Index, Literal};

/// Writes a node without children; others are not this module's.
pub(super) fn write(f: &mut impl Write, kind: &ExprKind) -> fmt::Result {
    match kind {
        ExprKind::Literal(literal) => write_literal(f, literal),
        ExprKind::Now => f.write_str("NOW"),
        ExprKind::Lookup { source, key, path } => {
            write!(f, "{}[", source.name())?;
            write_string(f, key)?;
            f.write_char(']')?;
            write_path(f, path)
        }
        ExprKind::Variable { name, path } => {
            f.write_str(name)?;
            write_path(f, path)
        }
        _ => Ok(()),
    }
}

/// Recursion is as deep as the list nests.
fn write_literal(f: &mut impl Write, literal: &Literal) -> fmt::Result {
    match literal {
        Literal::Undefined => f.write_str("undefined"),
        Literal::Null => f.write_str("null"),
        Literal::Bool(value) => write!(f, "{value}"),
        Literal::Number(value) => write_number(f, *value),
        Literal::Text(text) => write_string(f, text),
        Literal::List(items) => {
            f.write_char('[')?;
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    f.write_str(", ")?;
                }
                write_literal(f, item)?;
            }
            f.write_char(']')
        }
    }
}

/// The fewest digits that read back as the same number; with an exponent where plain digits would run long.
fn write_number(f: &mut impl Write, value: f64) -> fmt::Result {
    let plain = value == 0.0 || (1e-6..1e17).contains(&value.abs());
    if plain { write!(f, "{value}") } else { write!(f, "{value:e}") }
}

fn write_path(f: &mut impl Write, path: &[Index]) -> fmt::Result {
    for index in path {
        f.write_char('[')?;
        match index {
            Index::Key(key) => write_string(f, key)?,
            Index::Position(position) => write!(f, "{position}")?,
        }
        f.write_char(']')?;
    }
    Ok(())
}

fn write_string(f: &mut impl Write, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_ascii_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
