//! The server's transport with an echo behind it instead of the protocol.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pitturu_server::connections::link::{CloseReason, Link, LinkError, Peer, Received};
use pitturu_server::io_threads::IoThreads;
use pitturu_server::transport::connection_limiter::ConnectionLimiter;
use pitturu_server::transport::handshake::Origins;
use pitturu_server::transport::listener::{AcceptContext, bind, serve};
use pitturu_server::transport::ws::WebSocketLink;
use tokio::sync::watch;

/// Bounds of an echo server.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) connections_max: usize,
    pub(crate) per_address_max: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) origins: Origins,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            per_address_max: 10_000,
            handshake_timeout: Duration::from_secs(20),
            origins: Origins::Any,
        }
    }
}

/// One echo server for all tests that only need it to answer.
pub(crate) fn shared() -> SocketAddr {
    static SHARED: OnceLock<SocketAddr> = OnceLock::new();
    *SHARED.get_or_init(|| start(Bounds::default()))
}

/// An echo server that lives as long as the test process.
pub(crate) fn start(bounds: Bounds) -> SocketAddr {
    let (address_out, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            address_out.send(listener.local_addr().unwrap()).unwrap();
            let connections =
                ConnectionLimiter::new(bounds.connections_max, bounds.per_address_max);
            let (io_threads, _threads) = IoThreads::start(1).unwrap();
            let (origins, timeout) = (bounds.origins, bounds.handshake_timeout);
            let context = AcceptContext::new(connections, io_threads, origins, timeout);
            let (_never, stop) = watch::channel(false);
            serve(listener, None, Arc::new(context), echo, stop).await;
        });
    });
    address.recv().unwrap()
}

async fn echo(mut link: WebSocketLink, _: Peer) {
    let error = loop {
        match poll_fn(|cx| link.poll_receive(cx)).await {
            Ok(Received::Datagram(_)) => unreachable!("a WebSocket has none"),
            Ok(Received::Message(message)) => {
                poll_fn(|cx| link.poll_ready(cx)).await.ok();
                if let Err(error) = link.send(message) {
                    break error;
                }
                if let Err(error) = poll_fn(|cx| link.poll_flush(cx)).await {
                    break error;
                }
            }
            Err(error) => break error,
        }
    };
    let LinkError::Violation { close, .. } = error else {
        return;
    };
    let reason = CloseReason::Transport(close);
    let goodbye = poll_fn(|cx| link.poll_close(cx, reason));
    tokio::time::timeout(Duration::from_secs(5), goodbye)
        .await
        .ok();
}
