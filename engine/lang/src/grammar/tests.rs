use crate::{DEPTH_MAX, Parse, TEXT_BYTES_MAX, parse};

/// The tree as an outline, or every diagnostic with its span.
fn check(text: &str, expect: &str) {
    let Parse { tree, diagnostics } = parse(text);
    let found = match tree {
        Some(tree) => format!("{tree:?}"),
        None => diagnostics.iter().map(|d| format!("{} @{:?}", d.message, d.span)).collect::<Vec<_>>().join(" | "),
    };
    assert_eq!(found, expect, "{text}");
}

fn check_valid(text: &str, valid: bool) {
    let Parse { tree, diagnostics } = parse(text);
    assert_eq!(tree.is_some(), valid, "{:.80}: {diagnostics:?}", text);
    assert_eq!(tree.is_some(), diagnostics.is_empty(), "{text:.80}");
}

#[test]
fn operators_group_by_binding_then_left() {
    check("1 or 2 and 3 == 4 + 5 * -6", "(or 1 (and 2 (== 3 (+ 4 (* 5 (- 6))))))");
    check("1 - 2 - 3", "(- (- 1 2) 3)");
    check("3 > 2 > 1", "(> (> 3 2) 1)");
    check("1 in 2 not in 3 = 4", "(== (not in (in 1 2) 3) 4)");
    check("(1 or 2) and 3", "(and (or 1 2) 3)");
}

#[test]
fn not_takes_everything_tighter_than_and() {
    check("not 1 == 2 and 3", "(and (not (== 1 2)) 3)");
    check("true == not false == true", "(== true (not (== false true)))");
    check("1 + not true == false", "(+ 1 (not (== true false)))");
    check("1 * - not 2 + 3 or 4", "(or (* 1 (- (not (+ 2 3)))) 4)");
    check("not not - - 1", "(not (not (- (- 1))))");
    check("not 'a' not in 'b'", "(not (not in \"a\" \"b\"))");
}

#[test]
fn lookups_and_indexes() {
    check("properties['a'][\"b\"][0]", "properties[\"a\"][\"b\"][0]");
    check("properties[\"l\"][007]", "properties[\"l\"][7]");
    check("properties", "expected `[` and a quoted name after `properties`, found the end of the text @10..10");
    check("properties[1]", "expected a quoted name, found a number @11..12");
    check("properties['a' + 'b']", "expected `]`, found `+` @15..16");
    check(
        "properties.a",
        "unexpected character '.'; a property is read as properties[\"name\"], a fraction needs a digit before its point @10..11",
    );
    check("properties['l'][-1]", "expected a quoted key or a whole number, found `-` @16..17");
    check("(properties['a'])['b']", "expected an operator or the end of the text, found `[` @17..18");
    check("Properties['a']", "unknown source `Properties`; did you mean `properties`? @0..10");
}

#[test]
fn both_forms_of_a_quantifier_are_one_node() {
    check("any(x == 5 for x in [1])", "(any x [1] (== x 5))");
    check("ANY(x, [1], x = 5)", "(any x [1] (== x 5))");
    check("filter(x, [1], x > 0)", "(filter x [1] (> x 0))");
    check("filter(x > 0 for x in [1])", "expected `,` and a list, found `>` @9..10");
    check("any(x == 5, x, [1])", "expected an operator, or `for` and a variable, found `,` @10..11");
}

#[test]
fn names_are_seen_in_the_body_only() {
    check("any(any(x > 1 for x in x) for x in [1])", "(any x [1] (any x x (> x 1)))");
    check("any(x == 5 for x in x)", "unknown name `x`; a property is read as properties[\"x\"] @20..21");
    check(
        "any(X == x for x in [1])",
        "unknown name `X`; a property is read as properties[\"X\"]; did you mean `x`? @4..5",
    );
    check("any(x, x, x)", "unknown name `x`; a property is read as properties[\"x\"] @7..8");
    check("any(x for x in [1]) and x", "unknown name `x`; a property is read as properties[\"x\"] @24..25");
    check("let(a, 2, b, a * 3, a + b)", "(let a b 2 (* a 3) (+ a b))");
    check("let(a, a, a)", "unknown name `a`; a property is read as properties[\"a\"] @7..8");
    check("let(a, 1, a, a + 1, a)", "(let a a 1 (+ a 1) a)");
    check("any(length > 3 for length in [1])", "(any length [1] (> length 3))");
    check("any(any(x == y for y in [2]) for x in [1])", "(any x [1] (any y [2] (== x y)))");
}

#[test]
fn a_misspelt_variable_is_suggested_where_it_is_in_scope() {
    let unknown = |name: &str| format!("unknown name `{name}`; a property is read as properties[\"{name}\"]");
    check("any(ablum['a'] for album in [1])", &format!("{}; did you mean `album`? @4..9", unknown("ablum")));
    check("let(spend, 2, price, spent, 1)", &format!("{}; did you mean `spend`? @21..26", unknown("spent")));
    check("any(album for album in [1]) and ablum", &format!("{} @32..37", unknown("ablum")));
    check("any(other for album in [1])", &format!("{} @4..9", unknown("other")));
}

#[test]
fn reserved_words_name_no_variable() {
    check("any(1 for day in [1])", "`day` is reserved and cannot name a variable @10..13");
    check("any(1 for User in [1])", "`User` is reserved and cannot name a variable @10..14");
    check("any(5 == 5 for in in [1])", "expected the name of a variable, found `in` @15..17");
    check("let(true, 1, 2)", "expected the name of a variable, found `true` @4..8");
    check("any(LET, [1], 1)", "`LET` is reserved and cannot name a variable @4..7");
}

#[test]
fn calls() {
    check("LENGTH('a')", "(len \"a\")");
    check("today ()", "today()");
    check("today()", "today()");
    check("flor(1)", "unknown function `flor`; did you mean `floor`? @0..4");
    check("nosuch(1)", "unknown function `nosuch` @0..6");
    check("floor(1, 2)", "`floor` takes 1 argument, found 2 @0..11");
    check("today(1)", "`today` takes no arguments, found 1 @0..8");
    check("ifs(true)", "`ifs` takes pairs of condition and value, found 1 @0..9");
    check("string()", "`string` takes 1 or 2 arguments, found 0 @0..8");
    check("defined properties['x']", "expected `(` after `defined`, found `properties` @8..18");
    check("regex_match('a', 'b' + 'c')", "expected a quoted pattern as second argument of `regex_match` @17..26");
    check("regex_match('a', '(')", "invalid pattern: unclosed group @17..20");
}

#[test]
fn mistakes_that_keep_the_shape_are_all_reported() {
    check(
        "flor(1) + floor() + y",
        "unknown function `flor`; did you mean `floor`? @0..4 | `floor` takes 1 argument, found 0 @10..17 | \
         unknown name `y`; a property is read as properties[\"y\"] @20..21",
    );
}

#[test]
fn the_earlier_mistake_wins() {
    check("1 2 \"abc", "expected an operator or the end of the text, found a number @2..3");
    check("1 + \"abc", "expected a closing \" @4..8");
    check("", "expected an expression, found the end of the text @0..0");
    check("1 +", "expected an expression, found the end of the text @3..3");
    check("(1", "expected an operator or `)`, found the end of the text @2..2");
    check("[1,2,]", "expected a constant (lists hold constants only), found `]` @5..6");
    check("'a' not 'b'", "expected `in` after `not`, found a string @8..11");
}

#[test]
fn depth_is_limited_for_each_kind_of_nesting() {
    for (open, close) in
        [("(", ")"), ("- ", ""), ("not ", ""), ("floor(", ")"), ("any(x, [], ", ")"), ("let(x, 1, ", ")")]
    {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        check_valid(&nested(DEPTH_MAX - 1), true);
        check_valid(&nested(DEPTH_MAX + 1), false);
        check_valid(&nested(TEXT_BYTES_MAX / (open.len() + close.len()) - 1), false);
    }
    check_valid(&format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)), true);
    check_valid(&format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1)), false);
    check_valid(&format!("{}1{}", "(".repeat(DEPTH_MAX), ")".repeat(DEPTH_MAX)), true);
    check_valid(&"[".repeat(TEXT_BYTES_MAX), false);
}

#[test]
fn operators_at_one_level_add_no_depth() {
    check_valid(&vec!["properties['a']"; 4096].join("or"), false);
    check_valid(&vec!["user['a']"; 4096].join(" or "), true);
    check_valid(&vec!["-1"; 4096].join("-"), true);
    check_valid(&vec!["not 1"; 4096].join(" and "), true);
    check_valid(&vec!["(1)"; 4096].join("<"), true);
}

#[test]
fn size_is_limited() {
    check_valid(&format!("1{}", " ".repeat(TEXT_BYTES_MAX - 1)), true);
    check_valid(&format!("1{}", " ".repeat(TEXT_BYTES_MAX)), false);
}
