//! The bare sender of states: what a game's server does at its tick, and nothing else.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use pitturu_protocol::frame::ServerFrame;
use pitturu_protocol::ids::RoomId;
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;

use super::fan_out::{unmask, unmasked};
use crate::{clock, stamp};

/// Longest order that is read.
const ORDER_BYTES_MAX: usize = 1024;

/// What a connection wants to be sent: its first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatesOrder {
    /// Microseconds from one state to the next.
    pub every_us: u64,
    /// Bytes of each.
    pub bytes: usize,
    /// As datagrams, not on the stream.
    pub datagrams: bool,
}

impl StatesOrder {
    /// As it is sent.
    pub fn encode(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("an order is plain data")
    }

    pub(super) fn decode(bytes: &[u8]) -> io::Result<Self> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// Makes one state after the other.
pub(super) struct States {
    interval: Interval,
    bytes: usize,
    tick: u64,
}

impl States {
    pub(super) fn of(order: StatesOrder) -> Self {
        let mut interval = interval(Duration::from_micros(order.every_us.max(1)));
        // Whoever could not send for a while goes on with what is new.
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            interval,
            bytes: order.bytes,
            tick: 0,
        }
    }

    /// Waits for the next tick and makes its state.
    pub(super) async fn next(&mut self) -> Vec<u8> {
        self.interval.tick().await;
        self.tick += 1;
        ServerFrame::State {
            room: RoomId::from_bytes([0; 10]),
            tick: self.tick,
            data: &stamp::state(clock::now(), self.bytes),
        }
        .encode()
    }
}

pub(super) fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
    let tls = tls.map(TlsAcceptor::from);
    let runtime = tokio::runtime::Builder::new_current_thread()
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
                    None => drop(send(stream).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            drop(send(stream).await);
                        }
                    }
                }
            });
        }
    })
}

async fn send(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut came = Vec::new();
    let order = loop {
        if let Some((order, _)) = unmask(&came) {
            break StatesOrder::decode(&order)?;
        }
        if came.len() > ORDER_BYTES_MAX || stream.read_buf(&mut came).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    };
    let mut states = States::of(order);
    loop {
        let state = states.next().await;
        stream.write_all(&unmasked(&state)).await?;
        stream.flush().await?;
    }
}
