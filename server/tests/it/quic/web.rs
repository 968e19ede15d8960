//! A WebTransport client that does what it is told, also wrong things.

use http::{HeaderName, HeaderValue};
use pitturu_protocol::frame::ClientFrame;
use pitturu_protocol::ids::RoomId;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use tokio::time::timeout;
use web_transport_proto::{
    Capsule, ConnectError, ConnectRequest, ConnectResponse, Http3CapsuleReader, Settings,
    error_from_http3,
};

use super::raw::{PATIENCE, RawQuic, dial, endpoint};
use crate::launch::Server;
use crate::player::hello;

/// The head of a stream of the session.
pub(super) const OF_SESSION: &[u8] = &[0x40, 0x41, 0];

/// A session with its control stream.
pub(super) struct Web {
    pub(super) client: RawQuic,
    /// The client's own stream of HTTP/3.
    pub(super) settings: SendStream,
    pub(super) request: SendStream,
    pub(super) answer: RecvStream,
}

/// Settings of a client that knows WebTransport.
pub(super) fn settings() -> Vec<u8> {
    let mut settings = Settings::default();
    settings.enable_webtransport(1);
    let mut bytes = Vec::new();
    settings.encode(&mut bytes);
    bytes
}

/// A request for this path, by a page of this origin.
pub(super) fn request(path: &str, origin: Option<&str>) -> Vec<u8> {
    let mut request = ConnectRequest::decode(&mut &frame(1, &fields("CONNECT", path))[..]).unwrap();
    if let Some(origin) = origin {
        let origin = HeaderValue::from_str(origin).unwrap();
        request = request.with_header(HeaderName::from_static("origin"), origin);
    }
    let mut bytes = Vec::new();
    request.encode(&mut bytes).unwrap();
    bytes
}

/// Fields of a request, all as literals.
pub(super) fn fields(method: &str, path: &str) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    for (name, value) in [
        (":method", method),
        (":scheme", "https"),
        (":authority", "localhost:7350"),
        (":path", path),
        (":protocol", "webtransport"),
    ] {
        put_field(&mut bytes, name, value);
    }
    bytes
}

/// A field as one that is in no table.
pub(super) fn put_field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.push(0x20 | u8::try_from(name.len().min(7)).unwrap());
    if name.len() >= 7 {
        bytes.push(u8::try_from(name.len() - 7).unwrap());
    }
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend_from_slice(value.as_bytes());
}

/// A frame of HTTP/3, or a capsule, of a small kind.
pub(super) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap() | 0x4000;
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// A connection for HTTP/3.
pub(super) async fn h3(server: &Server) -> (Endpoint, Connection) {
    let endpoint = endpoint(&[b"h3"]);
    let connection = dial(&endpoint, server.quic.unwrap()).await.unwrap();
    (endpoint, connection)
}

/// Opens a stream of HTTP/3 with these bytes.
pub(super) async fn open_uni(connection: &Connection, bytes: &[u8]) -> SendStream {
    let opening = timeout(PATIENCE, connection.open_uni());
    let mut stream = opening.await.unwrap().unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Opens a stream of the client with these bytes.
pub(super) async fn open_bi(connection: &Connection, bytes: &[u8]) -> (SendStream, RecvStream) {
    let opening = timeout(PATIENCE, connection.open_bi());
    let (mut sender, receiver) = opening.await.unwrap().unwrap();
    sender.write_all(bytes).await.unwrap();
    (sender, receiver)
}

/// The status that the server answers a request with.
pub(super) async fn status(answer: &mut RecvStream) -> u16 {
    match timeout(PATIENCE, ConnectResponse::read(answer))
        .await
        .unwrap()
    {
        Ok(response) => response.status.as_u16(),
        Err(ConnectError::WrongStatus(Some(status))) => status.as_u16(),
        other => panic!("{other:?}"),
    }
}

/// The code that the server closes a connection with.
pub(super) async fn code(connection: &Connection) -> u64 {
    match timeout(PATIENCE, connection.closed()).await.unwrap() {
        ConnectionError::ApplicationClosed(closed) => closed.error_code.into_inner(),
        other => panic!("{other:?}"),
    }
}

/// The close code in the code of a connection, as WebTransport puts it there.
pub(super) async fn hidden_code(connection: &Connection) -> Option<u32> {
    error_from_http3(code(connection).await)
}

/// An input as players send it.
pub(super) fn input(seq: u64) -> Vec<u8> {
    ClientFrame::Input {
        room: RoomId::from_bytes([9; 10]),
        seq,
        data: b"left",
    }
    .encode()
}

impl Web {
    /// A session that has sent nothing yet.
    pub(super) async fn silent(server: &Server) -> Self {
        Self::asking(server, &request("/", None)).await
    }

    /// The same by this request.
    pub(super) async fn asking(server: &Server, request: &[u8]) -> Self {
        let (endpoint, connection) = h3(server).await;
        let settings = open_uni(&connection, &settings()).await;
        let (request, mut answer) = open_bi(&connection, request).await;
        assert_eq!(status(&mut answer).await, 200);
        let control = open_bi(&connection, OF_SESSION).await;
        Self {
            client: RawQuic::with(endpoint, connection, control),
            settings,
            request,
            answer,
        }
    }

    /// A session that is welcome.
    pub(super) async fn connect(server: &Server) -> Self {
        let mut web = Self::silent(server).await;
        web.greet().await;
        web
    }

    /// Says hello and is welcome.
    pub(super) async fn greet(&mut self) {
        self.client.send(&hello()).await;
        self.client.welcomed().await;
    }

    /// Sends a datagram behind this head.
    pub(super) fn datagram(&self, head: &[u8], datagram: &[u8]) {
        let bytes = [head, datagram].concat();
        self.client.connection.send_datagram(bytes.into()).unwrap();
    }

    /// Reads to the end, as a page does: the code and the reason that the server closed the session with.
    pub(super) async fn farewell(&mut self) -> (u32, String) {
        self.client.last_words().await;
        // Where the client has broken the stream, it has ended already.
        let _ended = self.client.sender.finish();
        let mut capsules = Http3CapsuleReader::new(&mut self.answer);
        let capsule = timeout(PATIENCE, capsules.read()).await.unwrap();
        match capsule.unwrap() {
            Some(Capsule::CloseWebTransportSession { code, reason }) => (code, reason),
            other => panic!("{other:?}"),
        }
    }
}
