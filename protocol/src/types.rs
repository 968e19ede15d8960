//! Bodies of calls, replies and events, one file per area of the product.
//!
//! Times are milliseconds since 1970 UTC. Absent optional fields mean "not given"; in updates, an empty text clears.

pub mod accounts;
pub mod audit_log;
pub mod boards;
pub mod chat;
pub mod friends;
pub mod inbox;
pub mod items;
pub mod moderation;
pub mod points;
pub mod presence;
pub mod profile;
pub mod reports;
pub mod rewards;
pub mod system;

/// Schema of opaque bytes, which JSON Schema can't express as MessagePack's own type.
#[cfg(feature = "schema")]
pub(crate) fn bin_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "format": "binary", "x-msgpack": "bin" })
}
