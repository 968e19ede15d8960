//! Many light players in one process: a socket each and no thread.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::events::Event;
use pitturu_protocol::frame::{CallId, ClientFrame, ServerFrame, call};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{LoginGuest, SignedIn};
use pitturu_protocol::types::chat::{CreateRoom, JoinRoom, RoomKind, RoomView};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::player::hello;

/// Longest time for anything that a light player waits for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// One light player.
pub struct Light {
    socket: WebSocketStream<TcpStream>,
    last_call: CallId,
    events: VecDeque<(u16, Vec<u8>)>,
    replies: Vec<(CallId, Result<Vec<u8>, Fault>)>,
}

impl Light {
    /// Connects and says hello.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        Self::over(stream, &[])
            .await
            .expect("the handshake succeeds")
    }

    /// Shakes hands over this connection, with these headers as well, and says hello; or what came instead.
    pub async fn over(
        stream: TcpStream,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Self, String> {
        let mut request = "ws://localhost/"
            .into_client_request()
            .expect("the address is fine");
        let subprotocol = ("Sec-WebSocket-Protocol", pitturu_protocol::SUBPROTOCOL);
        for (name, value) in headers.iter().copied().chain([subprotocol]) {
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert(name, value);
        }
        let shaken = tokio_tungstenite::client_async(request, stream).await;
        let (socket, _) = shaken.map_err(|error| error.to_string())?;
        let mut light = Self {
            socket,
            last_call: 0,
            events: VecDeque::new(),
            replies: Vec::new(),
        };
        light.send(hello()).await;
        Ok(light)
    }

    /// Connects and signs in as a guest of this name.
    pub async fn guest(address: SocketAddr, name: &str) -> (Self, SignedIn) {
        let mut light = Self::connect(address).await;
        let signed_in = light.sign_in(name).await;
        (light, signed_in)
    }

    /// Signs in as a guest of this name.
    pub async fn sign_in(&mut self, name: &str) -> SignedIn {
        let login = LoginGuest {
            secret: format!("{name:-<32}"),
            name: Some(name.to_owned()),
            device: None,
        };
        self.call(&login).await.expect("guests may sign in")
    }

    /// Sends frames as one message.
    pub async fn send(&mut self, frames: Vec<u8>) {
        self.socket
            .send(Message::Binary(Bytes::from(frames)))
            .await
            .expect("still connected");
    }

    /// Sends a call without a key and returns its number.
    pub async fn begin<M: Method>(&mut self, request: &M) -> CallId {
        self.last_call += 1;
        self.send(call(self.last_call, request, None)).await;
        self.last_call
    }

    /// Sends a call and waits for its answer. Events that come before it are kept.
    pub async fn call<M: Method>(&mut self, request: &M) -> Result<M::Reply, Fault> {
        let number = self.begin(request).await;
        loop {
            if let Some(index) = self.replies.iter().position(|(call, _)| *call == number) {
                let (_, answer) = self.replies.swap_remove(index);
                return answer.map(|body| codec::decode(&body).expect("the reply's type"));
            }
            self.read().await;
        }
    }

    /// The next event, whatever its kind.
    pub async fn any_event(&mut self) -> (u16, Vec<u8>) {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.replies.clear();
            self.read().await;
        }
    }

    /// The next event of this kind. Others are dropped.
    pub async fn event<E: Event>(&mut self) -> E {
        loop {
            let (event, body) = self.any_event().await;
            if event == E::NUMBER {
                return codec::decode(&body).expect("the event's type");
            }
        }
    }

    /// The next event, if one is here already.
    pub async fn ready_event(&mut self) -> Option<(u16, Vec<u8>)> {
        while self.events.is_empty() {
            self.replies.clear();
            let message = self.socket.next().now_or_never()?;
            self.take(message).await;
        }
        self.events.pop_front()
    }

    /// Reads one message.
    async fn read(&mut self) {
        let message = tokio::time::timeout(PATIENCE, self.socket.next())
            .await
            .expect("something comes in time");
        self.take(message).await;
    }

    async fn take(&mut self, message: Option<Result<Message, WebSocketError>>) {
        let bytes = match message {
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return,
            other => panic!("disconnected: {other:?}"),
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (frame, after) = ServerFrame::read(rest).expect("a frame");
            rest = after;
            match frame {
                ServerFrame::Reply { call, body } => self.replies.push((call, Ok(body.to_vec()))),
                ServerFrame::Fault { call, fault } => self.replies.push((call, Err(fault))),
                ServerFrame::Event { event, body } => {
                    self.events.push_back((event, body.to_vec()));
                }
                ServerFrame::Ping { nonce, .. } => {
                    let pong = ClientFrame::Pong { nonce }.encode();
                    self.send(pong).await;
                }
                _ => {}
            }
        }
    }

    /// Makes a public room.
    pub async fn create_room(&mut self, name: &str) -> RoomView {
        let request = CreateRoom {
            kind: RoomKind::Public,
            name: name.to_owned(),
            topic: None,
            slow_mode_ms: None,
            retention: None,
        };
        self.call(&request).await.expect("players may make rooms")
    }

    /// Joins a room.
    pub async fn join(&mut self, room: RoomId) -> RoomView {
        self.call(&JoinRoom { room })
            .await
            .expect("the room is public")
    }
}

/// So many guests, signed in a few at a time.
pub async fn guests(address: SocketAddr, count: usize, prefix: &str) -> Vec<Light> {
    let mut crowd = Vec::with_capacity(count);
    while crowd.len() < count {
        let batch = (crowd.len()..count.min(crowd.len() + 50)).map(|number| async move {
            let name = format!("{prefix}{number}");
            Light::guest(address, &name).await.0
        });
        crowd.extend(futures_util::future::join_all(batch).await);
    }
    crowd
}

/// Lets this process open as many files as it may.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the soft limit may rise to the hard one");
}

/// A runtime for light players.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
}
