//! Over the whole code space: what shows nothing is no part of a name, and counts nowhere.

use std::collections::HashMap;

use super::*;
use crate::fold::{folded, room_name};
use crate::kind::Kind;
use crate::username::Username;

fn settled(kind: Kind, text: &str) -> Result<String, Rule> {
    let mut text = text.to_owned();
    kind.settle(&mut text)
        .map(|()| text)
        .map_err(|refusal| refusal.rule)
}

/// What Unicode names as blank, filler or null, or charts so, and no property tells.
const BLANKS: [(char, &str); 6] = [
    ('\u{2800}', "braille pattern blank"),
    ('\u{fffc}', "object replacement character"),
    ('\u{13441}', "Egyptian hieroglyph full blank"),
    ('\u{13442}', "Egyptian hieroglyph half blank"),
    ('\u{16fe4}', "Khitan small script filler"),
    ('\u{1d159}', "musical symbol null notehead"),
];

/// What it shows is what it does to its neighbours, by Unicode's properties alone.
fn is_link(c: char) -> bool {
    let syllabic = CodePointMapData::<IndicSyllabicCategory>::new().get(c);
    matches!(
        syllabic,
        IndicSyllabicCategory::InvisibleStacker | IndicSyllabicCategory::NumberJoiner
    ) || syllabic == IndicSyllabicCategory::Other && is_virama(c)
}

/// What shows nothing, by Unicode's properties and [`BLANKS`].
fn is_hidden(c: char) -> bool {
    is_ignorable(c)
        || category(c) == GeneralCategory::Format && !is::<PrependedConcatenationMark>(c)
        || BLANKS.iter().any(|&(blank, _)| blank == c)
}

fn all() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

#[test]
fn what_shows_nothing_is_no_part_of_a_name_and_hides_no_word() {
    let mut seen = 0;
    for c in all().filter(|&c| is_hidden(c) || is_link(c)) {
        seen += 1;
        for text in [
            c.to_string(),
            format!("{c}{c}{c}"),
            format!("{c}admin"),
            format!("ad{c}min"),
            format!("admin{c}"),
        ] {
            for kind in [Kind::DisplayName, Kind::RoomName, Kind::Username] {
                assert!(settled(kind, &text).is_err(), "{kind:?} {text:?}");
            }
        }
        for text in [format!("{c}bad"), format!("bad{c}")] {
            assert_eq!(room_name(&text), "bad", "{text:?}");
        }
        let inside = folded(&format!("b{c}d"));
        let expected = if is_wide_blank(c) { "b d" } else { "bd" };
        assert_eq!(inside, expected, "{c:?}");
    }
    assert!(seen > 4_000, "{seen}");
}

#[test]
fn what_shows_nothing_makes_no_note() {
    for c in all().filter(|&c| is_hidden(c)) {
        for text in [c.to_string(), format!("{c}\n {c}")] {
            let note = settled(Kind::Note, &text);
            let is_none = matches!(note.as_deref(), Ok("") | Err(_));
            assert!(is_none, "{text:?} is kept as {note:?}");
        }
        let note = settled(Kind::Note, &format!("a{c}"));
        assert_ne!(note.as_deref(), Ok(""), "what shows is kept: a{c:?}");
    }
}

#[test]
fn links_stand_between_characters_of_their_own_script() {
    let mut letters: HashMap<Script, char> = HashMap::new();
    for c in all().filter(|&c| category(c) == GeneralCategory::OtherLetter) {
        letters.entry(script(c)).or_insert(c);
    }
    let (mut stackers, mut joiners) = (0, 0);
    for link in all().filter(|&c| is_link(c)) {
        let letter = letters[&script(link)];
        let linked = format!("{letter}{link}{letter}");
        for kind in [Kind::DisplayName, Kind::RoomName] {
            assert_eq!(settled(kind, &linked).as_ref(), Ok(&linked), "{kind:?}");
        }
        assert_eq!(folded(&linked), linked);
        for idle in [
            format!("{letter}{letter}{letter}{link}"),
            format!("{letter}{letter}{link}{link}{letter}"),
            format!("{letter}{letter}{link}a"),
            format!("aa{link}{letter}"),
            format!("{letter}{letter}{link} {letter}"),
        ] {
            for kind in [Kind::DisplayName, Kind::RoomName, Kind::Username] {
                assert!(settled(kind, &idle).is_err(), "{kind:?} {idle:?}");
            }
            assert_ne!(folded(&idle), idle, "{idle:?}");
        }
        let name = Username::parse(&format!("abc_{linked}"));
        if class(link) == Class::Link(Link::Stacker) {
            stackers += 1;
            name.expect("a stacker shows a letter below another");
        } else {
            joiners += 1;
            let refusal = name.expect_err("few fonts show it");
            assert_eq!(refusal.rule, Rule::Invisible);
        }
    }
    assert!(stackers >= 14 && joiners == 2, "{stackers} {joiners}");
    for text in [
        "သတ္တဝါ",
        "ကင်္ကာ",
        "ខ្មែរ",
        "ស្ត្រី",
        "ᨻᩕᨾᩉᩣᩈ᩠ᨠ",
        "ᨠ᩠ᨶ᩵ᩣ",
        "ᨠ᩠᩵ᨶ",
        "ꯀ꫶ꯀ",
        "𑀇𑀯",
        "ⴰ⵿ⴱ",
        "𑁒𑁿𑁓",
    ] {
        assert!(settled(Kind::DisplayName, text).is_ok(), "{text}");
    }
}

#[test]
fn marks_that_shape_belong_to_their_own_script() {
    for c in all().filter(|&c| matches!(script(c), Script::Duployan | Script::SignWriting)) {
        if !is_mark(c) {
            continue;
        }
        let base = match script(c) {
            Script::Duployan => '\u{1bc00}',
            _ => '\u{1d800}',
        };
        assert!(settled(Kind::DisplayName, &format!("{base}{c}")).is_ok());
        for kind in [Kind::DisplayName, Kind::RoomName, Kind::Username] {
            assert_eq!(
                settled(kind, &format!("admin{c}")),
                Err(Rule::Invisible),
                "{c:?}"
            );
        }
        assert_eq!(folded(&format!("bad{c}")), "bad");
    }
}

#[test]
fn emoji_are_the_same_by_their_parts_and_not_without_what_joins_them() {
    let mut forms = HashMap::new();
    for emoji in emojis::iter() {
        for emoji in emoji.skin_tones().into_iter().flatten().chain([emoji]) {
            let emoji = emoji.as_str();
            let form = room_name(emoji);
            if let Some(other) = forms.insert(form.clone(), emoji) {
                assert_eq!(other, emoji, "two emoji are one");
            }
            let bare: String = emoji
                .chars()
                .filter(|c| !matches!(c, '\u{fe0e}' | '\u{fe0f}'))
                .collect();
            assert_eq!(room_name(&bare), form, "a selector changes the style alone");
            assert_eq!(room_name(&form), form);
            let apart: String = bare.chars().filter(|&c| !is_of_emoji(c)).collect();
            assert_eq!(
                room_name(&apart) == form,
                apart == bare,
                "{emoji} is not its parts"
            );
            for (text, expected) in [
                (format!("a{emoji}b"), format!("a{form}b")),
                (format!("{emoji}{emoji}"), format!("{form}{form}")),
                (format!("{emoji} x"), format!("{form} x")),
            ] {
                assert_eq!(room_name(&text), expected);
            }
        }
    }
    for (one, other) in [
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"),
        ("🏴󠁧󠁢󠁷󠁬󠁳󠁿", "🏴"),
        ("👩‍👩‍👧", "👩👩👧"),
        ("1️⃣", "1"),
        ("👍🏽", "👍🏿"),
        ("❤️‍🔥", "❤️🔥"),
    ] {
        assert_ne!(room_name(one), room_name(other), "{one} {other}");
    }
}

#[test]
fn joiners_and_tags_that_make_no_emoji_do_not_count() {
    for (one, other) in [
        ("🍆\u{200d}🍆", "🍆🍆"),
        ("👩\u{200d}", "👩"),
        ("\u{200d}👩", "👩"),
        ("👩\u{200d}\u{200d}👧", "👩👧"),
        ("👩\u{200b}\u{200d}👧", "👩\u{200d}👧"),
        ("👨‍👩‍👧‍👦\u{200d}👦", "👨‍👩‍👧‍👦👦"),
        ("👩‍👧\u{301}", "👩‍👧\u{301}"),
        ("b\u{200d}ad", "bad"),
        ("bad\u{e0067}\u{e007f}", "bad"),
        ("🏴\u{e0061}\u{e0062}\u{e007f}", "🏴"),
        ("🏴\u{e0067}\u{e0062}", "🏴"),
    ] {
        assert_eq!(room_name(one), room_name(other), "{one:?} {other:?}");
    }
    let long = "👩\u{200d}".repeat(2_000);
    assert_eq!(folded(&long), "👩".repeat(2_000));
}

#[test]
fn honest_joiners_and_selectors_are_taken_and_never_part_two_names() {
    for (text, without) in [
        ("ᠬᠠᠷ\u{180e}ᠠ", "ᠬᠠᠷᠠ"),
        ("ᠬᠠᠷ\u{180b}\u{180e}ᠠ", "ᠬᠠᠷᠠ"),
        ("رو\u{200c}به\u{200c}رو", "روبهرو"),
        ("آزادُ\u{200c}بخش", "آزادُبخش"),
        ("دا\u{200c}ء", "داء"),
        ("\u{1000}\u{fe00}\u{1031}\u{fe00}", "\u{1000}\u{1031}"),
        ("\u{aa60}\u{fe00}", "\u{aa60}"),
    ] {
        for kind in [Kind::DisplayName, Kind::RoomName] {
            assert!(settled(kind, text).is_ok(), "{kind:?} {text:?}");
        }
        assert_eq!(room_name(text), room_name(without), "{text:?}");
        let name = format!("{text}{text}{text}");
        let refusal = Username::parse(&name).expect_err("a second name that looks the same");
        assert_eq!(refusal.rule, Rule::Invisible, "{text:?}");
    }
    for text in [
        "ᠬᠠᠷ\u{180e}",
        "\u{180e}ᠠ",
        "a\u{180e}b",
        "ᠬ\u{180e}\u{180e}ᠠ",
        "رو\u{200c}",
        "رو\u{200c}\u{200c}به",
        "رو\u{200c} به",
        "رو\u{200c}admin",
        "\u{200c}به",
        "\u{1001}\u{fe00}",
        "\u{1000}\u{fe01}",
        "\u{1000}\u{fe00}\u{fe00}",
    ] {
        for kind in [Kind::DisplayName, Kind::RoomName] {
            assert_eq!(settled(kind, text), Err(Rule::Invisible), "{text:?}");
        }
    }
}
