//! What keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use pitturu_client::limits::TEXT_BYTES_MAX;

use super::{Action, Model, Scroll};
use crate::text::count;

/// Bytes that the line takes; what can be sent is less, and is said when it is sent.
const LINE_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX;

/// The others are told this often that the player writes.
const TYPING_MS: u64 = 3000;

/// Joins emoji into one.
const JOINER: char = '\u{200d}';

impl Model {
    pub(super) fn key(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        let asked = std::mem::take(&mut self.quit_asked);
        let joined = self.editor.text().contains(JOINER);
        self.press(key, asked);
        // Terminals do not agree on how wide joined characters are, and may leave parts of them behind.
        if joined {
            self.act(Action::Redraw);
        }
    }

    fn press(&mut self, key: KeyEvent, asked: bool) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('c') if control => {
                self.quit_asked = asked;
                self.interrupt();
            }
            KeyCode::Char('d') if control && self.editor.text().is_empty() => {
                self.quit_asked = asked;
                self.quit();
            }
            KeyCode::Char('r') if control => self.act(Action::Reconnect),
            KeyCode::Char('l') if control => self.act(Action::Redraw),
            KeyCode::Enter if alt => self.write("\n"),
            KeyCode::Enter => {
                self.quit_asked = asked;
                self.submit();
            }
            KeyCode::Esc => self.escape(),
            KeyCode::Tab => self.step_room(1),
            KeyCode::BackTab => self.step_room(-1),
            KeyCode::Char(digit @ '0'..='9') if alt => self.pick_room(digit),
            KeyCode::Up if alt => self.select(true),
            KeyCode::Down if alt => self.select(false),
            KeyCode::PageUp => self.page(true),
            KeyCode::PageDown => self.page(false),
            KeyCode::End if control || self.editor.text().is_empty() => self.follow_end(),
            _ => self.edit_line(key, control, alt),
        }
    }

    fn edit_line(&mut self, key: KeyEvent, control: bool, alt: bool) {
        let word = control || alt;
        match key.code {
            KeyCode::Left if word => self.editor.word_left(),
            KeyCode::Right if word => self.editor.word_right(),
            KeyCode::Char('b') if alt => self.editor.word_left(),
            KeyCode::Char('f') if alt => self.editor.word_right(),
            KeyCode::Left => self.editor.left(),
            KeyCode::Right => self.editor.right(),
            KeyCode::Char('b') if control => self.editor.left(),
            KeyCode::Char('f') if control => self.editor.right(),
            KeyCode::Home => self.editor.home(),
            KeyCode::Char('a') if control => self.editor.home(),
            KeyCode::End => self.editor.end(),
            KeyCode::Char('e') if control => self.editor.end(),
            KeyCode::Up => self.editor.older(),
            KeyCode::Down => self.editor.newer(),
            KeyCode::Backspace if word => self.editor.delete_word(),
            KeyCode::Char('w') if control => self.editor.delete_word(),
            KeyCode::Backspace => self.editor.backspace(),
            KeyCode::Char('h') if control => self.editor.backspace(),
            KeyCode::Delete => self.editor.delete(),
            KeyCode::Char('d') if control => self.editor.delete(),
            KeyCode::Char('u') if control => self.editor.delete_to_start(),
            KeyCode::Char('k') if control => self.editor.delete_to_end(),
            // AltGr arrives as both, and writes characters.
            KeyCode::Char(char) if control == alt => {
                self.write(char.encode_utf8(&mut [0; 4]));
            }
            _ => {}
        }
    }

    pub(super) fn paste(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.replace('\t', "    ");
        let kept: String = text
            .chars()
            .filter(|char| *char == '\n' || !char.is_control())
            .collect();
        self.write(&kept);
    }

    fn write(&mut self, text: &str) {
        if self.editor.text().len() + text.len() > LINE_BYTES_MAX {
            self.complain("That is too long to write in one line; send it in parts.");
            return;
        }
        self.editor.insert(text);
        let writes = !self.editor.text().trim().is_empty() && !self.editor.text().starts_with('/');
        if writes
            && self.link == super::Link::Online
            && self.typing_after <= self.now
            && let Some(room) = self.active_room().filter(|room| room.open)
        {
            let room = room.id;
            self.typing_after = self.now + TYPING_MS;
            self.act(Action::Typing(room));
        }
    }

    fn interrupt(&mut self) {
        if self.editor.text().is_empty() {
            self.quit();
        } else {
            self.editor.take();
        }
    }

    /// Quits; asks once when something would be lost.
    pub(super) fn quit(&mut self) {
        let unsent = self.unsent();
        if unsent == 0 || self.quit_asked {
            self.act(Action::Quit);
            return;
        }
        self.quit_asked = true;
        self.complain(format!(
            "Not sent yet: {}. Quit again to lose them, or wait for the connection.",
            count(unsent as u64, "message")
        ));
    }

    fn escape(&mut self) {
        if self.panel.take().is_some() {
            return;
        }
        self.notice = None;
        let selected = self
            .active_room_mut()
            .and_then(|room| room.selected.take())
            .is_some();
        if !selected {
            self.follow_end();
        }
    }

    fn follow_end(&mut self) {
        if let Some(room) = self.active_room_mut() {
            room.scroll = Scroll::End;
        }
    }

    fn step_room(&mut self, step: isize) {
        let members: Vec<_> = self
            .rooms
            .iter()
            .filter(|room| room.member)
            .map(|room| room.id)
            .collect();
        let at = members.iter().position(|id| Some(*id) == self.active);
        let next = match at {
            Some(at) => at
                .checked_add_signed(step)
                .unwrap_or(members.len().saturating_sub(1)),
            None => 0,
        };
        let next = if next >= members.len() { 0 } else { next };
        if let Some(id) = members.get(next) {
            self.show(*id);
        }
    }

    fn pick_room(&mut self, digit: char) {
        let at = match digit.to_digit(10) {
            Some(0) | None => 9,
            Some(digit) => digit as usize - 1,
        };
        match self.rooms.get(at).map(|room| (room.id, room.member)) {
            Some((id, true)) => self.show(id),
            Some((id, false)) => self.act(Action::Join(id)),
            None => {}
        }
    }

    fn page(&mut self, up: bool) {
        let rows = self.body_rows();
        let step = rows.saturating_sub(1).max(1);
        if let Some(panel) = &mut self.panel {
            panel.scroll = if up {
                panel.scroll.saturating_sub(step.div_ceil(2))
            } else {
                panel.scroll + step.div_ceil(2)
            };
            let last = self.layout().panel_rows_below(self);
            if let Some(panel) = &mut self.panel {
                panel.scroll = panel.scroll.min(last);
            }
            return;
        }
        let Some(room) = self.active_room() else {
            return;
        };
        let transcript = self.transcript(room);
        let (scroll, at_top) = if up {
            transcript.up(step, rows)
        } else {
            (transcript.down(step), false)
        };
        let older = room.older().filter(|_| at_top);
        let Some(room) = self.active_room_mut() else {
            return;
        };
        if scroll != Scroll::End {
            room.divide();
        }
        room.scroll = scroll;
        if let Some(before) = older {
            room.loading = true;
            let room = room.id;
            self.act(Action::History {
                room,
                before: Some(before),
            });
        }
    }

    /// Selects the message above or below the selected one.
    fn select(&mut self, up: bool) {
        let rows = self.body_rows();
        let Some(room) = self.active_room() else {
            return;
        };
        let next = match (room.selected, up) {
            (None, true) => room.up_to(u64::MAX).next_back(),
            (None, false) => None,
            (Some(seq), true) => room.before(seq).or(room.message(seq)),
            (Some(seq), false) => room.after(seq).next(),
        };
        let next = next.map(|msg| msg.seq);
        let scroll = match next {
            Some(seq) if self.transcript(room).shows(seq, rows) => room.scroll,
            Some(seq) => Scroll::At { seq, skip: 0 },
            None => Scroll::End,
        };
        if let Some(room) = self.active_room_mut() {
            room.selected = next;
            room.scroll = scroll;
        }
    }
}
