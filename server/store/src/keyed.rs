//! Keyed writes of the ports that run for the caller.

use pitturu_protocol::ids::UserId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::idempotency::KeyRecord;

/// An idempotency key on its way to the store, with what tells a repetition from another request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Among whose keys it is unique; the keys of all calls without a signed-in player are one scope.
    pub scope: Option<UserId>,
    /// The client's key, 1 to 64 bytes.
    pub key: String,
    /// Number of the method.
    pub method: u16,
    /// First 16 bytes of the SHA-256 of the request without its passwords.
    pub request_hash: [u8; 16],
    /// Now.
    pub at: u64,
}

impl KeyUse {
    /// What to store with this result.
    pub fn record<T: Serialize>(&self, result: &T) -> KeyRecord {
        KeyRecord {
            method: self.method,
            request_hash: self.request_hash,
            reply: pitturu_protocol::codec::encode(&(result,)),
            at: self.at,
        }
    }

    /// The stored result, or `None` when the key was used for another request.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the result is not of this type.
    pub fn matches<T: DeserializeOwned>(
        &self,
        record: &KeyRecord,
    ) -> Result<Option<T>, StoreError> {
        if record.method != self.method || record.request_hash != self.request_hash {
            return Ok(None);
        }
        pitturu_protocol::codec::decode::<(T,)>(&record.reply)
            .map(|(result,)| Some(result))
            .map_err(|error| StoreError::damaged(format!("keyed result: {error}")))
    }
}

/// The result of a write, and whether an earlier call with the same key had made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored<T> {
    /// The result.
    pub value: T,
    /// True: nothing was changed now.
    pub repeated: bool,
}

impl<T> Stored<T> {
    /// The result of a write made now.
    pub const fn now(value: T) -> Self {
        Self {
            value,
            repeated: false,
        }
    }

    /// The result of a write made before.
    pub const fn before(value: T) -> Self {
        Self {
            value,
            repeated: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_comes_back_for_its_own_request_only() {
        let key = KeyUse {
            scope: None,
            key: "k".to_owned(),
            method: 8,
            request_hash: [1; 16],
            at: 5,
        };
        let record = key.record(&Some(7_u64));
        assert_eq!(key.matches(&record), Ok(Some(Some(7_u64))));
        let unit = key.record(&());
        assert_eq!(key.matches(&unit), Ok(Some(())));
        for other in [
            KeyUse {
                method: 9,
                ..key.clone()
            },
            KeyUse {
                request_hash: [2; 16],
                ..key.clone()
            },
        ] {
            assert_eq!(other.matches::<Option<u64>>(&record), Ok(None));
        }
        assert!(key.matches::<String>(&record).is_err());
    }
}
