//! Plain text for terminals: aligned columns, wrapped words, colour where it is wanted.

/// Columns of the narrowest terminal that is served.
pub(super) const WIDTH: usize = 80;

/// Letters of one cell or line that carry a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Heading,
    Faint,
    Good,
    Bad,
    Warning,
}

/// Lines of text, coloured or not.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    coloured: bool,
}

/// Cells in rows. The first column is aligned to the left, numbers to the right.
#[derive(Debug, Default)]
pub(super) struct Columns {
    rows: Vec<Vec<String>>,
    left: usize,
}

impl Page {
    pub(super) fn new(coloured: bool) -> Self {
        Self {
            text: String::new(),
            coloured,
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn blank(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A paragraph of which the first line begins with `mark` and the others are indented as far.
    pub(super) fn wrapped(&mut self, mark: &str, text: &str, ink: Option<Ink>) {
        let indent = mark.chars().count();
        for (index, line) in wrap(text, WIDTH - indent).iter().enumerate() {
            let line = if index == 0 {
                format!("{mark}{line}")
            } else {
                format!("{}{line}", " ".repeat(indent))
            };
            self.line(&line, ink);
        }
    }

    pub(super) fn line(&mut self, line: &str, ink: Option<Ink>) {
        let line = line.trim_end();
        match ink.filter(|_| self.coloured && !line.is_empty()) {
            Some(ink) => {
                self.text.push_str(ink.code());
                self.text.push_str(line);
                self.text.push_str("\x1b[0m");
            }
            None => self.text.push_str(line),
        }
        self.text.push('\n');
    }

    /// The columns, indented by two, with the first row as their heads.
    pub(super) fn columns(&mut self, columns: &Columns) {
        for (index, line) in columns.lines().iter().enumerate() {
            self.line(line, (index == 0).then_some(Ink::Faint));
        }
    }
}

impl Columns {
    /// Columns with these heads, the first `left` of them aligned to the left.
    pub(super) fn new(left: usize, heads: &[&str]) -> Self {
        let heads = heads.iter().map(|head| (*head).to_owned()).collect();
        Self {
            rows: vec![heads],
            left,
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// Two spaces between columns and before the first. The first column gives way where the width does not suffice.
    fn lines(&self) -> Vec<String> {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(row.len().max(widths.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let total: usize = widths.iter().map(|width| width + 2).sum();
        if let Some(first) = widths.first_mut() {
            *first = first.saturating_sub(total.saturating_sub(WIDTH)).max(8);
        }
        let line = |row: &Vec<String>| -> String {
            let cells = row.iter().zip(&widths).enumerate();
            cells
                .map(|(index, (cell, width))| {
                    let cell = shorten(cell, *width);
                    if index < self.left {
                        format!("  {cell:<width$}")
                    } else {
                        format!("  {cell:>width$}")
                    }
                })
                .collect()
        };
        self.rows.iter().map(line).collect()
    }
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Heading => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[1;31m",
            Self::Warning => "\x1b[33m",
        }
    }
}

/// Lines of at most `width` letters, broken between words, and within a word only when it is longer than a line.
/// Control letters become spaces: text from a file does not steer the terminal.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let letters: Vec<char> = word.chars().collect();
        for (index, part) in letters.chunks(width.max(1)).enumerate() {
            let gap = usize::from(used > 0 && index == 0);
            if index > 0 || used + gap + part.len() > width {
                if used > 0 {
                    lines.push(String::new());
                }
                used = 0;
            } else if gap > 0 {
                push(&mut lines, &[' ']);
                used += 1;
            }
            push(&mut lines, part);
            used += part.len();
        }
    }
    lines
}

fn push(lines: &mut [String], letters: &[char]) {
    if let Some(line) = lines.last_mut() {
        line.extend(letters);
    }
}

fn shorten(cell: &str, width: usize) -> String {
    let cell: String = cell
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if cell.chars().count() <= width {
        return cell;
    }
    let kept: String = cell.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_long_ones_cut() {
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("ab cd ef", 5), ["ab cd", "ef"]);
        assert_eq!(wrap("abcdefgh ij", 5), ["abcde", "fgh", "ij"]);
        assert_eq!(wrap("x abcdefgh", 5), ["x", "abcde", "fgh"]);
        assert_eq!(wrap("a\x1b[2Jb", 9), ["a [2Jb"]);
    }

    #[test]
    fn columns_are_aligned_and_fit() {
        let mut columns = Columns::new(1, &["name", "value"]);
        columns.row(["µ".to_owned(), "1,000".to_owned()]);
        columns.row(["a".repeat(100), "7".to_owned()]);
        let lines = columns.lines();
        assert!(
            lines.iter().all(|line| line.chars().count() == WIDTH),
            "{lines:#?}"
        );
        assert!(lines[1].ends_with("1,000"));
        assert!(lines[2].contains("aa…"));
    }

    #[test]
    fn colour_is_only_where_it_was_wanted() {
        for (coloured, expected) in [(false, "held\n"), (true, "\x1b[32mheld\x1b[0m\n")] {
            let mut page = Page::new(coloured);
            page.line("held", Some(Ink::Good));
            assert_eq!(page.into_text(), expected);
        }
    }
}
