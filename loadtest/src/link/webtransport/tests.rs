use std::sync::Arc;
use std::time::Duration;

use pitturu_protocol::framing::length;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig, VarInt as Number};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::time::timeout;
use web_transport_proto::http::StatusCode;
use web_transport_proto::{
    Capsule, ConnectRequest, ConnectResponse, Frame, Http3CapsuleReader, Settings, StreamUni,
    VarInt, error_to_http3,
};

use crate::certificate;
use crate::link::{ConnectError, Link, Lost, Outgoing, Receiver, Route, Transport};

/// Longest time for a test, far above what it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A close code of the protocol.
const CODE: u16 = 4_001;

/// A server that does what it is told.
struct Server {
    connection: Connection,
    /// Streams of HTTP/3: its own, and those of the client.
    _critical: (SendStream, Vec<RecvStream>),
    answer: SendStream,
    request: RecvStream,
    control: Option<(SendStream, RecvStream)>,
}

/// What a client has heard.
#[derive(Default)]
struct Heard(Vec<Vec<u8>>);

impl Receiver for Heard {
    fn message(&mut self, payload: &[u8], _out: &mut Outgoing) -> Result<(), Lost> {
        self.0.push(payload.to_vec());
        Ok(())
    }

    fn received(&mut self, _bytes: usize, _messages: usize) {}

    fn written(&mut self, _bytes: usize) {}
}

fn endpoint() -> Endpoint {
    let made = certificate::make().unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key.into())
        .unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = QuicServerConfig::try_from(tls).unwrap();
    let config = ServerConfig::with_crypto(Arc::new(crypto));
    Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap()
}

impl Server {
    /// Takes the next connection, and gives this answer to its request.
    async fn accept(endpoint: &Endpoint, status: StatusCode) -> Self {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        let mut own = Settings::default();
        own.enable_webtransport(1);
        let mut bytes = Vec::new();
        own.encode(&mut bytes);
        let mut settings = connection.open_uni().await.unwrap();
        settings.write_all(&bytes).await.unwrap();
        let clients = clients_streams(&connection).await;
        let (mut answer, mut request) = connection.accept_bi().await.unwrap();
        check(endpoint, &ConnectRequest::read(&mut request).await.unwrap());
        let mut bytes = Vec::new();
        ConnectResponse::new(status).encode(&mut bytes).unwrap();
        answer.write_all(&bytes).await.unwrap();
        Self {
            connection,
            _critical: (settings, clients),
            answer,
            request,
            control: None,
        }
    }

    /// The same with a session, whose control stream is there.
    async fn open(endpoint: &Endpoint) -> Self {
        let mut server = Self::accept(endpoint, StatusCode::OK).await;
        let (sender, mut receiver) = server.connection.accept_bi().await.unwrap();
        let mut head = [0; 3];
        receiver.read_exact(&mut head).await.unwrap();
        assert_eq!(head, [0x40, 0x41, 0], "a stream of the first session");
        server.control = Some((sender, receiver));
        server
    }

    async fn send(&mut self, message: &[u8]) {
        let (sender, _) = self.control.as_mut().unwrap();
        let bytes = [&length(message.len()), message].concat();
        sender.write_all(&bytes).await.unwrap();
    }

    /// Ends its half of the control stream, and waits for the other one.
    async fn finish(&mut self) -> Vec<u8> {
        let (sender, receiver) = self.control.as_mut().unwrap();
        sender.finish().unwrap();
        receiver.read_to_end(1_000).await.unwrap()
    }

    /// Ends the session by a capsule.
    async fn tell(&mut self, code: u16) {
        let mut capsule = Vec::new();
        Capsule::CloseWebTransportSession {
            code: u32::from(code),
            reason: "why".to_owned(),
        }
        .encode(&mut capsule);
        let mut frame = Vec::new();
        Frame::DATA.encode(&mut frame);
        VarInt::from(u8::try_from(capsule.len()).unwrap()).encode(&mut frame);
        self.answer.write_all(&frame).await.unwrap();
        self.answer.write_all(&capsule).await.unwrap();
        self.answer.finish().unwrap();
    }
}

/// The streams of HTTP/3 that a browser opens.
async fn clients_streams(connection: &Connection) -> Vec<RecvStream> {
    let mut streams = Vec::new();
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let mut stream = connection.accept_uni().await.unwrap();
        let kind = VarInt::read(&mut stream).await.unwrap().into_inner();
        if kind == StreamUni::CONTROL.0.into_inner() {
            let kind = VarInt::read(&mut stream).await.unwrap();
            assert_eq!(Frame(kind), Frame::SETTINGS);
            let length = VarInt::read(&mut stream).await.unwrap().into_inner();
            let mut body = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut body).await.unwrap();
            check_settings(&body);
        }
        kinds.push(kind);
        streams.push(stream);
    }
    kinds.sort_unstable();
    assert_eq!(kinds, [0, 2, 3]);
    streams
}

fn check_settings(body: &[u8]) {
    let mut whole = vec![0, 4];
    VarInt::from(u8::try_from(body.len()).unwrap()).encode(&mut whole);
    whole.extend_from_slice(body);
    let settings = Settings::decode(&mut &whole[..]).unwrap();
    assert_eq!(settings.supports_webtransport(), 1);
    let mut names: Vec<u64> = settings.keys().map(|name| name.0.into_inner()).collect();
    names.sort_unstable();
    let known = [1, 6, 7, 8, 0x33, 0xff_d277];
    assert!(names.starts_with(&known), "{names:x?}");
}

/// A request as our servers want it.
fn check(endpoint: &Endpoint, request: &ConnectRequest) {
    let host = endpoint.local_addr().unwrap();
    assert_eq!(request.url.as_str(), format!("https://{host}/"));
    let origin = request.headers.get("origin").unwrap();
    assert_eq!(origin, format!("https://{host}").as_str());
}

async fn connect(endpoint: &Endpoint) -> Result<Link, ConnectError> {
    let address = endpoint.local_addr().unwrap();
    Link::connect(Route::to(Transport::WebTransport, address)).await
}

/// A session, at both of its ends.
async fn session() -> (Link, Server, Endpoint) {
    let endpoint = endpoint();
    let (link, server) = tokio::join!(connect(&endpoint), Server::open(&endpoint));
    (link.unwrap(), server, endpoint)
}

/// Listens to the end: what came, and why it ended.
async fn listen(link: &mut Link) -> (Vec<Vec<u8>>, Lost) {
    let mut heard = Heard::default();
    let lost = timeout(PATIENCE, async {
        loop {
            if let Err(lost) = link.turn(&mut heard).await {
                return lost;
            }
        }
    });
    let lost = lost.await.unwrap();
    (heard.0, lost)
}

#[tokio::test]
async fn what_came_before_the_goodbye_is_heard_and_its_code_is_the_reason() {
    let (mut link, mut server, _endpoint) = session().await;
    let server = async {
        server.send(b"one").await;
        server.send(&[7; 3_000]).await;
        let came = server.finish().await;
        // As a page that has ended its half: what it still writes goes nowhere.
        server.tell(CODE).await;
        server.connection.closed().await;
        came
    };
    link.out.message(b"hello");
    let client = async {
        let heard = listen(&mut link).await;
        link.out.message(b"too late");
        let again = listen(&mut link).await.1;
        link.cut();
        (heard, again)
    };
    let (((heard, lost), again), came) = tokio::join!(client, server);
    assert_eq!(heard, [b"one".to_vec(), vec![7; 3_000]]);
    assert_eq!(lost, Lost::Closed(Some(CODE)));
    assert_eq!(again, lost);
    assert_eq!(came, [&length(5)[..], b"hello"].concat());
}

#[tokio::test]
async fn a_session_may_end_without_its_streams() {
    let (mut link, mut server, _endpoint) = session().await;
    server.tell(CODE).await;
    assert_eq!(listen(&mut link).await.1, Lost::Closed(Some(CODE)));
    let (mut link, mut server, _endpoint) = session().await;
    server.answer.finish().unwrap();
    assert_eq!(listen(&mut link).await.1, Lost::Closed(None));
}

#[tokio::test]
async fn the_code_of_a_connection_holds_the_close_code() {
    for (code, expected) in [
        (error_to_http3(u32::from(CODE)), Some(CODE)),
        // Of HTTP/3 itself.
        (0x100, None),
        (u64::from(CODE), None),
    ] {
        let (mut link, server, _endpoint) = session().await;
        let code = Number::from_u64(code).unwrap();
        server.connection.close(code, b"");
        assert_eq!(listen(&mut link).await.1, Lost::Closed(expected));
    }
}

#[tokio::test]
async fn datagrams_of_the_session_are_heard_and_no_others() {
    let (mut link, mut server, _endpoint) = session().await;
    link.receive_datagrams().unwrap();
    for datagram in [&[1_u8, 2, 3][..], &[], &[0, 4, 5]] {
        let datagram = datagram.to_vec().into();
        server.connection.send_datagram(datagram).unwrap();
    }
    let mut heard = Heard::default();
    let turn = link.turn(&mut heard);
    timeout(PATIENCE, turn).await.unwrap().unwrap();
    assert_eq!(heard.0, [[4, 5]]);
    server.tell(CODE).await;
    assert_eq!(listen(&mut link).await.1, Lost::Closed(Some(CODE)));
}

#[tokio::test]
async fn who_leaves_says_so_in_a_capsule_behind_all_that_was_sent() {
    let (mut link, server, _endpoint) = session().await;
    link.out.message(b"last");
    let server = async {
        let Server {
            connection,
            request,
            control,
            ..
        } = server;
        let mut control = control.unwrap();
        let came = control.1.read_to_end(1_000).await.unwrap();
        let mut capsules = Http3CapsuleReader::new(request);
        let capsule = capsules.read().await.unwrap();
        connection.close(Number::from_u32(0x100), b"");
        (came, capsule)
    };
    let mut heard = Heard::default();
    let (came, capsule) = timeout(PATIENCE, async {
        tokio::join!(link.close(&mut heard), server).1
    })
    .await
    .unwrap();
    assert_eq!(came, [&length(4)[..], b"last"].concat());
    let (code, reason) = (1_000, String::new());
    let expected = Capsule::CloseWebTransportSession { code, reason };
    assert_eq!(capsule, Some(expected));
}

#[tokio::test]
async fn a_refusal_is_told_by_its_status() {
    let endpoint = endpoint();
    let refusing = Server::accept(&endpoint, StatusCode::FORBIDDEN);
    let (link, _server) = tokio::join!(connect(&endpoint), refusing);
    let refused = link.unwrap_err().to_string();
    assert!(refused.contains("403 Forbidden"), "{refused}");
}
