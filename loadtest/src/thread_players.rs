//! The players of one thread, and what they share.

use std::cell::Cell;
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::plan::{Plan, Window};
use crate::player::{Failed, Player};
use crate::tally::{Slice, Tally};

mod waiting;

use waiting::listen_until;
pub use waiting::{Waiting, Waits};

/// Players of one thread that get ready at the same time.
const CONCURRENCY: usize = 32;

/// So long must nothing arrive before a run is over.
const QUIET: Duration = Duration::from_millis(1_000);

/// Longest time after the load for what is still on its way, below what the fleet waits for its workers.
const DRAIN_MAX: Duration = Duration::from_secs(75);

/// What a thread tells its process.
#[derive(Debug)]
pub enum WorkerEvent {
    /// Its players are ready.
    Ready,
    /// So many more players are ready.
    Progress(u64),
    /// What was counted in one second; none: while getting ready.
    Slice(Option<i64>, Box<Slice>),
    /// All is over.
    Done,
    /// The run can't go on.
    Failed(String),
}

/// The players of one thread.
#[derive(Debug)]
pub struct ThreadPlayers {
    /// What to do.
    pub plan: Arc<Plan>,
    /// What they count into.
    pub tally: Tally,
    /// The numbers of this thread's players, among all players of the run.
    pub players: Range<u64>,
    events: mpsc::UnboundedSender<WorkerEvent>,
    go: watch::Receiver<Option<u64>>,
    over: watch::Sender<bool>,
    window: Cell<Option<Window>>,
    /// How many wait for something that may come after a long silence.
    held: Cell<u64>,
}

/// While there is one of these, silence does not end the run.
#[derive(Debug)]
pub struct Hold(Rc<ThreadPlayers>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.held.set(self.0.held.get() - 1);
    }
}

impl ThreadPlayers {
    /// The players of these numbers, none of them connected yet.
    pub fn new(
        plan: Arc<Plan>,
        players: Range<u64>,
        events: mpsc::UnboundedSender<WorkerEvent>,
        go: watch::Receiver<Option<u64>>,
    ) -> Self {
        Self {
            plan,
            tally: Tally::default(),
            players,
            events,
            go,
            over: watch::Sender::new(false),
            window: Cell::new(None),
            held: Cell::new(0),
        }
    }

    /// Tells the process.
    pub fn tell(&self, event: WorkerEvent) {
        // A process that no longer listens is going down, and this thread with it.
        drop(self.events.send(event));
    }

    /// Keeps the run from ending because nothing comes.
    pub fn hold(self: &Rc<Self>) -> Hold {
        self.held.set(self.held.get() + 1);
        Hold(Rc::clone(self))
    }

    /// A player of this number, connected and signed in.
    pub async fn player(&self, number: u64) -> Result<Player, Failed> {
        let mut player = Player::connect(self.plan.route(number), None, &self.tally).await?;
        player.sign_in(self.plan.seed, number).await?;
        Ok(player)
    }

    /// Gets all players ready, some at a time, in the order of their numbers. Who is ready listens from then on.
    pub async fn gather<T, F>(&self, one: impl Fn(u64) -> F) -> Result<Waiting<T>, Failed>
    where
        T: Waits,
        F: Future<Output = Result<T, Failed>>,
    {
        self.gather_concurrently(CONCURRENCY, one).await
    }

    /// Like [`Self::gather`], this many at a time.
    pub async fn gather_concurrently<T, F>(
        &self,
        concurrency: usize,
        one: impl Fn(u64) -> F,
    ) -> Result<Waiting<T>, Failed>
    where
        T: Waits,
        F: Future<Output = Result<T, Failed>>,
    {
        let mut waiting = Waiting::nobody();
        let listening = |number| {
            let getting_ready = one(number);
            let go = self.go.clone();
            async move { Ok::<_, Failed>(listen_until(go, getting_ready.await?)) }
        };
        let mut getting_ready = futures_util::stream::iter(self.players.clone())
            .map(listening)
            .buffered(concurrency);
        while let Some(ready) = getting_ready.next().await {
            waiting.add(ready?);
            self.tell(WorkerEvent::Progress(1));
        }
        Ok(waiting)
    }

    /// Says that all players of this thread are ready, and waits until those of all threads are. Gives the players, in their order, and
    /// the times of the load, which begins now.
    pub async fn ready<T: Waits>(self: &Rc<Self>, waiting: Waiting<T>) -> (Window, Vec<T>) {
        self.tell(WorkerEvent::Slice(None, Box::new(self.tally.take())));
        self.tell(WorkerEvent::Ready);
        let mut go = self.go.clone();
        let start = match go.wait_for(Option::is_some).await {
            Ok(start) => start.expect("that was waited for"),
            // The process is going down.
            Err(_) => std::future::pending().await,
        };
        let players = waiting.all().await;
        // What has come while they waited belongs to their getting ready.
        self.tell(WorkerEvent::Slice(None, Box::new(self.tally.take())));
        let window = Window::new(start, self.plan.warm_up, self.plan.seconds);
        self.window.set(Some(window));
        tokio::task::spawn_local(Rc::clone(self).watch_over(window));
        clock::sleep_until(start).await;
        (window, players)
    }

    /// Hands on what was counted, second by second, and ends the run when nothing comes any more.
    async fn watch_over(self: Rc<Self>, window: Window) {
        let mut next = window.start + clock::SECOND;
        let mut quiet_since = window.end;
        loop {
            clock::sleep_until(next).await;
            let slice = self.tally.take();
            let now = clock::now();
            if !slice.is_quiet() || self.held.get() > 0 {
                quiet_since = now.max(window.end);
            }
            self.tell(WorkerEvent::Slice(
                Some(window.second(next - 1)),
                Box::new(slice),
            ));
            next += clock::SECOND;
            let waited = Duration::from_nanos(now.saturating_sub(window.end));
            let quiet = Duration::from_nanos(now.saturating_sub(quiet_since));
            if waited > DRAIN_MAX || (now > window.end && quiet >= QUIET) {
                self.over.send_replace(true);
                return;
            }
        }
    }

    /// Until nothing more comes after the load.
    pub async fn over(&self) {
        let mut over = self.over.subscribe();
        // The sender is a part of `self`.
        drop(over.wait_for(|over| *over).await);
    }

    /// Listens until the run is over.
    pub async fn drain(&self, player: &mut Player) {
        tokio::select! {
            () = self.over() => {}
            () = player.listen() => {}
        }
    }

    /// Runs a task for each of these to its end.
    pub async fn each<T: 'static, F>(&self, all: Vec<T>, one: impl Fn(T) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let tasks: Vec<_> = all
            .into_iter()
            .map(|item| tokio::task::spawn_local(one(item)))
            .collect();
        for task in tasks {
            if let Err(error) = task.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Hands on what was counted last.
    pub fn end(&self) {
        if let Some(window) = self.window.get() {
            let second = window.second(clock::now());
            self.tell(WorkerEvent::Slice(
                Some(second),
                Box::new(self.tally.take()),
            ));
        }
        self.tell(WorkerEvent::Done);
    }
}
