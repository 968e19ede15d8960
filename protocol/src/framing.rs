//! Messages on a stream of bytes, for transports whose streams know none: each message has its length before it.

use bytes::{Buf, Bytes};

use crate::limits::MESSAGE_BYTES_MAX;

/// Bytes of the length before each message: an integer without sign, the highest byte first.
pub const LENGTH_BYTES: usize = 4;

/// A message is longer than [`MESSAGE_BYTES_MAX`]. What follows on the stream can't be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {bytes} bytes: at most {MESSAGE_BYTES_MAX} are allowed")]
pub struct MessageTooBig {
    /// Length that was announced.
    pub bytes: u32,
}

/// The length to send before a message of so many bytes.
///
/// # Panics
/// The message is longer than [`MESSAGE_BYTES_MAX`].
pub const fn length(message_bytes: usize) -> [u8; LENGTH_BYTES] {
    assert!(message_bytes <= MESSAGE_BYTES_MAX);
    #[allow(clippy::cast_possible_truncation, reason = "checked one line above")]
    let length = message_bytes as u32;
    length.to_be_bytes()
}

/// Takes the bytes of a stream as they come, and gives the messages in them. Between two messages it holds no memory; within one
/// at most twice of what has come of it, whatever its length says.
#[derive(Debug, Default)]
pub struct MessageReader {
    length: [u8; LENGTH_BYTES],
    length_bytes: usize,
    body: Vec<u8>,
}

impl MessageReader {
    /// Takes bytes from the front of what has come, up to the end of a message, and gives that message. None: all bytes are taken
    /// and the message goes on.
    ///
    /// # Errors
    /// [`MessageTooBig`], before anything of the message is kept. The same again if called again.
    pub fn read(&mut self, bytes: &mut Bytes) -> Result<Option<Bytes>, MessageTooBig> {
        let missing = (LENGTH_BYTES - self.length_bytes).min(bytes.len());
        let length_end = self.length_bytes + missing;
        bytes.copy_to_slice(&mut self.length[self.length_bytes..length_end]);
        self.length_bytes = length_end;
        if self.length_bytes < LENGTH_BYTES {
            return Ok(None);
        }
        let announced = u32::from_be_bytes(self.length);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX {
            return Err(MessageTooBig { bytes: announced });
        }
        let missing = length - self.body.len();
        if bytes.len() < missing {
            self.body.extend_from_slice(bytes);
            bytes.clear();
            return Ok(None);
        }
        self.length_bytes = 0;
        let rest = bytes.split_to(missing);
        if self.body.is_empty() {
            return Ok(Some(rest));
        }
        let mut message = std::mem::take(&mut self.body);
        message.extend_from_slice(&rest);
        Ok(Some(message.into()))
    }

    /// Whether a message has begun that has not come to its end.
    pub const fn is_within_message(&self) -> bool {
        self.length_bytes > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let framed = messages
            .iter()
            .map(|message| [&length(message.len()), &message[..]].concat());
        framed.collect::<Vec<_>>().concat()
    }

    proptest! {
        #[test]
        fn messages_come_as_they_were_sent_however_the_stream_is_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in proptest::collection::vec(1_usize..40, 1..64),
        ) {
            let stream = framed(&messages);
            let mut reader = MessageReader::default();
            let mut read = Vec::new();
            let mut rest = Bytes::from(stream);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let mut came = rest.split_to((*cut).min(rest.len()));
                while let Some(message) = reader.read(&mut came).unwrap() {
                    read.push(message.to_vec());
                }
                assert!(came.is_empty());
            }
            assert!(!reader.is_within_message());
            assert_eq!(read, messages);
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_anything_is_kept() {
        for bytes in [
            u32::try_from(MESSAGE_BYTES_MAX).unwrap() + 1,
            0x0100_0000,
            u32::MAX,
        ] {
            let mut reader = MessageReader::default();
            let mut came = Bytes::from([&bytes.to_be_bytes()[..], &[7; 100]].concat());
            for _ in 0..2 {
                assert_eq!(reader.read(&mut came), Err(MessageTooBig { bytes }));
                assert_eq!(reader.body.capacity(), 0);
            }
        }
    }

    #[test]
    fn a_length_alone_allocates_nothing_and_the_longest_message_passes() {
        let mut reader = MessageReader::default();
        let mut came = Bytes::copy_from_slice(&length(MESSAGE_BYTES_MAX));
        assert_eq!(reader.read(&mut came), Ok(None));
        assert!(reader.is_within_message());
        assert_eq!(reader.body.capacity(), 0);
        let mut came = Bytes::from_static(&[7; 100]);
        assert_eq!(reader.read(&mut came), Ok(None));
        assert!(reader.body.capacity() <= 200);
        let mut came = Bytes::from(vec![7; MESSAGE_BYTES_MAX - 99]);
        let message = reader.read(&mut came).unwrap().unwrap();
        assert_eq!((message.len(), came.len()), (MESSAGE_BYTES_MAX, 1));
        assert_eq!(reader.body.capacity(), 0);
    }

    #[test]
    fn a_message_that_came_whole_is_not_copied() {
        let mut reader = MessageReader::default();
        let mut came = Bytes::from(framed(&[vec![1, 2, 3], vec![]]));
        let lies_at = came.slice(LENGTH_BYTES..).as_ptr();
        let message = reader.read(&mut came).unwrap().unwrap();
        assert_eq!((&message[..], message.as_ptr()), (&[1, 2, 3][..], lies_at));
        assert_eq!(reader.read(&mut came), Ok(Some(Bytes::new())));
        assert!(!reader.is_within_message() && came.is_empty());
    }
}
