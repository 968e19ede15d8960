//! The table of text fields against the table of methods and the document.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pitturu_protocol::methods::METHODS;
use pitturu_schemas::catalog::{Catalog, referred};
use pitturu_text::fields::TEXTS;
use pitturu_text::kind::Kind;
use pitturu_text::refusal::Rule;
use serde_json::Value;

/// Every text inside a schema by its path. Ids have a pattern, opaque bytes a mark, and names of a closed list are
/// constants: none of them is text.
fn texts(catalog: &Catalog, path: &str, schema: &Value, found: &mut Vec<String>) {
    if let Some(name) = referred(schema) {
        return texts(catalog, path, catalog.schema(name), found);
    }
    let is_text = schema["type"] == "string"
        && schema.get("pattern").is_none()
        && schema.get("x-msgpack").is_none()
        && schema.get("const").is_none()
        && schema.get("enum").is_none();
    if is_text {
        found.push(path.to_owned());
    }
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let below = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        texts(catalog, &below, part, found);
    }
    if schema.get("items").is_some() {
        texts(catalog, &format!("{path}[]"), &schema["items"], found);
    }
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        texts(catalog, path, choice, found);
    }
}

#[test]
fn every_text_field_of_every_method_has_a_rule() {
    let catalog = Catalog::collect();
    let listed: Vec<&str> = TEXTS.iter().map(|texts| texts.method).collect();
    let methods: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    assert_eq!(listed, methods);
    for (method, ruled) in catalog.methods.iter().zip(TEXTS) {
        let mut found = Vec::new();
        texts(
            &catalog,
            "",
            catalog.schema(method.request.name),
            &mut found,
        );
        let mut ruled: Vec<&str> = ruled.fields.iter().map(|(field, _)| *field).collect();
        found.sort_unstable();
        ruled.sort_unstable();
        assert_eq!(found, ruled, "texts of {}", method.info.name);
    }
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/text.md");
    fs::read_to_string(path).expect("the document can be read")
}

/// The rows of the document's tables by what stands in their first column.
fn rows(document: &str) -> BTreeMap<&str, Vec<&str>> {
    let rows = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?, cells.collect()))
    });
    rows.collect()
}

#[test]
fn the_document_lists_every_field_in_the_row_of_its_kind() {
    let document = document();
    let rows = rows(&document);
    for &kind in Kind::ALL {
        let fields: Vec<String> = TEXTS
            .iter()
            .flat_map(|texts| texts.fields.iter().map(move |field| (texts.method, field)))
            .filter(|(_, (_, of))| *of == kind)
            .map(|(method, (field, _))| format!("`{method}.{field}`"))
            .collect();
        let row = rows
            .get(kind.name())
            .unwrap_or_else(|| panic!("no row for {kind:?}"));
        let mut shown: Vec<&str> = row[0].split(", ").collect();
        let mut fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        shown.sort_unstable();
        fields.sort_unstable();
        assert_eq!(shown, fields, "{kind:?}");
    }
}

#[test]
fn the_document_explains_every_rule() {
    let document = document();
    for rule in Rule::ALL {
        let name = format!("`{}`", rule.name());
        let explained = document.lines().any(|line| {
            line.strip_prefix("| ").is_some_and(|line| {
                let first = line.split(" | ").next().unwrap_or_default();
                first.split(", ").any(|shown| shown == name)
            })
        });
        assert!(explained, "{name}");
    }
}
