//! What goes on beside the control stream: the request's stream, on which either side ends the session, and the streams of
//! HTTP/3 itself.

use std::fmt;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::select;
use tokio::sync::oneshot;
use web_transport_proto::{Frame, StreamUni};

use super::source::{Broken, Data, drain, exactly, head, integer, skip};
use crate::connections::link::LinkError;
use crate::transport::quic::closing::{self, another_stream, explain, violation};

/// Bytes of one stream that are read and dropped. Browsers send some dozens in an hour.
const DROPPED_BYTES_MAX: u64 = 64 * 1024;

/// Streams of one connection, one after the other, that are of no use.
const USELESS_STREAMS_MAX: usize = 64;

/// Ends a session.
const CLOSE_SESSION: u64 = 0x2843;

/// Longest such capsule: the code, and a reason of 1,024 bytes.
const CLOSE_SESSION_BYTES_MAX: usize = 4 + 1024;

/// Kinds of streams that there is one of at most, and that do not end.
const CRITICAL: [StreamUni; 3] = [
    StreamUni::CONTROL,
    StreamUni::QPACK_ENCODER,
    StreamUni::QPACK_DECODER,
];

/// What is watched.
pub(super) struct Others {
    pub(super) connection: Connection,
    /// Number of the session.
    pub(super) session: u64,
    pub(super) connect: RecvStream,
    /// Streams that came during the handshake, with their kinds.
    pub(super) streams: Vec<(u64, RecvStream)>,
    /// Those that have not said theirs yet.
    pub(super) kinds: Kinds,
    /// Where the first stream of the session goes.
    pub(super) control_to: oneshot::Sender<(SendStream, RecvStream)>,
}

/// Watches beside a link. It is asked only when something has happened there, however often the link is.
pub(in crate::transport::quic) struct Beside(FuturesUnordered<BoxFuture<'static, LinkError>>);

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside").finish_non_exhaustive()
    }
}

impl Beside {
    pub(in crate::transport::quic) fn of(watched: BoxFuture<'static, LinkError>) -> Self {
        Self(FuturesUnordered::from_iter([watched]))
    }

    /// What ends the connection, once.
    pub(in crate::transport::quic) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<LinkError> {
        match self.0.poll_next_unpin(cx) {
            Poll::Ready(Some(error)) => Poll::Ready(error),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// What has become of a stream.
enum Outcome {
    /// It is of no use.
    Useless,
    /// The client has opened the control stream.
    Control((SendStream, RecvStream)),
}

type Stream = BoxFuture<'static, Result<Outcome, LinkError>>;

/// Streams that have not said their kind: none of them keeps the others waiting.
pub(super) type Kinds =
    FuturesUnordered<BoxFuture<'static, Result<Option<(u64, RecvStream)>, LinkError>>>;

/// Watches until something ends the connection.
pub(super) async fn watch(others: Others) -> LinkError {
    let Others {
        connection,
        session,
        connect,
        streams: early,
        mut kinds,
        control_to,
    } = others;
    let mut control_to = Some(control_to);
    let mut critical = [false; CRITICAL.len()];
    let mut useless = 0;
    let mut streams: FuturesUnordered<Stream> = FuturesUnordered::new();
    streams.push(Box::pin(goodbye(connect)));
    for (kind, stream) in early {
        match unidirectional(kind, stream, session, &mut critical) {
            Ok(dropped) => streams.push(dropped),
            Err(error) => return error,
        }
    }
    loop {
        let outcome = select! {
            Some(outcome) = streams.next() => outcome,
            Some(kind) = kinds.next() => match kind {
                Ok(Some((kind, stream))) => {
                    match unidirectional(kind, stream, session, &mut critical) {
                        Ok(dropped) => streams.push(dropped),
                        Err(error) => return error,
                    }
                    continue;
                }
                Ok(None) => Ok(Outcome::Useless),
                Err(error) => Err(error),
            },
            stream = connection.accept_uni() => match stream {
                Ok(stream) => {
                    kinds.push(kind_of(stream));
                    continue;
                }
                Err(error) => return explain(&error, true),
            },
            stream = connection.accept_bi() => match stream {
                Ok(stream) => {
                    streams.push(Box::pin(bidirectional(stream, session)));
                    continue;
                }
                Err(error) => return explain(&error, true),
            },
        };
        match outcome {
            Ok(Outcome::Useless) if useless < USELESS_STREAMS_MAX => useless += 1,
            Ok(Outcome::Useless) => return violation("too many streams", closing::EXCESSIVE_LOAD),
            Ok(Outcome::Control(stream)) => match control_to.take() {
                // Without a link the connection is about to be closed.
                Some(control_to) => drop(control_to.send(stream)),
                None => return another_stream(),
            },
            Err(error) => return error,
        }
    }
}

/// Waits for the client to end the session.
async fn goodbye(connect: RecvStream) -> Result<Outcome, LinkError> {
    let mut skippable = DROPPED_BYTES_MAX;
    let mut capsules = Data::of(connect, DROPPED_BYTES_MAX);
    let ended = |broken| match broken {
        // However the request's stream ends, the session ends with it.
        Broken::Ended => LinkError::Closed(None),
        other => other.or(closing::FRAME_ERROR),
    };
    while let Some((kind, length)) = head(&mut capsules).await.map_err(ended)? {
        if kind == CLOSE_SESSION {
            let body = exactly(&mut capsules, length, CLOSE_SESSION_BYTES_MAX).await;
            let body = body.map_err(ended)?;
            let code = body.first_chunk().map(|code| u32::from_be_bytes(*code));
            let code = code.and_then(|code| u16::try_from(code).ok());
            return Err(LinkError::Closed(code));
        }
        let skipped = skip(&mut capsules, length, &mut skippable).await;
        skipped.map_err(ended)?;
    }
    Err(LinkError::Closed(None))
}

/// Waits for the kind of a stream; none if it ends before.
pub(super) fn kind_of(
    mut stream: RecvStream,
) -> BoxFuture<'static, Result<Option<(u64, RecvStream)>, LinkError>> {
    Box::pin(async move {
        match integer(&mut stream).await {
            Ok(kind) => Ok(kind.map(|kind| (kind, stream))),
            Err(Broken::Ended) => Ok(None),
            Err(broken) => Err(broken.or(closing::STREAM_CREATION_ERROR)),
        }
    })
}

/// Reads and drops a stream of this kind.
fn unidirectional(
    kind: u64,
    mut stream: RecvStream,
    session: u64,
    critical: &mut [bool; CRITICAL.len()],
) -> Result<Stream, LinkError> {
    let is = |known: StreamUni| kind == u64::from(known.0);
    let place = CRITICAL.iter().position(|known| is(*known));
    if is(StreamUni::PUSH) || place.is_some_and(|place| critical[place]) {
        let reason = "a stream that a client may not open";
        return Err(violation(reason, closing::STREAM_CREATION_ERROR));
    }
    if let Some(place) = place {
        critical[place] = true;
    }
    let is_session = is(StreamUni::WEBTRANSPORT);
    Ok(Box::pin(async move {
        if is_session {
            of_session(&mut stream, session).await?;
            return Err(another_stream());
        }
        match drain(&mut stream, DROPPED_BYTES_MAX).await {
            Ok(()) | Err(Broken::Ended) if place.is_none() => Ok(Outcome::Useless),
            Ok(()) => Err(Broken::Ended.or(closing::CLOSED_CRITICAL_STREAM)),
            Err(broken) => Err(broken.or(closing::CLOSED_CRITICAL_STREAM)),
        }
    }))
}

/// Reads which session a stream belongs to. There is only this one.
async fn of_session(stream: &mut RecvStream, session: u64) -> Result<(), LinkError> {
    let number = integer(stream).await;
    if number.map_err(|broken| broken.or(closing::ID_ERROR))? == Some(session) {
        return Ok(());
    }
    Err(violation("a stream of no session", closing::ID_ERROR))
}

/// The control stream, or one more request, which is not looked at.
async fn bidirectional(
    (mut sender, mut receiver): (SendStream, RecvStream),
    session: u64,
) -> Result<Outcome, LinkError> {
    match integer(&mut receiver).await {
        Ok(Some(kind)) if kind == u64::from(Frame::WEBTRANSPORT.0) => {
            of_session(&mut receiver, session).await?;
            Ok(Outcome::Control((sender, receiver)))
        }
        Ok(_) | Err(Broken::Ended) => {
            let code = VarInt::from_u32(closing::REQUEST_REJECTED);
            // Either side may have ended it already.
            let _ended = (sender.reset(code), receiver.stop(code));
            Ok(Outcome::Useless)
        }
        Err(broken) => Err(broken.or(closing::FRAME_ERROR)),
    }
}
