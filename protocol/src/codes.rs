//! The two code tables: why a call was refused, and why a connection was closed.
//!
//! A fault says whether trying again can help; the range of a close code says whether to come back.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::FAULT_TEXT_BYTES_MAX;

macro_rules! codes {
    ($($number:literal $name:ident $wire:literal $retry:ident $doc:literal;)*) => {
        /// Why a call was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $doc] $name,)*
            /// A code of a newer server. Treated as final.
            Unknown(u16),
        }

        impl Code {
            /// Every code of this version.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Number on the wire.
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unknown(number) => number,
                }
            }

            /// Name in logs, metrics and generated code.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $wire,)*
                    Self::Unknown(_) => "unknown",
                }
            }

            /// Whether the same call can succeed later without a change by the caller.
            pub const fn retry(self) -> Retry {
                match self {
                    $(Self::$name => Retry::$retry,)*
                    Self::Unknown(_) => Retry::Never,
                }
            }

            /// What it means and what to do.
            pub const fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $doc,)*
                    Self::Unknown(_) => "a code of a newer server",
                }
            }
        }

        impl From<u16> for Code {
            fn from(number: u16) -> Self {
                match number {
                    $($number => Self::$name,)*
                    other => Self::Unknown(other),
                }
            }
        }
    };
}

/// Whether a refused call is worth repeating.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Not without a change: the same call meets the same refusal.
    Never,
    /// Yes, after `retry_after_ms` or a back-off.
    Later,
    /// Yes, once the player has signed in or refreshed the tokens.
    AfterSignIn,
}

codes! {
    1 Internal "internal" Later "The server met a fault of its own, which it has logged. Try again later.";
    2 Unavailable "unavailable" Later "What the call needs is not reachable now. Try again later.";
    3 Overloaded "overloaded" Later "A queue is full. Try again after `retry_after_ms`.";
    4 RateLimited "rate_limited" Later "Too many calls of this class. Try again after `retry_after_ms`.";
    5 StorageUnavailable "storage_unavailable" Later "The store cannot write, so nothing was changed. Try again later.";
    6 Cancelled "cancelled" Never "The caller cancelled the call before it took effect.";
    7 UnknownMethod "unknown_method" Never "This server has no method with that number. Update the SDK or the server.";
    8 BadRequest "bad_request" Never "The body does not fit the method's request type; the message names the field.";
    9 InvalidArgument "invalid_argument" Never "A field is out of its range; `field` names it and the message says the range.";
    10 Unauthenticated "unauthenticated" AfterSignIn "Sign in first.";
    11 Forbidden "forbidden" Never "The player's role does not allow this.";
    12 NotFound "not_found" Never "What the call names does not exist.";
    13 LimitReached "limit_reached" Never "A named limit is reached; the message says which and how large it is.";
    14 KeyReused "key_reused" Never "This idempotency key was used for another request. Draw a new one for each new action.";
    15 Deadline "deadline" Later "No answer came in time. A repetition under the same idempotency key is safe.";
    16 Disconnected "disconnected" Later "The connection went away before the answer. A repetition under the same idempotency key is safe.";
    32 WrongCredentials "wrong_credentials" Never "The name or the password is wrong.";
    33 LockedOut "locked_out" Later "Too many wrong passwords. Wait `retry_after_ms`.";
    34 TokenExpired "token_expired" AfterSignIn "The token is past its time. Refresh, or sign in again.";
    35 TokenInvalid "token_invalid" AfterSignIn "The token is not one of this server's, or its session has ended. Sign in again.";
    36 RefreshReused "refresh_reused" AfterSignIn "This refresh token had been used before, so its whole session was ended. Sign in again.";
    37 UsernameTaken "username_taken" Never "Another account has this name.";
    38 NotAGuest "not_a_guest" Never "The account already has a name and password.";
    39 AlreadySignedIn "already_signed_in" Never "This connection is signed in. Sign out first.";
    40 Suspended "suspended" Never "The player is suspended: the message is what the staff has written for the player, and `retry_after_ms` says when it ends, if it does by itself.";
    48 Blocked "blocked" Never "One of the two players has blocked the other.";
    49 NotFriends "not_friends" Never "There is no such friendship or request.";
    64 RoomNotFound "room_not_found" Never "There is no such room, or it is private and the player was not invited.";
    65 NotAMember "not_a_member" Never "Join the room first.";
    66 Banned "banned" Never "The player is banned from the room.";
    67 Muted "muted" Later "The player is muted, in the room or everywhere. Wait `retry_after_ms`, if given.";
    68 SlowMode "slow_mode" Later "The room is in slow mode. Wait `retry_after_ms`.";
    69 RoomFull "room_full" Never "The room has as many members as it may.";
    70 MessageNotFound "message_not_found" Never "There is no message with that sequence: not sent yet, or removed by retention.";
    71 MessageDeleted "message_deleted" Never "The message was deleted.";
    72 TextRefused "text_refused" Never "The word filter does not allow this text.";
    73 NotInRoom "not_in_room" Never "The other player is not in the room.";
    80 NotEnoughPoints "not_enough_points" Never "The wallet has fewer points that can be spent.";
    81 MovementNotFound "movement_not_found" Never "The player's books have no such movement, or it is of another kind.";
    82 NotPending "not_pending" Never "Nothing is pending under this number: it was posted or voided, or its time is over.";
    83 GiftsOff "gifts_off" Never "This game has no gifts of points: don't offer them.";
    84 BoardNotFound "board_not_found" Never "The game has no such leaderboard, or `field` is `season` and it has no such season.";
    85 BoardFull "board_full" Never "The leaderboard has as many players as it may, and this one is not among them.";
    96 ItemNotFound "item_not_found" Never "The game has no such item.";
    97 NotForSale "not_for_sale" Never "The item can't be bought.";
    98 PriceChanged "price_changed" Never "The item costs something else than the player was told. List the items again.";
    99 SoldOut "sold_out" Never "Fewer of the item are left.";
    100 NotEnoughItems "not_enough_items" Never "The player has fewer of the item.";
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.number())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Code {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Code".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "description": "Number of a fault code; see the table of codes.",
        })
    }
}

/// A typed refusal: why, and what the caller can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{}: {}{message}", code.name(), about(field.as_deref()))]
pub struct Fault {
    /// Number of the code.
    pub code: Code,
    /// For developers and logs, in English; at most 512 bytes. Players get text made from the code, but for `suspended`, whose message is
    /// for them.
    pub message: String,
    /// Wait this long before trying again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The field of the request that was refused, written as `field.inner` or `list[0].field`; at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The rule for text that the field breaks, such as `invisible`; `docs/text.md` lists them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

impl Fault {
    /// A fault with the code's own advice as its message.
    pub fn of(code: Code) -> Self {
        Self::new(code, code.advice())
    }

    /// A fault with a message of its own.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: shortened(message.into()),
            retry_after_ms: None,
            field: None,
            rule: None,
        }
    }

    /// [`Code::InvalidArgument`] for one field.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message).of_field(field)
    }

    /// The same fault about a field.
    #[must_use]
    pub fn of_field(self, field: &str) -> Self {
        Self {
            field: Some(shortened(field.to_owned())),
            ..self
        }
    }

    /// The same fault with a time to wait.
    #[must_use]
    pub fn retry_after_ms(self, milliseconds: u64) -> Self {
        Self {
            retry_after_ms: Some(milliseconds),
            ..self
        }
    }
}

/// The field that a message is about, in front of it.
fn about(field: Option<&str>) -> String {
    field.map_or_else(String::new, |field| format!("{field}: "))
}

/// Messages and names of fields may repeat what a client sent: what is too long ends early.
fn shortened(mut text: String) -> String {
    if text.len() > FAULT_TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(FAULT_TEXT_BYTES_MAX));
    }
    text
}

/// What a client does after its connection was closed. Each stands for a range of close codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reconnect {
    /// Come back at once and resume: 4000 to 4099, and 1001.
    Now,
    /// Come back after a back-off: 4100 to 4199, and everything that is not ours, such as 1006 and 1011.
    BackOff,
    /// Get new tokens, then come back: 4200 to 4299.
    AfterSignIn,
    /// Stay away: 4300 to 4399, 1002, 1003, 1007 to 1010.
    Never,
}

impl Reconnect {
    /// What the close code asks of the client.
    pub const fn after(code: u16) -> Self {
        match code {
            1001 | 4000..=4099 => Self::Now,
            4200..=4299 => Self::AfterSignIn,
            1002 | 1003 | 1007..=1010 | 4300..=4399 => Self::Never,
            _ => Self::BackOff,
        }
    }
}

macro_rules! close_codes {
    ($($number:literal $name:ident $wire:literal $doc:literal;)*) => {
        /// Why the server closed a connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CloseCode {
            $(#[doc = $doc] $name,)*
        }

        impl CloseCode {
            /// Every close code of this version.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Number in the WebSocket close frame.
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)* }
            }

            /// Name in logs and metrics, and the reason in the close frame.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $wire,)* }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }
        }
    };
}

close_codes! {
    4000 ShuttingDown "shutting_down" "The server is going away; another, or the same one restarted, is ready to resume.";
    4001 Drain "drain" "The server asks its clients to move.";
    4100 HeartbeatMissed "heartbeat_missed" "No sign of life within the heartbeat time.";
    4101 Overloaded "overloaded" "The server has no room for this connection now.";
    4102 HandshakeTimeout "handshake_timeout" "No hello came in time.";
    4200 SessionEnded "session_ended" "The sign-in of this connection was ended: logged out elsewhere, revoked, or its password changed.";
    4201 TokenExpired "token_expired" "The access token ran out and was not refreshed in time.";
    4300 ProtocolError "protocol_error" "A frame was malformed or out of order; the fault before the close says what.";
    4301 VersionUnsupported "version_unsupported" "This server does not speak the client's protocol version.";
    4302 MessageTooBig "message_too_big" "A frame was longer than the limit, or a message over QUIC. A WebSocket message that was longer than its limit is closed with 1009.";
    4303 Flooding "flooding" "The client kept sending far above its limits after being told to wait.";
    4304 Suspended "suspended" "The player was suspended. The event `PlayerSuspended` before the close says why and until when.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_map_back() {
        let numbers: HashSet<u16> = Code::ALL.iter().map(|code| code.number()).collect();
        let names: HashSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(numbers.len(), Code::ALL.len());
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from(code.number()), *code);
        }
        assert_eq!(Code::from(9999), Code::Unknown(9999));
    }

    #[test]
    fn a_fault_names_its_field_to_people() {
        for code in Code::ALL {
            let name = code.name();
            let plain = Fault::new(*code, "It is too short.");
            assert_eq!(plain.to_string(), format!("{name}: It is too short."));
            let named = plain.of_field("rooms[0].handle").to_string();
            assert_eq!(named, format!("{name}: rooms[0].handle: It is too short."));
        }
    }

    #[test]
    fn close_codes_lie_in_the_range_of_their_meaning() {
        let numbers: HashSet<u16> = CloseCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers.len(), CloseCode::ALL.len());
        assert_eq!(Reconnect::after(CloseCode::Drain.number()), Reconnect::Now);
        assert_eq!(
            Reconnect::after(CloseCode::Flooding.number()),
            Reconnect::Never
        );
        assert_eq!(Reconnect::after(1006), Reconnect::BackOff);
        assert_eq!(Reconnect::after(4201), Reconnect::AfterSignIn);
    }
}
