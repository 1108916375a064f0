//! Trees to text: `Display` writes an expression that parses to the same tree, `Debug` an outline with every bracket.
//!
//! The one idea: an explicit stack of what is left to write, so that no tree is too deep to print. Parentheses are
//! written only where the tree would change without them, which also keeps a parsed tree within the depth limit.
//! Numbers outside list literals must not be negative (the parser makes none); a sign there would come back as `Negate`.

mod leaf;

use std::fmt;

use crate::{
    ast::{Expr, ExprKind, UnaryOp},
    operator::{ATOM, Binding, binding_of},
};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printer = Printer { pending: vec![Piece::Node { expr: self, loosest: 0, followed: 0 }] };
        while let Some(piece) = printer.pending.pop() {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Node { expr, loosest, followed } => printer.node(f, expr, loosest, followed)?,
            }
        }
        Ok(())
    }
}

/// What is left to write, next on top.
struct Printer<'e> {
    pending: Vec<Piece<'e>>,
}

enum Piece<'e> {
    Text(&'e str),
    /// An operand that must bind at least as tightly as `loosest`, before an operator that binds like `followed`.
    Node {
        expr: &'e Expr,
        loosest: Binding,
        followed: Binding,
    },
}

impl<'e> Printer<'e> {
    fn node(&mut self, f: &mut fmt::Formatter<'_>, expr: &'e Expr, loosest: Binding, followed: Binding) -> fmt::Result {
        if needs_parentheses(expr, loosest, followed) {
            self.push([Piece::Text("("), open(expr), Piece::Text(")")]);
            return Ok(());
        }
        match &expr.kind {
            ExprKind::Unary { op, operand } => {
                let operand = Piece::Node { expr: operand, loosest: op.binding(), followed };
                self.push([Piece::Text(op.prefix()), operand]);
            }
            ExprKind::Binary { op, left, right } => {
                let binding = op.binding();
                self.push([
                    Piece::Node { expr: left, loosest: binding, followed: binding },
                    Piece::Text(" "),
                    Piece::Text(op.symbol()),
                    Piece::Text(" "),
                    Piece::Node { expr: right, loosest: binding + 1, followed },
                ]);
            }
            ExprKind::Call { function, args } => self.call(function.name(), args.iter().map(open).collect()),
            ExprKind::Quantifier { quantifier, variable, list, body } => {
                self.call(quantifier.name(), vec![Piece::Text(variable), open(list), open(body)]);
            }
            ExprKind::Let { bindings, body } => {
                let pairs = bindings.iter().flat_map(|(name, value)| [Piece::Text(name), open(value)]);
                self.call("let", pairs.chain([open(body)]).collect());
            }
            leaf => leaf::write(f, leaf)?,
        }
        Ok(())
    }

    fn call(&mut self, name: &'e str, args: Vec<Piece<'e>>) {
        let mut pieces = vec![Piece::Text(name), Piece::Text("(")];
        for (i, arg) in args.into_iter().enumerate() {
            if i > 0 {
                pieces.push(Piece::Text(", "));
            }
            pieces.push(arg);
        }
        pieces.push(Piece::Text(")"));
        self.push(pieces);
    }

    fn push(&mut self, pieces: impl IntoIterator<Item = Piece<'e>, IntoIter: DoubleEndedIterator>) {
        self.pending.extend(pieces.into_iter().rev());
    }
}

/// An expression that stands alone, between brackets or commas.
fn open(expr: &Expr) -> Piece<'_> {
    Piece::Node { expr, loosest: 0, followed: 0 }
}

/// A `not` that ends an operand needs no parentheses for itself, but would swallow a tighter operator behind it.
fn needs_parentheses(expr: &Expr, loosest: Binding, followed: Binding) -> bool {
    match &expr.kind {
        ExprKind::Unary { op: UnaryOp::Not, .. } => followed > UnaryOp::Not.binding(),
        _ => binding_of(expr) < loosest,
    }
}

/// The shape of the tree, as `(or (== properties["a"] 1) NOW)`.
impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pending = vec![open(self)];
        while let Some(piece) = pending.pop() {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Node { expr, .. } if binding_of(expr) == ATOM && expr.children().is_empty() => {
                    write!(f, "{expr}")?;
                }
                Piece::Node { expr, .. } => {
                    pending.push(Piece::Text(")"));
                    for child in expr.children().into_iter().rev() {
                        pending.extend([open(child), Piece::Text(" ")]);
                    }
                    write!(f, "({}", Head(&expr.kind))?;
                }
            }
        }
        Ok(())
    }
}

/// The name of an inner node and the variables it binds.
struct Head<'e>(&'e ExprKind);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ExprKind::Unary { op, .. } => f.write_str(op.prefix().trim_end()),
            ExprKind::Binary { op, .. } => f.write_str(op.symbol()),
            ExprKind::Call { function, .. } => f.write_str(function.name()),
            ExprKind::Quantifier { quantifier, variable, .. } => write!(f, "{} {variable}", quantifier.name()),
            ExprKind::Let { bindings, .. } => {
                f.write_str("let")?;
                bindings.iter().try_for_each(|(name, _)| write!(f, " {name}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::parse_expression;

    /// `text` prints as `expect`, which parses to the same tree.
    fn check(text: &str, expect: &str) {
        let tree = parse_expression(text).unwrap();
        let printed = tree.to_string();
        assert_eq!(printed, expect, "{text}");
        assert!(parse_expression(&printed).unwrap().same_tree(&tree), "{text} changed as {printed}");
    }

    #[test]
    fn parentheses_only_where_needed() {
        check("(1 + 2) * 3", "(1 + 2) * 3");
        check("1 + (2 * 3)", "1 + 2 * 3");
        check("1 - (2 - 3)", "1 - (2 - 3)");
        check("((1 - 2)) - 3", "1 - 2 - 3");
        check("(1 or (2 and 3))", "1 or 2 and 3");
        check("-(1 + 2)", "-(1 + 2)");
        check("- -3", "--3");
    }

    #[test]
    fn not_swallows_what_follows() {
        check("true == not false == true", "true == not false == true");
        check("(true == not false) == true", "true == (not false) == true");
        check("1 + not true == false", "1 + not true == false");
        check("(1 + not true) == false", "1 + (not true) == false");
        check("1 + not true and false", "1 + not true and false");
        check("- not 1 and 2", "-not 1 and 2");
        check("(not 1) + 2", "(not 1) + 2");
        check("not (1 or 2)", "not (1 or 2)");
    }

    #[test]
    fn leaves() {
        check("[1,-2,'a',[],TRUE]", "[1, -2, \"a\", [], true]");
        check("properties['a\\n\\u0001\"\\\\'][0][\"k\"]", "properties[\"a\\n\\u0001\\\"\\\\\"][0][\"k\"]");
        check("1e300", "1e300");
        check("1e-300", "1e-300");
        check("123456789012", "123456789012");
        check("0.1", "0.1");
        check("now", "NOW");
    }

    #[test]
    fn calls() {
        check("ANY(x = 5 FOR x IN [1])", "any(x, [1], x == 5)");
        check("let(a,1,b,a,a+b)", "let(a, 1, b, a, a + b)");
        check("length('a')", "len(\"a\")");
        check("today ( )", "today()");
    }
}
