//! The built-in word filter: refuses texts that contain a listed word.

use std::collections::HashMap;

use pitturu_protocol::ids::RoomId;
use pitturu_text::fold::room_name;
use pitturu_text::words::pieces;

use crate::rooms::TextFilter;

/// Words that no message and no note of a gift may contain, without regard to case, width or what does not show. An entry of several words or
/// signs is found where they follow each other.
#[derive(Debug, Default)]
pub struct WordList {
    /// By their first piece, the pieces of each entry.
    entries: HashMap<String, Vec<Vec<String>>>,
}

impl WordList {
    /// A filter of these words.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut entries: HashMap<String, Vec<Vec<String>>> = HashMap::new();
        for word in words {
            let folded = room_name(word);
            let entry: Vec<String> = pieces(&folded).into_iter().map(str::to_owned).collect();
            if let Some(first) = entry.first() {
                entries.entry(first.clone()).or_default().push(entry);
            }
        }
        Self { entries }
    }
}

impl TextFilter for WordList {
    fn allows(&self, _: Option<RoomId>, text: &str) -> bool {
        if self.entries.is_empty() {
            // Folding takes longer than everything else that is asked of a message.
            return true;
        }
        let folded = room_name(text);
        let pieces = pieces(&folded);
        !pieces.iter().enumerate().any(|(at, first)| {
            self.entries.get(*first).is_some_and(|entries| {
                entries
                    .iter()
                    .any(|entry| starts_with(&pieces[at..], entry))
            })
        })
    }
}

fn starts_with(pieces: &[&str], entry: &[String]) -> bool {
    pieces.len() >= entry.len() && entry.iter().zip(pieces).all(|(word, piece)| word == piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_refused_in_any_case_width_and_form() {
        let list = WordList::new([
            "Bad",
            "나쁜",
            "नमस्ते",
            "foo-bar",
            "STRASSE",
            "two words",
            "ผู้ร้าย",
            "悪党",
            "can't",
            "💩",
            "a.b",
            "",
        ]);
        for text in [
            "a BAD word",
            "bad",
            "ｂａｄ!",
            "b\u{200b}ad",
            "bad\u{13441}",
            "bad\u{16fe4}",
            "b\u{2d7f}ad",
            "ba\u{1a60}d",
            "\u{13430}bad",
            "foo\u{3164}bad\u{2800}foo",
            "so bad.really",
            "_bad_",
            "너무 나쁜 말",
            "\u{1102}\u{1161}\u{1108}\u{1173}\u{11ab}!",
            "ओ नमस्ते!",
            "a foo-bar, FOO-BAR",
            "Straße",
            "two \n WORDS",
            "คือผู้ร้ายจริง",
            "大悪党",
            "You CAN'T",
            "💩💩",
            "A.B",
        ] {
            assert!(!list.allows(None, text), "{text}");
        }
        for text in [
            "badge",
            "",
            "b a d",
            "नमस्",
            "नमस्तेजी",
            "foo bar",
            "foo-bart",
            "xfoo-bar",
            "foo",
            "Straßen",
            "two",
            "can",
            "a",
            "나쁜말",
        ] {
            assert!(list.allows(None, text), "{text}");
        }
    }
}
