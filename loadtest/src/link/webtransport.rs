//! A session of WebTransport on a QUIC connection: what a browser does before its page has the control stream, and what it hears beside
//! it. A connection carries one session.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use quinn::{Connection, RecvStream, SendStream};
use url::Url;
use web_transport_proto::http::{HeaderName, HeaderValue};
use web_transport_proto::{
    Capsule, ConnectError as Answer, ConnectRequest, ConnectResponse, Frame, Http3CapsuleReader,
    Setting, Settings, StreamUni, VarInt, error_from_http3,
};

use super::{ConnectError, HandshakeRefused};

/// The application protocol (ALPN).
pub(super) const ALPN: &[u8] = b"h3";

/// The code of a connection of HTTP/3 that ends without anything wrong.
pub(super) const NO_ERROR: quinn::VarInt = quinn::VarInt::from_u32(0x100);

/// What HTTP/3 has in each direction: its control stream, and two of QPACK.
pub(super) const UNIDIRECTIONAL_MAX: u32 = 3;

/// What Chromium says of QPACK: bytes of its table, and streams that may wait for it. Servers need not use it, and ours do not.
const QPACK: [(Setting, u32); 2] = [
    (Setting::QPACK_MAX_TABLE_CAPACITY, 64 * 1024),
    (Setting::QPACK_BLOCKED_STREAMS, 100),
];

/// A setting that means nothing. Browsers send one, so that servers bear those that are new to them.
const GREASE: u32 = 0x21 + 0x1f * 7;

/// A session whose control stream is open.
pub(super) struct Session {
    request: SendStream,
    /// Have to stay open as long as the connection.
    _critical: ([SendStream; 3], RecvStream),
    /// The session's number, as datagrams have it.
    quarter: u64,
    /// What the server ends the session with. It is asked only when something has happened there, however often the link is.
    farewell: FuturesUnordered<BoxFuture<'static, Option<u16>>>,
    /// The code that the server has ended the session with.
    code: Option<u16>,
}

impl Session {
    /// Makes a session, and opens the control stream in it.
    pub(super) async fn open(
        connection: &Connection,
        address: SocketAddr,
    ) -> Result<(Self, (SendStream, RecvStream)), ConnectError> {
        let (critical, settings) = tokio::try_join!(say(connection), hear(connection))?;
        let (mut request, mut answer) = connection.open_bi().await.map_err(io::Error::from)?;
        write(&mut request, &asking(address)).await?;
        let answered = ConnectResponse::read(&mut answer).await;
        answered.map_err(|answer| refused(connection, &answer))?;
        let number = quinn::VarInt::from(request.id()).into_inner();
        let (mut sender, receiver) = connection.open_bi().await.map_err(io::Error::from)?;
        write(&mut sender, &head(number)).await?;
        let session = Self {
            request,
            _critical: (critical, settings),
            // Requests come on every fourth stream.
            quarter: number / 4,
            farewell: FuturesUnordered::from_iter([Box::pin(farewell(answer)) as BoxFuture<'_, _>]),
            code: None,
        };
        Ok((session, (sender, receiver)))
    }

    /// What a datagram of this session holds; none where it belongs to another one.
    pub(super) fn own(&self, mut datagram: Bytes) -> Option<Bytes> {
        let number = VarInt::decode(&mut datagram).ok()?;
        (number.into_inner() == self.quarter).then_some(datagram)
    }

    /// Until the server has ended the session.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.farewell.poll_next_unpin(cx) {
            Poll::Ready(Some(code)) => {
                self.code = code;
                Poll::Ready(())
            }
            // It was told before.
            Poll::Ready(None) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The code that the server has ended the session with.
    pub(super) const fn code(&self) -> Option<u16> {
        self.code
    }

    /// Ends the session with this code, as a page does that closes it, and waits until the server has left.
    pub(super) async fn end(&mut self, connection: &Connection, code: u16) {
        let mut capsule = Vec::new();
        let goodbye = Capsule::CloseWebTransportSession {
            code: u32::from(code),
            reason: String::new(),
        };
        goodbye.encode(&mut capsule);
        let mut frame = Vec::new();
        Frame::DATA.encode(&mut frame);
        VarInt::from(u8::try_from(capsule.len()).expect("it has no reason")).encode(&mut frame);
        frame.put_slice(&capsule);
        if self.request.write_all(&frame).await.is_ok() && self.request.finish().is_ok() {
            connection.closed().await;
        }
    }
}

/// The close code in the code of a connection whose session was not ended before.
pub(super) fn of_connection(code: u64) -> Option<u16> {
    error_from_http3(code).and_then(|code| u16::try_from(code).ok())
}

/// Opens the streams that HTTP/3 has, with all that browsers send on them.
async fn say(connection: &Connection) -> Result<[SendStream; 3], ConnectError> {
    let mut settings = Settings::default();
    settings.enable_webtransport(1);
    for (name, value) in QPACK {
        settings.insert(name, VarInt::from_u32(value));
    }
    let grease = VarInt::from_u32(fastrand::u32(..));
    settings.insert(Setting(VarInt::from_u32(GREASE)), grease);
    let mut control = Vec::new();
    settings.encode(&mut control);
    let kind_alone = |kind: StreamUni| {
        let mut bytes = Vec::new();
        kind.encode(&mut bytes);
        bytes
    };
    Ok([
        open_uni(connection, &control).await?,
        open_uni(connection, &kind_alone(StreamUni::QPACK_ENCODER)).await?,
        open_uni(connection, &kind_alone(StreamUni::QPACK_DECODER)).await?,
    ])
}

/// Waits for the server's settings, without which a browser sends no request. Gives the stream that they came on.
async fn hear(connection: &Connection) -> Result<RecvStream, ConnectError> {
    let mut stream = connection.accept_uni().await.map_err(io::Error::from)?;
    match Settings::read(&mut stream).await {
        Ok(settings) if settings.supports_webtransport() > 0 => Ok(stream),
        Ok(_) => Err(HandshakeRefused("settings without WebTransport".to_owned()).into()),
        Err(error) => Err(lost(connection).unwrap_or_else(|| malformed(&error.to_string()))),
    }
}

/// The request of a page that the server's own host has served.
fn asking(address: SocketAddr) -> Vec<u8> {
    let url = Url::parse(&format!("https://{address}")).expect("an address is a host");
    let origin = url.origin().ascii_serialization();
    let origin = HeaderValue::from_str(&origin).expect("it is plain text");
    let mut bytes = Vec::new();
    ConnectRequest::new(url)
        .with_header(HeaderName::from_static("origin"), origin)
        .encode(&mut bytes)
        .expect("it has few short fields");
    bytes
}

/// What stands before everything on a stream of this session.
fn head(session: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::WEBTRANSPORT.encode(&mut bytes);
    let session = VarInt::try_from(session).expect("it was an integer of QUIC");
    session.encode(&mut bytes);
    bytes
}

/// Reads the request's stream for as long as the session lasts. However that stream ends, the session ends with it.
async fn farewell(answer: RecvStream) -> Option<u16> {
    let mut capsules = Http3CapsuleReader::new(answer);
    while let Ok(Some(capsule)) = capsules.read().await {
        if let Capsule::CloseWebTransportSession { code, .. } = capsule {
            return u16::try_from(code).ok();
        }
    }
    None
}

async fn open_uni(connection: &Connection, bytes: &[u8]) -> Result<SendStream, ConnectError> {
    let mut stream = connection.open_uni().await.map_err(io::Error::from)?;
    write(&mut stream, bytes).await?;
    Ok(stream)
}

async fn write(stream: &mut SendStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await.map_err(io::Error::from)
}

/// Why there is no session, by the answer to the request.
fn refused(connection: &Connection, answer: &Answer) -> ConnectError {
    match answer {
        Answer::WrongStatus(Some(status)) => HandshakeRefused(status.to_string()).into(),
        other => lost(connection).unwrap_or_else(|| malformed(&other.to_string())),
    }
}

/// Why the connection is gone, if it is.
fn lost(connection: &Connection) -> Option<ConnectError> {
    let reason = connection.close_reason()?;
    Some(io::Error::from(reason).into())
}

fn malformed(what: &str) -> ConnectError {
    io::Error::new(io::ErrorKind::InvalidData, what).into()
}

#[cfg(test)]
mod tests;
