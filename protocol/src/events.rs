//! The one table of events: what the server tells clients without being asked.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::{chat, inbox, presence, system};

/// What may happen to an event when its reader is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Never lost: part of a stream, back-filled from the reader's cursor.
    Durable,
    /// Replaced by the newest with the same key.
    Latest,
    /// Dropped under pressure.
    Volatile,
}

/// One kind of event: its body is the implementing type.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Number on the wire.
    const NUMBER: u16;
    /// Name in documents, metrics and SDKs: the type's name.
    const NAME: &'static str;
    /// What may happen to it under pressure.
    const DELIVERY: Delivery;
}

/// What is known of an event without its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EventInfo {
    /// Number on the wire.
    pub number: u16,
    /// Name of the body's type.
    pub name: &'static str,
    /// What may happen to it under pressure.
    pub delivery: Delivery,
}

/// Hands the whole table to the macro named by the caller, as lines of `number module::Event, delivery;`.
/// Paths are relative to [`crate::types`].
#[macro_export]
macro_rules! for_each_event {
    ($then:ident) => {
        $then! {
            1 chat::MessageSent, Durable;
            2 chat::MessageEdited, Durable;
            3 chat::MessageDeleted, Durable;
            4 chat::ReactionChanged, Durable;
            5 inbox::InboxAdded, Durable;

            16 system::StreamPosition, Latest;
            17 chat::RoomUpdated, Latest;
            18 chat::RoomLost, Latest;
            19 chat::ReadMarkerMoved, Latest;
            20 presence::RoomPresence, Latest;
            21 presence::PlayerPresence, Latest;

            32 chat::TypingStarted, Volatile;
            33 chat::EphemeralSent, Volatile;
        }
    };
}

macro_rules! events {
    ($($number:literal $module:ident::$event:ident, $delivery:ident;)*) => {
        $(
            impl Event for $module::$event {
                const NUMBER: u16 = $number;
                const NAME: &'static str = stringify!($event);
                const DELIVERY: Delivery = Delivery::$delivery;
            }
        )*

        /// Every event, in the order of its number.
        pub const EVENTS: &[EventInfo] = &[$(EventInfo {
            number: $number,
            name: stringify!($event),
            delivery: Delivery::$delivery,
        },)*];
    };
}

for_each_event!(events);

/// A number used twice or out of order does not compile.
const _: () = {
    let mut index = 1;
    while index < EVENTS.len() {
        assert!(EVENTS[index - 1].number < EVENTS[index].number);
        index += 1;
    }
};
