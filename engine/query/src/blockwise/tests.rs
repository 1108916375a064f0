//! Programs against the trees that they stand for, over random trees and columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr_fn::{
    binary_expr, cast, in_list, is_false, is_not_false, is_not_true, is_true, not, when,
};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Operator, ScalarUDF, lit};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::prelude::ident;
use proptest::prelude::*;

use super::exec::BlockwiseExpr;
use super::program::Program;
use super::{kernels::BLOCK, rewrite};
use crate::compile::functions;

fn schema() -> Schema {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Schema::new(vec![
        field("f", DataType::Float64),
        field("t", DataType::Utf8),
        field("g", DataType::Float64),
        field("i", DataType::Int64),
        field("b", DataType::Boolean),
    ])
}

fn function(name: &str) -> Arc<ScalarUDF> {
    functions().into_iter().find(|function| function.name() == name).unwrap()
}

/// Few values, so that they meet; some past what a double holds exactly.
fn number_literal() -> impl Strategy<Value = f64> {
    prop::sample::select(vec![-0.0, 0.0, 0.1, 1.0, -1.0, 2.5, 3.0, 1e300, -1e300, f64::MAX, f64::MIN_POSITIVE])
}

fn integer_literal() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 1, -1, 3, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1])
}

fn comparison() -> impl Strategy<Value = Operator> {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    prop::sample::select(vec![Eq, NotEq, Lt, LtEq, Gt, GtEq])
}

/// Of numbers and of truths, by depth.
fn trees(depth: u32) -> (BoxedStrategy<Expr>, BoxedStrategy<Expr>) {
    let number = prop_oneof![
        4 => prop::sample::select(vec!["f", "g"]).prop_map(ident),
        1 => Just(cast(ident("i"), DataType::Float64)),
        1 => number_literal().prop_map(lit),
    ];
    let truth = prop_oneof![
        2 => Just(ident("b")),
        1 => prop::option::of(any::<bool>()).prop_map(|b| Expr::Literal(b.into(), None)),
        1 => prop::sample::select(vec!["f", "t", "i", "b"]).prop_map(|name| ident(name).is_not_null()),
        2 => (comparison(), integer_literal(), any::<bool>()).prop_map(|(op, with, flipped)| match flipped {
            false => binary_expr(ident("i"), op, lit(with)),
            true => binary_expr(lit(with), op, ident("i")),
        }),
        1 => (prop::sample::subsequence(vec!["yes", "no", "maybe", ""], 1..4), any::<bool>())
            .prop_map(|(list, negated)| in_list(ident("t"), list.into_iter().map(lit).collect(), negated)),
        1 => prop::collection::vec(integer_literal(), 1..5)
            .prop_map(|list| in_list(ident("i"), list.into_iter().map(lit).collect(), false)),
    ];
    let (mut number, mut truth) = (number.boxed(), truth.boxed());
    for _ in 0..depth {
        let (n, t) = (number.clone(), truth.clone());
        let names = ["expression_add", "expression_subtract", "expression_multiply", "expression_divide"];
        let next_number = prop_oneof![
            2 => n.clone(),
            4 => (prop::sample::select(names.to_vec()), n.clone(), n.clone())
                .prop_map(|(name, a, b)| function(name).call(vec![a, b])),
            1 => n.clone().prop_map(|a| function("expression_finite").call(vec![a])),
            1 => (t.clone(), n.clone(), n.clone()).prop_map(|(c, a, b)| when(c, a).otherwise(b).unwrap()),
            1 => (t.clone(), n.clone()).prop_map(|(c, a)| when(c, a).end().unwrap()),
        ];
        let next_truth = prop_oneof![
            2 => t.clone(),
            4 => (n.clone(), comparison(), n.clone()).prop_map(|(a, op, b)| binary_expr(a, op, b)),
            2 => (t.clone(), t.clone()).prop_map(|(a, b)| a.and(b)),
            2 => (t.clone(), t.clone()).prop_map(|(a, b)| a.or(b)),
            1 => t.clone().prop_map(not),
            1 => (prop::sample::select(vec![is_true, is_not_true, is_false, is_not_false]), t.clone())
                .prop_map(|(test, a): (fn(Expr) -> Expr, Expr)| test(a)),
            1 => n.clone().prop_map(Expr::is_null),
            1 => t.clone().prop_map(Expr::is_not_null),
            1 => (n.clone(), prop::collection::vec(number_literal(), 1..12), any::<bool>())
                .prop_map(|(a, list, negated)| in_list(a, list.into_iter().map(lit).collect(), negated)),
            1 => (n, number_literal(), any::<bool>()).prop_map(|(a, with, same)| {
                let op = if same { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom };
                binary_expr(a, op, lit(with))
            }),
        ];
        (number, truth) = (next_number.boxed(), next_truth.boxed());
    }
    (number, truth)
}

/// A tree, sometimes beside something that no program knows.
fn tree() -> impl Strategy<Value = Expr> {
    let (number, truth) = trees(4);
    let text = || ident("t").eq(lit("yes"));
    prop_oneof![
        3 => truth.clone(),
        1 => (truth.clone(), truth).prop_map(move |(a, b)| a.and(text()).and(b)),
        2 => number,
    ]
}

/// Columns, in which odd numbers come as often as said, if at all.
fn batch(odd: Option<f64>) -> impl Strategy<Value = RecordBatch> {
    let odd_number = prop::sample::select(vec![-0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let plain = || number_literal().prop_map(|x| x + 0.0);
    let number = move || {
        let odd_number = odd_number.clone();
        let odd_number = match odd {
            Some(odd) => prop::option::weighted(odd, odd_number).boxed(),
            None => Just(None).boxed(),
        };
        (prop::option::weighted(0.8, plain()), odd_number).prop_map(|(plain, odd)| odd.or(plain))
    };
    let row = (
        number(),
        prop::option::of(prop::sample::select(vec!["yes", "no", ""])),
        number(),
        prop::option::weighted(0.8, integer_literal()),
        prop::option::weighted(0.8, any::<bool>()),
    );
    (prop::collection::vec(row, 0..3 * BLOCK), 0..200_usize).prop_map(|(rows, from)| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.4).collect::<BooleanArray>()),
        ];
        let batch = RecordBatch::try_new(Arc::new(schema()), columns).unwrap();
        // Columns that do not begin where their memory does.
        let from = from.min(batch.num_rows());
        batch.slice(from, batch.num_rows() - from)
    })
}

fn physical(expr: &Expr) -> Arc<dyn PhysicalExpr> {
    let schema = DFSchema::try_from(schema()).unwrap();
    create_physical_expr(expr, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default()).unwrap()
}

/// Of floats also the sign of zero.
fn assert_same(program: &ArrayRef, tree: &ArrayRef, of: &dyn std::fmt::Display) {
    assert_eq!(program.data_type(), tree.data_type(), "{of}");
    match (program.as_primitive_opt::<Float64Type>(), tree.as_primitive_opt::<Float64Type>()) {
        (Some(program), Some(tree)) => {
            let bits = |array: &Float64Array| array.iter().map(|x| x.map(f64::to_bits)).collect::<Vec<_>>();
            assert_eq!(bits(program), bits(tree), "{of}");
        }
        _ => assert_eq!(program, tree, "{of}"),
    }
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> ArrayRef {
    expr.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap()
}

proptest! {
    // More with PROPTEST_CASES.
    #![proptest_config(ProptestConfig {
        cases: 4 * ProptestConfig::default().cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn b1_a_program_gives_what_its_tree_gives(expr in tree(), batch in batch(None)) {
        let tree = physical(&expr);
        let expected = evaluate(&tree, &batch);
        if let Some(rewritten) = rewrite(&tree, &schema()).unwrap() {
            assert_same(&evaluate(&rewritten, &batch), &expected, &tree);
        }
        if let Some(program) = Program::of(&tree, &schema()) {
            let given = program.run(&batch).expect("nothing odd is in the columns");
            assert_same(&given, &expected, &tree);
        }
    }

    #[test]
    fn b3_odd_numbers_are_left_to_the_tree(expr in tree(), batch in batch(Some(0.001))) {
        let tree = physical(&expr);
        if let Some(program) = Program::of(&tree, &schema()) {
            let expected = evaluate(&tree, &batch);
            let given = evaluate(&BlockwiseExpr::shared(tree.clone(), program), &batch);
            assert_same(&given, &expected, &tree);
        }
    }
}

fn shown(expr: &Expr) -> String {
    rewrite(&physical(expr), &schema()).unwrap().map_or_else(String::new, |rewritten| rewritten.to_string())
}

#[test]
fn what_can_be_in_a_program_is_gathered_and_what_is_short_stays() {
    let between = |low: f64, high: f64| ident("f").gt(lit(low)).and(ident("f").lt(lit(high)));
    let text = ident("t").eq(lit("yes"));
    assert_eq!(shown(&ident("f").gt(lit(1.0))), "");
    assert_eq!(shown(&between(1.0, 2.0)), "blockwise(f@0 > 1 AND f@0 < 2)");
    let split = ident("f").gt(lit(1.0)).and(text.clone()).and(ident("f").lt(lit(2.0)));
    assert_eq!(shown(&split), "blockwise(f@0 > 1 AND f@0 < 2) AND t@1 = yes");
    let within = between(1.0, 2.0).or(text.clone());
    assert_eq!(shown(&within), "blockwise(f@0 > 1 AND f@0 < 2) OR t@1 = yes");
    assert_eq!(shown(&text), "");
}

/// Thousands of steps, and trees as deep as that, are no programs; neither takes long, or ends the process.
#[test]
fn what_is_too_large_or_too_deep_stays_a_tree() {
    let sum = |terms: usize| {
        let add = function("expression_add");
        (0..terms).fold(ident("f"), |sum, n| add.call(vec![sum, lit(n as f64)])).gt(lit(0.0))
    };
    assert!(Program::of(&physical(&sum(60)), &schema()).is_some());
    for terms in [64, 150, 300] {
        assert!(Program::of(&physical(&sum(terms)), &schema()).is_none(), "{terms} terms");
    }
}
