//! Players who are ready and wait for the others. They go on to listen: the server closes connections that do not answer its heartbeat.

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

use crate::player::Player;

/// What is ready, and waits for the others.
pub trait Waits: 'static {
    /// The player in it, if there is one.
    fn player(&mut self) -> Option<&mut Player>;
}

impl Waits for Player {
    fn player(&mut self) -> Option<&mut Player> {
        Some(self)
    }
}

/// A player, and what the scenario knows of it.
impl<T: 'static> Waits for (T, Player) {
    fn player(&mut self) -> Option<&mut Player> {
        Some(&mut self.1)
    }
}

/// Whoever has left already.
impl Waits for () {
    fn player(&mut self) -> Option<&mut Player> {
        None
    }
}

/// Those who are ready, in the order of their numbers.
#[derive(Debug)]
pub struct Waiting<T>(Vec<JoinHandle<T>>);

impl<T: Waits> Waiting<T> {
    /// Nobody, where players come during the load only.
    pub const fn nobody() -> Self {
        Self(Vec::new())
    }

    pub(super) fn add(&mut self, listening: JoinHandle<T>) {
        self.0.push(listening);
    }

    /// All of them, once they have stopped listening.
    pub(super) async fn all(self) -> Vec<T> {
        let mut all = Vec::with_capacity(self.0.len());
        for listening in self.0 {
            match listening.await {
                Ok(ready) => all.push(ready),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        all
    }
}

/// Listens in a task of this thread until `go` says when the load begins.
pub(super) fn listen_until<T: Waits>(
    mut go: watch::Receiver<Option<u64>>,
    mut ready: T,
) -> JoinHandle<T> {
    spawn_local(async move {
        // Without a sender the process is going down.
        let gone = async { drop(go.wait_for(Option::is_some).await) };
        match ready.player() {
            Some(player) => player.listen_while(gone).await,
            None => gone.await,
        }
        ready
    })
}

#[cfg(test)]
mod tests;
