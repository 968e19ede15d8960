//! Close codes by range: what each asks of a client, also of one that does not know the code.

use pitturu_protocol::codes::Reconnect;

/// The runs of close codes with one meaning: first, last and what the client does.
pub(crate) fn close_ranges() -> Vec<(u16, u16, Reconnect)> {
    let mut ranges: Vec<(u16, u16, Reconnect)> = Vec::new();
    for code in 1000..=4999 {
        let meaning = Reconnect::after(code);
        match ranges.last_mut() {
            Some((_, last, known)) if *known == meaning => *last = code,
            _ => ranges.push((code, code, meaning)),
        }
    }
    ranges
}
