//! Results of earlier calls under the same idempotency key.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_store::idempotency::KeyRecord;

use crate::connections::caller::IdempotencyKey;
use crate::services::Services;

/// The result stored under a call's key. A key that came with another request is refused.
pub async fn recall(
    services: &Services,
    user: UserId,
    key: &IdempotencyKey,
) -> Result<Option<KeyRecord>, Fault> {
    let results = &services.store.keyed_results;
    of_this_request(results.recall(Some(user), &key.key).await?, key)
}

/// What was found under a key, unless it belongs to another request.
pub fn of_this_request(
    found: Option<KeyRecord>,
    key: &IdempotencyKey,
) -> Result<Option<KeyRecord>, Fault> {
    match found {
        Some(record) if record.method != key.method || record.request_hash != key.request_hash => {
            Err(Fault::of(Code::KeyReused))
        }
        found => Ok(found),
    }
}
