//! A client's inputs in any order, with frames of a server that may be hostile.

#![no_main]

use std::collections::HashSet;

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pitturu_protocol::client::{CALLS_HELD_MAX, ClientConnection, Config, Output, Request, Tokens};
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{self, ClientFrame, Missing, ServerFrame, Stream};
use pitturu_protocol::ids::{ConnectionId, RoomId, SessionId, UserId};
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;
use pitturu_protocol::types::accounts::{Identity, Logout, Role, SignedIn};
use pitturu_protocol::types::chat::{
    CloseRoom, JoinRoom, MemberRole, Membership, OpenRoom, Retention, RoomInfo, RoomKind, RoomView,
    SendMessage,
};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_protocol::types::system::{
    Done, Limits, Resume, Resumed, ResumedRoom, RoomCursor, StreamPosition, Welcome,
};

#[derive(Debug, Arbitrary)]
enum Input {
    Start,
    Stop,
    Connected,
    Disconnected(Option<u16>),
    Pass(u16),
    PassToTimeout,
    Send {
        room: u8,
        key: Option<u8>,
        deadline: Option<u16>,
    },
    Join(u8),
    Open(u8, Option<u64>),
    Close(u8),
    Logout,
    Cancel(u8),
    Pause(bool),
    Bytes(Vec<u8>),
    Welcome {
        epoch: u8,
        signed_in: bool,
        refused: bool,
        calls: u32,
        ping_ms: u32,
    },
    View {
        call: u8,
        room: u8,
        seq: u64,
        rev: u64,
    },
    Resumed {
        call: u8,
        inbox: u64,
        room: u8,
        seq: u64,
        refused: Option<u16>,
    },
    SignedIn {
        call: u8,
        user: u8,
        expires_at: u64,
    },
    Done(u8),
    Fault {
        call: u8,
        code: u16,
        retry_after_ms: Option<u64>,
    },
    Change {
        room: u8,
        rev: u64,
    },
    Added(u64),
    Position {
        room: u8,
        seq: u64,
        rev: u64,
        live: bool,
    },
    Gap {
        room: Option<u8>,
        changes: bool,
        from: u64,
        to: u64,
    },
}

fn room_id(room: u8) -> RoomId {
    RoomId::from_bytes([room % 3; 10])
}

fn identity(user: u8, expires_at: u64) -> Identity {
    Identity {
        user: UserId::from_bytes([user % 2; 10]),
        session: SessionId::from_bytes([0; 10]),
        role: Role::Player,
        guest: true,
        expires_at,
    }
}

fn view(room: u8, seq: u64, rev: u64) -> RoomView {
    RoomView {
        info: RoomInfo {
            room: room_id(room),
            kind: RoomKind::Public,
            name: String::new(),
            handle: None,
            topic: None,
            peer: None,
            members: 0,
            head: seq,
            first: 0,
            slow_mode_ms: 0,
            retention: Retention::default(),
            created_at: 0,
        },
        me: Membership {
            role: MemberRole::Member,
            read: 0,
            muted_until: None,
            joined_at: 0,
        },
        rev,
        online: 0,
    }
}

/// The frame of a server that this input stands for.
fn frame_of(input: Input) -> Option<Vec<u8>> {
    const BITS: u64 = (1 << 53) - 1;
    Some(match input {
        Input::Bytes(bytes) => bytes,
        Input::Welcome {
            epoch,
            signed_in,
            refused,
            calls,
            ping_ms,
        } => ServerFrame::Welcome(Welcome {
            v: 1,
            conn: ConnectionId::from_bytes([0; 10]),
            now: 5,
            epoch: u64::from(epoch % 3),
            ping_ms,
            identity: signed_in.then(|| identity(0, 100_000)),
            refused: refused.then(|| Fault::of(Code::TokenExpired)),
            limits: Limits {
                frame_bytes: 0,
                message_bytes: 0,
                calls,
                rooms: 0,
            },
            quic: None,
        })
        .encode(),
        Input::View {
            call,
            room,
            seq,
            rev,
        } => frame::reply(call.into(), &view(room, seq, rev)),
        Input::Resumed {
            call,
            inbox,
            room,
            seq,
            refused,
        } => {
            let resumed = ResumedRoom {
                room: room_id(room),
                view: refused.is_none().then(|| view(room, seq, 0)),
                fault: refused.map(|code| Fault::of(Code::from(code))),
            };
            frame::reply(
                call.into(),
                &Resumed {
                    inbox,
                    rooms: vec![resumed],
                },
            )
        }
        Input::SignedIn {
            call,
            user,
            expires_at,
        } => {
            let signed_in = SignedIn {
                identity: identity(user, expires_at),
                access: "a".into(),
                refresh: "r".into(),
                refresh_expires_at: 0,
                created: false,
            };
            frame::reply(call.into(), &signed_in)
        }
        Input::Done(call) => frame::reply(call.into(), &Done {}),
        Input::Fault {
            call,
            code,
            retry_after_ms,
        } => {
            let fault = Fault {
                retry_after_ms,
                ..Fault::of(Code::from(code))
            };
            ServerFrame::Fault {
                call: call.into(),
                fault,
            }
            .encode()
        }
        Input::Change { room, rev } => {
            frame::event(&pitturu_protocol::types::chat::MessageDeleted {
                room: room_id(room),
                rev,
                seq: 0,
                by: UserId::from_bytes([0; 10]),
                at: 0,
            })
        }
        Input::Added(seq) => frame::event(&InboxAdded {
            seq,
            at: 0,
            entry: InboxEntry::Unknown,
        }),
        Input::Position {
            room,
            seq,
            rev,
            live,
        } => frame::event(&StreamPosition {
            stream: room_id(room).to_string(),
            seq,
            rev,
            head: seq,
            live,
        }),
        Input::Gap {
            room,
            changes,
            from,
            to,
        } => ServerFrame::Gap {
            stream: room.map_or(Stream::Inbox, |room| Stream::Room(room_id(room))),
            missing: if changes {
                Missing::Changes
            } else {
                Missing::Messages
            },
            from: from & BITS,
            to: to & BITS,
        }
        .encode(),
        _ => return None,
    })
}

fuzz_target!(|inputs: Vec<Input>| {
    let config = Config {
        tokens: Tokens {
            access: Some("a".into()),
            refresh: Some("r".into()),
        },
        resume: Resume {
            epoch: Some(1),
            inbox: Some(0),
            rooms: vec![RoomCursor {
                room: room_id(0),
                seq: 1,
                rev: 1,
            }],
        },
        ..Config::default()
    };
    let mut machine = ClientConnection::new(config, 1);
    let mut now = 0u64;
    let mut asked = Vec::new();
    let mut open = HashSet::new();
    for input in inputs {
        let request = match &input {
            Input::Send {
                room,
                key,
                deadline,
            } => {
                let send = SendMessage {
                    room: room_id(*room),
                    text: String::new(),
                    data: None,
                    reply_to: None,
                };
                let mut request = Request::of(&send);
                request.key = key.map(|key| format!("k{key}"));
                request.deadline = deadline.map(|deadline| now + u64::from(deadline));
                Some(request)
            }
            Input::Join(room) => Some(Request::of(&JoinRoom {
                room: room_id(*room),
            })),
            Input::Open(room, seq) => {
                let open = OpenRoom {
                    room: room_id(*room),
                    seq: *seq,
                    rev: *seq,
                };
                Some(Request::of(&open))
            }
            Input::Close(room) => Some(Request::of(&CloseRoom {
                room: room_id(*room),
            })),
            Input::Logout => Some(Request::of(&Logout {})),
            _ => None,
        };
        if let Some(request) = request {
            if let Ok(ticket) = machine.call(request) {
                asked.push(ticket);
                open.insert(ticket);
            }
        } else {
            match input {
                Input::Start => machine.start(now),
                Input::Stop => machine.stop(),
                Input::Connected => machine.connected(now),
                Input::Disconnected(code) => machine.disconnected(now, code),
                Input::Pass(ms) => now += u64::from(ms),
                Input::PassToTimeout => now = now.max(machine.next_timeout().unwrap_or(now)),
                Input::Cancel(index) => {
                    if let Some(ticket) = asked.get(usize::from(index)) {
                        machine.cancel(*ticket);
                        open.remove(ticket);
                    }
                }
                Input::Pause(paused) => machine.pause(paused),
                other => {
                    if let Some(frame) = frame_of(other) {
                        machine.received(now, &Bytes::from(frame));
                    }
                }
            }
            machine.tick(now);
        }
        while let Some(output) = machine.poll() {
            if let Output::Answer { ticket, .. } = output {
                assert!(open.remove(&ticket), "a call ended twice");
            }
        }
        assert!(open.len() <= CALLS_HELD_MAX);
        while let Some(message) = machine.transmit() {
            assert!(message.len() <= MESSAGE_BYTES_MAX);
            let mut rest = &message[..];
            while !rest.is_empty() {
                // Cursors beyond 2^53 come from a hostile server alone, and go back to nobody else.
                match ClientFrame::read(rest) {
                    Ok((_, after)) => rest = after,
                    Err(_) => break,
                }
            }
        }
        let _ = codec::encode(&machine.cursors());
    }
});
