//! Bodies of frames: MessagePack maps with short field names.
//!
//! Unknown fields are ignored and absent ones take their default, so either side can add fields. Otherwise a body is read exactly
//! as the contract has it: what its Rust types would put up with besides is refused.

use serde::Serialize;
use serde::de::DeserializeOwned;

mod reader;

use reader::Reader;

/// A body that does not fit its type. The text names the field and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidBody(pub String);

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

/// Like [`decode`], for bodies that borrow from the bytes.
pub fn decode_borrowed<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, InvalidBody> {
    let mut reader = Reader::new(bytes);
    let body = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(body)
}
