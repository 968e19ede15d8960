//! The threads that serve connections. Each has an event loop of its own and serves those that it was given, from their
//! handshake to their end.
//!
//! Threads that take work from each other wake one another for every message that comes alone, to look whether there is
//! more. Here a message is read, decided and passed on by one thread, and nobody else hears of it. The price: a
//! connection waits while another one of its I/O thread is being served, though a core may be idle. So nothing long is
//! done on an I/O thread: passwords, reads from the disk and broadcasts to hundreds have threads of their own.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, available_parallelism};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

/// The I/O threads of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct IoThreads(Arc<[Arc<IoThread>]>);

#[derive(Debug)]
struct IoThread {
    runtime: Handle,
    connections: AtomicUsize,
}

/// A connection's place on its I/O thread, given back when dropped.
#[derive(Debug)]
pub struct ThreadSlot(Arc<IoThread>);

/// The threads themselves. They end with this, and so does what they serve.
#[derive(Debug)]
pub struct RunningIoThreads {
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl IoThreads {
    /// Starts so many threads; 0: one per core.
    ///
    /// # Errors
    /// The system has no more threads or files.
    pub fn start(count: usize) -> io::Result<(Self, RunningIoThreads)> {
        let count = match count {
            0 => available_parallelism().map_or(1, NonZeroUsize::get),
            count => count,
        };
        let (stop, stopped) = watch::channel(false);
        let mut threads = RunningIoThreads {
            stop,
            threads: Vec::with_capacity(count),
        };
        let mut io_threads = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            io_threads.push(Arc::new(IoThread {
                runtime: runtime.handle().clone(),
                connections: AtomicUsize::new(0),
            }));
            let stopped = stopped.clone();
            let thread = thread::Builder::new().name(format!("io-{number}"));
            threads
                .threads
                .push(thread.spawn(move || serve(&runtime, stopped))?);
        }
        Ok((Self(io_threads.into()), threads))
    }

    /// A place on the I/O thread that has the fewest connections.
    pub fn assign(&self) -> ThreadSlot {
        let connections =
            |io_thread: &&Arc<IoThread>| io_thread.connections.load(Ordering::Relaxed);
        let io_thread = self.0.iter().min_by_key(connections);
        let io_thread = Arc::clone(io_thread.expect("there is at least one I/O thread"));
        io_thread.connections.fetch_add(1, Ordering::Relaxed);
        ThreadSlot(io_thread)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// An I/O thread for the task of this number. Tasks that are numbered one after the other spread evenly.
    pub fn of_task(&self, number: usize) -> &Handle {
        &self.0[number % self.0.len()].runtime
    }
}

fn serve(runtime: &Runtime, mut stopped: watch::Receiver<bool>) {
    // The sender goes away together with the process.
    drop(runtime.block_on(stopped.wait_for(|stopped| *stopped)));
}

impl ThreadSlot {
    /// Where the connection's tasks run.
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for RunningIoThreads {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an I/O thread broke off");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_spread_and_places_come_back() {
        let (io_threads, _threads) = IoThreads::start(2).expect("two threads");
        let mut slots: Vec<ThreadSlot> = (0..10).map(|_| io_threads.assign()).collect();
        let counts = || {
            [0, 1]
                .map(|io_thread: usize| io_threads.0[io_thread].connections.load(Ordering::Relaxed))
        };
        assert_eq!(counts(), [5, 5]);
        slots.truncate(3);
        assert_eq!(counts().iter().sum::<usize>(), 3);
        let _fourth = io_threads.assign();
        assert_eq!(counts(), [2, 2]);
    }

    #[test]
    fn what_an_io_thread_serves_ends_with_its_thread() {
        let (io_threads, threads) = IoThreads::start(1).expect("a thread");
        let held = Arc::new(());
        let witness = Arc::clone(&held);
        let (began, beginning) = std::sync::mpsc::channel();
        io_threads.assign().runtime().spawn(async move {
            began
                .send(thread::current().name().map(str::to_owned))
                .expect("the test waits");
            std::future::pending::<()>().await;
            drop(witness);
        });
        let name = beginning.recv().expect("the task began");
        assert_eq!(name.as_deref(), Some("io-0"));
        assert_eq!(Arc::strong_count(&held), 2);
        drop(threads);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
