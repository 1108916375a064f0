//! An expression before it is used: what is wrong with it, what it reads, what its value can be.

use std::ops::Range;

use footfall_lang::ast::{Expr, ExprKind, Source};
use footfall_lang::{nearest, parse, parse_segment};
use footfall_storage::Snapshot;

use crate::compile::{self, Clock, CostClass, PropertyColumns, PropertyResolver, Use};
use crate::resolver::EventResolver;

/// Where an expression is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpressionRole {
    Where,
    /// The `where` of those who are born in a retention report.
    BornWhere,
    /// The filter of an event in a custom event or in `behaviors`.
    Selector,
    /// A breakdown.
    On,
    /// The filter of profiles, whose properties `properties` are there.
    Engage,
}

/// One thing to say about an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    pub kind: RemarkKind,
    pub message: String,
    /// Byte offsets into the text.
    pub span: Range<usize>,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemarkKind {
    /// It is no expression.
    Parse,
    /// A type error that no record can avoid.
    Type,
    /// It can be used, but reads a property that no event has had.
    UnknownProperty,
}

/// A property that an expression reads.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadProperty {
    pub source: Source,
    pub name: String,
    /// The types that it was seen with; none if it never was.
    pub types: Vec<&'static str>,
}

/// What is known of an expression. It can be used exactly when `known` is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    pub remarks: Vec<Remark>,
    pub known: Option<KnownExpression>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct KnownExpression {
    /// The expression in its plainest spelling.
    pub text: String,
    pub types: Vec<&'static str>,
    pub properties: Vec<ReadProperty>,
    pub cost: CostClass,
}

/// Checks an expression against the properties of a snapshot.
pub fn check(snapshot: &Snapshot, text: &str, role: ExpressionRole, clock: &Clock) -> Checked {
    let parsed = if role == ExpressionRole::On { parse_segment(text) } else { parse(text) };
    let Some(tree) = parsed.tree else {
        let remarks = parsed.diagnostics.into_iter().map(|diagnostic| Remark {
            kind: RemarkKind::Parse,
            message: diagnostic.to_string(),
            span: diagnostic.span,
            suggestion: diagnostic.suggestion,
        });
        return Checked { remarks: remarks.collect(), known: None };
    };
    let used_as = if role == ExpressionRole::On { Use::Value } else { Use::Condition };
    let events = EventResolver::new(snapshot.catalog.clone());
    let known = match role {
        ExpressionRole::Engage => compile::check(&tree, used_as, &AnyProfile, clock),
        _ => compile::check(&tree, used_as, &events, clock),
    };
    match known {
        Err(error) => {
            let remark = Remark { kind: RemarkKind::Type, message: error.message, span: error.span, suggestion: None };
            Checked { remarks: vec![remark], known: None }
        }
        Ok(known) => {
            let properties: Vec<ReadProperty> = known
                .properties
                .into_iter()
                .map(|(source, name, types)| ReadProperty { source, name, types })
                .collect();
            let remarks = match role {
                ExpressionRole::Engage => Vec::new(),
                _ => unknown_properties(&tree, &properties, snapshot),
            };
            let (text, types, cost) = (tree.to_string(), known.types, known.cost);
            Checked { remarks, known: Some(KnownExpression { text, types, properties, cost }) }
        }
    }
}

/// Remarks about properties of events that no event has had, where each is first named.
fn unknown_properties(tree: &Expr, properties: &[ReadProperty], snapshot: &Snapshot) -> Vec<Remark> {
    let is_event = |source: Source| matches!(source, Source::Properties | Source::Event);
    let unknown = properties.iter().filter(|p| p.types.is_empty() && is_event(p.source));
    let mut remarks: Vec<Remark> = unknown
        .filter_map(|property| {
            let named = |node: &&Expr| matches!(&node.kind, ExprKind::Lookup { source, key, .. } if *source == property.source && *key == property.name);
            let span = tree.walk().filter(named).map(|node| node.span.clone()).min_by_key(|span| span.start)?;
            let known = snapshot.catalog.properties().map(AsRef::as_ref);
            let suggestion = nearest(&property.name, known).map(str::to_owned);
            let mut message = format!("no event has had the property \"{}\"", property.name);
            if let Some(name) = &suggestion {
                message.push_str(&format!("; did you mean \"{name}\"?"));
            }
            Some(Remark { kind: RemarkKind::UnknownProperty, message, span, suggestion })
        })
        .collect();
    remarks.sort_by_key(|remark| remark.span.start);
    remarks
}

/// A profile of which nothing is known: every property may be anything.
struct AnyProfile;

impl PropertyResolver for AnyProfile {
    fn property(&self, _: Source, _: &str) -> PropertyColumns {
        PropertyColumns::of_any_type()
    }
}
