//! Calls that run at a room's owner, as one closed enum derived from the table of methods.

use pitturu_protocol::codec::{self, InvalidBody};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::chat;

/// Walks the table of methods and keeps the lines whose place is `Room`.
macro_rules! room_requests {
    (@keep [$($kept:ident)*]
        $number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, Room, $rate:ident, $effect:ident $(, $column:ident = $value:ident)*; $($rest:tt)*) => {
        room_requests!(@keep [$($kept)* $request] $($rest)*);
    };
    (@keep [$($kept:ident)*]
        $number:literal $module:ident::$request:ident => $reply_module:ident::$reply:ident,
        $access:ident, $place:ident, $rate:ident, $effect:ident $(, $column:ident = $value:ident)*; $($rest:tt)*) => {
        room_requests!(@keep [$($kept)*] $($rest)*);
    };
    (@keep [$($kept:ident)*]) => {
        /// A call for one room.
        #[derive(Clone, Debug, PartialEq)]
        pub enum RoomRequest {
            $(
                #[doc = concat!("[`chat::", stringify!($kept), "`]")]
                $kept(chat::$kept),
            )*
        }

        impl RoomRequest {
            /// Decodes the request of a method that runs at a room. `None`: the method runs elsewhere.
            pub fn decode(method: u16, body: &[u8]) -> Option<Result<Self, InvalidBody>> {
                $(
                    if method == <chat::$kept as Method>::NUMBER {
                        return Some(codec::decode(body).map(Self::$kept));
                    }
                )*
                None
            }

            /// The room that the call is for.
            pub const fn room(&self) -> RoomId {
                match self {
                    $(Self::$kept(request) => request.room,)*
                }
            }
        }
    };
    ($($table:tt)*) => {
        room_requests!(@keep [] $($table)*);
    };
}

pitturu_protocol::for_each_method!(room_requests);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_methods_decode_and_others_do_not() {
        let request = chat::LeaveRoom {
            room: RoomId::from_bytes([7; 10]),
        };
        let body = codec::encode(&request);
        assert_eq!(
            RoomRequest::decode(chat::LeaveRoom::NUMBER, &body),
            Some(Ok(RoomRequest::LeaveRoom(request)))
        );
        assert_eq!(RoomRequest::decode(chat::ListRooms::NUMBER, &body), None);
        assert!(matches!(
            RoomRequest::decode(chat::LeaveRoom::NUMBER, &[0x80]),
            Some(Err(_))
        ));
    }
}
