//! bcrypt on threads of its own, below the priority of everything else, so that a storm of sign-ins doesn't disturb
//! chat; before them a queue in which networks take turns, so that it doesn't disturb sign-ins of others either.

mod queue;

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use pitturu_metrics::table;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::limits::PASSWORD_BYTES_MAX;
use tokio::sync::oneshot;

pub use self::queue::{Asker, Rank};
use self::queue::{Bounds, Full, Pushed, Queue};
use crate::call_traces;

/// Most passwords that wait for a thread, whatever the cost.
const WAITING_MAX: usize = 512;

/// Longest that the last of them waits, in milliseconds: less than a caller waits for an answer.
const WAIT_MAX_MS: u64 = 20_000;

/// Fewest that may wait, however long each takes.
const WAITING_MIN: usize = 32;

/// One network has at most this part of all places.
const NETWORK_SHARE: usize = 4;

/// How much nicer than the rest of the server the threads are (Unix nice value; Linux keeps one for each thread).
#[cfg(target_os = "linux")]
const NICE: i32 = 15;

/// Time that one password takes at cost 10 on a slow core; each step of the cost doubles it. For the bounds of the queue,
/// and the advice in `retry_after_ms`.
const COST_10_MS: u64 = 80;

/// How passwords are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordConfig {
    /// bcrypt cost, 4 to 31. Each step doubles the work.
    pub cost: u32,
    /// Threads that hash.
    pub threads: usize,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self {
            cost: 10,
            threads: std::thread::available_parallelism()
                .map_or(1, |cores| (cores.get() / 2).max(1)),
        }
    }
}

impl PasswordConfig {
    /// How long the threads take for so many passwords, in milliseconds.
    fn time_of_ms(self, passwords: usize) -> u64 {
        let each_ms = ((COST_10_MS << self.cost.min(31)) >> 10).max(1);
        passwords as u64 * each_ms / self.threads.max(1) as u64
    }

    fn bounds(self) -> Bounds {
        let fit = WAIT_MAX_MS * WAITING_MAX as u64 / self.time_of_ms(WAITING_MAX).max(1);
        let fit = usize::try_from(fit).unwrap_or(WAITING_MAX);
        let total = fit.clamp(WAITING_MIN, WAITING_MAX);
        Bounds {
            total,
            network: total / NETWORK_SHARE,
        }
    }
}

/// The threads, and the queue before them. They end when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Passwords {
    threads: Arc<Threads>,
    config: PasswordConfig,
    dummy: Arc<str>,
}

/// Tells the threads to end when it is dropped.
#[derive(Debug)]
struct Threads(Arc<Waiting>);

impl Drop for Threads {
    fn drop(&mut self) {
        self.0.state.lock().is_over = true;
        self.0.changed.notify_all();
    }
}

#[derive(Debug)]
struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    queue: Queue<Job>,
    is_over: bool,
}

impl Waiting {
    /// The next job. `None`: there will be none.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(job) = state.queue.take() {
                return Some(job);
            }
            self.changed.wait(&mut state);
        }
    }
}

type Reply<T> = oneshot::Sender<Result<T, Fault>>;

#[derive(Debug)]
enum Job {
    Hash(String, Reply<String>),
    Verify(String, Arc<str>, Reply<bool>),
    #[cfg(test)]
    Hold(std::sync::mpsc::Receiver<()>),
}

impl Job {
    fn has_left(&self) -> bool {
        match self {
            Self::Hash(_, reply) => reply.is_closed(),
            Self::Verify(_, _, reply) => reply.is_closed(),
            #[cfg(test)]
            Self::Hold(_) => false,
        }
    }

    fn run(self, cost: u32) {
        match self {
            job if job.has_left() => {}
            Self::Hash(password, reply) => {
                reply.send(done(bcrypt::hash(password, cost))).ok();
            }
            Self::Verify(password, hash, reply) => {
                reply.send(done(bcrypt::verify(password, &hash))).ok();
            }
            #[cfg(test)]
            Self::Hold(until) => {
                until.recv().ok();
            }
        }
    }

    fn refuse(self, fault: Fault) {
        match self {
            Self::Hash(_, reply) => drop(reply.send(Err(fault))),
            Self::Verify(_, _, reply) => drop(reply.send(Err(fault))),
            #[cfg(test)]
            Self::Hold(_) => {}
        }
    }
}

fn done<T>(result: bcrypt::BcryptResult<T>) -> Result<T, Fault> {
    result.map_err(|error| {
        tracing::error!(%error, "bcrypt");
        Fault::of(Code::Internal)
    })
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// When a thread can't be started, or the cost is out of bcrypt's range.
    pub fn start(config: PasswordConfig) -> std::io::Result<Self> {
        let dummy = bcrypt::hash("nobody's password", config.cost).map_err(|error| {
            std::io::Error::other(format!("bcrypt cost {}: {error}", config.cost))
        })?;
        let waiting = Arc::new(Waiting {
            state: Mutex::new(State {
                queue: Queue::new(config.bounds()),
                is_over: false,
            }),
            changed: Condvar::new(),
        });
        let threads = Arc::new(Threads(Arc::clone(&waiting)));
        for n in 0..config.threads.max(1) {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new()
                .name(format!("password-{n}"))
                .spawn(move || work(&waiting, config.cost))?;
        }
        Ok(Self {
            threads,
            config,
            dummy: dummy.into(),
        })
    }

    /// Hashes a password that fits [`pitturu_text::kind::Kind::NewPassword`].
    ///
    /// # Errors
    /// [`Code::Overloaded`] with the time to wait: too many wait, or too many from the asker's network.
    pub async fn hash(&self, asker: Asker, password: &str) -> Result<String, Fault> {
        let (reply, result) = oneshot::channel();
        self.submit(asker, Job::Hash(password.to_owned(), reply));
        let _step = call_traces::step("password.hash");
        outcome(result).await
    }

    /// Whether the password has this hash. Without a hash the same work is done for nothing, so that the time doesn't
    /// tell whether there is an account.
    ///
    /// # Errors
    /// Those of [`Passwords::hash`].
    pub async fn verify(
        &self,
        asker: Asker,
        password: &str,
        hash: Option<&str>,
    ) -> Result<bool, Fault> {
        if !can_be_password(password) {
            return Ok(false);
        }
        let (reply, result) = oneshot::channel();
        let known = hash.is_some();
        let hash = hash.map_or_else(|| Arc::clone(&self.dummy), Arc::from);
        self.submit(asker, Job::Verify(password.to_owned(), hash, reply));
        let _step = call_traces::step("password.verify");
        let right = outcome(result).await?;
        Ok(right && known)
    }

    /// Whether the hash was made at another cost than new ones are.
    pub fn outdated(&self, hash: &str) -> bool {
        hash.parse::<bcrypt::HashParts>()
            .is_ok_and(|parts| parts.get_cost() != self.config.cost)
    }

    fn submit(&self, asker: Asker, job: Job) {
        let waiting = &self.threads.0;
        let mut state = waiting.state.lock();
        let pushed = state.queue.push(asker, job, Job::has_left);
        let ahead = state.queue.len();
        drop(state);
        let refused = match pushed {
            Pushed::Waits => None,
            Pushed::Instead(job, why) | Pushed::Refused(job, why) => Some((job, why)),
        };
        waiting.changed.notify_one();
        if let Some((job, why)) = refused {
            table::PASSWORDS_REFUSED.increment();
            job.refuse(self.too_many(why, ahead));
        }
    }

    fn too_many(&self, why: Full, ahead: usize) -> Fault {
        let message = match why {
            Full::Network => {
                "too many sign-ins of this network wait; try again after the time given"
            }
            Full::Queue => "too many sign-ins wait; try again after the time given",
        };
        let wait_ms = self.config.time_of_ms(ahead).max(100);
        Fault::new(Code::Overloaded, message).retry_after_ms(wait_ms)
    }

    /// Keeps a thread busy, when the asker's turn comes, as long as the result lives.
    #[cfg(test)]
    pub(crate) fn hold(&self, asker: Asker) -> std::sync::mpsc::Sender<()> {
        let (held, until) = std::sync::mpsc::channel();
        self.submit(asker, Job::Hold(until));
        held
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.threads.0.state.lock().queue.len()
    }
}

async fn outcome<T>(result: oneshot::Receiver<Result<T, Fault>>) -> Result<T, Fault> {
    // Without an answer its thread has panicked, or ended.
    result
        .await
        .unwrap_or_else(|_| Err(Fault::of(Code::Internal)))
}

/// Whether bcrypt can tell this text from every other: it stops reading at NUL.
fn can_be_password(text: &str) -> bool {
    text.len() <= PASSWORD_BYTES_MAX && !text.contains('\0')
}

fn work(waiting: &Waiting, cost: u32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "password thread keeps its priority");
    }
    while let Some(job) = waiting.next() {
        job.run(cost);
    }
}

#[cfg(test)]
mod tests;
