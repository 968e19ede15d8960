//! A shard: it owns some of the rooms, and does one thing after the other. It never waits for the store.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{counter, gauge};
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::limits::PAGE_BYTES_MAX;
use pitturu_protocol::types::chat::RoomKind;
use pitturu_rules::rooms::ChatLimits;
use pitturu_store::StoreError;
use pitturu_store::clock::now_ms;
use pitturu_store::rooms::{Messages, Rooms};

use super::Blocks;
use super::followers::Followers;
use super::mailbox::{Item, Mailbox};
use crate::chat::command::{Command, Completion, Create, Fetched, Open, ReplyTo};
use crate::chat::live_room::{LiveRoom, refuse};
use crate::chat::recent::RECENT_MAX;

/// Writes that one shard may have on their way to the disk. Beyond it, calls are refused as overloaded before they
/// change anything.
pub const WRITES_IN_FLIGHT_MAX: usize = 8_192;

/// Calls that wait while one room is read from the store. Beyond it, they are refused as overloaded.
const LOADING_WAIT_MAX: usize = 65_536;

/// How often a shard looks for rooms to let go, in ticks.
const SWEEP_TICKS: u64 = 20;

/// What a shard works with.
#[derive(Clone)]
pub struct Context {
    /// The store.
    pub rooms: Arc<dyn Rooms>,
    /// Their messages.
    pub messages: Arc<dyn Messages>,
    /// Who blocked whom.
    pub blocks: Arc<dyn Blocks>,
    /// Bounds and defaults of rooms.
    pub limits: Arc<ChatLimits>,
    /// Where work that was given away reports.
    pub mailbox: Arc<Mailbox>,
    writes: Arc<AtomicUsize>,
}

impl Context {
    /// A context whose shard hears of work by `mailbox`.
    pub fn new(
        rooms: Arc<dyn Rooms>,
        messages: Arc<dyn Messages>,
        blocks: Arc<dyn Blocks>,
        limits: Arc<ChatLimits>,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        Self {
            rooms,
            messages,
            blocks,
            limits,
            mailbox,
            writes: Arc::default(),
        }
    }

    /// Counts a write on its way.
    pub fn write_begins(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a write that was reported.
    pub fn write_ends(&self) {
        self.writes.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_full(&self) -> bool {
        self.writes.load(Ordering::Relaxed) >= WRITES_IN_FLIGHT_MAX
    }
}

enum Slot {
    /// The store is reading. Followers stayed from an earlier life.
    Loading(VecDeque<Command>, Box<Followers>),
    Live(Box<LiveRoom>),
}

/// One shard.
pub struct Shard {
    context: Context,
    slots: HashMap<RoomId, Slot>,
    restless: HashSet<RoomId>,
    /// Rooms with something to send at the end of the turn.
    owing: Vec<RoomId>,
    /// The most connections that one of them has to send to.
    owing_connections: usize,
    lives: u64,
    ticks: u64,
}

impl Shard {
    /// A shard without rooms.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            slots: HashMap::new(),
            restless: HashSet::new(),
            owing: Vec::new(),
            owing_connections: 0,
            lives: 0,
            ticks: 0,
        }
    }

    /// Does one thing.
    pub fn take(&mut self, item: Item) {
        match item {
            Item::Command(command) => self.handle(command),
            Item::Completion(completion) => self.complete(completion),
            Item::Tick => self.tick(),
        }
    }

    /// Sends what the rooms told in this turn. A commit reports many messages at once, and while connections are written
    /// to more of them gather: the busier a room, the more of its messages go out in one write.
    pub fn flush(&mut self) {
        self.owing_connections = 0;
        for room in self.owing.drain(..) {
            if let Some(Slot::Live(live)) = self.slots.get_mut(&room) {
                live.flush();
            }
        }
    }

    /// Over how many connections [`Self::flush`] has to go for one room at most.
    pub const fn owes(&self) -> usize {
        self.owing_connections
    }

    fn note_what_is_owed(&mut self, room: RoomId) {
        if let Some(Slot::Live(live)) = self.slots.get(&room)
            && let Some(connections) = live.owes()
        {
            self.owing_connections = self.owing_connections.max(connections);
            if self.owing.last() != Some(&room) {
                self.owing.push(room);
            }
        }
    }

    fn handle(&mut self, command: Command) {
        let room = command.room();
        match self.slots.get_mut(&room) {
            Some(Slot::Live(_)) => self.handle_live(room, command),
            Some(Slot::Loading(waiting, followers)) => {
                if let Command::Detach(_, conn) = command {
                    followers.remove(conn);
                }
                if waiting.len() >= LOADING_WAIT_MAX {
                    refuse_command(command, &overloaded());
                } else {
                    waiting.push_back(command);
                }
            }
            None => match command {
                Command::Detach(..) | Command::SetBlocked(..) => {}
                command => {
                    self.load(room, VecDeque::from([command]), Followers::default());
                }
            },
        }
    }

    fn load(&mut self, room: RoomId, waiting: VecDeque<Command>, followers: Followers) {
        self.slots
            .insert(room, Slot::Loading(waiting, Box::new(followers)));
        let context = self.context.clone();
        tokio::spawn(async move {
            let result = fetch(&context, room).await;
            context.mailbox.report(Completion::Loaded(room, result));
        });
    }

    fn handle_live(&mut self, room: RoomId, command: Command) {
        let Some(Slot::Live(live)) = self.slots.get_mut(&room) else {
            return;
        };
        let now = now_ms();
        let outcome = match command {
            Command::Call(call) if self.context.is_full() => {
                refuse(&call.connection, call.call, &overloaded());
                Ok(())
            }
            Command::Call(call) => live.handle_call(&self.context, *call, now),
            Command::Open(open) => {
                live.handle_open(&self.context, *open, now);
                Ok(())
            }
            Command::Create(create) => {
                live.handle_open(&self.context, (*create).into(), now);
                Ok(())
            }
            Command::Attach(_, connection, cursor) => {
                live.attach(&connection, cursor);
                Ok(())
            }
            Command::Detach(_, conn) => {
                live.detach(conn, now);
                Ok(())
            }
            Command::SetBlocked(_, blocked) => {
                live.set_blocked(blocked);
                Ok(())
            }
            Command::Retain(_) => {
                live.retain(&self.context, now);
                Ok(())
            }
        };
        self.after(room, outcome);
    }

    fn complete(&mut self, completion: Completion) {
        let now = now_ms();
        let (room, outcome) = match completion {
            Completion::Loaded(room, result) => return self.loaded(room, result),
            Completion::Written(room, life, result) => {
                self.context.write_ends();
                let Some(live) = self.live(room, life) else {
                    return;
                };
                if result.is_ok() {
                    live.written(now);
                }
                (room, result)
            }
            Completion::Message(room, life, seq, result) => {
                let context = self.context.clone();
                let Some(live) = self.live(room, life) else {
                    return;
                };
                (room, live.fetched(&context, seq, result, now))
            }
            Completion::Retained(room, life, result) => {
                let Some(live) = self.live(room, life) else {
                    return;
                };
                match result {
                    Ok((first, changes_first)) => live.retained(first, changes_first),
                    Err(error) => {
                        tracing::warn!(%room, %error, "old messages remain for the next sweep");
                        live.retention_failed();
                    }
                }
                (room, Ok(()))
            }
        };
        self.after(room, outcome);
    }

    fn live(&mut self, room: RoomId, life: u64) -> Option<&mut LiveRoom> {
        match self.slots.get_mut(&room) {
            Some(Slot::Live(live)) if live.life() == life => Some(live),
            _ => None,
        }
    }

    /// Keeps an eye on a room that was touched, or begins its next life when the store failed it.
    fn after(&mut self, room: RoomId, outcome: Result<(), StoreError>) {
        self.restless.insert(room);
        self.note_what_is_owed(room);
        let Err(error) = outcome else {
            return;
        };
        tracing::warn!(%room, %error, "a room is read again after a failed write");
        counter!("pitturu_room_reloads_total").increment(1);
        if let Some(Slot::Live(live)) = self.slots.remove(&room) {
            let followers = live.fail(&error);
            self.load(room, VecDeque::new(), followers);
        }
    }

    fn loaded(&mut self, room: RoomId, result: Result<Option<Box<Fetched>>, StoreError>) {
        let Some(Slot::Loading(waiting, followers)) = self.slots.remove(&room) else {
            return;
        };
        match result {
            Ok(Some(fetched)) => {
                self.lives += 1;
                let live = LiveRoom::new(&self.context, self.lives, *fetched, *followers, now_ms());
                self.slots.insert(room, Slot::Live(Box::new(live)));
                self.restless.insert(room);
                for command in waiting {
                    self.handle(command);
                }
            }
            Ok(None) => self.begin_or_refuse(room, waiting),
            Err(error) => {
                let fault = Fault::from(error);
                for command in waiting {
                    refuse_command(command, &fault);
                }
            }
        }
    }

    /// There is no such room. The first who wants to make it does; all before are refused.
    fn begin_or_refuse(&mut self, room: RoomId, mut waiting: VecDeque<Command>) {
        while let Some(command) = waiting.pop_front() {
            match command {
                Command::Create(create) => {
                    self.create(*create);
                    break;
                }
                command => refuse_command(command, &Fault::of(Code::RoomNotFound)),
            }
        }
        for command in waiting {
            debug_assert_eq!(command.room(), room);
            self.handle(command);
        }
    }

    fn create(&mut self, create: Create) {
        if self.context.is_full() {
            refuse_open(create.into(), &overloaded());
            return;
        }
        self.lives += 1;
        let room = create.room;
        let now = now_ms();
        match LiveRoom::create(&self.context, self.lives, &create, now) {
            Ok((mut live, effects)) => {
                let committed = live.commit_new(&self.context, effects, create, now);
                self.slots.insert(room, Slot::Live(Box::new(live)));
                self.after(room, committed);
            }
            Err(fault) => refuse_open(create.into(), &fault),
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let now = now_ms();
        let mut to_retain = Vec::new();
        let sweep = self.ticks.is_multiple_of(SWEEP_TICKS);
        for room in std::mem::take(&mut self.restless) {
            let Some(Slot::Live(live)) = self.slots.get_mut(&room) else {
                continue;
            };
            live.tick(now);
            let owes = live.owes().is_some();
            if sweep && live.wants_retention() {
                to_retain.push(room);
            }
            if live.is_idle(now) {
                self.slots.remove(&room);
            } else if !live.is_quiet() {
                self.restless.insert(room);
            }
            if owes {
                self.note_what_is_owed(room);
            }
        }
        for room in to_retain {
            self.handle_live(room, Command::Retain(room));
        }
        if sweep {
            gauge!("pitturu_rooms_live").set(self.slots.len() as f64);
        }
    }
}

async fn fetch(context: &Context, room: RoomId) -> Result<Option<Box<Fetched>>, StoreError> {
    let Some(loaded) = context.rooms.load(room).await? else {
        return Ok(None);
    };
    let recent = context
        .messages
        .messages_before(room, loaded.stored.head + 1, RECENT_MAX, PAGE_BYTES_MAX)
        .await?;
    let blocked = match (loaded.stored.row.kind, &loaded.stored.row.peers) {
        (RoomKind::Direct, Some([one, other])) => context.blocks.blocked(*one, *other).await?,
        _ => false,
    };
    Ok(Some(Box::new(Fetched {
        loaded,
        recent,
        blocked,
    })))
}

fn overloaded() -> Fault {
    Fault::of(Code::Overloaded).retry_after_ms(250)
}

/// Refuses a command that somebody waits for.
pub fn refuse_command(command: Command, fault: &Fault) {
    match command {
        Command::Call(call) => refuse(&call.connection, call.call, fault),
        Command::Create(create) => refuse_open((*create).into(), fault),
        Command::Open(open) => refuse_open(*open, fault),
        // The driver tries again after a pause.
        Command::Attach(room, connection, cursor) => connection.outbox.cut(room, cursor),
        Command::Detach(..) | Command::SetBlocked(..) | Command::Retain(_) => {}
    }
}

fn refuse_open(open: Open, fault: &Fault) {
    match open.to {
        ReplyTo::Call(call) => refuse(&open.connection, call, fault),
        // The task may have gone with its connection.
        ReplyTo::Task(to) => drop(to.send(Err(fault.clone()))),
    }
}
