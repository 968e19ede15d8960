//! The process as its owner sees it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{Flood, READY, Sent};

/// Why nothing is flooded.
#[derive(Debug, thiserror::Error)]
pub enum FlooderError {
    /// The process or its pipes.
    #[error("the flooder: {0}")]
    Io(#[from] io::Error),
    /// It said something else than it should, or ended.
    #[error("the flooder said {0:?}")]
    Unexpected(String),
}

/// A process that is ready to flood. Dropped, it ends.
#[derive(Debug)]
pub struct Flooder {
    child: Child,
    orders: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Drop for Flooder {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Flooder {
    /// Starts one, and waits until it has made what it sends.
    pub fn start(to: SocketAddr, flood: &Flood) -> Result<Self, FlooderError> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["flooder", &to.to_string()])
            .args(["--initials", &flood.initials.to_string()])
            .args(["--handshakes", &flood.handshakes.to_string()])
            .args(["--ports", &flood.ports.to_string()])
            .args(["--addresses", &flood.addresses.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut flooder = Self {
            child,
            orders,
            lines,
        };
        let line = flooder.line()?;
        if line == READY {
            Ok(flooder)
        } else {
            Err(FlooderError::Unexpected(line))
        }
    }

    /// Has it flood for so long, from now on.
    pub fn go(&mut self, seconds: u32) -> Result<(), FlooderError> {
        writeln!(self.orders, "{seconds}")?;
        Ok(self.orders.flush()?)
    }

    /// What it has sent, when it is done.
    pub fn sent(&mut self) -> Result<Sent, FlooderError> {
        let line = self.line()?;
        serde_json::from_str(&line).map_err(|_| FlooderError::Unexpected(line))
    }

    fn line(&mut self) -> Result<String, FlooderError> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
