//! A room's newest messages and changes, ready to send: most resumes and most reads of history end here.

use std::collections::VecDeque;

use bytes::Bytes;
use pitturu_protocol::frame::{self, Cursor};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::chat::{
    AuthorErased, Message, MessageDeleted, MessageEdited, MessageSent, ReactionChanged,
};
use pitturu_rules::rooms::rows::{Change, ChangeRow};

use crate::owners::followers::Step;

/// Most messages, and most changes, kept in memory for one room.
pub const RECENT_MAX: usize = 128;

/// Most bytes of encoded messages kept in memory for one room.
const RECENT_BYTES_MAX: usize = 128 * 1024;

/// The frame of a message's event.
pub fn message_frame(room: RoomId, message: &Message) -> Bytes {
    let event = MessageSent {
        room,
        msg: message.clone(),
    };
    frame::event(&event).into()
}

/// The frame of a change's event, as it is told while the message is this: an edit has the text as it is now, and whatever
/// happened to a message that is deleted is told as its deletion. So nothing can be read that was replaced or deleted since.
pub fn change_frame(room: RoomId, row: &ChangeRow, message: &Message) -> Bytes {
    let (rev, at, seq) = (row.rev, row.at, row.change.seq());
    let frame = match (message.deleted_by, &row.change) {
        (Some(by), _) | (None, &Change::Deleted { by, .. }) => frame::event(&MessageDeleted {
            room,
            rev,
            seq,
            by,
            at,
        }),
        (None, Change::Edited { .. }) => frame::event(&MessageEdited {
            room,
            rev,
            seq,
            text: message.text.clone(),
            at,
        }),
        (None, Change::AuthorErased { .. }) => frame::event(&AuthorErased { room, rev, seq, at }),
        (
            None,
            Change::Reacted {
                user,
                emoji,
                on,
                count,
                ..
            },
        ) => frame::event(&ReactionChanged {
            room,
            rev,
            seq,
            user: *user,
            emoji: emoji.clone(),
            on: *on,
            count: *count,
        }),
    };
    frame.into()
}

#[derive(Debug)]
struct RecentChange {
    row: ChangeRow,
    frame: Bytes,
}

/// The newest committed part of a room's stream.
#[derive(Debug)]
pub struct Recent {
    room: RoomId,
    end: Cursor,
    messages: VecDeque<(Message, Bytes)>,
    changes: VecDeque<RecentChange>,
    bytes: usize,
}

impl Recent {
    /// The stream's end at `end`, with the newest messages before it.
    pub fn new(room: RoomId, end: Cursor, newest: Vec<Message>) -> Self {
        let mut recent = Self {
            room,
            end,
            messages: VecDeque::new(),
            changes: VecDeque::new(),
            bytes: 0,
        };
        for message in newest {
            recent.keep(message);
        }
        recent
    }

    /// The newest sequence and revision that are durable.
    pub const fn end(&self) -> Cursor {
        self.end
    }

    fn keep(&mut self, message: Message) -> Bytes {
        let frame = message_frame(self.room, &message);
        self.bytes += frame.len();
        self.messages.push_back((message, frame.clone()));
        while self.messages.len() > RECENT_MAX || self.bytes > RECENT_BYTES_MAX {
            match self.messages.pop_front() {
                Some((_, oldest)) => self.bytes -= oldest.len(),
                None => break,
            }
        }
        frame
    }

    /// Takes the next message and returns its frame.
    pub fn push_message(&mut self, message: Message) -> Bytes {
        self.end.seq = message.seq;
        self.keep(message)
    }

    /// Takes the next change, with the message as it is after it, and returns its frame.
    pub fn push_change(&mut self, row: &ChangeRow, message: &Message) -> Bytes {
        if let Some((held, frame)) = self
            .messages
            .iter_mut()
            .find(|(held, _)| held.seq == message.seq)
        {
            self.bytes -= frame.len();
            held.clone_from(message);
            *frame = message_frame(self.room, message);
            self.bytes += frame.len();
        }
        self.end.rev = row.rev;
        if !matches!(row.change, Change::Reacted { .. }) {
            let same = |held: &&mut RecentChange| held.row.change.seq() == message.seq;
            for held in self.changes.iter_mut().filter(same) {
                held.frame = change_frame(self.room, &held.row, message);
            }
        }
        let frame = change_frame(self.room, row, message);
        self.changes.push_back(RecentChange {
            row: row.clone(),
            frame: frame.clone(),
        });
        if self.changes.len() > RECENT_MAX {
            self.changes.pop_front();
        }
        frame
    }

    /// Everything after the cursor, in the room's order, if all of it is still here.
    pub fn after(&self, cursor: Cursor) -> Option<Vec<Step>> {
        let oldest_seq = self
            .messages
            .front()
            .map_or(self.end.seq + 1, |(message, _)| message.seq);
        let oldest_rev = self
            .changes
            .front()
            .map_or(self.end.rev + 1, |change| change.row.rev);
        if cursor.seq + 1 < oldest_seq || cursor.rev + 1 < oldest_rev {
            return None;
        }
        let mut at = cursor;
        let mut steps = Vec::new();
        let mut messages = self
            .messages
            .iter()
            .filter(|(message, _)| message.seq > cursor.seq)
            .peekable();
        for change in self
            .changes
            .iter()
            .filter(|change| change.row.rev > cursor.rev)
        {
            while let Some((message, frame)) =
                messages.next_if(|(message, _)| message.seq <= change.row.at_seq)
            {
                at.seq = message.seq;
                steps.push(Step {
                    frame: frame.clone(),
                    cursor: at,
                });
            }
            at.rev = change.row.rev;
            steps.push(Step {
                frame: change.frame.clone(),
                cursor: at,
            });
        }
        for (message, frame) in messages {
            at.seq = message.seq;
            steps.push(Step {
                frame: frame.clone(),
                cursor: at,
            });
        }
        Some(steps)
    }

    /// The message with this sequence.
    pub fn message(&self, seq: u64) -> Option<&Message> {
        self.messages
            .iter()
            .rev()
            .map(|(message, _)| message)
            .find(|message| message.seq == seq)
    }

    /// Messages `from..=to`, if all of them are here.
    pub fn range(&self, from: u64, to: u64) -> Option<Vec<Message>> {
        if from > to {
            return Some(Vec::new());
        }
        let oldest = self.messages.front()?.0.seq;
        if from < oldest || to > self.end.seq {
            return None;
        }
        Some(
            self.messages
                .iter()
                .map(|(message, _)| message)
                .filter(|message| (from..=to).contains(&message.seq))
                .cloned()
                .collect(),
        )
    }

    /// Drops messages that retention has removed.
    pub fn drop_before(&mut self, first: u64) {
        while let Some((message, frame)) = self.messages.front()
            && message.seq < first
        {
            self.bytes -= frame.len();
            self.messages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::ids::UserId;

    use super::*;

    fn message(seq: u64) -> Message {
        Message {
            seq,
            from: UserId::from_bytes([1; 10]),
            name: "a".into(),
            text: format!("text {seq}"),
            at: seq,
            data: None,
            reply_to: None,
            edited_at: None,
            deleted_by: None,
            reactions: Vec::new(),
        }
    }

    fn edit(rev: u64, at_seq: u64, seq: u64) -> ChangeRow {
        ChangeRow {
            rev,
            at_seq,
            at: 0,
            change: Change::Edited { seq },
        }
    }

    fn cursors(steps: &[Step]) -> Vec<(u64, u64)> {
        steps
            .iter()
            .map(|step| (step.cursor.seq, step.cursor.rev))
            .collect()
    }

    #[test]
    fn a_change_comes_after_the_message_that_was_head() {
        let mut recent = Recent::new(RoomId::from_bytes([0; 10]), Cursor::default(), vec![]);
        recent.push_message(message(1));
        recent.push_change(&edit(1, 1, 1), &message(1));
        recent.push_message(message(2));
        let steps = recent.after(Cursor::default()).expect("all is here");
        assert_eq!(cursors(&steps), [(1, 0), (1, 1), (2, 1)]);
        let steps = recent
            .after(Cursor { seq: 1, rev: 0 })
            .expect("all is here");
        assert_eq!(cursors(&steps), [(1, 1), (2, 1)]);
    }

    #[test]
    fn what_was_dropped_must_come_from_the_store() {
        let mut recent = Recent::new(
            RoomId::from_bytes([0; 10]),
            Cursor { seq: 5, rev: 3 },
            vec![],
        );
        assert_eq!(recent.after(Cursor { seq: 4, rev: 3 }), None);
        assert_eq!(recent.after(Cursor { seq: 5, rev: 2 }), None);
        assert_eq!(recent.after(Cursor { seq: 5, rev: 3 }), Some(vec![]));
        for seq in 6..=300 {
            recent.push_message(message(seq));
        }
        let oldest = 301 - RECENT_MAX as u64;
        assert!(
            recent
                .after(Cursor {
                    seq: oldest - 2,
                    rev: 3
                })
                .is_none()
        );
        assert!(
            recent
                .after(Cursor {
                    seq: oldest - 1,
                    rev: 3
                })
                .is_some()
        );
    }

    #[test]
    fn an_edit_shows_in_what_is_sent_later() {
        let mut recent = Recent::new(RoomId::from_bytes([0; 10]), Cursor::default(), vec![]);
        recent.push_message(message(1));
        let mut edited = message(1);
        edited.text = "new".into();
        recent.push_change(&edit(1, 1, 1), &edited);
        assert_eq!(recent.message(1), Some(&edited));
        assert_eq!(recent.range(1, 1), Some(vec![edited]));
    }
}
