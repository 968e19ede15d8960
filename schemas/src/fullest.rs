//! Every frame that a server can send, filled as far as the schema lets it: each text at its limit in characters of four
//! bytes, each list as long as it gets, each integer at its largest, everything optional there.

use pitturu_protocol::bounds::Bound;
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_protocol::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::catalog::{Catalog, referred};
use crate::frames::{FRAMES, FrameEntry, Side};
use crate::wire::{bin, hex, to_bytes};

/// One frame at its bounds.
#[derive(Clone, Debug, Serialize)]
pub struct Fullest {
    /// Kind of the frame.
    pub frame: &'static str,
    /// Type of its body, if it has one.
    pub body: Option<String>,
    /// Its bytes in hexadecimal.
    pub hex: String,
}

/// All of them: a reply for each type of reply, an event for each type of event, and the others.
pub fn frames(catalog: &Catalog) -> Vec<Fullest> {
    let mut found = Vec::new();
    let server = FRAMES.iter().filter(|frame| frame.side == Side::Server);
    for frame in server {
        let bodies: Vec<&str> = match frame.name {
            "reply" => catalog.methods.iter().map(|it| it.reply.name).collect(),
            "event" => catalog.events.iter().map(|it| it.body.name).collect(),
            "welcome" => vec!["Welcome"],
            "fault" => vec!["Fault"],
            "goaway" => vec!["Goaway"],
            // State is bounded by the frame that carries it; pings and gaps hold nothing that grows.
            _ => continue,
        };
        let mut seen: Vec<&str> = Vec::new();
        for body in bodies {
            if !seen.contains(&body) {
                seen.push(body);
                found.push(fullest(catalog, frame, body));
            }
        }
    }
    found
}

fn fullest(catalog: &Catalog, frame: &FrameEntry, body: &str) -> Fullest {
    let number = |name: &str| -> Value {
        let event = catalog.events.iter().find(|event| event.body.name == body);
        match (name, event) {
            ("event", Some(event)) => event.info.number.into(),
            _ => u32::MAX.into(),
        }
    };
    let fields = frame.fields.iter().map(|field| {
        let is_body = matches!(
            field.name,
            "body" | "fault" | "welcome" | "goaway" | "hello"
        );
        let value = if is_body {
            fill(catalog, body)
        } else {
            number(field.name)
        };
        (field.name.to_owned(), value)
    });
    let fields: Map<String, Value> = fields.collect();
    Fullest {
        frame: frame.name,
        body: Some(body.to_owned()),
        hex: hex(&to_bytes(&frame.array(&fields))),
    }
}

/// The longest value of a type.
pub fn fill(catalog: &Catalog, name: &str) -> Value {
    value(catalog, name, catalog.schema(name), "")
}

fn value(catalog: &Catalog, owner: &str, schema: &Value, field: &str) -> Value {
    if let Some(name) = referred(schema) {
        return value(catalog, name, catalog.schema(name), field);
    }
    if let Some(fixed) = schema.get("const") {
        return fixed.clone();
    }
    for choices in ["oneOf", "anyOf", "enum"] {
        if let Some(Value::Array(choices)) = schema.get(choices) {
            let filled = choices.iter().map(|choice| match choice {
                Value::Object(_) => value(catalog, owner, choice, field),
                named => named.clone(),
            });
            let longest = filled.max_by_key(|value| to_bytes(value).len());
            return longest.expect("there is a choice");
        }
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let fields = schema.get("properties").and_then(Value::as_object);
            let filled = fields.into_iter().flatten().map(|(name, part)| {
                let held = value(catalog, owner, part, name);
                (name.clone(), held)
            });
            Value::Object(filled.collect())
        }
        Some("array") => list(catalog, owner, schema, field),
        Some("boolean") => json!(false),
        Some("integer") => schema
            .get("maximum")
            .cloned()
            .expect("integers are bounded"),
        Some("string") => text(owner, schema, field),
        other => panic!("nothing to fill type {other:?} of {owner}.{field} with"),
    }
}

fn list(catalog: &Catalog, owner: &str, schema: &Value, field: &str) -> Value {
    let item = value(catalog, owner, &schema["items"], field);
    let count = match Bound::of(owner, field) {
        Some(Bound::Items(items)) => items,
        Some(Bound::Page) => {
            let items = PAGE_BYTES_MAX / to_bytes(&item).len();
            items.clamp(1, PAGE_ITEMS_MAX as usize)
        }
        // The items of a list of texts have the bound of the list's name as well.
        other => panic!("{owner}.{field} is a list bounded by {other:?}"),
    };
    vec![item; count].into()
}

fn text(owner: &str, schema: &Value, field: &str) -> Value {
    if schema.get("pattern").is_some() {
        return json!(UserId::from_bytes([0xff; ID_BYTES]).to_string());
    }
    let bytes = match (owner, Bound::of(owner, field)) {
        (_, Some(Bound::Bytes(bytes))) => bytes,
        // A list of them.
        ("Reactor", _) => pitturu_protocol::limits::EMOJI_BYTES_MAX,
        ("QuicAddress", _) => pitturu_protocol::limits::CERTIFICATE_HASH_BYTES,
        (_, other) => panic!("{owner}.{field} is a text bounded by {other:?}"),
    };
    if schema.get("x-msgpack").is_some() {
        return bin(&vec![0xa5; bytes]);
    }
    json!("😀".repeat(bytes / 4) + &"x".repeat(bytes % 4))
}
