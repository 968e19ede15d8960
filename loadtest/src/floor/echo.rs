//! The bare echo server.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use futures_util::{FutureExt, SinkExt, StreamExt};
use pitturu_protocol::SUBPROTOCOL;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Bytes of each connection's read buffer; the least that costs no throughput with small messages.
const READ_BUFFER_BYTES: usize = 1024;

pub(super) fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    threads: usize,
) -> io::Result<()> {
    let tls = tls.map(TlsAcceptor::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let tls = tls.clone();
            tokio::spawn(async move {
                // A connection that breaks off concerns nobody else.
                match tls {
                    None => drop(echo(stream).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            drop(echo(stream).await);
                        }
                    }
                }
            });
        }
    })
}

async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Error> {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    // The shape of the callback is the library's.
    #[allow(clippy::result_large_err)]
    let subprotocol = |_: &Request, mut response: Response| {
        let name = HeaderValue::from_static(SUBPROTOCOL);
        response
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", name);
        Ok(response)
    };
    let mut socket = accept_hdr_async_with_config(stream, subprotocol, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_binary() {
            socket.feed(message).await?;
        }
        // What has come together goes back together.
        while let Some(Some(message)) = socket.next().now_or_never() {
            let message = message?;
            if message.is_binary() {
                socket.feed(message).await?;
            }
        }
        socket.flush().await?;
    }
    Ok(())
}
