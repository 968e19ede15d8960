//! One room as the player sees it: its messages, what waits to be sent, who writes, where the view stands.

use std::collections::BTreeMap;

use pitturu_client::types::chat::{
    History, Message, MyRoom, Reaction, RoomInfo, RoomKind, RoomView, Sent,
};
use pitturu_client::{RoomId, UserId};

use crate::text::{clean, clean_line};

/// Messages kept of a room whose end is on the screen; older ones are read again when they are wanted.
pub(crate) const MESSAGES_KEPT_MAX: usize = 1000;

/// Messages kept when the player reads back; nothing older is fetched beyond it.
pub(crate) const MESSAGES_READ_MAX: usize = 20_000;

/// The author of messages whose author's account was erased.
const NOBODY: UserId = UserId::from_bytes([0; 10]);

const NOBODYS_NAME: &str = "deleted player";

/// A player who is writing is shown for this long after the last sign of it.
const TYPING_MS: u64 = 5000;

/// Players shown as writing.
const TYPING_MAX: usize = 20;

/// A message, and the revision of the room's changes up to which it is known.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) msg: Message,
    rev: u64,
}

/// A message of the player's that the server has not confirmed.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(crate) reply_to: Option<u64>,
    /// Its event came before its confirmation: it is shown already.
    echoed: Option<u64>,
    /// Why the server would not take it.
    pub(crate) refused: Option<String>,
}

/// Where the transcript's lowest row on the screen lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scroll {
    /// At the end, also when more comes.
    #[default]
    End,
    /// `skip` rows above the last row of a message.
    At { seq: u64, skip: usize },
}

/// Somebody who is writing.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    user: UserId,
    pub(crate) name: String,
    until: u64,
}

/// One room.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) kind: RoomKind,
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) peer: Option<UserId>,
    /// Absent when only invited.
    pub(crate) member: bool,
    pub(crate) members: u32,
    pub(crate) online: u32,
    /// Those online by id, unless they are too many.
    pub(crate) users: Vec<UserId>,
    pub(crate) first: u64,
    pub(crate) head: u64,
    pub(crate) read: u64,
    /// Name and text of the newest message, and its time; 0 before the first.
    pub(crate) last: String,
    pub(crate) last_at: u64,
    /// Its events come.
    pub(crate) open: bool,
    pub(crate) opening: bool,
    /// Without holes, except for `gaps`.
    messages: BTreeMap<u64, Known>,
    /// The newest page of the history has come.
    pub(crate) loaded: bool,
    pub(crate) loading: bool,
    /// Messages that the server no longer has, first to last.
    gaps: BTreeMap<u64, u64>,
    pub(crate) pending: Vec<Pending>,
    writers: Vec<Writer>,
    pub(crate) scroll: Scroll,
    /// Newest message that was on the screen.
    pub(crate) seen: u64,
    /// What was read when the room came on the screen, or when the player looked away: the line "new" stands after it.
    pub(crate) divider: Option<u64>,
    /// The message that commands are about.
    pub(crate) selected: Option<u64>,
    /// Head of the stream while its back-fill goes on.
    filling: Option<u64>,
    /// A read marker is on its way, or was refused: no other before this time.
    pub(crate) mark_after: u64,
    /// How far the other player of a direct room has read.
    pub(crate) peer_read: u64,
}

impl Room {
    fn new(info: &RoomInfo) -> Self {
        let mut room = Self {
            id: info.room,
            kind: info.kind,
            name: String::new(),
            topic: String::new(),
            peer: info.peer,
            member: false,
            members: 0,
            online: 0,
            users: Vec::new(),
            first: 0,
            head: 0,
            read: 0,
            last: String::new(),
            last_at: 0,
            open: false,
            opening: false,
            messages: BTreeMap::new(),
            loaded: false,
            loading: false,
            gaps: BTreeMap::new(),
            pending: Vec::new(),
            writers: Vec::new(),
            scroll: Scroll::End,
            seen: 0,
            divider: None,
            selected: None,
            filling: None,
            mark_after: 0,
            peer_read: 0,
        };
        room.take_info(info);
        room
    }

    pub(crate) fn of_list(listed: &MyRoom) -> Self {
        let mut room = Self::new(&listed.info);
        room.take_listed(listed);
        room
    }

    pub(crate) fn of_view(view: &RoomView) -> Self {
        let mut room = Self::new(&view.info);
        room.take_view(view);
        room
    }

    pub(crate) fn take_info(&mut self, info: &RoomInfo) {
        self.name = clean_line(&info.name);
        self.topic = info.topic.as_deref().map(clean_line).unwrap_or_default();
        self.peer = info.peer.or(self.peer);
        self.members = info.members;
        self.first = info.first.max(self.first);
        self.head = info.head.max(self.head);
    }

    pub(crate) fn take_listed(&mut self, listed: &MyRoom) {
        self.take_info(&listed.info);
        self.member = listed.me.is_some();
        if let Some(me) = &listed.me {
            self.read = me.read.max(self.read);
        }
        if let Some(last) = &listed.last {
            self.note_last(last);
        }
    }

    pub(crate) fn take_view(&mut self, view: &RoomView) {
        self.take_info(&view.info);
        self.member = true;
        self.read = view.me.read.max(self.read);
        self.online = view.online;
        self.open = true;
        self.opening = false;
        // What came between the last page and the opening is not known: the newest page is read again.
        if self.last_seq() < view.info.head {
            self.loaded = false;
        }
    }

    /// `head − max(read, first − 1)`, as the server counts.
    pub(crate) fn unread(&self) -> u64 {
        self.head
            .saturating_sub(self.read.max(self.first.saturating_sub(1)))
    }

    pub(crate) fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.values().map(|known| &known.msg)
    }

    pub(crate) fn up_to(&self, seq: u64) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.range(..=seq).map(|(_, known)| &known.msg)
    }

    pub(crate) fn after(&self, seq: u64) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages
            .range(seq.saturating_add(1)..)
            .map(|(_, known)| &known.msg)
    }

    pub(crate) fn before(&self, seq: u64) -> Option<&Message> {
        let (_, known) = self.messages.range(..seq).next_back()?;
        Some(&known.msg)
    }

    pub(crate) fn message(&self, seq: u64) -> Option<&Message> {
        self.messages.get(&seq).map(|known| &known.msg)
    }

    pub(crate) fn first_seq(&self) -> Option<u64> {
        self.messages.keys().next().copied()
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.messages.keys().next_back().copied().unwrap_or(0)
    }

    /// The gap that ends just before this message.
    pub(crate) fn gap_before(&self, seq: u64) -> Option<(u64, u64)> {
        let (from, to) = self.gaps.range(..seq).next_back()?;
        let above = self.before(seq).map_or(0, |msg| msg.seq);
        (above < *from && *to < seq).then_some((*from, *to))
    }

    /// Where the page before what is here begins, if there is one and it may be fetched.
    pub(crate) fn older(&self) -> Option<u64> {
        let first = self.first_seq()?;
        let more = first > self.first.max(1) && self.messages.len() < MESSAGES_READ_MAX;
        (more && !self.loading).then_some(first)
    }

    /// A message came. Returns whether it is new here.
    pub(crate) fn add(&mut self, msg: &Message) -> bool {
        let new = msg.seq > self.head;
        self.head = self.head.max(msg.seq);
        if self.first == 0 {
            self.first = msg.seq;
        }
        self.note_last(msg);
        self.writers.retain(|writer| writer.user != msg.from);
        // A repetition, or an event that is older than the page which brought the message.
        if !self.messages.contains_key(&msg.seq) {
            self.insert(msg, 0);
        }
        self.trim();
        new
    }

    fn insert(&mut self, msg: &Message, rev: u64) {
        let mut msg = msg.clone();
        msg.text = clean(&msg.text);
        msg.name = match msg.from == NOBODY {
            true => NOBODYS_NAME.to_owned(),
            false => clean_line(&msg.name),
        };
        for reaction in &mut msg.reactions {
            reaction.emoji = clean_line(&reaction.emoji);
        }
        self.messages.insert(msg.seq, Known { msg, rev });
    }

    fn trim(&mut self) {
        if self.scroll != Scroll::End {
            return;
        }
        while self.messages.len() > MESSAGES_KEPT_MAX {
            self.messages.pop_first();
        }
    }

    fn note_last(&mut self, msg: &Message) {
        if msg.at >= self.last_at {
            self.last_at = msg.at;
            self.last = format!("{}: {}", clean_line(&msg.name), clean_line(&msg.text));
        }
    }

    /// A page of the history came; `newest` if it is the last one.
    pub(crate) fn take_page(&mut self, page: &History, newest: bool) {
        self.loading = false;
        self.first = page.first.max(self.first);
        self.head = page.head.max(self.head);
        if newest {
            self.loaded = true;
            let oldest = page.messages.first().map_or(0, |msg| msg.seq);
            let joins =
                self.last_seq() + 1 >= oldest || self.gaps.values().any(|to| to + 1 >= oldest);
            if !joins {
                self.messages.clear();
                self.scroll = Scroll::End;
            }
        }
        for msg in &page.messages {
            let known = self.messages.get(&msg.seq).map_or(0, |known| known.rev);
            if known <= page.rev {
                self.insert(msg, page.rev);
            }
        }
        if let Some(last) = page.messages.last() {
            self.note_last(last);
        }
    }

    /// The player looks away: what comes from now on is new to them.
    pub(crate) fn divide(&mut self) {
        self.divider.get_or_insert(self.head);
    }

    pub(crate) fn note_gap(&mut self, from: u64, to: u64) {
        self.gaps.insert(from, to);
        self.first = self.first.max(to + 1);
    }

    /// Makes a change that the message does not contain yet.
    fn change(&mut self, seq: u64, rev: u64, change: impl FnOnce(&mut Message)) {
        if let Some(known) = self.messages.get_mut(&seq)
            && known.rev < rev
        {
            known.rev = rev;
            change(&mut known.msg);
        }
    }

    pub(crate) fn edit(&mut self, seq: u64, rev: u64, text: &str, at: u64) {
        self.change(seq, rev, |msg| {
            msg.text = clean(text);
            msg.edited_at = Some(at);
        });
    }

    pub(crate) fn erase_author(&mut self, seq: u64, rev: u64) {
        self.change(seq, rev, |msg| {
            msg.from = NOBODY;
            msg.name = NOBODYS_NAME.to_owned();
        });
    }

    pub(crate) fn delete(&mut self, seq: u64, rev: u64, by: UserId) {
        self.change(seq, rev, |msg| {
            msg.text.clear();
            msg.data = None;
            msg.reactions.clear();
            msg.deleted_by = Some(by);
        });
    }

    pub(crate) fn react(&mut self, seq: u64, rev: u64, emoji: &str, count: u32) {
        let emoji = clean_line(emoji);
        self.change(seq, rev, |msg| {
            match msg.reactions.iter_mut().find(|known| known.emoji == emoji) {
                Some(known) => known.count = count,
                None => msg.reactions.push(Reaction { emoji, count }),
            }
            msg.reactions.retain(|reaction| reaction.count > 0);
        });
    }

    /// Notes a message that is on its way to the server.
    pub(crate) fn expect(&mut self, id: u64, text: String, reply_to: Option<u64>) {
        self.pending.push(Pending {
            id,
            text,
            reply_to,
            echoed: None,
            refused: None,
        });
    }

    /// A message of the player's own came as an event: the one that waits longest with this text is no longer shown as waiting.
    pub(crate) fn echo(&mut self, msg: &Message) {
        let text = clean(&msg.text);
        let waiting = self.pending.iter_mut().find(|pending| {
            pending.echoed.is_none() && pending.refused.is_none() && clean(&pending.text) == text
        });
        if let Some(pending) = waiting {
            pending.echoed = Some(msg.seq);
        }
    }

    /// The server has taken a message.
    pub(crate) fn confirm(&mut self, id: u64, sent: &Sent, me: UserId, name: &str) {
        let Some(at) = self.pending.iter().position(|pending| pending.id == id) else {
            return;
        };
        let pending = self.pending.remove(at);
        for other in &mut self.pending {
            if other.echoed == Some(sent.seq) {
                other.echoed = pending.echoed;
            }
        }
        self.add(&Message {
            seq: sent.seq,
            from: me,
            name: name.to_owned(),
            text: pending.text,
            at: sent.at,
            data: None,
            reply_to: pending.reply_to,
            edited_at: None,
            deleted_by: None,
            reactions: Vec::new(),
        });
    }

    pub(crate) fn refuse(&mut self, id: u64, why: String) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.id == id) {
            pending.refused = Some(why);
            pending.echoed = None;
        }
    }

    /// What is to be shown as waiting or refused.
    pub(crate) fn waiting(&self) -> impl DoubleEndedIterator<Item = &Pending> {
        self.pending
            .iter()
            .filter(|pending| pending.echoed.is_none())
    }

    pub(crate) fn note_typing(&mut self, user: UserId, name: &str, now: u64) {
        self.writers.retain(|writer| writer.user != user);
        if self.writers.len() < TYPING_MAX {
            self.writers.push(Writer {
                user,
                name: clean_line(name),
                until: now + TYPING_MS,
            });
        }
    }

    pub(crate) fn forget_writers(&mut self, now: u64) {
        self.writers.retain(|writer| writer.until > now);
    }

    pub(crate) fn writers(&self) -> &[Writer] {
        &self.writers
    }

    /// A back-fill has come so far; nothing when the stream is live.
    pub(crate) fn note_filling(&mut self, head: Option<u64>) {
        self.filling = head;
    }

    /// How many messages a back-fill has yet to bring.
    pub(crate) fn behind(&self) -> u64 {
        self.filling
            .map_or(0, |head| head.saturating_sub(self.last_seq()))
    }

    /// How people write its name.
    pub(crate) fn title(&self) -> String {
        let sign = match self.kind {
            RoomKind::Public => '#',
            RoomKind::Private => '+',
            RoomKind::Direct => '@',
        };
        format!("{sign}{}", self.name)
    }
}
