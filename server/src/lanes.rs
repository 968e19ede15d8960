//! The threads that serve connections. Each has an event loop of its own and serves those that it was given, from their
//! handshake to their end.
//!
//! Threads that take work from each other wake one another for every message that comes alone, to look whether there is
//! more. Here a message is read, decided and passed on by one thread, and nobody else hears of it. The price: a
//! connection waits while another one of its lane is being served, though a core may be idle. So nothing long is
//! done on a lane: passwords, reads from the disk and broadcasts to hundreds have threads of their own.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, available_parallelism};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

/// The lanes of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lanes(Arc<[Arc<Lane>]>);

#[derive(Debug)]
struct Lane {
    runtime: Handle,
    connections: AtomicUsize,
}

/// A connection's place on its lane, given back when dropped.
#[derive(Debug)]
pub struct Berth(Arc<Lane>);

/// The threads themselves. They end with this, and so does what they serve.
#[derive(Debug)]
pub struct LaneThreads {
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Lanes {
    /// Starts so many threads; 0: one per core.
    ///
    /// # Errors
    /// The system has no more threads or files.
    pub fn start(count: usize) -> io::Result<(Self, LaneThreads)> {
        let count = match count {
            0 => available_parallelism().map_or(1, NonZeroUsize::get),
            count => count,
        };
        let (stop, stopped) = watch::channel(false);
        let mut threads = LaneThreads {
            stop,
            threads: Vec::with_capacity(count),
        };
        let mut lanes = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            lanes.push(Arc::new(Lane {
                runtime: runtime.handle().clone(),
                connections: AtomicUsize::new(0),
            }));
            let stopped = stopped.clone();
            let thread = thread::Builder::new().name(format!("lane-{number}"));
            threads
                .threads
                .push(thread.spawn(move || serve(&runtime, stopped))?);
        }
        Ok((Self(lanes.into()), threads))
    }

    /// A place on the lane that has the fewest connections.
    pub fn board(&self) -> Berth {
        let connections = |lane: &&Arc<Lane>| lane.connections.load(Ordering::Relaxed);
        let lane = self.0.iter().min_by_key(connections);
        let lane = Arc::clone(lane.expect("there is at least one lane"));
        lane.connections.fetch_add(1, Ordering::Relaxed);
        Berth(lane)
    }

    /// A lane for the task of this number. Tasks that are numbered one after the other spread evenly.
    pub fn of_task(&self, number: usize) -> &Handle {
        &self.0[number % self.0.len()].runtime
    }
}

fn serve(runtime: &Runtime, mut stopped: watch::Receiver<bool>) {
    // The sender goes away together with the process.
    drop(runtime.block_on(stopped.wait_for(|stopped| *stopped)));
}

impl Berth {
    /// Where the connection's tasks run.
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for LaneThreads {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a lane broke off");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_spread_and_places_come_back() {
        let (lanes, _threads) = Lanes::start(2).expect("two threads");
        let mut berths: Vec<Berth> = (0..10).map(|_| lanes.board()).collect();
        let counts = || [0, 1].map(|lane: usize| lanes.0[lane].connections.load(Ordering::Relaxed));
        assert_eq!(counts(), [5, 5]);
        berths.truncate(3);
        assert_eq!(counts().iter().sum::<usize>(), 3);
        let _fourth = lanes.board();
        assert_eq!(counts(), [2, 2]);
    }

    #[test]
    fn what_a_lane_serves_ends_with_its_thread() {
        let (lanes, threads) = Lanes::start(1).expect("a thread");
        let held = Arc::new(());
        let witness = Arc::clone(&held);
        let (began, beginning) = std::sync::mpsc::channel();
        lanes.board().runtime().spawn(async move {
            began
                .send(thread::current().name().map(str::to_owned))
                .expect("the test waits");
            std::future::pending::<()>().await;
            drop(witness);
        });
        let name = beginning.recv().expect("the task began");
        assert_eq!(name.as_deref(), Some("lane-0"));
        assert_eq!(Arc::strong_count(&held), 2);
        drop(threads);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
