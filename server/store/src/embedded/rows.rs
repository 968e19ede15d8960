//! Rows: MessagePack maps with field names, so that fields can be added under a default.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::Value;
use super::tables::Table;
use crate::StoreError;

/// Encodes a row.
pub fn encode<T: Serialize + ?Sized>(row: &T) -> Value {
    Value::from(pitturu_protocol::codec::encode(row))
}

/// Decodes a row of `table`.
///
/// # Errors
/// [`StoreError::Damaged`] if the bytes are not such a row.
pub fn decode<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, StoreError> {
    pitturu_protocol::codec::decode(bytes).map_err(|error| {
        tracing::error!(table = table.name(), %error, "a stored row is damaged");
        StoreError::damaged(format!("{}: {error}", table.name()))
    })
}
