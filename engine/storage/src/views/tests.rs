use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};
use object_store::memory::InMemory;

use super::*;

fn views() -> Views {
    Views::new(Arc::new(InMemory::new()), ProjectId(7))
}

fn numbers(values: Vec<i64>) -> (SchemaRef, RecordBatch) {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(values))]).unwrap();
    (schema, batch)
}

fn key(day: i32, fingerprint: u128) -> CellKey {
    CellKey { day, shard: Shard(3), fingerprint }
}

#[tokio::test]
async fn a_name_is_given_once_until_it_is_dropped() {
    let views = views();
    let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let ViewCreation::Created(view) = views.create("daily", "SELECT 1", at).await.unwrap() else { panic!() };
    assert_eq!(views.create("daily", "SELECT 2", at).await.unwrap(), ViewCreation::Exists);
    assert_eq!(views.list().await.unwrap(), [view]);
    assert!(views.drop("daily").await.unwrap());
    assert!(!views.drop("daily").await.unwrap());
    assert_eq!((views.list().await.unwrap(), views.get("daily").await.unwrap()), (vec![], None));
    assert!(matches!(views.create("daily", "SELECT 2", at).await.unwrap(), ViewCreation::Created(_)));
}

#[tokio::test]
async fn cells_are_found_by_what_they_were_made_from() {
    let views = views();
    let (schema, batch) = numbers(vec![1, 2]);
    for key in [key(19_700, 5), key(-3, u128::MAX)] {
        views.write("daily", &key, &schema, std::slice::from_ref(&batch)).await.unwrap();
        assert_eq!(views.read("daily", &key, &schema).await.unwrap(), Some(vec![batch.clone()]));
        assert!(views.cells("daily").await.unwrap().contains_key(&key));
    }
    assert_eq!(views.read("daily", &key(19_700, 6), &schema).await.unwrap(), None);
    assert_eq!(views.read("other", &key(19_700, 5), &schema).await.unwrap(), None);
    views.drop("daily").await.unwrap();
    assert!(views.cells("daily").await.unwrap().is_empty());
}

#[test]
fn no_flipped_bit_goes_unseen() {
    let (schema, batch) = numbers((0..100).collect());
    let bytes = cell::encode(&schema, &[batch]).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(cell::decode(&damaged, &schema).is_err(), "bit {bit}");
    }
    assert!(cell::decode(&bytes[..bytes.len() - 1], &schema).is_err());
    assert!(cell::decode(b"", &schema).is_err());
}
