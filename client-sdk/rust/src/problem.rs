//! What went wrong without ending anything.

use std::sync::Arc;

use bytes::Bytes;

/// Something that went wrong beside the calls, and that the application may want to show or report. The client goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The [`TokenStore`](crate::TokenStore) gave no tokens: it failed, panicked, took longer than
    /// [`TOKEN_STORE_WITHIN`](crate::TOKEN_STORE_WITHIN), or what it gave can't be tokens. The client goes on with those that it holds, at its
    /// beginning with none.
    TokensNotLoaded {
        /// Why, for people to read.
        why: Arc<str>,
    },
    /// The [`TokenStore`](crate::TokenStore) did not keep tokens. The player stays signed in until the program ends; after a
    /// sign-out, tokens that are void may still be kept.
    TokensNotSaved {
        /// Why, for people to read.
        why: Arc<str>,
    },
    /// A callback of [`Client::on`](crate::Client::on) panicked. It stays, and the others heard the event.
    CallbackPanicked,
    /// An event came that can't be read: it is of a version that does not fit this one. It was stepped over. If it was an entry
    /// of a stream whose place could not be read either, a [`Gap`](crate::Gap) says where.
    Unreadable {
        /// Number of the event.
        event: u16,
        /// Encoded body.
        body: Bytes,
        /// What is wrong with it.
        why: Arc<str>,
    },
    /// A frame came that can't be read. It was stepped over; after a gap, a [`Gap`](crate::Gap) says what is missing. A `welcome`,
    /// an unknown kind of frame, or one without an end ends the connection, and the client tries again.
    UnreadableFrame {
        /// Name of its kind, or `frame` when that can't be read either.
        frame: &'static str,
        /// What is wrong with it.
        why: Arc<str>,
    },
    /// Nobody listened for so long that the oldest events were dropped. Comes first to whoever listens at last.
    EventsDropped {
        /// How many.
        count: u64,
    },
}
