//! Finding rooms, and making them.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::POSITION_BYTES_MAX;
use pitturu_protocol::types::accounts::Identity;
use pitturu_protocol::types::chat::{
    CreateRoom, EnterRoom, ListMyRooms, ListRooms, MyRoom, MyRooms, OpenDirect, RoomInfo, RoomView,
    Rooms, SearchRooms,
};
use pitturu_rules::pages::{Page, page_items};
use pitturu_rules::rooms::identity::{Handle, RoomIds};
use pitturu_rules::rooms::messages::unread;
use pitturu_rules::rooms::rows::{MemberRow, MemberState};
use pitturu_rules::rooms::{Actor, membership};
use pitturu_store::StoreError;
use pitturu_store::clock::{Steady, now_ms};
use pitturu_store::entities::PAGE_ROWS_MAX;

use super::RoomOwners;
use super::blocks::Blocks;
use super::joins::{Join, Joining, Joins};
use super::store::names::RoomsPage;
use super::store::{RoomStore, RoomSummary, entity};
use crate::chat::command::{Command, Create, NewRoom, ReplyTo};
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::connections::connection::Connection;
use crate::connections::registry::Registry;
use crate::owners::asker::Asker;
use crate::players::PlayerOwners;
use crate::players::command::Ask;
use crate::players::store::PlayerStore;
use crate::random::random_bytes;

/// Rooms of one handle that an entering player finds ended, one after the other.
const HOLDERS_MAX: usize = 8;

/// Knows what players call themselves.
#[async_trait]
pub trait DisplayNames: Send + Sync {
    /// The display name of a player, from memory where it can be.
    async fn display_name(&self, user: UserId) -> Result<Option<Arc<str>>, StoreError>;
}

/// Rooms and players, stored and owned.
pub struct RoomsAndPlayers {
    /// What is stored of rooms.
    pub rooms: RoomStore,
    /// Who owns them.
    pub owners: RoomOwners,
    /// What is stored of players.
    pub players: PlayerStore,
    /// Who owns those.
    pub player_owners: PlayerOwners,
}

/// Lists and beginnings of rooms.
pub struct RoomDirectory {
    rooms: RoomStore,
    owners: RoomOwners,
    players: PlayerStore,
    player_owners: PlayerOwners,
    registry: Arc<Registry>,
    names: Arc<dyn DisplayNames>,
    ids: RoomIds,
    rooms_per_player_max: usize,
    joins: Joins,
}

impl RoomDirectory {
    /// A directory of the rooms in the store.
    pub fn new(
        environment: RoomsAndPlayers,
        registry: Arc<Registry>,
        names: Arc<dyn DisplayNames>,
        ids: RoomIds,
        rooms_per_player_max: usize,
    ) -> Self {
        let RoomsAndPlayers {
            rooms,
            owners,
            players,
            player_owners,
        } = environment;
        Self {
            rooms,
            owners,
            players,
            player_owners,
            registry,
            names,
            ids,
            rooms_per_player_max,
            joins: Joins::default(),
        }
    }

    /// The ids of rooms that follow from who makes them.
    pub const fn ids(&self) -> &RoomIds {
        &self.ids
    }

    /// [`ListRooms`].
    pub async fn list(&self, caller: &Caller, request: ListRooms) -> Result<Rooms, Fault> {
        let after = check_position(request.after)?;
        let limit = page_items(request.limit)?;
        let page = self.rooms.public_rooms(after.as_deref(), limit).await?;
        self.page(caller, page).await
    }

    /// [`SearchRooms`].
    pub async fn search(&self, caller: &Caller, request: SearchRooms) -> Result<Rooms, Fault> {
        let after = check_position(request.after)?;
        let limit = page_items(request.limit)?;
        let page = self
            .rooms
            .search(&request.query, after.as_deref(), limit)
            .await?;
        self.page(caller, page).await
    }

    async fn page(&self, caller: &Caller, page: RoomsPage) -> Result<Rooms, Fault> {
        let viewer = caller.user()?;
        let summaries = self.rooms.summaries(&page.rooms).await?;
        let mut summaries = summaries.iter().peekable();
        let (mut rooms, mut shown) = (Page::new(page.rooms.len()), None);
        for (room, position) in page.rooms.iter().zip(&page.positions) {
            if let Some(summary) = summaries.next_if(|summary| summary.row.room == *room)
                && !rooms.push(info(summary, viewer))
            {
                break;
            }
            shown = Some(position);
        }
        let (rooms, is_cut) = rooms.into_parts();
        Ok(Rooms {
            rooms,
            next: if is_cut { shown.cloned() } else { page.next },
        })
    }

    /// [`ListMyRooms`].
    pub async fn mine(&self, caller: &Caller, request: ListMyRooms) -> Result<MyRooms, Fault> {
        let user = caller.user()?;
        let limit = page_items(request.limit)?;
        let mut ids = self.listed_rooms(user, request.after, limit + 1).await?;
        let more = ids.len() > limit;
        ids.truncate(limit);
        let mut rooms = Page::new(limit);
        for mut summary in self.rooms.summaries_for(user, &ids).await? {
            // Whoever left meanwhile is not shown.
            let place = summary.place.take();
            let Some(place) = place.filter(|place| place.state.is_listed()) else {
                continue;
            };
            let my_room = self.my_room(caller.identity()?, summary, &place).await?;
            if !rooms.push(my_room) {
                break;
            }
        }
        let (rooms, is_cut) = rooms.into_parts();
        Ok(MyRooms {
            rooms,
            more: more || is_cut,
        })
    }

    /// The rooms that the player belongs to or is invited to, in the order of their ids.
    ///
    /// A room that was joined a moment ago may not be in the player's list yet; it is open on the connection that joined it.
    async fn listed_rooms(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>, StoreError> {
        let open = self.registry.open_rooms_of(user);
        let mut found = Vec::new();
        let mut after = after;
        loop {
            let page = self.players.rooms(user, after, limit).await?;
            let is_last = page.len() < limit;
            let end = page.last().copied().filter(|_| !is_last);
            let within = |room: &RoomId| {
                after.is_none_or(|after| *room > after) && end.is_none_or(|end| *room <= end)
            };
            let mut ids: Vec<RoomId> = open.iter().copied().filter(within).collect();
            ids.extend(&page);
            ids.sort_unstable();
            ids.dedup();
            let mut gone = Vec::new();
            for (room, place) in ids.iter().zip(self.rooms.places(user, &ids).await?) {
                match place {
                    Some(place) if place.state.is_listed() => found.push(*room),
                    _ if page.contains(room) => gone.push(*room),
                    _ => {}
                }
            }
            self.forget_ended(user, gone).await?;
            if found.len() >= limit || is_last {
                found.truncate(limit);
                return Ok(found);
            }
            after = end;
        }
    }

    /// Rooms that have ended tell nobody, however many members they had: whoever meets one in a list takes it out.
    async fn forget_ended(&self, user: UserId, rooms: Vec<RoomId>) -> Result<(), StoreError> {
        if rooms.is_empty() {
            return Ok(());
        }
        let entities = rooms.iter().map(|room| entity(*room)).collect();
        let glances = self.rooms.entities().glances(entities, Vec::new()).await?;
        let ended = rooms.into_iter().zip(glances);
        let ended: Vec<RoomId> = ended
            .filter_map(|(room, glance)| glance.is_none().then_some(room))
            .collect();
        if !ended.is_empty() {
            let owners = self.player_owners.clone();
            tokio::spawn(async move {
                let ask = Ask::ForgetRooms(ended);
                // What fails is met again by the next list.
                drop(owners.ask(user, ask, None, now_ms()).await);
            });
        }
        Ok(())
    }

    async fn my_room(
        &self,
        identity: &Identity,
        summary: RoomSummary,
        place: &MemberRow,
    ) -> Result<MyRoom, StoreError> {
        let mut info = info(&summary, identity.user);
        if let Some(peer) = info.peer
            && let Some(name) = self.names.display_name(peer).await?
        {
            info.name = name.to_string();
        }
        let is_member = place.state == MemberState::Member;
        let mut unread = match is_member {
            true => unread(summary.head, summary.first, place.read),
            false => 0,
        };
        if unread > 0 {
            let read = place.read.max(summary.first.saturating_sub(1));
            // Read after the head, so no further: what came and went meanwhile is not in it.
            let deleted = self.rooms.deleted_between(info.room, read, info.head);
            let deleted = deleted.await?;
            unread = unread.saturating_sub(deleted);
        }
        Ok(MyRoom {
            me: is_member.then(|| membership(place, identity.role)),
            unread,
            last: summary.last.filter(|_| is_member).map(|last| last.msg),
            info,
        })
    }

    /// Refuses when the player is in as many rooms as may be, this one aside, or would be with what they are joining. What others
    /// offer does not count. What is returned is to be kept until it is known whether the player has joined.
    ///
    /// # Errors
    /// [`Code::LimitReached`], and those of the store.
    pub async fn check_room_for_one_more(
        &self,
        user: UserId,
        room: RoomId,
    ) -> Result<Joining, Fault> {
        // Before the lists are read: what is settled by then is in them.
        let (joining, before) = self.joins.begin(user, room, Steady::now());
        match self.has_room_for(user, room, before).await {
            Ok(true) => Ok(joining),
            Ok(false) => {
                joining.cancel();
                let text = format!("at most {} rooms for one player", self.rooms_per_player_max);
                Err(Fault::new(Code::LimitReached, text))
            }
            Err(error) => {
                joining.cancel();
                Err(error.into())
            }
        }
    }

    async fn has_room_for(
        &self,
        user: UserId,
        room: RoomId,
        before: Vec<Join>,
    ) -> Result<bool, StoreError> {
        let mut listed: BTreeSet<RoomId> = self.registry.open_rooms_of(user).into_iter().collect();
        for room in self
            .players
            .offered_rooms(user, None, PAGE_ROWS_MAX)
            .await?
        {
            listed.remove(&room);
        }
        let (under_way, mut ended): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|join| join.is_under_way);
        let under_way = under_way.iter().map(|join| join.room);
        listed.extend(under_way.filter(|joined| *joined != room));
        let mut after = None;
        loop {
            let page = self.players.own_rooms(user, after, PAGE_ROWS_MAX).await?;
            ended.retain(|join| !self.is_settled(user, *join, page.contains(&join.room)));
            listed.extend(&page);
            if listed.contains(&room) {
                return Ok(true);
            }
            if listed.len() >= self.rooms_per_player_max {
                return Ok(false);
            }
            match page.last() {
                Some(last) if page.len() == PAGE_ROWS_MAX => after = Some(*last),
                _ => break,
            }
        }
        // The player's list does not have these, and is to get those of which the player is a member.
        let joined: Vec<RoomId> = ended.iter().map(|join| join.room).collect();
        for (join, place) in ended.iter().zip(self.rooms.places(user, &joined).await?) {
            let is_member = place.is_some_and(|place| place.state == MemberState::Member);
            if !self.is_settled(user, *join, !is_member) {
                listed.insert(join.room);
            }
        }
        Ok(listed.contains(&room) || listed.len() < self.rooms_per_player_max)
    }

    fn is_settled(&self, user: UserId, join: Join, is_settled: bool) -> bool {
        if is_settled {
            self.joins.settled(user, join);
        }
        is_settled
    }

    /// [`CreateRoom`]. Under an idempotency key the room's id follows from the key, so that a repetition finds the room.
    pub async fn create(
        &self,
        caller: &Caller,
        actor: Actor,
        connection: &Arc<Connection>,
        request: CreateRoom,
    ) -> Result<RoomView, Fault> {
        let room = match &caller.key {
            Some(key) => self.ids.keyed(actor.user, &key.key),
            None => RoomId::from_bytes(random_bytes()),
        };
        let _joining = self.check_room_for_one_more(actor.user, room).await?;
        let key = caller.key.clone();
        self.begin(room, actor, connection, NewRoom::Room(request), key)
            .await
    }

    /// [`OpenDirect`].
    pub async fn open_direct(
        &self,
        caller: &Caller,
        actor: Actor,
        connection: &Arc<Connection>,
        request: OpenDirect,
    ) -> Result<RoomView, Fault> {
        let peer = request.user;
        if peer == actor.user {
            return Err(Fault::invalid("user", "another player"));
        }
        let Some(name) = self.names.display_name(peer).await? else {
            return Err(Fault::of(Code::NotFound));
        };
        let room = self.ids.direct(actor.user, peer);
        let _joining = self.check_room_for_one_more(actor.user, room).await?;
        let (new_room, key) = (NewRoom::Direct(peer), caller.key.clone());
        let mut view = self.begin(room, actor, connection, new_room, key).await?;
        view.info.name = name.to_string();
        Ok(view)
    }

    /// [`EnterRoom`]. A handle is a claim, which names the id of its room. Whoever finds a claim enters that room, or makes it under
    /// this very id if it is not there, so that a server killed between claim and room leaves nothing to be cleaned up. The claim
    /// of a room that has ended is taken over.
    pub async fn enter(
        &self,
        caller: &Caller,
        actor: Actor,
        connection: &Arc<Connection>,
        request: EnterRoom,
    ) -> Result<RoomView, Fault> {
        let handle = Handle::new(request.handle)?;
        let (mut room, mut counted) = match self.rooms.with_handle(&handle.key).await? {
            Some(room) => (room, None),
            None => self.claim(&actor, connection, &handle, None).await?,
        };
        for _ in 0..HOLDERS_MAX {
            let joining = match counted.take() {
                Some(joining) => joining,
                None => self.check_room_for_one_more(actor.user, room).await?,
            };
            let new_room = NewRoom::Common(handle.clone());
            let key = caller.key.clone();
            let entered = self.begin(room, actor.clone(), connection, new_room, key);
            match entered.await {
                Err(fault) if fault.code == Code::RoomNotFound => {
                    // That it is not there is said once its end is durable.
                    let ended = Some(room);
                    joining.cancel();
                    (room, counted) = self.claim(&actor, connection, &handle, ended).await?;
                }
                entered => return entered,
            }
        }
        Err(Fault::of(Code::Unavailable))
    }

    /// The room that a handle leads to now: a new id, unless somebody else was faster. Only whoever may be in one more room, and
    /// open it here, gets one: a claim without a room would stay. The join counts from here on, so that it is not refused for one that began
    /// behind it and was refused for it.
    async fn claim(
        &self,
        actor: &Actor,
        connection: &Arc<Connection>,
        handle: &Handle,
        instead_of: Option<RoomId>,
    ) -> Result<(RoomId, Option<Joining>), Fault> {
        let fresh = RoomId::from_bytes(random_bytes());
        drop(connection.keep_place(fresh, actor.user)?);
        let joining = self.check_room_for_one_more(actor.user, fresh).await?;
        let claimed = self.rooms.claim_handle(&handle.key, fresh, instead_of);
        let room = claimed.await?;
        joining.leads_to(room);
        Ok((room, Some(joining)))
    }

    async fn begin(
        &self,
        room: RoomId,
        actor: Actor,
        connection: &Arc<Connection>,
        new_room: NewRoom,
        key: Option<IdempotencyKey>,
    ) -> Result<RoomView, Fault> {
        let (to, view) = Asker::of_this_call();
        self.owners.send(Command::Create(Box::new(Create {
            room,
            connection: Arc::clone(connection),
            actor,
            to: ReplyTo::Task(to),
            new_room,
            key,
            blocks: Blocks::default(),
        })));
        view.await
            .unwrap_or_else(|_| Err(Fault::of(Code::Unavailable)))
    }
}

/// What lists show of a room to `viewer`.
fn info(summary: &RoomSummary, viewer: UserId) -> RoomInfo {
    let row = &summary.row;
    RoomInfo {
        room: row.room,
        kind: row.kind,
        name: row.name.clone(),
        handle: row.handle.clone(),
        topic: row.topic.clone(),
        peer: row
            .peers
            .map(|[one, other]| if one == viewer { other } else { one }),
        members: summary.members,
        head: summary.head,
        first: summary.first,
        slow_mode_ms: row.slow_mode_ms,
        retention: row.retention.clone(),
        created_at: row.created_at,
    }
}

fn check_position(after: Option<String>) -> Result<Option<String>, Fault> {
    match after {
        Some(after) if after.len() > POSITION_BYTES_MAX => {
            Err(Fault::invalid("after", "the `next` of a page"))
        }
        after => Ok(after),
    }
}
