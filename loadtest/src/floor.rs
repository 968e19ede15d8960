//! Bare programs without features, to compare the server with what this machine can do in this minute.

use std::io;
use std::net::{SocketAddr, TcpListener};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

mod echo;
mod fan_out;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Which bare program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Floor {
    /// One thread that waits for sockets and passes each message on to its room with one `send` per member: no
    /// handshake, no tasks, no checks, no store.
    FanOut,
    /// A tokio-tungstenite server that returns each message.
    Echo,
}

impl Floor {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FanOut => "fan-out",
            Self::Echo => "echo",
        }
    }
}

/// Serves until the process is stopped. Prints `listening on ADDRESS` first.
pub fn serve(floor: Floor, threads: usize) -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    let listener: TcpListener = socket.into();
    listener.set_nonblocking(true)?;
    announce(listener.local_addr()?)?;
    match floor {
        Floor::FanOut => fan_out::serve(&listener),
        Floor::Echo => echo::serve(listener, threads),
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
