//! A client machine with its clock, driven by a test that plays the server.

use bytes::Bytes;
use pitturu_protocol::client::{ClientConnection, Config, Output, Request, Ticket, Tokens};
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{CallId, ClientFrame, ServerFrame};
use pitturu_protocol::ids::{ConnectionId, RoomId, SessionId, UserId};
use pitturu_protocol::methods::{Method, MethodInfo};
use pitturu_protocol::types::accounts::{Identity, Role, SignedIn};
use pitturu_protocol::types::presence::{SetPresence, Status};
use pitturu_protocol::types::system::{Hello, Limits, Welcome};
use serde::Serialize;

pub(crate) const ROOM: RoomId = RoomId::from_bytes([9; 10]);

/// A call as the server reads it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Called {
    pub(crate) call: CallId,
    pub(crate) method: u16,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Driven {
    pub(crate) machine: ClientConnection,
    pub(crate) now: u64,
}

/// What the client has said since the last time.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) hello: Option<Hello>,
    pub(crate) calls: Vec<Called>,
}

impl Driven {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            machine: ClientConnection::new(config, 1),
            now: 10_000,
        }
    }

    /// Connected and welcomed, signed in if there is an access token.
    pub(crate) fn online(config: Config) -> Self {
        let signed_in = config.tokens.access.is_some();
        let mut driven = Self::new(config);
        driven.machine.start(driven.now);
        driven.machine.connected(driven.now);
        driven.receive(&welcome(signed_in.then(|| identity(1))));
        driven.outputs();
        driven.said();
        driven
    }

    pub(crate) fn receive(&mut self, frames: &[u8]) {
        self.machine
            .received(self.now, &Bytes::copy_from_slice(frames));
    }

    pub(crate) fn fault(&mut self, call: CallId, fault: Fault) {
        self.receive(&ServerFrame::Fault { call, fault }.encode());
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.machine.tick(self.now);
    }

    /// Loses the connection and makes the next one, up to the hello.
    pub(crate) fn reconnect(&mut self) -> Said {
        self.machine.disconnected(self.now, None);
        self.said();
        for _ in 0..100 {
            self.now = self.now.max(self.machine.next_timeout().unwrap());
            self.machine.tick(self.now);
            if self.outputs().contains(&Output::Connect) {
                self.machine.connected(self.now);
                return self.said();
            }
        }
        panic!("the machine does not connect again");
    }

    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.machine.poll()).collect()
    }

    pub(crate) fn answers(&mut self) -> Vec<(Ticket, Result<(), Code>)> {
        let outputs = self.outputs().into_iter();
        outputs
            .filter_map(|output| match output {
                Output::Answer { ticket, result } => {
                    Some((ticket, result.map(drop).map_err(|fault| fault.code)))
                }
                _ => None,
            })
            .collect()
    }

    pub(crate) fn said(&mut self) -> Said {
        let mut said = Said::default();
        while let Some(message) = self.machine.transmit() {
            let mut rest = &message[..];
            while !rest.is_empty() {
                let (frame, after) = ClientFrame::read(rest).unwrap();
                rest = after;
                match frame {
                    ClientFrame::Hello(hello) => said.hello = Some(hello),
                    ClientFrame::Call {
                        call, method, body, ..
                    } => said.calls.push(Called {
                        call,
                        method,
                        body: body.to_vec(),
                    }),
                    _ => {}
                }
            }
        }
        said
    }

    pub(crate) fn call<M: Method>(&mut self, request: &M, key: Option<&str>) -> Ticket {
        let mut request = Request::of(request);
        request.key = key.map(str::to_owned);
        self.machine.call(request).unwrap()
    }

    /// The number of the only call of this method that was put on the wire since the last time.
    pub(crate) fn called<M: Method>(&mut self) -> CallId {
        let calls = self.said().calls;
        match &calls[..] {
            [one] if one.method == M::NUMBER => one.call,
            other => panic!("not {} alone but {other:?}", M::NAME),
        }
    }
}

/// What the machine reads of a `RoomView`; the rest of one may be anything.
#[derive(Serialize)]
pub(crate) struct View {
    info: Info,
    rev: u64,
}

#[derive(Serialize)]
struct Info {
    room: RoomId,
    head: u64,
}

pub(crate) fn view_of(room: RoomId, head: u64, rev: u64) -> View {
    let info = Info { room, head };
    View { info, rev }
}

/// A call of any method, with each field that the client reads of a request.
pub(crate) fn any_call(method: &MethodInfo, key: Option<&str>) -> Request {
    #[derive(Serialize)]
    struct Any {
        room: RoomId,
        board: &'static str,
        access: &'static str,
        status: Status,
    }
    Request {
        method: method.number,
        body: codec::encode(&Any {
            room: ROOM,
            board: "weekly",
            access: "access 2",
            status: Status::Away,
        }),
        key: key.map(str::to_owned),
        key_is_new: false,
        deadline: None,
    }
}

pub(crate) fn tokens(generation: u32) -> Tokens {
    Tokens {
        access: Some(format!("access {generation}")),
        refresh: Some(format!("refresh {generation}")),
    }
}

pub(crate) fn player() -> Config {
    Config {
        tokens: tokens(1),
        ..Config::default()
    }
}

pub(crate) fn hidden() -> SetPresence {
    SetPresence {
        status: Status::Offline,
        note: None,
    }
}

pub(crate) fn identity(user: u8) -> Identity {
    Identity {
        user: UserId::from_bytes([user; 10]),
        session: SessionId::from_bytes([user; 10]),
        role: Role::Player,
        guest: true,
        expires_at: 1_000_000_000,
    }
}

pub(crate) fn signed_in(user: u8, generation: u32) -> SignedIn {
    SignedIn {
        identity: identity(user),
        access: format!("access {generation}"),
        refresh: format!("refresh {generation}"),
        refresh_expires_at: 2_000_000_000,
        created: false,
    }
}

pub(crate) fn welcome(identity: Option<Identity>) -> Vec<u8> {
    ServerFrame::Welcome(Welcome {
        v: 1,
        epoch: 1,
        conn: ConnectionId::from_bytes([3; 10]),
        now: 0,
        ping_ms: 600_000,
        identity,
        refused: None,
        limits: Limits {
            frame_bytes: 65_536,
            message_bytes: 262_144,
            calls: 64,
            rooms: 256,
        },
        quic: None,
    })
    .encode()
}
