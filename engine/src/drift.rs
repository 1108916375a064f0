//! Properties whose values have had more than one type: somebody sends `"5"` where others send `5`.

use std::collections::BTreeSet;

use footfall_model::ProjectId;
use footfall_query::QueryError;
use footfall_storage::columns::{Catalog, PropertyType};

use crate::{Engine, Error, snapshot_of};

/// A property and the types that its values have had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyTypes {
    pub property: String,
    /// `boolean`, `number`, `string`, `json` (lists and objects), at least two of them.
    pub types: Vec<&'static str>,
}

impl Engine {
    /// Every property of a project with values of more than one type, by name. Exact, since each (property, type) is a
    /// column of its own from its first value on. An explicit null says nothing of a type, and whole numbers are numbers.
    pub async fn type_drift(&self, project: ProjectId) -> Result<Vec<PropertyTypes>, Error> {
        let project = self.project(project)?;
        // The snapshot knows the columns of the newest rows too, and may take a moment to find them.
        let drift = self.pool.run(async move { Ok::<_, QueryError>(drifting(&snapshot_of(&project)?.catalog)) });
        Ok(drift.await?)
    }
}

fn drifting(catalog: &Catalog) -> Vec<PropertyTypes> {
    let mut found: Vec<_> = catalog
        .properties()
        .filter_map(|property| {
            let types: BTreeSet<_> = catalog.columns_of(property).filter_map(|column| type_of(column.kind)).collect();
            (types.len() > 1)
                .then(|| PropertyTypes { property: property.to_string(), types: types.into_iter().collect() })
        })
        .collect();
    found.sort_by(|a, b| a.property.cmp(&b.property));
    found
}

fn type_of(kind: PropertyType) -> Option<&'static str> {
    match kind {
        PropertyType::Boolean => Some("boolean"),
        PropertyType::Integer | PropertyType::Double => Some("number"),
        PropertyType::String => Some("string"),
        PropertyType::Json | PropertyType::Texts => Some("json"),
        PropertyType::Null => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_that_differ_are_drift() {
        let mut catalog = Catalog::default();
        for (property, kinds) in [
            ("price", &[PropertyType::Integer, PropertyType::Double, PropertyType::Null][..]),
            ("plan", &[PropertyType::String, PropertyType::Boolean, PropertyType::Integer]),
            ("tags", &[PropertyType::Texts, PropertyType::Json]),
            ("city", &[PropertyType::String, PropertyType::Json]),
        ] {
            for kind in kinds {
                catalog.column_or_add(property, *kind);
            }
        }
        let drift = drifting(&catalog);
        let seen: Vec<_> = drift.iter().map(|p| (p.property.as_str(), p.types.as_slice())).collect();
        assert_eq!(seen, [("city", &["json", "string"][..]), ("plan", &["boolean", "number", "string"])]);
    }
}
