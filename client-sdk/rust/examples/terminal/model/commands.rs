//! What the line does when it is sent: a message, or a command after a slash.

use pitturu_client::limits::TEXT_BYTES_MAX;
use pitturu_client::types::chat::{RoomInfo, RoomKind};
use pitturu_client::{RoomId, UserId};

use super::{Action, Link, Model, Panel, Room, Scroll};
use crate::text::{clean_line, count};

const HELP: &[&str] = &[
    "/join NAME      joins a public room; /join #2 the second one found",
    "/create NAME    creates a public room",
    "/private NAME   creates a private room",
    "/invite PLAYER  lets a player into a private room",
    "/rooms          lists your rooms",
    "/search WORDS   finds public rooms",
    "/dm PLAYER      writes to one player",
    "/who            lists who is in the room",
    "/reply TEXT     answers the selected or the last message",
    "/edit TEXT      replaces the selected or your last message",
    "/del            deletes the selected or your last message",
    "/react EMOJI    reacts, or takes the reaction back",
    "/retry, /drop   what to do with messages that were not sent",
    "/name NEW       changes your name",
    "/me             shows who you are",
    "/leave          leaves the room",
    "/quit           ends the program",
    "//text          sends a message that begins with a slash",
    "",
    "Tab, Alt-1…0    another room",
    "PageUp, PageDown, End   reads back",
    "Alt-Up, Alt-Down        selects a message",
    "Alt-Enter       a new line in the message",
    "Up, Down        what you wrote before",
    "Ctrl-R          reconnects at once",
    "Esc             closes this",
];

impl Model {
    pub(super) fn submit(&mut self) {
        let text = self.editor.text().trim_end().to_owned();
        if text.trim().is_empty() {
            return;
        }
        let message = match text.strip_prefix('/') {
            None => text.as_str(),
            Some(rest) if rest.starts_with('/') => rest,
            Some(command) => {
                self.editor.take();
                self.panel = None;
                self.command(command);
                return;
            }
        };
        if self.send(message, None) {
            self.editor.take();
            self.panel = None;
        }
    }

    /// Sends a message to the room on the screen. Returns whether it is on its way.
    fn send(&mut self, text: &str, reply_to: Option<u64>) -> bool {
        let over = text.len().saturating_sub(TEXT_BYTES_MAX);
        if over > 0 {
            self.complain(format!(
                "The message is {over} bytes too long. Shorten it, or send it in two."
            ));
            return false;
        }
        let id = self.next_id;
        let offline = matches!(self.link, Link::Offline { .. } | Link::Stopped { .. });
        let Some(room) = self.active_room_mut() else {
            self.complain("You are in no room. /join NAME enters one, /search WORDS finds one.");
            return false;
        };
        room.expect(id, text.to_owned(), reply_to);
        room.scroll = Scroll::End;
        room.divider = None;
        let room = room.id;
        self.next_id += 1;
        self.typing_after = self.now;
        self.act(Action::Send {
            room,
            id,
            text: text.to_owned(),
            reply_to,
        });
        if offline {
            self.tell("Not connected: your message waits and goes out by itself.");
        }
        true
    }

    fn command(&mut self, line: &str) {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match name {
            "join" | "create" | "private" | "search" | "dm" | "invite" | "edit" | "reply"
            | "react" | "name"
                if rest.is_empty() =>
            {
                self.complain(format!("/{name} needs a word more: see /help."));
            }
            "join" => self.join(rest),
            "create" => self.act(Action::Create(RoomKind::Public, rest.to_owned())),
            "private" => self.act(Action::Create(RoomKind::Private, rest.to_owned())),
            "search" => self.act(Action::Search(rest.to_owned())),
            "dm" => self.direct(rest),
            "name" => self.act(Action::Rename(rest.to_owned())),
            "rooms" => {
                self.act(Action::ListRooms);
                self.list_rooms();
            }
            "help" | "h" | "?" => self.help(),
            "me" => self.show_me(),
            "quit" | "q" | "exit" => self.quit(),
            _ => self.room_command(name, rest),
        }
    }

    fn room_command(&mut self, name: &str, rest: &str) {
        let known = [
            "who", "leave", "invite", "edit", "reply", "del", "delete", "react", "retry", "drop",
        ];
        if !known.contains(&name) {
            let name = clean_line(name);
            self.complain(format!(
                "There is no command /{name}. /help lists them all."
            ));
            return;
        }
        let Some(room) = self.active_room() else {
            self.complain("You are in no room. /join NAME enters one, /search WORDS finds one.");
            return;
        };
        let id = room.id;
        match name {
            "who" => self.act(Action::Who(id)),
            "leave" => self.act(Action::Leave(id)),
            "invite" => self.invite(id, rest),
            "reply" => match self.target(false) {
                Some(seq) => {
                    self.send(rest, Some(seq));
                }
                None => self.complain("There is no message here to answer."),
            },
            "edit" => match self.target(true) {
                Some(seq) => self.act(Action::Edit {
                    room: id,
                    seq,
                    text: rest.to_owned(),
                }),
                None => self.complain("There is no message of yours here to edit."),
            },
            "del" | "delete" => match self.target(true) {
                Some(seq) => self.act(Action::Delete { room: id, seq }),
                None => self.complain("There is no message of yours here to delete."),
            },
            "react" => self.react(id, rest),
            "retry" => self.retry(true),
            _ => self.retry(false),
        }
        if let Some(room) = self.active_room_mut() {
            room.selected = None;
        }
    }

    /// The selected message, or the last one that was not deleted: of the player's own, or of anybody.
    fn target(&self, own: bool) -> Option<u64> {
        let room = self.active_room()?;
        if let Some(selected) = room.selected {
            return Some(selected);
        }
        let mut messages = room.messages().rev();
        let last =
            messages.find(|msg| msg.deleted_by.is_none() && (!own || Some(msg.from) == self.me))?;
        Some(last.seq)
    }

    fn react(&mut self, room: RoomId, emoji: &str) {
        let Some(seq) = self.target(false) else {
            self.complain("There is no message here to react to.");
            return;
        };
        let (on, emoji) = match emoji.strip_prefix('-') {
            Some(emoji) => (false, emoji),
            None => (true, emoji),
        };
        self.act(Action::React {
            room,
            seq,
            emoji: emoji.to_owned(),
            on,
        });
    }

    /// Sends what was refused once more, or takes it away.
    fn retry(&mut self, send: bool) {
        let Some(room) = self.active_room_mut() else {
            return;
        };
        let (refused, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut room.pending)
            .into_iter()
            .partition(|pending| pending.refused.is_some());
        room.pending = waiting;
        if refused.is_empty() {
            self.tell("Nothing here was refused.");
        }
        for pending in refused.into_iter().filter(|_| send) {
            self.send(&pending.text, pending.reply_to);
        }
    }

    fn join(&mut self, name: &str) {
        let found = name
            .strip_prefix('#')
            .and_then(|number| number.parse::<usize>().ok())
            .and_then(|number| self.found.get(number.checked_sub(1)?))
            .map(|found| found.room);
        if let Some(room) = found {
            self.enter(room);
            return;
        }
        let name = name.strip_prefix('#').unwrap_or(name);
        let mine = self.rooms.iter().find(|room| room.name == name);
        match mine.map(|room| room.id) {
            Some(room) => self.enter(room),
            None => self.act(Action::Enter {
                name: name.to_owned(),
                create: false,
            }),
        }
    }

    fn enter(&mut self, id: RoomId) {
        if self.room(id).is_some_and(|room| room.member) {
            self.show(id);
        } else {
            self.act(Action::Join(id));
        }
    }

    /// Players known by this display name, or by this id.
    fn players(&self, name: &str) -> Vec<UserId> {
        if let Ok(user) = name.parse() {
            return vec![user];
        }
        let name = name.strip_prefix('@').unwrap_or(name).to_lowercase();
        let mut users: Vec<UserId> = self
            .names
            .iter()
            .filter(|(user, known)| known.to_lowercase() == name && Some(**user) != self.me)
            .map(|(user, _)| *user)
            .collect();
        users.sort_unstable();
        users
    }

    fn direct(&mut self, name: &str) {
        match self.players(name).as_slice() {
            [] => self.act(Action::DirectByUsername(name.to_owned())),
            [user] => self.act(Action::Direct(*user)),
            several => self.ask_which("/dm", name, several),
        }
    }

    fn invite(&mut self, room: RoomId, name: &str) {
        match self.players(name).as_slice() {
            [] => {
                self.complain("You have met nobody of that name. Use the id that /me shows them.")
            }
            [user] => self.act(Action::Invite(room, *user)),
            several => self.ask_which("/invite", name, several),
        }
    }

    fn ask_which(&mut self, command: &str, name: &str, users: &[UserId]) {
        self.panel = Some(Panel {
            title: format!("Several are called {}", clean_line(name)),
            lines: users
                .iter()
                .map(|user| format!("{command} {user}"))
                .collect(),
            scroll: 0,
        });
    }

    fn help(&mut self) {
        self.panel = Some(Panel {
            title: "Help".to_owned(),
            lines: HELP.iter().map(|line| (*line).to_owned()).collect(),
            scroll: 0,
        });
    }

    fn show_me(&mut self) {
        let id = self
            .me
            .map_or("not signed in yet".to_owned(), |me| me.to_string());
        self.panel = Some(Panel {
            title: self.name.clone(),
            lines: vec![
                format!("id      {id}"),
                format!("server  {}", self.start.url),
            ],
            scroll: 0,
        });
    }

    fn list_rooms(&mut self) {
        let line = |(index, room): (usize, &Room)| {
            let state = match (room.member, room.unread()) {
                (false, _) => "invited: /join enters".to_owned(),
                (true, 0) => count(room.members.into(), "member"),
                (true, unread) => {
                    let members = count(room.members.into(), "member");
                    format!("{members}, {unread} unread")
                }
            };
            format!("{} {}  {state}", index + 1, room.title())
        };
        self.panel = Some(Panel {
            title: "Your rooms".to_owned(),
            lines: self.rooms.iter().enumerate().map(line).collect(),
            scroll: 0,
        });
    }

    pub(super) fn show_found(&mut self, found: Vec<RoomInfo>) {
        let line = |(index, room): (usize, &RoomInfo)| {
            let topic = room.topic.as_deref().map(clean_line).unwrap_or_default();
            let name = clean_line(&room.name);
            let members = count(room.members.into(), "member");
            format!("#{} {name}  {members}  {topic}", index + 1)
        };
        let lines: Vec<String> = found.iter().enumerate().map(line).collect();
        if lines.is_empty() {
            self.tell("No public room has such a word in its name. /create NAME makes one.");
            return;
        }
        self.panel = Some(Panel {
            title: "Found: /join #1 enters the first".to_owned(),
            lines,
            scroll: 0,
        });
        self.found = found;
    }
}
