//! The line in which the player writes. The cursor stands between grapheme clusters.

use unicode_segmentation::UnicodeSegmentation;

use crate::text::cluster_width;

/// Lines that Up brings back.
const HISTORY_MAX: usize = 200;

/// A line of text with a cursor, and the lines written before it.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    text: String,
    /// Byte offset, always between two clusters.
    cursor: usize,
    history: Vec<String>,
    /// Which line of the history is shown, and the line that was being written before.
    browsing: Option<(usize, String)>,
}

impl Editor {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Puts text at the cursor. Input methods send whole syllables, and sometimes only a combining part, which may
    /// join the cluster before it.
    pub(crate) fn insert(&mut self, text: &str) {
        self.text.insert_str(self.cursor, text);
        self.cursor = self.boundary_from(self.cursor + text.len());
    }

    pub(crate) fn set(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
    }

    /// Takes the line out, and keeps it in the history.
    pub(crate) fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.cursor = 0;
        self.browsing = None;
        if !text.trim().is_empty() && self.history.last() != Some(&text) {
            self.history.push(text.clone());
            if self.history.len() > HISTORY_MAX {
                self.history.remove(0);
            }
        }
        text
    }

    pub(crate) fn backspace(&mut self) {
        let before = self.before();
        self.text.replace_range(before..self.cursor, "");
        self.cursor = self.boundary_from(before);
    }

    pub(crate) fn delete(&mut self) {
        let after = self.after();
        self.text.replace_range(self.cursor..after, "");
        self.cursor = self.boundary_from(self.cursor);
    }

    /// Deletes back to the beginning of a word.
    pub(crate) fn delete_word(&mut self) {
        let start = self.word_before();
        self.text.replace_range(start..self.cursor, "");
        self.cursor = self.boundary_from(start);
    }

    pub(crate) fn delete_to_start(&mut self) {
        self.text.replace_range(..self.cursor, "");
        self.cursor = 0;
    }

    pub(crate) fn delete_to_end(&mut self) {
        self.text.truncate(self.cursor);
    }

    pub(crate) fn left(&mut self) {
        self.cursor = self.before();
    }

    pub(crate) fn right(&mut self) {
        self.cursor = self.after();
    }

    pub(crate) fn word_left(&mut self) {
        self.cursor = self.word_before();
    }

    pub(crate) fn word_right(&mut self) {
        let rest = &self.text[self.cursor..];
        let word = rest.len() - rest.trim_start().len();
        let end = rest[word..].find(' ').map_or(rest.len(), |at| word + at);
        self.cursor = self.boundary_from(self.cursor + end);
    }

    pub(crate) fn home(&mut self) {
        self.cursor = 0;
    }

    pub(crate) fn end(&mut self) {
        self.cursor = self.text.len();
    }

    /// The line before in the history.
    pub(crate) fn older(&mut self) {
        let at = match &self.browsing {
            None => self.history.len(),
            Some((at, _)) => *at,
        };
        let Some(older) = at.checked_sub(1) else {
            return;
        };
        let line = self.history[older].clone();
        let draft = match self.browsing.take() {
            Some((_, draft)) => draft,
            None => std::mem::take(&mut self.text),
        };
        self.browsing = Some((older, draft));
        self.set(&line);
    }

    /// The line after in the history; after the newest, the line that was being written.
    pub(crate) fn newer(&mut self) {
        let Some((at, draft)) = self.browsing.take() else {
            return;
        };
        match self.history.get(at + 1).cloned() {
            Some(line) => {
                self.browsing = Some((at + 1, draft));
                self.set(&line);
            }
            None => self.set(&draft),
        }
    }

    /// The part of the line that fits into `columns` with the cursor in it, and the column of the cursor there. Line
    /// breaks are shown as `⏎`.
    pub(crate) fn window(&self, columns: usize) -> (String, usize) {
        let shown = |cluster: &str| match cluster {
            "\n" | "\r\n" => ("⏎".to_owned(), 1),
            "\t" => (" ".to_owned(), 1),
            other => (other.to_owned(), cluster_width(other)),
        };
        // One column is kept for the cursor itself.
        let room = columns.saturating_sub(1);
        let mut before = Vec::new();
        let mut column = 0;
        for cluster in self.text[..self.cursor].graphemes(true).rev() {
            let (cluster, wide) = shown(cluster);
            if column + wide > room {
                break;
            }
            column += wide;
            before.push(cluster);
        }
        let mut out: String = before.into_iter().rev().collect();
        let mut used = column;
        for cluster in self.text[self.cursor..].graphemes(true) {
            let (cluster, wide) = shown(cluster);
            if used + wide > columns {
                break;
            }
            used += wide;
            out.push_str(&cluster);
        }
        (out, column)
    }

    fn before(&self) -> usize {
        self.text[..self.cursor]
            .grapheme_indices(true)
            .next_back()
            .map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        self.text[self.cursor..]
            .graphemes(true)
            .next()
            .map_or(self.cursor, |cluster| self.cursor + cluster.len())
    }

    fn word_before(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        before.rfind(' ').map_or(0, |at| at + 1)
    }

    /// The first boundary at or after `at`: what was inserted or brought together may have joined its neighbours.
    fn boundary_from(&self, at: usize) -> usize {
        self.text
            .grapheme_indices(true)
            .map(|(start, _)| start)
            .find(|start| *start >= at)
            .unwrap_or(self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn editor(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[test]
    fn the_cursor_moves_by_what_a_person_sees() {
        let mut line = editor("한👩‍👩‍👧e\u{301}");
        line.backspace();
        assert_eq!(line.text(), "한👩‍👩‍👧");
        line.left();
        line.left();
        line.delete();
        assert_eq!(line.text(), "👩‍👩‍👧");
        line.backspace();
        line.right();
        line.right();
        line.backspace();
        line.backspace();
        assert_eq!(line.text(), "");
    }

    #[test]
    fn a_combining_part_joins_the_cluster_before() {
        let mut line = editor("e");
        line.insert("\u{301}");
        line.insert("x");
        assert_eq!(line.text(), "e\u{301}x");
        line.home();
        line.right();
        line.delete();
        assert_eq!(line.text(), "e\u{301}");
        let mut flags = editor("🇰🇷");
        flags.home();
        flags.insert("🇺");
        flags.backspace();
        flags.insert("a");
        assert!(flags.text().contains('a'));
    }

    #[test]
    fn words_and_ends() {
        let mut line = editor("one two  three");
        line.delete_word();
        assert_eq!(line.text(), "one two  ");
        line.word_left();
        line.delete_to_end();
        assert_eq!(line.text(), "one ");
        line.home();
        line.word_right();
        line.delete_to_start();
        assert_eq!(line.text(), " ");
    }

    #[test]
    fn history_gives_the_draft_back() {
        let mut line = editor("first");
        line.take();
        line.insert("second");
        line.take();
        line.insert("draft");
        line.older();
        line.older();
        line.older();
        assert_eq!(line.text(), "first");
        line.newer();
        assert_eq!(line.text(), "second");
        line.newer();
        line.newer();
        assert_eq!(line.text(), "draft");
    }

    #[test]
    fn the_window_follows_the_cursor() {
        let mut line = editor("안녕하세요");
        assert_eq!(line.window(20), ("안녕하세요".to_owned(), 10));
        assert_eq!(line.window(6), ("세요".to_owned(), 4));
        line.home();
        assert_eq!(line.window(5), ("안녕".to_owned(), 0));
        assert_eq!(line.window(0), (String::new(), 0));
        assert_eq!(line.window(1), (String::new(), 0));
        assert_eq!(editor("a\nb").window(9).0, "a⏎b");
    }
}
