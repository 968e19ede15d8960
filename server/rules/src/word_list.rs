//! The built-in word filter: refuses texts that contain a listed word.

use std::collections::HashSet;

use pitturu_protocol::ids::RoomId;
use unicode_normalization::UnicodeNormalization;

use crate::rooms::TextFilter;

/// Words that no message may contain, without regard to case or compatibility forms.
#[derive(Debug)]
pub struct WordList {
    words: HashSet<String>,
}

impl WordList {
    /// A filter of these words, in lower case.
    pub fn new(words: HashSet<String>) -> Self {
        let words = words
            .into_iter()
            .map(|word| word.nfkc().collect())
            .collect();
        Self { words }
    }
}

impl TextFilter for WordList {
    fn allows(&self, _: RoomId, text: &str) -> bool {
        let folded: String = text.nfkc().flat_map(char::to_lowercase).collect();
        !folded
            .split(|character: char| !character.is_alphanumeric())
            .any(|word| self.words.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_refused_in_any_case_and_width() {
        let list = WordList::new(HashSet::from(["bad".to_owned(), "나쁜".to_owned()]));
        let room = RoomId::from_bytes([0; 10]);
        for text in ["a BAD word", "bad", "ｂａｄ!", "너무 나쁜 말"] {
            assert!(!list.allows(room, text), "{text}");
        }
        for text in ["badge", "", "b a d"] {
            assert!(list.allows(room, text), "{text}");
        }
    }
}
