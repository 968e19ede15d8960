//! The request that a session begins with: read, decoded, and checked by the rules that a WebSocket's is checked by.

use bytes::BytesMut;
use http::{StatusCode, header};
use pitturu_metrics::labels::HandshakeRefusal;
use quinn::{RecvStream, SendStream};
use web_transport_proto::{ConnectError, ConnectRequest, Frame};

use super::source::{exactly, head, skip};
use super::{Refused, put_frame};
use crate::connections::link::LinkError;
use crate::transport::handshake::{HEAD_BYTES_MAX, Origins, Refusal, check_origin, check_path};
use crate::transport::quic::closing::{self, violation};

/// Bytes before the request's head that are skipped.
const SKIPPABLE: u64 = 4 * 1024;

/// How later drafts name the protocol.
const LATER_PROTOCOL: &str = "webtransport-h3";

/// The field `:protocol: webtransport`, as one that is in no table. The library reads the last of two.
const PROTOCOL: &[u8] = b"\x27\x02:protocol\x0cwebtransport";

/// Frames of HTTP/3 that a request does not begin with: DATA, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID.
const MISPLACED: [u64; 6] = [0x0, 0x3, 0x4, 0x5, 0x7, 0xd];

/// A request, and the stream that it came on.
pub(super) struct Asked {
    pub(super) sender: SendStream,
    pub(super) receiver: RecvStream,
    pub(super) verdict: Result<ConnectRequest, Refusal>,
}

/// Reads the head of a request.
pub(super) async fn read(sender: SendStream, mut receiver: RecvStream) -> Result<Asked, Refused> {
    let verdict = read_head(&mut receiver).await?;
    Ok(Asked {
        sender,
        receiver,
        verdict,
    })
}

async fn read_head(
    receiver: &mut RecvStream,
) -> Result<Result<ConnectRequest, Refusal>, LinkError> {
    let mut skippable = SKIPPABLE;
    loop {
        let next = head(receiver).await;
        let next = next.map_err(|broken| broken.or(closing::REQUEST_INCOMPLETE))?;
        let Some((kind, length)) = next else {
            return Err(violation("an empty request", closing::REQUEST_INCOMPLETE));
        };
        if kind == u64::from(Frame::HEADERS.0) {
            if length > HEAD_BYTES_MAX as u64 {
                return Ok(Err(Refusal::head_too_large()));
            }
            let fields = exactly(receiver, length, HEAD_BYTES_MAX).await;
            return decode(fields.map_err(|broken| broken.or(closing::REQUEST_INCOMPLETE))?);
        }
        if kind == u64::from(Frame::WEBTRANSPORT.0) {
            return Err(violation("a stream before its session", closing::ID_ERROR));
        }
        if MISPLACED.contains(&kind) {
            return Err(violation(
                "a frame before the head",
                closing::FRAME_UNEXPECTED,
            ));
        }
        let skipped = skip(receiver, length, &mut skippable).await;
        skipped.map_err(|broken| broken.or(closing::REQUEST_INCOMPLETE))?;
    }
}

fn decode(mut fields: Vec<u8>) -> Result<Result<ConnectRequest, Refusal>, LinkError> {
    let parse = |fields: &[u8]| {
        let mut frame = BytesMut::new();
        put_frame(&mut frame, Frame::HEADERS, fields);
        ConnectRequest::decode(&mut frame)
    };
    let parsed = match parse(&fields) {
        Err(ConnectError::WrongProtocol(Some(name))) if name == LATER_PROTOCOL => {
            fields.extend_from_slice(PROTOCOL);
            parse(&fields)
        }
        parsed => parsed,
    };
    match parsed {
        Ok(request) => Ok(Ok(request)),
        Err(ConnectError::QpackError(_)) => Err(violation(
            "fields that can't be read",
            closing::DECOMPRESSION_FAILED,
        )),
        Err(error) => Ok(Err(refusal(&error))),
    }
}

fn refusal(error: &ConnectError) -> Refusal {
    match error {
        ConnectError::WrongMethod(_) => Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            HandshakeRefusal::Method,
            "this is a PittuRu server: connect by WebTransport",
        ),
        ConnectError::WrongProtocol(_) => Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            HandshakeRefusal::Protocol,
            "the :protocol of a CONNECT must be webtransport",
        ),
        ConnectError::FieldSectionTooLarge => Refusal::head_too_large(),
        other => Refusal::new(
            StatusCode::BAD_REQUEST,
            HandshakeRefusal::Malformed,
            format!("not a request for WebTransport: {other}"),
        ),
    }
}

/// Whether the request may have a session.
pub(super) fn check(request: &ConnectRequest, origins: &Origins) -> Result<(), Refusal> {
    check_path(request.url.path())?;
    let host = request.url.host_str().map(|host| match request.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    });
    let origin = request.headers.get(header::ORIGIN);
    check_origin(origin, host.as_deref(), origins)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// A request whose fields are literals.
    fn request(fields: &[(&str, &str)]) -> Result<ConnectRequest, u16> {
        let mut bytes = vec![0, 0];
        for (name, value) in fields {
            // Three bits of the length, and the rest in a byte.
            bytes.push(0x20 | u8::try_from(name.len().min(7)).unwrap());
            if name.len() >= 7 {
                bytes.push(u8::try_from(name.len() - 7).unwrap());
            }
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(u8::try_from(value.len()).unwrap());
            bytes.extend_from_slice(value.as_bytes());
        }
        decode(bytes)
            .unwrap()
            .map_err(|refusal| refusal.status.as_u16())
    }

    fn asking(authority: &str, protocol: &str) -> Result<ConnectRequest, u16> {
        request(&[
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "https"),
            (":path", "/"),
            (":authority", authority),
        ])
    }

    #[test]
    fn both_names_of_the_protocol_are_taken() {
        for name in ["webtransport", LATER_PROTOCOL] {
            assert_eq!(asking("chat.example", name).unwrap().url.path(), "/");
        }
        for name in ["", "websocket", "webtransport-h2", "webtransport-h3x"] {
            assert_eq!(asking("chat.example", name).err(), Some(501), "{name}");
        }
    }

    #[test]
    fn a_page_of_the_same_host_may_connect() {
        for (authority, origin, allowed) in [
            ("chat.example:7350", "https://chat.example:7350", true),
            ("Chat.example:7350", "https://CHAT.example:7350", true),
            ("chat.example", "https://chat.example", true),
            ("chat.example:443", "https://chat.example", true),
            ("chat.example:7350", "https://chat.example", false),
            ("chat.example:7350", "https://other.example:7350", false),
            ("chat.example", "null", false),
            ("[::1]:7350", "https://[::1]:7350", true),
        ] {
            let mut asked = asking(authority, "webtransport").unwrap();
            let origin = HeaderValue::from_static(origin);
            asked.headers.insert(header::ORIGIN, origin.clone());
            let verdict = check(&asked, &Origins::SameHost);
            assert_eq!(verdict.is_ok(), allowed, "{authority} {origin:?}");
            assert!(check(&asked, &Origins::Any).is_ok());
        }
        let program = asking("chat.example", "webtransport").unwrap();
        assert!(
            check(&program, &Origins::SameHost).is_ok(),
            "it sends no origin"
        );
    }

    #[test]
    fn what_lacks_a_field_is_refused() {
        for missing in 0..4 {
            let mut fields = vec![
                (":method", "CONNECT"),
                (":scheme", "https"),
                (":path", "/"),
                (":authority", "chat.example"),
                (":protocol", "webtransport"),
            ];
            fields.remove(missing);
            assert!(
                matches!(request(&fields).err(), Some(400 | 405)),
                "{missing}"
            );
        }
        let bad = [
            (":method", "CONNECT"),
            (":scheme", "https"),
            (":path", "/"),
            (":authority", "exa mple"),
            (":protocol", "webtransport"),
        ];
        assert_eq!(request(&bad).err(), Some(400));
    }
}
