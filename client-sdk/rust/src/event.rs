//! What a client hears without asking.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::events::{Delivery, Event};
use pitturu_protocol::for_each_event;
use pitturu_protocol::frame::{Missing, Stream};
use pitturu_protocol::ids::{RoomId, UserId};

use pitturu_protocol::types::{self, accounts::Identity};

use crate::problem::Problem;

/// Where the client stands with its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// No connection.
    Offline {
        /// When the next attempt begins.
        retry_at: Option<Instant>,
        /// What ended the last one, for people to read.
        why: Option<Arc<str>>,
    },
    /// A connection is being made.
    Connecting,
    /// Connected; what was missed is arriving.
    CatchingUp,
    /// Connected, and up to date.
    Online,
    /// Closed for good: by [`Client::close`](crate::Client::close), or by the server with this code. In the latter case
    /// [`Client::reconnect`](crate::Client::reconnect) tries again.
    Stopped {
        /// The server's close code.
        code: Option<u16>,
    },
}

/// Part of a stream that no longer exists: read the history again, or show a break.
///
/// One that begins at 1 may take in what came before: the server has restored a backup, and what it has now under those numbers may be
/// something else. Take down what is shown of the stream, and read it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The stream.
    pub stream: Stream,
    /// What is missing.
    pub missing: Missing,
    /// First missing sequence or revision.
    pub from: u64,
    /// Last missing sequence or revision.
    pub to: u64,
}

/// What an event replaces when its reader is slow: a newer one with the same key takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    Keep,
    Replace(Key),
    Drop,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    kind: u16,
    stream: Option<Stream>,
    user: Option<UserId>,
    board: Option<String>,
}

/// An event that [`Client::on`](crate::Client::on) can be asked for: every body in the protocol's table of events.
pub trait TypedEvent: Event {
    /// The body, if the event is of this kind.
    fn of(event: &ServerEvent) -> Option<&Self>;
}

macro_rules! server_events {
    ($($number:literal $module:ident::$event:ident, $delivery:ident $(, $column:ident = $value:ident)*;)*) => {
        /// Something that happened. Entries of one stream come in their order, none twice and none left out.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum ServerEvent {
            $(
                #[doc = concat!("See [`", stringify!($event), "`](types::$module::$event).")]
                $event(types::$module::$event),
            )*
            /// Part of a followed stream no longer exists.
            Gap(Gap),
            /// A stream is not followed any more, because the server would not open it again.
            StreamLost {
                /// The stream.
                stream: Stream,
                /// Why.
                fault: Fault,
            },
            /// State of a match.
            State {
                /// The match's room.
                room: RoomId,
                /// The tick that it describes.
                tick: u64,
                /// The game's own encoding.
                data: Bytes,
            },
            /// The player is signed in. Comes with each connection and each new token.
            SignedIn(Identity),
            /// The player must sign in anew.
            SignedOut(Option<Fault>),
            /// Where the client stands has changed. [`Client::connection`](crate::Client::connection) may be ahead of this: it
            /// says what holds now, the events what has been, in order with all the others.
            Connection(ConnectionState),
            /// Something went wrong, and the client goes on.
            Problem(Problem),
            /// An event of a newer server.
            Unknown {
                /// Number of the event.
                event: u16,
                /// Encoded body.
                body: Bytes,
            },
        }

        impl ServerEvent {
            /// Absent when the body does not fit the event.
            pub(crate) fn decode(event: u16, body: Bytes) -> Result<Self, codec::InvalidBody> {
                Ok(match event {
                    $($number => Self::$event(codec::decode(&body)?),)*
                    event => Self::Unknown { event, body },
                })
            }

            fn delivery(&self) -> Delivery {
                match self {
                    $(Self::$event(_) => Delivery::$delivery,)*
                    Self::Gap(_) | Self::StreamLost { .. } | Self::SignedOut(_) => Delivery::Durable,
                    Self::State { .. }
                    | Self::SignedIn(_)
                    | Self::Connection(_)
                    | Self::Problem(
                        Problem::CallbackPanicked
                        | Problem::Mismatch { .. }
                        | Problem::Unreadable { .. }
                        | Problem::UnreadableFrame { .. },
                    ) => Delivery::Latest,
                    Self::Problem(_) => Delivery::Durable,
                    Self::Unknown { .. } => Delivery::Volatile,
                }
            }

            /// Number of the event's kind; those that the protocol does not number come after all that it does.
            pub(crate) fn kind(&self) -> u16 {
                match self {
                    $(Self::$event(_) => $number,)*
                    Self::Unknown { event, .. } => *event,
                    Self::Gap(_) => u16::MAX,
                    Self::StreamLost { .. } => u16::MAX - 1,
                    Self::State { .. } => u16::MAX - 2,
                    Self::SignedIn(_) => u16::MAX - 3,
                    Self::SignedOut(_) => u16::MAX - 4,
                    Self::Connection(_) => u16::MAX - 5,
                    Self::Problem(_) => u16::MAX - 6,
                }
            }
        }

        $(
            impl TypedEvent for types::$module::$event {
                fn of(event: &ServerEvent) -> Option<&Self> {
                    match event {
                        ServerEvent::$event(body) => Some(body),
                        _ => None,
                    }
                }
            }
        )*
    };
}

for_each_event!(server_events);

impl ServerEvent {
    /// What to do with it when a subscriber's queue is full.
    pub(crate) fn overflow(&self) -> Overflow {
        match self.delivery() {
            Delivery::Durable => Overflow::Keep,
            Delivery::Volatile => Overflow::Drop,
            Delivery::Latest => {
                let (stream, user) = self.subject();
                Overflow::Replace(Key {
                    kind: self.kind(),
                    stream,
                    user,
                    board: self.board().map(str::to_owned),
                })
            }
        }
    }

    /// What an event of the class `latest` is about.
    fn subject(&self) -> (Option<Stream>, Option<UserId>) {
        match self {
            Self::StreamPosition(position) => (position.stream.parse().ok(), None),
            Self::RoomUpdated(updated) => (Some(Stream::Room(updated.info.room)), None),
            Self::RoomLost(lost) => (Some(Stream::Room(lost.room)), None),
            Self::ReadMarkerMoved(moved) => (Some(Stream::Room(moved.room)), Some(moved.user)),
            Self::RoomPresence(presence) => (Some(Stream::Room(presence.room)), None),
            Self::PlayerPresence(presence) => (None, Some(presence.presence.user)),
            Self::State { room, .. } => (Some(Stream::Room(*room)), None),
            _ => (None, None),
        }
    }

    /// The leaderboard that it is about, if it is about one.
    fn board(&self) -> Option<&str> {
        match self {
            Self::RankChanged(changed) => Some(&changed.standing.board),
            _ => None,
        }
    }

    /// The room that it is about, if it is about one.
    pub fn room(&self) -> Option<RoomId> {
        match self {
            Self::MessageSent(sent) => Some(sent.room),
            Self::MessageEdited(edited) => Some(edited.room),
            Self::MessageDeleted(deleted) => Some(deleted.room),
            Self::ReactionChanged(changed) => Some(changed.room),
            Self::AuthorErased(erased) => Some(erased.room),
            Self::TypingStarted(typing) => Some(typing.room),
            Self::EphemeralSent(said) => Some(said.room),
            Self::Gap(Gap { stream, .. }) | Self::StreamLost { stream, .. } => room(*stream),
            other => other.subject().0.and_then(room),
        }
    }
}

fn room(stream: Stream) -> Option<RoomId> {
    match stream {
        Stream::Inbox => None,
        Stream::Room(room) => Some(room),
    }
}
