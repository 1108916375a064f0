//! Registers of one block, and what is computed with them.

/// Rows of a block: a few registers of numbers fit the nearest cache.
pub(super) const BLOCK: usize = WORDS * WORD;
const WORD: usize = 64;
const WORDS: usize = 8;

/// A bit for each row, not in Arrow's order: that of row `r` is bit `r / 8` of word `r % 8`. Eight rows side by side then
/// give the same bit of eight words, which is what a processor compares at once.
pub(super) type Bits = [u64; WORDS];
pub(super) const NONE: Bits = [0; WORDS];
pub(super) const ALL: Bits = [!0; WORDS];

#[cfg(test)]
pub(super) fn is_set(bits: &Bits, row: usize) -> bool {
    bits[row % WORDS] >> (row / WORDS) & 1 == 1
}

fn unset(bits: &mut Bits, row: usize) {
    bits[row % WORDS] &= !(1 << (row / WORDS));
}

/// Bits that are in Arrow's order: row `r` is bit `r % 64` of word `r / 64`.
pub(super) fn from_arrow(words: &Bits) -> Bits {
    let mut bits = NONE;
    for (nth, word) in words.iter().enumerate() {
        for (into, byte) in bits.iter_mut().zip(turned(*word).to_le_bytes()) {
            *into |= u64::from(byte) << (8 * nth);
        }
    }
    bits
}

pub(super) fn to_arrow(bits: &Bits) -> Bits {
    std::array::from_fn(|nth| turned(u64::from_le_bytes(bits.map(|word| (word >> (8 * nth)) as u8))))
}

/// Eight rows of eight bits with rows and columns exchanged (Hacker's Delight, "Transposing a bit matrix").
fn turned(mut rows: u64) -> u64 {
    for (by, mask) in [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)] {
        let exchanged = (rows ^ (rows >> by)) & mask;
        rows ^= exchanged ^ (exchanged << by);
    }
    rows
}

pub(super) fn zip(a: &Bits, b: &Bits, combine: impl Fn(u64, u64) -> u64) -> Bits {
    std::array::from_fn(|word| combine(a[word], b[word]))
}

/// Values of every row, and which rows have one. What stands where there is none means nothing.
#[derive(Clone, Debug)]
pub(super) struct Column<T> {
    pub(super) values: Box<[T; BLOCK]>,
    pub(super) valid: Bits,
}

impl<T: Copy + Default> Column<T> {
    pub(super) fn new() -> Self {
        Self { values: Box::new([T::default(); BLOCK]), valid: NONE }
    }
}

/// A truth of every row: `yes` and `no` are never both set, neither is null.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truths {
    pub(super) yes: Bits,
    pub(super) no: Bits,
}

impl Truths {
    pub(super) fn constant(value: Option<bool>) -> Self {
        Self { yes: if value == Some(true) { ALL } else { NONE }, no: if value == Some(false) { ALL } else { NONE } }
    }

    /// Never null.
    pub(super) fn total(yes: Bits) -> Self {
        Self { yes, no: yes.map(|word| !word) }
    }

    pub(super) fn within(yes: Bits, valid: &Bits) -> Self {
        Self { yes: zip(&yes, valid, |yes, valid| yes & valid), no: zip(&yes, valid, |yes, valid| !yes & valid) }
    }

    pub(super) fn valid(&self) -> Bits {
        zip(&self.yes, &self.no, |yes, no| yes | no)
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        Self { yes: zip(&self.yes, &other.yes, |a, b| a & b), no: zip(&self.no, &other.no, |a, b| a | b) }
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        Self { yes: zip(&self.yes, &other.yes, |a, b| a | b), no: zip(&self.no, &other.no, |a, b| a & b) }
    }

    pub(super) fn not(&self) -> Self {
        Self { yes: self.no, no: self.yes }
    }
}

/// A column's register, or the same number on every row.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Column(&'a Column<f64>),
    Constant(f64),
}

impl Operand<'_> {
    fn valid(&self) -> &Bits {
        match self {
            Self::Column(column) => &column.valid,
            Self::Constant(_) => &ALL,
        }
    }
}

/// A test of every row, without a branch.
pub(super) fn pack<T: Copy>(values: &[T; BLOCK], test: impl Fn(T) -> bool) -> Bits {
    let mut bits = NONE;
    let (eights, _) = values.as_chunks::<WORDS>();
    for (eight, nth) in eights.iter().zip(0..) {
        add(&mut bits, nth, eight.map(|value| mask(test(value))));
    }
    bits
}

/// A test of two values of every row.
fn pack_two<T: Copy>(left: &[T; BLOCK], right: &[T; BLOCK], test: impl Fn(T, T) -> bool) -> Bits {
    let mut bits = NONE;
    let ((left, _), (right, _)) = (left.as_chunks::<WORDS>(), right.as_chunks::<WORDS>());
    for ((left, right), nth) in left.iter().zip(right).zip(0..) {
        add(&mut bits, nth, std::array::from_fn(|at| mask(test(left[at], right[at]))));
    }
    bits
}

/// All bits or none, which is what a processor's comparison gives.
fn mask(is_true: bool) -> u64 {
    0_u64.wrapping_sub(u64::from(is_true))
}

/// Eight rows' truths, as masks, at one place of the words.
fn add(bits: &mut Bits, nth: usize, masks: Bits) {
    bits.iter_mut().zip(masks).for_each(|(bits, mask)| *bits |= mask & (1 << nth));
}

/// How two numbers are compared. The others are these turned around or negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessEqual,
}

pub(super) fn compare(comparison: Comparison, left: Operand<'_>, right: Operand<'_>) -> Truths {
    let yes = match comparison {
        Comparison::Equal => tested(left, right, |a, b| a == b),
        Comparison::Less => tested(left, right, |a, b| a < b),
        Comparison::LessEqual => tested(left, right, |a, b| a <= b),
    };
    Truths::within(yes, &zip(left.valid(), right.valid(), |a, b| a & b))
}

fn tested(left: Operand<'_>, right: Operand<'_>, test: impl Fn(f64, f64) -> bool) -> Bits {
    match (left, right) {
        (Operand::Column(a), Operand::Column(b)) => pack_two(&a.values, &b.values, test),
        (Operand::Column(a), Operand::Constant(b)) => pack(&a.values, |a| test(a, b)),
        (Operand::Constant(a), Operand::Column(b)) => pack(&b.values, |b| test(a, b)),
        (Operand::Constant(a), Operand::Constant(b)) => {
            if test(a, b) {
                ALL
            } else {
                NONE
            }
        }
    }
}

/// A column of integers with one, on its right or, `flipped`, on its left.
pub(super) fn compare_integers(comparison: Comparison, flipped: bool, column: &Column<i64>, with: i64) -> Truths {
    let yes = match (comparison, flipped) {
        (Comparison::Equal, _) => pack(&column.values, |value| value == with),
        (Comparison::Less, false) => pack(&column.values, |value| value < with),
        (Comparison::Less, true) => pack(&column.values, |value| with < value),
        (Comparison::LessEqual, false) => pack(&column.values, |value| value <= with),
        (Comparison::LessEqual, true) => pack(&column.values, |value| with <= value),
    };
    Truths::within(yes, &column.valid)
}

/// Whether a column equals one of several values.
pub(super) fn one_of<T: Copy + PartialEq>(column: &Column<T>, list: &[T]) -> Truths {
    let equal = list.iter().map(|one| pack(&column.values, |value| value == *one));
    let yes = equal.fold(NONE, |any, bits| zip(&any, &bits, |a, b| a | b));
    Truths::within(yes, &column.valid)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

pub(super) fn arithmetic(op: Arithmetic, left: Operand<'_>, right: Operand<'_>, into: &mut Column<f64>) {
    into.valid = zip(left.valid(), right.valid(), |a, b| a & b);
    match op {
        Arithmetic::Add => combine(left, right, into, |a, b| a + b),
        Arithmetic::Subtract => combine(left, right, into, |a, b| a - b),
        Arithmetic::Multiply => combine(left, right, into, |a, b| a * b),
        Arithmetic::Divide => combine(left, right, into, |a, b| a / b),
    }
    // Nothing is left of a finite number less itself, not even a bit.
    let odd = into.values.iter().fold(0, |odd, value| odd | (value - value).to_bits());
    if odd != 0 {
        drop_infinities(into);
    }
}

/// Whether all numbers are finite, and none is −0.
pub(super) fn all_plain(values: &[f64]) -> bool {
    values.iter().fold(0, |odd, x| odd | (x - x).to_bits() | ((x + 0.0).to_bits() ^ x.to_bits())) == 0
}

/// Adding 0 makes +0 of −0 and changes nothing else.
fn combine(left: Operand<'_>, right: Operand<'_>, into: &mut Column<f64>, op: impl Fn(f64, f64) -> f64) {
    let into = into.values.iter_mut();
    match (left, right) {
        (Operand::Column(a), Operand::Column(b)) => {
            into.zip(a.values.iter().zip(b.values.iter())).for_each(|(into, (a, b))| *into = op(*a, *b) + 0.0);
        }
        (Operand::Column(a), Operand::Constant(b)) => {
            into.zip(a.values.iter()).for_each(|(into, a)| *into = op(*a, b) + 0.0);
        }
        (Operand::Constant(a), Operand::Column(b)) => {
            into.zip(b.values.iter()).for_each(|(into, b)| *into = op(a, *b) + 0.0);
        }
        (Operand::Constant(a), Operand::Constant(b)) => into.for_each(|into| *into = op(a, b) + 0.0),
    }
}

/// What is no number is no value. A place without a value gets one that does not come here again.
fn drop_infinities(column: &mut Column<f64>) {
    for (row, value) in column.values.iter_mut().enumerate() {
        if !value.is_finite() {
            *value = 0.0;
            unset(&mut column.valid, row);
        }
    }
}

/// `then` where a truth is true, else `otherwise`.
pub(super) fn choose(truth: &Truths, then: Operand<'_>, otherwise: Option<Operand<'_>>, into: &mut Column<f64>) {
    let (mask, other_valid) = (&truth.yes, otherwise.as_ref().map_or(&NONE, Operand::valid));
    let valid = zip(mask, then.valid(), |mask, valid| mask & valid);
    into.valid = zip(&valid, &zip(mask, other_valid, |mask, valid| !mask & valid), |a, b| a | b);
    // The rarer of the two one by one.
    let otherwise = otherwise.unwrap_or(Operand::Constant(0.0));
    if mask.iter().map(|word| word.count_ones() as usize).sum::<usize>() <= BLOCK / 2 {
        put_all(&mut into.values, otherwise);
        put(&mut into.values, then, mask);
    } else {
        put_all(&mut into.values, then);
        put(&mut into.values, otherwise, &mask.map(|word| !word));
    }
}

fn put_all(into: &mut [f64; BLOCK], from: Operand<'_>) {
    match from {
        Operand::Column(column) => into.copy_from_slice(&column.values[..]),
        Operand::Constant(value) => into.fill(value),
    }
}

/// Puts the values of some rows.
fn put(into: &mut [f64; BLOCK], from: Operand<'_>, rows: &Bits) {
    for (word, bits) in rows.iter().enumerate() {
        let mut bits = *bits;
        while bits != 0 {
            let row = bits.trailing_zeros() as usize * WORDS + word;
            bits &= bits - 1;
            into[row] = match from {
                Operand::Column(column) => column.values[row],
                Operand::Constant(value) => value,
            };
        }
    }
}

/// Integers as the doubles nearest to them.
pub(super) fn widen(column: &Column<i64>, into: &mut Column<f64>) {
    into.valid = column.valid;
    into.values.iter_mut().zip(column.values.iter()).for_each(|(into, value)| *into = *value as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_go_to_arrow_and_back() {
        let values: [u64; BLOCK] = std::array::from_fn(|row| (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7);
        let is_yes = |value: u64| value % 3 == 0;
        let bits = pack(&values, is_yes);
        let words = to_arrow(&bits);
        for (row, value) in values.into_iter().enumerate() {
            assert_eq!(is_set(&bits, row), is_yes(value), "{row}");
            assert_eq!(words[row / 64] >> (row % 64) & 1 == 1, is_yes(value), "{row}");
        }
        assert_eq!(from_arrow(&words), bits);
    }
}
