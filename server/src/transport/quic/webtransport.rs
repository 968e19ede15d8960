//! WebTransport over HTTP/3: a browser's way to the same link. Its session is one CONNECT request; the control stream and
//! datagrams belong to it by its number.
//!
//! A connection carries one session. What HTTP/3 has beside is answered in order, and bounded.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt as _;
use pitturu_metrics::labels::{HandshakeRefusal, Transport};
use pitturu_protocol::codes::CloseCode;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use tokio::select;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use web_transport_proto::{Capsule, ConnectResponse, Frame, Setting, Settings};

use super::closing::{self, explain, name, violation};
use crate::connections::link::{CloseReason, LinkError};
use crate::transport::handshake::{Origins, Refusal};
use request::Asked;
use source::Broken;
pub(super) use watch::Beside;
use watch::{Kinds, Others, kind_of, watch};

mod request;
mod source;
mod watch;

/// The application protocol (ALPN).
pub(super) const ALPN: &[u8] = b"h3";

/// What the transport calls itself.
pub(super) const TRANSPORT: Transport = Transport::WebTransport;

/// The request, the control stream, and one to refuse.
const BIDIRECTIONAL_MAX: u32 = 3;

/// HTTP/3 has three; clients open others to see whether servers bear it.
const UNIDIRECTIONAL_MAX: u32 = 6;

/// Longest settings of a client in bytes. Browsers send about 40.
const SETTINGS_BYTES_MAX: usize = 2 * 1024;

/// How long a session that has no control stream is told so, and then has for leaving.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

/// Settings that the library does not know: WebTransport of Safari from 26.4 on, and of later drafts.
const LATER_SETTINGS: [u32; 2] = [0x14e9_cd29, 0x2c7c_f000];

/// The session's side of a link.
#[derive(Debug)]
pub(super) struct Session {
    /// The request's stream, until the client is told that the session is over.
    connect: Option<SendStream>,
    /// Has to stay open as long as the connection: a browser takes its end for a violation.
    _settings: SendStream,
    /// What stands before each datagram.
    pub(super) datagram_prefix: Bytes,
    quarter: u64,
}

/// A session whose client has opened the control stream.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) session: Session,
    pub(super) control: (SendStream, RecvStream),
    /// What happens beside the control stream, until it ends the connection.
    pub(super) beside: Beside,
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Refused {
    /// The client has its answer, or is gone. The label of it in metrics.
    Told(HandshakeRefusal),
    /// It is to be told this.
    Close(HandshakeRefusal, CloseReason),
}

impl Refused {
    /// There was no control stream in time.
    pub(super) const fn late() -> Self {
        let reason = CloseReason::Protocol(CloseCode::HandshakeTimeout);
        Self::Close(HandshakeRefusal::Timeout, reason)
    }
}

impl From<LinkError> for Refused {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Violation { close, .. } => {
                Self::Close(HandshakeRefusal::Malformed, CloseReason::Transport(close))
            }
            LinkError::Closed(_) | LinkError::Io(_) => Self::Told(HandshakeRefusal::Io),
        }
    }
}

impl Session {
    /// Takes the number of its session from a datagram, and says whether it is this one.
    pub(super) fn own(&self, datagram: &mut Bytes) -> Result<bool, LinkError> {
        let number = web_transport_proto::VarInt::decode(datagram)
            .map_err(|_| violation("a datagram without a session", closing::DATAGRAM_ERROR))?;
        Ok(number.into_inner() == self.quarter)
    }

    /// Tells the client that the session is over, and waits until it has confirmed that. False: it does not hear of it so, or was
    /// told before.
    pub(super) fn tell(
        &mut self,
        reason: CloseReason,
    ) -> impl Future<Output = bool> + Send + use<> {
        let connect = self.connect.take();
        let capsule = Capsule::CloseWebTransportSession {
            code: u32::from(reason.number()),
            reason: name(reason).to_owned(),
        };
        let mut bytes = BytesMut::new();
        capsule.encode(&mut bytes);
        let frame = data_frame(&bytes);
        async move {
            let Some(mut connect) = connect else {
                return false;
            };
            connect.write_all(&frame).await.is_ok()
                && connect.finish().is_ok()
                && matches!(connect.stopped().await, Ok(None))
        }
    }
}

/// Makes a session of a connection, by `until`.
pub(super) async fn accept(
    connection: &Connection,
    origins: &Origins,
    until: Instant,
) -> Result<Accepted, Refused> {
    let begun = timeout_at(until, begin(connection, origins)).await;
    let (mut session, beside, control) = begun.map_err(|_elapsed| Refused::late())??;
    let mut beside = Box::pin(beside);
    let came = timeout_at(until, async {
        select! {
            error = beside.as_mut() => Err(error),
            control = control => control.map_err(|_gone| LinkError::Closed(None)),
        }
    });
    match came.await {
        Ok(Ok(control)) => Ok(Accepted {
            session,
            control,
            beside: Beside::of(beside),
        }),
        Ok(Err(error)) => Err(error.into()),
        Err(_elapsed) => {
            let reason = CloseReason::Protocol(CloseCode::HandshakeTimeout);
            drop(timeout(LAST_WORDS, session.tell(reason)).await);
            drop(timeout(LAST_WORDS, connection.closed()).await);
            Err(Refused::late())
        }
    }
}

/// Up to the answer to the request.
async fn begin(
    connection: &Connection,
    origins: &Origins,
) -> Result<
    (
        Session,
        impl Future<Output = LinkError> + Send + use<>,
        oneshot::Receiver<(SendStream, RecvStream)>,
    ),
    Refused,
> {
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(BIDIRECTIONAL_MAX));
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(UNIDIRECTIONAL_MAX));
    let settings = send_settings(connection).await?;
    let asked = async {
        let (sender, receiver) = connection.accept_bi().await.map_err(|error| lost(&error))?;
        request::read(sender, receiver).await
    };
    let ((streams, kinds), asked) = tokio::try_join!(client_settings(connection), asked)?;
    let Asked {
        mut sender,
        receiver,
        verdict,
    } = asked;
    if let Err(refusal) = verdict.and_then(|request| request::check(&request, origins)) {
        return Err(refuse(connection, sender, &refusal).await);
    }
    let mut answer = Vec::new();
    let encoded = ConnectResponse::OK.encode(&mut answer);
    debug_assert!(encoded.is_ok(), "it has three short fields");
    sender
        .write_all(&answer)
        .await
        .map_err(|_| Refused::Told(HandshakeRefusal::Io))?;
    // Requests come on every fourth stream, and datagrams have their numbers so.
    let number = VarInt::from(sender.id()).into_inner();
    let session = Session {
        connect: Some(sender),
        _settings: settings,
        datagram_prefix: integer(number / 4),
        quarter: number / 4,
    };
    let (control_to, control) = oneshot::channel();
    let others = Others {
        connection: connection.clone(),
        session: number,
        connect: receiver,
        streams,
        kinds,
        control_to,
    };
    Ok((session, watch(others), control))
}

fn lost(error: &ConnectionError) -> Refused {
    explain(error, true).into()
}

async fn send_settings(connection: &Connection) -> Result<SendStream, Refused> {
    let mut settings = Settings::default();
    settings.enable_webtransport(1);
    for setting in LATER_SETTINGS {
        let name = Setting(web_transport_proto::VarInt::from_u32(setting));
        settings.insert(name, web_transport_proto::VarInt::from_u32(1));
    }
    let mut bytes = Vec::new();
    settings.encode(&mut bytes);
    let mut stream = connection.open_uni().await.map_err(|error| lost(&error))?;
    stream
        .write_all(&bytes)
        .await
        .map_err(|_| Refused::Told(HandshakeRefusal::Io))?;
    Ok(stream)
}

/// Waits for the client's settings. Gives the streams that came up to then: those that have said their kind, and the others.
async fn client_settings(
    connection: &Connection,
) -> Result<(Vec<(u64, RecvStream)>, Kinds), Refused> {
    let (mut streams, mut kinds) = (Vec::new(), Kinds::new());
    loop {
        let (kind, mut stream) = select! {
            stream = connection.accept_uni() => {
                kinds.push(kind_of(stream.map_err(|error| lost(&error))?));
                continue;
            }
            Some(kind) = kinds.next() => match kind? {
                Some(known) => known,
                None => continue,
            },
        };
        let is_control = kind == u64::from(web_transport_proto::StreamUni::CONTROL.0);
        if is_control {
            check_settings(connection, &read_settings(&mut stream).await?)?;
        }
        streams.push((kind, stream));
        if is_control {
            return Ok((streams, kinds));
        }
        if streams.len() > UNIDIRECTIONAL_MAX as usize {
            return Err(violation("streams before the settings", closing::EXCESSIVE_LOAD).into());
        }
    }
}

async fn read_settings(stream: &mut RecvStream) -> Result<Settings, LinkError> {
    let unfinished = |broken: Broken| broken.or(closing::CLOSED_CRITICAL_STREAM);
    let head = source::head(stream).await.map_err(unfinished)?;
    let Some((kind, length)) = head else {
        return Err(Broken::Ended.or(closing::CLOSED_CRITICAL_STREAM));
    };
    if kind != u64::from(Frame::SETTINGS.0) {
        return Err(violation("no settings", closing::MISSING_SETTINGS));
    }
    let body = source::exactly(stream, length, SETTINGS_BYTES_MAX).await;
    let body = body.map_err(unfinished)?;
    let mut whole = BytesMut::new();
    web_transport_proto::StreamUni::CONTROL.encode(&mut whole);
    put_frame(&mut whole, Frame::SETTINGS, &body);
    Settings::decode(&mut whole).map_err(|_| violation("malformed settings", closing::FRAME_ERROR))
}

/// A client that sends a request says by it that it knows WebTransport; datagrams are what it may lack.
fn check_settings(connection: &Connection, settings: &Settings) -> Result<(), LinkError> {
    let one = web_transport_proto::VarInt::from_u32(1);
    let has_datagrams = [
        Setting::ENABLE_DATAGRAM,
        Setting::ENABLE_DATAGRAM_DEPRECATED,
    ]
    .iter()
    .any(|setting| settings.get(setting) == Some(&one));
    if has_datagrams && connection.max_datagram_size().is_some() {
        return Ok(());
    }
    Err(violation("no datagrams", closing::SETTINGS_ERROR))
}

/// Answers by a status and a text for people, and waits until that has arrived.
async fn refuse(connection: &Connection, mut sender: SendStream, refusal: &Refusal) -> Refused {
    let mut answer = Vec::new();
    let encoded = ConnectResponse::new(refusal.status).encode(&mut answer);
    debug_assert!(encoded.is_ok(), "it has three short fields");
    answer.extend_from_slice(&data_frame(refusal.text.as_bytes()));
    if sender.write_all(&answer).await.is_ok() && sender.finish().is_ok() {
        let _outcome = sender.stopped().await;
    }
    connection.close(VarInt::from_u32(u32::from(closing::NO_ERROR)), b"");
    Refused::Told(refusal.label)
}

fn put_frame(into: &mut BytesMut, kind: Frame, body: &[u8]) {
    kind.encode(into);
    into.put_slice(&integer(body.len() as u64));
    into.put_slice(body);
}

fn data_frame(body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    put_frame(&mut frame, Frame::DATA, body);
    frame.freeze()
}

fn integer(value: u64) -> Bytes {
    let mut bytes = BytesMut::new();
    web_transport_proto::VarInt::try_from(value)
        .unwrap_or(web_transport_proto::VarInt::MAX)
        .encode(&mut bytes);
    bytes.freeze()
}
