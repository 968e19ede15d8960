//! Bodies of frames: MessagePack maps with short field names.
//!
//! Unknown fields are ignored and absent ones take their default, so either side can add fields. Otherwise a body is read exactly
//! as the contract has it: what its Rust types would put up with besides is refused.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codes::{Code, Fault};
use crate::methods::Method;
use crate::ranges::check_request;

mod reader;

use reader::Reader;

/// A body that does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", field.as_ref().map_or_else(String::new, |field| format!("{field}: ")))]
pub struct InvalidBody {
    /// The field that does not fit, written as `field.inner` or `list[0].field`. Absent for the whole body.
    pub field: Option<String>,
    /// What was expected.
    pub message: String,
}

impl InvalidBody {
    /// What is wrong with the whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            field: None,
            message: message.into(),
        }
    }

    /// The same of what holds it, as the part that is named so: a field, or `[3]` of a list.
    fn inside(self, part: &str) -> Self {
        let field = match self.field {
            Some(inner) if inner.starts_with('[') => format!("{part}{inner}"),
            Some(inner) => format!("{part}.{inner}"),
            None => part.to_owned(),
        };
        Self {
            field: Some(field),
            message: self.message,
        }
    }
}

impl From<InvalidBody> for Fault {
    fn from(error: InvalidBody) -> Self {
        let fault = Self::new(Code::BadRequest, error.message);
        match error.field {
            Some(field) => fault.of_field(&field),
            None => fault,
        }
    }
}

/// Appends `body` to `out` as a map with field names.
pub fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, body: &T) {
    let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
    body.serialize(&mut serializer)
        .expect("bodies are plain data and a Vec takes all bytes");
}

/// Encodes `body` as a map with field names.
pub fn encode<T: Serialize + ?Sized>(body: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    append(&mut out, body);
    out
}

/// Decodes one body. The bytes come from [`crate::frame`], which has checked lengths and nesting.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidBody> {
    decode_borrowed(bytes)
}

/// Decodes a request, and holds it to the [ranges](crate::ranges) of its fields.
///
/// # Errors
/// [`Code::BadRequest`] for what does not fit the type, [`Code::InvalidArgument`] for what is out of range. Both name the
/// field.
pub fn decode_request<M: Method>(bytes: &[u8]) -> Result<M, Fault> {
    let request = decode(bytes)?;
    check_request(&request)?;
    Ok(request)
}

/// Like [`decode`], for bodies that borrow from the bytes.
pub fn decode_borrowed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, InvalidBody> {
    let mut reader = Reader::new(bytes);
    let body = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(body)
}
