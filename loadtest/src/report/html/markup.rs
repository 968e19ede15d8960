//! Text, tables and badges of the page. Whatever comes from a report passes through [`escaped`].

/// Text as it may stand between tags and in attributes. Letters that no page may hold become `U+FFFD`.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(letter),
            '\u{FFFE}' | '\u{FFFF}' => safe.push('\u{FFFD}'),
            letter if letter.is_control() => safe.push('\u{FFFD}'),
            letter => safe.push(letter),
        }
    }
    safe
}

/// A table of texts, all escaped here. Columns after the first `left` hold numbers.
#[derive(Debug)]
pub(super) struct Table {
    left: usize,
    head: String,
    body: String,
}

impl Table {
    pub(super) fn new(left: usize, heads: &[&str]) -> Self {
        let mut table = Self {
            left,
            head: String::new(),
            body: String::new(),
        };
        for (index, head) in heads.iter().enumerate() {
            let class = table.class(index);
            table.head += &format!("<th{class}>{}</th>", escaped(head));
        }
        table
    }

    pub(super) fn row(&mut self, cells: &[String]) {
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        self.row_of_markup(&cells);
    }

    /// A row of cells that are markup already.
    pub(super) fn row_of_markup(&mut self, cells: &[String]) {
        self.body += "<tr>";
        for (index, cell) in cells.iter().enumerate() {
            self.body += &format!("<td{}>{cell}</td>", self.class(index));
        }
        self.body += "</tr>\n";
    }

    /// The table, or nothing when it has no rows.
    pub(super) fn markup(&self) -> String {
        if self.body.is_empty() {
            return String::new();
        }
        format!(
            "<div class=\"wide\"><table><thead><tr>{}</tr></thead><tbody>\n{}</tbody></table></div>\n",
            self.head, self.body
        )
    }

    fn class(&self, index: usize) -> &'static str {
        if index < self.left {
            ""
        } else {
            " class=\"number\""
        }
    }
}

/// A word on a ground of `good`, `bad` or `warning`.
pub(super) fn badge(class: &str, word: &str) -> String {
    format!("<span class=\"badge {class}\">{}</span>", escaped(word))
}

/// A heading above content; nothing when there is no content.
pub(super) fn block(heading: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!(
        "<div class=\"block\"><h4>{}</h4>\n{content}</div>\n",
        escaped(heading)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes() {
        assert_eq!(
            escaped("<a href=\"x\">'&'</a>\u{1b}\u{0}é"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;\u{FFFD}\u{FFFD}é"
        );
    }

    #[test]
    fn an_empty_table_is_nothing() {
        let mut table = Table::new(1, &["a", "b"]);
        assert_eq!(table.markup(), "");
        table.row(&["<".into(), "1".into()]);
        assert!(
            table
                .markup()
                .contains("<td>&lt;</td><td class=\"number\">1</td>")
        );
    }
}
