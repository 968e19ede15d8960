//! Where integers stand in the values of a type, with their ranges: for tests at the limits of each.

use serde_json::Value;

use crate::catalog::{Catalog, referred};
use crate::sample;

/// One integer in a value of some type.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The whole value: everything in it is in its range.
    pub value: Value,
    /// Where the integer stands, as a JSON pointer.
    pub pointer: String,
    /// The same as faults write it: `field.inner` or `list[0].field`.
    pub path: String,
    /// Least value that the schema allows.
    pub min: i64,
    /// Largest value that the schema allows.
    pub max: u64,
}

impl Place {
    /// The value with another integer in this place.
    pub fn with(&self, integer: impl Into<Value>) -> Value {
        let mut value = self.value.clone();
        let held = value.pointer_mut(&self.pointer);
        *held.expect("the pointer leads to an integer") = integer.into();
        value
    }
}

/// Every integer of a type, in each variant of what the type contains.
pub fn places(catalog: &Catalog, name: &str) -> Vec<Place> {
    let mut found: Vec<Place> = Vec::new();
    for value in sample::values(catalog, name) {
        let mut walk = Walk {
            catalog,
            whole: &value,
            found: &mut found,
        };
        walk.value(catalog.schema(name), &value, "", "");
    }
    found
}

struct Walk<'a> {
    catalog: &'a Catalog,
    whole: &'a Value,
    found: &'a mut Vec<Place>,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Value, value: &Value, pointer: &str, path: &str) {
        if let Some(name) = referred(schema) {
            let catalog = self.catalog;
            return self.value(catalog.schema(name), value, pointer, path);
        }
        for choices in ["oneOf", "anyOf"] {
            let Some(Value::Array(choices)) = schema.get(choices) else {
                continue;
            };
            // A variant with content is a map that says which one it is.
            for choice in choices.iter().filter(|choice| fits(choice, value)) {
                self.value(choice, value, pointer, path);
            }
            return;
        }
        match value {
            Value::Object(fields) => {
                for (field, held) in fields {
                    let Some(part) = schema.pointer(&format!("/properties/{field}")) else {
                        continue;
                    };
                    let dot = if path.is_empty() { "" } else { "." };
                    let inner = format!("{path}{dot}{field}");
                    self.value(part, held, &format!("{pointer}/{field}"), &inner);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let inner = format!("{path}[{index}]");
                    self.value(
                        &schema["items"],
                        item,
                        &format!("{pointer}/{index}"),
                        &inner,
                    );
                }
            }
            Value::Number(_) => self.integer(schema, pointer, path),
            _ => {}
        }
    }

    fn integer(&mut self, schema: &Value, pointer: &str, path: &str) {
        let bound = |key| schema.get(key).and_then(Value::as_i64);
        if self.found.iter().any(|place| place.path == path) {
            return;
        }
        self.found.push(Place {
            value: self.whole.clone(),
            pointer: pointer.to_owned(),
            path: path.to_owned(),
            min: bound("minimum").unwrap_or(0),
            max: schema
                .get("maximum")
                .and_then(Value::as_u64)
                .expect("integers are bounded"),
        });
    }
}

/// Whether each field of the value is one of the choice's.
fn fits(choice: &Value, value: &Value) -> bool {
    let fields = choice.get("properties").and_then(Value::as_object);
    match (value, fields) {
        (Value::Object(held), Some(fields)) => held.keys().all(|field| {
            let fixed = fields.get(field).map(|part| part.get("const"));
            fixed.is_some_and(|fixed| fixed.is_none_or(|fixed| Some(fixed) == held.get(field)))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_integer_is_found_with_its_range() {
        let catalog = Catalog::collect();
        let found = |name: &str| -> Vec<(String, i64, u64)> {
            places(&catalog, name)
                .into_iter()
                .map(|place| (place.path, place.min, place.max))
                .collect()
        };
        assert_eq!(found("ListBans"), [("limit".to_owned(), 1, 200)]);
        let paths =
            |name: &str| -> Vec<String> { found(name).into_iter().map(|it| it.0).collect() };
        assert_eq!(
            paths("CreateRoom"),
            ["slow_mode_ms", "retention.age_ms", "retention.messages"]
        );
        assert_eq!(
            paths("ReadHistory"),
            [
                "from.before",
                "limit",
                "from.after",
                "from.since",
                "from.until"
            ]
        );
        assert!(paths("Resume").contains(&"rooms[1].rev".to_owned()));
    }
}
