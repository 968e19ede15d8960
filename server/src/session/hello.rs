//! The answer to hello.

use std::sync::Arc;

use pitturu_metrics::labels::SignInWay;
use pitturu_protocol::frame::ServerFrame;
use pitturu_protocol::limits::{
    CALLS_IN_FLIGHT_MAX, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, ROOMS_OPEN_MAX,
};
use pitturu_protocol::types::system::{Hello, Limits, Welcome};
use pitturu_store::clock::now_ms;

use super::SessionContext;
use super::calls::Work;
use super::sign_in::{Restores, Way, counted, sign_in};
use crate::connections::connection::Connection;
use crate::services::presence::PresenceService;

/// What this server enforces on every connection.
const LIMITS: Limits = Limits {
    frame_bytes: bound(FRAME_BYTES_MAX),
    message_bytes: bound(MESSAGE_BYTES_MAX),
    calls: bound(CALLS_IN_FLIGHT_MAX),
    rooms: bound(ROOMS_OPEN_MAX),
};

#[allow(clippy::cast_possible_truncation, reason = "checked at compile time")]
const fn bound(limit: usize) -> u32 {
    assert!(limit <= u32::MAX as usize);
    limit as u32
}

/// Signs the connection in by its token, if it has a good one, and welcomes it either way.
pub fn welcome(
    context: Arc<SessionContext>,
    connection: Arc<Connection>,
    hello: Hello,
    ping_ms: u64,
) -> Work {
    Box::pin(async move {
        let now = now_ms();
        let (mut identity, mut refused) = (None, None);
        // It is kept until somebody signs in, who may never come: so no more of it than may be kept.
        connection.restore_presence(hello.presence.map(PresenceService::restored));
        if let Some(token) = &hello.token {
            let outcome = async {
                let found = context.services.accounts.identify(token, now).await?;
                sign_in(&context.services, &connection, &found, Restores::Yes).await?;
                Ok(found)
            };
            let outcome = outcome.await;
            let way = Way {
                by: "hello",
                call: None,
                before: None,
            };
            way.note(&connection, outcome.as_ref());
            match counted(SignInWay::Hello, outcome) {
                Ok(found) => identity = Some(found),
                Err(fault) => refused = Some(fault),
            }
        }
        let welcome = Welcome {
            v: pitturu_protocol::VERSION,
            epoch: context.services.epoch,
            conn: connection.id,
            now,
            ping_ms: u32::try_from(ping_ms).unwrap_or(u32::MAX),
            identity,
            refused,
            limits: LIMITS,
            quic: context.quic.borrow().clone(),
        };
        let frame = ServerFrame::Welcome(welcome).encode();
        connection.outbox.welcome(frame.into());
    })
}
