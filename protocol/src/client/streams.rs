//! The streams that the client follows, and how far it has come in each.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::frame::{Cursor, Missing, Stream};
use crate::ids::RoomId;
use crate::limits::ROOMS_OPEN_MAX;
use crate::types::system::{Resume, RoomCursor, StreamPosition};

mod followed;

use followed::Followed;

/// The largest integer of the wire.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// A place in one of a stream's two sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Seq(u64),
    Rev(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seq(seq) => write!(f, "seq {seq}"),
            Self::Rev(rev) => write!(f, "rev {rev}"),
        }
    }
}

/// What to do with an entry of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the next one: hand it up.
    Next,
    /// It was handed up before, or the stream is not open: drop it.
    Drop,
    /// Something before it is missing: open the stream again from its cursor.
    Hole,
    /// Something is missing although the stream was opened from this cursor: the server is at fault. Should the next connection leave it
    /// out as well, it is stepped over.
    Broken,
    /// What is missing came, but could not be read, or does not come at all. It is stepped over: the cursor is at this place now.
    SteppedOver(Rewound),
}

/// A `RoomView`, as far as the machine reads it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct OpenedRoom {
    pub(super) info: OpenedInfo,
    pub(super) rev: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct OpenedInfo {
    pub(super) room: RoomId,
    pub(super) head: u64,
}

impl OpenedRoom {
    /// The newest entry of the room.
    pub(super) fn newest(&self) -> Cursor {
        Cursor {
            seq: self.info.head,
            rev: self.rev,
        }
    }
}

/// What the server's newest says about a cursor beyond it: `(missing, from, to)`.
pub(super) type Rewound = (Missing, u64, u64);

#[derive(Debug, Default)]
pub(super) struct Streams {
    followed: BTreeMap<Stream, Followed>,
    /// That of the last welcome, or of the cursors that the application has kept.
    epoch: Option<u64>,
}

/// Names no server's epoch.
const NO_EPOCH: u64 = 0;

impl Streams {
    /// Follows a stream from a cursor, unless it is followed already. Its entries count once the server has opened it.
    pub(super) fn follow(&mut self, stream: Stream, cursor: Cursor) {
        self.followed
            .entry(stream)
            .or_insert(Followed::shut(cursor));
    }

    pub(super) fn forget(&mut self, stream: Stream) -> bool {
        self.followed.remove(&stream).is_some()
    }

    pub(super) fn forget_all(&mut self) {
        self.followed.clear();
    }

    pub(super) fn follows(&self, stream: Stream) -> bool {
        self.followed.contains_key(&stream)
    }

    pub(super) fn len(&self) -> usize {
        self.followed.len()
    }

    pub(super) fn cursor(&self, stream: Stream) -> Option<Cursor> {
        self.followed.get(&stream).map(|followed| followed.cursor)
    }

    /// The newest sequence of a followed room that the server has told of.
    pub(super) fn head(&self, room: RoomId) -> Option<u64> {
        self.followed.get(&Stream::Room(room))?.head
    }

    /// The server has told of this sequence of a stream.
    pub(super) fn told(&mut self, stream: Stream, seq: u64) {
        if let Some(followed) = self.followed.get_mut(&stream) {
            followed.head = followed.head.max(Some(seq));
        }
    }

    pub(super) fn all_live(&self) -> bool {
        self.followed.values().all(|followed| followed.live)
    }

    /// The server has said which history it has. True: another one than that of the cursors, none of which counts any more.
    pub(super) fn welcomed(&mut self, epoch: u64) -> bool {
        let before = self.epoch.replace(epoch);
        let is_another = before.is_some_and(|before| before != epoch);
        if is_another {
            for followed in self.followed.values_mut() {
                *followed = Followed {
                    outlived: true,
                    ..Followed::shut(followed.cursor)
                };
            }
        }
        is_another
    }

    /// Whether what is named so is not what the server has.
    pub(super) fn is_outlived(&self, named: Option<u64>) -> bool {
        named.is_some_and(|named| self.epoch != Some(named))
    }

    /// The epoch of a stream's cursor.
    pub(super) fn epoch_of(&self, stream: Stream) -> Option<u64> {
        match self.followed.get(&stream) {
            Some(followed) if followed.outlived => Some(NO_EPOCH),
            _ => self.epoch,
        }
    }

    /// Every stream with its cursor, and their epoch: none that a server has if they are of several.
    pub(super) fn resume(&self) -> Resume {
        let any_outlived = self.followed.values().any(|followed| followed.outlived);
        let epoch = match any_outlived {
            true => Some(NO_EPOCH),
            false => self.epoch.filter(|_| !self.followed.is_empty()),
        };
        let mut resume = Resume {
            epoch,
            ..Resume::default()
        };
        for (stream, followed) in &self.followed {
            let Cursor { seq, rev } = followed.cursor;
            match *stream {
                Stream::Inbox => resume.inbox = Some(seq),
                Stream::Room(room) => resume.rooms.push(RoomCursor { room, seq, rev }),
            }
        }
        resume
    }

    /// Follows all of these streams.
    pub(super) fn follow_all(&mut self, resume: &Resume) {
        self.epoch = resume.epoch;
        if let Some(seq) = resume.inbox {
            self.follow(Stream::Inbox, sane(seq, 0));
        }
        for &RoomCursor { room, seq, rev } in resume.rooms.iter().take(ROOMS_OPEN_MAX) {
            self.follow(Stream::Room(room), sane(seq, rev));
        }
    }

    pub(super) fn disconnected(&mut self) {
        for followed in self.followed.values_mut() {
            *followed = followed.shut_again();
        }
    }

    /// Another connection has taken over. The one before goes on bringing what is live.
    pub(super) fn handed_over(&mut self) {
        for followed in self.followed.values_mut() {
            if followed.open && followed.live {
                followed.served_before = true;
                followed.brought_more = true;
                followed.has_moved = true;
            } else {
                *followed = followed.shut_again();
            }
        }
    }

    /// Whether the connection before still brings the entries of any stream.
    pub(super) fn any_served_before(&self) -> bool {
        self.followed
            .values()
            .any(|followed| followed.served_before)
    }

    /// The connection before is gone. What it brought waits for the present one.
    pub(super) fn served_by_present_only(&mut self) {
        for followed in self.followed.values_mut() {
            if followed.served_before {
                *followed = followed.served_no_more();
            }
        }
    }

    /// An entry came over the connection before. False: it is not the next one, or the present connection brings it.
    pub(super) fn entry_before(&mut self, stream: Stream, place: Place) -> bool {
        let Some(followed) = self.followed.get_mut(&stream) else {
            return false;
        };
        let (last, number) = match place {
            Place::Seq(seq) => (followed.cursor.seq, seq),
            Place::Rev(rev) => (followed.cursor.rev, rev),
        };
        if !followed.served_before || number <= last {
            return false;
        }
        if number > last + 1 {
            // The rest is for the present connection to bring.
            *followed = followed.served_no_more();
            return false;
        }
        if let Place::Seq(seq) = place {
            followed.head = followed.head.max(Some(seq));
        }
        followed.move_to(place);
        true
    }

    /// A call of the application's opened a room. `asked` is where it asked to begin. A room that was open before keeps
    /// its cursor unless the call gave one. False: that is not where the server goes on from, which begins at its newest then.
    #[must_use]
    pub(super) fn opened(&mut self, view: &OpenedRoom, asked: (Option<u64>, Option<u64>)) -> bool {
        let stream = Stream::Room(view.info.room);
        let known = self.followed.get(&stream);
        if asked == (None, None) && known.is_some_and(|followed| followed.outlived) {
            return false;
        }
        let kept = self.cursor(stream).filter(|_| asked == (None, None));
        let from = kept.unwrap_or_else(|| {
            sane(
                asked.0.unwrap_or(view.info.head),
                asked.1.unwrap_or(view.rev),
            )
        });
        let caught_up = from.seq >= view.info.head && from.rev >= view.rev;
        let followed = Followed {
            head: Some(view.info.head),
            open: true,
            live: caught_up,
            ..Followed::shut(from)
        };
        self.followed.insert(stream, followed);
        kept.is_none_or(|cursor| cursor == view.newest())
    }

    /// Whether no entries of the stream are taken, though nobody has paused it.
    pub(super) fn is_shut(&self, stream: Stream) -> bool {
        let followed = self.followed.get(&stream);
        followed.is_some_and(|followed| !followed.open && !followed.cut)
    }

    /// Takes no entries of the stream until it has been opened from its cursor.
    pub(super) fn shut(&mut self, stream: Stream) {
        if let Some(followed) = self.followed.get_mut(&stream) {
            *followed = followed.shut_again();
        }
    }

    /// The room was opened from its cursor. Returns what the cursor was ahead of its newest, which counts also when it is
    /// below what was told before: the server has forgotten the rest.
    pub(super) fn reopened(&mut self, stream: Stream, newest: Cursor) -> Vec<Rewound> {
        let Some(followed) = self.followed.get_mut(&stream) else {
            return Vec::new();
        };
        if followed.outlived {
            return followed.begin_anew(stream, newest);
        }
        let was_served = std::mem::take(&mut followed.served_before);
        if std::mem::take(&mut followed.brought_more) {
            let Cursor { seq, rev } = followed.cursor;
            followed.head = followed.head.max(Some(newest.seq));
            followed.open = true;
            followed.cut = false;
            followed.live = was_served || seq >= newest.seq && rev >= newest.rev;
            return Vec::new();
        }
        let mut rewound = Vec::new();
        let Cursor { seq, rev } = followed.cursor;
        if seq > newest.seq {
            rewound.push((Missing::Messages, newest.seq + 1, seq));
            followed.cursor.seq = newest.seq;
        }
        if rev > newest.rev {
            rewound.push((Missing::Changes, newest.rev + 1, rev));
            followed.cursor.rev = newest.rev;
        }
        followed.head = Some(newest.seq);
        followed.open = true;
        followed.cut = false;
        followed.live = followed.cursor == newest;
        rewound
    }

    /// The server has not looked at the stream's cursor. Returns what is not known any more.
    pub(super) fn begun_anew(&mut self, stream: Stream, newest: Cursor) -> Vec<Rewound> {
        let followed = self.followed.get_mut(&stream);
        followed.map_or_else(Vec::new, |followed| followed.begin_anew(stream, newest))
    }

    /// Stops taking a stream's entries until it is opened again. False: it was not open.
    pub(super) fn cut(&mut self, stream: Stream) -> bool {
        match self.followed.get_mut(&stream) {
            Some(followed) if followed.open => {
                followed.open = false;
                followed.live = false;
                followed.has_moved = false;
                followed.cut = true;
                true
            }
            _ => false,
        }
    }

    /// The streams that were cut, which are to be opened again.
    pub(super) fn take_cut(&mut self) -> Vec<Stream> {
        self.followed
            .iter_mut()
            .filter_map(|(stream, followed)| std::mem::take(&mut followed.cut).then_some(*stream))
            .collect()
    }

    /// An entry came whose place could not be read: in this stream, or, if that is not known either, in any room.
    pub(super) fn unreadable(&mut self, stream: Option<Stream>) {
        for (followed, state) in &mut self.followed {
            let is_room = matches!(followed, Stream::Room(_));
            state.unreadable |= stream.map_or(is_room, |stream| stream == *followed);
        }
    }

    /// A gap came that could not be read: in this stream, or, if that is not known either, in any.
    pub(super) fn gap_unreadable(&mut self, stream: Option<Stream>) {
        for (followed, state) in &mut self.followed {
            state.unreadable |= stream.is_none_or(|stream| stream == *followed);
        }
    }

    /// An entry of the stream arrived.
    pub(super) fn entry(&mut self, stream: Stream, place: Place) -> Verdict {
        let Some(followed) = self.followed.get_mut(&stream) else {
            return Verdict::Drop;
        };
        let (Place::Seq(number) | Place::Rev(number)) = place;
        followed.advance(place, number)
    }

    /// The server says that `from..=to` of the stream no longer exist.
    pub(super) fn gap(&mut self, stream: Stream, missing: Missing, from: u64, to: u64) -> Verdict {
        let Some(followed) = self.followed.get_mut(&stream) else {
            return Verdict::Drop;
        };
        let place = match missing {
            Missing::Messages => Place::Seq(to),
            Missing::Changes => Place::Rev(to),
        };
        followed.advance(place, from)
    }

    /// The server says how far it has sent the stream. After [`Verdict::Next`] and without `live`, the page is to be
    /// acknowledged.
    pub(super) fn position(&mut self, stream: Stream, position: &StreamPosition) -> Verdict {
        let Some(followed) = self.followed.get_mut(&stream) else {
            return Verdict::Drop;
        };
        if !followed.open {
            return Verdict::Drop;
        }
        if position.seq > followed.cursor.seq || position.rev > followed.cursor.rev {
            return followed.ends_beyond(position);
        }
        followed.has_moved &= !position.live;
        followed.live = position.live || followed.has_moved;
        Verdict::Next
    }
}

/// A cursor that the wire can carry.
fn sane(seq: u64, rev: u64) -> Cursor {
    Cursor {
        seq: seq.min(INTEGER_MAX),
        rev: rev.min(INTEGER_MAX),
    }
}
