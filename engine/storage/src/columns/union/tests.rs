//! Any events, cut into batches and brought together again any number of times under small budgets, come back as sent.

use footfall_model::{Event, Shard, StoredEvent, Uid, Value};
use proptest::prelude::*;

use super::*;
use crate::columns::{ColumnBudget, RestIndex, RowReader, TableColumns, all_as_rest, to_batch, with_columns_from_rest};

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("JSON has finite numbers only", |x| x.is_finite()).prop_map(Value::Float),
        (-4..4_i32).prop_map(|x| Value::Float(x.into())),
        "\\PC{0,6}".prop_map(Value::Text),
    ];
    let leaf = scalar.clone();
    prop_oneof![
        6 => scalar,
        1 => prop::collection::vec("[a\"\\\\]{0,3}".prop_map(Value::Text), 0..4).prop_map(Value::List),
        1 => prop::collection::vec(leaf.clone(), 0..4).prop_map(Value::List),
        1 => prop::collection::btree_map("[a-c]", leaf, 0..3).prop_map(|map| Value::Map(map.into_iter().collect())),
    ]
}

/// Few names with a few odd ones, so that all of them have several types.
fn properties() -> impl Strategy<Value = Vec<(String, Value)>> {
    let name =
        prop_oneof![4 => "[a-d]", 1 => Just("rest".to_owned()), 1 => "[A\u{e9}\" .{%]{1,3}", 1 => Just(String::new())];
    prop::collection::btree_map(name, value(), 0..6).prop_map(|map| map.into_iter().collect())
}

fn rows(properties: Vec<Vec<(String, Value)>>) -> Vec<StoredEvent> {
    let row = |(i, properties): (usize, Vec<(String, Value)>)| StoredEvent {
        event: Event {
            name: format!("e{}", i % 3),
            distinct_id: format!("u{}", i % 5),
            time: i as i64,
            insert_id: format!("i{i}"),
            insert_id_generated: false,
            properties,
        },
        uid: Uid::new(Shard(0), i as u32),
        received_at: i as i64,
    };
    properties.into_iter().enumerate().map(row).collect()
}

fn check(batch: &RecordBatch, rows: &[StoredEvent], claim: &str) {
    assert_eq!(batch.num_rows(), rows.len(), "{claim}");
    let reader = RowReader::try_new(batch).unwrap();
    for (row, sent) in rows.iter().enumerate() {
        assert!(reader.has_properties(row, &sent.event.properties), "{claim}: {sent:?}\n{:?}", reader.properties(row));
        for (name, value) in &sent.event.properties {
            assert_eq!(reader.property(row, name).as_ref(), Some(value), "{claim}: {name}");
        }
        assert_eq!(reader.property(row, "never sent"), None);
    }
}

/// B1, and that the index says what there is.
fn check_layout(batch: &RecordBatch, budget: usize) {
    let catalog = Catalog::from_schema(&batch.schema());
    assert!(catalog.columns().len() <= budget, "{} columns", catalog.columns().len());
    for (property, kind, _) in RestIndex::of(batch).unwrap().iter() {
        assert!(catalog.column(property, kind).is_none(), "B1: {property} {kind:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_come_back_whatever_was_a_column(
        sent in prop::collection::vec(properties(), 1..40),
        cuts in prop::collection::vec(0..40_usize, 0..4),
        budgets in prop::collection::vec(0..5_usize, 1..4),
    ) {
        let rows = rows(sent);
        let mut catalog = Arc::new(Catalog::default());
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < rows.len()).chain([0, rows.len()]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut batches = Vec::new();
        for cut in cuts.windows(2) {
            let part = &rows[cut[0]..cut[1]];
            let (batch, rest) = to_batch(part.iter(), &mut catalog, &ColumnBudget::of_live_rows(4)).unwrap();
            check(&batch, part, "a batch");
            prop_assert_eq!(rest, RestIndex::of(&batch).unwrap());
            check_layout(&batch, 4);
            batches.push(batch);
        }
        let mut schema = Schema::empty();
        for budget in budgets {
            // As a compaction after a start: the catalog is what the table says.
            let table = Arc::new(TableColumns::of(&schema, budget));
            let layout = Layout { catalog: catalog.clone(), budget: ColumnBudget::of_segment(budget), table };
            let whole = union(&batches, &layout).unwrap().unwrap();
            check(&whole, &rows, "together");
            check_layout(&whole, budget);
            let again = union(&[whole.slice(0, 1), whole.slice(1, whole.num_rows() - 1)], &layout).unwrap().unwrap();
            prop_assert_eq!(again.schema(), whole.schema(), "B2");
            check(&again, &rows, "again");
            let mut restored = Catalog::from_schema(&layout.table.added_schema(&catalog));
            restored.restore(&catalog.without_columns(&layout.table)).unwrap();
            let mut names: Vec<_> = restored.columns().to_vec();
            names.sort_by(|a, b| a.column.cmp(&b.column));
            let mut expected = catalog.columns().to_vec();
            expected.sort_by(|a, b| a.column.cmp(&b.column));
            if schema.fields().is_empty() {
                prop_assert_eq!(names, expected, "the table and its list know every column");
            }
            schema = Schema::new(layout.table.added_schema(&catalog).fields().clone());
            batches = vec![whole.slice(0, whole.num_rows() / 2), whole.slice(whole.num_rows() / 2, whole.num_rows().div_ceil(2))];
        }
        let whole = &batches[0];
        let part = &rows[..whole.num_rows()];
        let narrow = RecordBatch::try_new(
            whole.schema(), whole.columns().to_vec(),
        ).unwrap();
        let index = RestIndex::of(&narrow).unwrap();
        let wanted: Vec<_> = catalog.columns().iter().filter(|c| index.holds(&c.property, c.kind)).cloned().collect();
        let unfolded = with_columns_from_rest(&narrow, &wanted).unwrap();
        for column in catalog.columns() {
            let array = unfolded.column_by_name(&column.column);
            for (row, sent) in part.iter().enumerate() {
                let value = sent.event.properties.iter().find(|(name, _)| name.as_str() == column.property.as_ref());
                let expected = value.is_some_and(|(_, value)| PropertyType::of(value) == column.kind);
                prop_assert_eq!(array.is_some_and(|array| array.is_valid(row)), expected);
            }
        }
        // Everything as one object, as the export reads it.
        let mut objects: Vec<ArrayRef> = Builtin::ALL.iter().map(|b| whole.column_by_name(b.name()).unwrap().clone()).collect();
        objects.push(all_as_rest(whole).unwrap());
        let mut fields: Vec<Field> = Builtin::ALL.into_iter().map(Builtin::field).collect();
        fields.push(rest_field());
        check(&RecordBatch::try_new(Arc::new(Schema::new(fields)), objects).unwrap(), part, "as objects");
    }
}
