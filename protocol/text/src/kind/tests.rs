use proptest::prelude::*;

use super::*;

fn settled(kind: Kind, text: &str) -> Result<String, Rule> {
    let mut text = text.to_owned();
    kind.settle(&mut text)
        .map(|()| text)
        .map_err(|refusal| refusal.rule)
}

const NAMES: [Kind; 2] = [Kind::DisplayName, Kind::RoomName];

#[test]
fn names_are_one_line_in_one_form() {
    for kind in NAMES {
        for (text, form) in [
            ("  Ana  Maria ", "Ana Maria"),
            ("a\u{3000}\u{a0}b", "a b"),
            ("\u{1100}\u{1175}\u{11b7}", "김"),
            ("e\u{301}", "é"),
            ("👩‍👩‍👧 👩🏽‍❤️‍💋‍👨🏿", "👩‍👩‍👧 👩🏽‍❤️‍💋‍👨🏿"),
            ("🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ 1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ 1️⃣"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("क्\u{200d}ष र\u{200d}्य", "क्\u{200d}ष र\u{200d}्य"),
            ("葛\u{e0100}城", "葛\u{e0100}城"),
            ("ᠠ\u{180b}", "ᠠ\u{180b}"),
            ("สวัสดีชาวโลก", "สวัสดีชาวโลก"),
            ("नमस्ते", "नमस्ते"),
            (
                "İstanbul ısparta Straße ΣΊΣΥΦΟΣ",
                "İstanbul ısparta Straße ΣΊΣΥΦΟΣ",
            ),
            ("שָׁלוֹם مُحَمَّد", "שָׁלוֹם مُحَمَّد"),
        ] {
            // Hebrew marks come in another order once composed.
            assert_eq!(
                settled(kind, text),
                Ok(composed(form).into_owned()),
                "{text:?}"
            );
        }
    }
}

#[test]
fn names_that_deceive_are_refused_by_the_rule() {
    let zalgo = format!("a{}", "\u{301}".repeat(10));
    for kind in NAMES {
        for (text, rule) in [
            ("", Rule::Blank),
            (" \u{3000}", Rule::Blank),
            ("a\nb", Rule::LineBreak),
            ("a\r\n", Rule::LineBreak),
            ("a\u{2028}b", Rule::LineBreak),
            ("a\u{85}b", Rule::LineBreak),
            ("a\tb", Rule::Control),
            ("a\0b", Rule::Control),
            ("a\u{1b}[31m", Rule::Control),
            ("a\u{9b}b", Rule::Control),
            ("a\u{202e}b", Rule::Direction),
            ("a\u{2066}b\u{2069}", Rule::Direction),
            ("a\u{200f}b", Rule::Invisible),
            ("a\u{200b}b", Rule::Invisible),
            ("\u{3164}", Rule::Invisible),
            ("a\u{115f}", Rule::Invisible),
            ("a\u{200d}b", Rule::Invisible),
            ("\u{200c}a", Rule::Invisible),
            ("a\u{fe0f}", Rule::Invisible),
            ("a\u{e0067}\u{e007f}", Rule::Invisible),
            ("🏴\u{e0067}\u{e007f}", Rule::Invisible),
            ("\u{2800}", Rule::Invisible),
            ("a\u{ad}b", Rule::Invisible),
            ("a\u{feff}", Rule::Invisible),
            ("\u{301}a", Rule::Marks),
            ("a \u{301}b", Rule::Marks),
            (zalgo.as_str(), Rule::Marks),
            ("a\u{378}", Rule::Unassigned),
            ("a\u{e000}", Rule::PrivateUse),
            ("a\u{10fffd}", Rule::PrivateUse),
            ("a\u{fdd0}", Rule::Noncharacter),
            ("a\u{1ffff}", Rule::Noncharacter),
        ] {
            assert_eq!(settled(kind, text), Err(rule), "{text:?}");
        }
    }
}

#[test]
fn every_emoji_can_stand_in_a_name_and_a_note() {
    for emoji in emojis::iter() {
        for form in emoji.skin_tones().into_iter().flatten().chain([emoji]) {
            let text = format!("a{form}b {form}");
            for kind in [
                Kind::DisplayName,
                Kind::RoomName,
                Kind::Note,
                Kind::NewPassword,
            ] {
                let text = if kind == Kind::NewPassword {
                    &format!("12345678{form}")
                } else {
                    &text
                };
                assert_eq!(settled(kind, text).as_ref(), Ok(text), "{kind:?}");
            }
        }
    }
}

#[test]
fn bounds_count_what_a_reader_sees_and_what_a_store_keeps() {
    let family = "👩‍👩‍👧";
    for (kind, chars, bytes) in [
        (Kind::DisplayName, NAME_CHARS_MAX, NAME_BYTES_MAX),
        (Kind::RoomName, ROOM_NAME_CHARS_MAX, ROOM_NAME_BYTES_MAX),
    ] {
        assert!(settled(kind, &"가".repeat(chars)).is_ok());
        assert!(
            settled(kind, &"\u{1100}\u{1161}\u{11a8}".repeat(chars)).is_ok(),
            "letters of Korean"
        );
        assert!(settled(kind, &"𝔞".repeat(chars)).is_ok());
        assert!(settled(kind, &family.repeat(bytes / family.len())).is_ok());
        for long in [
            "x".repeat(chars + 1),
            family.repeat(bytes / family.len() + 1),
            "x".repeat(100_000),
        ] {
            assert_eq!(settled(kind, &long), Err(Rule::Long));
        }
    }
    assert!(
        DISPLAY_NAME
            .takes
            .contains(&format!("{NAME_CHARS_MAX} char"))
    );
    assert!(
        DISPLAY_NAME
            .takes
            .contains(&format!("{NAME_BYTES_MAX} bytes"))
    );
    assert!(
        ROOM_NAME
            .takes
            .contains(&format!("{ROOM_NAME_CHARS_MAX} char"))
    );
    assert!(
        ROOM_NAME
            .takes
            .contains(&format!("{ROOM_NAME_BYTES_MAX} bytes"))
    );
    assert!(DEVICE.takes.contains(&format!("{DEVICE_BYTES_MAX} bytes")));
    assert!(PASSWORD.takes.contains(&format!(
        "{PASSWORD_CHARS_MIN} characters to {PASSWORD_BYTES_MAX} bytes"
    )));
}

#[test]
fn messages_are_kept_as_they_are() {
    for text in [
        "",
        "\0\u{1b}\u{202e}\u{feff}\u{10ffff}",
        "e\u{301}",
        &"x".repeat(TEXT_BYTES_MAX),
    ] {
        assert_eq!(settled(Kind::Message, text), Ok(text.to_owned()));
    }
    assert_eq!(
        settled(Kind::Message, &"x".repeat(TEXT_BYTES_MAX + 1)),
        Err(Rule::Long)
    );
}

#[test]
fn notes_have_lines_and_no_codes_for_terminals() {
    for (text, form) in [
        ("a\r\nb\rc\u{2028}d\te", "a\nb\nc\nd\te"),
        ("e\u{301}", "é"),
        (
            "\u{2067}שלום\u{2069} \u{200f}",
            "\u{2067}שלום\u{2069} \u{200f}",
        ),
        ("a\u{200b}b\u{ad}c", "a\u{200b}b\u{ad}c"),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿 \u{e000} \u{378}", "🏴󠁧󠁢󠁥󠁮󠁧󠁿 \u{e000} \u{378}"),
        ("", ""),
        (" \n", ""),
        ("\u{3164}\u{200b}\u{2800}", ""),
    ] {
        assert_eq!(settled(Kind::Note, text), Ok(form.to_owned()), "{text:?}");
    }
    for (text, rule) in [
        ("a\0", Rule::Control),
        ("\u{1b}[2J", Rule::Control),
        ("a\u{7f}", Rule::Control),
        ("a\u{202e}b", Rule::Direction),
        ("a\u{fffe}", Rule::Noncharacter),
        ("a\u{e0041}", Rule::Invisible),
        ("a\u{feff}", Rule::Invisible),
        (&format!("a{}", "\u{301}".repeat(10)), Rule::Marks),
        (&"x".repeat(513), Rule::Long),
        (&"x".repeat(100_000), Rule::Long),
    ] {
        assert_eq!(settled(Kind::Note, text), Err(rule), "{text:?}");
    }
}

#[test]
fn passwords_are_opaque_strings() {
    for (one, other) in [
        ("비밀번호비밀번호", "비밀번호비밀번호"),
        ("pa\u{a0}ss\u{3000}word", "pa ss word"),
        ("passwörd", "passwo\u{308}rd"),
    ] {
        assert_eq!(
            settled(Kind::NewPassword, one),
            Ok(composed(other).into_owned())
        );
        assert_eq!(
            settled(Kind::ClaimedPassword, one),
            settled(Kind::NewPassword, other)
        );
    }
    let jamo: String = "비밀번호비밀번호".chars().flat_map(jamo).collect();
    assert_eq!(
        settled(Kind::NewPassword, &jamo),
        Ok("비밀번호비밀번호".to_owned())
    );
    assert_ne!(
        settled(Kind::NewPassword, "PASSWORD"),
        settled(Kind::NewPassword, "password"),
        "case counts"
    );
    assert_ne!(
        settled(Kind::NewPassword, "ｐａｓｓｗｏｒｄ"),
        settled(Kind::NewPassword, "password"),
        "so does width"
    );
    assert_ne!(
        settled(Kind::NewPassword, " password"),
        settled(Kind::NewPassword, "password"),
        "and blanks"
    );
    for good in ["12345678", &"x".repeat(72), "👩‍👩‍👧 family"] {
        assert_eq!(settled(Kind::NewPassword, good), Ok(good.to_owned()));
    }
    for (bad, rule) in [
        ("", Rule::Short),
        ("1234567", Rule::Short),
        ("1234\u{0}5678", Rule::Control),
        ("1234\n5678", Rule::LineBreak),
        ("1234\u{200b}5678", Rule::Invisible),
        ("1234\u{378}5678", Rule::Unassigned),
        (&"x".repeat(73), Rule::Long),
        (&"한".repeat(25), Rule::Long),
    ] {
        assert_eq!(settled(Kind::NewPassword, bad), Err(rule), "{bad:?}");
        assert!(settled(Kind::ClaimedPassword, bad).is_ok(), "{bad:?}");
    }
}

/// A syllable of Korean in its letters.
fn jamo(syllable: char) -> impl Iterator<Item = char> {
    icu_normalizer::DecomposingNormalizerBorrowed::new_nfd()
        .normalize(syllable.encode_utf8(&mut [0; 4]))
        .chars()
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn addresses_devices_tags_and_queries_have_a_form() {
    assert_eq!(settled(Kind::Email, " a@b.c "), Ok("a@b.c".to_owned()));
    for bad in [
        "a",
        "@b.c",
        "a@",
        "a@b@c.d",
        "a b@c.d",
        "a\r\nbcc:x@y.z",
        "a\u{200b}@b.c",
    ] {
        assert!(settled(Kind::Email, bad).is_err(), "{bad:?}");
    }
    assert_eq!(settled(Kind::Device, "a\nb"), Err(Rule::LineBreak));
    assert_eq!(settled(Kind::Device, &"x".repeat(129)), Err(Rule::Long));
    assert_eq!(settled(Kind::Language, "en-GB"), Ok("en-GB".to_owned()));
    for bad in [
        "e",
        "en_GB",
        "en-",
        "-en",
        "12",
        "한국어",
        &"abcdefgh-".repeat(5),
    ] {
        assert!(settled(Kind::Language, bad).is_err(), "{bad:?}");
    }
    assert_eq!(
        settled(Kind::Address, "cafe\u{301}.png"),
        Ok("cafe\u{301}.png".to_owned())
    );
    assert_eq!(settled(Kind::Address, "a\u{1b}b"), Err(Rule::Control));
    for empty in [
        Kind::Email,
        Kind::Device,
        Kind::Language,
        Kind::Address,
        Kind::Note,
    ] {
        assert_eq!(settled(empty, ""), Ok(String::new()));
    }
    assert_eq!(
        settled(Kind::Query, "a\u{200b}b"),
        Ok("a\u{200b}b".to_owned())
    );
    assert_eq!(settled(Kind::Query, ""), Err(Rule::Short));
    for (secret, rule) in [
        ("x".repeat(15), Rule::Short),
        ("x".repeat(129), Rule::Long),
        ("x".repeat(60_000), Rule::Long),
    ] {
        assert_eq!(settled(Kind::Secret, &secret), Err(rule));
    }
    for secret in ["x".repeat(16), "\u{10400}".repeat(128)] {
        assert_eq!(settled(Kind::Secret, &secret), Ok(secret));
    }
    assert_eq!(settled(Kind::Query, "a\0"), Err(Rule::Control));
    assert_eq!(settled(Kind::Query, &"x".repeat(65)), Err(Rule::Long));
}

/// Text of letters, marks, joiners and pictures, which any character hardly ever brings together.
fn busy_text() -> impl Strategy<Value = String> {
    let odd = "a Aß\u{301}\u{345}\u{200d}\u{200c}\u{fe0f}\u{202e}\u{3000}\r\n\u{e0067}\u{e007f}🏴👩🏽❤ᄀ각क्षمی葛\u{e0100}:.@-";
    let odd: Vec<char> = odd.chars().collect();
    prop_oneof![
        proptest::collection::vec(proptest::sample::select(odd), 0..24).prop_map(String::from_iter),
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn what_is_settled_stays_settled(text in busy_text()) {
        for &kind in Kind::ALL {
            if let Ok(once) = settled(kind, &text) {
                prop_assert_eq!(settled(kind, &once), Ok(once.clone()), "{:?}", kind);
                if !matches!(kind, Kind::Message | Kind::Metadata | Kind::Issued | Kind::Address) {
                    prop_assert_eq!(composed(&once).into_owned(), once.clone(), "{:?}", kind);
                    prop_assert_eq!(settled(kind, &composed(&text)), Ok(once), "{:?}", kind);
                }
            }
        }
    }
}
