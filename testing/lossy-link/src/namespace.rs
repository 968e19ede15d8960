//! Network namespaces: what of the network a thread, and the programs that it starts, can see.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The namespace of the thread that reads this.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace. It is there for as long as this, a thread, a program or a socket is in it.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<File>);

impl Namespace {
    /// A new one, in which nothing but a loopback device is, and that is down.
    pub(crate) fn new() -> io::Result<Self> {
        on_new_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::of_this_thread()
        })
    }

    /// The one in which this thread is.
    pub fn of_this_thread() -> io::Result<Self> {
        Ok(Self(Arc::new(File::open(OWN)?)))
    }

    /// Moves this thread into it, for good: what it opens and starts from here on, threads and programs among them, is there. Made for
    /// `on_thread_start` of a tokio runtime.
    pub fn enter(&self) -> io::Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    }

    /// Does something in it, on a thread of its own, and waits for that. Sockets that are opened there stay there, whoever uses them.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_new_thread(|| {
            self.enter()?;
            work()
        })
    }

    /// Starts a program in it.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.run(|| command.spawn())
    }

    /// A path under which programs such as `nsenter --net=` find it while this process has it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.0.as_raw_fd()
        ))
    }
}

fn on_new_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(done) => done,
        Err(panicked) => resume_unwind(panicked),
    })
}
