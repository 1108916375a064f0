//! Compiling what looks into lists and maps.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, lit};
use footfall_eval::segment::json_text;
use footfall_eval::{EvalValue as Value, List};
use footfall_lang::ast::{self, Quantifier, Source};

use super::block::ELEMENT;
use super::decode::Decoder;
use super::demand::{Hop, Lane, column_name};
use super::frame::{Closed, Frame, column};
use super::function::Nested;
use super::reduce::Reduction;
use super::{Elements, Inside, Place, Root};
use crate::compile::PropertyColumns;
use crate::compile::compare;
use crate::compile::compiler::{Bound, Compiler, undefined_after};
use crate::compile::fallback::Held;
use crate::compile::lanes::{Errors, Instant, Lanes, NumberPart, Truth};

impl<'a> Compiler<'a> {
    /// Compiles a node that looks into lists and maps, from outside of all frames.
    pub(in crate::compile) fn enter(&mut self, node: &'a ast::Expr, level: usize) -> Lanes {
        self.try_enter(node, level).unwrap_or_else(|| self.fall_back(node))
    }

    /// Absent if something in the node has no columnar form.
    pub(in crate::compile) fn try_enter(&mut self, node: &'a ast::Expr, level: usize) -> Option<Lanes> {
        if self.is_inside() {
            return None;
        }
        self.frames.push(Frame::new(true));
        let lanes = self.compile_node(node, level);
        let frame = self.frames.pop()?;
        if std::mem::take(&mut self.failed) {
            return None;
        }
        let mut results = value_results(&lanes);
        let error = Errors::flag(&lanes.errors.all);
        if error.is_some() || results.is_empty() {
            results.push((Lane::Error, error.clone().unwrap_or_else(|| lit(false))));
        }
        let present: Vec<Lane> = results.iter().map(|(lane, _)| *lane).collect();
        let (body, arguments) = frame.close_rows(results);
        let tree = self.closed(node);
        let call = Nested::call(&tree, self.clock, body, arguments);
        let field = |lane: Lane| present.contains(&lane).then(|| get_field(call.clone(), lane.name()));
        Some(Lanes {
            bool: field(Lane::Bool).map(|term| Truth::partial(vec![term])),
            number: field(Lane::Number).map(NumberPart::Computed).into_iter().collect(),
            text: field(Lane::Text),
            datetime: field(Lane::Datetime).map(Instant::Seconds),
            null: field(Lane::Null),
            nested: field(Lane::Nested),
            inside: lanes.inside.filter(|inside| matches!(inside, Inside::Json(place) if place.is_property())),
            total: lanes.total && error.is_none(),
            // An error leaves no value, so a true value excludes it.
            errors: Errors { all: error.and_then(|_| field(Lane::Error)).into_iter().collect(), open: Vec::new() },
            ..Lanes::default()
        })
    }

    pub(in crate::compile) fn is_inside(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Lanes of an outer frame as columns of the one that is being compiled.
    pub(in crate::compile) fn lift(&mut self, mut lanes: Lanes, from: usize) -> Lanes {
        for frame in self.frames.iter_mut().skip(from) {
            lanes.replace(&mut |expr| frame.capture(expr));
        }
        lanes
    }

    fn lift_expr(&mut self, expr: Expr, from: usize) -> Expr {
        self.frames.iter_mut().skip(from).fold(expr, |expr, frame| frame.capture(expr))
    }

    /// The lanes of a value in JSON.
    pub(in crate::compile) fn at(&mut self, place: &Place) -> Lanes {
        let (mut columns, mut from) = (Vec::new(), 0);
        for lane in Lane::SCALARS {
            let (column, frame) = self.json_column(place, lane);
            columns.push(column);
            from = frame;
        }
        let mut columns = columns.into_iter();
        let lanes = Lanes {
            bool: columns.next().map(|term| Truth::partial(vec![term])),
            number: columns.next().map(NumberPart::Computed).into_iter().collect(),
            text: columns.next(),
            null: columns.next(),
            nested: columns.next(),
            inside: Some(Inside::Json(place.clone())),
            ..Lanes::default()
        };
        self.lift(lanes, from)
    }

    /// One lane of a value in JSON, and how many frames enclose its own.
    fn json_column(&mut self, place: &Place, lane: Lane) -> (Expr, usize) {
        let (frame, value, decoder) = match &place.root {
            Root::Property(source, key) => {
                let decoder = self.decoder(*source, key);
                let texts = texts(self.columns_of(*source, key).json);
                let name = self.frames.first_mut().map(|frame| frame.decode(&decoder, texts, Vec::new()));
                (1, name.unwrap_or_default(), decoder)
            }
            Root::Listed(source, key) => {
                let decoder = self.list_decoder(*source, key);
                let columns = self.columns_of(*source, key);
                let others = [
                    (Held::Bool, columns.bool),
                    (Held::Int, columns.int),
                    (Held::Float, columns.float),
                    (Held::Text, columns.text),
                ];
                let others = others.into_iter().filter_map(|(held, column)| Some((held, column?))).collect();
                let texts = texts(columns.json);
                let name = self.frames.first_mut().map(|frame| frame.decode(&decoder, texts, others));
                (1, name.unwrap_or_default(), decoder)
            }
            Root::Element { frame, decoder, .. } => (*frame, ELEMENT.to_owned(), Arc::clone(decoder)),
        };
        let way = place.way();
        let own = self.frames.get_mut(frame.saturating_sub(1));
        let column = own.map(|frame| frame.json(&value, &place.path, lane, &decoder, &way));
        (column.unwrap_or_else(|| lit(ScalarValue::Null)), frame)
    }

    fn decoder(&mut self, source: Source, key: &str) -> Arc<Decoder> {
        // By its columns: two sources may read the same ones.
        let json = self.columns_of(source, key).json.unwrap_or_default();
        Arc::clone(self.decoders.entry(json).or_default())
    }

    fn list_decoder(&mut self, source: Source, key: &str) -> Arc<Decoder> {
        Arc::clone(self.list_decoders.entry((source, key.to_owned())).or_default())
    }

    /// `list(x)`, from within a frame; absent for what is computed.
    pub(in crate::compile) fn listed(&mut self, value: &Lanes) -> Option<Lanes> {
        let place = match value.inside.clone()? {
            // Nothing but a list.
            Inside::Lists { .. } => return Some(Lanes { errors: Errors::default(), ..value.clone() }),
            Inside::Json(place) => place,
        };
        let place = match (&place.root, place.path.is_empty()) {
            (Root::Property(source, key), true) => {
                let PropertyColumns { bool, int, float, text, json, datetime, unix_time, .. } =
                    self.columns_of(*source, key);
                // Of these there is one in each record, and never a list.
                if datetime.is_some() || unix_time.is_some() {
                    return None;
                }
                // What never was anything but null has nothing to list, and no column to read.
                if [bool, int, float, text, json].iter().all(Option::is_none) {
                    return Some(Lanes::default());
                }
                Place { root: Root::Listed(*source, key.clone()), path: Vec::new() }
            }
            _ => place,
        };
        let (list, frame) = self.json_column(&place, Lane::Listed);
        let (decoder, mut way) = (self.decoder_of(&place), place.way());
        way.push(Hop::Listed);
        let list = self.lift_expr(list, frame);
        Some(Lanes {
            nested: Some(list.clone().is_not_null()),
            inside: Some(Inside::Lists { list, elements: Elements::Json { decoder, way } }),
            ..Lanes::default()
        })
    }

    /// The lists of a value; absent if they are not to be had.
    fn lists_of(&mut self, lanes: &Lanes) -> Option<Lists> {
        let (here, parts) = (self.frames.len(), self.frames.last()?.parts);
        Some(match lanes.inside.clone()? {
            // Where it comes from is forgotten; among the rows themselves it does not matter.
            Inside::Lists { list, elements } => Lists { column: list, elements, parts: parts && here == 1 },
            Inside::Json(place) => {
                let (list, frame) = self.json_column(&place, Lane::List);
                let (decoder, mut way) = (self.decoder_of(&place), place.way());
                way.push(Hop::Elements);
                let elements = Elements::Json { decoder, way };
                Lists { column: self.lift_expr(list, frame), elements, parts: parts && here == frame }
            }
        })
    }

    fn decoder_of(&mut self, place: &Place) -> Arc<Decoder> {
        match &place.root {
            Root::Property(source, key) => self.decoder(*source, key),
            Root::Listed(source, key) => self.list_decoder(*source, key),
            Root::Element { decoder, .. } => Arc::clone(decoder),
        }
    }

    /// The lanes of the element that the current frame is about.
    fn element(&mut self, elements: &Elements) -> Lanes {
        let frame = self.frames.len();
        match elements {
            Elements::Json { decoder, way } => {
                let root = Root::Element { frame, decoder: Arc::clone(decoder), way: way.clone() };
                self.at(&Place { root, path: Vec::new() })
            }
            Elements::Computed(present) => {
                let lane = |lane: Lane| present.contains(&lane).then(|| column(&column_name(ELEMENT, &[], lane)));
                Lanes {
                    bool: lane(Lane::Bool).map(|term| Truth::partial(vec![term])),
                    number: lane(Lane::Number).map(NumberPart::Computed).into_iter().collect(),
                    text: lane(Lane::Text),
                    datetime: lane(Lane::Datetime).map(Instant::Seconds),
                    null: lane(Lane::Null),
                    nested: lane(Lane::Nested),
                    ..Lanes::default()
                }
            }
        }
    }

    /// A quantifier, from within a frame.
    pub(in crate::compile) fn quantify(&mut self, node: &'a ast::Expr, level: usize) -> Lanes {
        let ast::ExprKind::Quantifier { quantifier, variable, list, body } = &node.kind else {
            return self.fall_back(node);
        };
        let list = self.compile(list, level + 1);
        if list.nested.is_none() {
            return undefined_after(&[list]);
        }
        let Some(Lists { column, elements, parts }) = self.lists_of(&list) else { return self.fall_back(node) };
        self.frames.push(Frame::new(parts));
        let lanes = self.element(&elements);
        self.scope.push(Bound { name: variable, value: None, lanes, frame: self.frames.len() });
        let body = self.compile(body, level + 1);
        self.scope.pop();
        let mut errors = body.errors.all.clone();
        let (reduction, mut results) = match quantifier {
            Quantifier::Any => (Reduction::Any, vec![(Lane::Bool, body.filter())]),
            Quantifier::All => (Reduction::All, vec![(Lane::Bool, body.filter())]),
            Quantifier::Filter => (Reduction::Filter, vec![(Lane::Bool, body.filter())]),
            Quantifier::Map => (Reduction::Map, value_results(&body)),
        };
        let inner = match quantifier {
            Quantifier::Map => Elements::Computed(results.iter().map(|(lane, _)| *lane).collect()),
            _ => elements,
        };
        if *quantifier != Quantifier::Map {
            errors.extend(body.not_boolean());
        }
        results.extend(Errors::flag(&errors).map(|flag| (Lane::Error, flag)));
        let fails = !errors.is_empty() || !parts;
        let Some(frame) = self.frames.pop() else { return self.fall_back(node) };
        let (value, error) = self.step(column, reduction, frame.close_elements(results));
        let result = match reduction.lane() {
            Lane::List => Lanes {
                nested: Some(value.clone().is_not_null()),
                inside: Some(Inside::Lists { list: value, elements: inner }),
                ..Lanes::default()
            },
            _ => Lanes::of_bool(Truth::partial(vec![value])),
        };
        after_step(result, &list, fails.then_some(error))
    }

    /// `sum(list)` or the length of a list, from within a frame; absent if the list is not to be had.
    pub(in crate::compile) fn fold_list(&mut self, reduction: Reduction, list: &Lanes) -> Option<Lanes> {
        let Lists { column, elements, parts } = self.lists_of(list)?;
        let body = match reduction {
            Reduction::Len => Closed::empty(),
            _ => {
                self.frames.push(Frame::new(parts));
                let number = self.element(&elements).float();
                let number = number.unwrap_or_else(|| lit(ScalarValue::Float64(None)));
                self.frames.pop()?.close_elements(vec![(Lane::Number, number)])
            }
        };
        let (value, error) = self.step(column, reduction, body);
        Some(after_step(Lanes::of_number(Some(value)), list, (!parts).then_some(error)))
    }

    /// Whether a list has an element that equals `left`, from within a frame: a boolean, null where there is no list.
    pub(in crate::compile) fn has_element(&mut self, left: &Lanes, list: &Lanes) -> Option<Lanes> {
        let Lists { column, elements, parts } = self.lists_of(list)?;
        self.frames.push(Frame::new(parts));
        let outer = self.frames.len() - 1;
        let element = self.element(&elements);
        let left = self.lift(left.clone(), outer);
        let equal = self.equal(&left, &element);
        let frame = self.frames.pop()?;
        let body = frame.close_elements(vec![(Lane::Bool, equal?.filter())]);
        let (value, error) = self.step(column, Reduction::Any, body);
        Some(after_step(Lanes::of_bool(Truth::partial(vec![value])), list, (!parts).then_some(error)))
    }

    /// `left == right`; absent if it turns on the inside of lists or maps that is not to be had.
    pub(in crate::compile) fn equal(&mut self, left: &Lanes, right: &Lanes) -> Option<Truth> {
        let mut equal = compare::equal(left, right, &self.clock);
        if compare::needs_fallback(left, right) {
            let texts = self.is_inside().then(|| Some((self.text_of(left)?, self.text_of(right)?)));
            let (left, right) = texts.flatten()?;
            equal.terms.push(left.eq(right));
        }
        Some(equal)
    }

    /// The text of a list or map, the same for equal values.
    fn text_of(&mut self, lanes: &Lanes) -> Option<Expr> {
        if let Some(constant) = &lanes.constant {
            return is_json(constant).then(|| lit(json_text(constant)));
        }
        let Inside::Json(place) = lanes.inside.clone()? else { return None };
        let (text, frame) = self.json_column(&place, Lane::Json);
        Some(self.lift_expr(text, frame))
    }

    fn step(&mut self, lists: Expr, reduction: Reduction, body: Closed) -> (Expr, Expr) {
        match self.frames.last_mut() {
            Some(frame) => frame.step(lists, reduction, body),
            None => (lit(ScalarValue::Null), lit(ScalarValue::Null)),
        }
    }
}

/// A column of lists.
struct Lists {
    column: Expr,
    elements: Elements,
    /// As in [`Frame`]: then no record is too expensive.
    parts: bool,
}

/// A step's value with its errors, if it can have any, and those of its list.
fn after_step(result: Lanes, list: &Lanes, error: Option<Expr>) -> Lanes {
    let mut errors = Errors::of([list]);
    // Where there is an error there is no value.
    errors.all.extend(error);
    result.with_errors(errors)
}

impl Place {
    /// The way to it from the property.
    fn way(&self) -> Vec<Hop> {
        let mut way = match &self.root {
            Root::Property(..) | Root::Listed(..) => Vec::new(),
            Root::Element { way, .. } => way.clone(),
        };
        way.extend(self.path.iter().cloned().map(Hop::Index));
        way
    }
}

/// The lanes of a value, as results.
fn value_results(lanes: &Lanes) -> Vec<(Lane, Expr)> {
    let all = [
        (Lane::Bool, lanes.bool.as_ref().map(Truth::value)),
        (Lane::Number, lanes.float()),
        (Lane::Text, lanes.text.clone()),
        (Lane::Datetime, lanes.datetime.as_ref().map(Instant::seconds)),
        (Lane::Null, lanes.null.clone()),
        (Lane::Nested, lanes.nested.clone()),
    ];
    all.into_iter().filter_map(|(lane, expr)| Some((lane, expr?))).collect()
}

/// The columns behind a property's JSON: the same ones in each batch, which a `coalesce` of them is not.
fn texts(json: Option<Expr>) -> Vec<Expr> {
    match json {
        Some(Expr::ScalarFunction(call)) if call.func.name() == "coalesce" => call.args,
        other => other.into_iter().collect(),
    }
}

/// Whether JSON can say it all.
fn is_json(value: &Value) -> bool {
    let all = |list: &List| list.iter().all(is_json);
    match value {
        Value::Undefined | Value::Datetime(_) => false,
        Value::List(list) => all(list),
        Value::Map(map) => map.iter().all(|(_, member)| is_json(member)),
        _ => true,
    }
}
