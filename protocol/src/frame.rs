//! Frames: what one side says to the other in one breath.
//!
//! A frame is a MessagePack array `[kind, …]` with a small integer as its kind. One WebSocket message carries one or more frames
//! back to back. Elements after those named here are ignored, so that a frame can grow. Bodies stay encoded until
//! [`crate::codec::decode`] knows their type.

use serde::Serialize;

use crate::codec;
use crate::codes::Fault;
use crate::events::Event;
use crate::ids::RoomId;
use crate::limits::FRAME_BYTES_MAX;
use crate::methods::Method;
use crate::scan::{Malformed, Scanner};
use crate::types::system::{Goaway, Hello, StreamPosition, Welcome};

mod fields;
mod invalid;
pub(crate) mod salvage;
mod stream;

use fields::Fields;
pub use invalid::InvalidFrame;
pub use stream::Stream;

mod kind {
    pub(super) const HELLO: u64 = 1;
    pub(super) const CALL: u64 = 2;
    pub(super) const CANCEL: u64 = 3;
    pub(super) const ACK: u64 = 4;
    pub(super) const PONG: u64 = 5;
    pub(super) const INPUT: u64 = 6;
    pub(super) const WELCOME: u64 = 8;
    pub(super) const REPLY: u64 = 9;
    pub(super) const FAULT: u64 = 10;
    pub(super) const EVENT: u64 = 11;
    pub(super) const STATE: u64 = 12;
    pub(super) const PING: u64 = 13;
    pub(super) const GOAWAY: u64 = 14;
    pub(super) const GAP: u64 = 15;
}

/// Number that the client gives to a call; the reply or fault repeats it. Increases within a connection.
pub type CallId = u32;

/// How far a client has come in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Sequence of the last message (or inbox entry) received; 0 for none.
    pub seq: u64,
    /// Revision of the last change to messages received; 0 for none, and always 0 in the inbox.
    pub rev: u64,
}

/// What a `gap` frame says is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Messages (or inbox entries) that retention has removed.
    Messages,
    /// Changes that are no longer kept one by one: read again what is on screen.
    Changes,
}

/// A frame from a client, borrowing from the received bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame<'a> {
    /// First frame of a connection.
    Hello(Hello),
    /// A request that wants exactly one reply or fault.
    Call {
        /// Number that the answer repeats.
        call: CallId,
        /// Number of the method.
        method: u16,
        /// Encoded request.
        body: &'a [u8],
        /// Idempotency key: a repetition with the same key gets the first result.
        key: Option<&'a str>,
        /// On the first attempt of a call and on no repetition: the newest sequence of the call's room that its client had
        /// seen when it made the call. Without a key it is not sent.
        head: Option<u64>,
    },
    /// The answer to this call is no longer wanted.
    Cancel {
        /// The call.
        call: CallId,
    },
    /// Everything of the stream up to the cursor has been processed; the next page of a back-fill may come.
    Ack {
        /// The stream.
        stream: Stream,
        /// How far.
        cursor: Cursor,
    },
    /// Answer to a ping.
    Pong {
        /// Number from the ping.
        nonce: u32,
    },
    /// Game input for a match.
    Input {
        /// The match's room.
        room: RoomId,
        /// The client's own count of its inputs.
        seq: u64,
        /// The game's own encoding.
        data: &'a [u8],
    },
}

/// A frame from the server, borrowing from the received bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerFrame<'a> {
    /// Answer to hello.
    Welcome(Welcome),
    /// Result of a call.
    Reply {
        /// The call.
        call: CallId,
        /// Encoded reply of the call's method.
        body: &'a [u8],
    },
    /// Refusal of a call.
    Fault {
        /// The call; 0 when the fault is about the connection, which closes after it.
        call: CallId,
        /// Why, and what to do.
        fault: Fault,
    },
    /// Something happened.
    Event {
        /// Number of the event.
        event: u16,
        /// Encoded event.
        body: &'a [u8],
    },
    /// State of a match.
    State {
        /// The match's room.
        room: RoomId,
        /// The tick that it describes.
        tick: u64,
        /// The game's own encoding.
        data: &'a [u8],
    },
    /// Are you there?
    Ping {
        /// Number for the pong to repeat.
        nonce: u32,
        /// The server's clock, in milliseconds since 1970 UTC.
        now: u64,
    },
    /// The server will close this connection.
    Goaway(Goaway),
    /// Part of a stream that no longer exists.
    Gap {
        /// The stream.
        stream: Stream,
        /// What is missing.
        missing: Missing,
        /// First missing sequence or revision.
        from: u64,
        /// Last missing sequence or revision.
        to: u64,
    },
}

impl<'a> ClientFrame<'a> {
    /// Reads one frame from the front of `bytes` and returns it with what follows.
    pub fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), InvalidFrame> {
        read(bytes, |kind, fields| match kind {
            kind::HELLO => Ok(Self::Hello(fields.body()?)),
            kind::CALL => {
                let (call, method) = (fields.u32()?, fields.u16()?);
                let start = fields.rest();
                let body = match fields.raw_body() {
                    Err(Malformed::Integer) => None,
                    body => Some(body?),
                };
                let key = fields.key()?;
                let head = fields.head(key.is_some())?;
                let Some(body) = body else {
                    let field = Scanner::beyond(start).unwrap_or_default();
                    return Err(InvalidFrame::Integer {
                        call,
                        method,
                        field,
                        frame_bytes: 0,
                    });
                };
                Ok(Self::Call {
                    call,
                    method,
                    body,
                    key,
                    head,
                })
            }
            kind::CANCEL => Ok(Self::Cancel {
                call: fields.u32()?,
            }),
            kind::ACK => Ok(Self::Ack {
                stream: fields.stream()?,
                cursor: Cursor {
                    seq: fields.uint()?,
                    rev: fields.uint()?,
                },
            }),
            kind::PONG => Ok(Self::Pong {
                nonce: fields.u32()?,
            }),
            kind::INPUT => Ok(Self::Input {
                room: fields.room()?,
                seq: fields.uint()?,
                data: fields.bin()?,
            }),
            other => Err(InvalidFrame::Kind(other)),
        })
    }

    /// Appends the frame's bytes to `out`.
    pub fn append(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => {
                array(out, kind::HELLO, 1);
                codec::append(out, hello);
            }
            Self::Call {
                call,
                method,
                body,
                key,
                head,
            } => {
                let head = head.filter(|_| key.is_some());
                let optional = u32::from(key.is_some()) + u32::from(head.is_some());
                array(out, kind::CALL, 3 + optional);
                uint(out, u64::from(*call));
                uint(out, u64::from(*method));
                out.extend_from_slice(body);
                if let Some(key) = key {
                    text(out, key);
                }
                if let Some(head) = head {
                    uint(out, head);
                }
            }
            Self::Cancel { call } => {
                array(out, kind::CANCEL, 1);
                uint(out, u64::from(*call));
            }
            Self::Ack { stream, cursor } => {
                array(out, kind::ACK, 3);
                text(out, &stream.to_string());
                uint(out, cursor.seq);
                uint(out, cursor.rev);
            }
            Self::Pong { nonce } => {
                array(out, kind::PONG, 1);
                uint(out, u64::from(*nonce));
            }
            Self::Input { room, seq, data } => {
                array(out, kind::INPUT, 3);
                text(out, &room.to_string());
                uint(out, *seq);
                bin(out, data);
            }
        }
    }

    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.append(&mut out);
        out
    }
}

impl<'a> ServerFrame<'a> {
    /// Reads one frame from the front of `bytes` and returns it with what follows.
    pub fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), InvalidFrame> {
        read(bytes, |kind, fields| match kind {
            kind::WELCOME => Ok(Self::Welcome(fields.body()?)),
            kind::REPLY => Ok(Self::Reply {
                call: fields.u32()?,
                body: fields.raw_body()?,
            }),
            kind::FAULT => Ok(Self::Fault {
                call: fields.u32()?,
                fault: fields.body()?,
            }),
            kind::EVENT => Ok(Self::Event {
                event: fields.u16()?,
                body: fields.raw_body()?,
            }),
            kind::STATE => Ok(Self::State {
                room: fields.room()?,
                tick: fields.uint()?,
                data: fields.bin()?,
            }),
            kind::PING => Ok(Self::Ping {
                nonce: fields.u32()?,
                now: fields.uint()?,
            }),
            kind::GOAWAY => Ok(Self::Goaway(fields.body()?)),
            kind::GAP => Ok(Self::Gap {
                stream: fields.stream()?,
                missing: match fields.uint()? {
                    0 => Missing::Messages,
                    1 => Missing::Changes,
                    _ => return Err(Malformed::Expected("0 or 1").into()),
                },
                from: fields.uint()?,
                to: fields.uint()?,
            }),
            other => Err(InvalidFrame::Kind(other)),
        })
    }

    /// Appends the frame's bytes to `out`.
    pub fn append(&self, out: &mut Vec<u8>) {
        match self {
            Self::Welcome(welcome) => {
                array(out, kind::WELCOME, 1);
                codec::append(out, welcome);
            }
            Self::Reply { call, body } => {
                array(out, kind::REPLY, 2);
                uint(out, u64::from(*call));
                out.extend_from_slice(body);
            }
            Self::Fault { call, fault } => {
                array(out, kind::FAULT, 2);
                uint(out, u64::from(*call));
                codec::append(out, fault);
            }
            Self::Event { event, body } => {
                array(out, kind::EVENT, 2);
                uint(out, u64::from(*event));
                out.extend_from_slice(body);
            }
            Self::State { room, tick, data } => {
                array(out, kind::STATE, 3);
                text(out, &room.to_string());
                uint(out, *tick);
                bin(out, data);
            }
            Self::Ping { nonce, now } => {
                array(out, kind::PING, 2);
                uint(out, u64::from(*nonce));
                uint(out, *now);
            }
            Self::Goaway(goaway) => {
                array(out, kind::GOAWAY, 1);
                codec::append(out, goaway);
            }
            Self::Gap {
                stream,
                missing,
                from,
                to,
            } => {
                array(out, kind::GAP, 4);
                text(out, &stream.to_string());
                uint(out, u64::from(*missing == Missing::Changes));
                uint(out, *from);
                uint(out, *to);
            }
        }
    }

    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.append(&mut out);
        out
    }
}

/// Encodes a call of `request`'s method, without saying whether it is the first attempt.
pub fn call<M: Method>(call: CallId, request: &M, key: Option<&str>) -> Vec<u8> {
    first_call(call, request, key, None)
}

/// Encodes the first attempt of a call under `key`, whose client had seen its room up to `head`.
pub fn first_call<M: Method>(
    call: CallId,
    request: &M,
    key: Option<&str>,
    head: Option<u64>,
) -> Vec<u8> {
    let body = codec::encode(request);
    let frame = ClientFrame::Call {
        call,
        method: M::NUMBER,
        body: &body,
        key,
        head,
    };
    frame.encode()
}

/// Encodes a reply without an intermediate copy of its body.
pub fn reply<T: Serialize>(call: CallId, reply: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    append_reply(&mut out, call, reply);
    out
}

/// Appends a reply to `out`, behind the frames that are there.
pub fn append_reply<T: Serialize>(out: &mut Vec<u8>, call: CallId, reply: &T) {
    array(out, kind::REPLY, 2);
    uint(out, u64::from(call));
    codec::append(out, reply);
}

/// Encodes an event without an intermediate copy of its body.
pub fn event<E: Event>(event: &E) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    array(&mut out, kind::EVENT, 2);
    uint(&mut out, u64::from(E::NUMBER));
    codec::append(&mut out, event);
    out
}

/// The event that says where a stream stands on a connection: everything up to `at` was sent, and `head` is the newest entry.
pub fn position(stream: Stream, at: Cursor, head: u64, live: bool) -> Vec<u8> {
    event(&StreamPosition {
        stream: stream.to_string(),
        seq: at.seq,
        rev: at.rev,
        head,
        live,
    })
}

/// Reads the frame's array, then walks over the elements that this version does not know.
fn read<'a, F>(
    bytes: &'a [u8],
    layout: impl FnOnce(u64, &mut Fields<'a>) -> Result<F, InvalidFrame>,
) -> Result<(F, &'a [u8]), InvalidFrame> {
    let mut fields = Fields::open(bytes)?;
    let kind = fields.uint()?;
    let mut frame = layout(kind, &mut fields);
    if !matches!(frame, Ok(_) | Err(InvalidFrame::Integer { .. })) {
        return frame.map(|frame| (frame, bytes));
    }
    let rest = fields.close()?;
    let length = bytes.len() - rest.len();
    if length > FRAME_BYTES_MAX {
        return Err(InvalidFrame::TooLong);
    }
    if let Err(InvalidFrame::Integer { frame_bytes, .. }) = &mut frame {
        *frame_bytes = length;
    }
    frame.map(|frame| (frame, rest))
}

fn array(out: &mut Vec<u8>, kind: u64, fields: u32) {
    rmp::encode::write_array_len(out, fields + 1).expect("a Vec takes all bytes");
    uint(out, kind);
}

fn uint(out: &mut Vec<u8>, value: u64) {
    rmp::encode::write_uint(out, value).expect("a Vec takes all bytes");
}

fn text(out: &mut Vec<u8>, value: &str) {
    rmp::encode::write_str(out, value).expect("a Vec takes all bytes");
}

fn bin(out: &mut Vec<u8>, value: &[u8]) {
    rmp::encode::write_bin(out, value).expect("a Vec takes all bytes");
}
