//! Bare programs without features, to compare the server with what this machine can do in this minute.

use std::io;
use std::net::{SocketAddr, TcpListener};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::link::Transport;

mod discard;
mod echo;
mod fan_out;
mod quic;
mod secure;
mod states;

pub use states::StatesOrder;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Which bare program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Floor {
    /// One thread that waits for sockets and passes each message on to its room with one `send` per member: no
    /// handshake but that of TLS, no tasks, no checks, no store. Over QUIC, quinn on one thread, with one write to each member's stream.
    FanOut,
    /// A tokio-tungstenite server, over TLS with tokio-rustls, or a quinn server, that returns each message.
    Echo,
    /// A socket that throws away what it receives. Of UDP, so it is there as a floor of QUIC only.
    Discard,
    /// Sends each connection the state of a game at the rate that it orders: on the stream, or over QUIC as datagrams.
    States,
}

impl Floor {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FanOut => "fan-out",
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::States => "states",
        }
    }
}

/// Serves at this address until the process is stopped; for WebTransport, QUIC without HTTP/3. Prints `listening on ADDRESS` first.
pub fn serve(
    floor: Floor,
    transport: Transport,
    listen: SocketAddr,
    threads: usize,
) -> io::Result<()> {
    let tls = match transport {
        Transport::Quic | Transport::WebTransport => return quic::serve(floor, listen, threads),
        Transport::Wss => Some(secure::of_websocket()?),
        Transport::Ws => None,
    };
    let domain = socket2::Domain::for_address(listen);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.bind(&listen.into())?;
    socket.listen(BACKLOG)?;
    let listener: TcpListener = socket.into();
    listener.set_nonblocking(true)?;
    announce(listener.local_addr()?)?;
    match floor {
        Floor::FanOut => fan_out::serve(&listener, tls),
        Floor::Echo => echo::serve(listener, tls, threads),
        Floor::States => states::serve(listener, tls),
        Floor::Discard => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "what is thrown away comes by QUIC",
        )),
    }
}

fn announce(address: SocketAddr) -> io::Result<()> {
    use std::io::Write;
    let mut out = io::stdout().lock();
    writeln!(out, "{LISTENING}{address}")?;
    out.flush()
}

/// What a floor says before its address.
pub const LISTENING: &str = "listening on ";
