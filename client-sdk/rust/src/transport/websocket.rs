//! WebSocket over TCP or TLS.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use http::{HeaderValue, Uri};
use pitturu_protocol::SUBPROTOCOL;
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::{CLOSE_WITHIN, Incoming, Server, UNSENT_BYTES_MAX};

/// Bytes that the socket reads at once.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Makes connections to one server.
#[derive(Clone)]
pub(crate) struct Connector {
    server: Server,
    uri: Uri,
    tls: Arc<ClientConfig>,
}

impl Connector {
    pub(crate) fn new(server: Server, uri: Uri, tls: ClientConfig) -> Self {
        Self {
            server,
            uri,
            tls: Arc::new(tls),
        }
    }

    /// Opens a socket.
    pub(crate) async fn connect(self) -> Result<Socket, String> {
        let stream = TcpStream::connect((self.server.host.as_str(), self.server.port))
            .await
            .map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let mut request = self
            .uri
            .into_client_request()
            .map_err(|error| error.to_string())?;
        request.headers_mut().insert(
            http::header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let connector = tokio_tungstenite::Connector::Rustls(self.tls);
        let connecting =
            client_async_tls_with_config(request, stream, Some(config), Some(connector));
        let (socket, _) = Box::pin(connecting)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Socket {
            socket,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            unflushed: false,
        })
    }
}

/// An open socket.
pub(crate) struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    unsent: VecDeque<Vec<u8>>,
    unsent_bytes: usize,
    unflushed: bool,
}

impl Socket {
    /// Sends a message once [`Self::next`] is awaited.
    pub(crate) fn send(&mut self, message: Vec<u8>) {
        self.unsent_bytes += message.len();
        self.unsent.push_back(message);
    }

    /// Writes what is to be sent, and waits for what comes. May be dropped at any point and called again.
    pub(crate) async fn next(&mut self) -> Incoming {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(closed(&error));
        }
        loop {
            if self.unsent_bytes > UNSENT_BYTES_MAX {
                return Poll::Pending;
            }
            let incoming = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(message))) => Incoming::Message(message),
                Some(Ok(Message::Text(_))) => Incoming::Closed {
                    code: None,
                    why: "the server sent text".into(),
                },
                Some(Ok(Message::Close(Some(frame)))) => Incoming::Closed {
                    code: Some(frame.code.into()),
                    why: frame.reason.to_string(),
                },
                Some(Ok(Message::Close(None))) | None => Incoming::Closed {
                    code: None,
                    why: "the server closed the connection".into(),
                },
                Some(Err(error)) => closed(&error),
                Some(Ok(_)) => continue,
            };
            return Poll::Ready(incoming);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.unsent.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            if let Some(message) = self.unsent.pop_front() {
                self.unsent_bytes -= message.len();
                self.unflushed = true;
                Pin::new(&mut self.socket).start_send(Message::Binary(message.into()))?;
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Says goodbye, or answers the other side's, and waits a little for the other side to do the same.
    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        let goodbye = async {
            // What can not be written any more is no reason to leave without a word.
            drop(std::future::poll_fn(|cx| self.poll_write(cx)).await);
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Incoming::Message(_) = self.next().await {}
            }
        };
        if tokio::time::timeout(CLOSE_WITHIN, goodbye).await.is_err() {
            tracing::debug!("the server did not answer the close");
        }
    }
}

fn closed(error: &Error) -> Incoming {
    Incoming::Closed {
        code: None,
        why: error.to_string(),
    }
}
