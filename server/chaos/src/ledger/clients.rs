//! Clients: each is connected as somebody, for a while, and sends one call behind the other without waiting for answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::{SinkExt as _, StreamExt as _};
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Fault, Retry};
use pitturu_protocol::events::Event as _;
use pitturu_protocol::frame::{CallId, ClientFrame, ServerFrame};
use pitturu_protocol::types::points::{Wallet, WalletChanged};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::Message as Packet;

use super::calls::{PersonNo, Request};
use super::draw::Sent;
use super::state::LiveWallet;
use super::world::{Phase, Process, World};
use crate::raw::socket::{Gone, SIGN_IN_WITHIN, Socket, hello, open_socket};

/// Calls that a client has without an answer.
const PIPELINED_MAX: usize = 16;

/// Longest time for any answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// Pause before another attempt to connect.
const PAUSE: Duration = Duration::from_millis(10);

/// Of the wallets that a client is told of without asking, one in so many is compared.
const EVENTS_COMPARED: u32 = 4;

/// Calls until a block is taken back.
const BLOCKED_FOR: u32 = 3;

/// As whom a client calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// As a server of the game.
    Service,
    /// As a player.
    Player,
}

/// One client.
pub struct Client {
    /// What all share.
    pub world: Arc<World>,
    /// Its place among the clients.
    pub number: usize,
    /// As whom it calls.
    pub role: Role,
    /// Its chance.
    pub rng: Rng,
}

/// Opens a connection that is signed in by this token.
///
/// # Errors
/// [`Gone`]: there is no server, or it does not know the token.
pub async fn connect(process: Process, token: &str) -> Result<Socket, Gone> {
    let connecting = async {
        let mut socket = open_socket(process.address).await?;
        let frame = hello(Some(token.to_owned())).encode();
        let sent = socket.send(Packet::Binary(frame.into())).await;
        sent.map_err(|_| Gone)?;
        loop {
            let Some(Ok(packet)) = socket.next().await else {
                return Err(Gone);
            };
            let Packet::Binary(bytes) = packet else {
                continue;
            };
            return match ServerFrame::read(&bytes) {
                Ok((ServerFrame::Welcome(welcome), _)) if welcome.identity.is_some() => Ok(socket),
                _ => Err(Gone),
            };
        }
    };
    timeout(SIGN_IN_WITHIN, connecting)
        .await
        .map_err(|_| Gone)?
}

impl Client {
    /// Connects and calls, until everything stops.
    pub async fn run(mut self) {
        let mut next = None;
        loop {
            let Some(me) = self.next_person(&mut next).await else {
                return;
            };
            let process = *self.world.process.borrow();
            let Some(process) = process else {
                next = Some(me);
                sleep(PAUSE).await;
                continue;
            };
            let token = &self.world.people[me as usize].token;
            let Ok(socket) = connect(process, token).await else {
                next = Some(me);
                sleep(PAUSE).await;
                continue;
            };
            self.world.state.lock().connected[self.number] = me;
            let mut session = Session {
                client: &mut self,
                me,
                process,
                socket,
                last: 0,
                pending: HashMap::new(),
                out: Vec::new(),
                blocks: 0,
            };
            // Whoever has lost a connection mostly comes back.
            let has_lost = session.call_for_a_while().await.is_err();
            session.end();
            next = (has_lost && self.rng.u32(..3) > 0).then_some(me);
        }
    }

    /// As whom to connect. None: everything has stopped.
    async fn next_person(&mut self, next: &mut Option<PersonNo>) -> Option<PersonNo> {
        loop {
            let phase = self.world.phase();
            if phase == Phase::Stop {
                return None;
            }
            if let Some(me) = next.take()
                && phase == Phase::Move
            {
                return Some(me);
            }
            match self.choose(phase) {
                Some(me) => return Some(me),
                None => sleep(PAUSE).await,
            }
        }
    }

    fn choose(&mut self, phase: Phase) -> Option<PersonNo> {
        let (world, rng) = (&self.world, &mut self.rng);
        let state = world.state.lock();
        let all = 0..world.players().end;
        let range = match (phase, self.role) {
            (Phase::Move, Role::Service) => 0..world.services,
            (Phase::Move, Role::Player) => world.players(),
            _ => all,
        };
        if phase == Phase::Settle || rng.u32(..3) == 0 {
            // Somebody who has something to send; all from somewhere on, so that not everybody becomes the same one.
            let from = rng.u32(range.clone());
            let found = state.waiting.range(from..range.end).next();
            let found = found.or_else(|| state.waiting.range(range.clone()).next());
            if let Some((me, _)) = found {
                return Some(*me);
            }
            if phase == Phase::Settle {
                return None;
            }
        }
        if self.role == Role::Service {
            return Some(rng.u32(..world.services));
        }
        if rng.u32(..4) == 0 {
            // Beside somebody who is connected already.
            let other = rng.choice(&state.connected).copied();
            let other = other.filter(|other| range.contains(other));
            if other.is_some() {
                return other;
            }
        }
        Some(match rng.bool() {
            true => world.busy_player(rng),
            false => rng.u32(range),
        })
    }
}

/// A connection of a client.
struct Session<'a> {
    client: &'a mut Client,
    me: PersonNo,
    process: Process,
    socket: Socket,
    last: CallId,
    pending: HashMap<CallId, Sent>,
    out: Vec<u8>,
    /// Calls until a block is taken back.
    blocks: u32,
}

impl Session<'_> {
    /// Calls until enough was said. An error: the connection is gone.
    async fn call_for_a_while(&mut self) -> Result<(), Gone> {
        let world = Arc::clone(&self.client.world);
        let rng = &mut self.client.rng;
        let is_busy = self.me < world.services + world.busy;
        let mut calls = match (self.me < world.services, is_busy) {
            (true, _) => rng.u32(200..1_000),
            (_, true) => rng.u32(20..60),
            _ => rng.u32(5..15),
        };
        // Now and then the connection goes away with calls under way.
        let lost_at = (rng.u32(..12) == 0).then(|| rng.u32(..calls));
        loop {
            self.fill(&world, &mut calls);
            self.send().await?;
            if lost_at.is_some_and(|at| calls <= at) && world.phase() == Phase::Move {
                return Err(Gone);
            }
            if self.pending.is_empty() {
                return Ok(());
            }
            match timeout(ANSWERED_WITHIN, self.socket.next()).await {
                Ok(Some(Ok(Packet::Binary(bytes)))) => self.take(&world, &bytes)?,
                Ok(Some(Ok(Packet::Ping(_) | Packet::Pong(_)))) => {}
                Ok(_) => return Err(Gone),
                Err(_) => {
                    let message = format!("{:?} have no answer", self.pending);
                    world.violation("everything is answered", "calls", message);
                    return Err(Gone);
                }
            }
        }
    }

    /// Puts calls into what is to be sent.
    fn fill(&mut self, world: &World, calls: &mut u32) {
        if self.pending.len() >= PIPELINED_MAX {
            return;
        }
        let mut state = world.state.lock();
        while self.pending.len() < PIPELINED_MAX {
            let phase = world.phase();
            let (request, sent) = match phase {
                Phase::Move if *calls > 0 => {
                    *calls -= 1;
                    self.blocks = self.blocks.saturating_sub(1);
                    let due = self.blocks == 1;
                    let unblock = due.then(|| world.unblock(&mut state, self.me)).flatten();
                    match unblock {
                        Some(unblock) => unblock,
                        None => world.draw(&mut state, self.me, &mut self.client.rng),
                    }
                }
                Phase::Settle => match state.take_waiting(self.me) {
                    Some(call) => world.attempt(&mut state, call),
                    None => return,
                },
                _ => return,
            };
            if matches!(sent, Sent::Block) && self.blocks == 0 {
                self.blocks = BLOCKED_FOR;
            }
            self.begin(&request, sent);
        }
    }

    fn begin(&mut self, request: &Request, sent: Sent) {
        self.last += 1;
        ClientFrame::Call {
            call: self.last,
            method: request.method,
            body: &request.body,
            key: request.key.as_deref(),
            head: None,
        }
        .append(&mut self.out);
        self.pending.insert(self.last, sent);
    }

    async fn send(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() {
            return Ok(());
        }
        let packet = Packet::Binary(std::mem::take(&mut self.out).into());
        self.socket.send(packet).await.map_err(|_| Gone)
    }

    /// What is left has no answer.
    fn end(&mut self) {
        let mut state = self.client.world.state.lock();
        for (_, sent) in self.pending.drain() {
            if let Sent::Attempt(attempt) = sent {
                state.lose(attempt, self.process.number);
            }
        }
    }

    fn take(&mut self, world: &World, bytes: &[u8]) -> Result<(), Gone> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (frame, after) = ServerFrame::read(rest).map_err(|_| Gone)?;
            rest = after;
            match frame {
                ServerFrame::Reply { call, body } => {
                    if let Some(sent) = self.pending.remove(&call) {
                        self.replied(world, sent, body);
                    }
                }
                ServerFrame::Fault { call: 0, .. } => return Err(Gone),
                ServerFrame::Fault { call, fault } => {
                    if let Some(sent) = self.pending.remove(&call) {
                        self.refused(world, &sent, &fault);
                    }
                }
                ServerFrame::Event { event, body } if event == WalletChanged::NUMBER => {
                    if self.client.rng.u32(..EVENTS_COMPARED) == 0
                        && let Ok(changed) = codec::decode::<WalletChanged>(body)
                    {
                        world.state.lock().wallets.push(LiveWallet {
                            player: self.me,
                            wallet: changed.wallet,
                            low: 0,
                        });
                    }
                }
                ServerFrame::Ping { nonce, .. } => {
                    ClientFrame::Pong { nonce }.append(&mut self.out);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn replied(&mut self, world: &World, sent: Sent, body: &[u8]) {
        let mut state = world.state.lock();
        match sent {
            Sent::Attempt(attempt) => {
                if state.done(attempt, body) {
                    let rng = &mut self.client.rng;
                    let then = world.after_done(&mut state, attempt.call, rng);
                    drop(state);
                    if let Some((request, sent)) = then {
                        self.begin(&request, sent);
                    }
                }
            }
            Sent::Altered(call, field) => {
                let call = state.calls[call as usize];
                let message = format!("{call:?} was carried out with another {field}");
                state.violation("a key is for one request", "a call", message);
            }
            Sent::Hopeless(what, ..) => {
                state.violation("refusals come", what, "it was carried out".to_owned());
            }
            Sent::Page(player, low, asked) => state.read_page(player, low, asked, body),
            Sent::Wallet(player, low) => match codec::decode::<Wallet>(body) {
                Ok(wallet) => state.wallets.push(LiveWallet {
                    player,
                    wallet,
                    low,
                }),
                Err(error) => state.violation("replies", "a wallet", error.to_string()),
            },
            Sent::Block => {}
        }
    }

    fn refused(&mut self, world: &World, sent: &Sent, fault: &Fault) {
        let now = world.now();
        let mut state = world.state.lock();
        let (code, field) = match *sent {
            Sent::Attempt(attempt) => {
                state.refused(attempt, fault, self.process.number, now);
                // A refusal is not kept: the same call can be made again.
                if self.client.rng.u32(..20) == 0 && world.phase() == Phase::Move {
                    state.send_later(attempt.call, self.client.rng.u64(..world.goal / 10));
                }
                return;
            }
            Sent::Altered(_, field) => (pitturu_protocol::codes::Code::KeyReused, Some(field)),
            Sent::Hopeless(_, code, field) => (code, field),
            Sent::Page(..) | Sent::Wallet(..) | Sent::Block => return,
        };
        *state.counts.refused.entry(fault.code.name()).or_default() += 1;
        let is_right = fault.code == code && (field.is_none() || fault.field.as_deref() == field);
        if !is_right && fault.code.retry() != Retry::Later {
            let message = format!("{sent:?} is refused: {fault:?}");
            state.violation("refusals say why", "a call", message);
        }
    }
}
