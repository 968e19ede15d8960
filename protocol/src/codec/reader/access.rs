//! What stands inside arrays, maps and variants.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{Reader, Value, instead};
use crate::codec::InvalidBody;

/// The values of an array.
pub(super) struct Items<'a, 'de> {
    pub(super) reader: &'a mut Reader<'de>,
    pub(super) left: usize,
    /// Place of the value that comes next.
    pub(super) place: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = InvalidBody;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, InvalidBody> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        let place = self.place;
        (self.left, self.place) = (left, place + 1);
        let value = seed.deserialize(&mut *self.reader);
        value
            .map(Some)
            .map_err(|error| error.inside(&format!("[{place}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// What the keys of a map may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    Text,
    Any,
}

/// The entries of a map.
pub(super) struct Entries<'a, 'de> {
    pub(super) reader: &'a mut Reader<'de>,
    pub(super) left: usize,
    pub(super) keys: Keys,
    /// Key of the value that comes next, if it is text.
    pub(super) name: Option<&'de str>,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = InvalidBody;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, InvalidBody> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let before = self.reader.rest;
        self.name = match self.reader.value()? {
            Value::Text(name) => Some(name),
            other if self.keys == Keys::Text => {
                return Err(instead(other, "text as the name of a field"));
            }
            _ => None,
        };
        self.reader.rest = before;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, InvalidBody> {
        let value = seed.deserialize(&mut *self.reader);
        value.map_err(|error| match self.name {
            Some(name) => error.inside(name),
            None => error,
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A variant with a value: a map of its name to the value.
pub(super) struct Variant<'a, 'de> {
    reader: &'a mut Reader<'de>,
    name: &'de str,
}

impl<'a, 'de> Variant<'a, 'de> {
    pub(super) fn new(reader: &'a mut Reader<'de>) -> Self {
        Self { reader, name: "" }
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = InvalidBody;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        mut self,
        seed: V,
    ) -> Result<(V::Value, Self), InvalidBody> {
        let before = self.reader.rest;
        if let Value::Text(name) = self.reader.value()? {
            self.name = name;
        }
        self.reader.rest = before;
        let variant = seed.deserialize(&mut *self.reader)?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = InvalidBody;

    fn unit_variant(self) -> Result<(), InvalidBody> {
        Err(InvalidBody::new("a map instead of text"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, InvalidBody> {
        let value = seed.deserialize(&mut *self.reader);
        value.map_err(|error| error.inside(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, InvalidBody> {
        let value = self.reader.deserialize_seq(visitor);
        value.map_err(|error| error.inside(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InvalidBody> {
        let value = self.reader.deserialize_struct("", fields, visitor);
        value.map_err(|error| error.inside(self.name))
    }
}
