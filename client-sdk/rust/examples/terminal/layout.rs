//! Where things stand on the screen, whatever its size.

use ratatui::layout::Rect;

use crate::model::Model;
use crate::text::wrap;

/// Below this width there is no side bar.
const SIDE_FROM_COLUMNS: u16 = 60;

/// Columns of the side bar, its line included.
const SIDE_COLUMNS: u16 = 24;

/// Rows that a notice takes at most.
const NOTICE_ROWS_MAX: usize = 3;

/// The places of the screen. Those that have no room are empty.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) header: Rect,
    pub(crate) side: Rect,
    pub(crate) body: Rect,
    /// Over the lower part of the body.
    pub(crate) panel: Rect,
    pub(crate) foot: Rect,
    pub(crate) input: Rect,
}

impl Layout {
    pub(crate) fn of(model: &Model) -> Self {
        let (columns, rows) = model.size;
        let input = rows.min(1);
        let header = u16::from(rows >= 3);
        let foot = match &model.notice {
            _ if rows < 4 => 0,
            Some(notice) => {
                let lines = wrap(&notice.text, usize::from(columns)).len();
                let room = usize::from((rows - 3) / 2).clamp(1, NOTICE_ROWS_MAX);
                u16::try_from(lines.min(room)).unwrap_or(1)
            }
            None => 1,
        };
        let middle = rows - input - header - foot;
        let side = if columns >= SIDE_FROM_COLUMNS {
            SIDE_COLUMNS
        } else {
            0
        };
        let body = Rect::new(side, header, columns - side, middle);
        let mut layout = Self {
            header: Rect::new(0, 0, columns, header),
            side: Rect::new(0, header, side, middle),
            body,
            panel: Rect::default(),
            foot: Rect::new(0, header + middle, columns, foot),
            input: Rect::new(0, header + middle + foot, columns, input),
        };
        if model.panel.is_some() {
            // A title, and at least a row of the room above it where there is space for both.
            let wanted = layout.panel_lines(model).len() + 1;
            let room = if middle > 6 { middle - 2 } else { middle };
            let height = u16::try_from(wanted).unwrap_or(u16::MAX).min(room);
            layout.panel = Rect::new(side, header + middle - height, columns - side, height);
        }
        layout
    }

    /// The lines of the panel as they fit.
    pub(crate) fn panel_lines(&self, model: &Model) -> Vec<String> {
        let columns = usize::from(self.body.width).saturating_sub(2);
        let lines = model.panel.iter().flat_map(|panel| &panel.lines);
        lines.flat_map(|line| wrap(line, columns)).collect()
    }

    /// How far the panel can be scrolled.
    pub(crate) fn panel_rows_below(&self, model: &Model) -> usize {
        let rows = usize::from(self.panel.height.saturating_sub(1));
        self.panel_lines(model).len().saturating_sub(rows)
    }
}
