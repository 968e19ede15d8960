//! The bare fan-out server: one thread, one `send` per member and message.
//!
//! The first message of a connection is the number of its room, eight bytes, big-endian. Every later one goes to
//! all members of the room, the sender among them, as it is.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustls::ServerConfig;

mod socket;

use socket::Socket;

/// Bytes read from one socket at once.
const READ_BYTES: usize = 64 * 1024;

/// Events taken at once.
const EVENTS_MAX: usize = 1024;

/// What the listener is called among the sockets.
const LISTENER: u64 = u64::MAX;

struct Member {
    socket: Socket,
    room: Option<u64>,
    /// The beginning of a message that has not come whole.
    carry: Vec<u8>,
    /// Waits for the socket to take more.
    is_waiting: bool,
}

struct Server {
    epoll: rustix::fd::OwnedFd,
    tls: Option<Arc<ServerConfig>>,
    /// By number; numbers are not used again.
    members: Vec<Option<Member>>,
    rooms: HashMap<u64, Vec<usize>>,
}

pub(super) fn serve(listener: &TcpListener, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut server = Server {
        epoll,
        tls,
        members: Vec::new(),
        rooms: HashMap::new(),
    };
    let mut buffer = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(EVENTS_MAX);
    loop {
        events.clear();
        let space = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&server.epoll, space, None) {
            Err(Errno::INTR) => continue,
            other => drop(other?),
        }
        for event in &events {
            let Event { flags, data } = *event;
            match data.u64() {
                LISTENER => server.accept(listener)?,
                member => {
                    let number = usize::try_from(member).expect("it was a usize");
                    server.serve(number, flags, &mut buffer);
                }
            }
        }
    }
}

impl Server {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let data = EventData::new_u64(self.members.len() as u64);
            epoll::add(&self.epoll, &stream, data, EventFlags::IN)?;
            let member = Member {
                socket: Socket::new(stream, self.tls.as_ref())?,
                room: None,
                carry: Vec::new(),
                is_waiting: false,
            };
            self.members.push(Some(member));
        }
    }

    fn member(&mut self, number: usize) -> Option<&mut Member> {
        self.members.get_mut(number)?.as_mut()
    }

    fn serve(&mut self, number: usize, flags: EventFlags, buffer: &mut [u8]) {
        if flags.contains(EventFlags::OUT) {
            self.send_rest(number);
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.read(number, buffer);
        }
    }

    fn read(&mut self, number: usize, buffer: &mut [u8]) {
        let Some(member) = self.members.get_mut(number).and_then(Option::as_mut) else {
            return;
        };
        let mut bytes = std::mem::take(&mut member.carry);
        let read = member.socket.read(buffer, &mut bytes);
        // Of TLS, what has come may want an answer.
        let written = member.socket.flush();
        match (read, written) {
            (Ok(false), Ok(())) => {}
            (Ok(false), Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(&self.epoll, number, member);
            }
            _ => return self.remove(number),
        }
        let mut at = 0;
        while let Some((payload, used)) = unmask(&bytes[at..]) {
            at += used;
            self.take(number, &payload);
        }
        if let Some(member) = self.member(number) {
            member.carry = bytes.split_off(at);
        }
    }

    fn take(&mut self, number: usize, payload: &[u8]) {
        let Some(member) = self.member(number) else {
            return;
        };
        let Some(room) = member.room else {
            let room = payload
                .first_chunk()
                .map_or(0, |room| u64::from_be_bytes(*room));
            member.room = Some(room);
            self.rooms.entry(room).or_default().push(number);
            return;
        };
        let message = unmasked(payload);
        let mut gone = Vec::new();
        for &other in self.rooms.get(&room).into_iter().flatten() {
            let Some(member) = self.members[other].as_mut() else {
                continue;
            };
            match member.socket.send(&message, member.is_waiting) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(&self.epoll, other, member);
                }
                Err(_) => gone.push(other),
            }
        }
        for other in gone {
            self.remove(other);
        }
    }

    fn send_rest(&mut self, number: usize) {
        let Some(member) = self.members.get_mut(number).and_then(Option::as_mut) else {
            return;
        };
        match member.socket.flush() {
            Ok(()) => {
                member.is_waiting = false;
                let data = EventData::new_u64(number as u64);
                // A socket that can't be changed is closed, and says so by its next event.
                let stream = member.socket.stream();
                let _ = epoll::modify(&self.epoll, stream, data, EventFlags::IN);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.remove(number),
        }
    }

    fn remove(&mut self, number: usize) {
        if let Some(member) = self.members[number].take()
            && let Some(room) = member.room
            && let Some(members) = self.rooms.get_mut(&room)
        {
            members.retain(|&held| held != number);
        }
    }
}

/// Has the member's socket say when it takes more.
fn wait(epoll: &rustix::fd::OwnedFd, number: usize, member: &mut Member) {
    if member.is_waiting {
        return;
    }
    member.is_waiting = true;
    let flags = EventFlags::IN | EventFlags::OUT;
    let data = EventData::new_u64(number as u64);
    // A socket that can't be changed is closed, and says so by its next event.
    let _ = epoll::modify(epoll, member.socket.stream(), data, flags);
}

/// The first whole message of a client: its payload, and how many bytes it took.
pub(super) fn unmask(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (&second, rest) = bytes.get(1..)?.split_first()?;
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*length)).ok()?, rest)
        }
        short => (usize::from(short), rest),
    };
    let (mask, rest): (&[u8; 4], _) = rest.split_first_chunk()?;
    let masked = rest.get(..length)?;
    let payload = masked
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    Some((payload, bytes.len() - rest.len() + length))
}

/// A message as a server sends it.
pub(super) fn unmasked(payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(payload.len() + 10);
    message.push(0x82);
    if let Ok(short) = u8::try_from(payload.len())
        && short < 126
    {
        message.push(short);
    } else if let Ok(medium) = u16::try_from(payload.len()) {
        message.push(126);
        message.extend_from_slice(&medium.to_be_bytes());
    } else {
        message.push(127);
        message.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    message.extend_from_slice(payload);
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Incoming, append_message, read_message};

    #[test]
    fn messages_pass_from_client_to_client_as_they_are() {
        for length in [0, 1, 125, 126, 70_000] {
            let payload = vec![9; length];
            let mut sent = Vec::new();
            append_message(&mut sent, &payload);
            assert_eq!(unmask(&sent[..sent.len() - 1]), None, "{length}");
            let (taken, used) = unmask(&sent).unwrap();
            assert_eq!((taken.len(), used), (length, sent.len()));
            let passed_on = unmasked(&taken);
            let (incoming, rest) = read_message(&passed_on).unwrap().unwrap();
            assert_eq!(incoming, Incoming::Binary(&payload));
            assert!(rest.is_empty());
        }
    }
}
