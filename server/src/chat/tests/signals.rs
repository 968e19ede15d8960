//! What rooms and players tell each other, over a store that fails and a process that crashes at every step.
//!
//! Whatever happens: each call is answered, what was answered is there once and what was refused is not, and when nothing fails
//! any more, each player has applied everything that was told, once and in order, and the two players agree. What players have
//! to have applied is worked out anew from the commits that were decided, with the rules alone.

mod check;
pub(crate) mod faulty;
mod owed;
mod process;

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use pitturu_protocol::codes::Code;

use self::faulty::{FAULTS, Fault, Faulty};
use self::process::{Act, Process};
use crate::io_threads::IoThreads;
use crate::players::tests::seed;

/// Times that a call is tried again before the test gives up.
const TRIES: usize = 200;

/// Worlds that run at a time.
const AT_ONCE: usize = 24;

/// A store, the process on it, and what became of the calls.
struct World {
    name: String,
    process: Process,
    calls: u64,
    /// The key of each call, whether it was carried out, and what it was.
    outcomes: Vec<(String, Result<(), Code>, Act)>,
}

impl World {
    fn new(io_threads: &IoThreads, seed: u64, name: String) -> Self {
        Self {
            name,
            process: Process::start(Faulty::new(seed), io_threads),
            calls: 0,
            outcomes: Vec::new(),
        }
    }

    /// Makes calls at once, each again under its key until it has an answer that counts.
    async fn act(&mut self, acts: Vec<Act>) {
        let mut open: Vec<(String, Act)> = Vec::new();
        for act in acts {
            self.calls += 1;
            open.push((format!("call {}", self.calls), act));
        }
        for tried in 0.. {
            assert!(tried < TRIES, "{}: no answer to {open:?}", self.name);
            if self.process.store.has_crashed() {
                self.process = self.process.restarted();
            }
            let mut calls = Vec::new();
            for (key, act) in &open {
                calls.push(self.process.call(*act, key));
            }
            let outcomes = join_all(calls).await;
            let mut again = Vec::new();
            for ((key, act), outcome) in open.into_iter().zip(outcomes) {
                match outcome {
                    Err(Code::StorageUnavailable | Code::Overloaded | Code::Unavailable) => {
                        again.push((key, act));
                    }
                    outcome => self.note(&key, outcome, act),
                }
            }
            if again.is_empty() {
                return;
            }
            open = again;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn note(&mut self, key: &str, outcome: Result<(), Code>, act: Act) {
        self.outcomes.push((key.to_owned(), outcome, act));
    }

    /// Nothing fails any more. Everything that was told is applied, by this process or by the next, and forgotten.
    async fn check(mut self) {
        self.process.store.fail_at_random(None);
        // A crash that had begun is over then.
        tokio::time::sleep(Duration::from_millis(20)).await;
        if self.process.store.has_crashed() {
            self.process = self.process.restarted();
        }
        check::until_applied(&self).await;
        self.process = self.process.restarted();
        self.process.until_quiet().await;
        check::check(&self).await;
    }
}

/// A history with everything in it: requests that are accepted, removed, crossed and blocked, invitations and kicks.
async fn play(world: &mut World) {
    const A: u16 = 1;
    const B: u16 = 2;
    world.act(vec![Act::Create(1), Act::Request(A, B)]).await;
    world.act(vec![Act::Accept(B, A), Act::Invite(1, A)]).await;
    world.act(vec![Act::Join(A, 1), Act::Remove(A, B)]).await;
    world
        .act(vec![Act::Request(A, B), Act::Request(B, A)])
        .await;
    world.act(vec![Act::Kick(1, A), Act::Block(B, A)]).await;
    world
        .act(vec![Act::Invite(1, B), Act::Kick(1, B), Act::Invite(1, B)])
        .await;
    world
        .act(vec![Act::Unblock(B, A), Act::Request(A, B)])
        .await;
    world.act(vec![Act::Block(A, B), Act::Accept(B, A)]).await;
}

async fn in_groups(worlds: impl IntoIterator<Item = BoxFuture<'static, ()>>) {
    let mut worlds = worlds.into_iter();
    loop {
        let mut group = Vec::new();
        for world in worlds.by_ref().take(AT_ONCE) {
            group.push(tokio::spawn(world));
        }
        if group.is_empty() {
            return;
        }
        for outcome in group {
            outcome.await.expect("its world holds");
        }
    }
}

/// A world in which this happens at this step.
async fn fault_at(io_threads: IoThreads, seed: u64, step: u64, fault: Fault) {
    let name = format!("seed {seed}, {fault:?} at step {step}");
    let mut world = World::new(&io_threads, seed ^ step, name);
    world.process.store.at(step, fault);
    play(&mut world).await;
    world.check().await;
}

/// A world in which many things happen.
async fn faults_at_random(io_threads: IoThreads, seed: u64) {
    const ACTS: usize = 40;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new(&io_threads, seed, format!("seed {seed}"));
    world.act(vec![Act::Create(1), Act::Create(2)]).await;
    let one_in = random.u64(8..60);
    for _ in 0..ACTS {
        // A crash leaves a store that knows of no plan.
        world.process.store.fail_at_random(Some(one_in));
        let count = random.usize(1..4);
        let mut acts: Vec<Act> = (0..count).map(|_| Act::random(&mut random)).collect();
        if random.bool() {
            // One signal waits behind the other, and both are sent by the next life.
            let (room, who) = (random.u8(1..=2), random.u16(1..=2));
            acts.extend([Act::Invite(room, who), Act::Kick(room, who)]);
        }
        world.act(acts).await;
    }
    world.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_step_loses_and_doubles_nothing() {
    let seed = seed();
    let (io_threads, _threads) = IoThreads::start(2).unwrap();
    let mut calm = World::new(&io_threads, seed, "calm".to_owned());
    play(&mut calm).await;
    check::until_applied(&calm).await;
    let steps = calm.process.store.steps();
    assert!(steps > 50, "{steps} steps");
    calm.check().await;
    let began = Instant::now();
    let mut worlds = Vec::new();
    for step in 0..steps {
        for fault in FAULTS {
            worlds.push(fault_at(io_threads.clone(), seed, step, fault).boxed());
        }
    }
    println!("{} places", worlds.len());
    in_groups(worlds).await;
    println!("in {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_faults_in_random_histories_lose_and_double_nothing() {
    const SEEDS: u64 = 48;
    let seed = seed();
    let (io_threads, _threads) = IoThreads::start(2).unwrap();
    let worlds = (0..SEEDS).map(|number| {
        let seed = seed.wrapping_add(number);
        faults_at_random(io_threads.clone(), seed).boxed()
    });
    in_groups(worlds).await;
}
