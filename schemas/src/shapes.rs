//! `shapes.ts`: what the TypeScript SDK checks of every body that it receives, so that its types tell the truth.

use std::fmt::Write;

use pitturu_protocol::limits::INTEGER_MAX;
use serde_json::Value;

use crate::catalog::{Catalog, is_required, referred};
use crate::derived::HEADER;

const INTRODUCTION: &str = "\
/**
 * Fields of each type and what they hold: the name of a type, `text`, `id`, `bool`, `map`, `bin`, or an integer of at most
 * 16, 32 or 53 bits. `[]` marks a list and `?` an optional field.
 */
export const SHAPES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
";

/// The file's content.
pub(crate) fn text(catalog: &Catalog) -> String {
    let mut out = HEADER.to_owned();
    out.push_str(INTRODUCTION);
    let mut names: Vec<&String> = catalog.types.keys().collect();
    names.sort();
    for name in names {
        let schema = catalog.schema(name);
        if is_record(schema) {
            entry(&mut out, catalog, name, schema);
        }
    }
    out.push_str("};\n");
    out
}

fn is_record(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
}

fn entry(out: &mut String, catalog: &Catalog, name: &str, schema: &Value) {
    let fields: Vec<String> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(field, part)| {
            let mark = if is_required(schema, field) { "" } else { "?" };
            format!("{field}: '{}{mark}'", shape(catalog, part))
        })
        .collect();
    let fields = match fields.as_slice() {
        [] => "{}".to_owned(),
        some => format!("{{ {} }}", some.join(", ")),
    };
    writeln!(out, "  {name}: {fields},").expect("a String takes all text");
}

fn shape(catalog: &Catalog, schema: &Value) -> String {
    if let Some(name) = referred(schema) {
        let target = catalog.schema(name);
        return match is_record(target) {
            true => name.to_owned(),
            false => shape(catalog, target),
        };
    }
    if let Some(Value::Array(choices)) = schema.get("oneOf") {
        let is_text = choices.iter().all(|choice| choice.get("const").is_some());
        return if is_text { "text" } else { "map" }.to_owned();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") if schema.get("x-msgpack").is_some() => "bin".to_owned(),
        Some("string") if schema.get("pattern").is_some() => "id".to_owned(),
        Some("string") => "text".to_owned(),
        Some("boolean") => "bool".to_owned(),
        Some("array") => format!("{}[]", shape(catalog, &schema["items"])),
        Some("integer") if schema.get("minimum").and_then(Value::as_i64) < Some(0) => {
            "i53".to_owned()
        }
        Some("integer") => {
            let max = schema.get("maximum").and_then(Value::as_u64);
            match max.unwrap_or(INTEGER_MAX) {
                0..=0xffff => "u16",
                0x1_0000..=0xffff_ffff => "u32",
                _ => "u53",
            }
            .to_owned()
        }
        other => panic!("no shape for {other:?}"),
    }
}
