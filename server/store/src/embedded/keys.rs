//! Keys: bytes whose order is the order of what they stand for.
//!
//! Identifiers are ten bytes of fixed length, numbers big-endian. Text that something follows ends with a zero
//! byte, which the text itself must not contain: [`KeyBuilder::text`] drops it.

use pitturu_protocol::ids::{ID_BYTES, RoomId, UserId};

/// Builds a key part by part.
#[derive(Clone, Debug, Default)]
pub struct KeyBuilder(Vec<u8>);

impl KeyBuilder {
    /// An empty key.
    pub fn new() -> Self {
        Self(Vec::with_capacity(32))
    }

    /// Adds a room.
    #[must_use]
    pub fn room(self, room: &RoomId) -> Self {
        self.bytes(room.as_bytes())
    }

    /// Adds a player.
    #[must_use]
    pub fn user(self, user: &UserId) -> Self {
        self.bytes(user.as_bytes())
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// Adds text and the zero byte that ends it, so that a longer text sorts after its own beginning.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.extend(text.bytes().filter(|&byte| byte != 0));
        self.0.push(0);
        self
    }

    /// Adds the beginning of a text, for scans over all texts that begin so.
    #[must_use]
    pub fn text_prefix(mut self, text: &str) -> Self {
        self.0.extend(text.bytes().filter(|&byte| byte != 0));
        self
    }

    /// Adds bytes as they are: of fixed length, or last in the key.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The finished key.
    pub fn build(self) -> Vec<u8> {
        self.0
    }
}

/// The identifier at the end of a key.
pub fn id_at_end(key: &[u8]) -> Option<[u8; ID_BYTES]> {
    key.last_chunk::<ID_BYTES>().copied()
}

/// The number at the end of a key.
pub fn number_at_end(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_keys_is_order_of_values() {
        let numbers = [0, 1, 255, 256, u64::MAX];
        let keys: Vec<_> = numbers
            .iter()
            .map(|&number| KeyBuilder::new().number(number).build())
            .collect();
        assert!(keys.is_sorted());
        assert_eq!(number_at_end(&keys[3]), Some(256));

        let texts = ["", "a", "a b", "ab", "가"];
        let keys: Vec<_> = texts
            .iter()
            .map(|text| KeyBuilder::new().text(text).number(u64::MAX).build())
            .collect();
        assert!(keys.is_sorted());
    }

    #[test]
    fn zero_bytes_in_text_cannot_forge_a_boundary() {
        let key = KeyBuilder::new().text("a\0b").build();
        assert_eq!(key, b"ab\0");
    }
}
