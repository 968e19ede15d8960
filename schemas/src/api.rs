//! `api.json`: every table as one JSON Schema document.

use pitturu_protocol::codes::{CloseCode, Code, Reconnect};
use pitturu_protocol::limits::LIMITS;
use pitturu_protocol::{SUBPROTOCOL, VERSION};
use serde_json::{Value, json};

use crate::catalog::{Catalog, EventEntry, MethodEntry};
use crate::frames::{FRAMES, Field, FrameEntry};

/// The file's content.
pub fn text(catalog: &Catalog) -> String {
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:pitturu:{VERSION}"),
        "title": format!("pitturu/{VERSION}"),
        "description": "The calls, events, frames and codes of PittuRu. Bodies travel as MessagePack maps; \
            `x-msgpack: bin` marks opaque bytes.",
        "version": VERSION,
        "subprotocol": SUBPROTOCOL,
        "methods": methods(catalog),
        "events": events(catalog),
        "frames": frames(),
        "codes": codes(),
        "closeCodes": close_codes(),
        "limits": limits(),
        "$defs": catalog.types,
    });
    let mut text = serde_json::to_string_pretty(&document).expect("the document is plain data");
    text.push('\n');
    text
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn methods(catalog: &Catalog) -> Value {
    let entry = |method: &MethodEntry| {
        joined([
            json!({
                "number": method.info.number,
                "name": method.info.name,
                "area": method.area,
            }),
            method.columns().into(),
            json!({
                "description": catalog.doc(method.request.name),
                "request": reference(method.request.name),
                "reply": reference(method.reply.name),
            }),
        ])
    };
    catalog.methods.iter().map(entry).collect()
}

fn events(catalog: &Catalog) -> Value {
    let entry = |event: &EventEntry| {
        joined([
            json!({
                "number": event.info.number,
                "name": event.info.name,
                "area": event.area,
            }),
            event.columns().into(),
            json!({
                "description": catalog.doc(event.body.name),
                "body": reference(event.body.name),
            }),
        ])
    };
    catalog.events.iter().map(entry).collect()
}

/// One object with the fields of several.
fn joined(parts: [Value; 3]) -> Value {
    let fields = parts.into_iter().flat_map(|part| match part {
        Value::Object(fields) => fields,
        other => panic!("{other} has no fields"),
    });
    Value::Object(fields.collect())
}

fn frames() -> Value {
    let fields = |frame: &FrameEntry| -> Value {
        let field = |field: &Field| json!({ "name": field.name, "schema": field.element.schema(reference) });
        frame.fields.iter().map(field).collect()
    };
    let entry = |frame: &FrameEntry| {
        json!({
            "kind": frame.kind,
            "name": frame.name,
            "side": frame.side.name(),
            "description": frame.doc,
            "fields": fields(frame),
        })
    };
    FRAMES.iter().map(entry).collect()
}

fn codes() -> Value {
    let entry = |code: &Code| {
        json!({
            "number": code.number(),
            "name": code.name(),
            "retry": code.retry(),
            "description": code.advice(),
        })
    };
    Code::ALL.iter().map(entry).collect()
}

fn close_codes() -> Value {
    let entry = |code: &CloseCode| {
        json!({
            "number": code.number(),
            "name": code.name(),
            "reconnect": Reconnect::after(code.number()),
            "description": code.meaning(),
        })
    };
    CloseCode::ALL.iter().map(entry).collect()
}

fn limits() -> Value {
    let entry = |limit: &pitturu_protocol::limits::Limit| json!({ "name": limit.name, "value": limit.value, "description": limit.doc.trim() });
    LIMITS.iter().map(entry).collect()
}
