//! What comes of the player's own actions.

use pitturu_client::types::accounts::Identity;
use pitturu_client::types::chat::{History, Member, MemberRole, Members, MyRoom, RoomView, Sent};
use pitturu_client::{CallError, Code, RoomId};

use super::{Action, Model, Panel, ROOMS_OPEN, Reply, Room};
use crate::advice;
use crate::text::clean_line;

/// A refused read marker is tried again after this long.
const MARK_AGAIN_MS: u64 = 5000;

/// The room that a player enters who is in none.
const FIRST_ROOM: &str = "lobby";

impl Model {
    pub(super) fn reply(&mut self, reply: Reply) {
        match reply {
            Reply::SignedIn { identity, name } => self.signed_in(&identity, &name),
            Reply::Rooms(rooms) => self.rooms_listed(rooms),
            Reply::Opened { view, show } => self.opened(&view, show),
            Reply::NotOpened { room, error } => self.not_opened(room, &error),
            Reply::History {
                room,
                newest,
                result,
            } => self.history(room, newest, result),
            Reply::Sent { room, id, result } => self.sent(room, id, result),
            Reply::Found(found) => self.show_found(found),
            Reply::Who { room, members } => self.who(room, &members),
            Reply::Names(names) => {
                for (user, name) in names {
                    self.note_name(user, &name);
                }
            }
            Reply::Renamed(name) => {
                self.name = clean_line(&name);
                self.tell(format!("From now on you are {}.", clean_line(&name)));
            }
            Reply::Marked { room, result } => self.marked(room, &result),
            Reply::Left(id) => {
                // The event that says so may have come first.
                if let Some(title) = self.room(id).map(Room::title) {
                    self.forget(id);
                    self.tell(format!("You left {title}."));
                }
            }
            Reply::Quiet => {}
            Reply::Done(text) => self.tell(text),
            Reply::Failed { what, error } => {
                self.complain(advice::sentence(what, &error));
            }
        }
    }

    fn signed_in(&mut self, identity: &Identity, name: &str) {
        if self.me != Some(identity.user) {
            self.me = Some(identity.user);
            self.rooms.clear();
            self.active = None;
            self.listed = false;
        }
        self.name = clean_line(name);
        self.note_name(identity.user, name);
        self.act(Action::ListRooms);
        if let Some(name) = self.start.room.clone() {
            self.act(Action::Enter { name, create: true });
        }
    }

    fn rooms_listed(&mut self, mut rooms: Vec<MyRoom>) {
        rooms.sort_by_key(|room| {
            let last = room
                .last
                .as_ref()
                .map_or(room.info.created_at, |last| last.at);
            (room.me.is_none(), std::cmp::Reverse(last))
        });
        for listed in &rooms {
            match self.room_mut(listed.info.room) {
                Some(room) => room.take_listed(listed),
                None => self.rooms.push(Room::of_list(listed)),
            }
        }
        let open: Vec<RoomId> = self
            .rooms
            .iter()
            .take(ROOMS_OPEN)
            .map(|room| room.id)
            .collect();
        for id in open {
            self.follow(id);
        }
        let first = !std::mem::replace(&mut self.listed, true);
        if !first || self.start.room.is_some() || self.active.is_some() {
            return;
        }
        match self.rooms.iter().find(|room| room.member) {
            Some(room) => self.show(room.id),
            None => self.act(Action::Enter {
                name: FIRST_ROOM.to_owned(),
                create: true,
            }),
        }
    }

    fn opened(&mut self, view: &RoomView, show: bool) {
        let id = view.info.room;
        match self.room_mut(id) {
            Some(room) => room.take_view(view),
            None => self.rooms.push(Room::of_view(view)),
        }
        if show {
            self.show(id);
        } else {
            self.follow(id);
        }
    }

    fn not_opened(&mut self, id: RoomId, error: &CallError) {
        if let Some(room) = self.room_mut(id) {
            room.opening = false;
        }
        if matches!(
            error.code(),
            Some(Code::RoomNotFound | Code::NotAMember | Code::Banned)
        ) {
            self.forget(id);
        }
        if self.active == Some(id) {
            self.complain(advice::sentence("The room could not be opened", error));
        }
    }

    fn history(&mut self, id: RoomId, newest: bool, result: Result<History, CallError>) {
        let page = match result {
            Ok(page) => page,
            Err(error) => {
                if let Some(room) = self.room_mut(id) {
                    room.loading = false;
                }
                self.complain(advice::sentence("The messages could not be read", &error));
                return;
            }
        };
        for msg in &page.messages {
            self.note_name(msg.from, &msg.name);
        }
        if let Some(room) = self.room_mut(id) {
            room.take_page(&page, newest);
        }
    }

    fn sent(&mut self, id: RoomId, pending: u64, result: Result<Sent, CallError>) {
        let name = self.name.clone();
        let Some(me) = self.me else {
            return;
        };
        let Some(room) = self.room_mut(id) else {
            return;
        };
        match result {
            Ok(sent) => room.confirm(pending, &sent, me, &name),
            Err(error) => {
                let why = advice::reason(&error);
                room.refuse(pending, why);
                self.complain(format!(
                    "{} /retry sends it again, /drop takes it away.",
                    advice::sentence("Not sent", &error)
                ));
            }
        }
    }

    fn who(&mut self, id: RoomId, members: &Members) {
        let title = self.room(id).map(Room::title).unwrap_or_default();
        for member in &members.members {
            self.note_name(member.user, &member.name);
        }
        let mut shown: Vec<&Member> = members.members.iter().collect();
        shown.sort_by_key(|member| (!member.online, std::cmp::Reverse(member.role)));
        let line = |member: &&Member| {
            let light = if member.online { '●' } else { '○' };
            let role = match member.role {
                MemberRole::Owner => "  owner",
                MemberRole::Moderator => "  moderator",
                MemberRole::Member => "",
            };
            format!("{light} {}{role}", clean_line(&member.name))
        };
        let mut lines: Vec<String> = shown.iter().map(line).collect();
        if members.more {
            lines.push("… and more".to_owned());
        }
        self.panel = Some(Panel {
            title: format!("Members of {title}"),
            lines,
            scroll: 0,
        });
    }

    fn marked(&mut self, id: RoomId, result: &Result<u64, CallError>) {
        let now = self.now;
        let Some(room) = self.room_mut(id) else {
            return;
        };
        match result {
            Ok(read) => room.read = room.read.max(*read),
            Err(_) => room.mark_after = now + MARK_AGAIN_MS,
        }
    }
}
