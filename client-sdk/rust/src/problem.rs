//! What went wrong without ending anything.

use std::sync::Arc;

use bytes::Bytes;

/// Something that went wrong beside the calls, and that the application may want to show or report. The client goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The [`TokenStore`](crate::TokenStore) gave no tokens: it failed, panicked, took longer than
    /// [`TOKEN_STORE_WITHIN`](crate::TOKEN_STORE_WITHIN), or what it gave can't be tokens. The client goes on with those that it holds, at its
    /// beginning with none.
    #[error("the token store could not load: {why}")]
    TokensNotLoaded {
        /// Why, for people to read.
        why: Arc<str>,
    },
    /// The [`TokenStore`](crate::TokenStore) did not keep tokens. The player stays signed in until the program ends; after a
    /// sign-out, tokens that are void may still be kept.
    #[error("the token store could not save: {why}")]
    TokensNotSaved {
        /// Why, for people to read.
        why: Arc<str>,
    },
    /// A callback of [`Client::on`](crate::Client::on) panicked. It stays, and the others heard the event.
    #[error("a callback panicked")]
    CallbackPanicked,
    /// An event came that can't be read: it is of a version that does not fit this one. It was stepped over. If it was an entry
    /// of a stream whose place could not be read either, a [`Gap`](crate::Gap) says where.
    #[error("event {event} could not be read and was stepped over: {why}")]
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
    #[error("{frame} could not be read and was stepped over: {why}")]
    UnreadableFrame {
        /// Name of its kind, or `frame` when that can't be read either.
        frame: &'static str,
        /// What is wrong with it.
        why: Arc<str>,
    },
    /// Client and server do not fit: the server is newer, older or wrong. What was asked of it goes on without: a room that it did not
    /// open again is told by [`StreamLost`](crate::ServerEvent::StreamLost), what it leaves out for good by a [`Gap`](crate::Gap). If the
    /// connection could not go on, the client tries again, after waits that grow.
    #[error("client and server do not fit: {why}")]
    Mismatch {
        /// What does not fit.
        why: Arc<str>,
    },
    /// Nobody listened for so long that the oldest events were dropped. Comes first to whoever listens at last.
    #[error("{count} events were dropped: nobody listened for them")]
    EventsDropped {
        /// How many.
        count: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_sentences_for_people() {
        let why: Arc<str> = "the disk is full".into();
        let body = Bytes::from_static(b"body");
        let (event, frame, count) = (70, "gap", 3);
        let said = [
            (
                Problem::TokensNotLoaded { why: why.clone() },
                "the token store could not load: the disk is full",
            ),
            (
                Problem::TokensNotSaved { why: why.clone() },
                "the token store could not save: the disk is full",
            ),
            (Problem::CallbackPanicked, "a callback panicked"),
            (
                Problem::Unreadable {
                    event,
                    body,
                    why: why.clone(),
                },
                "event 70 could not be read and was stepped over: the disk is full",
            ),
            (
                Problem::Mismatch { why: why.clone() },
                "client and server do not fit: the disk is full",
            ),
            (
                Problem::UnreadableFrame { frame, why },
                "gap could not be read and was stepped over: the disk is full",
            ),
            (
                Problem::EventsDropped { count },
                "3 events were dropped: nobody listened for them",
            ),
        ];
        for (problem, text) in said {
            assert_eq!(problem.to_string(), text);
        }
    }
}
