//! Stepping over frames that can't be read: where they end, and what they were about.

use super::{CallId, Stream, kind};
use crate::scan::Scanner;

/// What can be told of a server's frame that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Salvaged<'a> {
    /// The reply to this call, with the bytes where its body stands.
    Reply(CallId, &'a [u8]),
    /// The refusal of this call, or of the connection (0).
    Fault(CallId),
    /// The event of this number, with the bytes where its body stands.
    Event(u16, &'a [u8]),
    /// A gap, in this stream if that can be read.
    Gap(Option<Stream>),
    /// Another frame that a connection can do without.
    Other(&'static str),
}

/// Finds out what the frame at the front of `bytes` was about, and returns it with what follows the frame. Absent when no end
/// of it can be found, and when the connection can't do without it.
pub(crate) fn salvage(bytes: &[u8]) -> Option<(Salvaged<'_>, &[u8])> {
    let rest = after_value(bytes)?;
    let mut scanner = Scanner::new(bytes);
    let elements = scanner.array().ok()?;
    let frame = match scanner.uint().ok()? {
        kind::REPLY if elements > 2 => {
            Salvaged::Reply(number(&mut scanner)?, value(scanner.rest())?)
        }
        kind::FAULT if elements > 2 => Salvaged::Fault(number(&mut scanner)?),
        kind::EVENT if elements > 2 => {
            Salvaged::Event(number(&mut scanner)?, value(scanner.rest())?)
        }
        kind::GAP => {
            let stream = scanner.text().ok().filter(|_| elements > 1);
            Salvaged::Gap(stream.and_then(|stream| stream.parse().ok()))
        }
        kind::STATE => Salvaged::Other("state"),
        kind::PING => Salvaged::Other("ping"),
        kind::GOAWAY => Salvaged::Other("goaway"),
        _ => return None,
    };
    Some((frame, rest))
}

/// Name of the frame at the front of `bytes`, as far as it can be read.
pub(crate) fn name(bytes: &[u8]) -> &'static str {
    let mut scanner = Scanner::new(bytes);
    let kind = scanner.array().ok().and_then(|_| scanner.uint().ok());
    match kind {
        Some(kind::WELCOME) => "welcome",
        Some(kind::REPLY) => "reply",
        Some(kind::FAULT) => "fault",
        Some(kind::EVENT) => "event",
        Some(kind::STATE) => "state",
        Some(kind::PING) => "ping",
        Some(kind::GOAWAY) => "goaway",
        Some(kind::GAP) => "gap",
        _ => "frame",
    }
}

fn number<T: TryFrom<u64>>(scanner: &mut Scanner<'_>) -> Option<T> {
    T::try_from(scanner.uint().ok()?).ok()
}

/// The bytes of the value at the front.
fn value(bytes: &[u8]) -> Option<&[u8]> {
    let rest = after_value(bytes)?;
    bytes.get(..bytes.len() - rest.len())
}

/// What follows the value at the front, however deep that is nested.
fn after_value(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    let mut left = 1_usize;
    while left > 0 {
        let (length, children) = head(rest)?;
        rest = rest.get(length..)?;
        left = (left - 1).checked_add(children)?;
        // Each takes a byte at least.
        if left > rest.len() {
            return None;
        }
    }
    Some(rest)
}

/// Bytes up to the first value inside, or to the end where there is none; and how many values are inside.
fn head(bytes: &[u8]) -> Option<(usize, usize)> {
    let marker = *bytes.first()?;
    let short = usize::from(marker & 0x0f);
    let sized = |width: usize, more: usize| Some((1 + width + more + length(bytes, width)?, 0));
    match marker {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Some((1, 0)),
        0x80..=0x8f => Some((1, 2 * short)),
        0x90..=0x9f => Some((1, short)),
        0xa0..=0xbf => Some((1 + usize::from(marker & 0x1f), 0)),
        0xc1 => None,
        0xc4 | 0xd9 => sized(1, 0),
        0xc5 | 0xda => sized(2, 0),
        0xc6 | 0xdb => sized(4, 0),
        0xc7 => sized(1, 1),
        0xc8 => sized(2, 1),
        0xc9 => sized(4, 1),
        0xcc | 0xd0 => Some((2, 0)),
        0xcd | 0xd1 => Some((3, 0)),
        0xca | 0xce | 0xd2 => Some((5, 0)),
        0xcb | 0xcf | 0xd3 => Some((9, 0)),
        0xd4..=0xd8 => Some((2 + (1 << (marker - 0xd4)), 0)),
        0xdc => Some((3, length(bytes, 2)?)),
        0xdd => Some((5, length(bytes, 4)?)),
        0xde => Some((3, length(bytes, 2)?.checked_mul(2)?)),
        0xdf => Some((5, length(bytes, 4)?.checked_mul(2)?)),
    }
}

/// The length behind the marker.
fn length(bytes: &[u8], width: usize) -> Option<usize> {
    let mut length = 0_usize;
    for byte in bytes.get(1..=width)? {
        length = length << 8 | usize::from(*byte);
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Missing, ServerFrame};

    fn event() -> Vec<u8> {
        let mut body = vec![0x86];
        for value in [
            &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
            &[0xc8, 0, 3, 7, 1, 2, 3],
            &[0xda, 0, 2, 0xff, 0xfe],
            &[
                0xdd, 0, 0, 0, 2, 0xc0, 0xd8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
            &[0xde, 0, 1, 0x01, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xc6, 0, 0, 0, 1, 9],
        ] {
            body.extend([0xa1, b'x']);
            body.extend(value);
        }
        ServerFrame::Event {
            event: 300,
            body: &body,
        }
        .encode()
    }

    fn gap() -> Vec<u8> {
        ServerFrame::Gap {
            stream: Stream::Inbox,
            missing: Missing::Messages,
            from: 1,
            to: 2,
        }
        .encode()
    }

    #[test]
    fn a_frame_is_found_with_its_end_and_nothing_in_a_part_of_it() {
        let bytes = event();
        let followed = [&bytes[..], &gap()].concat();
        let (frame, rest) = salvage(&followed).unwrap();
        assert_eq!(frame, Salvaged::Event(300, &bytes[5..]));
        let (frame, rest) = salvage(rest).unwrap();
        assert_eq!(frame, Salvaged::Gap(Some(Stream::Inbox)));
        assert!(rest.is_empty());
        for end in 0..bytes.len() {
            assert_eq!(salvage(&bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_look_for_long() {
        for bytes in [event(), gap()] {
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let _ = (salvage(&flipped), name(&flipped));
            }
        }
        for marker in 0..=u8::MAX {
            for length in 0..10 {
                let bytes = [&[0x92, 0x0b, marker][..], &[0xff; 10][..length]].concat();
                let _ = (salvage(&bytes), name(&bytes));
            }
        }
        let mut deep = vec![0x92; 1 << 16];
        deep.push(0);
        assert_eq!(salvage(&deep), None);
    }
}
