//! Calls that run at a room's owner: decoded by the table of methods, and put into classes by what they need.

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::methods::{Method, Target};
use pitturu_protocol::types::chat;
use pitturu_text::fields;

/// Defines the classes. A method of the table that runs at a room and stands in none of them does not compile.
macro_rules! classes {
    ($($(#[doc = $doc:literal])* $class:ident: $requests:ident { $($request:ident,)* })*) => {
        /// A call for one room, by what it needs.
        #[derive(Clone, Debug, PartialEq)]
        pub enum RoomRequest {
            $($(#[doc = $doc])* $class($requests),)*
        }

        impl RoomRequest {
            /// The room that the call is for.
            pub const fn room(&self) -> RoomId {
                match self {
                    $(Self::$class(request) => request.room(),)*
                }
            }
        }

        $(
            $(#[doc = $doc])*
            #[derive(Clone, Debug, PartialEq)]
            pub enum $requests {
                $(
                    #[doc = concat!("[`chat::", stringify!($request), "`]")]
                    $request(chat::$request),
                )*
            }

            impl $requests {
                /// The room that the call is for.
                pub const fn room(&self) -> RoomId {
                    match self {
                        $(Self::$request(request) => request.room,)*
                    }
                }
            }

            $(
                impl From<chat::$request> for RoomRequest {
                    fn from(request: chat::$request) -> Self {
                        Self::$class($requests::$request(request))
                    }
                }
            )*
        )*
    };
}

classes! {
    /// Begins following on the calling connection. A repetition under the key of a join opens the room again, as it is then, and
    /// does not join again.
    Follow: FollowRequest {
        OpenRoom,
        JoinRoom,
    }
    /// Ends following on the calling connection.
    Close: CloseRequest {
        CloseRoom,
    }
    /// Reads a page, from memory or from the store.
    Read: ReadRequest {
        ReadHistory,
        ListReactions,
    }
    /// Changes a message, which may have to come from the store first.
    Edit: EditRequest {
        EditMessage,
        DeleteMessage,
        React,
    }
    /// Is decided from memory alone.
    Decide: DecideRequest {
        SendMessage,
        MarkRead,
        SendEphemeral,
        Typing,
        LeaveRoom,
        InviteToRoom,
        KickMember,
        BanMember,
        UnbanMember,
        MuteMember,
        SetMemberRole,
        UpdateRoom,
        DeleteRoom,
        ListMembers,
        ListBans,
    }
}

/// A decoded call for one room.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// What is asked.
    pub request: RoomRequest,
    /// The player whom the call is about, and what must hold of them, where the table of methods says so.
    pub target: Option<(UserId, Target)>,
}

/// Finds the column `target` among those that a line names.
macro_rules! target {
    ($request:ident) => {
        None
    };
    ($request:ident, target = $value:ident $(, $rest:ident = $others:ident)*) => {
        Some(($request.user, Target::$value))
    };
    ($request:ident, $column:ident = $value:ident $(, $rest:ident = $others:ident)*) => {
        target!($request $(, $rest = $others)*)
    };
}

/// Walks the table of methods and keeps the lines whose place is `Room`.
macro_rules! room_methods {
    (@keep [$($kept:tt)*]
        $number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, Room, $rate:ident, $effect:ident $(, $column:ident = $value:ident)*; $($rest:tt)*) => {
        room_methods!(@keep [$($kept)* $request($(, $column = $value)*);] $($rest)*);
    };
    (@keep [$($kept:tt)*]
        $number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, $place:ident, $rate:ident, $effect:ident $(, $column:ident = $value:ident)*; $($rest:tt)*) => {
        room_methods!(@keep [$($kept)*] $($rest)*);
    };
    (@keep [$($request:ident($($columns:tt)*);)*]) => {
        /// Decodes the request of a method that runs at a room, its texts in their normal forms. `None`: the method runs
        /// elsewhere.
        pub fn decode(method: u16, body: &[u8]) -> Option<Result<Decoded, Fault>> {
            $(
                if method == <chat::$request as Method>::NUMBER {
                    return Some(fields::decode(body).map(|request: chat::$request| Decoded {
                        target: target!(request $($columns)*),
                        request: request.into(),
                    }));
                }
            )*
            None
        }
    };
    ($($table:tt)*) => {
        room_methods!(@keep [] $($table)*);
    };
}

pitturu_protocol::for_each_method!(room_methods);

#[cfg(test)]
mod tests {
    use pitturu_protocol::codec;

    use super::*;

    #[test]
    fn room_methods_decode_and_others_do_not() {
        let request = chat::LeaveRoom {
            room: RoomId::from_bytes([7; 10]),
        };
        let body = codec::encode(&request);
        assert_eq!(
            decode(chat::LeaveRoom::NUMBER, &body),
            Some(Ok(Decoded {
                request: request.into(),
                target: None
            }))
        );
        assert_eq!(decode(chat::ListRooms::NUMBER, &body), None);
        assert!(matches!(
            decode(chat::LeaveRoom::NUMBER, &[0x80]),
            Some(Err(_))
        ));
    }

    #[test]
    fn the_table_says_whom_a_call_is_about() {
        let user = UserId::from_bytes([3; 10]);
        let request = chat::InviteToRoom {
            room: RoomId::from_bytes([7; 10]),
            user,
        };
        let decoded = decode(chat::InviteToRoom::NUMBER, &codec::encode(&request));
        let target = decoded.and_then(Result::ok).and_then(|call| call.target);
        assert_eq!(target, Some((user, Target::Unblocked)));
    }
}
