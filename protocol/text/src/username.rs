//! User names: how they are shown, and when two are the same.

use pitturu_protocol::limits::{USERNAME_BYTES_MAX, USERNAME_CHARS_MAX, USERNAME_CHARS_MIN};

use crate::characters::{
    MARKS_MAX, count, is_faint_link, is_idle, is_invisible, is_letter_or_number, is_mark, is_symbol,
};
use crate::fold::{composed, folded};
use crate::refusal::{Refusal, Rule};

/// Longest text that is looked at. Composing makes a text at most three times shorter in bytes.
const RAW_BYTES_MAX: usize = 4 * USERNAME_BYTES_MAX;

/// A valid user name: how it is shown, and the form in which it is unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    /// As the player wrote it, composed (NFC).
    pub shown: String,
    /// [`folded`]. Two names with the same folded form are the same name.
    pub folded: String,
}

impl Username {
    /// Checks a user name: 3 to 32 letters, digits, `_`, `-` or `.` of any script, with at least one letter or digit. It
    /// holds in the shown and in the folded form.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = |rule| {
            let takes = format!(
                "A user name is {USERNAME_CHARS_MIN} to {USERNAME_CHARS_MAX} letters, digits, _, - or . in at most \
                 {USERNAME_BYTES_MAX} bytes."
            );
            Refusal::new(rule, &takes)
        };
        if text.len() > RAW_BYTES_MAX {
            return Err(refuse(Rule::Long));
        }
        let shown = composed(text).into_owned();
        check(&shown).map_err(refuse)?;
        let folded = folded(&shown);
        check(&folded).map_err(refuse)?;
        Ok(Self { shown, folded })
    }
}

fn check(form: &str) -> Result<(), Rule> {
    let mut marks = MARKS_MAX;
    let mut substance = false;
    let characters: Vec<char> = form.chars().collect();
    let mut before = None;
    for (at, &c) in characters.iter().enumerate() {
        let after = &characters[at + 1..];
        // What only some fonts show would be a second name that looks like the first.
        if is_invisible(c) && !is_symbol(c) || is_faint_link(c) || is_idle(before, c, after) {
            return Err(Rule::Invisible);
        }
        before = Some(c);
        if is_mark(c) {
            marks += 1;
            if marks > MARKS_MAX {
                return Err(Rule::Marks);
            }
        } else if is_letter_or_number(c) {
            substance = true;
            marks = 0;
        } else if matches!(c, '_' | '-' | '.') {
            marks = MARKS_MAX;
        } else {
            return Err(Rule::Character);
        }
    }
    match count(form) {
        ..USERNAME_CHARS_MIN => Err(Rule::Short),
        _ if form.len() > USERNAME_BYTES_MAX => Err(Rule::Long),
        USERNAME_CHARS_MIN..=USERNAME_CHARS_MAX if substance => Ok(()),
        USERNAME_CHARS_MIN..=USERNAME_CHARS_MAX => Err(Rule::Form),
        _ => Err(Rule::Long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded_form(text: &str) -> String {
        Username::parse(text).expect(text).folded
    }

    #[test]
    fn names_of_many_scripts_are_taken_and_shown_as_written() {
        for name in [
            "abc",
            "A_b-c.9",
            "김철수",
            "ゆうき",
            "สมชาย",
            "ผู้ใช้",
            "नमस्ते",
            "محمد",
            "Ünïcode",
            "Ωmega",
            "Việt",
            "𝔞𝔟𝔠",
            "ＡＢＣ",
            "ကျွန်ုပ်",
        ] {
            let parsed = Username::parse(name).expect(name);
            assert_eq!(parsed.shown, composed(name));
            assert_eq!(folded(&parsed.folded), parsed.folded, "{name}");
        }
        Username::parse(&"x".repeat(32)).expect("32 characters fit");
        Username::parse(&"가".repeat(32)).expect("96 bytes fit");
    }

    #[test]
    fn the_same_name_in_another_form_is_the_same_name() {
        for (one, other) in [
            ("Alice", "aLICE"),
            ("STRASSE", "straße"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ＡＢＣ", "abc"),
            ("ﬁsh", "FISH"),
            ("e\u{301}toile", "ÉTOILE"),
            ("\u{1100}\u{1175}\u{11b7}철수", "김철수"),
            ("kim²", "KIM2"),
            ("𝔞𝔟𝔠", "ABC"),
            ("istanbul", "ISTANBUL"),
            ("ﾊﾝｶｸ", "ハンカク"),
        ] {
            assert_eq!(folded_form(one), folded_form(other), "{one} {other}");
        }
        assert_ne!(
            folded_form("alice"),
            folded_form("alicе"),
            "the last letter is Cyrillic"
        );
        assert_ne!(
            folded_form("ısparta"),
            folded_form("isparta"),
            "folding knows no language"
        );
    }

    #[test]
    fn naughty_names_are_refused_by_name_of_the_rule() {
        let zalgo = format!("abc{}", "\u{301}".repeat(10));
        for (name, rule) in [
            ("", Rule::Short),
            ("ab", Rule::Short),
            ("...", Rule::Form),
            (" abc", Rule::Character),
            ("a b c", Rule::Character),
            ("a\0bc", Rule::Character),
            ("a\nbc", Rule::Character),
            ("a@b.c", Rule::Character),
            ("<abc>", Rule::Character),
            ("abc\u{200b}", Rule::Invisible),
            ("abc\u{202e}", Rule::Invisible),
            ("\u{3164}\u{3164}\u{3164}", Rule::Invisible),
            ("abc\u{ffa0}", Rule::Invisible),
            ("abc\u{fe0f}", Rule::Invisible),
            ("\u{301}abc", Rule::Marks),
            ("..\u{301}.a", Rule::Marks),
            ("👍👍👍", Rule::Character),
            ("½½½", Rule::Character),
            ("ﷺﷺﷺ", Rule::Character),
            ("⠀⠀⠀", Rule::Character),
            ("ab\u{378}", Rule::Character),
            ("ab\u{e000}", Rule::Character),
            ("ab\u{fffe}", Rule::Character),
            (zalgo.as_str(), Rule::Marks),
            (&"x".repeat(33), Rule::Long),
            (&"𝔞".repeat(33), Rule::Long),
            (&"ﷺ".repeat(30_000), Rule::Long),
        ] {
            let refusal = Username::parse(name).expect_err(&format!("{name:?}"));
            assert_eq!(refusal.rule, rule, "{name:?}");
        }
    }
}
