//! From a fresh socket to a WebSocket: reads the HTTP request, checks it, and answers with an upgrade or a refusal
//! that says what to do.

use std::future::ready;
use std::io;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use pitturu_metrics::labels::HandshakeRefusal;
use pitturu_protocol::SUBPROTOCOL;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::{debug, info};
use tungstenite::Error;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};

use crate::log_lines::ORIGINS_REFUSED;
use crate::transport::proxies::proxy_protocol::HeaderError;
use crate::transport::socket::Socket;
use crate::transport::ws::WebSocketLink;

/// Longest request head in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;

/// First allocation for a request head; browsers send about this much.
const HEAD_BYTES_USUAL: usize = 1024;

/// Bytes of a refused request that are read away, so that the refusal reaches its reader.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

/// Time for a refusal to reach a client that has no place.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

const HEAD_END: &[u8] = b"\r\n\r\n";

/// Which web pages may connect. Programs that send no `Origin` always may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every page.
    Any,
    /// Pages of the host that the client connected to.
    SameHost,
    /// These, as `scheme://host[:port]` in lower case.
    Listed(Vec<String>),
}

/// An HTTP answer other than the upgrade.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// What is wrong and what to do.
    pub text: String,
    /// Label in metrics.
    pub label: HandshakeRefusal,
    /// Seconds after which to try again.
    pub retry_after_s: Option<u32>,
}

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// A proxy in front did not say whom it brings, as it has to.
    #[error("{0}")]
    Proxy(HeaderError),
    /// The request was answered with a refusal.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The socket broke or closed.
    #[error("socket error: {0}")]
    Io(#[from] io::Error),
}

impl Refusal {
    /// The request is wrong.
    pub(super) fn new(
        status: StatusCode,
        label: HandshakeRefusal,
        text: impl Into<String>,
    ) -> Self {
        Self {
            status,
            text: text.into(),
            label,
            retry_after_s: None,
        }
    }

    /// The server has no place for the connection.
    pub fn full(status: StatusCode, label: HandshakeRefusal, text: impl Into<String>) -> Self {
        Self {
            retry_after_s: Some(5),
            ..Self::new(status, label, text)
        }
    }

    /// The request did not come in time.
    pub fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            HandshakeRefusal::Timeout,
            "the handshake took too long",
        )
    }

    fn upgrade_required() -> Self {
        Self::new(
            StatusCode::UPGRADE_REQUIRED,
            HandshakeRefusal::NotWebSocket,
            format!(
                "this is a PittuRu server: connect by WebSocket with subprotocol {SUBPROTOCOL}"
            ),
        )
    }

    fn of(error: &Error) -> Self {
        let bad =
            |text: String| Self::new(StatusCode::BAD_REQUEST, HandshakeRefusal::Malformed, text);
        match error {
            Error::Protocol(ProtocolError::WrongHttpMethod) => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                HandshakeRefusal::Method,
                "a WebSocket begins with GET",
            ),
            Error::Protocol(
                ProtocolError::MissingConnectionUpgradeHeader
                | ProtocolError::MissingUpgradeWebSocketHeader,
            ) => Self::upgrade_required(),
            Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => Self::new(
                StatusCode::UPGRADE_REQUIRED,
                HandshakeRefusal::Version,
                "the header Sec-WebSocket-Version must be 13",
            ),
            Error::Capacity(_) => Self::head_too_large(),
            other => bad(format!("not a WebSocket handshake: {other}")),
        }
    }

    /// The head of the request is longer than [`HEAD_BYTES_MAX`].
    pub(super) fn head_too_large() -> Self {
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            HandshakeRefusal::HeadTooLarge,
            format!("a request head is at most {HEAD_BYTES_MAX} bytes"),
        )
    }

    fn encode(&self) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n",
            self.status.as_u16(),
            self.status.canonical_reason().unwrap_or("Refused"),
            self.text.len() + 1,
        );
        if self.status == StatusCode::UPGRADE_REQUIRED {
            head.push_str("upgrade: websocket\r\nsec-websocket-version: 13\r\n");
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            head.push_str("allow: GET\r\n");
        }
        if let Some(seconds) = self.retry_after_s {
            head.push_str(&format!("retry-after: {seconds}\r\n"));
        }
        head.push_str("\r\n");
        head.push_str(&self.text);
        head.push('\n');
        head.into_bytes()
    }
}

impl From<HeaderError> for HandshakeError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Io(error) => Self::Io(error),
            malformed @ HeaderError::Malformed(_) => Self::Proxy(malformed),
        }
    }
}

/// A client that has no place.
#[derive(Debug)]
pub struct Unadmitted {
    /// Why, and what to do.
    pub refusal: Refusal,
    /// The place among those that are being told so. None: too many are, and the connection is closed without an answer.
    pub told: Option<OwnedSemaphorePermit>,
}

impl Unadmitted {
    /// Tells it over this socket, if it is to be told.
    pub async fn tell(self, socket: impl Future<Output = io::Result<Socket>>) -> HandshakeError {
        if self.told.is_some() {
            let telling = async { refuse(socket.await?, &self.refusal).await };
            if let Ok(Err(error)) = timeout(REFUSAL_TIMEOUT, telling).await {
                debug!(%error, "refusal did not arrive");
            }
        }
        HandshakeError::Refused(self.refusal)
    }
}

/// Reads the request, answers it, and returns the link, and what `admit` made of the request's headers before anything else was
/// looked at. The caller bounds the time.
pub async fn upgrade<T>(
    mut socket: Socket,
    origins: &Origins,
    admit: impl FnOnce(&HeaderMap) -> Result<T, Unadmitted>,
) -> Result<(WebSocketLink, T), HandshakeError> {
    let (request, early) = match read_request(&mut socket).await? {
        Ok(read) => read,
        Err(refusal) => return Err(refused(socket, refusal).await?),
    };
    let admitted = match admit(request.headers()) {
        Ok(admitted) => admitted,
        Err(unadmitted) => return Err(unadmitted.tell(ready(Ok(socket))).await),
    };
    match accept(&request, origins) {
        Ok(response) => {
            socket.write_all(&response).await?;
            socket.flush().await?;
            Ok((WebSocketLink::new(socket, early), admitted))
        }
        Err(refusal) => Err(refused(socket, refusal).await?),
    }
}

async fn refused(socket: Socket, refusal: Refusal) -> io::Result<HandshakeError> {
    refuse(socket, &refusal).await?;
    Ok(HandshakeError::Refused(refusal))
}

/// Answers with `refusal` whatever the client asks, and closes. The caller bounds the time.
pub async fn refuse(mut socket: Socket, refusal: &Refusal) -> io::Result<()> {
    socket.write_all(&refusal.encode()).await?;
    socket.flush().await?;
    socket.shutdown().await?;
    let mut scratch = [0; 1024];
    let mut left = DISCARDED_BYTES_MAX;
    loop {
        let count = socket.read(&mut scratch).await?;
        left = left.saturating_sub(count);
        if count == 0 || left == 0 {
            return Ok(());
        }
    }
}

/// The request and what came after it.
async fn read_request(socket: &mut Socket) -> io::Result<Result<(Request, Vec<u8>), Refusal>> {
    let mut head = Vec::with_capacity(HEAD_BYTES_USUAL);
    loop {
        let searched = head.len().saturating_sub(HEAD_END.len() - 1);
        if socket.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let complete = head[searched..]
            .windows(HEAD_END.len())
            .any(|window| window == HEAD_END);
        // Nonsense shows in its first bytes; a slow head is parsed once, when it is complete.
        if complete || searched == 0 {
            match Request::try_parse(&head) {
                Ok(Some((length, request))) => {
                    return Ok(Ok((request, head.split_off(length))));
                }
                Ok(None) => {}
                Err(error) => return Ok(Err(Refusal::of(&error))),
            }
        }
        if head.len() >= HEAD_BYTES_MAX {
            return Ok(Err(Refusal::head_too_large()));
        }
    }
}

/// The bytes of the upgrade, if the request deserves it.
fn accept(request: &Request, origins: &Origins) -> Result<Vec<u8>, Refusal> {
    let mut response = create_response(request).map_err(|error| Refusal::of(&error))?;
    check_path(request.uri().path())?;
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    check_origin(request.headers().get(header::ORIGIN), host, origins)?;
    if !offers_subprotocol(request.headers()) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            HandshakeRefusal::Subprotocol,
            format!("the header Sec-WebSocket-Protocol must offer {SUBPROTOCOL}"),
        ));
    }
    response.headers_mut().insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    let mut bytes = Vec::with_capacity(256);
    write_response(&mut bytes, &response).map_err(|error| Refusal::of(&error))?;
    Ok(bytes)
}

/// Whether there is something at this path.
pub(super) fn check_path(path: &str) -> Result<(), Refusal> {
    match path {
        "/" | "/ws" => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            HandshakeRefusal::Path,
            "connect to the path / or /ws",
        )),
    }
}

/// Whether a page of this origin may connect to this host.
pub(super) fn check_origin(
    origin: Option<&HeaderValue>,
    host: Option<&str>,
    origins: &Origins,
) -> Result<(), Refusal> {
    let Some(origin) = origin else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
    let allowed = match origins {
        Origins::Any => true,
        Origins::Listed(listed) => listed.contains(&origin),
        Origins::SameHost => host.is_some_and(|host| {
            let origin_host = origin.split_once("://").map(|(_, host)| host);
            origin_host == Some(host.to_ascii_lowercase().as_str())
        }),
    };
    if allowed {
        return Ok(());
    }
    if ORIGINS_REFUSED.admit() {
        info!(
            origin,
            host, "a page of this origin may not connect: listen.origins says which may"
        );
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        HandshakeRefusal::Origin,
        "pages of this origin may not connect: the operator lists them in listen.origins",
    ))
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offer| offer.trim() == SUBPROTOCOL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(extra: &str) -> Request {
        let text = format!(
            "GET / HTTP/1.1\r\nHost: Chat.example:7350\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
        );
        Request::try_parse(text.as_bytes()).unwrap().unwrap().1
    }

    fn verdict(extra: &str, origins: &Origins) -> Result<String, u16> {
        accept(&request(extra), origins)
            .map(|bytes| String::from_utf8(bytes).unwrap().to_lowercase())
            .map_err(|refusal| refusal.status.as_u16())
    }

    const OFFER: &str = "Sec-WebSocket-Protocol: chat, pitturu.v1\r\n";

    #[test]
    fn the_sample_of_the_rfc_is_accepted() {
        let response = accept(&request(OFFER), &Origins::SameHost).unwrap();
        let response = String::from_utf8(response).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        assert!(
            response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "{response}"
        );
        assert!(
            response
                .to_lowercase()
                .contains("sec-websocket-protocol: pitturu.v1\r\n"),
            "{response}"
        );
        assert!(
            !response.to_lowercase().contains("extensions"),
            "{response}"
        );
    }

    #[test]
    fn the_subprotocol_is_required() {
        assert_eq!(verdict("", &Origins::Any), Err(400));
        assert_eq!(
            verdict("Sec-WebSocket-Protocol: pitturu.v11\r\n", &Origins::Any),
            Err(400)
        );
        assert!(
            verdict(
                "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: pitturu.v1\r\n",
                &Origins::Any
            )
            .is_ok()
        );
    }

    #[test]
    fn origins_are_checked() {
        let listed = Origins::Listed(vec!["https://game.example".to_owned()]);
        for (origin, origins, allowed) in [
            ("https://game.example", &listed, true),
            ("https://GAME.example", &listed, true),
            ("https://game.example.evil", &listed, false),
            ("null", &listed, false),
            ("http://chat.example:7350", &Origins::SameHost, true),
            ("http://chat.example", &Origins::SameHost, false),
            ("http://other.example:7350", &Origins::SameHost, false),
            ("null", &Origins::SameHost, false),
            ("https://anything", &Origins::Any, true),
        ] {
            let extra = format!("Origin: {origin}\r\n{OFFER}");
            assert_eq!(
                verdict(&extra, origins).is_ok(),
                allowed,
                "{origin} {origins:?}"
            );
        }
        assert!(verdict(OFFER, &listed).is_ok(), "programs send no origin");
    }

    #[test]
    fn refusals_are_whole_http_responses() {
        let refusal = Refusal::full(
            StatusCode::TOO_MANY_REQUESTS,
            HandshakeRefusal::Full,
            "too many",
        );
        let text = String::from_utf8(refusal.encode()).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 429 Too Many Requests\r\ncontent-type: text/plain; charset=utf-8\r\n\
             content-length: 9\r\nconnection: close\r\nretry-after: 5\r\n\r\ntoo many\n"
        );
        let text = String::from_utf8(Refusal::upgrade_required().encode()).unwrap();
        assert!(text.contains("426 Upgrade Required"), "{text}");
        assert!(text.contains("sec-websocket-version: 13"), "{text}");
    }
}
