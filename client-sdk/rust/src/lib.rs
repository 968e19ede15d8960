//! Rust SDK of PittuRu: typed calls, events, reconnect and resume.
//!
//! A [`Client`] keeps one connection to a server. It connects by itself and again after every loss; calls made meanwhile wait, and
//! rooms that were open are open again, with all that was missed. An application makes calls and reads events:
//!
//! ```no_run
//! use pitturu_client::{Client, ClientOptions, ServerEvent, new_guest_secret, one_line};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientOptions::new("ws://localhost:7350"))?;
//! client.login_guest(&new_guest_secret()?, Some("Mina")).await?;
//!
//! let view = client.enter_room("lobby").await?;
//! client.room(view.info.room).send("hello").await?;
//!
//! let mut events = client.events();
//! while let Some(event) = events.next().await {
//!     match event {
//!         ServerEvent::MessageSent(sent) => println!("{}: {}", one_line(&sent.msg.name), one_line(&sent.msg.text)),
//!         ServerEvent::Connection(state) => println!("{state:?}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What can be relied on
//! - **Calls.** Every method of the protocol is a type in [`types`]; `client.call(request).await` gives its reply or a [`CallError`], whose
//!   [`retry`](CallError::retry) says whether to try again. A call is repeated after a lost connection and after a refusal for
//!   being too fast, under one idempotency key, until it is answered or its deadline has passed (30 seconds, see [`ClientOptions::call_timeout`] and [`Call::with_deadline`]).
//! - **Order.** Sends to one room go to the server in the order in which they were queued, also across reconnects. When one is
//!   refused for being too fast, those behind it wait, except those that were on their way already; to rule that out, await each.
//! - **Events.** The entries of a room and of the player's inbox come in order, none twice, none left out. What the server
//!   no longer has is told by [`ServerEvent::Gap`]. A slow reader loses no entry: see [`Events`]. What comes before anybody listens waits for
//!   the first who does.
//! - **Sign-in.** [`Client::login`], [`Client::register`] and [`Client::login_guest`] sign in; tokens are renewed by themselves and kept
//!   in a [`TokenStore`] of the application's. When the server takes them no more, [`ServerEvent::SignedOut`] says so. Calls that need a player wait for
//!   a sign-in under way, and are refused with [`Code::Unauthenticated`] while there is none.
//! - **Foreign code.** A token store that fails, panics or hangs stops nothing, and neither does a callback that panics:
//!   [`ServerEvent::Problem`] tells. A waker, and what a callback or a store owns, may panic as well when it is called or dropped. All of
//!   these may use the client. Only a callback that does not return keeps events and answers waiting.
//! - **Other versions.** What a newer, older or wrong server says is told by [`Problem::Mismatch`], and never repeated without a word.
//! - **Connection.** [`Client::connection`] tells where the client stands, and [`Client::reconnect`] does not wait for the next attempt.
//! - **Bounds.** At most [`CALLS_HELD_MAX`] calls of together [`CALLS_HELD_BYTES_MAX`] bytes wait for an answer; one more fails at once. A
//!   reader's queue holds about [`EVENTS_QUEUED_MAX`] events.
//!
//! The README has the client's life as a table of states, and what each call does in each.
//!
//! Servers at `wss://` and `quic://` addresses are checked against the public authorities and [`ClientOptions::trust_pem`], or
//! [`ClientOptions::trust_certificate_hash`]. QUIC comes with the feature `quic`, which is on unless default features are turned off. The SDK needs a tokio runtime with time and I/O.

mod call;
mod client;
mod clock;
mod error;
mod event;
mod foreign;
mod links;
mod options;
mod problem;
mod random;
mod room;
mod shared;
mod subscribers;
mod task;
mod text;
mod tokens;
mod transport;
mod transport_choice;

pub use call::Call;
pub use client::Client;
pub use clock::ServerClock;
pub use error::CallError;
pub use event::{ConnectionState, Gap, ServerEvent, TypedEvent};
pub use options::{ClientOptions, InvalidOptions};
pub use problem::Problem;
pub use random::new_guest_secret;
pub use room::Room;
pub use subscribers::{EVENTS_QUEUED_MAX, Events, Subscription};
pub use task::Task;
pub use text::one_line;
pub use tokens::{
    FileTokens, MemoryTokens, TOKEN_STORE_WITHIN, TokenStore, TokenStoreError, Tokens,
};
pub use transport::TransportStats;
pub use transport_choice::{Transport, TransportPreference};

pub use pitturu_protocol::backoff::BackOff;
pub use pitturu_protocol::client::{CALLS_HELD_BYTES_MAX, CALLS_HELD_MAX, Refused, Stats};
pub use pitturu_protocol::codes::{Code, Fault, Retry};
pub use pitturu_protocol::frame::{Cursor, Missing, Stream};
pub use pitturu_protocol::ids::{ConnectionId, RoomId, SessionId, UserId};
pub use pitturu_protocol::{limits, methods, types};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
