//! Keyed results in two generations: the young one is written, both are read, the old one is emptied as a whole. Beside them are
//! those that are kept for good.

use pitturu_protocol::ids::UserId;
use serde::{Deserialize, Serialize};

use super::engine::{Engine, Tx, Value};
use super::rows;
use super::tables::Table;
use crate::StoreError;
use crate::entities::{KeyedRequest, KeyedResult};

/// A row of a result, which its key says whose it is.
#[derive(Serialize)]
struct ResultRow<'a> {
    #[serde(rename = "m")]
    method: u16,
    /// Half of a hash of the request, or else the request.
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    hash: Option<&'a serde_bytes::Bytes>,
    #[serde(rename = "q", skip_serializing_if = "Option::is_none")]
    request: Option<&'a serde_bytes::Bytes>,
    #[serde(rename = "r")]
    reply: &'a serde_bytes::Bytes,
}

/// The same as it is read.
#[derive(Deserialize)]
struct StoredResult {
    #[serde(rename = "m")]
    method: u16,
    #[serde(rename = "h", default)]
    hash: Option<serde_bytes::ByteArray<16>>,
    #[serde(rename = "q", default)]
    request: serde_bytes::ByteBuf,
    #[serde(rename = "r")]
    reply: serde_bytes::ByteBuf,
}

/// Encodes a result.
pub(super) fn encode(result: &KeyedResult) -> Value {
    let (hash, request) = match &result.request {
        KeyedRequest::Hash(hash) => (Some(hash), None),
        KeyedRequest::Whole(request) => (None, Some(request)),
    };
    rows::encode(&ResultRow {
        method: result.method,
        hash: hash.map(|hash| serde_bytes::Bytes::new(hash)),
        request: request.map(|request| serde_bytes::Bytes::new(request)),
        reply: serde_bytes::Bytes::new(&result.reply),
    })
}

/// Decodes the result that this player has under this key.
pub(super) fn decode(
    (table, row): (Table, Value),
    user: UserId,
    key: &str,
) -> Result<KeyedResult, StoreError> {
    let row: StoredResult = rows::decode(table, &row)?;
    Ok(KeyedResult {
        user,
        key: key.into(),
        method: row.method,
        request: match row.hash {
            Some(hash) => KeyedRequest::Hash(hash.into_array()),
            None => KeyedRequest::Whole(row.request.into_vec().into()),
        },
        reply: row.reply.into_vec(),
    })
}

impl Tx<'_> {
    /// Keeps a result under this id, which stands for who called whom under which key: for good, or until its table is emptied.
    pub(super) fn remember(&mut self, id: [u8; 16], result: Value, for_good: bool) {
        let [young, _] = self.key_tables();
        let table = match for_good {
            true => Table::KeysLasting,
            false => young,
        };
        self.put(table, id, result);
    }
}

impl Engine {
    /// The committed result under this id, and the table that it is in.
    pub(super) fn result(&self, id: [u8; 16]) -> Result<Option<(Table, Value)>, StoreError> {
        let view = self.view()?;
        let tables = self.key_tables();
        for table in tables.into_iter().chain([Table::KeysLasting]) {
            if let Some(row) = view.get(table, &id)? {
                return Ok(Some((table, row)));
            }
        }
        Ok(None)
    }
}
