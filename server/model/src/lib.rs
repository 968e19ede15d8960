//! Executor and outbox of the server, on a scheduler that tries one order of their threads' steps after the other.
//!
//! The two are hard to read because several threads meet in them without waiting for each other. So the very files of the
//! server are compiled here once more, over a [`sync`] whose primitives are those of `shuttle`: each lock and each atomic is a
//! point at which another thread may go on, and a schedule that fails is printed and can be replayed. `tests/executor.rs` and
//! `tests/outbox` hold the scenarios, and say which mistakes they find.
//!
//! [`explore`] tries the orders of one.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "in the server, the modules borrowed here are private as a whole"
)]

use std::env;

pub mod sync;

/// What of the server's `connections` the outbox needs.
#[path = "../../src/connections"]
pub mod connections {
    pub mod address;
    pub mod link;
    pub mod opening;
    pub mod outbox;
}

/// What of the server's `owners` is about who runs a shard.
#[path = "../../src/owners"]
pub mod owners {
    use self::mailbox::Mailbox;

    pub mod executor;
    pub mod mailbox;

    /// Waits as the shard's task does. Time does not pass here, so no tick comes to help.
    pub fn wait_for_work<T>(mailbox: &Mailbox<T>) {
        mailbox.task.wait();
    }

    /// Whether nothing waits for the shard.
    pub fn is_at_rest<T>(mailbox: &Mailbox<T>) -> bool {
        mailbox.is_empty()
    }
}

/// Changes of priority in one schedule of the second kind. Mistakes in concurrent code seldom need more.
const PCT_DEPTH: usize = 3;

/// How many orders [`explore`] tries instead of those that a test asks for, of each kind.
pub const ITERATIONS_VARIABLE: &str = "PITTURU_MODEL_ITERATIONS";

/// Runs the scenario in so many random orders, and in as many in which one thread after the other is held back for long.
pub fn explore(iterations: usize, scenario: fn()) {
    let asked = env::var(ITERATIONS_VARIABLE).ok();
    let asked = asked.map(|count| count.parse().expect("a number of orders"));
    let iterations = asked.unwrap_or(iterations);
    shuttle::check_random(scenario, iterations);
    shuttle::check_pct(scenario, iterations, PCT_DEPTH);
}
