//! The screen: what the model says, drawn.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::layout::Layout;
use crate::model::{Link, Model, Room, Scroll};
use crate::text::{count, fit, width, wrap};
use crate::transcript::{FAINT, colour};

/// From this width on there is space to say why there is no connection.
const WHY_FROM_COLUMNS: u16 = 90;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws everything, and says where the cursor stands: input methods open their windows there.
pub(crate) fn draw(model: &Model, buffer: &mut Buffer) -> Option<Position> {
    let layout = Layout::of(model);
    header(model, layout.header, buffer);
    side(model, layout.side, buffer);
    body(model, layout.body, buffer);
    panel(model, &layout, buffer);
    foot(model, layout.foot, buffer);
    input(model, layout.input, buffer)
}

/// Writes a line into a row of an area, if there is such a row on the screen.
fn put(buffer: &mut Buffer, area: Rect, row: usize, line: &Line<'_>) {
    let Ok(row) = u16::try_from(row) else {
        return;
    };
    let area = area.intersection(buffer.area);
    if row < area.height && area.width > 0 {
        buffer.set_line(area.x, area.y + row, line, area.width);
    }
}

/// A line with something at its right end, which comes first when there is little space.
fn spread(left: Vec<Span<'static>>, right: Span<'static>, columns: usize) -> Line<'static> {
    let right_columns = width(&right.content);
    if right_columns >= columns {
        return Line::from(Span::styled(fit(&right.content, columns), right.style));
    }
    let mut space = columns - right_columns;
    let mut spans = Vec::new();
    for span in left {
        let text = fit(&span.content, space.saturating_sub(1));
        space -= width(&text);
        spans.push(Span::styled(text, span.style));
    }
    spans.push(Span::raw(" ".repeat(space)));
    spans.push(right);
    Line::from(spans)
}

fn header(model: &Model, area: Rect, buffer: &mut Buffer) {
    let mut left = Vec::new();
    if let Some(room) = model.active_room() {
        left.push(Span::styled(room.title(), BOLD));
        let count = match model.link {
            Link::Online => format!("  {} of {} here", room.online, room.members),
            _ => format!("  {}", count(room.members.into(), "member")),
        };
        left.push(Span::styled(count, FAINT));
        if area.width < 60 && model.rooms.len() > 1 {
            let unread: u64 = others(model).map(Room::unread).sum();
            if unread > 0 {
                left.push(Span::styled(format!("  +{unread}"), Color::Yellow));
            }
        }
        if !room.topic.is_empty() {
            left.push(Span::raw(format!("  {}", room.topic)));
        }
    } else {
        left.push(Span::styled("PittuRu", BOLD));
    }
    let (text, style) = link(model, area.width);
    let columns = usize::from(area.width);
    put(
        buffer,
        area,
        0,
        &spread(left, Span::styled(text, style), columns),
    );
}

fn others(model: &Model) -> impl Iterator<Item = &Room> {
    let active = model.active;
    model
        .rooms
        .iter()
        .filter(move |room| Some(room.id) != active)
}

/// Where the client stands, in words.
fn link(model: &Model, columns: u16) -> (String, Style) {
    let warning = Style::new().fg(Color::Yellow);
    match &model.link {
        Link::Online => ("● online".to_owned(), Style::new().fg(Color::Green)),
        Link::Connecting => ("◌ connecting".to_owned(), warning),
        Link::CatchingUp => match model.behind() {
            0 => ("◐ catching up".to_owned(), warning),
            behind => (format!("◐ catching up, {behind} behind"), warning),
        },
        Link::Offline { retry_at, why } => {
            let seconds = retry_at.map_or(0, |at| at.saturating_sub(model.now).div_ceil(1000));
            let when = match seconds {
                0 => "○ reconnecting".to_owned(),
                seconds => format!("○ reconnecting in {seconds} s"),
            };
            let text = match why {
                Some(why) if columns >= WHY_FROM_COLUMNS => {
                    format!("{} · {when}", fit(why, usize::from(columns / 3)))
                }
                _ => when,
            };
            (text, Style::new().fg(Color::Red))
        }
        Link::Stopped { code } => {
            let code = code.map_or(String::new(), |code| format!(" ({code})"));
            let text = format!("✗ closed{code}: Ctrl-R");
            (text, Style::new().fg(Color::Red))
        }
    }
}

fn side(model: &Model, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let columns = usize::from(area.width) - 2;
    let rows = usize::from(area.height);
    let here = online(model);
    // The players get at most half, the rooms what they leave.
    let below = if here.is_empty() {
        0
    } else {
        (here.len() + 1).min(rows / 2)
    };
    let above = rows - below;
    let active = model
        .rooms
        .iter()
        .position(|room| Some(room.id) == model.active);
    let skip = active.map_or(0, |at| (at + 1).saturating_sub(above));
    for (row, (index, room)) in model
        .rooms
        .iter()
        .enumerate()
        .skip(skip)
        .take(above)
        .enumerate()
    {
        put(buffer, area, row, &side_room(model, index, room, columns));
    }
    let mut row = above;
    if below > 0 {
        put(buffer, area, row, &Line::styled("here", FAINT));
        row += 1;
    }
    for (index, line) in here.iter().take(below.saturating_sub(1)).enumerate() {
        let hidden = here.len() - index;
        if index + 2 == below && hidden > 1 {
            put(
                buffer,
                area,
                row,
                &Line::styled(format!("… {hidden} more"), FAINT),
            );
        } else {
            put(buffer, area, row, line);
        }
        row += 1;
    }
    for row in 0..rows {
        let edge = Rect::new(area.right() - 2, area.y, 1, area.height);
        put(buffer, edge, row, &Line::styled("│", FAINT));
    }
}

fn side_room(model: &Model, index: usize, room: &Room, columns: usize) -> Line<'static> {
    let columns = columns.saturating_sub(1);
    let active = Some(room.id) == model.active;
    let unread = room.unread();
    let right = if !room.member {
        Span::styled("invited", Color::Yellow)
    } else if room.waiting().any(|pending| pending.refused.is_some()) {
        Span::styled("✗", Color::Red)
    } else if unread > 0 && !active {
        Span::styled(unread.to_string(), BOLD.fg(Color::Yellow))
    } else if room.last_at > 0 {
        Span::styled(model.start.clock.short(room.last_at, model.now), FAINT)
    } else {
        Span::raw("")
    };
    let key = match index {
        0..=8 => format!("{} ", index + 1),
        9 => "0 ".to_owned(),
        _ => "  ".to_owned(),
    };
    let mut style = Style::new();
    if unread > 0 || active {
        style = BOLD;
    }
    let left = vec![Span::styled(key, FAINT), Span::styled(room.title(), style)];
    let line = spread(left, right, columns);
    if active {
        line.patch_style(Modifier::REVERSED)
    } else {
        line
    }
}

/// The players who have the room open.
fn online(model: &Model) -> Vec<Line<'static>> {
    let Some(room) = model.active_room() else {
        return Vec::new();
    };
    let mut users = room.users.clone();
    users.sort_by_cached_key(|user| (Some(*user) != model.me, model.name_of(*user)));
    let line = |user| {
        let name = fit(&model.name_of(user), 20);
        Line::styled(name, Style::new().fg(colour(user)))
    };
    users.into_iter().map(line).collect()
}

fn body(model: &Model, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let rows = usize::from(area.height);
    let Some(room) = model.active_room() else {
        let text = nowhere(model);
        for (row, line) in wrap(&text, usize::from(area.width)).into_iter().enumerate() {
            put(buffer, area, row, &Line::styled(line, FAINT));
        }
        return;
    };
    let shown = model.transcript(room).window(rows);
    if shown.is_empty() {
        let text = if room.loaded {
            "Nothing has been said here yet. Say something."
        } else {
            "Reading…"
        };
        for (row, line) in wrap(text, usize::from(area.width)).into_iter().enumerate() {
            put(buffer, area, row, &Line::styled(line, FAINT));
        }
        return;
    }
    let blank = rows - shown.len();
    for (row, shown) in shown.iter().enumerate() {
        put(buffer, area, blank + row, &shown.line);
    }
}

/// What is shown instead of a room.
fn nowhere(model: &Model) -> String {
    match (&model.me, &model.link) {
        (None, Link::Offline { why: Some(why), .. }) => format!(
            "{} does not answer: {why}. Is the server running there? It is tried again and again; Ctrl-C quits.",
            model.start.url
        ),
        (None, _) => "Signing in…".to_owned(),
        (Some(_), _) => {
            "You are in no room. /join NAME enters one, /search WORDS finds one.".to_owned()
        }
    }
}

fn panel(model: &Model, layout: &Layout, buffer: &mut Buffer) {
    let Some(panel) = &model.panel else {
        return;
    };
    let area = layout.panel.intersection(buffer.area);
    let blank = " ".repeat(usize::from(area.width));
    for row in 0..usize::from(area.height) {
        put(
            buffer,
            area,
            row,
            &Line::styled(blank.clone(), Style::reset()),
        );
    }
    let below = layout.panel_rows_below(model);
    let scroll = panel.scroll.min(below);
    let close = if below > 0 { "PageDown · Esc" } else { "Esc" };
    let left = vec![Span::raw(format!(" {}", panel.title))];
    let title = spread(
        left,
        Span::raw(format!("{close} ")),
        usize::from(area.width),
    );
    put(buffer, area, 0, &title.patch_style(Modifier::REVERSED));
    let lines = layout.panel_lines(model);
    let rows = usize::from(area.height.saturating_sub(1));
    for (row, line) in lines.iter().skip(scroll).take(rows).enumerate() {
        put(buffer, area, row + 1, &Line::raw(format!(" {line}")));
    }
}

fn foot(model: &Model, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    if let Some(notice) = &model.notice {
        let style = Style::new().fg(if notice.bad { Color::Red } else { Color::Cyan });
        let mut lines = wrap(&notice.text, columns);
        let rows = usize::from(area.height);
        if lines.len() > rows && rows > 0 {
            lines.truncate(rows);
            if let Some(last) = lines.last_mut() {
                *last = format!(
                    "{}…",
                    fit(last, columns.saturating_sub(1)).trim_end_matches('…')
                );
            }
        }
        for (row, line) in lines.into_iter().enumerate() {
            put(buffer, area, row, &Line::styled(line, style));
        }
        return;
    }
    let Some(room) = model.active_room() else {
        return;
    };
    let left = if room.selected.is_some() {
        "/reply TEXT · /react EMOJI · /edit TEXT · /del · Esc".to_owned()
    } else {
        writing(room)
    };
    let new = room.head.saturating_sub(room.seen.max(room.read));
    let right = match room.scroll {
        Scroll::End => Span::raw(""),
        Scroll::At { .. } if new > 0 => {
            Span::styled(format!("{new} new ↓"), BOLD.fg(Color::Yellow))
        }
        Scroll::At { .. } => Span::styled("End ↓", FAINT),
    };
    let left = vec![Span::styled(left, FAINT)];
    put(buffer, area, 0, &spread(left, right, columns));
}

fn writing(room: &Room) -> String {
    match room.writers() {
        [] => String::new(),
        [one] => format!("{} is writing…", one.name),
        [one, two] => format!("{} and {} are writing…", one.name, two.name),
        several => format!("{} players are writing…", several.len()),
    }
}

fn input(model: &Model, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return None;
    }
    let prompt = match area.width {
        0..=7 => String::new(),
        8..=39 => "> ".to_owned(),
        _ => format!("{}> ", fit(&model.name, 12)),
    };
    let used = width(&prompt);
    let (text, column) = model.editor.window(usize::from(area.width) - used);
    let style = match model.me {
        Some(me) => Style::new().fg(colour(me)),
        None => FAINT,
    };
    let text = if model.editor.text().is_empty() && model.me.is_some() {
        Span::styled("/help", FAINT)
    } else {
        Span::raw(text)
    };
    put(
        buffer,
        area,
        0,
        &Line::from(vec![Span::styled(prompt, style), text]),
    );
    let column = u16::try_from(used + column).unwrap_or(0);
    Some(Position::new(area.x + column.min(area.width - 1), area.y))
}
