//! One followed stream.

use crate::frame::{Cursor, Missing, Stream};
use crate::types::system::StreamPosition;

use super::{Place, Rewound, Verdict};

#[derive(Clone, Copy, Debug)]
pub(super) struct Followed {
    pub(super) cursor: Cursor,
    /// Newest sequence that the server has told of, also of what has not arrived. Absent while only the application has told
    /// of any.
    pub(super) head: Option<u64>,
    /// The server has said that it follows from the cursor.
    pub(super) open: bool,
    /// Everything up to now has arrived.
    pub(super) live: bool,
    /// Its owner could not take more, so entries were dropped.
    pub(super) cut: bool,
    /// The cursor that a hole made it open from again, until something has arrived after it.
    pub(super) reopened_from: Option<Cursor>,
    /// A gap or an entry's place could not be read, so a hole may be nobody's fault.
    pub(super) unreadable: bool,
    /// The server has left something out for good, so a hole need not end another connection.
    pub(super) left_out: bool,
    /// After a handover the connection before brings the entries, until the present one has opened the stream.
    pub(super) served_before: bool,
    /// The cursor may be beyond the answer to the resume that is under way, because the connection before brought more since it was
    /// asked.
    pub(super) brought_more: bool,
    /// It was live when the present connection took over, and counts as live until that one has caught up with it.
    pub(super) has_moved: bool,
    /// The cursor is of another epoch than the server's: it means nothing, and the stream begins at its newest.
    pub(super) outlived: bool,
}

impl Followed {
    pub(super) fn shut(cursor: Cursor) -> Self {
        Self {
            cursor,
            head: None,
            open: false,
            live: false,
            cut: false,
            reopened_from: None,
            unreadable: false,
            left_out: false,
            served_before: false,
            brought_more: false,
            has_moved: false,
            outlived: false,
        }
    }

    /// Begins anew, whatever the cursor was: a room at its newest, and the inbox, which no call reads, at its beginning. Returns what the
    /// application knew or might have: nothing says what of it is as it was.
    pub(super) fn begin_anew(&mut self, stream: Stream, newest: Cursor) -> Vec<Rewound> {
        let Cursor { seq, rev } = self.cursor;
        let from = match stream {
            Stream::Inbox => Cursor::default(),
            Stream::Room(_) => newest,
        };
        let messages = (Missing::Messages, 1, seq.max(from.seq));
        let changes = (Missing::Changes, 1, rev.max(from.rev));
        *self = Self {
            head: Some(newest.seq),
            open: true,
            live: from == newest,
            ..Self::shut(from)
        };
        let unknown = [messages, changes].into_iter();
        unknown.filter(|(_, from, to)| from <= to).collect()
    }

    /// What is left of it when the server does not follow any more.
    pub(super) fn shut_again(&self) -> Self {
        Self {
            head: self.head,
            left_out: self.left_out,
            outlived: self.outlived,
            ..Self::shut(self.cursor)
        }
    }

    /// What is left of it when the connection before serves it no more, and the present one does not yet.
    pub(super) fn served_no_more(&self) -> Self {
        Self {
            brought_more: true,
            ..self.shut_again()
        }
    }

    fn hole(&mut self) -> Verdict {
        self.open = false;
        self.live = false;
        self.has_moved = false;
        if self.reopened_from == Some(self.cursor) {
            self.left_out = true;
            return Verdict::Broken;
        }
        self.reopened_from = Some(self.cursor);
        Verdict::Hole
    }

    /// The server has sent more than arrived: up to this position.
    pub(super) fn ends_beyond(&mut self, position: &StreamPosition) -> Verdict {
        if !self.steps_over() {
            return self.hole();
        }
        let Cursor { seq, rev } = self.cursor;
        self.live = position.live;
        if position.seq > seq {
            self.move_to(Place::Seq(position.seq));
            Verdict::SteppedOver((Missing::Messages, seq + 1, position.seq))
        } else {
            self.move_to(Place::Rev(position.rev));
            Verdict::SteppedOver((Missing::Changes, rev + 1, position.rev))
        }
    }

    /// Moves to `place`, when nothing lies between the cursor and `from`.
    pub(super) fn advance(&mut self, place: Place, from: u64) -> Verdict {
        let (last, to) = match place {
            Place::Seq(seq) => (&mut self.cursor.seq, seq),
            Place::Rev(rev) => (&mut self.cursor.rev, rev),
        };
        if to <= *last || !self.open {
            return Verdict::Drop;
        }
        let next = *last + 1;
        if from <= next {
            *last = to;
            self.reopened_from = None;
            return Verdict::Next;
        }
        if !self.steps_over() {
            return self.hole();
        }
        let missing = match place {
            Place::Seq(_) => Missing::Messages,
            Place::Rev(_) => Missing::Changes,
        };
        self.move_to(place);
        Verdict::SteppedOver((missing, next, from - 1))
    }

    /// Whether a hole that is there again after the stream was opened from its cursor is to be stepped over: it may be what could not
    /// be read, or the server has left it out on another connection as well.
    fn steps_over(&self) -> bool {
        (self.unreadable || self.left_out) && self.reopened_from == Some(self.cursor)
    }

    pub(super) fn move_to(&mut self, place: Place) {
        match place {
            Place::Seq(seq) => self.cursor.seq = seq,
            Place::Rev(rev) => self.cursor.rev = rev,
        }
        self.reopened_from = None;
    }
}
