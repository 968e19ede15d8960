//! The words of a text, by Unicode's rules for word boundaries (UAX #29).
//!
//! Scripts that are written without spaces are taken letter by letter: Chinese, Japanese and Thai need a dictionary to know
//! their words, and would find other words in a query than in a name.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::characters::{is_letter_or_number, is_mark};

/// A text in its smallest pieces: words, and between them each blank and each sign. Nothing is left out.
///
/// UAX #29 keeps `foo.bar` and `foo_bar` together; here a point or a line parts them, an apostrophe does not.
pub fn pieces(text: &str) -> Vec<&str> {
    text.split_word_bounds().flat_map(parts).collect()
}

/// Parts a segment at the signs inside it.
fn parts(segment: &str) -> impl Iterator<Item = &str> {
    let has_word = segment.contains(is_letter_or_number);
    segment
        .split_inclusive(move |c| has_word && parts_words(c))
        .flat_map(move |part| {
            let sign = part
                .chars()
                .next_back()
                .filter(|&c| has_word && parts_words(c));
            let (word, sign) = part.split_at(part.len() - sign.map_or(0, char::len_utf8));
            [word, sign].into_iter().filter(|piece| !piece.is_empty())
        })
}

fn parts_words(c: char) -> bool {
    // What UAX #29 lets stand inside a word, without apostrophes and the points of Catalan and Hebrew.
    matches!(
        c,
        '.' | ','
            | ';'
            | ':'
            | '_'
            | '\u{203f}'
            | '\u{2040}'
            | '\u{2024}'
            | '\u{fe52}'
            | '\u{ff0e}'
            | '\u{ff3f}'
    )
}

/// The words of each part of a text that stands between blanks. A part without letters or numbers, such as an emoji, is a
/// word as it is.
pub fn words(text: &str) -> Vec<Vec<&str>> {
    let parts = text.split_whitespace().map(|part| {
        let words: Vec<&str> = pieces(part)
            .into_iter()
            .filter(|piece| is_word(piece))
            .collect();
        if words.is_empty() { vec![part] } else { words }
    });
    parts.collect()
}

fn is_word(piece: &str) -> bool {
    piece.contains(|c| is_letter_or_number(c) || is_mark(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_and_marks_stay_with_their_letters() {
        for (text, expected) in [
            ("foo-bar", &["foo", "-", "bar"][..]),
            ("नमस्ते दुनिया", &["नमस्ते", " ", "दुनिया"]),
            ("can't l'été", &["can't", " ", "l'été"]),
            (
                "end.Begin a_b 3.5",
                &["end", ".", "Begin", " ", "a", "_", "b", " ", "3", ".", "5"],
            ),
            ("길드 모집!", &["길드", " ", "모집", "!"]),
            ("👩🏽‍❤️‍💋‍👨🏿 ok", &["👩🏽‍❤️‍💋‍👨🏿", " ", "ok"]),
            ("", &[]),
        ] {
            assert_eq!(pieces(text), expected);
        }
        assert_eq!(pieces("東京都ผู้ใช้").concat(), "東京都ผู้ใช้");
        assert_eq!(pieces("ผู้ใช้"), ["ผู้", "ใ", "ช้"]);
        assert_eq!(pieces("東京"), ["東", "京"]);
    }

    #[test]
    fn words_stand_by_the_parts_they_are_written_in() {
        assert_eq!(words("boss-raid, 2"), [vec!["boss", "raid"], vec!["2"]]);
        assert_eq!(words("🎮 ... a"), [["🎮"], ["..."], ["a"]]);
        assert!(words(" \t").is_empty());
    }
}
