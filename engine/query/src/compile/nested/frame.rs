//! One level while it is compiled: which columns it has, and which of them turn out to be read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use footfall_lang::ast::Index;

use super::block::{Block, ELEMENT, Formula, Step};
use super::decode::Decoder;
use super::demand::{Hop, Lane, column_name};
use super::function::{Body, Decoded};
use super::memo::Memo;
use super::reduce::Reduction;
use crate::compile::fallback::Held;

/// Columns are named by what they are: `c0` captured, `d0[…]#lane` decoded, `e[…]#lane` of the element, `s0#lane` of a step.
pub(in crate::compile) struct Frame {
    /// Whether its elements are all different parts of the record: there are no more of them than its text is long.
    pub(super) parts: bool,
    /// Expressions of the level outside.
    captures: Vec<(String, Expr)>,
    captured: HashMap<Expr, Expr>,
    /// Properties decoded here; only the first frame has any.
    decoded: Vec<Property>,
    /// What columns of JSON stand for.
    columns: HashMap<String, (Arc<Decoder>, Vec<Hop>, Lane)>,
    steps: Vec<Draft>,
}

struct Property {
    name: String,
    decoder: Arc<Decoder>,
    /// The captured columns that hold the JSON.
    texts: Vec<String>,
    /// Those that hold other values.
    others: Vec<(Held, String)>,
}

struct Draft {
    list: Expr,
    captures: Vec<(String, Expr)>,
    reads: Vec<String>,
    body: Block,
    reduction: Reduction,
}

/// A body with what it needs from outside.
pub(super) struct Closed {
    captures: Vec<(String, Expr)>,
    reads: Vec<String>,
    block: Block,
}

pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

impl Frame {
    pub(super) fn new(parts: bool) -> Self {
        Self {
            parts,
            captures: Vec::new(),
            captured: HashMap::new(),
            decoded: Vec::new(),
            columns: HashMap::new(),
            steps: Vec::new(),
        }
    }

    /// An expression of the level outside as a column of this one.
    pub(super) fn capture(&mut self, outer: Expr) -> Expr {
        if matches!(outer, Expr::Literal(..)) {
            return outer;
        }
        if let Some(known) = self.captured.get(&outer) {
            return known.clone();
        }
        let name = format!("c{}", self.captures.len());
        self.captures.push((name.clone(), outer.clone()));
        self.captured.insert(outer, column(&name));
        column(&name)
    }

    /// The columns of a property, by the name they have here. `texts` hold its JSON, in the level outside, `others` what
    /// else is read of it.
    pub(super) fn decode(&mut self, decoder: &Arc<Decoder>, texts: Vec<Expr>, others: Vec<(Held, Expr)>) -> String {
        if let Some(known) = self.decoded.iter().find(|known| Arc::ptr_eq(&known.decoder, decoder)) {
            return known.name.clone();
        }
        let texts = texts.into_iter().filter_map(|text| self.capture_column(text)).collect();
        let other = |(held, column): (Held, Expr)| Some((held, self.capture_column(column)?));
        let others = others.into_iter().filter_map(other).collect();
        let name = format!("d{}", self.decoded.len());
        self.decoded.push(Property { name: name.clone(), decoder: Arc::clone(decoder), texts, others });
        name
    }

    /// The name of a captured column; absent for a literal.
    fn capture_column(&mut self, outer: Expr) -> Option<String> {
        if let Expr::Column(column) = self.capture(outer) { Some(column.name) } else { None }
    }

    /// A lane of a value in JSON; `way` leads to it from the property.
    pub(super) fn json(
        &mut self,
        value: &str,
        path: &[Index],
        lane: Lane,
        decoder: &Arc<Decoder>,
        way: &[Hop],
    ) -> Expr {
        let name = column_name(value, path, lane);
        let found = column(&name);
        self.columns.entry(name).or_insert_with(|| (Arc::clone(decoder), way.to_vec(), lane));
        found
    }

    /// Adds a step; its value, and its errors.
    pub(super) fn step(&mut self, list: Expr, reduction: Reduction, body: Closed) -> (Expr, Expr) {
        let name = format!("s{}", self.steps.len());
        let lane = |lane: Lane| column(&column_name(&name, &[], lane));
        let found = (lane(reduction.lane()), lane(Lane::Error));
        let Closed { captures, reads, block } = body;
        self.steps.push(Draft { list, captures, reads, body: block, reduction });
        found
    }

    /// Ends the level: what nobody reads is left out, what is read of JSON is asked for.
    fn close(self, results: Vec<(Lane, Expr)>) -> (Closed, HashSet<String>, Vec<Property>) {
        let mut used = HashSet::new();
        results.iter().for_each(|(_, expr)| add_columns(expr, &mut used));
        let mut steps = Vec::new();
        for (position, draft) in self.steps.into_iter().enumerate().rev() {
            let name = format!("s{position}");
            let lanes = [draft.reduction.lane(), Lane::Error];
            if !lanes.into_iter().any(|lane| used.contains(&column_name(&name, &[], lane))) {
                continue;
            }
            add_columns(&draft.list, &mut used);
            draft.captures.iter().for_each(|(_, expr)| add_columns(expr, &mut used));
            let captures = draft.captures.into_iter().map(|(name, expr)| (name, Formula::new(expr))).collect();
            let (list, reads, body) = (Formula::new(draft.list), draft.reads, draft.body);
            steps.push(Step { name, list, captures, reads, body, reduction: draft.reduction });
        }
        steps.reverse();
        for name in &used {
            if let Some((decoder, way, lane)) = self.columns.get(name) {
                decoder.want(way, *lane);
            }
        }
        let mut reads: Vec<String> =
            used.iter().filter_map(|name| name.strip_prefix(ELEMENT)).map(str::to_owned).collect();
        reads.sort();
        let results = results.into_iter().map(|(lane, expr)| (lane, Formula::new(expr))).collect();
        let closed = Closed { captures: self.captures, reads, block: Block { steps, results } };
        (closed, used, self.decoded)
    }

    /// Ends the level of a quantifier's elements.
    pub(super) fn close_elements(self, results: Vec<(Lane, Expr)>) -> Closed {
        let (mut closed, used, _) = self.close(results);
        closed.captures.retain(|(name, _)| used.contains(name));
        closed
    }

    /// Ends the level of the rows; the arguments beside the body.
    pub(super) fn close_rows(self, results: Vec<(Lane, Expr)>) -> (Body, Vec<Expr>) {
        let (closed, mut used, properties) = self.close(results);
        let decodes = |property: &Property| {
            let mark = |next: char| format!("{}{next}", property.name);
            let (lane, index) = (mark('#'), mark('['));
            used.iter().any(|name| name.starts_with(&lane) || name.starts_with(&index))
        };
        let properties: Vec<Property> = properties.into_iter().filter(decodes).collect();
        for property in &properties {
            used.extend(property.texts.iter().chain(property.others.iter().map(|(_, name)| name)).cloned());
        }
        let captures = closed.captures.into_iter().filter(|(name, _)| used.contains(name));
        let (arguments, exprs): (Vec<String>, Vec<Expr>) = captures.unzip();
        let position = |column: &String| arguments.iter().position(|name| name == column);
        let other = |(held, column): &(Held, String)| Some((*held, position(column)?));
        let decoded = properties.into_iter().map(|property| Decoded {
            texts: property.texts.iter().filter_map(position).collect(),
            others: property.others.iter().filter_map(other).collect(),
            name: property.name,
            decoder: property.decoder,
        });
        let decoded = decoded.collect();
        (Body { arguments, decoded, block: closed.block, memo: Memo::default() }, exprs)
    }
}

impl Closed {
    /// Without anything: the body of a step that has none.
    pub(super) fn empty() -> Self {
        Self { captures: Vec::new(), reads: Vec::new(), block: Block::default() }
    }
}

fn add_columns(expr: &Expr, names: &mut HashSet<String>) {
    // The closure does not fail.
    let _ = expr.apply(|node| {
        if let Expr::Column(column) = node {
            names.insert(column.name.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
}
