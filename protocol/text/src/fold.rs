//! Normal forms, and the form in which two texts are the same.

use std::borrow::Cow;

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::props::{Script, WhiteSpace};
use icu_properties::{CodePointMapData, CodePointSetData};

use crate::characters::{
    is_always_visible, is_idle, is_invisible, is_mark, is_of_emoji, is_wide_blank, joined_emoji,
};

/// The composed form (NFC), in which every text is kept: Korean typed as letters or as syllables is one text.
pub fn composed(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// The form in which two texts are the same for a reader, after Unicode's NFKC_Casefold.
///
/// Full case folding, which knows no language (`Straße` is `STRASSE`, `ΣΊΣΥΦΟΣ` is `σίσυφος`; the Turkish `ı` and `İ` stay apart from
/// `i`), compatibility forms made equal (`ＡＢＣ` is `abc`), and nothing of what does not show (joiners, variation
/// selectors, fillers). Beyond it: an emoji keeps the joiners and tags that make it one, blanks that count as letters are
/// blanks, and marks that link nothing are nothing. Folding twice is folding once.
pub fn folded(text: &str) -> String {
    // The definition asks for one round after decomposition. What a round makes anew, such as a letter composed of what an
    // invisible one kept apart, is folded by the next; no text is known to need a third.
    let mut form = round(&DecomposingNormalizerBorrowed::new_nfd().normalize(text));
    for _ in 0..ROUNDS_MAX {
        let next = round(&form);
        if next == form {
            break;
        }
        form = next;
    }
    form
}

/// Rounds of folding after the first.
const ROUNDS_MAX: usize = 3;

fn round(text: &str) -> String {
    let visible = visible(text);
    let folded = CaseMapper::new().fold_string(&visible);
    ComposingNormalizerBorrowed::new_nfkc()
        .normalize(&folded)
        .into_owned()
}

/// The text without what shows nothing where it stands. Joiners and tags stay in an emoji, which without them is another one.
fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_always_visible) {
        return text.into();
    }
    let characters = text.chars().filter_map(|c| match c {
        _ if is_wide_blank(c) => Some(' '),
        _ if is_invisible(c) => is_of_emoji(c).then_some(c),
        _ => Some(c),
    });
    let characters: Vec<char> = characters.collect();
    let mut visible = String::with_capacity(text.len());
    let mut rest = &characters[..];
    while let Some((&c, after)) = rest.split_first() {
        let length = joined_emoji(rest).unwrap_or(1);
        let is_shown =
            length > 1 || !is_of_emoji(c) && !is_idle(visible.chars().next_back(), c, after);
        if is_shown {
            visible.extend(&rest[..length]);
        }
        rest = &rest[length..];
    }
    visible.into()
}

/// The form of a room's name under which two names are the same name: [`folded`], with each run of blanks as one, none at
/// the ends. Two names with equal forms look alike to a reader who does not mind case and width.
///
/// Takes any text. What a room may be called is decided elsewhere; the form of a name that is allowed is never empty.
pub fn room_name(name: &str) -> String {
    // Folding makes plain blanks of some and changes none into letters, so blanks are put right afterwards.
    one_blank_between(&folded(name))
}

/// The text with every run of blanks, of any width, as one space, and none at the ends.
pub fn one_blank_between(text: &str) -> String {
    let blank = CodePointSetData::new::<WhiteSpace>();
    let mut words = text
        .split(|c| blank.contains(c))
        .filter(|word| !word.is_empty());
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    line
}

/// What a folded name is sorted by: the name without the marks of Latin, Greek and Cyrillic letters, and after that the name
/// itself. `äpfel` comes after `apfel` and before `birne`.
pub fn order(folded: &str) -> String {
    let script = CodePointMapData::<Script>::new();
    let has_case = |c| {
        matches!(
            script.get(c),
            Script::Latin | Script::Greek | Script::Cyrillic
        )
    };
    let mut order = String::with_capacity(2 * folded.len() + 1);
    let mut letter_has_case = false;
    for c in DecomposingNormalizerBorrowed::new_nfd()
        .normalize(folded)
        .chars()
    {
        match is_mark(c) {
            true if letter_has_case => continue,
            true => {}
            false => letter_has_case = has_case(c),
        }
        order.push(c);
    }
    let mut order = composed(&order).into_owned();
    order.push(ORDER_END);
    order.push_str(folded);
    order
}

/// Ends what a name is sorted by first, and comes before every character of a name.
pub const ORDER_END: char = '\u{1}';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_name_in_another_form_is_the_same_name() {
        for (one, other) in [
            ("The Lobby", "the  LOBBY "),
            ("Lobby", "Lo\u{200b}bby"),
            ("길드 모집", "\u{1100}\u{1175}\u{11af}\u{1103}\u{1173} 모집"),
            ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ＡＢＣ", "abc"),
            ("a\u{3000}b", "A B"),
            ("a\u{a0}b", "A B"),
            ("ﾊﾝｶｸ", "ハンカク"),
            ("e\u{301}toile", "ÉTOILE"),
            ("❤", "❤\u{fe0f}"),
            ("ﬁsh", "FISH"),
            ("ISTANBUL", "istanbul"),
            ("İstanbul", "i\u{307}stanbul"),
            ("葛\u{e0100}", "葛"),
            ("नमस्ते", "नमस्\u{200d}ते"),
        ] {
            assert_eq!(room_name(one), room_name(other), "{one:?} {other:?}");
        }
        for (one, other) in [
            ("lobby", "lоbby"),
            ("ısparta", "isparta"),
            ("a b", "ab"),
            ("cafe", "café"),
            ("นา", "นำ"),
        ] {
            assert_ne!(room_name(one), room_name(other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn every_character_folds_once_and_for_all() {
        for c in '\0'..=char::MAX {
            let text = format!("a{c}\u{308}{c}");
            let form = folded(&text);
            assert_eq!(folded(&form), form, "{text:?}");
        }
    }

    #[test]
    fn names_are_in_order_without_regard_to_accents() {
        let names = [
            "2",
            "apfel",
            "äpfel",
            "apfel baum",
            "äpfel baum",
            "birne",
            "éclair",
            "zoo",
            "άλφα",
            "ωmega",
            "ёлка",
            "яблоко",
            "가",
            "각",
            "나",
        ];
        let mut sorted = names;
        sorted.reverse();
        sorted.sort_by_key(|name| order(&room_name(name)));
        assert_eq!(sorted, names);
        assert!(
            order("नमस्ते").starts_with("नमस्ते"),
            "other scripts keep their marks"
        );
    }

    proptest! {
        #[test]
        fn forms_are_stable(text in any::<String>()) {
            let once = composed(&text);
            prop_assert_eq!(&composed(&once), &once);
            let form = room_name(&text);
            prop_assert_eq!(&room_name(&form), &form);
            prop_assert_eq!(room_name(&once), form);
        }
    }
}
