//! A client that shows every frame, follows streams as the protocol says, repeats nothing, and reads as slowly as it is told.

pub mod socket;
mod task;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::frame::{self, Cursor, ServerFrame};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::LoginGuest;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Message as Packet;

use self::socket::{SIGN_IN_WITHIN, hello, open_socket};
use self::task::Task;
use crate::record::{PlayerNo, Record};

/// What a call's success makes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Nothing.
    Nothing,
    /// The room of the reply is open, from here on if it says so.
    Opens(Option<Cursor>),
    /// The room is open no longer.
    Closes(RoomId),
}

/// How a call ended, with the encoded reply.
pub type Ended<'a> = Result<&'a [u8], Result<Fault, &'static str>>;

/// Told how a call ended, in the order of the frames.
pub type Told = Box<dyn FnOnce(Ended<'_>) + Send>;

/// A call on its way to the connection.
pub struct RawCall {
    /// Number of the method.
    pub method: u16,
    /// Encoded request.
    pub body: Vec<u8>,
    /// Idempotency key.
    pub key: Option<String>,
    /// What it makes of the connection.
    pub follows: Follows,
    /// Told once.
    pub told: Told,
}

/// What is told of a call that was not sent, because there was no connection.
pub const UNSENT: &str = "there was no connection";

/// What the client's task is told.
enum Order {
    Call(RawCall),
    /// Reads nothing for so long.
    Doze(Duration),
    /// Ends the connection, and begins another.
    Drop,
}

/// Where the client stands, for whoever waits until everything has come.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Whether it is signed in and has resumed.
    pub online: bool,
    /// Who it is signed in as, once it was.
    pub user: Option<UserId>,
    /// The rooms that are open, with how far they have come.
    pub rooms: HashMap<RoomId, Cursor>,
    /// How far the inbox has come.
    pub inbox: u64,
}

/// A handle to the client, which ends with the last one.
#[derive(Clone)]
pub struct Raw {
    orders: mpsc::UnboundedSender<Order>,
    standing: Arc<Mutex<Standing>>,
}

impl Raw {
    /// Connects there, again and again, as the guest with this secret.
    pub fn start(
        address: SocketAddr,
        player: PlayerNo,
        name: &str,
        secret: &str,
        record: Arc<Record>,
    ) -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        let standing = Arc::<Mutex<Standing>>::default();
        let task = Task {
            address,
            player,
            login: LoginGuest {
                secret: secret.to_owned(),
                name: Some(name.to_owned()),
                device: None,
            },
            record,
            orders: taken,
            standing: Arc::clone(&standing),
            logins: 0,
        };
        tokio::spawn(task.run());
        Self { orders, standing }
    }

    /// Makes a call. It is told as [`UNSENT`] when there is no connection.
    pub fn call(&self, call: RawCall) {
        if let Err(unsent) = self.orders.send(Order::Call(call))
            && let Order::Call(call) = unsent.0
        {
            (call.told)(Err(Err("the client has ended")));
        }
    }

    /// Encodes a call of `request`'s method.
    pub fn encode<M: Method>(
        request: &M,
        key: Option<String>,
        follows: Follows,
        told: Told,
    ) -> RawCall {
        RawCall {
            method: M::NUMBER,
            body: codec::encode(request),
            key,
            follows,
            told,
        }
    }

    /// Has it read nothing for so long.
    pub fn doze(&self, time: Duration) {
        let _ = self.orders.send(Order::Doze(time));
    }

    /// Has it begin another connection.
    pub fn reconnect(&self) {
        let _ = self.orders.send(Order::Drop);
    }

    /// Where it stands.
    pub fn standing(&self) -> Standing {
        self.standing.lock().clone()
    }
}

/// Makes one call on a connection of its own, signed in by an access token if there is one. `None`: nobody knows what became of
/// it.
pub async fn one_call<M: Method>(
    address: SocketAddr,
    token: Option<String>,
    request: &M,
    key: &str,
) -> Option<Result<M::Reply, Fault>> {
    timeout(SIGN_IN_WITHIN, one_call_now(address, token, request, key))
        .await
        .ok()?
}

async fn one_call_now<M: Method>(
    address: SocketAddr,
    token: Option<String>,
    request: &M,
    key: &str,
) -> Option<Result<M::Reply, Fault>> {
    let mut socket = open_socket(address).await.ok()?;
    let mut frames = hello(token).encode();
    frames.extend(frame::call(1, request, Some(key)));
    socket.send(Packet::Binary(frames.into())).await.ok()?;
    loop {
        let Packet::Binary(bytes) = socket.next().await?.ok()? else {
            continue;
        };
        let mut rest: &[u8] = &bytes;
        while !rest.is_empty() {
            let (frame, after) = ServerFrame::read(rest).ok()?;
            rest = after;
            match frame {
                ServerFrame::Reply { call: 1, body } => return codec::decode(body).ok().map(Ok),
                ServerFrame::Fault { call: 1, fault } => return Some(Err(fault)),
                _ => {}
            }
        }
    }
}
