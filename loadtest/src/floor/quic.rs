//! The same over QUIC: quinn with the windows and buffers that the server has by default, and nothing else.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::ALPN;
use pitturu_protocol::framing::{MessageReader, length};
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use tokio::runtime::{Builder, Runtime};

use super::states::{States, StatesOrder};
use super::{Floor, announce, discard, secure};

mod fan_out;

/// Bytes that the kernel keeps for each direction of the socket, or as many as it allows.
const KERNEL_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of one connection that may be under way, in each direction.
const WINDOW_BYTES: u32 = 64 * 1024;

/// Bytes of datagrams of one connection that may wait to be read, and to be sent.
const DATAGRAM_BYTES: (usize, usize) = (16 * 1024, 8 * 1024);

pub(super) fn serve(floor: Floor, listen: SocketAddr, threads: usize) -> io::Result<()> {
    let one_thread = || Builder::new_current_thread().enable_all().build();
    match floor {
        Floor::Echo => {
            let mut runtime = Builder::new_multi_thread();
            runtime.worker_threads(threads.max(1));
            serve_each(&runtime.enable_all().build()?, listen, echo)
        }
        Floor::FanOut => fan_out::serve(&one_thread()?, listen),
        Floor::States => serve_each(&one_thread()?, listen, send_states),
        Floor::Discard => discard::serve(listen),
    }
}

/// An endpoint that listens; its tasks run where this is called.
fn endpoint(listen: SocketAddr) -> io::Result<Endpoint> {
    let tls = secure::config(&[&rustls::version::TLS13], ALPN)?;
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        // Nobody pings here, and nobody is to be forgotten for that.
        .max_idle_timeout(None)
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(u64::from(WINDOW_BYTES))
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES.0))
        .datagram_send_buffer_size(DATAGRAM_BYTES.1)
        .enable_segmentation_offload(false);
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    let socket = UdpSocket::bind(listen)?;
    let held = socket2::SockRef::from(&socket);
    // The kernel keeps its own size where it does not allow this one.
    drop(held.set_recv_buffer_size(KERNEL_BYTES));
    drop(held.set_send_buffer_size(KERNEL_BYTES));
    announce(socket.local_addr()?)?;
    let runtime = Arc::new(TokioRuntime);
    Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)
}

/// Does this with each connection and its stream.
fn serve_each<F, S>(runtime: &Runtime, listen: SocketAddr, serve: F) -> io::Result<()>
where
    F: Fn(Connection, SendStream, Messages) -> S + Copy + Send + 'static,
    S: Future<Output = ()> + Send,
{
    runtime.block_on(async {
        let endpoint = endpoint(listen)?;
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                // A connection that breaks off concerns nobody else.
                if let Ok(connection) = incoming.await
                    && let Ok((sender, receiver)) = connection.accept_bi().await
                {
                    serve(connection, sender, Messages::of(receiver)).await;
                }
            });
        }
        Ok(())
    })
}

async fn echo(_connection: Connection, mut sender: SendStream, mut messages: Messages) {
    while let Some(message) = messages.next().await {
        let mut out = vec![with_length(&message)];
        // What has come together goes back together.
        out.extend(messages.come().map(|message| with_length(&message)));
        if sender.write_all_chunks(&mut out).await.is_err() {
            return;
        }
    }
}

async fn send_states(connection: Connection, mut sender: SendStream, mut messages: Messages) {
    let order = messages.next().await;
    let Some(Ok(order)) = order.map(|order| StatesOrder::decode(&order)) else {
        return;
    };
    let mut states = States::of(order);
    while connection.close_reason().is_none() {
        let state = states.next().await;
        let is_sent = if order.datagrams {
            connection.send_datagram(state.into()).is_ok()
        } else {
            sender.write_chunk(with_length(&state)).await.is_ok()
        };
        if !is_sent {
            return;
        }
    }
}

/// A message behind its length.
fn with_length(message: &[u8]) -> Bytes {
    [&length(message.len()), message].concat().into()
}

/// The messages of a stream, until it ends or says what is none.
struct Messages {
    receiver: RecvStream,
    reader: MessageReader,
    unread: Bytes,
}

impl Messages {
    fn of(receiver: RecvStream) -> Self {
        Self {
            receiver,
            reader: MessageReader::default(),
            unread: Bytes::new(),
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(message) = self.reader.read(&mut self.unread).ok()? {
                return Some(message);
            }
            let chunk = self.receiver.read_chunk(MESSAGE_BYTES_MAX, true).await;
            self.unread = chunk.ok()??.bytes;
        }
    }

    /// Those of the last piece that have come whole.
    fn come(&mut self) -> impl Iterator<Item = Bytes> + '_ {
        std::iter::from_fn(|| self.reader.read(&mut self.unread).ok()?)
    }
}
