//! How connections end, and by which codes: ours, and those of HTTP/3, QPACK and WebTransport. These fit into the number of a
//! violation as well, and none of them is one of ours.

use std::io::ErrorKind;

use pitturu_protocol::codes::CloseCode;
use quinn::{Connection, ConnectionError, VarInt};
use web_transport_proto::{error_from_http3, error_to_http3};

use crate::connections::link::{CloseReason, LinkError};

/// A datagram without the number of a session.
pub(super) const DATAGRAM_ERROR: u16 = 0x33;
/// Nothing is wrong.
pub(super) const NO_ERROR: u16 = 0x100;
/// A stream that a client may not open, or a second one of which there is one.
pub(super) const STREAM_CREATION_ERROR: u16 = 0x103;
/// A stream has ended that has to stay.
pub(super) const CLOSED_CRITICAL_STREAM: u16 = 0x104;
/// A frame where it may not be.
pub(super) const FRAME_UNEXPECTED: u16 = 0x105;
/// A frame that can't be read.
pub(super) const FRAME_ERROR: u16 = 0x106;
/// More than anybody needs.
pub(super) const EXCESSIVE_LOAD: u16 = 0x107;
/// A session that there is not.
pub(super) const ID_ERROR: u16 = 0x108;
/// Settings with which there is no session.
pub(super) const SETTINGS_ERROR: u16 = 0x109;
/// The control stream of HTTP/3 does not begin with settings.
pub(super) const MISSING_SETTINGS: u16 = 0x10a;
/// The request was not looked at. Of the stream, not of the connection.
pub(super) const REQUEST_REJECTED: u32 = 0x10b;
/// The request's stream ended before its head.
pub(super) const REQUEST_INCOMPLETE: u16 = 0x10d;
/// Fields that can't be read.
pub(super) const DECOMPRESSION_FAILED: u16 = 0x200;

/// Why a client resets its streams when it closes the session.
const SESSION_GONE: u64 = 0x170d_7b68;

/// Whether a number is a code of HTTP/3 rather than one that a session is closed with.
pub(super) const fn is_http3(number: u16) -> bool {
    number <= DECOMPRESSION_FAILED
}

/// Whether a client that resets a stream so has closed the session.
pub(super) const fn is_session_gone(code: u64) -> bool {
    code == SESSION_GONE
}

/// The code of a QUIC connection that ends without its session having been closed.
pub(super) const fn on_connection(number: u16) -> u64 {
    if is_http3(number) {
        number as u64
    } else {
        error_to_http3(number as u32)
    }
}

/// The close code that a client has put into the code of the QUIC connection, if it has.
pub(super) fn of_connection(code: u64) -> Option<u16> {
    error_from_http3(code).and_then(|code| u16::try_from(code).ok())
}

/// The client has broken the rules of HTTP/3 or WebTransport.
pub(super) const fn violation(reason: &'static str, close: u16) -> LinkError {
    LinkError::Violation { reason, close }
}

/// The client has opened what only one of may be there.
pub(super) const fn another_stream() -> LinkError {
    violation(
        "a second stream of the session",
        CloseCode::ProtocolError.number(),
    )
}

/// Closes at once. What the client has not confirmed may be lost. HTTP/3 has the codes of a connection to itself.
pub(super) fn close(connection: &Connection, reason: CloseReason, is_webtransport: bool) {
    let number = reason.number();
    let code = match is_webtransport {
        true => on_connection(number),
        false => u64::from(number),
    };
    let code = VarInt::from_u64(code).unwrap_or(VarInt::MAX);
    connection.close(code, name(reason).as_bytes());
}

/// What a close is called, where the protocol has a name for it.
pub(super) fn name(reason: CloseReason) -> &'static str {
    let is_it = |code: &&CloseCode| code.number() == reason.number();
    let code = CloseCode::ALL.iter().find(is_it);
    code.map_or("", |code| code.name())
}

/// Why a connection is gone.
pub(super) fn explain(error: &ConnectionError, is_webtransport: bool) -> LinkError {
    LinkError::Io(match error {
        ConnectionError::ApplicationClosed(closed) => {
            let code = closed.error_code.into_inner();
            return LinkError::Closed(match is_webtransport {
                true => of_connection(code),
                false => u16::try_from(code).ok(),
            });
        }
        ConnectionError::LocallyClosed => return LinkError::Closed(None),
        ConnectionError::TimedOut => ErrorKind::TimedOut,
        ConnectionError::Reset | ConnectionError::ConnectionClosed(_) => ErrorKind::ConnectionReset,
        ConnectionError::TransportError(_) | ConnectionError::VersionMismatch => {
            ErrorKind::InvalidData
        }
        ConnectionError::CidsExhausted => ErrorKind::OutOfMemory,
    })
}
