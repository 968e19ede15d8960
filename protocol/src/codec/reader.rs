//! Reads bodies exactly as the contract has them.
//!
//! What Rust types would put up with is refused, so that no client comes to depend on it: structs are maps whose keys are text,
//! text is never binary and binary never text, an array is not a struct, and an integer is no fraction. Each value stands in one form
//! of MessagePack, whose lengths and integers may have any width.

use serde::de::{self, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};

use super::InvalidBody;
use crate::scan::Scanner;

mod access;

use access::{Entries, Items, Keys, Variant};

/// Says what does not fit without repeating it: whoever sent it knows it, and what is said goes into logs as well.
impl de::Error for InvalidBody {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {}", kind_of(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!(
            "expected {expected}, found another value of {}",
            kind_of(found)
        ))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("expected one of {}", expected.join(", ")))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!(
            "an unknown field; there is {}",
            expected.join(", ")
        ))
    }
}

const fn kind_of(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a float",
        Unexpected::Char(_) | Unexpected::Str(_) => "a text",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "nil",
        Unexpected::Seq | Unexpected::TupleVariant => "an array",
        Unexpected::Map
        | Unexpected::StructVariant
        | Unexpected::NewtypeStruct
        | Unexpected::NewtypeVariant
        | Unexpected::UnitVariant
        | Unexpected::Enum => "a map",
        Unexpected::Other(_) => "something else",
    }
}

/// What a value is, with its header read.
#[derive(Clone, Copy, Debug)]
enum Value<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'de str),
    Bytes(&'de [u8]),
    Array(usize),
    Map(usize),
}

impl Value<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) => "an integer",
            Self::Float(_) => "a fraction",
            Self::Text(_) => "text",
            Self::Bytes(_) => "binary",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
        }
    }
}

fn instead(value: Value<'_>, expected: &str) -> InvalidBody {
    InvalidBody::new(format!("{} instead of {expected}", value.name()))
}

/// Reads values from the front of a slice.
pub(super) struct Reader<'de> {
    rest: &'de [u8],
    /// Inside of a value whose type shows only when it is read.
    in_any: bool,
}

impl<'de> Reader<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self {
            rest: bytes,
            in_any: false,
        }
    }

    /// Nothing may follow the value.
    pub(super) fn end(&self) -> Result<(), InvalidBody> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(InvalidBody::new("more than one value"))
        }
    }

    fn value(&mut self) -> Result<Value<'de>, InvalidBody> {
        let marker = self.take(1)?[0];
        Ok(match marker {
            0x00..=0x7f => Value::Unsigned(u64::from(marker)),
            0xe0..=0xff => Value::Signed(i64::from(i8::from_be_bytes([marker]))),
            0x80..=0x8f => self.items(usize::from(marker & 0x0f), Value::Map)?,
            0x90..=0x9f => self.items(usize::from(marker & 0x0f), Value::Array)?,
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f))?,
            0xc0 => Value::Nil,
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4..=0xc6 => {
                let length = self.length(1 << (marker - 0xc4))?;
                Value::Bytes(self.take(length)?)
            }
            0xca => Value::Float(f64::from(f32::from_be_bytes(self.fixed()?))),
            0xcb => Value::Float(f64::from_be_bytes(self.fixed()?)),
            0xcc..=0xcf => Value::Unsigned(self.unsigned(1 << (marker - 0xcc))?),
            0xd0 => signed(i64::from(i8::from_be_bytes(self.fixed()?))),
            0xd1 => signed(i64::from(i16::from_be_bytes(self.fixed()?))),
            0xd2 => signed(i64::from(i32::from_be_bytes(self.fixed()?))),
            0xd3 => signed(i64::from_be_bytes(self.fixed()?)),
            0xd9..=0xdb => {
                let length = self.length(1 << (marker - 0xd9))?;
                self.text(length)?
            }
            0xdc | 0xdd => {
                let length = self.length(2 << (marker - 0xdc))?;
                self.items(length, Value::Array)?
            }
            0xde | 0xdf => {
                let length = self.length(2 << (marker - 0xde))?;
                self.items(length, Value::Map)?
            }
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => {
                return Err(InvalidBody::new(format!(
                    "byte 0x{marker:02x} starts no value"
                )));
            }
        })
    }

    fn text(&mut self, length: usize) -> Result<Value<'de>, InvalidBody> {
        let text = std::str::from_utf8(self.take(length)?);
        text.map(Value::Text)
            .map_err(|_| InvalidBody::new("text is not UTF-8"))
    }

    /// Each item takes at least a byte, so a count above what is left is a lie.
    fn items(
        &self,
        count: usize,
        of: impl FnOnce(usize) -> Value<'de>,
    ) -> Result<Value<'de>, InvalidBody> {
        if count > self.rest.len() {
            return Err(ends_early());
        }
        Ok(of(count))
    }

    fn length(&mut self, width: usize) -> Result<usize, InvalidBody> {
        usize::try_from(self.unsigned(width)?).map_err(|_| ends_early())
    }

    fn unsigned(&mut self, width: usize) -> Result<u64, InvalidBody> {
        let bytes = self.take(width)?.iter();
        Ok(bytes.fold(0, |value, &byte| (value << 8) | u64::from(byte)))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], InvalidBody> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn take(&mut self, length: usize) -> Result<&'de [u8], InvalidBody> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(taken)
    }

    fn skip(&mut self) -> Result<(), InvalidBody> {
        let mut scanner = Scanner::new(self.rest);
        scanner
            .value(0)
            .map_err(|error| InvalidBody::new(error.to_string()))?;
        self.rest = scanner.rest();
        Ok(())
    }

    fn visit_array<V: Visitor<'de>>(
        &mut self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, InvalidBody> {
        let mut items = Items {
            reader: self,
            left: length,
            place: 0,
        };
        let value = visitor.visit_seq(&mut items)?;
        match items.left {
            0 => Ok(value),
            _ => Err(InvalidBody::new(format!(
                "an array of {length} is too long"
            ))),
        }
    }

    fn visit_map<V: Visitor<'de>>(
        &mut self,
        length: usize,
        keys: Keys,
        visitor: V,
    ) -> Result<V::Value, InvalidBody> {
        let mut entries = Entries {
            reader: self,
            left: length,
            keys,
            name: None,
        };
        let value = visitor.visit_map(&mut entries)?;
        match entries.left {
            0 => Ok(value),
            _ => Err(InvalidBody::new(format!("a map of {length} is too long"))),
        }
    }
}

/// An integer that is not negative counts as such in any form.
fn signed(value: i64) -> Value<'static> {
    u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned)
}

fn ends_early() -> InvalidBody {
    InvalidBody::new("the bytes end inside a value")
}

macro_rules! reads_integers {
    ($($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
                match self.value()? {
                    Value::Unsigned(value) => visitor.visit_u64(value),
                    Value::Signed(value) => visitor.visit_i64(value),
                    other => Err(instead(other, "an integer")),
                }
            }
        )*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = InvalidBody;

    fn is_human_readable(&self) -> bool {
        false
    }

    /// A value whose type shows only when it is read, as that of an inbox entry: a map at first, and nothing in it that several
    /// types would take.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        let outer = std::mem::replace(&mut self.in_any, true);
        let value = match self.value()? {
            Value::Nil => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Unsigned(value) => visitor.visit_u64(value),
            Value::Signed(value) => visitor.visit_i64(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Array(length) if outer => self.visit_array(length, visitor),
            Value::Map(length) => self.visit_map(length, Keys::Text, visitor),
            other @ (Value::Bytes(_) | Value::Array(_)) => Err(instead(other, "a map or text")),
        };
        self.in_any = outer;
        value
    }

    reads_integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        match self.value()? {
            Value::Bool(value) => visitor.visit_bool(value),
            other => Err(instead(other, "a boolean")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        match self.value()? {
            Value::Float(value) => visitor.visit_f64(value),
            other => Err(instead(other, "a fraction")),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        match self.value()? {
            Value::Text(text) => visitor.visit_borrowed_str(text),
            other => Err(instead(other, "text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        match self.value()? {
            Value::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            other => Err(instead(other, "binary")),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        if let [0xc0, rest @ ..] = self.rest {
            self.rest = rest;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        match self.value()? {
            Value::Nil => visitor.visit_unit(),
            other => Err(instead(other, "nil")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, InvalidBody> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, InvalidBody> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        match self.value()? {
            Value::Array(length) => self.visit_array(length, visitor),
            other => Err(instead(other, "an array")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, InvalidBody> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, InvalidBody> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        match self.value()? {
            Value::Map(length) => self.visit_map(length, Keys::Any, visitor),
            other => Err(instead(other, "a map")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InvalidBody> {
        match self.value()? {
            Value::Map(length) => self.visit_map(length, Keys::Text, visitor),
            other => Err(instead(other, "a map")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InvalidBody> {
        match self.value()? {
            Value::Text(name) => visitor.visit_enum(name.into_deserializer()),
            Value::Map(1) => visitor.visit_enum(Variant::new(self)),
            other => Err(instead(other, "text")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidBody> {
        self.skip()?;
        visitor.visit_unit()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::codec::{decode, encode};
    use crate::types::presence::SetPresence;
    use crate::types::system::Hello;

    const PLANTED: &str = "pr1.planted\u{1b}[2J";

    #[derive(Clone, Serialize)]
    #[serde(untagged)]
    enum Any {
        Text(&'static str),
        Number(u64),
        List(Vec<Any>),
        Map(BTreeMap<&'static str, Any>),
    }

    /// What is said of a map of these fields; nothing if it fits.
    fn said<T: DeserializeOwned>(fields: &[(&'static str, Any)]) -> Option<String> {
        let body: BTreeMap<&str, Any> = fields.iter().cloned().collect();
        let read = decode::<T>(&encode(&body)).err()?;
        Some(format!("{}, {:?}", read.message, read.field))
    }

    /// It goes into logs as well as to whoever sent it.
    #[test]
    fn what_came_is_not_repeated() {
        let text = Any::Text(PLANTED);
        let map = Any::Map(BTreeMap::from([(PLANTED, text.clone())]));
        let mut all = Vec::new();
        for value in [text.clone(), Any::List(vec![text]), map] {
            for field in ["v", "sdk", "token", "presence", PLANTED] {
                let fields = [
                    ("v", Any::Number(1)),
                    ("sdk", Any::Text("test")),
                    (field, value.clone()),
                ];
                all.push(said::<Hello>(&fields));
            }
            let presence = Any::Map(BTreeMap::from([("status", value.clone())]));
            all.push(said::<Hello>(&[
                ("v", Any::Number(1)),
                ("sdk", Any::Text("test")),
                ("presence", presence),
            ]));
            for field in ["status", "note", PLANTED] {
                let fields = [("status", Any::Text("online")), (field, value.clone())];
                all.push(said::<SetPresence>(&fields));
            }
        }
        let all: Vec<String> = all.into_iter().flatten().collect();
        assert!(all.len() >= 15, "{all:?}");
        let planted: Vec<&String> = all.iter().filter(|said| said.contains("planted")).collect();
        assert!(planted.is_empty(), "{planted:?}");
    }
}
