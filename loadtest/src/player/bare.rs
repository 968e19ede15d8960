//! Events as the server would make them, for floors that only pass bytes on.

use pitturu_protocol::frame::event;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{EphemeralSent, Message, MessageSent};

use super::Delivery;
use crate::stamp;

/// A time as the server writes it, so that all fields have their usual length.
const AT: u64 = 1_790_000_000_000;

/// The event's bytes.
pub(super) fn event_of(room: RoomId, bytes: usize, delivery: Delivery, intended: u64) -> Vec<u8> {
    let from = UserId::from_bytes([7; 10]);
    let name = "player 1234".to_owned();
    let text = stamp::text(intended, bytes);
    match delivery {
        Delivery::Durable => event(&MessageSent {
            room,
            msg: Message {
                seq: 1_234,
                from,
                name,
                text,
                at: AT,
                data: None,
                reply_to: None,
                edited_at: None,
                deleted_by: None,
                reactions: Vec::new(),
            },
        }),
        Delivery::Ephemeral => event(&EphemeralSent {
            room,
            from,
            name,
            text,
            at: AT,
        }),
    }
}
