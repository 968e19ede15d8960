//! `asyncapi.yaml`: the server as an AsyncAPI 3 document.

use pitturu_protocol::{SUBPROTOCOL, VERSION};
use serde_json::{Map, Value, json};

use crate::catalog::{Catalog, EventEntry, MethodEntry};
use crate::frames::{Element, FRAMES, FrameEntry, Side};
use crate::yaml;

/// The file's content.
pub fn text(catalog: &Catalog) -> String {
    let messages = messages(catalog);
    let on_channel: Map<String, Value> = messages
        .keys()
        .map(|name| (name.clone(), reference("messages", name)))
        .collect();
    let schemas: Map<String, Value> = catalog
        .types
        .iter()
        .map(|(name, schema)| (name.clone(), relocated(schema)))
        .collect();
    yaml::text(&json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "PittuRu",
            "version": format!("{VERSION}.0.0"),
            "description": "One binary MessagePack protocol over WebSocket. A WebSocket message holds one or more \
                frames back to back; a frame is an array that begins with its kind.",
            "license": { "name": "MIT" },
        },
        "defaultContentType": "application/vnd.msgpack",
        "servers": {
            "development": { "host": "127.0.0.1:7350", "protocol": "ws", "description": "A server on this machine." },
        },
        "channels": {
            "connection": {
                "address": "/",
                "description": format!("One WebSocket, subprotocol `{SUBPROTOCOL}`, binary messages only."),
                "bindings": { "ws": { "method": "GET", "headers": {
                    "type": "object",
                    "required": ["Sec-WebSocket-Protocol"],
                    "properties": { "Sec-WebSocket-Protocol": { "const": SUBPROTOCOL } },
                } } },
                "messages": on_channel,
            },
        },
        "operations": operations(catalog),
        "components": { "messages": messages, "schemas": schemas },
    }))
}

fn reference(section: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{section}/{name}") })
}

fn schema_reference(name: &str) -> Value {
    reference("schemas", name)
}

fn on_channel(name: &str) -> Value {
    json!({ "$ref": format!("#/channels/connection/messages/{name}") })
}

/// The same schema with its references where AsyncAPI keeps schemas.
fn relocated(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(relocated).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::String(path) if key == "$ref" => {
                    let path = path.replace("#/$defs/", "#/components/schemas/");
                    (key.clone(), path.into())
                }
                other => (key.clone(), relocated(other)),
            })
            .collect(),
        plain => plain.clone(),
    }
}

/// The frames that carry no body of a table, then each call, reply and event as a frame of its own.
fn messages(catalog: &Catalog) -> Map<String, Value> {
    let mut messages = Map::new();
    for frame in FRAMES.iter().filter(|frame| !has_table_body(frame)) {
        messages.insert(
            frame.name.to_owned(),
            message(frame.name, frame.doc, &payload(frame, None, None)),
        );
    }
    for MethodEntry {
        info,
        request,
        reply,
        ..
    } in &catalog.methods
    {
        let call = payload(
            FrameEntry::of("call"),
            Some(info.number),
            Some(request.name),
        );
        let answer = payload(FrameEntry::of("reply"), None, Some(reply.name));
        let doc = catalog.doc(request.name);
        messages.insert(
            format!("call.{}", info.name),
            message(info.name, doc, &call),
        );
        let title = format!("Reply to {}", info.name);
        messages.insert(
            format!("reply.{}", info.name),
            message(&title, catalog.doc(reply.name), &answer),
        );
    }
    for EventEntry { info, body, .. } in &catalog.events {
        let payload = payload(FrameEntry::of("event"), Some(info.number), Some(body.name));
        messages.insert(
            format!("event.{}", info.name),
            message(info.name, catalog.doc(body.name), &payload),
        );
    }
    messages
}

fn has_table_body(frame: &FrameEntry) -> bool {
    frame
        .fields
        .iter()
        .any(|field| field.element == Element::TableBody)
}

fn message(title: &str, summary: &str, payload: &Value) -> Value {
    json!({ "title": title, "summary": summary, "payload": payload })
}

/// The frame's array. `number` fixes the method or event, `body` the type behind it.
fn payload(frame: &FrameEntry, number: Option<u16>, body: Option<&str>) -> Value {
    let mut items = vec![json!({ "const": frame.kind, "description": "Kind of the frame." })];
    for field in frame.fields {
        let mut item = match (field.element, number, body) {
            (Element::U16, Some(number), _) => json!({ "const": number }),
            (Element::TableBody, _, Some(name)) => schema_reference(name),
            (element, ..) => element.schema(schema_reference),
        };
        if let Value::Object(map) = &mut item
            && !map.contains_key("$ref")
        {
            map.insert("title".to_owned(), field.name.into());
        }
        items.push(item);
    }
    let optional = frame
        .fields
        .iter()
        .filter(|field| field.element.is_optional())
        .count();
    let least = items.len() - optional;
    json!({ "type": "array", "items": items, "minItems": least })
}

fn operations(catalog: &Catalog) -> Map<String, Value> {
    let channel = json!({ "$ref": "#/channels/connection" });
    let mut operations = Map::new();
    for method in &catalog.methods {
        let name = method.info.name;
        let operation = json!({
            "action": "receive",
            "channel": channel,
            "summary": catalog.doc(method.request.name),
            "tags": [{ "name": method.area }],
            "messages": [on_channel(&format!("call.{name}"))],
            "reply": {
                "channel": channel,
                "messages": [on_channel(&format!("reply.{name}")), on_channel("fault")],
            },
            "x-number": method.info.number,
        });
        operations.insert(name.to_owned(), extended(operation, method.columns()));
    }
    for event in &catalog.events {
        let name = event.info.name;
        let operation = json!({
            "action": "send",
            "channel": channel,
            "summary": catalog.doc(event.body.name),
            "tags": [{ "name": event.area }],
            "messages": [on_channel(&format!("event.{name}"))],
            "x-number": event.info.number,
        });
        operations.insert(name.to_owned(), extended(operation, event.columns()));
    }
    for frame in FRAMES.iter().filter(|frame| !has_table_body(frame)) {
        let action = match frame.side {
            Side::Client => "receive",
            Side::Server => "send",
        };
        operations.insert(
            format!("frame.{}", frame.name),
            json!({
                "action": action,
                "channel": channel,
                "summary": frame.doc,
                "messages": [on_channel(frame.name)],
            }),
        );
    }
    operations
}

/// The operation with the columns of its line as extensions.
fn extended(mut operation: Value, columns: Map<String, Value>) -> Value {
    for (name, value) in columns {
        operation[format!("x-{name}")] = value;
    }
    operation
}
