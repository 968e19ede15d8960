//! All that the program knows, and what it does about what happens. Nothing here waits, draws or looks at a clock.

use std::collections::HashMap;

use crossterm::event::KeyEvent;
use pitturu_client::types::accounts::Identity;
use pitturu_client::types::chat::{History, Members, MyRoom, RoomInfo, RoomKind, RoomView, Sent};
use pitturu_client::{CallError, RoomId, ServerEvent, UserId};

use crate::clock::Clock;
use crate::editor::Editor;
use crate::layout::Layout;
use crate::text::clean_line;
use crate::transcript::Transcript;

mod commands;
mod events;
mod keys;
mod replies;
mod room;

pub(crate) use room::{Pending, Room, Scroll};

/// Rooms that are kept open at once; those above it open when they come on the screen.
const ROOMS_OPEN: usize = 64;

/// Names remembered of players.
const NAMES_MAX: usize = 10_000;

/// A notice disappears after this long.
const NOTICE_MS: u64 = 10_000;

/// A read marker is sent this often at most, for each room.
const MARK_MS: u64 = 1000;

/// Where the client stands, with times on the model's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Connecting,
    CatchingUp,
    Online,
    Offline {
        retry_at: Option<u64>,
        why: Option<String>,
    },
    Stopped {
        code: Option<u16>,
    },
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    Key(KeyEvent),
    Paste(String),
    Resize(u16, u16),
    Focus(bool),
    Link(Link),
    Server(Box<ServerEvent>),
    Reply(Reply),
    /// Time has passed.
    Tick,
}

/// What came of an action.
#[derive(Debug)]
pub(crate) enum Reply {
    SignedIn {
        identity: Identity,
        name: String,
    },
    Rooms(Vec<MyRoom>),
    Opened {
        view: RoomView,
        show: bool,
    },
    NotOpened {
        room: RoomId,
        error: CallError,
    },
    History {
        room: RoomId,
        newest: bool,
        result: Result<History, CallError>,
    },
    Sent {
        room: RoomId,
        id: u64,
        result: Result<Sent, CallError>,
    },
    Found(Vec<RoomInfo>),
    Who {
        room: RoomId,
        members: Members,
    },
    Names(Vec<(UserId, String)>),
    Renamed(String),
    Marked {
        room: RoomId,
        result: Result<u64, CallError>,
    },
    Left(RoomId),
    /// Done, and what was done is seen already.
    Quiet,
    Done(String),
    Failed {
        what: &'static str,
        error: CallError,
    },
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Quit,
    Redraw,
    Reconnect,
    SignIn,
    ListRooms,
    Open(RoomId),
    /// Joins the oldest public room of this name.
    Enter {
        name: String,
        create: bool,
    },
    Join(RoomId),
    Create(RoomKind, String),
    History {
        room: RoomId,
        before: Option<u64>,
    },
    Send {
        room: RoomId,
        id: u64,
        text: String,
        reply_to: Option<u64>,
    },
    Edit {
        room: RoomId,
        seq: u64,
        text: String,
    },
    Delete {
        room: RoomId,
        seq: u64,
    },
    React {
        room: RoomId,
        seq: u64,
        emoji: String,
        on: bool,
    },
    Search(String),
    Direct(UserId),
    DirectByUsername(String),
    Invite(RoomId, UserId),
    Who(RoomId),
    Names(Vec<UserId>),
    Rename(String),
    Leave(RoomId),
    MarkRead {
        room: RoomId,
        seq: u64,
    },
    Typing(RoomId),
}

/// A line about what the player did, or about what went wrong.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) bad: bool,
    until: u64,
}

/// Text that was asked for: help, members, rooms found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) lines: Vec<String>,
    /// Rows scrolled down.
    pub(crate) scroll: usize,
}

/// What the program is started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) room: Option<String>,
    pub(crate) clock: Clock,
}

/// All that the program knows.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) start: Start,
    pub(crate) now: u64,
    pub(crate) size: (u16, u16),
    pub(crate) link: Link,
    pub(crate) me: Option<UserId>,
    pub(crate) name: String,
    pub(crate) rooms: Vec<Room>,
    pub(crate) active: Option<RoomId>,
    pub(crate) names: HashMap<UserId, String>,
    pub(crate) editor: Editor,
    pub(crate) notice: Option<Notice>,
    pub(crate) panel: Option<Panel>,
    found: Vec<RoomInfo>,
    focused: bool,
    listed: bool,
    /// Entries of the inbox are news, not history.
    inbox_live: bool,
    typing_after: u64,
    next_id: u64,
    quit_asked: bool,
    actions: Vec<Action>,
}

impl Model {
    pub(crate) fn new(start: Start, size: (u16, u16), now: u64) -> Self {
        Self {
            name: clean_line(&start.name),
            start,
            now,
            size,
            link: Link::Connecting,
            me: None,
            rooms: Vec::new(),
            active: None,
            names: HashMap::new(),
            editor: Editor::default(),
            notice: None,
            panel: None,
            found: Vec::new(),
            focused: true,
            listed: false,
            inbox_live: false,
            typing_after: 0,
            next_id: 0,
            quit_asked: false,
            actions: Vec::new(),
        }
    }

    /// Takes notice of something that happened at `now` (milliseconds since 1970) and says what to do.
    pub(crate) fn apply(&mut self, input: Input, now: u64) -> Vec<Action> {
        self.now = now;
        match input {
            Input::Key(key) => self.key(key),
            Input::Paste(text) => self.paste(&text),
            Input::Resize(columns, rows) => self.size = (columns, rows),
            Input::Focus(focused) => self.focus(focused),
            Input::Link(link) => self.linked(link),
            Input::Server(event) => self.server(*event),
            Input::Reply(reply) => self.reply(reply),
            Input::Tick => {}
        }
        self.pass_time();
        self.note_seen();
        std::mem::take(&mut self.actions)
    }

    fn linked(&mut self, link: Link) {
        if link == Link::Online && self.link != Link::Online {
            self.drop_news();
            // Streams go on by themselves; invitations and markers of other devices are asked for.
            if self.me.is_some() {
                self.act(Action::ListRooms);
            }
        }
        self.link = link;
    }

    fn focus(&mut self, focused: bool) {
        self.focused = focused;
        if !focused && let Some(room) = self.active_room_mut() {
            room.divide();
        }
    }

    /// Takes away a notice that nothing depends on: what it told is over.
    fn drop_news(&mut self) {
        self.notice = self.notice.take().filter(|notice| notice.bad);
    }

    fn pass_time(&mut self) {
        let now = self.now;
        for room in &mut self.rooms {
            room.forget_writers(now);
        }
        if self
            .notice
            .as_ref()
            .is_some_and(|notice| notice.until <= now)
        {
            self.notice = None;
        }
    }

    /// Notes what of the room on the screen has been seen, and tells the server.
    fn note_seen(&mut self) {
        let (now, online, focused) = (self.now, self.link == Link::Online, self.focused);
        let Some(room) = self.active_room() else {
            return;
        };
        let rows = self.body_rows();
        let seen = self.transcript(room).newest_in(rows);
        let Some(room) = self.active_room_mut() else {
            return;
        };
        if !focused || !room.loaded {
            return;
        }
        room.seen = room.seen.max(seen);
        let nothing_new = room.divider.is_some_and(|after| after >= room.head);
        if room.scroll == Scroll::End && nothing_new {
            room.divider = None;
        }
        if online && room.member && room.seen > room.read && room.mark_after <= now {
            room.mark_after = now + MARK_MS;
            let (room, seq) = (room.id, room.seen);
            self.act(Action::MarkRead { room, seq });
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn tell(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice {
            text: text.into(),
            bad: false,
            until: self.now + NOTICE_MS,
        });
    }

    fn complain(&mut self, text: impl Into<String>) {
        self.tell(text);
        if let Some(notice) = &mut self.notice {
            notice.bad = true;
        }
    }

    pub(crate) fn room(&self, id: RoomId) -> Option<&Room> {
        self.rooms.iter().find(|room| room.id == id)
    }

    fn room_mut(&mut self, id: RoomId) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| room.id == id)
    }

    pub(crate) fn active_room(&self) -> Option<&Room> {
        self.room(self.active?)
    }

    fn active_room_mut(&mut self) -> Option<&mut Room> {
        self.room_mut(self.active?)
    }

    pub(crate) fn transcript<'a>(&'a self, room: &'a Room) -> Transcript<'a> {
        Transcript {
            room,
            me: self.me,
            online: self.link == Link::Online,
            clock: self.start.clock,
            columns: usize::from(self.layout().body.width),
        }
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::of(self)
    }

    fn body_rows(&self) -> usize {
        usize::from(self.layout().body.height)
    }

    pub(crate) fn name_of(&self, user: UserId) -> String {
        match self.names.get(&user) {
            _ if self.me == Some(user) => self.name.clone(),
            Some(name) => name.clone(),
            None => "…".to_owned(),
        }
    }

    fn note_name(&mut self, user: UserId, name: &str) {
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        self.names.insert(user, clean_line(name));
    }

    /// Messages that are not confirmed, in all rooms.
    pub(crate) fn unsent(&self) -> usize {
        self.rooms.iter().map(|room| room.waiting().count()).sum()
    }

    /// Messages that back-fills have yet to bring.
    pub(crate) fn behind(&self) -> u64 {
        self.rooms.iter().map(Room::behind).sum()
    }

    /// Brings a room on the screen.
    fn show(&mut self, id: RoomId) {
        let left = self.active.filter(|left| *left != id);
        if left.is_some() {
            self.drop_news();
        }
        if let Some(left) = left.and_then(|left| self.room_mut(left)) {
            left.selected = None;
            left.divider = None;
        }
        self.active = Some(id);
        let Some(room) = self.room_mut(id) else {
            return;
        };
        if room.divider.is_none() && room.unread() > 0 {
            room.divider = Some(room.read);
        }
        self.follow(id);
    }

    /// Opens the room if it is not, and reads its newest page if it has none and is on the screen.
    fn follow(&mut self, id: RoomId) {
        let shown = self.active == Some(id);
        let Some(room) = self.room_mut(id) else {
            return;
        };
        let mut actions = Vec::new();
        if room.member && !room.open && !room.opening {
            room.opening = true;
            actions.push(Action::Open(id));
        }
        if shown && room.open && !room.loaded && !room.loading {
            room.loading = true;
            actions.push(Action::History {
                room: id,
                before: None,
            });
        }
        self.actions.append(&mut actions);
    }

    /// Takes a room off the list.
    fn forget(&mut self, id: RoomId) {
        let Some(at) = self.rooms.iter().position(|room| room.id == id) else {
            return;
        };
        self.rooms.remove(at);
        if self.active == Some(id) {
            self.active = None;
            let beside = self.rooms.get(at.min(self.rooms.len().saturating_sub(1)));
            if let Some(next) = beside.map(|room| room.id) {
                self.show(next);
            }
        }
    }
}

#[cfg(test)]
mod tests;
