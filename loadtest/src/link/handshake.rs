//! The WebSocket handshake of a client.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pitturu_protocol::SUBPROTOCOL;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::stream::Stream;
use super::{ConnectError, HandshakeRefused};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4096;

/// Upgrades the stream; returns what came after the answer.
pub(super) async fn upgrade(
    stream: &mut Stream,
    address: SocketAddr,
) -> Result<Vec<u8>, ConnectError> {
    let nonce: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    let key = STANDARD.encode(nonce);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(512);
    let end = loop {
        if let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(HandshakeRefused(first_line(&answer)).into());
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    };
    let after = answer.split_off(end);
    let head = String::from_utf8_lossy(&answer);
    if head.starts_with("HTTP/1.1 101 ") && head.contains(&derive_accept_key(key.as_bytes())) {
        Ok(after)
    } else {
        Err(HandshakeRefused(first_line(&answer)).into())
    }
}

fn first_line(answer: &[u8]) -> String {
    let line = answer
        .split(|&byte| byte == b'\r')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}
