//! What is done to a running server and to the connections that lead to it, drawn by rate and seed.

mod clock;
mod points;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use self::clock::Clock;
use self::points::{OF_BACKUPS, OF_RECOVERY, OF_WRITES};
use crate::backups::Backups;
use crate::players::World;
use crate::proxy::{Cut, Proxy};
use crate::record::{READY, What};
use crate::server::{Installation, Server, ServerError, Start, StoreHealth};

/// Longest pause between two faults.
const PAUSE_MS: u64 = 800;

/// How long a store that only a restart mends is left alone.
const OPERATOR_SLEEPS: Duration = Duration::from_millis(400);

/// How far the wall clock goes astray, in milliseconds.
const CLOCK_STEP_MS: i64 = 5_400_000;

/// How long before midnight it is after a jump to it, at most, in milliseconds.
const MIDNIGHT_WITHIN_MS: i64 = 2_500;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `kill -9`, and another start.
    Kill,
    /// The process gets no time for a while.
    Pause,
    /// An orderly end, and another start.
    Stop,
    /// A named point ends the process.
    Abort,
    /// The process dies while it starts, or while it recovers.
    AbortRecovery,
    /// A write finds no space.
    FullDisk,
    /// Files may not grow for a while: writes fail half-way, those of the store's own background work among them.
    FileLimit,
    /// A write fails.
    FailingWrite,
    /// A sync finds no space.
    FullSync,
    /// A sync fails.
    FailingSync,
    /// Syncs take 100 or 250 ms.
    SlowSync,
    /// The server's queue of writes is short until the next start.
    ShortQueue,
    /// The wall clock jumps.
    Clock,
    /// The wall clock jumps to the last moments of a day.
    Midnight,
    /// A connection is reset.
    Reset,
    /// A connection is closed in one direction.
    HalfClose,
    /// A connection carries nothing for a while.
    Stall,
    /// A backup is made while everything goes on; sometimes the process dies meanwhile.
    Backup,
}

/// How often each kind comes, beside the others.
const WEIGHTS: &[(u32, Kind)] = &[
    (6, Kind::Kill),
    (4, Kind::Pause),
    (2, Kind::Stop),
    (12, Kind::Abort),
    (3, Kind::AbortRecovery),
    (4, Kind::FullDisk),
    (3, Kind::FileLimit),
    (2, Kind::FailingWrite),
    (5, Kind::FullSync),
    (2, Kind::FailingSync),
    (8, Kind::SlowSync),
    (3, Kind::ShortQueue),
    (3, Kind::Clock),
    (5, Kind::Midnight),
    (10, Kind::Reset),
    (5, Kind::HalfClose),
    (8, Kind::Stall),
    (6, Kind::Backup),
];

impl Kind {
    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        WEIGHTS.iter().map(|(_, kind)| *kind)
    }

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Stop => "stop",
            Self::Abort => "abort",
            Self::AbortRecovery => "abort-recovery",
            Self::FullDisk => "full-disk",
            Self::FileLimit => "file-limit",
            Self::FailingWrite => "failing-write",
            Self::FullSync => "full-sync",
            Self::FailingSync => "failing-sync",
            Self::SlowSync => "slow-sync",
            Self::ShortQueue => "short-queue",
            Self::Clock => "clock",
            Self::Midnight => "midnight",
            Self::Reset => "reset",
            Self::HalfClose => "half-close",
            Self::Stall => "stall",
            Self::Backup => "backup",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }
}

/// Counts of what was done.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Ends of the process without warning, by whatever.
    pub kills: u64,
    /// Starts after the first.
    pub restarts: u64,
}

/// Breaks one server.
pub struct Breaker {
    installation: Installation,
    server: Option<Server>,
    proxy: Proxy,
    world: Arc<World>,
    kinds: Vec<(u32, Kind)>,
    rng: Rng,
    clock: Clock,
    needs_restart_since: Option<Instant>,
    backups: Backups,
    /// What was done.
    pub counts: Counts,
}

impl Breaker {
    /// A breaker of this server, which knows these kinds of faults.
    pub fn new(
        installation: Installation,
        server: Server,
        proxy: Proxy,
        world: Arc<World>,
        kinds: &[Kind],
    ) -> Self {
        let known = WEIGHTS.iter().filter(|(_, kind)| kinds.contains(kind));
        Self {
            rng: Rng::with_seed(world.seed.rotate_left(17)),
            kinds: known.copied().collect(),
            installation,
            server: Some(server),
            proxy,
            world,
            clock: Clock::default(),
            needs_restart_since: None,
            backups: Backups::default(),
            counts: Counts::default(),
        }
    }

    /// Breaks one thing after the other for so long.
    ///
    /// # Errors
    /// A server that does not start, or does not end in order when asked.
    pub async fn run(&mut self, time: Duration) -> Result<(), ServerError> {
        let began = Instant::now();
        while began.elapsed() < time {
            let pause = self.rng.u64(..PAUSE_MS);
            sleep(Duration::from_millis(pause)).await;
            self.look_after().await?;
            if let Some(kind) = self.draw() {
                *self.counts.faults.entry(kind.name()).or_default() += 1;
                self.note(kind.name());
                self.commit(kind).await?;
            }
        }
        Ok(())
    }

    /// Ends all faults, and leaves a server that works, and whose clock is not behind where it was.
    ///
    /// # Errors
    /// A server that does not start.
    pub async fn make_whole(&mut self) -> Result<(), ServerError> {
        self.proxy.flow();
        self.clock.come_to_rest(self.world.now());
        self.world.set_clock(self.clock.offset_ms);
        if let Some(server) = self.server.as_mut() {
            let is_well = !server.has_ended()
                && server.order("disarm")
                && server.order(&format!("clock/{}", self.clock.offset_ms))
                && server.store_health() != StoreHealth::NeedsRestart;
            if is_well && self.becomes_well().await {
                self.note("whole");
                return Ok(());
            }
        }
        self.kill_and_start(Start::default()).await?;
        self.note("whole after a restart");
        Ok(())
    }

    /// Ends the server, and has the ledger on its folder added up. What is said if it does not add up.
    pub async fn verify_ledger(&mut self) -> Option<String> {
        self.kill().await;
        let installation = self.installation.clone();
        let verifying = tokio::task::spawn_blocking(move || installation.verify_ledger());
        match verifying.await {
            Ok(Ok((true, _))) => None,
            Ok(Ok((false, said))) => Some(said),
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// The newest backup of the round. A server that nobody breaks any more makes one, if there is none.
    pub async fn newest_backup(&mut self) -> Option<u32> {
        if let Some(newest) = self.backups.newest().await {
            return Some(newest);
        }
        self.backups.begin(self.server.as_ref()?, &self.world);
        self.backups.newest().await
    }

    /// How a server is started whose clock goes on with this one's.
    pub fn start_as_now(&self) -> Start {
        Start {
            clock_offset_ms: self.clock.offset_ms,
            ..Start::default()
        }
    }

    /// Where the server listens.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.server.as_ref().map(|server| server.ws)
    }

    /// Whether one entity has told another what that has not applied yet.
    pub fn signals_wait(&self) -> bool {
        self.server.as_ref().is_some_and(Server::signals_wait)
    }

    async fn becomes_well(&self) -> bool {
        for _ in 0..100 {
            let health = self.server.as_ref().map(Server::store_health);
            if health == Some(StoreHealth::Ok) {
                return true;
            }
            sleep(Duration::from_millis(100)).await;
        }
        false
    }

    fn note(&self, what: &str) {
        self.world.record.write(0, What::Fault(what.to_owned()));
    }

    fn draw(&mut self) -> Option<Kind> {
        let all: u32 = self.kinds.iter().map(|(weight, _)| weight).sum();
        if all == 0 {
            return None;
        }
        let mut left = self.rng.u32(..all);
        for (weight, kind) in &self.kinds {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return Some(*kind),
            }
        }
        None
    }

    /// Starts a server that has ended by itself, and does what its operator has to.
    async fn look_after(&mut self) -> Result<(), ServerError> {
        let Some(server) = self.server.as_mut() else {
            return self.start(Start::default()).await;
        };
        if server.has_ended() {
            self.counts.kills += 1;
            self.note("the server has ended");
            self.server = None;
            return self.start(Start::default()).await;
        }
        if server.store_health() == StoreHealth::NeedsRestart {
            let since = *self.needs_restart_since.get_or_insert_with(Instant::now);
            if since.elapsed() > OPERATOR_SLEEPS {
                self.needs_restart_since = None;
                self.note("the operator restarts a server whose disk has failed");
                return match self.rng.bool() {
                    true => self.kill_and_start(Start::default()).await,
                    false => self.stop_and_start().await,
                };
            }
        }
        Ok(())
    }

    async fn commit(&mut self, kind: Kind) -> Result<(), ServerError> {
        match kind {
            Kind::Kill => self.kill_and_start(Start::default()).await?,
            Kind::Stop => self.stop_and_start().await?,
            Kind::Pause => {
                let time = self.rng.u64(50..1_500);
                if let Some(server) = self.server.as_mut() {
                    server.pause(true);
                    sleep(Duration::from_millis(time)).await;
                    server.pause(false);
                }
            }
            Kind::Abort => {
                let point = OF_WRITES[self.rng.usize(..OF_WRITES.len())];
                let passages = self.rng.u32(1..40);
                self.arm(&format!("{point}=abort:{passages}"));
            }
            Kind::AbortRecovery => self.abort_recovery().await?,
            Kind::FullDisk => self.arm_some("store.write=no_space"),
            Kind::FileLimit => self.limit_files().await,
            Kind::FailingWrite => self.arm("store.write=io:1"),
            Kind::FullSync => self.arm_some("store.sync=no_space"),
            Kind::FailingSync => self.arm("store.sync=io:1"),
            Kind::SlowSync => {
                let time = [100, 250][self.rng.usize(..2)];
                let syncs = self.rng.u32(3..15);
                self.arm(&format!("store.sync=delay:{time}:{syncs}"));
            }
            Kind::ShortQueue => {
                let start = Start {
                    settings: vec!["store.queue_jobs_max=16".to_owned()],
                    armed: vec!["store.sync=delay:100:60".to_owned()],
                    ..Start::default()
                };
                self.kill_and_start(start).await?;
            }
            Kind::Clock => {
                let step = self.rng.i64(-CLOCK_STEP_MS..CLOCK_STEP_MS);
                self.clock.stray(step);
                self.set_clock();
            }
            Kind::Midnight => {
                let before = self.rng.i64(0..MIDNIGHT_WITHIN_MS);
                self.clock.go_to_midnight(self.world.now(), before);
                self.set_clock();
            }
            Kind::Reset => {
                self.proxy.cut(self.rng.usize(..), Cut::Reset);
            }
            Kind::HalfClose => {
                let cut = match self.rng.bool() {
                    true => Cut::HalfCloseToServer,
                    false => Cut::HalfCloseToPlayer,
                };
                self.proxy.cut(self.rng.usize(..), cut);
            }
            Kind::Stall => {
                let time = Duration::from_millis(self.rng.u64(100..3_000));
                self.proxy.stall(self.rng.usize(..), time);
            }
            Kind::Backup => self.begin_backup(),
        }
        Ok(())
    }

    async fn limit_files(&mut self) {
        let (bytes, time) = (self.rng.u64(4_096..400_000), self.rng.u64(20..600));
        if let Some(server) = &self.server {
            server.limit_files(Some(bytes));
            sleep(Duration::from_millis(time)).await;
            server.limit_files(None);
        }
    }

    fn begin_backup(&mut self) {
        if self.rng.u32(..4) == 0 {
            let point = OF_BACKUPS[self.rng.usize(..OF_BACKUPS.len())];
            self.arm(&format!("{point}=abort:1"));
        }
        if let Some(server) = &self.server {
            self.backups.begin(server, &self.world);
        }
    }

    fn arm(&self, text: &str) {
        self.order(&format!("arm/{text}"));
    }

    /// Arms a point for a few passages.
    fn arm_some(&mut self, text: &str) {
        let passages = self.rng.u32(1..4);
        self.arm(&format!("{text}:{passages}"));
    }

    fn set_clock(&self) {
        let offset = self.clock.offset_ms;
        self.world.set_clock(offset);
        self.order(&format!("clock/{offset}"));
    }

    fn order(&self, order: &str) {
        self.note(order);
        if let Some(server) = &self.server {
            server.order(order);
        }
    }

    /// A failure from which the store recovers by itself, and a point on the way that ends the process; or a start that ends.
    async fn abort_recovery(&mut self) -> Result<(), ServerError> {
        if self.rng.bool() {
            let point = OF_RECOVERY[self.rng.usize(..OF_RECOVERY.len())];
            self.arm(&format!("{point}=abort:1"));
            self.arm("store.sync=no_space:1");
            return Ok(());
        }
        self.kill().await;
        let start = Start {
            armed: vec!["store.opened=abort:1".to_owned()],
            ..Start::default()
        };
        // It dies before it is ready.
        if self.start(start).await.is_ok() {
            self.kill().await;
        } else {
            self.counts.kills += 1;
        }
        self.start(Start::default()).await
    }

    async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            self.counts.kills += 1;
            server.kill();
        }
        let pause = self.rng.u64(..150);
        sleep(Duration::from_millis(pause)).await;
    }

    async fn kill_and_start(&mut self, start: Start) -> Result<(), ServerError> {
        self.kill().await;
        self.start(start).await
    }

    async fn stop_and_start(&mut self) -> Result<(), ServerError> {
        if let Some(server) = self.server.take() {
            let installation = self.installation.clone();
            let stopping = tokio::task::spawn_blocking(move || server.stop(&installation));
            stopping.await.map_err(std::io::Error::other)??;
        }
        self.start(Start::default()).await
    }

    async fn start(&mut self, start: Start) -> Result<(), ServerError> {
        let start = Start {
            clock_offset_ms: self.clock.offset_ms,
            ..start
        };
        let installation = self.installation.clone();
        let starting = tokio::task::spawn_blocking(move || installation.start(&start));
        let server = starting.await.map_err(std::io::Error::other)??;
        self.counts.restarts += 1;
        self.needs_restart_since = None;
        self.proxy.lead_to(server.ws);
        self.note(READY);
        self.server = Some(server);
        Ok(())
    }
}
