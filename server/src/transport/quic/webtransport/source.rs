//! Reads what HTTP/3 puts on streams, as it comes. What is to be dropped is never kept.

use bytes::{Bytes, BytesMut};
use quinn::{ConnectionError, ReadError, RecvStream};
use web_transport_proto::{Frame, VarInt};

use crate::connections::link::LinkError;
use crate::transport::quic::closing::{EXCESSIVE_LOAD, explain, violation};

/// Most bytes that are taken from a stream at a time to be dropped.
const DROPPED_AT_ONCE: usize = 16 * 1024;

/// Least bytes of kind and length.
const HEAD_BYTES_MIN: u64 = 2;

/// Why reading broke off.
#[derive(Debug)]
pub(super) enum Broken {
    /// The stream ended, or was reset, within something.
    Ended,
    /// More came than may come.
    TooMuch,
    /// The connection is gone.
    Lost(ConnectionError),
}

impl Broken {
    /// What it means for the connection, where an end within something is this error.
    pub(super) fn or(self, ended: u16) -> LinkError {
        match self {
            Self::Ended => violation("a stream ended within something", ended),
            Self::TooMuch => violation("too much on a stream", EXCESSIVE_LOAD),
            Self::Lost(error) => explain(&error, true),
        }
    }
}

/// A stream of bytes.
pub(super) trait Source: Send {
    /// The next bytes, at most so many, which is above 0. None: the stream has ended.
    fn take(&mut self, most: usize) -> impl Future<Output = Result<Option<Bytes>, Broken>> + Send;
}

impl Source for RecvStream {
    async fn take(&mut self, most: usize) -> Result<Option<Bytes>, Broken> {
        match self.read_chunk(most, true).await {
            Ok(chunk) => Ok(chunk.map(|chunk| chunk.bytes)),
            Err(ReadError::ConnectionLost(error)) => Err(Broken::Lost(error)),
            Err(_) => Err(Broken::Ended),
        }
    }
}

/// What is in the DATA frames of a request's stream. Other frames are skipped.
#[derive(Debug)]
pub(super) struct Data {
    stream: RecvStream,
    /// Bytes of the frame that are still to come.
    left: u64,
    skippable: u64,
}

impl Data {
    /// Behind the HEADERS. At most so many bytes of other frames may come.
    pub(super) const fn of(stream: RecvStream, skippable: u64) -> Self {
        Self {
            stream,
            left: 0,
            skippable,
        }
    }
}

impl Source for Data {
    async fn take(&mut self, most: usize) -> Result<Option<Bytes>, Broken> {
        while self.left == 0 {
            let Some((kind, length)) = head(&mut self.stream).await? else {
                return Ok(None);
            };
            if kind == u64::from(Frame::DATA.0) {
                self.left = length;
            } else {
                skip(&mut self.stream, length, &mut self.skippable).await?;
            }
        }
        let most = most.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let bytes = self.stream.take(most).await?.ok_or(Broken::Ended)?;
        self.left -= bytes.len() as u64;
        Ok(Some(bytes))
    }
}

/// An integer as QUIC writes them. None: the stream has ended before it.
pub(super) async fn integer(source: &mut impl Source) -> Result<Option<u64>, Broken> {
    let Some(first) = source.take(1).await? else {
        return Ok(None);
    };
    let mut bytes = BytesMut::from(first);
    let length = bytes.first().map_or(1, |first| 1_usize << (first >> 6));
    while bytes.len() < length {
        let more = source.take(length - bytes.len()).await?;
        bytes.extend_from_slice(&more.ok_or(Broken::Ended)?);
    }
    let integer = VarInt::decode(&mut bytes).map_err(|_| Broken::Ended)?;
    Ok(Some(integer.into_inner()))
}

/// Kind and length of a frame or a capsule. None: the stream has ended before it.
pub(super) async fn head(source: &mut impl Source) -> Result<Option<(u64, u64)>, Broken> {
    let Some(kind) = integer(source).await? else {
        return Ok(None);
    };
    let length = integer(source).await?.ok_or(Broken::Ended)?;
    Ok(Some((kind, length)))
}

/// Exactly so many bytes, if they are at most `most`. Memory is taken as they come.
pub(super) async fn exactly(
    source: &mut impl Source,
    length: u64,
    most: usize,
) -> Result<Vec<u8>, Broken> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > most {
        return Err(Broken::TooMuch);
    }
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let more = source.take(length - bytes.len()).await?;
        bytes.extend_from_slice(&more.ok_or(Broken::Ended)?);
    }
    Ok(bytes)
}

/// Drops so many bytes, and takes them, and those of the head before them, from what may be skipped.
pub(super) async fn skip(
    source: &mut impl Source,
    length: u64,
    skippable: &mut u64,
) -> Result<(), Broken> {
    let all = length.saturating_add(HEAD_BYTES_MIN);
    *skippable = skippable.checked_sub(all).ok_or(Broken::TooMuch)?;
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).map_or(DROPPED_AT_ONCE, |left| left.min(DROPPED_AT_ONCE));
        let bytes = source.take(most).await?.ok_or(Broken::Ended)?;
        left -= bytes.len() as u64;
    }
    Ok(())
}

/// Drops what comes until the stream ends, if that is at most so much.
pub(super) async fn drain(source: &mut impl Source, most: u64) -> Result<(), Broken> {
    let mut left = most;
    while let Some(bytes) = source.take(DROPPED_AT_ONCE).await? {
        left = left
            .checked_sub(bytes.len() as u64)
            .ok_or(Broken::TooMuch)?;
    }
    Ok(())
}
