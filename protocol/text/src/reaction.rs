//! Reactions: one emoji, or one short code.

use std::collections::HashMap;
use std::sync::LazyLock;

use pitturu_protocol::limits::EMOJI_BYTES_MAX;

use crate::refusal::{Refusal, Rule};

/// Longest name between the colons of a short code.
const SHORT_CODE_CHARS_MAX: usize = 30;

/// Every emoji that Unicode recommends for interchange, by itself without variation selectors.
static EMOJI: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    emojis::iter()
        .flat_map(|emoji| {
            let tones = emoji.skin_tones().into_iter().flatten();
            std::iter::once(emoji).chain(tones)
        })
        .map(|emoji| (without_selectors(emoji.as_str()), emoji.as_str()))
        .collect()
});

fn without_selectors(text: &str) -> String {
    let kept = text
        .chars()
        .filter(|c| !matches!(c, '\u{fe0e}' | '\u{fe0f}'));
    kept.collect()
}

/// The emoji in the form in which it is kept, fully qualified: `❤`, `❤︎` and `❤️` are one. `None`: the text is not one emoji.
pub fn emoji(text: &str) -> Option<&'static str> {
    // Each character of an emoji may have one selector more, of three bytes.
    if text.len() > 2 * EMOJI_BYTES_MAX {
        return None;
    }
    EMOJI.get(&without_selectors(text)).copied()
}

/// A short code stands between colons, in lower-case letters, digits, `_`, `-` and `+`: `:party:`.
fn is_short_code(text: &str) -> bool {
    let name = text
        .strip_prefix(':')
        .and_then(|text| text.strip_suffix(':'));
    name.is_some_and(|name| {
        (1..=SHORT_CODE_CHARS_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'+'))
    })
}

/// Brings a reaction into its form.
///
/// # Errors
/// Whatever is not exactly one emoji or one short code.
pub fn settle(text: &str) -> Result<String, Refusal> {
    match emoji(text) {
        Some(emoji) => Ok(emoji.to_owned()),
        None if is_short_code(text) => Ok(text.to_owned()),
        None => Err(Refusal::new(
            Rule::Form,
            "A reaction is one emoji, or one short code such as :party: of a to z, 0 to 9, _, - and +.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use icu_properties::CodePointSetData;
    use icu_properties::props::{Emoji, EmojiModifier, EmojiPresentation};

    use super::*;
    use crate::characters::count;

    /// The fully qualified form by Unicode's properties: a picture that is text by default has a selector, unless a skin
    /// tone follows.
    fn qualified(text: &str) -> String {
        let mut form = String::new();
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            form.push(c);
            let by_default = CodePointSetData::new::<Emoji>().contains(c)
                && !CodePointSetData::new::<EmojiPresentation>().contains(c);
            let toned = characters
                .peek()
                .is_some_and(|&next| CodePointSetData::new::<EmojiModifier>().contains(next));
            if by_default && !toned {
                form.push('\u{fe0f}');
            }
        }
        form
    }

    #[test]
    fn every_emoji_is_taken_in_every_form_and_kept_in_one() {
        assert!(EMOJI.len() > 3_700, "{}", EMOJI.len());
        let mut longest = 0;
        for (bare, &emoji) in &*EMOJI {
            assert_eq!(count(emoji), 1, "{emoji}");
            assert_eq!(settle(emoji).as_deref(), Ok(emoji));
            assert_eq!(settle(bare).as_deref(), Ok(emoji), "without its selectors");
            assert_eq!(qualified(bare), emoji, "{emoji} is fully qualified");
            longest = longest.max(emoji.len());
        }
        assert!(longest <= EMOJI_BYTES_MAX, "{longest}");
        for one_of_one in ["❤", "❤\u{fe0f}", "❤\u{fe0e}"] {
            assert_eq!(settle(one_of_one).as_deref(), Ok("❤\u{fe0f}"));
        }
        for known in ["👩🏽‍❤️‍💋‍👨🏿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇰🇷", "1️⃣", "👍🏽", "🏳️‍🌈", "🐦‍⬛"]
        {
            assert_eq!(settle(known).as_deref(), Ok(known));
        }
    }

    #[test]
    fn short_codes_have_an_alphabet() {
        for code in [
            ":party:",
            ":+1:",
            ":a_b-2:",
            &format!(":{}:", "x".repeat(30)),
        ] {
            assert_eq!(settle(code).as_deref(), Ok(code));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "",
            "\0",
            " ",
            "a",
            "1",
            "#",
            "👍👍",
            "👍 ",
            " 👍",
            "👍a",
            "👍\0",
            "🏽",
            "🇰",
            "🇽🇽",
            "\u{fe0f}",
            "\u{200d}",
            "👩‍",
            "👩‍👩‍👩",
            ":",
            "::",
            ":a",
            "a:",
            ":A:",
            ":a b:",
            ":é:",
            ":a:b:",
            "<b>",
            "<img src=x>",
            "party",
            "\u{202e}",
            "👍\u{200b}",
            "\u{e000}",
            "ㅋㅋ",
            &format!(":{}:", "x".repeat(31)),
            &"👍".repeat(10_000),
        ] {
            assert_eq!(
                settle(bad).map_err(|refusal| refusal.rule),
                Err(Rule::Form),
                "{bad:?}"
            );
        }
    }
}
