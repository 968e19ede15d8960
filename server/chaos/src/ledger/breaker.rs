//! The server's process: killed at points that lie on the way of points, looked at while it is closed, and started again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::world::{Process, World};
use crate::server::{Installation, Server, ServerError, Start};

/// Where the process is killed: while a movement is decided, committed and reported, and while a gift is on its way.
pub const POINTS: &[&str] = &[
    "owner.decided",
    "owner.handed_over",
    "store.group",
    "store.commit",
    "store.synced",
    "store.reported",
    "owner.reported",
    "signal.sent",
    "signal.applied",
    "signal.answered",
];

/// One kill in so many comes from outside, at no point.
const FROM_OUTSIDE: u32 = 8;

/// Passages until a point kills.
const PASSAGES_MAX: u32 = 300;

/// Longest time for a point to be passed so often.
const PASSED_WITHIN: Duration = Duration::from_secs(15);

/// By how much the clock is further ahead after a start, in milliseconds at most.
const CLOCK_STEP_MS: i64 = 3 * 60 * 60 * 1_000;

/// Where it may stand at most: sign-ins last for thirty days.
const CLOCK_MAX_MS: i64 = 20 * 24 * 60 * 60 * 1_000;

/// What the server is started with.
const SETTINGS: &[&str] = &[
    "accounts.access_life=30d",
    "accounts.refresh_life=60d",
    "limits.outbox=1MiB",
    "store.memtable=8MiB",
];

/// Starts a server of this installation.
///
/// # Errors
/// [`ServerError`].
pub fn start(installation: &Installation, clock_offset_ms: i64) -> Result<Server, ServerError> {
    let settings = SETTINGS.iter().map(|setting| (*setting).to_owned());
    installation.start(&Start {
        settings: settings.collect(),
        clock_offset_ms,
        ..Start::default()
    })
}

/// Breaks one server, again and again.
pub struct Breaker {
    installation: Installation,
    server: Option<Server>,
    world: Arc<World>,
    points: Vec<String>,
    next: usize,
    process: u32,
    clock_offset_ms: i64,
    rng: Rng,
    from_outside: u64,
}

impl Breaker {
    /// A breaker of this server, the first process, at these points, in an order of its own.
    pub fn new(
        installation: Installation,
        server: Server,
        world: Arc<World>,
        mut points: Vec<String>,
    ) -> Self {
        let mut rng = Rng::with_seed(world.seed.rotate_left(23));
        rng.shuffle(&mut points);
        Self {
            installation,
            server: Some(server),
            world,
            points,
            next: 0,
            process: 1,
            clock_offset_ms: 0,
            rng,
            from_outside: 0,
        }
    }

    /// How often the process was killed, by point.
    pub fn kills(&self) -> BTreeMap<String, u64> {
        let acted = self.installation.acted().into_iter();
        let kills = acted.filter_map(|(acted, count)| {
            let point = acted.strip_suffix(" abort")?;
            Some((point.to_owned(), count))
        });
        let mut kills: BTreeMap<String, u64> = kills.collect();
        if self.from_outside > 0 {
            kills.insert("at no point, from outside".to_owned(), self.from_outside);
        }
        kills
    }

    /// Whether the process has ended by itself, which it never should.
    pub fn has_ended(&mut self) -> bool {
        self.server.as_mut().is_none_or(Server::has_ended)
    }

    /// Whether gifts, or other things that one player's entity tells another's, are on their way.
    pub fn signals_wait(&self) -> bool {
        self.server.as_ref().is_some_and(Server::signals_wait)
    }

    /// The last lines of the server's log.
    pub fn last_lines(&self) -> String {
        self.installation.last_lines()
    }

    /// Lines of the log that tell of a panic.
    pub fn panics(&self) -> Vec<String> {
        self.installation.panics()
    }

    /// Kills the process at the next point, while clients go on.
    pub async fn kill(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        let is_from_outside = self.points.is_empty() || self.rng.u32(..FROM_OUTSIDE) == 0;
        if !is_from_outside {
            let point = &self.points[self.next % self.points.len()];
            self.next += 1;
            let passages = self.rng.u32(1..PASSAGES_MAX);
            server.order(&format!("arm/{point}=abort:{passages}"));
            let armed = Instant::now();
            while !server.has_ended() && armed.elapsed() < PASSED_WITHIN {
                sleep(Duration::from_millis(2)).await;
            }
        }
        if !server.has_ended() {
            self.from_outside += 1;
        }
        self.world.process.send_replace(None);
        server.kill();
    }

    /// Ends the process in order.
    ///
    /// # Errors
    /// [`ServerError`] when it does not end so.
    pub async fn stop(&mut self) -> Result<(), ServerError> {
        if let Some(server) = self.server.take() {
            let installation = self.installation.clone();
            let stopping = tokio::task::spawn_blocking(move || server.stop(&installation));
            stopping.await.map_err(std::io::Error::other)??;
        }
        self.world.process.send_replace(None);
        Ok(())
    }

    /// Has the closed folder's ledger added up.
    ///
    /// # Errors
    /// What does not add up.
    pub async fn verify(&self) -> Result<String, String> {
        let installation = self.installation.clone();
        let verifying = tokio::task::spawn_blocking(move || installation.verify_ledger());
        let verified = verifying.await.map_err(|error| error.to_string())?;
        match verified.map_err(|error| error.to_string())? {
            (true, said) => Ok(said),
            (false, said) => Err(said),
        }
    }

    /// Starts the next process on the same folder, later by its clock. Calls of which it is not certain what became of them are made
    /// again.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn start(&mut self) -> Result<(), ServerError> {
        let step = self.rng.i64(0..CLOCK_STEP_MS);
        self.clock_offset_ms = (self.clock_offset_ms + step).min(CLOCK_MAX_MS);
        let (installation, offset) = (self.installation.clone(), self.clock_offset_ms);
        let starting = tokio::task::spawn_blocking(move || start(&installation, offset));
        let server = starting.await.map_err(std::io::Error::other)??;
        self.process += 1;
        self.world.set_clock(self.clock_offset_ms);
        let mut state = self.world.state.lock();
        for call in std::mem::take(&mut state.uncertain) {
            state.send_again(call);
        }
        drop(state);
        self.world.process.send_replace(Some(Process {
            address: server.ws,
            number: self.process,
        }));
        self.server = Some(server);
        Ok(())
    }
}
