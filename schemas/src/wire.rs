//! JSON values as they stand in the vectors, and their MessagePack form.
//!
//! Opaque bytes, which JSON lacks, are written `{"$bin": "hex"}`.

use std::fmt::Write;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

const BIN: &str = "$bin";

/// A JSON value whose serde form knows opaque bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Wire(pub Value);

/// The JSON form of opaque bytes.
pub fn bin(bytes: &[u8]) -> Value {
    json!({ BIN: hex(bytes) })
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all text");
        text
    })
}

/// Reads lower-case hexadecimal; `None` when it is not.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

/// The value's MessagePack bytes, with map entries in the value's order.
pub fn to_bytes(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec(&Wire(value.clone())).expect("JSON values are plain data")
}

/// The value in these MessagePack bytes.
pub fn from_bytes(bytes: &[u8]) -> Value {
    let wire: Wire = rmp_serde::from_slice(bytes).expect("the codec writes well-formed values");
    wire.0
}

fn bin_of(map: &Map<String, Value>) -> Option<Vec<u8>> {
    match (map.len(), map.get(BIN)) {
        (1, Some(Value::String(text))) => from_hex(text),
        _ => None,
    }
}

impl Serialize for Wire {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Value::Array(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    sequence.serialize_element(&Self(item.clone()))?;
                }
                sequence.end()
            }
            Value::Object(map) => match bin_of(map) {
                Some(bytes) => serializer.serialize_bytes(&bytes),
                None => {
                    let mut entries = serializer.serialize_map(Some(map.len()))?;
                    for (key, value) in map {
                        entries.serialize_entry(key, &Self(value.clone()))?;
                    }
                    entries.end()
                }
            },
            plain => plain.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Wire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WireVisitor).map(Self)
    }
}

struct WireVisitor;

impl<'de> Visitor<'de> for WireVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value of the protocol")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(bin(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Wire(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Wire(value))) = entries.next_entry::<String, Wire>()? {
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
