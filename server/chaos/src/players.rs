//! Players: who they are, by which client they call, and what they know of one another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};
use pitturu_client::{BackOff, CallError, Client, ClientOptions, Subscription};
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Retry};
use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::methods::Method;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::raw::{Ended, Follows, Raw, UNSENT};
use crate::record::{Ask, Outcome, PlayerNo, Record, Reply, What};
use crate::sdk;

/// Longest time that a player waits for an answer.
pub const CALL_WITHIN: Duration = Duration::from_secs(8);

/// Longest time for a player to sign in on a server that nobody breaks.
const SIGN_IN_WITHIN: Duration = Duration::from_secs(60);

/// Rooms in which a player's own messages are remembered, to edit and delete them.
const OWN_MESSAGES_MAX: usize = 200;

const BACK_OFF: BackOff = BackOff {
    base_ms: 20,
    cap_ms: 300,
};

/// A room that players know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownRoom {
    /// The room.
    pub room: RoomId,
    /// The two whose room it is, if it is between two.
    pub pair: Option<[UserId; 2]>,
    /// The handle that leads to it, if one does.
    pub handle: Option<&'static str>,
}

/// By what a player calls.
pub enum Link {
    /// The Rust SDK, with what writes down its events for as long as it is held.
    Sdk(
        Client,
        #[expect(dead_code, reason = "held, never read")] Subscription,
    ),
    /// Frames.
    Raw(Raw),
}

/// A player.
pub struct Player {
    /// Place in the list of players.
    pub number: PlayerNo,
    /// Display name.
    pub name: String,
    /// What they sign in with.
    pub secret: String,
    /// Who they are to the server.
    pub user: UserId,
    /// By what they call.
    pub link: Link,
    /// Messages of theirs that were acknowledged.
    pub own: Mutex<Vec<(RoomId, u64)>>,
}

/// What all players share.
pub struct World {
    /// Seed of the round.
    pub seed: u64,
    /// Where to connect.
    pub address: SocketAddr,
    /// What was asked and told.
    pub record: Arc<Record>,
    /// Everybody.
    pub players: Vec<Player>,
    /// Rooms to do something in.
    pub rooms: RwLock<Vec<KnownRoom>>,
    /// Who calls as a service of the game, by their numbers.
    pub services: [PlayerNo; 2],
    /// Points that were spent, to give some back: whose, by which movement, how many.
    pub spent: Mutex<Vec<(UserId, u64, u64)>>,
    /// Points that were set aside, in the same way.
    pub aside: Mutex<Vec<(UserId, u64, u64)>>,
    /// Nobody begins anything any more.
    pub stop: AtomicBool,
    clock_offset_ms: AtomicI64,
    calls: AtomicU64,
}

/// What to read from a reply.
pub type Read<M> = fn(&M, <M as Method>::Reply) -> Reply;

impl World {
    /// Signs so many players in by each kind of client.
    ///
    /// # Errors
    /// Says who could not sign in.
    pub async fn begin(
        address: SocketAddr,
        seed: u64,
        sdk: usize,
        raw: usize,
        record: Arc<Record>,
    ) -> Result<Self, String> {
        let mut players = Vec::new();
        for number in 0..raw + sdk {
            // The first is raw: it owns the rooms, and its refusals are the plainest.
            let player = match number < raw {
                true => Player::raw(address, seed, number, Arc::clone(&record)).await,
                false => Player::sdk(address, seed, number, Arc::clone(&record)).await,
            };
            players.push(player?);
        }
        Ok(Self {
            seed,
            address,
            record,
            players,
            rooms: RwLock::default(),
            // One by each client.
            services: [3, raw],
            spent: Mutex::default(),
            aside: Mutex::default(),
            stop: AtomicBool::new(false),
            clock_offset_ms: AtomicI64::new(0),
            calls: AtomicU64::new(1),
        })
    }

    /// A number that nothing else of the round has.
    pub fn number(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether nobody begins anything any more.
    pub fn has_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The server's wall clock, in milliseconds since 1970.
    pub fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_millis());
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        now.saturating_add_signed(self.clock_offset_ms.load(Ordering::Relaxed))
    }

    /// Notes how far the server's clock is ahead.
    pub fn set_clock(&self, offset_ms: i64) {
        self.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// Notes a room that somebody has made, opened or entered. Of a handle the newest is remembered.
    pub fn know(&self, room: KnownRoom) {
        let mut rooms = self.rooms.write();
        if room.handle.is_some() {
            rooms.retain(|known| known.handle != room.handle || known.room == room.room);
        }
        if !rooms.iter().any(|known| known.room == room.room) {
            rooms.push(room);
        }
    }

    /// Calls as this player, under this key, and writes down what was asked and told.
    pub async fn call<M: Method + Clone>(
        &self,
        player: &Player,
        ask: Ask,
        request: M,
        key: &str,
        read: Read<M>,
    ) -> Outcome {
        let call = self.number();
        let asked = What::Asked(call, ask.clone(), key.to_owned());
        self.record.write(player.number, asked);
        match &player.link {
            Link::Sdk(client, _) => {
                let outcome = by_sdk(client, request, key, read).await;
                let answered = What::Answered(call, outcome.clone());
                self.record.write(player.number, answered);
                outcome
            }
            Link::Raw(raw) => {
                let (told, answer) = oneshot::channel();
                let (record, number) = (Arc::clone(&self.record), player.number);
                let follows = follows(&ask);
                let sent = request.clone();
                let told = Box::new(move |ended: Ended<'_>| {
                    let outcome = outcome_of::<M>(&request, ended, read);
                    record.write(number, What::Answered(call, outcome.clone()));
                    let _ = told.send(outcome);
                });
                raw.call(Raw::encode(&sent, Some(key.to_owned()), follows, told));
                match timeout(CALL_WITHIN, answer).await {
                    Ok(Ok(outcome)) => outcome,
                    _ => Outcome::Unknown("no answer in time"),
                }
            }
        }
    }
}

/// What the call makes of a raw connection. Leaving ends with the room's own word, which comes after all that was told before.
const fn follows(ask: &Ask) -> Follows {
    match ask {
        Ask::Create { .. } | Ask::Direct { .. } | Ask::Join { .. } | Ask::Enter { .. } => {
            Follows::Opens(None)
        }
        Ask::Open { from: None, .. } => Follows::Opens(None),
        Ask::Open {
            from: Some((seq, rev)),
            ..
        } => Follows::Opens(Some(Cursor {
            seq: *seq,
            rev: *rev,
        })),
        Ask::Close { room } => Follows::Closes(*room),
        _ => Follows::Nothing,
    }
}

fn outcome_of<M: Method>(request: &M, ended: Ended<'_>, read: Read<M>) -> Outcome {
    match ended {
        Ok(body) => match codec::decode::<M::Reply>(body) {
            Ok(reply) => Outcome::Done(read(request, reply)),
            Err(_) => Outcome::Unknown("a malformed reply"),
        },
        Err(Ok(fault)) if fault.code == Code::Internal => Outcome::Unknown("internal"),
        Err(Ok(fault)) if fault.code == Code::Deadline => Outcome::Unknown("no answer in time"),
        Err(Ok(fault)) => Outcome::Refused(fault.code),
        Err(Err(UNSENT)) => Outcome::Unsent,
        Err(Err(why)) => Outcome::Unknown(why),
    }
}

async fn by_sdk<M: Method + Clone>(
    client: &Client,
    request: M,
    key: &str,
    read: Read<M>,
) -> Outcome {
    let connections = client.stats().welcomes;
    let call = client.call(request.clone());
    let answer = call.with_key(key).with_deadline(CALL_WITHIN).await;
    match answer {
        Ok(reply) => Outcome::Done(read(&request, reply)),
        Err(CallError::NotTaken(_)) => Outcome::Refused(Code::Overloaded),
        Err(CallError::Fault(fault)) => match fault.code {
            Code::Deadline | Code::Disconnected | Code::Internal | Code::Cancelled => {
                Outcome::Unknown("no answer in time")
            }
            // An attempt on an earlier connection may have been carried out.
            code if code.retry() != Retry::Never && client.stats().welcomes != connections => {
                Outcome::Unknown("refused after a reconnect")
            }
            code => Outcome::Refused(code),
        },
        Err(_) => Outcome::Unknown("the client has ended"),
    }
}

impl Player {
    async fn raw(
        address: SocketAddr,
        seed: u64,
        number: PlayerNo,
        record: Arc<Record>,
    ) -> Result<Self, String> {
        let (name, secret) = (format!("raw-{number}"), secret_of(seed, number));
        let raw = Raw::start(address, number, &name, &secret, record);
        let began = Instant::now();
        loop {
            let standing = raw.standing();
            if let (true, Some(user)) = (standing.online, standing.user) {
                return Ok(Self::new(number, name, secret, user, Link::Raw(raw)));
            }
            if began.elapsed() > SIGN_IN_WITHIN {
                return Err(format!("{name} could not sign in"));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn sdk(
        address: SocketAddr,
        seed: u64,
        number: PlayerNo,
        record: Arc<Record>,
    ) -> Result<Self, String> {
        let (name, secret) = (format!("sdk-{number}"), secret_of(seed, number));
        let options = ClientOptions::new(format!("ws://{address}")).back_off(BACK_OFF);
        let client = Client::connect(options).map_err(|error| error.to_string())?;
        let listening = sdk::listen(&client, number, record);
        let signed_in = client.login_guest(&secret, Some(&name)).await;
        let user = signed_in
            .map_err(|error| format!("{name} could not sign in: {error}"))?
            .identity
            .user;
        let link = Link::Sdk(client, listening);
        Ok(Self::new(number, name, secret, user, link))
    }

    fn new(number: PlayerNo, name: String, secret: String, user: UserId, link: Link) -> Self {
        Self {
            number,
            name,
            secret,
            user,
            link,
            own: Mutex::default(),
        }
    }

    /// Notes a message of theirs.
    pub fn has_sent(&self, room: RoomId, seq: u64) {
        let mut own = self.own.lock();
        if own.len() >= OWN_MESSAGES_MAX {
            own.swap_remove(0);
        }
        own.push((room, seq));
    }

    /// The rooms that are open, with how far the player has come in each.
    pub fn standing(&self) -> Vec<(RoomId, u64, u64)> {
        match &self.link {
            Link::Sdk(client, _) => {
                let rooms = client.cursors().rooms.into_iter();
                rooms.map(|at| (at.room, at.seq, at.rev)).collect()
            }
            Link::Raw(raw) => {
                let rooms = raw.standing().rooms.into_iter();
                rooms.map(|(room, at)| (room, at.seq, at.rev)).collect()
            }
        }
    }

    /// Whether their connection is there and signed in.
    pub fn is_online(&self) -> bool {
        match &self.link {
            Link::Sdk(client, _) => {
                *client.connection().borrow() == pitturu_client::ConnectionState::Online
            }
            Link::Raw(raw) => raw.standing().online,
        }
    }

    /// Where their connection stands, for reports.
    pub fn state(&self) -> String {
        match &self.link {
            Link::Sdk(client, _) => {
                let state = client.connection().borrow().clone();
                let (stats, cursors) = (client.stats(), client.cursors());
                format!("{} is {state:?}, {stats:?}, {cursors:?}", self.name)
            }
            Link::Raw(raw) => format!("{} is {:?}", self.name, raw.standing()),
        }
    }

    /// Begins a connection anew, so that nobody waits for an answer on the old one, or for a pause to end.
    pub fn hurry(&self) {
        match &self.link {
            Link::Sdk(client, _) => client.reconnect(),
            Link::Raw(raw) => raw.reconnect(),
        }
    }
}

/// What a player of the round signs in with.
pub fn secret_of(seed: u64, number: PlayerNo) -> String {
    format!("{:-<32}", format!("chaos-{seed:x}-{number}"))
}
