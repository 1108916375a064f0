//! JSON texts to columns: one pass over each text fills all lanes that the expression asks for, at every depth.
//!
//! A value's columns are those of [`Demand::fields`]; a list's elements are a struct of such columns, with an offset and
//! a length for each list. What nobody asked for is stepped over unread.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, ListViewArray, NullBufferBuilder, StringViewBuilder, StructArray,
};
use datafusion::arrow::buffer::ScalarBuffer;
use datafusion::common::{Result, exec_err};
use footfall_eval::EvalValue as Value;
use footfall_eval::segment::json_text;
use footfall_lang::ast::Index;

use super::demand::{Demand, Hop, Lane, elements_field};
use super::memo::Memo;
use super::scan::Scanner;
use crate::compile::fallback::{Column, Held};
use crate::compile::functions::Texts;
use crate::compile::scalar;

/// Decodes one property for all places of an expression that look into it.
#[derive(Debug, Default)]
pub(in crate::compile) struct Decoder {
    /// Complete once the expression is compiled, so before any batch comes.
    demand: Mutex<Demand>,
    memo: Memo<Arc<StructArray>>,
}

impl Decoder {
    pub(super) fn want(&self, way: &[Hop], lane: Lane) {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner).want(way, lane);
    }

    /// The number under `a` in each element.
    #[cfg(test)]
    pub(in crate::compile) fn ask_for_test(&self) {
        self.want(&[Hop::Elements, Hop::Index(Index::Key("a".to_owned()))], Lane::Number);
    }

    #[cfg(test)]
    pub(in crate::compile) fn decode_for_test(&self, texts: &[ArrayRef]) -> Result<Arc<StructArray>> {
        self.decode(texts, &[])
    }

    /// The columns of a batch. In each row the first of the texts that is set counts; where none is, the value of the
    /// others, which only `list(x)` asks for.
    pub(super) fn decode(&self, texts: &[ArrayRef], others: &[(Held, ArrayRef)]) -> Result<Arc<StructArray>> {
        let inputs: Vec<ArrayRef> = texts.iter().chain(others.iter().map(|(_, array)| array)).cloned().collect();
        self.memo.get(&inputs, || {
            let demand = self.demand.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let rows = inputs.first().map_or(0, |array| array.len());
            let texts: Vec<Texts> = texts.iter().map(Texts::new).collect::<Result<_>>()?;
            let others: Vec<Column> =
                others.iter().map(|(held, array)| Column::read(*held, array)).collect::<Result<_>>()?;
            let text = |row: usize| texts.iter().find_map(|texts| texts.get(row));
            let other = |row: usize| others.iter().find_map(|column| column.value(row));
            if let Some(columns) = decode(&demand, rows, text, other)? {
                return Ok(Arc::new(columns));
            }
            // No JSON, or a key twice in an object: as the evaluator takes it. Storage writes neither.
            let normal: Vec<Option<String>> = (0..rows).map(|row| text(row).and_then(scalar::normal_json)).collect();
            match decode(&demand, rows, |row| normal.get(row)?.as_deref(), other)? {
                Some(columns) => Ok(Arc::new(columns)),
                None => exec_err!("a list or map in storage cannot be read"),
            }
        })
    }
}

/// How many texts this thread has read, for tests that nothing is read twice.
#[cfg(test)]
pub(in crate::compile) mod count {
    use std::cell::Cell;

    thread_local!(static TEXTS: Cell<usize> = const { Cell::new(0) });

    pub(super) fn add() {
        TEXTS.with(|texts| texts.set(texts.get() + 1));
    }

    /// Since the last call.
    pub(in crate::compile) fn take() -> usize {
        TEXTS.with(Cell::take)
    }
}

/// Absent if a text is not what the scanner takes it for.
fn decode<'t>(
    demand: &Demand,
    rows: usize,
    text: impl Fn(usize) -> Option<&'t str>,
    other: impl Fn(usize) -> Option<Value>,
) -> Result<Option<StructArray>> {
    let mut node = Node::new(demand);
    for row in 0..rows {
        match text(row) {
            None => {
                if let (Some(listed), Some(value)) = (&mut node.listed, other(row)) {
                    listed.push(&value);
                }
                node.append(Scalar::Missing);
            }
            Some(text) => {
                #[cfg(test)]
                count::add();
                if node.read(&mut Scanner::new(text)).is_none() {
                    return Ok(None);
                }
            }
        }
    }
    Ok(Some(node.finish(demand)?))
}

/// A value without its inside.
#[derive(Clone, Copy)]
enum Scalar<'a> {
    Missing,
    Null,
    Bool(bool),
    Number(f64),
    Text(&'a str),
    Nested { json: Option<&'a str> },
}

/// The columns of one value under construction, one entry for each value read.
struct Node {
    len: usize,
    bool: Option<BooleanBuilder>,
    number: Option<Float64Builder>,
    text: Option<StringViewBuilder>,
    null: Option<BooleanBuilder>,
    nested: Option<BooleanBuilder>,
    json: Option<StringViewBuilder>,
    list: Option<Lists>,
    listed: Option<Lists>,
    keys: Vec<(String, Node)>,
    positions: Vec<(usize, Node)>,
}

struct Lists {
    offsets: Vec<i32>,
    sizes: Vec<i32>,
    present: NullBufferBuilder,
    elements: Box<Node>,
}

impl Node {
    fn new(demand: &Demand) -> Self {
        let wanted = |lane: Lane| demand.lanes.contains(&lane);
        let (mut keys, mut positions) = (Vec::new(), Vec::new());
        for (index, member) in &demand.members {
            match index {
                Index::Key(key) => keys.push((key.clone(), Self::new(member))),
                Index::Position(position) => positions.push((*position, Self::new(member))),
            }
        }
        let flags = |lane: Lane| wanted(lane).then(BooleanBuilder::new);
        let texts = |lane: Lane| wanted(lane).then(StringViewBuilder::new);
        Self {
            len: 0,
            bool: flags(Lane::Bool),
            number: wanted(Lane::Number).then(Float64Builder::new),
            text: texts(Lane::Text),
            null: flags(Lane::Null),
            nested: flags(Lane::Nested),
            json: texts(Lane::Json),
            list: demand.elements.as_deref().map(Lists::new),
            listed: demand.listed.as_deref().map(Lists::new),
            keys,
            positions,
        }
    }

    /// Reads one value; recursion is as deep as the demand.
    fn read(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        if let Some(listed) = &mut self.listed {
            listed.read_any(&mut scanner.clone())?;
        }
        match scanner.peek()? {
            b'{' => return self.read_map(scanner),
            b'[' => return self.read_list(scanner),
            b'"' => {
                let quoted = scanner.quoted()?;
                let text = if self.text.is_some() { quoted.text()? } else { "".into() };
                self.append(Scalar::Text(&text));
            }
            b't' => {
                scanner.word("true")?;
                self.append(Scalar::Bool(true));
            }
            b'f' => {
                scanner.word("false")?;
                self.append(Scalar::Bool(false));
            }
            b'n' => {
                scanner.word("null")?;
                self.append(Scalar::Null);
            }
            _ => {
                let number = scanner.number()?;
                self.append(Scalar::Number(number));
            }
        }
        Some(())
    }

    fn read_map(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        let mut whole = scanner.clone();
        let json = self.canonical(&mut whole)?;
        if self.keys.is_empty() {
            *scanner = if self.json.is_some() { whole } else { skipped(scanner)? };
        } else {
            scanner.expect(b'{')?;
            let mut more = scanner.any(b'}')?;
            while more {
                scanner.peek()?;
                let key = scanner.quoted()?.text()?;
                scanner.expect(b':')?;
                match self.keys.iter_mut().find(|(wanted, _)| *wanted == key) {
                    // Twice in one object.
                    Some((_, node)) if node.len > self.len => return None,
                    Some((_, node)) => node.read(scanner)?,
                    None => scanner.skip().map(|_| ())?,
                }
                more = scanner.more(b'}')?;
            }
        }
        self.append(Scalar::Nested { json: json.as_deref() });
        Some(())
    }

    fn read_list(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        let mut whole = scanner.clone();
        let json = self.canonical(&mut whole)?;
        if self.list.is_none() && self.positions.is_empty() {
            *scanner = if self.json.is_some() { whole } else { skipped(scanner)? };
            self.append(Scalar::Nested { json: json.as_deref() });
            return Some(());
        }
        scanner.expect(b'[')?;
        let first = self.list.as_ref().map_or(0, |list| list.elements.len);
        let mut more = scanner.any(b']')?;
        let mut position = 0;
        while more {
            let mut next = None;
            for (_, node) in self.positions.iter_mut().filter(|(wanted, _)| *wanted == position) {
                let mut again = scanner.clone();
                node.read(&mut again)?;
                next = Some(again);
            }
            match (&mut self.list, next) {
                (Some(list), _) => list.elements.read(scanner)?,
                (None, Some(next)) => *scanner = next,
                (None, None) => scanner.skip().map(|_| ())?,
            }
            position += 1;
            more = scanner.more(b']')?;
        }
        if let Some(list) = &mut self.list {
            list.end(first)?;
        }
        self.append(Scalar::Nested { json: json.as_deref() });
        Some(())
    }

    /// The text of the list or map ahead, if anybody asked for it, in the form that equal values share.
    fn canonical(&self, scanner: &mut Scanner<'_>) -> Option<Option<String>> {
        if self.json.is_none() {
            return Some(None);
        }
        Some(Some(json_text(&scalar::json_value(scanner.skip()?))))
    }

    /// Ends one value: what has not been read of it is missing.
    fn append(&mut self, value: Scalar<'_>) {
        fn flag(builder: &mut Option<BooleanBuilder>, is: bool) {
            if let Some(builder) = builder {
                builder.append_value(is);
            }
        }
        self.len += 1;
        if let Some(builder) = &mut self.bool {
            builder.append_option(if let Scalar::Bool(value) = value { Some(value) } else { None });
        }
        if let Some(builder) = &mut self.number {
            // −0 is equal to 0 and prints like it.
            builder.append_option(if let Scalar::Number(number) = value { Some(number + 0.0) } else { None });
        }
        if let Some(builder) = &mut self.text {
            builder.append_option(if let Scalar::Text(text) = value { Some(text) } else { None });
        }
        flag(&mut self.null, matches!(value, Scalar::Null));
        flag(&mut self.nested, matches!(value, Scalar::Nested { .. }));
        if let Some(builder) = &mut self.json {
            builder.append_option(if let Scalar::Nested { json } = value { json } else { None });
        }
        for list in self.list.iter_mut().chain(&mut self.listed) {
            if list.sizes.len() < self.len {
                list.absent();
            }
        }
        let keys = self.keys.iter_mut().map(|(_, node)| node);
        for node in keys.chain(self.positions.iter_mut().map(|(_, node)| node)) {
            if node.len < self.len {
                node.append(Scalar::Missing);
            }
        }
    }

    fn finish(mut self, demand: &Demand) -> Result<StructArray> {
        let (fields, rows) = (demand.fields(), self.len);
        let mut arrays = Vec::with_capacity(fields.len());
        self.push_arrays(demand, &mut arrays)?;
        Ok(StructArray::try_new_with_length(fields, arrays, None, rows)?)
    }

    /// In the order of [`Demand::fields`].
    fn push_arrays(&mut self, demand: &Demand, arrays: &mut Vec<ArrayRef>) -> Result<()> {
        for lane in &demand.lanes {
            let array: Option<ArrayRef> = match lane {
                Lane::Bool => finish_flags(&mut self.bool),
                Lane::Number => self.number.as_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef),
                Lane::Text => finish_texts(&mut self.text),
                Lane::Null => finish_flags(&mut self.null),
                Lane::Nested => finish_flags(&mut self.nested),
                Lane::Json => finish_texts(&mut self.json),
                Lane::Datetime | Lane::List | Lane::Listed | Lane::Error => None,
            };
            arrays.extend(array);
        }
        for (list, elements) in [(self.list.take(), &demand.elements), (self.listed.take(), &demand.listed)] {
            if let (Some(list), Some(elements)) = (list, elements) {
                arrays.push(list.finish(elements)?);
            }
        }
        for (index, member) in &demand.members {
            let node = match index {
                Index::Key(key) => self.keys.iter_mut().find(|(known, _)| known == key).map(|(_, node)| node),
                Index::Position(at) => self.positions.iter_mut().find(|(known, _)| known == at).map(|(_, node)| node),
            };
            if let Some(node) = node {
                node.push_arrays(member, arrays)?;
            }
        }
        Ok(())
    }
}

impl Lists {
    fn new(elements: &Demand) -> Self {
        Self {
            offsets: Vec::new(),
            sizes: Vec::new(),
            present: NullBufferBuilder::new(0),
            elements: Box::new(Node::new(elements)),
        }
    }

    /// Reads the elements of `list(x)`.
    fn read_any(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        let first = self.elements.len;
        match scanner.peek()? {
            b'n' => {
                self.absent();
                return Some(());
            }
            b'[' => {
                scanner.expect(b'[')?;
                let mut more = scanner.any(b']')?;
                while more {
                    self.elements.read(scanner)?;
                    more = scanner.more(b']')?;
                }
            }
            _ => self.elements.read(scanner)?,
        }
        self.end(first)
    }

    /// A list of one.
    fn push(&mut self, value: &Value) {
        let scalar = match value {
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Number(number) => Scalar::Number(*number),
            Value::Text(text) => Scalar::Text(text),
            _ => return,
        };
        let first = self.elements.len;
        self.elements.append(scalar);
        // So many elements have no other end.
        let _ = self.end(first);
    }

    /// Ends a list that began with so many elements.
    fn end(&mut self, first: usize) -> Option<()> {
        self.offsets.push(i32::try_from(first).ok()?);
        self.sizes.push(i32::try_from(self.elements.len - first).ok()?);
        self.present.append_non_null();
        Some(())
    }

    /// No list.
    fn absent(&mut self) {
        self.offsets.push(0);
        self.sizes.push(0);
        self.present.append_null();
    }

    fn finish(mut self, demand: &Demand) -> Result<ArrayRef> {
        let elements = self.elements.finish(demand)?;
        let (offsets, sizes) = (ScalarBuffer::from(self.offsets), ScalarBuffer::from(self.sizes));
        let field = elements_field(demand.fields());
        Ok(Arc::new(ListViewArray::try_new(field, offsets, sizes, Arc::new(elements), self.present.finish())?))
    }
}

fn skipped<'a>(scanner: &Scanner<'a>) -> Option<Scanner<'a>> {
    let mut after = scanner.clone();
    after.skip().map(|_| after)
}

fn finish_flags(builder: &mut Option<BooleanBuilder>) -> Option<ArrayRef> {
    builder.as_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef)
}

fn finish_texts(builder: &mut Option<StringViewBuilder>) -> Option<ArrayRef> {
    builder.as_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef)
}
