//! Identifiers: 80 random bits, on the wire 16 characters of lower-case Crockford base 32.
//!
//! Text survives every JavaScript number conversion, and the fixed ten bytes are cheap to copy, hash
//! and use as a store key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes in an identifier.
pub const ID_BYTES: usize = 10;

/// Characters in the text of an identifier.
pub const ID_CHARS: usize = 16;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The text is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is {ID_CHARS} characters of lower-case Crockford base 32")]
pub struct InvalidId;

fn to_text(bytes: [u8; ID_BYTES]) -> [u8; ID_CHARS] {
    let mut bits = [0u8; 16];
    bits[6..].copy_from_slice(&bytes);
    let mut value = u128::from_be_bytes(bits);
    let mut text = [0u8; ID_CHARS];
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    text
}

fn from_text(text: &str) -> Result<[u8; ID_BYTES], InvalidId> {
    if text.len() != ID_CHARS {
        return Err(InvalidId);
    }
    let mut value = 0u128;
    for byte in text.bytes() {
        let digit = ALPHABET
            .iter()
            .position(|&letter| letter == byte)
            .ok_or(InvalidId)?;
        value = (value << 5) | digit as u128;
    }
    let mut bytes = [0u8; ID_BYTES];
    bytes.copy_from_slice(&value.to_be_bytes()[6..]);
    Ok(bytes)
}

struct IdVisitor;

impl de::Visitor<'_> for IdVisitor {
    type Value = [u8; ID_BYTES];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{InvalidId}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        from_text(text).map_err(E::custom)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; ID_BYTES]);

        impl $name {
            /// The identifier made of these bytes, which the caller draws at random.
            pub const fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
                Self(bytes)
            }

            /// The bytes, as stores keep them.
            pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
                &self.0
            }
        }

        impl From<$name> for [u8; ID_BYTES] {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = to_text(self.0);
                f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                from_text(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let text = to_text(self.0);
                serializer.serialize_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(IdVisitor).map(Self)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": "^[0-9a-hjkmnp-tv-z]{16}$",
                    "description": "16 characters of lower-case Crockford base 32.",
                })
            }
        }
    };
}

id!(
    /// A player's account.
    UserId
);
id!(
    /// A chat room: public, private or direct.
    RoomId
);
id!(
    /// One season of one leaderboard. Follows from both; see `pitturu_rules::boards::SeasonOf`.
    BoardId
);
id!(
    /// One sign-in of one device: the family of refresh tokens that began there.
    SessionId
);
id!(
    /// One connection to one server process, for logs and support.
    ConnectionId
);
id!(
    /// An item of the catalogue: what its name derives to.
    ItemId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_one_to_one() {
        for bytes in [[0; 10], [255; 10], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]] {
            let id = UserId::from_bytes(bytes);
            assert_eq!(id.to_string().parse::<UserId>(), Ok(id));
            assert_eq!(id.to_string().len(), ID_CHARS);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "0",
            "000000000000000u",
            "000000000000000A",
            "00000000000000000",
        ] {
            assert_eq!(text.parse::<RoomId>(), Err(InvalidId), "{text:?}");
        }
    }
}
