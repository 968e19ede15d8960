//! Whoever has asked an entity and waits for its answer.

use std::fmt;

use pitturu_protocol::codes::Fault;
use tokio::sync::oneshot;

use crate::call_traces::{self, Part};

/// Where an answer goes that a task waits for.
pub struct Asker<T> {
    to: oneshot::Sender<Result<T, Fault>>,
    part: Part,
}

/// What the task waits with.
pub type Awaited<T> = oneshot::Receiver<Result<T, Fault>>;

impl<T> Asker<T> {
    /// Whoever asks for the call that is being worked on, and where the answer comes.
    pub fn of_this_call() -> (Self, Awaited<T>) {
        let (to, answer) = oneshot::channel();
        let part = call_traces::current().another();
        (Self { to, part }, answer)
    }

    /// What is noted of it.
    pub const fn part(&self) -> Part {
        self.part
    }

    /// Gives the answer. Whoever asked may have gone.
    pub fn answer(self, outcome: Result<T, Fault>) {
        self.part.over();
        drop(self.to.send(outcome));
    }
}

impl<T> From<oneshot::Sender<Result<T, Fault>>> for Asker<T> {
    /// Nobody traces it.
    fn from(to: oneshot::Sender<Result<T, Fault>>) -> Self {
        Self {
            to,
            part: Part::NONE,
        }
    }
}

impl<T> fmt::Debug for Asker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asker")
    }
}
