//! Messages that carry the moment at which they were meant to be sent.

use serde::Deserialize;

/// Bytes of a stamp in front of a text.
pub const STAMP_BYTES: usize = 16;

/// What fills a message up to its size.
const FILLER: &str = "the quick brown fox jumps over the lazy dog, and then it does it all over again, because it can; ";

/// A text of `bytes` bytes, at least [`STAMP_BYTES`], that says when it was meant to be sent.
pub fn text(intended: u64, bytes: usize) -> String {
    let mut text = format!("{intended:016x}");
    text.reserve(bytes.saturating_sub(text.len()));
    while text.len() < bytes {
        let more = FILLER.len().min(bytes - text.len());
        text.push_str(&FILLER[..more]);
    }
    text
}

/// When the text was meant to be sent; none when it carries no stamp.
pub fn read(text: &str) -> Option<u64> {
    let stamp = text.get(..STAMP_BYTES)?;
    u64::from_str_radix(stamp, 16).ok()
}

/// State of a game, of `bytes` bytes, at least eight, that says when it was made.
pub fn state(made: u64, bytes: usize) -> Vec<u8> {
    let mut state = made.to_be_bytes().to_vec();
    state.resize(bytes.max(state.len()), 0x5c);
    state
}

/// When the state was made; none when it does not say so.
pub fn read_state(state: &[u8]) -> Option<u64> {
    state.first_chunk().map(|made| u64::from_be_bytes(*made))
}

/// What the generator needs of a `MessageSent` event, without copying it.
#[derive(Debug, Deserialize)]
pub struct SentEvent<'a> {
    /// The room's id.
    pub room: &'a str,
    /// The message.
    #[serde(borrow)]
    pub msg: SentMessage<'a>,
}

/// What the generator needs of a message.
#[derive(Debug, Deserialize)]
pub struct SentMessage<'a> {
    /// Place in the room's order.
    pub seq: u64,
    /// Text with a stamp.
    pub text: &'a str,
}

/// What the generator needs of an `EphemeralSent` event.
#[derive(Debug, Deserialize)]
pub struct EphemeralEvent<'a> {
    /// Text with a stamp.
    pub text: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_from_a_text_of_any_size() {
        for bytes in [0, 1, 16, 17, 128, 4_096] {
            let made = text(123_456_789_012, bytes);
            assert_eq!(made.len(), bytes.max(STAMP_BYTES));
            assert_eq!(read(&made), Some(123_456_789_012));
        }
        assert_eq!(read("no stamp at all!"), None);
        assert_eq!(read("short"), None);
    }
}
