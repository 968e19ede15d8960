//! What strangers wrote, for those who show it.

/// A text of a stranger's, such as a message or a name, for one line of a terminal or a log: line breaks and tabs are spaces, and
/// what could command the terminal or turn the writing around is `U+FFFD`.
///
/// The server lets such characters through in messages. Pages and user interfaces that show text as text need only isolate its
/// direction.
///
/// ```
/// assert_eq!(pitturu_client::one_line("\x1b[2Jbye\n\u{202e}Mina"), "\u{fffd}[2Jbye \u{fffd}Mina");
/// ```
pub fn one_line(text: &str) -> String {
    let shown = |char: char| match char {
        '\n' | '\r' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        char if char.is_control() || is_direction(char) => '\u{fffd}',
        char => char,
    };
    text.chars().map(shown).collect()
}

/// Unicode's `Bidi_Control`.
fn is_direction(char: char) -> bool {
    matches!(
        char,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_a_terminal_breaks_the_line_or_turns_the_writing() {
        for number in (0..0x20)
            .chain(0x7f..0xa0)
            .chain([0x61c, 0x2028, 0x2029, 0x202e, 0x2069])
        {
            let char = char::from_u32(number).unwrap();
            let shown = one_line(&format!("a{char}b"));
            assert!(
                shown == "a b" || shown == "a\u{fffd}b",
                "{number:x}: {shown:?}"
            );
        }
        let plain = "할로 \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} می\u{200c}خواهم é";
        assert_eq!(one_line(plain), plain);
    }
}
