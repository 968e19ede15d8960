//! A room's messages as rows of the screen, made from the lowest visible row upwards: only what is seen is laid out.

use pitturu_client::UserId;
use pitturu_client::types::chat::Message;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::clock::Clock;
use crate::model::{Pending, Room, Scroll};
use crate::text::{clean, clean_line, count, fit, width, wrap};

/// From this width on, times and names stand in columns of their own.
const COLUMNS_WIDE: usize = 54;

/// Columns of a name when names have a column.
const NAME_COLUMNS: usize = 12;

/// Columns before the text: time, name and the spaces after them.
const LEFT_COLUMNS: usize = 5 + 1 + NAME_COLUMNS + 1;

/// Messages of one player within this time stand together under one name.
const TOGETHER_MS: u64 = 5 * 60 * 1000;

/// Rows that one message takes at most.
const ROWS_MAX: usize = 200;

/// Colours of names that can be told apart on dark and on light ground.
const NAME_COLOURS: [u8; 12] = [31, 34, 37, 61, 67, 97, 130, 132, 136, 166, 168, 172];

pub(crate) const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// The colour of a player's name.
pub(crate) fn colour(user: UserId) -> Color {
    let sum = user.as_bytes().iter().fold(0u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
    });
    Color::Indexed(NAME_COLOURS[sum as usize % NAME_COLOURS.len()])
}

/// One row, and the message that it belongs to; none for what is not confirmed.
pub(crate) struct Row {
    pub(crate) line: Line<'static>,
    seq: Option<u64>,
    /// Rows of the same message below it.
    below: usize,
}

/// A room on a screen of a certain width.
pub(crate) struct Transcript<'a> {
    pub(crate) room: &'a Room,
    pub(crate) me: Option<UserId>,
    pub(crate) online: bool,
    pub(crate) clock: Clock,
    pub(crate) columns: usize,
}

impl Transcript<'_> {
    /// The lowest `count` rows of the view, top to bottom.
    pub(crate) fn window(&self, count: usize) -> Vec<Row> {
        let mut rows = self.upwards(count);
        rows.reverse();
        rows
    }

    /// Newest message of which a row is in a window of `count` rows; 0 if there is none.
    pub(crate) fn newest_in(&self, count: usize) -> u64 {
        if count == 0 {
            return 0;
        }
        match self.room.scroll {
            Scroll::End => self.room.last_seq(),
            Scroll::At { seq, .. } => seq,
        }
    }

    /// Whether a row of this message is in a window of `count` rows.
    pub(crate) fn shows(&self, seq: u64, count: usize) -> bool {
        self.upwards(count).iter().any(|row| row.seq == Some(seq))
    }

    /// The view moved up, and whether it has come to the oldest message here.
    pub(crate) fn up(&self, by: usize, count: usize) -> (Scroll, bool) {
        let rows = self.upwards(by + count);
        let at_top = rows.len() < by + count;
        let shift = by.min(rows.len().saturating_sub(count));
        if shift == 0 {
            return (self.room.scroll, at_top);
        }
        let lowest = rows[shift..]
            .iter()
            .find_map(|row| Some((row.seq?, row.below)));
        match lowest {
            Some((seq, skip)) => (Scroll::At { seq, skip }, at_top),
            None => (self.room.scroll, at_top),
        }
    }

    /// The view moved down.
    pub(crate) fn down(&self, by: usize) -> Scroll {
        let Scroll::At { seq, skip } = self.room.scroll else {
            return Scroll::End;
        };
        if by < skip {
            return Scroll::At {
                seq,
                skip: skip - by,
            };
        }
        let mut left = by - skip;
        let mut at = seq;
        for msg in self.room.after(seq) {
            if left == 0 {
                break;
            }
            let rows = self.message(msg).len();
            at = msg.seq;
            if left < rows {
                return Scroll::At {
                    seq: at,
                    skip: rows - left,
                };
            }
            left -= rows;
        }
        if at == self.room.last_seq() {
            Scroll::End
        } else {
            Scroll::At { seq: at, skip: 0 }
        }
    }

    /// Rows from the lowest visible one upwards.
    fn upwards(&self, count: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        let (newest, skip) = match self.room.scroll {
            Scroll::At { seq, skip } => (seq, skip),
            Scroll::End => {
                for pending in self.room.waiting().rev() {
                    rows.extend(self.pending(pending).into_iter().rev());
                    if rows.len() >= count {
                        break;
                    }
                }
                (u64::MAX, 0)
            }
        };
        let mut skip = skip;
        for msg in self.room.up_to(newest).rev() {
            if rows.len() >= count {
                break;
            }
            let own = self.message(msg);
            let hidden = skip.min(own.len().saturating_sub(1));
            rows.extend(own.into_iter().rev().skip(hidden));
            skip = 0;
        }
        rows.truncate(count);
        rows
    }

    fn message(&self, msg: &Message) -> Vec<Row> {
        let before = self.room.before(msg.seq);
        let mut lines = self.above(msg, before);
        let separated = !lines.is_empty();
        let previous = before
            .filter(|_| !separated)
            .map(|last| (last.from, last.at));
        let mut body = self.body(msg);
        self.head(
            &mut body,
            msg.from,
            &msg.name,
            msg.at,
            previous,
            msg.reply_to.is_some(),
        );
        if self.room.selected == Some(msg.seq) {
            for line in &mut body {
                *line = std::mem::take(line).patch_style(Modifier::REVERSED);
            }
        }
        lines.extend(body);
        lines.truncate(ROWS_MAX);
        rows(lines, Some(msg.seq))
    }

    /// What stands between this message and the one before it.
    fn above(&self, msg: &Message, before: Option<&Message>) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        if before.is_none() {
            let text = if msg.seq > self.room.first.max(1) {
                if self.room.loading {
                    "reading…"
                } else {
                    "↑ PageUp reads on"
                }
                .to_owned()
            } else if msg.seq > 1 {
                "older messages are no longer kept".to_owned()
            } else {
                format!("here begins {}", self.room.title())
            };
            lines.push(self.rule(&text, FAINT));
        }
        if let Some((from, to)) = self.room.gap_before(msg.seq) {
            let text = format!("no longer kept: {}", count(to - from + 1, "message"));
            lines.push(self.rule(&text, FAINT));
        }
        let day = self.clock.day(msg.at);
        if before.is_none_or(|last| self.clock.day(last.at) != day) {
            lines.push(self.rule(&self.clock.date(msg.at), FAINT));
        }
        if let Some(read) = self.room.divider
            && msg.seq > read
            && before.is_none_or(|last| last.seq <= read)
        {
            lines.push(self.rule("new", Style::new().fg(Color::Red)));
        }
        lines
    }

    /// A text in the middle of a line across the screen.
    fn rule(&self, text: &str, style: Style) -> Line<'static> {
        let text = fit(text, self.columns);
        let left = self.columns.saturating_sub(width(&text) + 2);
        if left < 2 {
            return Line::styled(text, style);
        }
        let side = left / 2;
        let line = format!("{} {text} {}", "─".repeat(side), "─".repeat(left - side));
        Line::styled(line, style)
    }

    fn is_wide(&self) -> bool {
        self.columns >= COLUMNS_WIDE
    }

    fn text_columns(&self) -> usize {
        if self.is_wide() {
            self.columns - LEFT_COLUMNS
        } else {
            self.columns.saturating_sub(1).max(1)
        }
    }

    fn body(&self, msg: &Message) -> Vec<Line<'static>> {
        let columns = self.text_columns();
        let mut lines = Vec::new();
        if let Some(to) = msg.reply_to {
            lines.push(self.quote(to, columns));
        }
        if let Some(by) = msg.deleted_by {
            let text = if by == msg.from {
                "deleted"
            } else {
                "deleted by a moderator"
            };
            lines.push(Line::styled(text, FAINT.add_modifier(Modifier::ITALIC)));
            return lines;
        }
        lines.extend(wrap(&msg.text, columns).into_iter().map(Line::from));
        if msg.edited_at.is_some() {
            append(&mut lines, " (edited)", FAINT, columns);
        }
        if self.is_read(msg) {
            append(&mut lines, " ✓ read", FAINT, columns);
        }
        if !msg.reactions.is_empty() {
            let shown: Vec<String> = msg
                .reactions
                .iter()
                .map(|reaction| format!("{} {}", reaction.emoji, reaction.count))
                .collect();
            let shown = wrap(&shown.join("   "), columns);
            let style = Style::new().fg(Color::Yellow);
            lines.extend(shown.into_iter().map(|line| Line::styled(line, style)));
        }
        lines
    }

    /// Whether this is the last message of the player's own that the other player of a direct room has read.
    fn is_read(&self, msg: &Message) -> bool {
        let read = self.room.peer_read;
        Some(msg.from) == self.me
            && msg.seq <= read
            && !self
                .room
                .after(msg.seq)
                .take_while(|later| later.seq <= read)
                .any(|later| Some(later.from) == self.me)
    }

    /// The message that is answered, in short.
    fn quote(&self, to: u64, columns: usize) -> Line<'static> {
        let text = match self.room.message(to) {
            Some(msg) if msg.deleted_by.is_some() => format!("↳ {}: deleted", msg.name),
            Some(msg) => format!("↳ {}: {}", msg.name, clean_line(&msg.text)),
            None => "↳ an older message".to_owned(),
        };
        Line::styled(fit(&text, columns), FAINT)
    }

    /// Puts time and name before the first line, and space before the others.
    fn head(
        &self,
        lines: &mut Vec<Line<'static>>,
        from: UserId,
        name: &str,
        at: u64,
        previous: Option<(UserId, u64)>,
        reply: bool,
    ) {
        let together =
            !reply && previous.is_some_and(|(last, then)| last == from && at < then + TOGETHER_MS);
        let time = self.clock.time(at);
        let mut style = Style::new().fg(colour(from));
        if Some(from) == self.me {
            style = style.add_modifier(Modifier::BOLD);
        }
        if !self.is_wide() {
            for line in lines.iter_mut() {
                line.spans.insert(0, Span::raw(" "));
            }
            if !together {
                let name = fit(name, self.columns.saturating_sub(6));
                lines.insert(
                    0,
                    Line::from(vec![
                        Span::styled(name, style),
                        Span::styled(format!(" {time}"), FAINT),
                    ]),
                );
            }
            return;
        }
        let same_minute =
            together && previous.is_some_and(|(_, then)| self.clock.time(then) == time);
        let time = if same_minute { " ".repeat(5) } else { time };
        let name = if together {
            String::new()
        } else {
            fit(name, NAME_COLUMNS)
        };
        let indent = " ".repeat(NAME_COLUMNS.saturating_sub(width(&name)));
        for (index, line) in lines.iter_mut().enumerate() {
            if index > 0 {
                line.spans.insert(0, Span::raw(" ".repeat(LEFT_COLUMNS)));
                continue;
            }
            let left = [
                Span::styled(format!("{time} "), FAINT),
                Span::raw(indent.clone()),
                Span::styled(name.clone(), style),
                Span::raw(" "),
            ];
            line.spans.splice(0..0, left);
        }
    }

    fn pending(&self, pending: &Pending) -> Vec<Row> {
        let columns = self.text_columns();
        let mut lines = Vec::new();
        if let Some(to) = pending.reply_to {
            lines.push(self.quote(to, columns));
        }
        let text = wrap(&clean(&pending.text), columns);
        lines.extend(text.into_iter().map(|line| Line::styled(line, FAINT)));
        match &pending.refused {
            Some(why) => {
                let why = wrap(&format!("✗ not sent: {why}"), columns);
                let style = Style::new().fg(Color::Red);
                lines.extend(why.into_iter().map(|line| Line::styled(line, style)));
            }
            None if self.online => append(&mut lines, " …", FAINT, columns),
            None => append(
                &mut lines,
                " (waits)",
                Style::new().fg(Color::Yellow),
                columns,
            ),
        }
        let left = if self.is_wide() { LEFT_COLUMNS } else { 1 };
        for line in &mut lines {
            line.spans.insert(0, Span::raw(" ".repeat(left)));
        }
        lines.truncate(ROWS_MAX);
        rows(lines, None)
    }
}

/// Adds a remark behind the last line, or below it when it does not fit.
fn append(lines: &mut Vec<Line<'static>>, remark: &'static str, style: Style, columns: usize) {
    match lines.last_mut() {
        Some(last) if last.width() + width(remark) <= columns => {
            last.push_span(Span::styled(remark, style));
        }
        _ => lines.push(Line::styled(fit(remark.trim_start(), columns), style)),
    }
}

fn rows(lines: Vec<Line<'static>>, seq: Option<u64>) -> Vec<Row> {
    let count = lines.len();
    let row = |(index, line)| Row {
        line,
        seq,
        below: count - 1 - index,
    };
    lines.into_iter().enumerate().map(row).collect()
}
