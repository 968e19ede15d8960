//! A QUIC client that does what it is told, also wrong things.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pitturu_protocol::frame::{CallId, ClientFrame, ServerFrame, call};
use pitturu_protocol::framing::{MessageReader, length};
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::system::{Echo, Goaway};
use pitturu_protocol::{ALPN, codec};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig,
    VarInt,
};
use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::time::timeout;

use crate::launch::Server;
use crate::player::hello;

/// Longest wait for anything that must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection with its control stream.
pub(super) struct RawQuic {
    pub(super) endpoint: Endpoint,
    pub(super) connection: Connection,
    pub(super) sender: SendStream,
    pub(super) receiver: RecvStream,
    reader: MessageReader,
    unread: Bytes,
    last_call: CallId,
    pub(super) goaway: Option<Goaway>,
    /// Codes of faults about the connection.
    pub(super) faults: Vec<u16>,
}

/// Believes everybody.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("QUIC has TLS 1.3")
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![
            rustls::SignatureScheme::ECDSA_NISTP256_SHA256,
            rustls::SignatureScheme::ED25519,
        ]
    }
}

/// TLS that offers these protocols and believes everybody.
pub(super) fn credulous(alpn: &[&[u8]]) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    tls
}

/// An endpoint that offers these protocols.
pub(super) fn endpoint(alpn: &[&[u8]]) -> Endpoint {
    let crypto = QuicClientConfig::try_from(credulous(alpn)).unwrap();
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
    endpoint
}

/// Shakes hands and opens no stream.
pub(super) async fn dial(
    endpoint: &Endpoint,
    server: SocketAddr,
) -> Result<Connection, ConnectionError> {
    let connecting = endpoint.connect(server, "localhost").unwrap();
    timeout(PATIENCE, connecting).await.unwrap()
}

/// First packets of so many handshakes, each of another connection. The endpoints that made them go on waiting for an answer.
pub(super) async fn first_packets(count: usize) -> (Vec<Vec<u8>>, Vec<quinn::Connecting>) {
    let sink = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(&[ALPN]);
    let to = sink.local_addr().unwrap();
    let mut handshakes = Vec::new();
    let mut packets: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    while packets.len() < count {
        handshakes.push(endpoint.connect(to, "localhost").unwrap());
        let known = packets.len();
        // Repetitions of earlier first packets come as well.
        while packets.len() == known {
            let mut packet = vec![0; 2048];
            let bytes = timeout(PATIENCE, sink.recv(&mut packet)).await.unwrap();
            packet.truncate(bytes.unwrap());
            let connection_bytes = usize::from(packet[5]);
            let connection = packet[6..6 + connection_bytes].to_vec();
            packets.entry(connection).or_insert(packet);
        }
    }
    (packets.into_values().collect(), handshakes)
}

impl RawQuic {
    /// Connects and sends nothing.
    pub(super) async fn silent(server: &Server) -> Self {
        let endpoint = endpoint(&[ALPN]);
        let connection = dial(&endpoint, server.quic.unwrap()).await.unwrap();
        Self::on(endpoint, connection).await
    }

    /// Connects as [`Self::silent`], and takes no more than one byte of any stream: it reads nothing.
    pub(super) async fn shut(server: &Server) -> Self {
        let mut endpoint = endpoint(&[ALPN]);
        let crypto = QuicClientConfig::try_from(credulous(&[ALPN])).unwrap();
        let mut transport = TransportConfig::default();
        transport
            .stream_receive_window(VarInt::from_u32(1))
            .receive_window(VarInt::from_u32(1));
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        endpoint.set_default_client_config(config);
        let connection = dial(&endpoint, server.quic.unwrap()).await.unwrap();
        Self::on(endpoint, connection).await
    }

    /// Opens the control stream of a connection.
    pub(super) async fn on(endpoint: Endpoint, connection: Connection) -> Self {
        let control = connection.open_bi().await.unwrap();
        Self::with(endpoint, connection, control)
    }

    /// On a control stream that is there.
    pub(super) fn with(
        endpoint: Endpoint,
        connection: Connection,
        (sender, receiver): (SendStream, RecvStream),
    ) -> Self {
        Self {
            endpoint,
            connection,
            sender,
            receiver,
            reader: MessageReader::default(),
            unread: Bytes::new(),
            last_call: 0,
            goaway: None,
            faults: Vec::new(),
        }
    }

    /// Connects and is welcome.
    pub(super) async fn connect(server: &Server) -> Self {
        let mut client = Self::silent(server).await;
        client.send(&hello()).await;
        client.welcomed().await;
        client
    }

    /// Waits for the welcome.
    pub(super) async fn welcomed(&mut self) {
        let message = self.message().await.unwrap();
        let (frame, _) = ServerFrame::read(&message).unwrap();
        assert!(matches!(frame, ServerFrame::Welcome(_)), "{frame:?}");
    }

    /// Sends frames as one message.
    pub(super) async fn send(&mut self, frames: &[u8]) {
        self.sender.write_all(&length(frames.len())).await.unwrap();
        self.sender.write_all(frames).await.unwrap();
    }

    /// The next message. None: the control stream has ended.
    pub(super) async fn message(&mut self) -> Option<Bytes> {
        let message = async {
            loop {
                if let Some(message) = self.reader.read(&mut self.unread).unwrap() {
                    return Some(message);
                }
                let chunk = self.receiver.read_chunk(usize::MAX, true).await;
                self.unread = chunk.ok()??.bytes;
            }
        };
        timeout(PATIENCE, message).await.unwrap()
    }

    /// Frames that ask for these echoes.
    pub(super) fn echo_frames(&mut self, data: &[Vec<u8>]) -> Vec<u8> {
        let mut frames = Vec::new();
        for data in data {
            self.last_call += 1;
            let echo = Echo { data: data.clone() };
            frames.extend(call(self.last_call, &echo, None));
        }
        frames
    }

    /// Sends an echo.
    pub(super) async fn begin_echo(&mut self, data: &[u8]) {
        let frames = self.echo_frames(&[data.to_vec()]);
        self.send(&frames).await;
    }

    /// Reads until the answers of so many calls have come, and gives what they bring back.
    pub(super) async fn echoed(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut echoed = Vec::new();
        while echoed.len() < count {
            let message = self.message().await.expect("the connection is open");
            let mut rest = &message[..];
            while !rest.is_empty() {
                let (frame, after) = ServerFrame::read(rest).unwrap();
                rest = after;
                match frame {
                    ServerFrame::Reply { body, .. } => {
                        echoed.push(codec::decode::<<Echo as Method>::Reply>(body).unwrap().data);
                    }
                    ServerFrame::Ping { nonce, .. } => {
                        self.send(&ClientFrame::Pong { nonce }.encode()).await;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        echoed
    }

    /// Makes an echo and waits for its answer.
    pub(super) async fn echo(&mut self) {
        self.begin_echo(b"echo").await;
        assert_eq!(self.echoed(1).await, [b"echo"]);
    }

    /// Reads until the end: the code that the server closed the connection with, if it was the server.
    pub(super) async fn farewell(&mut self) -> Option<u64> {
        self.last_words().await;
        self.close_code().await
    }

    /// Reads until the end of the control stream.
    pub(super) async fn last_words(&mut self) {
        while let Some(message) = self.message().await {
            let mut rest = &message[..];
            while !rest.is_empty() {
                let (frame, after) = ServerFrame::read(rest).unwrap();
                rest = after;
                match frame {
                    ServerFrame::Goaway(goaway) => self.goaway = Some(goaway),
                    ServerFrame::Fault { call: 0, fault } => self.faults.push(fault.code.number()),
                    _ => {}
                }
            }
        }
    }

    /// The code that the server closes the connection with, if it is the server.
    pub(super) async fn close_code(&self) -> Option<u64> {
        match timeout(PATIENCE, self.connection.closed()).await.unwrap() {
            ConnectionError::ApplicationClosed(closed) => Some(closed.error_code.into_inner()),
            _ => None,
        }
    }
}
