//! What a tree can do whatever its shape: compare, copy, drop and be walked without recursing along operator chains.
//!
//! A chain of operators at one level nests to the left without bound (tens of thousands of `or`s are valid), so code that
//! recursed into `left` would overflow the stack. Three helpers take the place of that recursion:
//! [`Expr::left_spine`] to fold a chain in evaluation order, [`Expr::flatten_chain`] for the operands of one operator
//! (say, to build a balanced disjunction), [`Expr::walk`] to look at every node. Recursing into everything but `left`
//! is bounded: by [`crate::DEPTH_MAX`] brackets, with up to five right operands nested within each
//! (`1 or 1 and 1 == 1 + 1 * (`), so code that recurses must afford some 1300 frames.

use std::mem;

use crate::ast::{BinaryOp, Expr, ExprKind, Literal};

/// An operator chain, taken apart in evaluation order: start at `first`, apply each step to the result so far.
#[derive(Debug)]
pub struct LeftSpine<'e> {
    /// The leftmost operand; never itself a binary node.
    pub first: &'e Expr,
    /// Innermost first; empty if the expression is no binary node.
    pub steps: Vec<SpineStep<'e>>,
}

/// One operator of a [`LeftSpine`].
#[derive(Debug)]
pub struct SpineStep<'e> {
    pub op: BinaryOp,
    /// The result so far is the value of this operand.
    pub left: &'e Expr,
    pub right: &'e Expr,
    /// The binary node itself.
    pub node: &'e Expr,
}

impl Expr {
    /// The chain of binary nodes reached by going left from here, of whatever operators.
    pub fn left_spine(&self) -> LeftSpine<'_> {
        let mut steps = Vec::new();
        let mut first = self;
        while let ExprKind::Binary { op, left, right } = &first.kind {
            steps.push(SpineStep { op: *op, left, right, node: first });
            first = left;
        }
        steps.reverse();
        LeftSpine { first, steps }
    }

    /// `a op b op c` as `(op, [a, b, c])`: the operands, in order, of the longest left-nested chain of this node's own
    /// operator. `None` for a node that is not binary.
    pub fn flatten_chain(&self) -> Option<(BinaryOp, Vec<&Expr>)> {
        let ExprKind::Binary { op: wanted, .. } = &self.kind else { return None };
        let mut operands = Vec::new();
        let mut node = self;
        while let ExprKind::Binary { op, left, right } = &node.kind
            && op == wanted
        {
            operands.push(&**right);
            node = left;
        }
        operands.push(node);
        operands.reverse();
        Some((*wanted, operands))
    }

    /// Every node, each before its children, children from left to right.
    pub fn walk(&self) -> Walk<'_> {
        Walk { pending: vec![self] }
    }

    /// Whether both trees are the same, wherever their text stood.
    pub fn same_tree(&self, other: &Self) -> bool {
        same(self, other, |_, _| true)
    }

    /// The direct subexpressions in the order written (of a quantifier: list, then body).
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Literal(_) | ExprKind::Now | ExprKind::Lookup { .. } | ExprKind::Variable { .. } => Vec::new(),
            ExprKind::Unary { operand, .. } => vec![operand],
            ExprKind::Binary { left, right, .. } => vec![left, right],
            ExprKind::Call { args, .. } => args.iter().collect(),
            ExprKind::Quantifier { list, body, .. } => vec![list, body],
            ExprKind::Let { bindings, body } => bindings.iter().map(|(_, value)| value).chain([&**body]).collect(),
        }
    }

    /// A copy of this node whose children are given, in the order of [`Expr::children`].
    fn clone_node(&self, mut child: impl FnMut() -> Expr) -> Self {
        let kind = match &self.kind {
            leaf @ (ExprKind::Literal(_) | ExprKind::Now | ExprKind::Lookup { .. } | ExprKind::Variable { .. }) => {
                leaf.clone()
            }
            ExprKind::Unary { op, .. } => ExprKind::Unary { op: *op, operand: Box::new(child()) },
            ExprKind::Binary { op, .. } => {
                ExprKind::Binary { op: *op, left: Box::new(child()), right: Box::new(child()) }
            }
            ExprKind::Call { function, args } => {
                ExprKind::Call { function: *function, args: args.iter().map(|_| child()).collect() }
            }
            ExprKind::Quantifier { quantifier, variable, .. } => ExprKind::Quantifier {
                quantifier: *quantifier,
                variable: variable.clone(),
                list: Box::new(child()),
                body: Box::new(child()),
            },
            ExprKind::Let { bindings, .. } => ExprKind::Let {
                bindings: bindings.iter().map(|(name, _)| (name.clone(), child())).collect(),
                body: Box::new(child()),
            },
        };
        Self { kind, span: self.span.clone() }
    }

    fn leaf() -> Self {
        Self { kind: ExprKind::Literal(Literal::Undefined), span: 0..0 }
    }

    /// Moves the direct subexpressions to `into`, leaving leaves behind.
    fn take_children(&mut self, into: &mut Vec<Expr>) {
        let mut take = |child: &mut Expr| into.push(mem::replace(child, Self::leaf()));
        match &mut self.kind {
            ExprKind::Literal(_) | ExprKind::Now | ExprKind::Lookup { .. } | ExprKind::Variable { .. } => {}
            ExprKind::Unary { operand, .. } => take(operand),
            ExprKind::Binary { left, right, .. } => {
                take(left);
                take(right);
            }
            ExprKind::Call { args, .. } => into.append(args),
            ExprKind::Quantifier { list, body, .. } => {
                take(list);
                take(body);
            }
            ExprKind::Let { bindings, body } => {
                bindings.iter_mut().for_each(|(_, value)| take(value));
                take(body);
            }
        }
    }
}

/// The iterator of [`Expr::walk`].
#[derive(Debug)]
pub struct Walk<'e> {
    pending: Vec<&'e Expr>,
}

impl<'e> Iterator for Walk<'e> {
    type Item = &'e Expr;

    fn next(&mut self) -> Option<&'e Expr> {
        let next = self.pending.pop()?;
        self.pending.extend(next.children().into_iter().rev());
        Some(next)
    }
}

impl Drop for Expr {
    fn drop(&mut self) {
        // Children end up in one flat list, so each node is dropped childless and this never recurses further.
        let mut pending = Vec::new();
        self.take_children(&mut pending);
        while let Some(mut expr) = pending.pop() {
            expr.take_children(&mut pending);
        }
    }
}

impl Clone for Expr {
    fn clone(&self) -> Self {
        enum Step<'e> {
            Visit(&'e Expr),
            /// The copies of the children are the last ones made.
            Build(&'e Expr, usize),
        }
        let mut steps = vec![Step::Visit(self)];
        let mut copies: Vec<Expr> = Vec::new();
        while let Some(step) = steps.pop() {
            match step {
                Step::Visit(node) => {
                    let children = node.children();
                    steps.push(Step::Build(node, children.len()));
                    steps.extend(children.into_iter().rev().map(Step::Visit));
                }
                Step::Build(node, count) => {
                    let mut children = copies.split_off(copies.len().saturating_sub(count)).into_iter();
                    let copy = node.clone_node(|| children.next().unwrap_or_else(Self::leaf));
                    copies.push(copy);
                }
            }
        }
        copies.pop().unwrap_or_else(Self::leaf)
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        same(self, other, |a, b| a.span == b.span)
    }
}

fn same(left: &Expr, right: &Expr, also: impl Fn(&Expr, &Expr) -> bool) -> bool {
    let mut pending = vec![(left, right)];
    while let Some((left, right)) = pending.pop() {
        let (left_children, right_children) = (left.children(), right.children());
        if left_children.len() != right_children.len() || !same_node(left, right) || !also(left, right) {
            return false;
        }
        pending.extend(left_children.into_iter().zip(right_children));
    }
    true
}

/// Compares two nodes without their children.
fn same_node(left: &Expr, right: &Expr) -> bool {
    match (&left.kind, &right.kind) {
        (ExprKind::Literal(a), ExprKind::Literal(b)) => a == b,
        (ExprKind::Now, ExprKind::Now) => true,
        (ExprKind::Lookup { source: a, key: k, path: p }, ExprKind::Lookup { source: b, key: l, path: q }) => {
            (a, k, p) == (b, l, q)
        }
        (ExprKind::Variable { name: a, path: p }, ExprKind::Variable { name: b, path: q }) => (a, p) == (b, q),
        (ExprKind::Unary { op: a, .. }, ExprKind::Unary { op: b, .. }) => a == b,
        (ExprKind::Binary { op: a, .. }, ExprKind::Binary { op: b, .. }) => a == b,
        (ExprKind::Call { function: a, .. }, ExprKind::Call { function: b, .. }) => a == b,
        (
            ExprKind::Quantifier { quantifier: a, variable: v, .. },
            ExprKind::Quantifier { quantifier: b, variable: w, .. },
        ) => (a, v) == (b, w),
        (ExprKind::Let { bindings: a, .. }, ExprKind::Let { bindings: b, .. }) => {
            a.iter().map(|(name, _)| name).eq(b.iter().map(|(name, _)| name))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{parse, parse_expression};

    fn chain(links: usize) -> Expr {
        let mut tree = Expr::leaf();
        for _ in 0..links {
            let kind = ExprKind::Binary { op: BinaryOp::Or, left: Box::new(tree), right: Box::new(Expr::leaf()) };
            tree = Expr { kind, span: 0..0 };
        }
        tree
    }

    #[test]
    fn a_long_chain_overflows_nothing() {
        let tree = chain(200_000);
        assert_eq!(tree.clone(), tree);
        assert_eq!(tree.walk().count(), 400_001);
        assert_eq!(tree.left_spine().steps.len(), 200_000);
        assert_eq!(tree.flatten_chain().map(|(op, operands)| (op, operands.len())), Some((BinaryOp::Or, 200_001)));
        assert!(!tree.same_tree(&chain(199_999)));
        assert_eq!(tree.to_string().len(), "undefined".len() * 200_001 + " or ".len() * 200_000);
        assert!(format!("{tree:?}").len() > 1_000_000);
    }

    #[test]
    fn a_chain_as_long_as_the_text_allows_parses() {
        let text = format!("1{}", "+1".repeat(32_767));
        let tree = parse(&text).tree.expect("a valid chain");
        assert_eq!(tree.left_spine().steps.len(), 32_767);
    }

    #[test]
    fn equality_sees_every_part() {
        let texts = [
            "1",
            "2",
            "NOW",
            "null",
            "\"a\"",
            "[1]",
            "[2]",
            "[1, 2]",
            "properties[\"a\"]",
            "event[\"a\"]",
            "properties[\"b\"]",
            "properties[\"a\"][0]",
            "properties[\"a\"][\"0\"]",
            "-1",
            "not 1",
            "1 + 2",
            "1 - 2",
            "1 + 3",
            "2 + 2",
            "floor(1)",
            "ceil(1)",
            "ceil(2)",
            "string(1)",
            "string(1, 2)",
            "any(x, [1], x)",
            "all(x, [1], x)",
            "any(y, [1], y)",
            "any(x, [2], x)",
            "any(x, [1], 1)",
            "any(x, [1], x[0])",
            "let(a, 1, a)",
            "let(b, 1, b)",
            "let(a, 1, 1)",
            "let(a, 1, b, 2, b)",
        ];
        let trees: Vec<Expr> = texts.iter().map(|text| parse_expression(text).unwrap()).collect();
        for (i, left) in trees.iter().enumerate() {
            for (j, right) in trees.iter().enumerate() {
                assert_eq!(left.same_tree(right), i == j, "{} and {}", texts[i], texts[j]);
            }
        }
    }

    #[test]
    fn a_chain_flattens_over_its_own_operator_only() {
        let tree = parse_expression("1 and 2 or 3 or (4 or 5) or 6").unwrap();
        let (op, operands) = tree.flatten_chain().unwrap();
        let operands: Vec<String> = operands.into_iter().map(Expr::to_string).collect();
        assert_eq!((op, operands), (BinaryOp::Or, ["1 and 2", "3", "4 or 5", "6"].map(str::to_owned).to_vec()));
    }
}
