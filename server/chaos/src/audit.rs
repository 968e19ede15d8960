//! What the server has when everything has come to rest: read by connections of their own, as the players.

mod game;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::chat::{
    Ban, HistoryFrom, ListBans, ListMembers, ListMyRooms, Member, Message, MyRoom, OpenRoom,
    ReadHistory, RoomView,
};
use pitturu_protocol::types::friends::{Friend, ListFriends};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::items::{ItemChange, OwnedItem};
use pitturu_protocol::types::points::{AccountDay, Movement, Wallet};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

pub use self::game::{SeasonAudit, seasons_end};
use crate::players::{Player, World};
use crate::raw::{Ended, Follows, Raw};
use crate::record::{Change, Heard, Record, What};

/// Longest time for anything that the auditor asks of a server at rest.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before the auditor looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Messages in one page of history.
const PAGE: u32 = 100;

/// A room, from its beginning to its end.
#[derive(Debug, Default)]
pub struct RoomAudit {
    /// What an opening said.
    pub view: Option<RoomView>,
    /// What a back-fill from the beginning brought.
    pub filled: Vec<Message>,
    /// The changes that it brought.
    pub changes: BTreeMap<u64, Change>,
    /// History, page by page from the beginning.
    pub forward: Vec<Message>,
    /// History, page by page from the end, turned around.
    pub backward: Vec<Message>,
    /// Its members.
    pub members: Vec<Member>,
    /// Who is banned, if the reader may know.
    pub bans: Option<Vec<Ban>>,
}

/// A player, as the server has them.
#[derive(Debug, Default)]
pub struct PlayerAudit {
    /// Friends, requests and blocks.
    pub friends: Vec<Friend>,
    /// Rooms.
    pub rooms: Vec<MyRoom>,
    /// The inbox.
    pub inbox: BTreeMap<u64, InboxEntry>,
    /// Entries up to this have been removed, and were said to be.
    pub inbox_gap: u64,
    /// Every movement of points, as a service reads it.
    pub movements: Vec<Movement>,
    /// The same as the player reads it.
    pub own_movements: Vec<Movement>,
    /// What the wallet has.
    pub wallet: Option<Wallet>,
    /// Every change of what is owned, as a service reads it.
    pub changes: Vec<ItemChange>,
    /// The same as the player reads it.
    pub own_changes: Vec<ItemChange>,
    /// What is owned.
    pub owned: Vec<OwnedItem>,
}

/// All that the server has.
#[derive(Debug, Default)]
pub struct Audit {
    /// Rooms that have members.
    pub rooms: BTreeMap<RoomId, RoomAudit>,
    /// Players in the order of their numbers.
    pub players: Vec<PlayerAudit>,
    /// Seasons of leaderboards that have scores.
    pub seasons: BTreeMap<(&'static str, u64), SeasonAudit>,
    /// What is left of items that are sold to all players together.
    pub left: BTreeMap<String, u64>,
    /// What accounts gave and got, by days since 1970.
    pub days: BTreeMap<u64, Vec<AccountDay>>,
}

/// Why the audit could not be made, which is a violation: the server is at rest, and nobody breaks it.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A call was refused.
    #[error("{player}: {method} was refused: {fault}")]
    Refused {
        /// As whom.
        player: String,
        /// What.
        method: &'static str,
        /// Why.
        fault: Fault,
    },
    /// Something did not come.
    #[error("{player}: {what} did not come")]
    Missing {
        /// As whom.
        player: String,
        /// What.
        what: String,
    },
}

struct Auditor<'a> {
    player: &'a Player,
    raw: Raw,
    record: Arc<Record>,
}

/// Reads everything.
///
/// # Errors
/// [`Unreadable`].
pub async fn audit(world: &World, address: SocketAddr) -> Result<Audit, Unreadable> {
    let mut audit = Audit::default();
    let service = &world.players[world.services[0]];
    let service = Auditor::begin(service, address).await?;
    for player in &world.players {
        let auditor = Auditor::begin(player, address).await?;
        let mut seen = auditor.player().await?;
        for mine in &seen.rooms {
            let known = audit.rooms.contains_key(&mine.info.room);
            // The room's maker may see the most of it.
            if mine.me.is_some() && !known {
                let room = auditor.room(mine.info.room).await?;
                audit.rooms.insert(mine.info.room, room);
            }
        }
        auditor.inbox(&mut seen).await?;
        auditor.belongings(&mut seen).await?;
        seen.movements = service.movements(Some(player.user)).await?;
        seen.changes = service.changes(Some(player.user)).await?;
        if player.number == 0 {
            auditor.game(&mut audit).await?;
        }
        audit.players.push(seen);
    }
    audit.days = game::days(world, address, &audit.players).await?;
    Ok(audit)
}

impl<'a> Auditor<'a> {
    async fn begin(player: &'a Player, address: SocketAddr) -> Result<Self, Unreadable> {
        let record = Arc::<Record>::default();
        let (number, name) = (player.number, &player.name);
        let raw = Raw::start(address, number, name, &player.secret, Arc::clone(&record));
        let auditor = Self {
            player,
            raw,
            record,
        };
        auditor
            .until("a sign-in", |auditor| auditor.raw.standing().online)
            .await?;
        Ok(auditor)
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), Unreadable> {
        let began = Instant::now();
        while !holds(self) {
            if began.elapsed() > PATIENCE {
                return Err(self.missing(what));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn missing(&self, what: &str) -> Unreadable {
        Unreadable::Missing {
            player: self.player.name.clone(),
            what: what.to_owned(),
        }
    }

    async fn call<M: Method>(&self, request: &M, follows: Follows) -> Result<M::Reply, Unreadable> {
        let (told, answer) = oneshot::channel();
        let told = Box::new(move |ended: Ended<'_>| {
            let kept = match ended {
                Ok(body) => Ok(body.to_vec()),
                Err(Ok(fault)) => Err(fault),
                Err(Err(_)) => return,
            };
            let _ = told.send(kept);
        });
        self.raw.call(Raw::encode(request, None, follows, told));
        match timeout(PATIENCE, answer).await {
            Ok(Ok(Ok(body))) => codec::decode(&body).map_err(|_| self.missing(M::NAME)),
            Ok(Ok(Err(fault))) => Err(Unreadable::Refused {
                player: self.player.name.clone(),
                method: M::NAME,
                fault,
            }),
            _ => Err(self.missing(M::NAME)),
        }
    }

    async fn player(&self) -> Result<PlayerAudit, Unreadable> {
        let mut seen = PlayerAudit::default();
        loop {
            let request = ListFriends {
                state: None,
                after: seen.friends.last().map(|friend| friend.user),
                limit: Some(PAGE),
            };
            let page = self.call(&request, Follows::Nothing).await?;
            seen.friends.extend(page.friends);
            if !page.more {
                break;
            }
        }
        loop {
            let request = ListMyRooms {
                after: seen.rooms.last().map(|mine| mine.info.room),
                limit: Some(PAGE),
            };
            let page = self.call(&request, Follows::Nothing).await?;
            seen.rooms.extend(page.rooms);
            if !page.more {
                break;
            }
        }
        Ok(seen)
    }

    async fn room(&self, room: RoomId) -> Result<RoomAudit, Unreadable> {
        let mut audit = RoomAudit::default();
        let request = OpenRoom {
            room,
            seq: Some(0),
            rev: Some(0),
        };
        let view = self
            .call(&request, Follows::Opens(Some(Cursor::default())))
            .await?;
        let (head, rev) = (view.info.head, view.rev);
        audit.view = Some(view);
        self.until("the whole of a room", |auditor| {
            let at = auditor.raw.standing().rooms.get(&room).copied();
            at.is_some_and(|at| at.seq >= head && at.rev >= rev)
        })
        .await?;
        self.history(room, &mut audit).await?;
        loop {
            let request = ListMembers {
                room,
                online: false,
                after: audit.members.last().map(|member| member.user),
                limit: Some(PAGE),
            };
            let page = self.call(&request, Follows::Nothing).await?;
            audit.members.extend(page.members);
            if !page.more {
                break;
            }
        }
        let request = ListBans {
            room,
            after: None,
            limit: Some(PAGE),
        };
        audit.bans = self
            .call(&request, Follows::Nothing)
            .await
            .ok()
            .map(|page| page.bans);
        for line in self.record.take() {
            match line.what {
                What::Heard(Heard::Message(of, message)) if of == room => {
                    audit.filled.push(message)
                }
                What::Heard(Heard::Change(of, rev, change)) if of == room => {
                    audit.changes.insert(rev, change);
                }
                // The inbox is read afterwards; what came already is kept.
                What::Heard(Heard::Inbox(seq, entry)) => {
                    self.record
                        .heard(self.player.number, Heard::Inbox(seq, entry));
                }
                What::Heard(Heard::GapInbox(to)) => {
                    self.record.heard(self.player.number, Heard::GapInbox(to));
                }
                _ => {}
            }
        }
        Ok(audit)
    }

    async fn history(&self, room: RoomId, audit: &mut RoomAudit) -> Result<(), Unreadable> {
        loop {
            let after = audit.forward.last().map_or(0, |message| message.seq);
            let request = ReadHistory {
                room,
                from: Some(HistoryFrom::After(after)),
                limit: Some(PAGE),
            };
            let page = self.call(&request, Follows::Nothing).await?;
            if page.messages.is_empty() {
                break;
            }
            audit.forward.extend(page.messages);
        }
        loop {
            let oldest = audit.backward.last().map(|message: &Message| message.seq);
            let request = ReadHistory {
                room,
                from: oldest.map(HistoryFrom::Before),
                limit: Some(PAGE),
            };
            let page = self.call(&request, Follows::Nothing).await?;
            if page.messages.is_empty() {
                break;
            }
            audit.backward.extend(page.messages.into_iter().rev());
        }
        audit.backward.reverse();
        Ok(())
    }

    /// The inbox, once it grows no more.
    async fn inbox(&self, seen: &mut PlayerAudit) -> Result<(), Unreadable> {
        let mut before = u64::MAX;
        let mut same = 0;
        while same < 20 {
            let now = self.raw.standing().inbox;
            same = if now == before { same + 1 } else { 0 };
            before = now;
            sleep(Duration::from_millis(5)).await;
        }
        for line in self.record.take() {
            match line.what {
                What::Heard(Heard::Inbox(seq, entry)) => {
                    seen.inbox.insert(seq, entry);
                }
                What::Heard(Heard::GapInbox(to)) => seen.inbox_gap = seen.inbox_gap.max(to),
                _ => {}
            }
        }
        Ok(())
    }
}
