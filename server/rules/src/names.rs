//! What players may call themselves, and when two user names are the same.

use pitturu_protocol::codes::Fault;
use pitturu_protocol::limits::{
    DEVICE_BYTES_MAX, EMAIL_BYTES_MAX, LANGUAGE_BYTES_MAX, NAME_CHARS_MAX, NOTE_BYTES_MAX,
    PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, USERNAME_CHARS_MAX, USERNAME_CHARS_MIN,
};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Most combining marks in a row in a user name. Thai and Vietnamese need two, Hebrew and Tibetan three.
const MARKS_IN_A_ROW_MAX: usize = 4;

/// Longest user name, checked before the text is normalised: normalisation makes at most 18 characters out of one.
const USERNAME_BYTES_MAX: usize = USERNAME_CHARS_MAX * 4;

/// A valid user name: how it is shown, and the form in which it is unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    /// As the player wrote it.
    pub shown: String,
    /// NFKC with case folded. Two names with the same folded form are the same name.
    pub folded: String,
}

impl Username {
    /// Checks a user name: 3 to 32 letters, digits, `_`, `-` or `.` of any script, with at least one letter or digit.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let refuse = || {
            Fault::invalid(
                "username",
                format!(
                    "a user name is {USERNAME_CHARS_MIN} to {USERNAME_CHARS_MAX} letters, digits, _, - or ."
                ),
            )
        };
        if text.len() > USERNAME_BYTES_MAX {
            return Err(refuse());
        }
        let shown: String = text.nfc().collect();
        let compatible: String = text.nfkc().collect();
        let folded = fold(&compatible);
        let fits = |form: &str| {
            (USERNAME_CHARS_MIN..=USERNAME_CHARS_MAX).contains(&form.chars().count())
                && only_username_chars(form)
        };
        if fits(&shown) && fits(&compatible) && fits(&folded) {
            Ok(Self { shown, folded })
        } else {
            Err(refuse())
        }
    }
}

/// NFKC with case folded, for any text. Idempotent on what [`Username::parse`] lets through.
///
/// Upper-casing each character first joins letters that only differ in lower case: `ß` and `ss`, `ς` and `σ`, `ı` and `i`.
pub fn fold(text: &str) -> String {
    text.nfkc()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc()
        .collect()
}

fn only_username_chars(text: &str) -> bool {
    let mut marks = MARKS_IN_A_ROW_MAX;
    let mut substance = false;
    for c in text.chars() {
        if is_invisible(c) {
            return false;
        }
        if is_combining_mark(c) {
            marks += 1;
            if marks > MARKS_IN_A_ROW_MAX {
                return false;
            }
        } else if c.is_alphanumeric() {
            substance = true;
            marks = 0;
        } else if matches!(c, '_' | '-' | '.') {
            marks = MARKS_IN_A_ROW_MAX;
        } else {
            return false;
        }
    }
    substance
}

/// Characters that show nothing: Unicode's `Default_Ignorable_Code_Point`, and the blank of Braille.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Characters that change the order in which the text around them is shown.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks a display name: 1 to 40 characters on one line, something of it visible. Blanks at both ends are dropped.
pub fn display_name(field: &str, text: &str) -> Result<String, Fault> {
    let refuse = || {
        Fault::invalid(
            field,
            format!("a display name is 1 to {NAME_CHARS_MAX} visible characters"),
        )
    };
    if text.len() > NAME_CHARS_MAX * 8 {
        return Err(refuse());
    }
    let name: String = text.trim().nfc().collect();
    let visible = name
        .chars()
        .any(|c| !is_invisible(c) && !c.is_whitespace() && !is_combining_mark(c));
    let refused = name
        .chars()
        .any(|c| c.is_control() || turns_text(c) || matches!(c, '\u{2028}' | '\u{2029}'));
    if visible && !refused && name.chars().count() <= NAME_CHARS_MAX {
        Ok(name)
    } else {
        Err(refuse())
    }
}

/// Checks a password: 8 characters to 72 bytes, without NUL, at which bcrypt would stop reading.
pub fn password(field: &str, text: &str) -> Result<(), Fault> {
    if can_be_password(text) && text.chars().count() >= PASSWORD_CHARS_MIN {
        Ok(())
    } else {
        Err(Fault::invalid(
            field,
            format!(
                "a password is {PASSWORD_CHARS_MIN} characters to {PASSWORD_BYTES_MAX} bytes, without NUL"
            ),
        ))
    }
}

/// Whether bcrypt can tell this text from every other.
pub fn can_be_password(text: &str) -> bool {
    text.len() <= PASSWORD_BYTES_MAX && !text.contains('\0')
}

/// Checks an e-mail address as far as a server can: something before and after one `@`. An empty text is none.
pub fn email(text: Option<&str>) -> Result<Option<String>, Fault> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let plain = !text
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || is_invisible(c));
    let split = text
        .split_once('@')
        .is_some_and(|(left, right)| !left.is_empty() && right.len() > 2 && !right.contains('@'));
    if text.len() <= EMAIL_BYTES_MAX && plain && split {
        Ok(Some(text.to_owned()))
    } else {
        Err(Fault::invalid(
            "email",
            format!("an e-mail address is at most {EMAIL_BYTES_MAX} bytes and has one @"),
        ))
    }
}

/// Checks what a device calls itself. An empty text is none.
pub fn device(text: Option<&str>) -> Result<Option<String>, Fault> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.len() <= DEVICE_BYTES_MAX && !text.chars().any(|c| c.is_control() || turns_text(c)) {
        Ok(Some(text.to_owned()))
    } else {
        Err(Fault::invalid(
            "device",
            format!("the name of a device is at most {DEVICE_BYTES_MAX} bytes on one line"),
        ))
    }
}

/// Checks a free text of a profile. An empty text clears the field. NUL and other controls but line breaks are refused.
pub fn note(field: &str, text: &str) -> Result<Option<String>, Fault> {
    let clean = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.len() > NOTE_BYTES_MAX || !text.chars().all(clean) {
        return Err(Fault::invalid(
            field,
            format!("at most {NOTE_BYTES_MAX} bytes, without control characters"),
        ));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Checks the form of a language tag (BCP 47: letters and digits in groups of 1 to 8, the first of 2 to 8 letters).
/// An empty text clears the field.
pub fn language(text: &str) -> Result<Option<String>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let group = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let first = |part: &str| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_alphabetic());
    let well_formed = text.split('-').all(group) && text.split('-').next().is_some_and(first);
    if well_formed && text.len() <= LANGUAGE_BYTES_MAX {
        Ok(Some(text.to_owned()))
    } else {
        Err(Fault::invalid(
            "language",
            "a language tag, such as ko or en-GB",
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str) -> String {
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
        ] {
            let parsed = Username::parse(name).expect(name);
            assert_eq!(parsed.shown, name.nfc().collect::<String>());
            assert_eq!(fold(&parsed.folded), parsed.folded, "{name}");
        }
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
            ("kim²", "KIM2"),
            ("𝔞𝔟𝔠", "ABC"),
            ("istanbul", "ISTANBUL"),
            ("ﾊﾝｶｸ", "ハンカク"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        assert_ne!(
            folded("alice"),
            folded("alicе"),
            "the last letter is Cyrillic"
        );
    }

    #[test]
    fn naughty_names_are_refused() {
        let long = "x".repeat(33);
        let huge = "ﷺ".repeat(30_000);
        let zalgo = format!("abc{}", "\u{301}".repeat(10));
        for name in [
            "",
            "ab",
            "...",
            "___",
            " abc",
            "abc ",
            "a b c",
            "a\0bc",
            "a\nbc",
            "a@b.c",
            "a/b/c",
            "abc'",
            "<abc>",
            "abc\u{200b}",
            "abc\u{202e}",
            "\u{3164}\u{3164}\u{3164}",
            "\u{1160}\u{1160}\u{1160}",
            "abc\u{ffa0}",
            "abc\u{fe0f}",
            "abc\u{e0101}",
            "\u{301}abc",
            "👍👍👍",
            "½½½",
            "ﷺ",
            "ﷺﷺﷺ",
            "\u{feff}abc",
            "a\u{ad}bc",
            "..\u{301}.a",
            "⠀⠀⠀",
            long.as_str(),
            huge.as_str(),
            zalgo.as_str(),
        ] {
            let fault = Username::parse(name).expect_err(&format!("{name:?}"));
            assert_eq!(fault.field.as_deref(), Some("username"), "{name:?}");
        }
        Username::parse(&"x".repeat(32)).expect("32 characters fit");
    }

    #[test]
    fn passwords_are_checked_by_characters_below_and_bytes_above() {
        for good in ["12345678", "비밀번호비밀번호", &"x".repeat(72)] {
            password("password", good).expect(good);
        }
        for bad in [
            "",
            "1234567",
            "1234\u{0}5678",
            &"x".repeat(73),
            &"한".repeat(25),
        ] {
            assert!(password("password", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn display_names_show_something_on_one_line() {
        assert_eq!(display_name("name", "  Ana  "), Ok("Ana".to_owned()));
        assert_eq!(display_name("name", "👩‍👩‍👧"), Ok("👩‍👩‍👧".to_owned()));
        display_name("name", &"가".repeat(40)).expect("40 characters fit");
        for bad in [
            "",
            "   ",
            "a\nb",
            "a\u{202e}b",
            "\u{200b}",
            "\u{3164}",
            &"가".repeat(41),
            &"x".repeat(100_000),
        ] {
            assert!(display_name("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_devices_and_tags_have_a_form() {
        assert_eq!(email(Some(" a@b.c ")), Ok(Some("a@b.c".to_owned())));
        assert_eq!(email(Some("")), Ok(None));
        for bad in ["a", "@b.c", "a@", "a@b@c.d", "a b@c.d", "a\r\nbcc:x@y.z"] {
            assert!(email(Some(bad)).is_err(), "{bad:?}");
        }
        assert!(device(Some("a\nb")).is_err());
        assert!(device(Some(&"x".repeat(129))).is_err());
        assert_eq!(language("en-GB"), Ok(Some("en-GB".to_owned())));
        for bad in [
            "e",
            "en_GB",
            "en-",
            "-en",
            "12",
            "한국어",
            &"abcdefgh-".repeat(5),
        ] {
            assert!(language(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused_and_folding_is_stable(text in "\\PC{0,40}") {
            if let Ok(name) = Username::parse(&text) {
                prop_assert_eq!(&fold(&name.folded), &name.folded);
                prop_assert_eq!(fold(&name.shown), name.folded);
            }
            drop(display_name("name", &text));
        }
    }
}
