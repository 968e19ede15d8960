//! bcrypt on threads of its own, below the priority of everything else, so that a storm of sign-ins doesn't disturb
//! chat.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::limits::PASSWORD_BYTES_MAX;
use tokio::sync::oneshot;

/// Most passwords that wait for a thread. Beyond it a call is refused with [`Code::Overloaded`] and the time that the
/// queue takes.
pub const PASSWORD_QUEUE_MAX: usize = 512;

/// How much nicer than the rest of the server the threads are (Unix nice value; Linux keeps one for each thread).
#[cfg(target_os = "linux")]
const NICE: i32 = 15;

/// Time that one password takes at cost 10 on a slow core; each step of the cost doubles it. Only for the advice in
/// `retry_after_ms`.
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

/// The threads, and the queue before them. They end when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Passwords {
    queue: mpsc::SyncSender<Job>,
    waiting: Arc<AtomicUsize>,
    config: PasswordConfig,
    dummy: Arc<str>,
}

#[derive(Debug)]
enum Job {
    Hash(String, oneshot::Sender<Option<String>>),
    Verify(String, Arc<str>, oneshot::Sender<Option<bool>>),
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
        let (queue, jobs) = mpsc::sync_channel(PASSWORD_QUEUE_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        let waiting = Arc::new(AtomicUsize::new(0));
        for n in 0..config.threads.max(1) {
            let jobs = Arc::clone(&jobs);
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new()
                .name(format!("password-{n}"))
                .spawn(move || work(&jobs, &waiting, config.cost))?;
        }
        Ok(Self {
            queue,
            waiting,
            config,
            dummy: dummy.into(),
        })
    }

    /// Hashes a password that fits [`pitturu_text::kind::Kind::NewPassword`].
    pub async fn hash(&self, password: &str) -> Result<String, Fault> {
        let (reply, result) = oneshot::channel();
        self.submit(Job::Hash(password.to_owned(), reply))?;
        result
            .await
            .ok()
            .flatten()
            .ok_or_else(|| Fault::of(Code::Internal))
    }

    /// Whether the password has this hash. Without a hash the same work is done for nothing, so that the time doesn't
    /// tell whether there is an account.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, Fault> {
        if !can_be_password(password) {
            return Ok(false);
        }
        let (reply, result) = oneshot::channel();
        let known = hash.is_some();
        let hash = hash.map_or_else(|| Arc::clone(&self.dummy), Arc::from);
        self.submit(Job::Verify(password.to_owned(), hash, reply))?;
        let right = result
            .await
            .ok()
            .flatten()
            .ok_or_else(|| Fault::of(Code::Internal))?;
        Ok(right && known)
    }

    /// Whether the hash was made at another cost than new ones are.
    pub fn outdated(&self, hash: &str) -> bool {
        hash.parse::<bcrypt::HashParts>()
            .is_ok_and(|parts| parts.get_cost() != self.config.cost)
    }

    fn submit(&self, job: Job) -> Result<(), Fault> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(job).map_err(|_| {
            let waiting = self.waiting.fetch_sub(1, Ordering::Relaxed) as u64;
            let each_ms = (COST_10_MS << self.config.cost.min(31)) >> 10;
            let wait = waiting * each_ms.max(1) / self.config.threads.max(1) as u64;
            Fault::new(Code::Overloaded, "too many sign-ins at once").retry_after_ms(wait.max(100))
        })
    }
}

/// Whether bcrypt can tell this text from every other: it stops reading at NUL.
fn can_be_password(text: &str) -> bool {
    text.len() <= PASSWORD_BYTES_MAX && !text.contains('\0')
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>, waiting: &AtomicUsize, cost: u32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "password thread keeps its priority");
    }
    loop {
        let job = jobs.lock().recv();
        let Ok(job) = job else {
            return;
        };
        waiting.fetch_sub(1, Ordering::Relaxed);
        match job {
            Job::Hash(_, reply) if reply.is_closed() => {}
            Job::Verify(_, _, reply) if reply.is_closed() => {}
            Job::Hash(password, reply) => {
                let hash = bcrypt::hash(password, cost);
                reply
                    .send(
                        hash.inspect_err(|error| tracing::error!(%error, "bcrypt"))
                            .ok(),
                    )
                    .ok();
            }
            Job::Verify(password, hash, reply) => {
                let right = bcrypt::verify(password, &hash);
                reply
                    .send(
                        right
                            .inspect_err(|error| tracing::error!(%error, "bcrypt"))
                            .ok(),
                    )
                    .ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(threads: usize) -> Passwords {
        Passwords::start(PasswordConfig { cost: 4, threads }).unwrap()
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_and_no_other() {
        let passwords = passwords(1);
        let hash = passwords.hash("correct horse").await.unwrap();
        assert_eq!(
            passwords.verify("correct horse", Some(&hash)).await,
            Ok(true)
        );
        assert_eq!(
            passwords.verify("correct horsf", Some(&hash)).await,
            Ok(false)
        );
        assert_eq!(passwords.verify("nobody's password", None).await, Ok(false));
    }

    #[tokio::test]
    async fn all_72_bytes_count_and_longer_is_never_right() {
        let passwords = passwords(1);
        let longest = "x".repeat(72);
        let hash = passwords.hash(&longest).await.unwrap();
        assert_eq!(passwords.verify(&longest, Some(&hash)).await, Ok(true));
        assert_eq!(
            passwords.verify(&longest[..71], Some(&hash)).await,
            Ok(false)
        );
        assert_eq!(
            passwords.verify(&format!("{longest}x"), Some(&hash)).await,
            Ok(false)
        );
        assert_eq!(passwords.verify("nul\0nul\0", Some(&hash)).await, Ok(false));
    }

    #[tokio::test]
    async fn a_hash_that_is_none_is_a_fault_and_the_thread_goes_on() {
        let passwords = passwords(1);
        let fault = passwords
            .verify("correct horse", Some("no hash"))
            .await
            .unwrap_err();
        assert_eq!(fault.code, Code::Internal);
        passwords.hash("correct horse").await.unwrap();
    }

    #[tokio::test]
    async fn a_storm_is_refused_with_a_time_to_wait() {
        let passwords = Passwords::start(PasswordConfig {
            cost: 8,
            threads: 1,
        })
        .unwrap();
        let calls = (0..PASSWORD_QUEUE_MAX + 50).map(|_| passwords.verify("password", None));
        let mut calls: Vec<_> = calls.map(Box::pin).collect();
        let mut refused = 0;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for call in &mut calls {
            if let std::task::Poll::Ready(Err(fault)) = call.as_mut().poll(&mut context) {
                assert_eq!(fault.code, Code::Overloaded);
                assert!(fault.retry_after_ms.unwrap() >= 100);
                refused += 1;
            }
        }
        assert!(refused >= 40, "{refused}");
        drop(calls);
        let started = std::time::Instant::now();
        while passwords.verify("password", None).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert!(
            started.elapsed().as_secs() < 5,
            "those who left are skipped"
        );
    }

    #[test]
    fn the_threads_end_with_the_last_clone() {
        let passwords = passwords(2);
        let waiting = Arc::downgrade(&passwords.waiting);
        drop(passwords);
        for _ in 0..500 {
            if waiting.strong_count() == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("threads still run");
    }

    #[test]
    fn the_cost_of_a_hash_is_seen() {
        let passwords = passwords(1);
        assert!(!passwords.outdated(&bcrypt::hash("x", 4).unwrap()));
        assert!(passwords.outdated(&bcrypt::hash("x", 5).unwrap()));
    }

    #[test]
    fn a_cost_out_of_range_is_refused() {
        assert!(
            Passwords::start(PasswordConfig {
                cost: 3,
                threads: 1
            })
            .is_err()
        );
        assert!(
            Passwords::start(PasswordConfig {
                cost: 32,
                threads: 1
            })
            .is_err()
        );
    }
}
