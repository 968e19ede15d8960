//! A WebSocket client that sends exactly the bytes it is told to, also wrong ones.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for anything that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as it came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    pub(crate) fn close_code(&self) -> Option<u16> {
        let code = self.payload.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*code))
    }
}

/// Bytes of a masked frame. `first` has FIN, the reserved bits and the opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64, true);
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
    bytes
}

/// Bytes of an unmasked frame, which no client may send.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64, false);
    bytes.extend_from_slice(payload);
    bytes
}

/// The header of a frame up to the mask.
pub(crate) fn header(first: u8, length: u64, masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => bytes.push(mask | short),
        (_, Ok(medium)) => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes
}

/// A whole message in one frame.
pub(crate) fn message(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | opcode, payload)
}

pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason);
    message(CLOSE, &payload)
}

/// The usual request, with a place for more header lines.
pub(crate) fn request(more: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: pitturu.v1\r\n{more}\r\n"
    )
}

/// Sends an HTTP request and returns everything that comes until the server closes.
pub(crate) fn http(address: SocketAddr, request: &str) -> String {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(request.as_bytes()).unwrap();
    let mut response = Vec::new();
    tcp.read_to_end(&mut response).unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

/// A connection after its upgrade.
pub(crate) struct RawSocket {
    pub(crate) tcp: TcpStream,
    read: Vec<u8>,
    /// The server's answer to the upgrade.
    pub(crate) response: String,
}

impl RawSocket {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, "")
    }

    pub(crate) fn connect_with(address: SocketAddr, more_headers: &str) -> Self {
        Self::try_connect(address, more_headers).unwrap_or_else(|response| panic!("{response}"))
    }

    /// The socket, or what the server answered instead.
    pub(crate) fn try_connect(address: SocketAddr, more_headers: &str) -> Result<Self, String> {
        let mut tcp = TcpStream::connect(address).map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        tcp.write_all(request(more_headers).as_bytes())
            .map_err(|error| error.to_string())?;
        let mut read = Vec::new();
        let end = loop {
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let mut chunk = [0; 1024];
            let count = tcp.read(&mut chunk).map_err(|error| error.to_string())?;
            if count == 0 {
                return Err(String::from_utf8_lossy(&read).into_owned());
            }
            read.extend_from_slice(&chunk[..count]);
        };
        let response = String::from_utf8_lossy(&read[..end]).into_owned();
        if !response.starts_with("HTTP/1.1 101 ") {
            return Err(response);
        }
        read.drain(..end);
        Ok(Self {
            tcp,
            read,
            response,
        })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).unwrap();
    }

    /// Sends as far as the server lets it; true if everything went out.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.tcp.write_all(bytes).is_ok()
    }

    /// The next frame; none at the end of the connection. Panics when nothing comes for [`PATIENCE`].
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.read) {
                self.read.drain(..length);
                return Some(frame);
            }
            let mut chunk = [0; 16 * 1024];
            match self.tcp.read(&mut chunk) {
                Ok(0) => {
                    assert!(self.read.is_empty(), "the connection ends inside a frame");
                    return None;
                }
                Ok(count) => self.read.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }

    /// The next frame if it comes within this time.
    pub(crate) fn next_within(&mut self, time: Duration) -> Option<Frame> {
        if parse(&self.read).is_none() {
            let time = time.max(Duration::from_millis(1));
            self.tcp.set_read_timeout(Some(time)).unwrap();
            let came = self.tcp.peek(&mut [0]);
            self.tcp.set_read_timeout(Some(PATIENCE)).unwrap();
            came.ok()?;
        }
        self.next()
    }

    /// Skips messages until the close frame and returns its code; none when the connection ends without one.
    pub(crate) fn close_code(&mut self) -> Option<u16> {
        while let Some(frame) = self.next() {
            if frame.opcode() == CLOSE {
                return frame.close_code();
            }
        }
        None
    }
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a server must not mask");
    let (length, start) = match second {
        126 => (
            u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
            4,
        ),
        127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let end = start + usize::try_from(length).unwrap();
    let payload = bytes.get(start..end)?.to_vec();
    Some((Frame { first, payload }, end))
}
