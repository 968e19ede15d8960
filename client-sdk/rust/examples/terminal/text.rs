//! Text of other people, made safe to show, measured and wrapped in columns of the terminal.

use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;

/// A cluster longer than this is a flood of combining marks, not a character that anyone writes.
const CLUSTER_BYTES_MAX: usize = 64;

/// Columns that a text without line breaks takes.
pub(crate) fn width(text: &str) -> usize {
    text.graphemes(true).map(cluster_width).sum()
}

/// Columns of one grapheme cluster, as the screen's buffer counts them.
pub(crate) fn cluster_width(cluster: &str) -> usize {
    if cluster.contains(char::is_control) {
        0
    } else {
        usize::from(cluster.cell_width())
    }
}

/// The text with nothing in it that could command the terminal or turn the writing around. Line breaks stay.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for cluster in text.graphemes(true) {
        match cluster {
            "\n" | "\r\n" | "\u{2028}" | "\u{2029}" => out.push('\n'),
            "\t" => out.push_str("    "),
            _ if cluster.len() > CLUSTER_BYTES_MAX => out.push('\u{fffd}'),
            _ => out.extend(cluster.chars().filter_map(|char| {
                if is_direction(char) {
                    None
                } else if char.is_control() {
                    Some('\u{fffd}')
                } else {
                    Some(char)
                }
            })),
        }
    }
    out
}

/// As [`clean`], on one line: for names and quotations.
pub(crate) fn clean_line(text: &str) -> String {
    clean(text).replace('\n', " ").trim().to_owned()
}

/// `1 member`, `2 members`.
pub(crate) fn count(number: u64, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {one}{ending}")
}

fn is_direction(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The beginning of a text of one line that fits, with `…` when something had to go.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for cluster in text.graphemes(true) {
        let wide = cluster_width(cluster);
        if used + wide + 1 > columns {
            break;
        }
        out.push_str(cluster);
        used += wide;
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// A text on lines of at most `columns` columns, broken at spaces where there are any. A character that is wider than the
/// line is replaced. There is at least one line.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = Line::new(columns);
        for word in paragraph.split_inclusive(' ') {
            line.add(word, &mut lines);
        }
        lines.push(line.text);
    }
    lines
}

struct Line {
    text: String,
    used: usize,
    columns: usize,
}

impl Line {
    fn new(columns: usize) -> Self {
        Self {
            text: String::new(),
            used: 0,
            columns,
        }
    }

    fn add(&mut self, word: &str, lines: &mut Vec<String>) {
        let letters = width(word.trim_end_matches(' '));
        if self.used > 0 && self.used + letters > self.columns && letters <= self.columns {
            self.end(lines);
        }
        for cluster in word.graphemes(true) {
            let (cluster, wide) = match cluster_width(cluster) {
                wide if wide > self.columns => ("\u{fffd}", 1),
                wide => (cluster, wide),
            };
            if self.used + wide > self.columns {
                // The space at which a line is broken is not seen.
                if cluster == " " {
                    continue;
                }
                self.end(lines);
            }
            self.text.push_str(cluster);
            self.used += wide;
        }
    }

    fn end(&mut self, lines: &mut Vec<String>) {
        let text = std::mem::take(&mut self.text);
        lines.push(text.trim_end_matches(' ').to_owned());
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a abcdefgh", 4), ["a ab", "cdef", "gh"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("a\n\nb", 4), ["a", "", "b"]);
    }

    #[test]
    fn korean_takes_two_columns_a_syllable() {
        assert_eq!(width("안녕하세요"), 10);
        assert_eq!(wrap("안녕하세요 여러분", 10), ["안녕하세요", "여러분"]);
        assert_eq!(wrap("안녕하세요", 5), ["안녕", "하세", "요"]);
        assert_eq!(wrap("가나", 1), ["\u{fffd}", "\u{fffd}"]);
        assert_eq!(fit("안녕하세요", 6), "안녕…");
    }

    #[test]
    fn joined_emoji_stay_whole() {
        let family = "👩‍👩‍👧";
        assert_eq!(width(family), 2);
        assert_eq!(
            wrap(&family.repeat(3), 4),
            [family.repeat(2), family.to_owned()]
        );
        assert_eq!(wrap("a\u{200d}b", 1).concat(), "a\u{200d}b");
    }

    #[test]
    fn no_line_is_wider_than_asked_and_nothing_is_lost() {
        let text =
            "안녕 hello 👩‍👩‍👧 a\u{300}\u{301} wwwwwwwwwwwwwwwwwwwwwww\u{200b}\u{200d} 東京タワー";
        for columns in 2..40 {
            let lines = wrap(text, columns);
            assert!(
                lines.iter().all(|line| width(line) <= columns),
                "{columns}: {lines:?}"
            );
            let letters = |text: &str| text.chars().filter(|char| *char != ' ').collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text), "{columns}");
        }
    }

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(
            clean("a\u{1b}[31mb\u{7}\u{9b}"),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}"
        );
        assert_eq!(clean("x\u{202e}y\r\nz"), "xy\nz");
        assert_eq!(clean(&format!("a{}", "\u{301}".repeat(100))), "\u{fffd}");
        assert_eq!(clean_line(" a\nb\t"), "a b");
    }
}
