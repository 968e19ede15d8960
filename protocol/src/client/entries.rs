//! Events and gaps: what belongs to a stream is checked against its cursor before it is handed up.

use bytes::Bytes;
use serde::Deserialize;

use crate::codec::{self, InvalidBody};
use crate::events::{Entry, Event, EventInfo};
use crate::frame::{ClientFrame, Cursor, Missing, Stream};
use crate::ids::RoomId;
use crate::types::chat;
use crate::types::system::{Resume, StreamPosition};

use super::calls::Owner;
use super::streams::{Place, Verdict};
use super::{Broken, ClientConnection, Output};

/// The fields of an entry that say where it belongs; which of them there are depends on the event.
#[derive(Deserialize)]
struct Fields {
    room: Option<RoomId>,
    seq: Option<u64>,
    rev: Option<u64>,
    msg: Option<Numbered>,
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// The stream that an event is an entry of, and its place there.
pub(super) fn place(event: u16, body: &[u8]) -> Result<Option<(Stream, Place)>, InvalidBody> {
    let Some(entry) = EventInfo::of(event).and_then(|info| info.entry) else {
        return Ok(None);
    };
    let fields: Fields = codec::decode(body)?;
    match (entry, fields) {
        (
            Entry::RoomMessage,
            Fields {
                room: Some(room),
                msg: Some(Numbered { seq }),
                ..
            },
        ) => Ok(Some((Stream::Room(room), Place::Seq(seq)))),
        (
            Entry::RoomChange,
            Fields {
                room: Some(room),
                rev: Some(rev),
                ..
            },
        ) => Ok(Some((Stream::Room(room), Place::Rev(rev)))),
        (Entry::Inbox, Fields { seq: Some(seq), .. }) => Ok(Some((Stream::Inbox, Place::Seq(seq)))),
        _ => Err(InvalidBody::new("an entry without its place in its stream")),
    }
}

/// The stream of an entry whose place could not be read, as far as that can be told.
fn stream_of_unreadable(event: u16, body: &[u8]) -> Option<Stream> {
    #[derive(Deserialize)]
    struct InRoom {
        room: RoomId,
    }
    match EventInfo::of(event)?.entry? {
        Entry::Inbox => Some(Stream::Inbox),
        Entry::RoomMessage | Entry::RoomChange => {
            let entry: InRoom = codec::decode(body).ok()?;
            Some(Stream::Room(entry.room))
        }
    }
}

impl ClientConnection {
    pub(super) fn event(&mut self, event: u16, body: Bytes) -> Result<(), Broken> {
        let place = match place(event, &body) {
            Ok(place) => place,
            Err(why) => {
                self.streams.unreadable(stream_of_unreadable(event, &body));
                self.step_over(event, body, why);
                return Ok(());
            }
        };
        if let Some((stream, place)) = place {
            if let Place::Seq(seq) = place {
                self.streams.told(stream, seq);
            }
            if self.cut_by_pause(stream) {
                return Ok(());
            }
            let verdict = self.streams.entry(stream, place);
            if !self.settle(stream, verdict, place)? {
                return Ok(());
            }
        } else if event != StreamPosition::NUMBER && !self.is_news(self.present(), event, &body) {
            return Ok(());
        }
        match self.told_of_stream(event, &body)? {
            Ok(()) => self.outputs.push_back(Output::Event { event, body }),
            Err(why) => self.step_over(event, body, why),
        }
        Ok(())
    }

    /// What events say of a stream that are no entries of it.
    pub(super) fn told_of_stream(
        &mut self,
        event: u16,
        body: &[u8],
    ) -> Result<Result<(), InvalidBody>, Broken> {
        match event {
            StreamPosition::NUMBER => {
                let position: StreamPosition = match codec::decode(body) {
                    Ok(position) => position,
                    Err(why) => return Ok(Err(why)),
                };
                match position.stream.parse() {
                    Ok(stream) => self.position(stream, &position)?,
                    Err(why) => return Ok(Err(InvalidBody::new(why.to_string()))),
                }
            }
            chat::RoomLost::NUMBER => match codec::decode::<chat::RoomLost>(body) {
                Ok(lost) => {
                    self.streams.forget(Stream::Room(lost.room));
                    // The answer of a call that had opened it before may still be on its way.
                    self.calls.distrust_openers();
                }
                Err(why) => return Ok(Err(why)),
            },
            _ => {}
        }
        Ok(Ok(()))
    }

    /// Tells of an event that can't be read, instead of breaking a connection on whose next one it would come again.
    fn step_over(&mut self, event: u16, body: Bytes, why: InvalidBody) {
        self.stats.unreadable += 1;
        self.outputs
            .push_back(Output::Unreadable { event, body, why });
    }

    pub(super) fn gap(
        &mut self,
        stream: Stream,
        missing: Missing,
        from: u64,
        to: u64,
    ) -> Result<(), Broken> {
        if missing == Missing::Messages {
            self.streams.told(stream, to);
        }
        if self.cut_by_pause(stream) {
            return Ok(());
        }
        let verdict = self.streams.gap(stream, missing, from, to);
        let came = match missing {
            Missing::Messages => Place::Seq(from),
            Missing::Changes => Place::Rev(from),
        };
        if self.settle(stream, verdict, came)? {
            self.outputs.push_back(Output::Gap {
                stream,
                missing,
                from,
                to,
            });
        }
        Ok(())
    }

    fn position(&mut self, stream: Stream, position: &StreamPosition) -> Result<(), Broken> {
        self.streams.told(stream, position.head);
        if !position.live && self.cut_by_pause(stream) {
            return Ok(());
        }
        let cursor = self.streams.cursor(stream).unwrap_or_default();
        let came = match position.seq > cursor.seq {
            true => Place::Seq(position.seq),
            false => Place::Rev(position.rev),
        };
        let verdict = self.streams.position(stream, position);
        if self.settle(stream, verdict, came)?
            && !position.live
            && let Some(cursor) = self.streams.cursor(stream)
        {
            self.send(&ClientFrame::Ack { stream, cursor }.encode());
        }
        Ok(())
    }

    /// Whether the entry is to be handed up. `came` is its place, or the first place after what is missing.
    fn settle(&mut self, stream: Stream, verdict: Verdict, came: Place) -> Result<bool, Broken> {
        match verdict {
            Verdict::Next => Ok(true),
            Verdict::Drop => Ok(false),
            Verdict::SteppedOver((missing, from, to)) => {
                self.outputs.push_back(Output::Gap {
                    stream,
                    missing,
                    from,
                    to,
                });
                Ok(true)
            }
            Verdict::Hole => {
                self.stats.holes += 1;
                let after = self.after(stream);
                self.mismatch(format!(
                    "something is missing in {stream}: after {after} came {came}"
                ));
                self.reopen(stream);
                Ok(false)
            }
            Verdict::Broken => {
                self.stats.holes += 1;
                let after = self.after(stream);
                Err(Broken::Protocol(format!(
                    "something is missing in {stream} although it was opened again: after {after} came {came}"
                )))
            }
        }
    }

    /// How far the stream has come, for people to read.
    fn after(&self, stream: Stream) -> String {
        let Cursor { seq, rev } = self.streams.cursor(stream).unwrap_or_default();
        format!("{} and {}", Place::Seq(seq), Place::Rev(rev))
    }

    fn cut_by_pause(&mut self, stream: Stream) -> bool {
        let cut = self.paused && self.streams.cut(stream);
        if cut {
            self.stats.cuts += 1;
        }
        self.paused
    }

    pub(super) fn open_cut_streams(&mut self) {
        for stream in self.streams.take_cut() {
            self.reopen(stream);
        }
    }

    /// Asks the server to follow the stream from our cursor.
    pub(super) fn reopen(&mut self, stream: Stream) {
        match stream {
            Stream::Inbox => {
                if let Some(cursor) = self.streams.cursor(stream) {
                    let resume = Resume {
                        epoch: self.streams.epoch_of(stream),
                        inbox: Some(cursor.seq),
                        rooms: Vec::new(),
                    };
                    self.calls.add(Owner::Resume, &resume, None);
                }
            }
            Stream::Room(room) => {
                if let Some(open) = self.open_from_cursor(room) {
                    self.calls.add(Owner::Reopen(room), &open, None);
                }
            }
        }
    }

    /// A room that was to be closed stays open. While that was not known it was not opened again, however much it had to be.
    pub(super) fn stays_open(&mut self, room: RoomId) {
        let stream = Stream::Room(room);
        let is_asked = self.calls.has(Owner::Reopen(room));
        if self.is_connected() && self.streams.is_shut(stream) && !is_asked {
            self.reopen(stream);
        }
    }

    /// The call that opens a room from our cursor, if that counts, unless it is being closed or not followed.
    pub(super) fn open_from_cursor(&self, room: RoomId) -> Option<chat::OpenRoom> {
        let stream = Stream::Room(room);
        let cursor = self.streams.cursor(stream)?;
        let counts = !self.streams.is_outlived(self.streams.epoch_of(stream));
        (!self.calls.closing(room)).then_some(chat::OpenRoom {
            room,
            seq: counts.then_some(cursor.seq),
            rev: counts.then_some(cursor.rev),
        })
    }
}
