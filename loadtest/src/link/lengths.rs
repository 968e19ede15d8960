//! Messages of a stream that knows none: each behind its length, as [`pitturu_protocol::framing`] has them. Read from the buffer of
//! the thread, without memory of their own.

use pitturu_protocol::framing::{LENGTH_BYTES, length};

use super::incoming::{Incoming, Malformed, PAYLOAD_BYTES_MAX};

/// Appends one message.
pub(super) fn append_message(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&length(payload.len()));
    out.extend_from_slice(payload);
}

/// The first message of `bytes` and what follows; none when it has not come whole.
pub(super) fn read_message(bytes: &[u8]) -> Result<Option<(Incoming<'_>, &[u8])>, Malformed> {
    let Some((announced, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = u64::from(u32::from_be_bytes(*announced));
    if length > PAYLOAD_BYTES_MAX {
        return Err(Malformed::TooLong(length));
    }
    let length = usize::try_from(length).expect("bounded above");
    let split = rest.split_at_checked(length);
    Ok(split.map(|(payload, rest)| (Incoming::Binary(payload), rest)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pitturu_protocol::framing::MessageReader;

    use super::*;

    #[test]
    fn what_is_written_is_read_by_the_protocol_and_by_this() {
        for length in [0, 1, 255, 256, 60_000] {
            let payload = vec![7; length];
            let mut bytes = Vec::new();
            append_message(&mut bytes, &payload);
            for cut in [0, 3, bytes.len() - 1] {
                assert_eq!(
                    read_message(&bytes[..cut]),
                    Ok(None),
                    "{length} cut at {cut}"
                );
            }
            let read = MessageReader::default().read(&mut Bytes::from(bytes.clone()));
            assert_eq!(read.unwrap().unwrap(), payload);
            bytes.push(9);
            assert_eq!(
                read_message(&bytes).unwrap(),
                Some((Incoming::Binary(&payload), &[9][..]))
            );
        }
        let huge = [0xff, 0, 0, 0, 1];
        assert_eq!(read_message(&huge), Err(Malformed::TooLong(0xff00_0000)));
    }
}
