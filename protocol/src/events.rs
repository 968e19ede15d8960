//! The one table of events: what the server tells clients without being asked.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types;

/// What may happen to an event when its reader is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Delivery {
    /// Never lost: part of a stream, back-filled from the reader's cursor.
    Durable,
    /// Replaced by the newest with the same key.
    Latest,
    /// Dropped under pressure.
    Volatile,
}

/// The stream that an event is an entry of, and where its place in it stands. Clients hold each entry against their cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Entry {
    /// A message of the stream of `room`, at the sequence `msg.seq`.
    RoomMessage,
    /// A change in the stream of `room`, at the revision `rev`.
    RoomChange,
    /// An entry of the player's inbox, at the sequence `seq`.
    Inbox,
}

/// One kind of event: its body is the implementing type.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The table's line.
    const INFO: EventInfo;
    /// Number on the wire.
    const NUMBER: u16 = Self::INFO.number;
    /// Name in documents, metrics and SDKs: the type's name.
    const NAME: &'static str = Self::INFO.name;
}

/// What is known of an event without its type: a line of the table. A line names the columns after `delivery` only where
/// they differ from the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventInfo {
    /// Number on the wire.
    pub number: u16,
    /// Name of the body's type.
    pub name: &'static str,
    /// What may happen to it under pressure.
    pub delivery: Delivery,
    /// The stream that it is an entry of. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
}

impl EventInfo {
    /// The table's line for this number.
    pub fn of(number: u16) -> Option<&'static Self> {
        let place = EVENTS.binary_search_by_key(&number, |event| event.number);
        EVENTS.get(place.ok()?)
    }

    /// A line that names no more than every line must.
    const fn line(number: u16, name: &'static str, delivery: Delivery) -> Self {
        Self {
            number,
            name,
            delivery,
            entry: None,
        }
    }
}

/// Hands the whole table to the macro named by the caller, as lines of `number module::Event, delivery;`, where any number
/// of `, column = value` may stand before the semicolon. Paths are relative to [`crate::types`].
#[macro_export]
macro_rules! for_each_event {
    ($then:ident) => {
        $then! {
            1 chat::MessageSent, Durable, entry = RoomMessage;
            2 chat::MessageEdited, Durable, entry = RoomChange;
            3 chat::MessageDeleted, Durable, entry = RoomChange;
            4 chat::ReactionChanged, Durable, entry = RoomChange;
            5 inbox::InboxAdded, Durable, entry = Inbox;
            6 chat::AuthorErased, Durable, entry = RoomChange;

            16 system::StreamPosition, Latest;
            17 chat::RoomUpdated, Latest;
            18 chat::RoomLost, Latest;
            19 chat::ReadMarkerMoved, Latest;
            20 presence::RoomPresence, Latest;
            21 presence::PlayerPresence, Latest;
            22 points::WalletChanged, Latest;
            23 boards::RankChanged, Latest;
            24 moderation::PlayerSuspended, Latest;
            30 items::InventoryChanged, Latest;

            32 chat::TypingStarted, Volatile;
            33 chat::EphemeralSent, Volatile;
        }
    };
}

/// The value that a line gives to one of the columns that it may leave out.
macro_rules! column {
    (entry $value:ident) => {
        Some(Entry::$value)
    };
}

macro_rules! events {
    ($($number:literal $module:ident::$event:ident, $delivery:ident $(, $column:ident = $value:ident)*;)*) => {
        $(
            impl Event for types::$module::$event {
                const INFO: EventInfo = EventInfo {
                    $($column: column!($column $value),)*
                    ..EventInfo::line($number, stringify!($event), Delivery::$delivery)
                };
            }
        )*

        /// Every event, in the order of its number.
        pub const EVENTS: &[EventInfo] = &[$(<types::$module::$event as Event>::INFO,)*];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_to_its_event_and_no_other_number_to_any() {
        for number in 0..=u16::MAX {
            let listed = EVENTS.iter().find(|event| event.number == number);
            assert_eq!(EventInfo::of(number), listed);
        }
    }

    #[test]
    fn entries_of_streams_say_where_they_stand() {
        let entries: Vec<(&str, Entry)> = EVENTS
            .iter()
            .filter_map(|event| Some((event.name, event.entry?)))
            .collect();
        assert_eq!(
            entries,
            [
                ("MessageSent", Entry::RoomMessage),
                ("MessageEdited", Entry::RoomChange),
                ("MessageDeleted", Entry::RoomChange),
                ("ReactionChanged", Entry::RoomChange),
                ("InboxAdded", Entry::Inbox),
                ("AuthorErased", Entry::RoomChange),
            ]
        );
    }

    #[test]
    fn what_is_never_lost_and_nothing_else_is_an_entry_of_a_stream() {
        for event in EVENTS {
            let durable = event.delivery == Delivery::Durable;
            assert_eq!(event.entry.is_some(), durable, "{}", event.name);
        }
    }
}
