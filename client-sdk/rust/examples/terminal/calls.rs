//! What the model wants done, done with the SDK. Each answer goes back as a reply.

use std::future::Future;

use pitturu_client::types::accounts::LoginGuest;
use pitturu_client::types::chat::{
    HistoryFrom, ListMyRooms, MyRoom, OpenDirect, RoomKind, RoomView, SearchRooms,
};
use pitturu_client::types::profile::{FindPlayer, GetProfile, GetProfiles, UpdateProfile};
use pitturu_client::{CallError, Client, Code, Fault, RoomId, UserId, limits};
use tokio::sync::mpsc::Sender;

use crate::model::{Action, Reply};

/// Messages in one page of history.
const PAGE: u32 = 100;

/// Rooms listed of the player's own.
const ROOMS_MAX: usize = 400;

/// Does what the model wants.
pub(crate) struct Calls {
    pub(crate) client: Client,
    pub(crate) secret: String,
    pub(crate) name: String,
    pub(crate) replies: Sender<Reply>,
}

impl Calls {
    /// Begins an action. What belongs to the screen or the program itself is not for here.
    pub(crate) fn start(&self, action: Action) {
        let client = self.client.clone();
        match action {
            Action::Quit | Action::Redraw => {}
            Action::Reconnect => client.reconnect(),
            Action::SignIn => {
                let sign_in = sign_in(client, self.secret.clone(), self.name.clone());
                self.spawn("You could not be signed in", sign_in);
            }
            Action::ListRooms => self.spawn("Your rooms could not be listed", list_rooms(client)),
            Action::Open(room) => self.spawn("The room could not be opened", async move {
                Ok(match client.room(room).open().await {
                    Ok(view) => Reply::Opened { view, show: false },
                    Err(error) => Reply::NotOpened { room, error },
                })
            }),
            Action::Enter { name, create } => {
                self.spawn("You could not enter", enter(client, name, create));
            }
            Action::Join(room) => self.spawn("You could not enter", async move {
                shown(client.room(room).join().await)
            }),
            Action::Create(kind, name) => self.spawn("The room was not made", async move {
                shown(client.create_room(kind, &name).await)
            }),
            Action::Search(query) => self.spawn("The search went wrong", async move {
                let limit = Some(20);
                let after = None;
                let search = SearchRooms {
                    query,
                    after,
                    limit,
                };
                Ok(Reply::Found(client.call(search).await?.rooms))
            }),
            Action::Direct(user) => self.spawn("You could not write to them", async move {
                shown(client.call(OpenDirect { user }).await)
            }),
            Action::DirectByUsername(username) => {
                self.spawn("You could not write to them", async move {
                    let user = client.call(FindPlayer { username }).await?.user;
                    shown(client.call(OpenDirect { user }).await)
                });
            }
            Action::Names(users) => self.spawn("Names could not be read", names(client, users)),
            Action::Rename(name) => self.spawn("Your name was not changed", async move {
                let update = UpdateProfile {
                    name: Some(name),
                    ..UpdateProfile::default()
                };
                Ok(Reply::Renamed(client.call(update).await?.name))
            }),
            other => self.start_in_room(other),
        }
    }

    fn start_in_room(&self, action: Action) {
        match action {
            Action::History { room, before } => self.history(room, before),
            Action::Send {
                room,
                id,
                text,
                reply_to,
            } => self.send(room, id, text, reply_to),
            Action::Edit { room, seq, text } => {
                let call = self.client.room(room).edit(seq, text).send();
                self.spawn("The message was not changed", async move {
                    call.await.map(|_| Reply::Quiet)
                });
            }
            Action::Delete { room, seq } => {
                let call = self.client.room(room).delete(seq).send();
                self.spawn("The message was not deleted", async move {
                    call.await.map(|_| Reply::Quiet)
                });
            }
            Action::React {
                room,
                seq,
                emoji,
                on,
            } => self.react(room, seq, emoji, on),
            Action::Invite(room, user) => {
                let call = self.client.room(room).invite(user).send();
                self.spawn("They were not invited", async move {
                    call.await.map(|_| Reply::Done("Invited.".to_owned()))
                });
            }
            Action::Who(room) => {
                let call = self.client.room(room).members(false, None).send();
                self.spawn("The members could not be listed", async move {
                    let members = call.await?;
                    Ok(Reply::Who { room, members })
                });
            }
            Action::Leave(room) => {
                let call = self.client.room(room).leave().send();
                self.spawn("You could not leave", async move {
                    call.await.map(|_| Reply::Left(room))
                });
            }
            Action::MarkRead { room, seq } => {
                let call = self.client.room(room).mark_read(seq).send();
                self.spawn("", async move {
                    let result = call.await.map(|marker| marker.read);
                    Ok(Reply::Marked { room, result })
                });
            }
            Action::Typing(room) => {
                let call = self.client.room(room).typing().send();
                // Nobody needs to know when this goes wrong.
                tokio::spawn(async move { call.await.is_ok() });
            }
            _ => {}
        }
    }

    /// Queues the message at once, which keeps the order, and lets it wait for a connection as long as it takes.
    fn send(&self, room: RoomId, id: u64, text: String, reply_to: Option<u64>) {
        let handle = self.client.room(room);
        let call = match reply_to {
            Some(to) => handle.reply(to, text),
            None => handle.send(text),
        };
        let call = call.without_deadline().send();
        self.spawn("Not sent", async move {
            let result = call.await;
            Ok(Reply::Sent { room, id, result })
        });
    }

    fn history(&self, room: RoomId, before: Option<u64>) {
        let from = before.map(HistoryFrom::Before);
        let call = self.client.room(room).history(from, Some(PAGE)).send();
        self.spawn("", async move {
            Ok(Reply::History {
                room,
                newest: before.is_none(),
                result: call.await,
            })
        });
    }

    fn react(&self, room: RoomId, seq: u64, emoji: String, on: bool) {
        let handle = self.client.room(room);
        self.spawn("Your reaction was not taken", async move {
            let done = handle.react(seq, emoji.clone(), on).await?;
            // There was nothing to change: the reaction was there, and is wanted away.
            if on && done.rev.is_none() {
                handle.react(seq, emoji, false).await?;
            }
            Ok(Reply::Quiet)
        });
    }

    fn spawn<F>(&self, what: &'static str, work: F)
    where
        F: Future<Output = Result<Reply, CallError>> + Send + 'static,
    {
        let replies = self.replies.clone();
        tokio::spawn(async move {
            let reply = work
                .await
                .unwrap_or_else(|error| Reply::Failed { what, error });
            // The program has ended when nobody listens.
            replies.send(reply).await.is_ok()
        });
    }
}

fn shown(view: Result<RoomView, CallError>) -> Result<Reply, CallError> {
    Ok(Reply::Opened {
        view: view?,
        show: true,
    })
}

async fn sign_in(client: Client, secret: String, name: String) -> Result<Reply, CallError> {
    let login = LoginGuest {
        secret,
        name: Some(name),
        device: Some("terminal".to_owned()),
    };
    let identity = client.call(login).without_deadline().await?.identity;
    let profile = GetProfile { user: None };
    let name = client.call(profile).without_deadline().await?.name;
    Ok(Reply::SignedIn { identity, name })
}

async fn list_rooms(client: Client) -> Result<Reply, CallError> {
    let mut rooms: Vec<MyRoom> = Vec::new();
    loop {
        let list = ListMyRooms {
            after: rooms.last().map(|room| room.info.room),
            limit: Some(limits::PAGE_ITEMS_MAX),
        };
        let page = client.call(list).await?;
        let more = page.more && !page.rooms.is_empty();
        rooms.extend(page.rooms);
        if !more || rooms.len() >= ROOMS_MAX {
            return Ok(Reply::Rooms(rooms));
        }
    }
}

async fn enter(client: Client, name: String, create: bool) -> Result<Reply, CallError> {
    if create {
        return shown(client.enter_room(&name).await);
    }
    let search = SearchRooms {
        query: name.clone(),
        after: None,
        limit: Some(limits::PAGE_ITEMS_MAX),
    };
    let found = client.call(search).await?.rooms;
    let oldest = found
        .iter()
        .filter(|room| room.name == name && room.kind == RoomKind::Public)
        .min_by_key(|room| (room.created_at, room.room));
    match oldest {
        Some(room) => shown(client.room(room.room).join().await),
        None => Err(Fault::of(Code::RoomNotFound).into()),
    }
}

async fn names(client: Client, users: Vec<UserId>) -> Result<Reply, CallError> {
    let mut names = Vec::new();
    for mut users in users.chunks(limits::USERS_PER_CALL_MAX) {
        while !users.is_empty() {
            let asked = users.to_vec();
            let page = client.call(GetProfiles { users: asked }).await?;
            let known = page.profiles.into_iter();
            names.extend(known.map(|profile| (profile.user, profile.name)));
            let next = page.next.and_then(|next| usize::try_from(next).ok());
            users = next.and_then(|next| users.get(next..)).unwrap_or_default();
        }
    }
    Ok(Reply::Names(names))
}
