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
        let made = || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::of_this_thread()
        };
        // A thread that moves into it and ends, so that this one stays where it is.
        match thread::spawn(made).join() {
            Ok(made) => made,
            Err(panicked) => resume_unwind(panicked),
        }
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

    /// Does something in it: this thread is there meanwhile, and back afterwards. Sockets that are opened there stay there, whoever uses
    /// them.
    ///
    /// # Panics
    /// The thread can't come back.
    pub fn run<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let _back = ComeBack(Self::of_this_thread()?);
        self.enter()?;
        work()
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

/// Brings the thread back to this namespace when it is dropped.
struct ComeBack(Namespace);

impl Drop for ComeBack {
    fn drop(&mut self) {
        self.0
            .enter()
            .expect("a thread may go back to where it came from");
    }
}
