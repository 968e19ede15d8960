//! A member's socket, plain or with TLS.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::{ServerConfig, ServerConnection};

/// A socket that does not block.
pub(super) enum Socket {
    Plain {
        stream: TcpStream,
        /// What the socket would not take.
        unsent: Vec<u8>,
    },
    Tls {
        stream: TcpStream,
        /// Holds what the socket would not take.
        tls: Box<ServerConnection>,
    },
}

impl Socket {
    pub(super) fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let Some(config) = tls else {
            let unsent = Vec::new();
            return Ok(Self::Plain { stream, unsent });
        };
        let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        let mut tls = Box::new(tls);
        // As without TLS, what waits has no bound.
        tls.set_buffer_limit(None);
        Ok(Self::Tls { stream, tls })
    }

    pub(super) const fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain { stream, .. } | Self::Tls { stream, .. } => stream,
        }
    }

    /// Appends what has come. True: the other side has ended.
    pub(super) fn read(&mut self, buffer: &mut [u8], into: &mut Vec<u8>) -> io::Result<bool> {
        let count = match recv(self.stream().as_fd(), &mut *buffer, RecvFlags::empty()) {
            Ok((count, _)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut came = &buffer[..count];
        let Self::Tls { tls, .. } = self else {
            into.extend_from_slice(came);
            return Ok(count == 0);
        };
        while !came.is_empty() {
            tls.read_tls(&mut came)?;
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let start = into.len();
            into.resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut into[start..])?;
        }
        Ok(count == 0)
    }

    /// Sends a message, behind what waits already. `WouldBlock`: the socket takes no more, and the rest waits for [`Self::flush`].
    pub(super) fn send(&mut self, message: &[u8], is_waiting: bool) -> io::Result<()> {
        match self {
            Self::Plain { unsent, .. } if is_waiting => {
                unsent.extend_from_slice(message);
                Ok(())
            }
            Self::Plain { stream, unsent } => {
                let count = match send(stream.as_fd(), message, SendFlags::NOSIGNAL) {
                    Ok(count) => count,
                    Err(Errno::AGAIN) => 0,
                    Err(error) => return Err(error.into()),
                };
                if count == message.len() {
                    return Ok(());
                }
                unsent.extend_from_slice(&message[count..]);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Self::Tls { tls, .. } => {
                tls.writer().write_all(message)?;
                if is_waiting {
                    return Ok(());
                }
                self.flush()
            }
        }
    }

    /// Sends what waits. `WouldBlock`: the socket takes no more.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain { stream, unsent } => {
                if unsent.is_empty() {
                    return Ok(());
                }
                let count = send(stream.as_fd(), unsent, SendFlags::NOSIGNAL)?;
                unsent.drain(..count);
                if unsent.is_empty() {
                    return Ok(());
                }
                Err(io::ErrorKind::WouldBlock.into())
            }
            Self::Tls { stream, tls } => {
                while tls.wants_write() {
                    tls.write_tls(stream)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::floor::secure;

    /// Sends much more than sockets hold before the other side reads, and ends with the same bytes there.
    fn passes_on(
        tls: Option<&Arc<ServerConfig>>,
        read: impl FnOnce(TcpStream) -> Vec<u8> + Send + 'static,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let reader = std::thread::spawn(move || read(client));
        stream.set_nonblocking(true).unwrap();
        let mut socket = Socket::new(stream, tls).unwrap();
        let mut buffer = vec![0; 65_536];
        let mut came = Vec::new();
        while came != b"ready" {
            assert!(!socket.read(&mut buffer, &mut came).unwrap());
            let _ = socket.flush();
        }
        let message: Vec<u8> = (0..=250).cycle().take(1_000_000).collect();
        let mut is_waiting = false;
        for _ in 0..20 {
            match socket.send(&message, is_waiting) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => is_waiting = true,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(is_waiting, "the socket took everything");
        while let Err(error) = socket.flush() {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
        drop(socket);
        assert!(reader.join().unwrap() == message.repeat(20));
    }

    #[test]
    fn what_a_plain_socket_does_not_take_follows() {
        passes_on(None, |mut client| {
            let mut read = Vec::new();
            client.write_all(b"ready").unwrap();
            client.read_to_end(&mut read).unwrap();
            read
        });
    }

    #[test]
    fn what_a_socket_with_tls_does_not_take_follows() {
        let tls = secure::of_websocket().unwrap();
        passes_on(Some(&tls), |mut client| {
            let config = crate::link::believing_anybody();
            let name = "localhost".try_into().unwrap();
            let mut tls = rustls::ClientConnection::new(config, name).unwrap();
            let mut stream = rustls::Stream::new(&mut tls, &mut client);
            stream.write_all(b"ready").unwrap();
            let mut read = vec![0; 20_000_000];
            stream.read_exact(&mut read).unwrap();
            read
        });
    }
}
