//! Sample values of every type, always the same ones: for vectors chosen to cross the boundaries of the encoding, for
//! documents chosen to read well.

use pitturu_protocol::ids::{ID_BYTES, UserId};
use serde_json::{Map, Value, json};

use crate::catalog::{Catalog, is_required, referred};
use crate::wire::bin;

/// Values at which MessagePack changes the width of an integer, and the largest one allowed.
const INTEGERS: [u64; 13] = [
    1,
    127,
    128,
    255,
    256,
    1_000,
    65_535,
    65_536,
    1_767_225_600_000,
    4_294_967_295,
    4_294_967_296,
    9_007_199_254_740_991,
    0,
];

/// Texts that damage easily: scripts, a joined emoji, a decomposed letter, a byte order mark, a null, and lengths
/// at which the encoding changes.
fn texts() -> Vec<String> {
    vec![
        "guest".to_owned(),
        "안녕하세요".to_owned(),
        "e\u{301}".to_owned(),
        "👩‍👩‍👧‍👦 🇰🇷".to_owned(),
        "\u{feff}mark".to_owned(),
        String::new(),
        "a\u{0}b\r\n\t\"\\\u{7f}".to_owned(),
        "x".repeat(31),
        "x".repeat(32),
        "ش".repeat(128),
        format!("\u{feff}{}", "y".repeat(300)),
        "\u{10ffff}\u{fffd}\u{2028}".to_owned(),
    ]
}

/// The values of one type: the one with everything that is optional, once for each variant of what it
/// contains, then the one without.
pub fn values(catalog: &Catalog, name: &str) -> Vec<Value> {
    let schema = catalog.schema(name);
    let rounds = variants(catalog, schema).max(1);
    let mut values: Vec<Value> = (0..rounds)
        .map(|round| Sampler::new(catalog, name, round, true).value(schema, ""))
        .collect();
    values.push(Sampler::new(catalog, name, rounds, false).value(schema, ""));
    values
}

/// One value of the type with everything that is optional, for readers.
pub fn example(catalog: &Catalog, name: &str) -> Value {
    let mut sampler = Sampler::new(catalog, name, 0, true);
    sampler.readable = true;
    sampler.value(catalog.schema(name), "")
}

/// What a field of this name may hold in a document's example.
fn readable_text(field: &str) -> &'static str {
    match field {
        "username" => "mina",
        "name" => "Mina",
        "password" | "new" => "a long pass phrase",
        "old" => "the one before",
        "email" => "mina@example.com",
        "device" => "Mina's phone",
        "address" => "203.0.113.7",
        "secret" => "a0b1c2d3e4f5a6b7c8d9e0f1",
        "access" | "refresh" | "token" => "opaque-token",
        "text" => "hello, 안녕하세요",
        "emoji" => "👍",
        "topic" => "anything goes",
        "query" => "lob",
        "reason" => "be kind",
        "language" => "ko",
        "avatar" => "avatars/7",
        "sdk" => "typescript/0.1.0",
        "stream" => "inbox",
        "message" => "the room is in slow mode",
        _ => "some text",
    }
}

fn readable_integer(field: &str) -> u64 {
    match field {
        "at" | "now" | "until" | "since" => 1_767_225_600_000,
        time if time.ends_with("_at") || time.ends_with("_until") => 1_767_225_600_000,
        wait if wait.ends_with("_ms") => 5_000,
        "limit" => 50,
        "code" => 68,
        "rev" => 7,
        "first" => 1,
        "v" | "count" | "unread" => 1,
        _ => 42,
    }
}

/// The most variants among the enums that a schema contains.
fn variants(catalog: &Catalog, schema: &Value) -> usize {
    let own = choices(schema).map_or(0, <[Value]>::len);
    let refers = referred(schema).map(|name| catalog.schema(name));
    let inner = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::values)
        .chain(schema.get("items"))
        .chain(refers);
    inner
        .map(|part| variants(catalog, part))
        .chain([own])
        .max()
        .unwrap_or(0)
}

fn choices(schema: &Value) -> Option<&[Value]> {
    ["oneOf", "anyOf", "enum"]
        .iter()
        .find_map(|key| schema.get(key))
        .and_then(Value::as_array)
        .map(Vec::as_slice)
}

/// Walks one schema. Each leaf takes the next entry of its list, beginning where the type's name and the round say.
struct Sampler<'a> {
    catalog: &'a Catalog,
    round: usize,
    full: bool,
    readable: bool,
    step: usize,
}

impl<'a> Sampler<'a> {
    fn new(catalog: &'a Catalog, name: &str, round: usize, full: bool) -> Self {
        let start = name.bytes().map(usize::from).sum::<usize>();
        Self {
            catalog,
            round,
            full,
            readable: false,
            step: start + 5 * round,
        }
    }

    fn value(&mut self, schema: &Value, field: &str) -> Value {
        if let Some(name) = referred(schema) {
            let catalog = self.catalog;
            return self.value(catalog.schema(name), field);
        }
        if let Some(fixed) = schema.get("const") {
            return fixed.clone();
        }
        if let Some(choices) = choices(schema) {
            let choice = &choices[self.round % choices.len()];
            return match schema.get("enum") {
                Some(_) => choice.clone(),
                None => self.value(choice, field),
            };
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => self.object(schema),
            Some("array") => self.array(schema, field),
            Some("boolean") => json!(self.next().is_multiple_of(2)),
            Some("integer") => self.integer(schema, field),
            Some("string") => self.text(schema, field),
            other => panic!("no sample for type {other:?} of field {field:?}"),
        }
    }

    fn object(&mut self, schema: &Value) -> Value {
        let mut map = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, part) in properties.into_iter().flatten() {
            if self.full || is_required(schema, name) {
                map.insert(name.clone(), self.value(part, name));
            }
        }
        Value::Object(map)
    }

    fn array(&mut self, schema: &Value, field: &str) -> Value {
        let item = schema.get("items").expect("arrays say what they contain");
        let length = match (self.full, self.readable) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        };
        (0..length).map(|_| self.value(item, field)).collect()
    }

    fn integer(&mut self, schema: &Value, field: &str) -> Value {
        if self.readable {
            return json!(readable_integer(field));
        }
        let bound = |key| schema.get(key).and_then(Value::as_u64);
        let max = bound("maximum").expect("integers are bounded");
        let value = INTEGERS[self.next() % INTEGERS.len()];
        let is_signed = schema.get("minimum").and_then(Value::as_i64) < Some(0);
        if is_signed && self.next().is_multiple_of(2) {
            return json!(-value.min(max).cast_signed());
        }
        json!(value.clamp(bound("minimum").unwrap_or(0), max))
    }

    fn text(&mut self, schema: &Value, field: &str) -> Value {
        let step = self.next();
        if schema.get("x-msgpack").is_some() {
            let length = if self.readable {
                3
            } else {
                [3, 0, 256][step % 3]
            };
            let bytes: Vec<u8> = (0..=255u8).cycle().skip(step).take(length).collect();
            return bin(&bytes);
        }
        if schema.get("pattern").is_some() {
            let first = u8::try_from(step % 256).expect("a remainder of 256");
            let mut bytes = [first; ID_BYTES];
            bytes[1] = bytes[1].wrapping_mul(37);
            return json!(UserId::from_bytes(bytes).to_string());
        }
        if self.readable {
            return json!(readable_text(field));
        }
        let texts = texts();
        json!(texts[step % texts.len()])
    }

    fn next(&mut self) -> usize {
        self.step += 1;
        self.step
    }
}
