//! A server that a test plays by hand, frame by frame.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use pitturu_client::types::accounts::{Identity, Role, SignedIn};
use pitturu_client::types::chat::{
    MemberRole, Membership, Message as ChatMessage, MessageSent, Retention, RoomInfo, RoomKind,
    RoomView,
};
use pitturu_client::types::system::{Echo, Echoed, Limits, Welcome};
use pitturu_client::{Code, ConnectionId, Cursor, Fault, RoomId, SessionId, UserId};
use pitturu_protocol::codec;
use pitturu_protocol::frame::{self, CallId, ClientFrame, ServerFrame};
use pitturu_protocol::methods::Method;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Nothing in these tests takes this long unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const ROOM: RoomId = RoomId::from_bytes([5; 10]);

pub(crate) struct Server {
    listener: TcpListener,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    /// The next connection, after its handshake.
    pub(crate) async fn accept(&self) -> Peer {
        let stream = self.accept_tcp().await;
        Peer::greet(Box::new(stream)).await
    }

    /// The next connection over TLS; an error when the client does not trust the certificate.
    pub(crate) async fn accept_tls(&self, acceptor: &TlsAcceptor) -> std::io::Result<Peer> {
        let stream = acceptor.accept(self.accept_tcp().await).await?;
        Ok(Peer::greet(Box::new(stream)).await)
    }

    async fn accept_tcp(&self) -> TcpStream {
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        accepted.expect("a client connects").unwrap().0
    }

    /// Takes a connection and cuts it before the handshake.
    pub(crate) async fn refuse(&self) {
        drop(self.accept_tcp().await);
    }

    /// A connection that is there already, after its handshake, if the client makes one.
    pub(crate) async fn try_accept(&self) -> Option<Peer> {
        let accepted = timeout(Duration::from_millis(50), self.listener.accept()).await;
        let stream = accepted.ok()?.unwrap().0;
        let greeting = timeout(
            Duration::from_millis(200),
            Peer::try_greet(Box::new(stream)),
        );
        greeting.await.ok().flatten()
    }

    /// A connection that has said hello and been welcomed, signed in if it gave a token. One that the client gave up before it said
    /// so, because it was accepted late, is left aside: the client makes another.
    pub(crate) async fn welcome(&self) -> (Peer, Option<String>) {
        loop {
            let stream = Box::new(self.accept_tcp().await);
            let greeting = timeout(PATIENCE, Peer::try_greet(stream));
            let Some(mut peer) = greeting.await.expect("a handshake in time") else {
                continue;
            };
            let Some(said) = peer.next_or_gone().await else {
                continue;
            };
            let Said::Hello(token) = said else {
                panic!("not hello but {said:?}");
            };
            peer.say(&welcome(token.is_some(), None)).await;
            return (peer, token);
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Hello(Option<String>),
    Call {
        call: CallId,
        method: u16,
        body: Vec<u8>,
        key: Option<String>,
        head: Option<u64>,
    },
    Cancel(CallId),
    Ack(Cursor),
    Pong(u32),
}

/// One client, as the server sees it.
pub(crate) struct Peer {
    socket: WebSocketStream<Box<dyn Stream>>,
    said: VecDeque<Said>,
    asked_time: Vec<CallId>,
}

/// A connection with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A certificate for `localhost` that signs itself, as a server uses it and as PEM text.
pub(crate) fn certified() -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

/// What the client asks to know the clock. Applications send something along.
fn time_asked() -> Vec<u8> {
    codec::encode(&Echo { data: Vec::new() })
}

impl Peer {
    async fn greet(stream: Box<dyn Stream>) -> Self {
        let greeted = timeout(PATIENCE, Self::try_greet(stream)).await.unwrap();
        greeted.expect("a handshake")
    }

    /// Absent when the client goes away before the end of the handshake.
    async fn try_greet(stream: Box<dyn Stream>) -> Option<Self> {
        #[allow(clippy::result_large_err, reason = "the library's own type")]
        let subprotocol = |request: &Request, mut response: Response| {
            let asked = request.headers()["sec-websocket-protocol"].clone();
            assert_eq!(asked, pitturu_protocol::SUBPROTOCOL);
            response
                .headers_mut()
                .insert("sec-websocket-protocol", asked);
            Ok(response)
        };
        let greeting = tokio_tungstenite::accept_hdr_async(stream, subprotocol);
        Some(Self {
            socket: greeting.await.ok()?,
            said: VecDeque::new(),
            asked_time: Vec::new(),
        })
    }

    /// What the client says in a message, if it says anything before it goes away.
    pub(crate) async fn try_hello(&mut self) -> Option<Message> {
        let message = timeout(Duration::from_millis(200), self.socket.next()).await;
        let message = message.ok().flatten()?.ok()?;
        message.is_binary().then_some(message)
    }

    pub(crate) async fn next(&mut self) -> Said {
        self.next_or_gone().await.expect("still open")
    }

    /// What the client says next; nothing if its connection ends instead.
    async fn next_or_gone(&mut self) -> Option<Said> {
        timeout(PATIENCE, async {
            loop {
                if let Some(said) = self.said.pop_front() {
                    return Some(said);
                }
                let message = self.socket.next().await?.ok()?;
                if let Message::Binary(bytes) = message {
                    self.read(&bytes);
                    self.tell_time().await;
                }
            }
        })
        .await
        .expect("the client says something")
    }

    /// Answers the questions after the clock.
    async fn tell_time(&mut self) {
        for call in std::mem::take(&mut self.asked_time) {
            let answer = Echoed {
                data: Vec::new(),
                now: 0,
            };
            // The client may be gone already.
            let message = Message::Binary(frame::reply(call, &answer).into());
            self.socket.send(message).await.ok();
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (frame, after) = ClientFrame::read(rest).unwrap();
            rest = after;
            self.said.push_back(match frame {
                ClientFrame::Call {
                    call, method, body, ..
                } if method == Echo::NUMBER && body == time_asked() => {
                    self.asked_time.push(call);
                    continue;
                }
                ClientFrame::Hello(hello) => Said::Hello(hello.token),
                ClientFrame::Call {
                    call,
                    method,
                    body,
                    key,
                    head,
                } => Said::Call {
                    call,
                    method,
                    body: body.to_vec(),
                    key: key.map(str::to_owned),
                    head,
                },
                ClientFrame::Cancel { call } => Said::Cancel(call),
                ClientFrame::Ack { cursor, .. } => Said::Ack(cursor),
                ClientFrame::Pong { nonce } => Said::Pong(nonce),
                ClientFrame::Input { .. } => panic!("no input was given"),
            });
        }
    }

    pub(crate) async fn hello(&mut self) -> Option<String> {
        match self.next().await {
            Said::Hello(token) => token,
            other => panic!("not hello but {other:?}"),
        }
    }

    /// The next call, which must be of method `M`.
    pub(crate) async fn call<M: Method>(&mut self) -> (CallId, M, Option<String>) {
        let (call, request, key, _) = self.attempt().await;
        (call, request, key)
    }

    /// The next call, which must be of method `M`, with the head that a first attempt tells.
    pub(crate) async fn attempt<M: Method>(&mut self) -> (CallId, M, Option<String>, Option<u64>) {
        match self.next().await {
            Said::Call {
                call,
                method,
                body,
                key,
                head,
            } if method == M::NUMBER => (call, codec::decode(&body).unwrap(), key, head),
            other => panic!("not {} but {other:?}", M::NAME),
        }
    }

    pub(crate) async fn say(&mut self, frames: &[u8]) {
        let message = Message::Binary(frames.to_vec().into());
        self.socket.send(message).await.unwrap();
    }

    pub(crate) async fn reply<T: serde::Serialize>(&mut self, call: CallId, reply: &T) {
        self.say(&frame::reply(call, reply)).await;
    }

    pub(crate) async fn fault(&mut self, call: CallId, fault: Fault) {
        self.say(&ServerFrame::Fault { call, fault }.encode()).await;
    }

    /// Ends the connection without a word.
    pub(crate) async fn drop_socket(&mut self) {
        let socket: &mut dyn Stream = self.socket.get_mut();
        tokio::io::AsyncWriteExt::shutdown(socket).await.ok();
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Waits for the client's close frame and returns its code.
    pub(crate) async fn closed(mut self) -> Option<u16> {
        timeout(PATIENCE, async {
            while let Some(Ok(message)) = self.socket.next().await {
                if let Message::Close(frame) = message {
                    return frame.map(|frame| frame.code.into());
                }
            }
            None
        })
        .await
        .expect("the client closes")
    }
}

pub(crate) fn identity() -> Identity {
    Identity {
        user: UserId::from_bytes([1; 10]),
        session: SessionId::from_bytes([2; 10]),
        role: Role::Player,
        guest: true,
        expires_at: 1_000_000_000,
    }
}

pub(crate) fn signed_in(generation: u32) -> SignedIn {
    SignedIn {
        identity: identity(),
        access: format!("access {generation}"),
        refresh: format!("refresh {generation}"),
        refresh_expires_at: 2_000_000_000,
        created: false,
    }
}

pub(crate) fn welcome(signed_in: bool, refused: Option<Code>) -> Vec<u8> {
    ServerFrame::Welcome(Welcome {
        v: 1,
        epoch: 1,
        conn: ConnectionId::from_bytes([3; 10]),
        now: 0,
        ping_ms: 25_000,
        identity: signed_in.then(identity),
        refused: refused.map(Fault::of),
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

pub(crate) fn view(head: u64, rev: u64) -> RoomView {
    RoomView {
        info: RoomInfo {
            room: ROOM,
            kind: RoomKind::Public,
            name: "lobby".into(),
            handle: None,
            topic: None,
            peer: None,
            members: 1,
            head,
            first: 1,
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
        online: 1,
    }
}

pub(crate) fn message(seq: u64) -> Vec<u8> {
    frame::event(&MessageSent {
        room: ROOM,
        msg: ChatMessage {
            seq,
            from: UserId::from_bytes([1; 10]),
            name: "Mina".into(),
            text: format!("text {seq}"),
            at: 0,
            data: None,
            reply_to: None,
            edited_at: None,
            deleted_by: None,
            reactions: Vec::new(),
        },
    })
}
