//! WebSocket messages as this client writes and reads them: each whole in one frame.

use super::incoming::{Incoming, Malformed, PAYLOAD_BYTES_MAX};

/// FIN and the opcode of a binary message.
const BINARY: u8 = 0x82;

/// FIN and the opcode of a pong.
const PONG: u8 = 0x8a;

/// Key that masks what is sent. Masking protects proxies from browsers, and needs no secret key here.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x99, 0x17];

/// FIN and the opcode of a close frame.
const CLOSE: u8 = 0x88;

/// The client is done.
const NORMAL: u16 = 1000;

/// Appends one masked binary message.
pub fn append_message(out: &mut Vec<u8>, payload: &[u8]) {
    append(out, BINARY, payload);
}

pub(super) fn append_pong(out: &mut Vec<u8>, payload: &[u8]) {
    append(out, PONG, payload);
}

pub(super) fn append_close(out: &mut Vec<u8>) {
    append(out, CLOSE, &NORMAL.to_be_bytes());
}

fn append(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.push(first);
    let length = payload.len();
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        out.push(0x80 | short);
    } else if let Ok(medium) = u16::try_from(length) {
        out.push(0x80 | 126);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(0x80 | 127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    out.extend_from_slice(&MASK);
    out.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

/// The first message of `bytes` and what follows; none when it has not come whole.
pub fn read_message(bytes: &[u8]) -> Result<Option<(Incoming<'_>, &[u8])>, Malformed> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x80 == 0 {
        return Err(Malformed::Fragment);
    }
    if second & 0x80 != 0 {
        return Err(Malformed::Masked);
    }
    let (length, rest) = match second & 0x7f {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        short => (u64::from(short), rest),
    };
    if length > PAYLOAD_BYTES_MAX {
        return Err(Malformed::TooLong(length));
    }
    let length = usize::try_from(length).expect("bounded above");
    let Some((payload, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    let incoming = match first & 0x0f {
        2 => Incoming::Binary(payload),
        8 => Incoming::Closed(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
        9 => Incoming::Ping(payload),
        10 => Incoming::Pong,
        other => return Err(Malformed::Opcode(other)),
    };
    Ok(Some((incoming, rest)))
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::*;

    /// A socket that gives what it is made with and takes everything.
    struct Given(std::io::Cursor<Vec<u8>>);

    impl std::io::Read for Given {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(into)
        }
    }

    impl std::io::Write for Given {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_written_is_read_by_another_implementation() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            let payload: Vec<u8> = (0..length)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect();
            let mut bytes = Vec::new();
            append_message(&mut bytes, &payload);
            let given = Given(std::io::Cursor::new(bytes));
            let mut socket = WebSocket::from_raw_socket(given, Role::Server, None);
            assert_eq!(socket.read().unwrap(), Message::binary(payload), "{length}");
        }
    }

    #[test]
    fn messages_are_read_whole_or_not_at_all() {
        for length in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![BINARY];
            match length {
                0..126 => bytes.push(u8::try_from(length).unwrap()),
                126..65_536 => {
                    bytes.push(126);
                    bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend((length as u64).to_be_bytes());
                }
            }
            bytes.extend(std::iter::repeat_n(7, length));
            for cut in (0..bytes.len().min(20)).chain([bytes.len() - 1]) {
                assert_eq!(
                    read_message(&bytes[..cut]),
                    Ok(None),
                    "{length} cut at {cut}"
                );
            }
            bytes.push(0x88);
            let (incoming, rest) = read_message(&bytes).unwrap().unwrap();
            assert_eq!(incoming, Incoming::Binary(&vec![7; length]));
            assert_eq!(rest, [0x88]);
        }
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        assert_eq!(read_message(&[0x02, 0]), Err(Malformed::Fragment));
        assert_eq!(read_message(&[0x82, 0x80]), Err(Malformed::Masked));
        assert_eq!(read_message(&[0x81, 0]), Err(Malformed::Opcode(1)));
        let huge = [0x82, 127, 255, 0, 0, 0, 0, 0, 0, 0];
        assert!(matches!(read_message(&huge), Err(Malformed::TooLong(_))));
        let closed = read_message(&[0x88, 2, 0x0f, 0xa0]).unwrap().unwrap().0;
        assert_eq!(closed, Incoming::Closed(Some(4000)));
        assert_eq!(
            read_message(&[0x88, 0]).unwrap().unwrap().0,
            Incoming::Closed(None)
        );
    }
}
