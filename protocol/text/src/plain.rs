//! Text that commands no terminal, breaks no line and turns no writing around, whoever wrote what is in it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with each character escaped, as in JSON, that could do more than be read: controls, line and paragraph separators, and what
/// sets the direction of writing. Line feeds stay where `keeps_lines`, colours where `keeps_colours`.
pub fn plain(text: &str, keeps_lines: bool, keeps_colours: bool) -> Cow<'_, str> {
    let is_plain = |char: char| char == '\n' && keeps_lines || !is_active(char);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let length = match char {
            '\x1b' if keeps_colours => colour(rest),
            _ => is_plain(char).then(|| char.len_utf8()),
        };
        let (shown, left) = rest.split_at(length.unwrap_or(char.len_utf8()));
        match length {
            Some(_) => out.push_str(shown),
            None if char == '\n' => out.push_str("\\n"),
            // Writing to a string does not fail.
            None => drop(write!(out, "\\u{:04x}", u32::from(char))),
        }
        rest = left;
    }
    Cow::Owned(out)
}

/// Controls of ASCII and of Latin 1, separators, and Unicode's `Bidi_Control`.
fn is_active(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Bytes of the sequence that sets a colour, if the text begins with one.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\x1b[")?;
    let end = numbers.find(|char: char| !char.is_ascii_digit() && char != ';')?;
    numbers[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_read_is_escaped() {
        for number in (0..0x20)
            .chain(0x7f..0xa0)
            .chain([0x61c, 0x2028, 0x202e, 0x2066])
        {
            let char = char::from_u32(number).unwrap();
            let shown = plain(&format!("a{char}b"), false, false).into_owned();
            assert!(!shown.contains(char), "{number:x}: {shown:?}");
            assert!(shown.starts_with("a\\") && shown.ends_with('b'), "{shown}");
        }
        let text = "할로 \u{1f468}\u{200d}\u{1f469} می\u{200c}خواهم é";
        assert!(matches!(plain(text, false, false), Cow::Borrowed(_)));
    }

    #[test]
    fn lines_and_colours_stay_where_they_are_wanted() {
        let text = "\x1b[31;1mred\x1b[0m\n\x1b[2Jgone\x1b[31";
        assert_eq!(
            plain(text, true, true),
            "\x1b[31;1mred\x1b[0m\n\\u001b[2Jgone\\u001b[31"
        );
        assert_eq!(
            plain(text, false, false),
            "\\u001b[31;1mred\\u001b[0m\\n\\u001b[2Jgone\\u001b[31"
        );
    }
}
