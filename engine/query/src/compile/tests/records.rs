//! Seeded records: properties of one type and of several, with values at the edges.

use std::collections::BTreeMap;

use footfall_model::Value;

use super::table::Row;

/// SplitMix64: a seed gives the same test on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

pub const TEXTS: [&str; 44] = [
    "",
    "a",
    "A",
    "abc",
    "ABC",
    "b",
    "true",
    "false",
    "null",
    "undefined",
    "x,y,,z",
    "iPhone5.1",
    "it's \"quoted\" \\ both",
    "line\nline\ttab",
    "\u{1}\u{7f}",
    // Characters of several bytes, of two UTF-16 units, and of several characters; letters whose case changes their number.
    "é日😀",
    "e\u{301}",
    "👩\u{200d}👩\u{200d}👧",
    "🇫🇷",
    "ß",
    "SS",
    "İ",
    "ΌΣ",
    "\u{feff}a",
    "\u{ffff}",
    "\u{10000}",
    // Numbers, and what only looks like one.
    "5",
    " 42 ",
    "\t-1e2\r\n",
    "+.5",
    "5.",
    "007",
    "-0",
    "1e308",
    "1e309",
    "9007199254740993",
    "5e-324",
    "0x10",
    "1_000",
    "inf",
    "NaN",
    "12abc",
    "１",
    "\u{a0}5",
];

/// Dates in every form, and what only looks like one.
pub const DATES: [&str; 26] = [
    "2024-01-02",
    "2024-01-02T03:04:05",
    "2024-01-02T03:04:05",
    "2024-01-02T03:04:05Z",
    "2024-01-02 03:04:05",
    "2024-01-02T03:04:05.999",
    "2024-01-02T03:04:05.999Z",
    "2024-01-02T03:04:05+02:00",
    "2024-01-02T03:04:05-0330",
    "2023-11-14 22:13:20",
    "2024-02-29",
    "2023-02-29",
    "2024-03-10T02:30:00",
    "2024-11-03T01:30:00",
    "1970-01-01",
    "0001-01-01",
    "9999-12-31",
    "2000-02-29T23:59:59",
    "2024-12-30",
    "2024-01-02T24:00:00",
    "2024-01-02T03:04:60",
    "2024-01-02T03:04",
    "2024-1-2",
    " 2024-01-02",
    "2024-01-02T03:04:05z",
    "junk",
];

const INTS: [i64; 22] = [
    0,
    1,
    -1,
    2,
    3,
    5,
    42,
    86_400,
    1_700_000_000,
    4_294_967_295,
    4_294_967_296,
    1_704_164_645_000,
    9_007_199_254_740_991,
    9_007_199_254_740_992,
    9_007_199_254_740_993,
    -9_007_199_254_740_993,
    9_007_199_254_740_995,
    1_000_000_000_000_000_001,
    i64::MAX - 512,
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
];

const FLOATS: [f64; 18] = [
    0.0,
    -0.0,
    0.5,
    2.5,
    -2.5,
    3.0,
    0.1,
    -0.3,
    0.499_999_999_999_999_94,
    123_456_789.125,
    1e21,
    1e308,
    -1e308,
    5e-324,
    1.5e-7,
    9_007_199_254_740_994.0,
    9_223_372_036_854_775_808.0,
    f64::MAX,
];

/// What a property is sent as.
const PROPERTIES: [(&str, &str); 17] = [
    ("text", "t"),
    ("int", "i"),
    ("float", "f"),
    ("bool", "b"),
    ("number", "if"),
    ("date", "d"),
    ("list", "l"),
    ("objects", "o"),
    ("map", "m"),
    ("carts", "c"),
    ("cart or text", "ccmt"),
    ("nullable", "tn"),
    ("flag", "bbbt"),
    ("any", "tifblmndo"),
    ("null", "n"),
    ("deep", "D"),
    ("text or list", "tl"),
];

pub fn row(random: &mut Random) -> Row {
    let mut members = || {
        let mut members = BTreeMap::new();
        for (name, kinds) in PROPERTIES {
            if random.chance(75) {
                let kind = random.pick(kinds.as_bytes());
                members.insert(name.to_owned(), value(random, kind, 0));
            }
        }
        members
    };
    let (properties, user) = (members(), members());
    let time = random.chance(90).then(|| 1_704_164_645_000 + 500 * random.below(6) as i64 - 1_000);
    Row { properties, user, time: time.map(|time| if random.chance(10) { -time / 1_000_000 } else { time }) }
}

fn value(random: &mut Random, kind: u8, depth: usize) -> Value {
    match kind {
        b't' => Value::Text(random.pick(&TEXTS).to_owned()),
        b'd' => Value::Text(random.pick(&DATES).to_owned()),
        b'D' => {
            let levels = 1 + random.below(12);
            deep(random, levels)
        }
        b'i' => Value::Int(random.pick(&INTS)),
        b'f' => Value::Float(random.pick(&FLOATS)),
        b'b' => Value::Bool(random.chance(50)),
        b'n' => Value::Null,
        b'c' => Value::List((0..random.below(4)).map(|_| cart(random, depth + 1)).collect()),
        b'o' => Value::List((0..random.below(4)).map(|_| value(random, b'm', depth + 1)).collect()),
        b'l' => {
            let kinds: &[u8] = if depth > 1 { b"tib" } else { b"ttiifbnlm" };
            let kind = random.pick(kinds);
            let mixed = random.chance(30);
            let elements = (0..random.below(4)).map(|_| {
                let kind = if mixed { random.pick(kinds) } else { kind };
                value(random, kind, depth + 1)
            });
            Value::List(elements.collect())
        }
        _ => {
            let mut members = Vec::new();
            for name in ["a", "b", "l"] {
                if random.chance(70) {
                    let kind = if name == "l" && depth < 2 { b'l' } else { random.pick(b"tifbn") };
                    members.push((name.to_owned(), value(random, kind, depth + 1)));
                }
            }
            Value::Map(members)
        }
    }
}

/// Lists and maps within each other, now and then with something beside what is inside.
fn deep(random: &mut Random, levels: usize) -> Value {
    if levels == 0 {
        let kind = random.pick(b"tifbnd");
        return value(random, kind, 9);
    }
    let inner = deep(random, levels - 1);
    let beside = random.chance(30).then(|| value(random, b'i', 9));
    match random.below(3) {
        0 => Value::Map(
            [("a".to_owned(), inner)].into_iter().chain(beside.map(|beside| ("l".to_owned(), beside))).collect(),
        ),
        _ => Value::List([inner].into_iter().chain(beside).collect()),
    }
}

/// An object with a list of objects inside; now and then something else in either place.
fn cart(random: &mut Random, depth: usize) -> Value {
    if random.chance(10) {
        let kind = random.pick(b"tifbnlm");
        return value(random, kind, depth + 1);
    }
    let mut members = Vec::new();
    for (name, kinds) in [("a", "ttiifbn"), ("items", "ooooooolmt"), ("l", "l"), ("deep", "m"), ("b\"é", "t")] {
        if random.chance(75) {
            let kind = random.pick(kinds.as_bytes());
            members.push((name.to_owned(), value(random, kind, depth + 1)));
        }
    }
    Value::Map(members)
}
