//! Open files: how many the system lets the process have, and who gets how many of them.
//!
//! Each connection over TCP is one. What the server itself needs is kept back from connections, so that the store goes on and the
//! operations port answers however many connections come.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use super::StartError;

/// Standard streams, listeners, timers and wake-ups of the first thread, and what is read now and then.
const OWN: u64 = 40;

/// What one I/O thread waits with.
const PER_IO_THREAD: u64 = 4;

/// Connections of operators: [`CONNECTIONS_MAX`](crate::ops).
const OPERATIONS: u64 = 16;

/// Connections that are being told that there is no place for them.
const REFUSALS: u64 = 64;

/// What the store has open beside the files that it keeps: journals, and what it writes, merges and scans.
const STORE_WORK: u64 = 64;

/// Fewest files that the store keeps open for the next read.
const STORE_KEPT_LEAST: u64 = 64;

/// Most of them. More would be opened anew no less often.
const STORE_KEPT_MOST: u64 = 900;

/// One in so many is the store's, between the two.
const STORE_SHARE: u64 = 4;

/// How many files the process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    limit: u64,
}

impl OpenFiles {
    /// As many as the process may have now.
    pub fn now() -> Self {
        Self {
            limit: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        }
    }

    /// Has the process have as many as it may without asking anybody.
    pub(super) fn raise() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if limit.current != limit.maximum
            && let Err(error) = setrlimit(Resource::Nofile, raised)
        {
            warn!(%error, "can't raise the limit of open files");
        }
        Self::now()
    }

    /// Files that the store may keep open for the next read.
    pub fn kept_by_store(self) -> usize {
        let share = (self.limit / STORE_SHARE).clamp(STORE_KEPT_LEAST, STORE_KEPT_MOST);
        usize::try_from(share).unwrap_or(usize::MAX)
    }

    /// How many of `connections` over TCP there are files for. Warns if it is not all of them.
    ///
    /// # Errors
    /// [`StartError::OpenFiles`]: there is none for any.
    pub(super) fn for_connections(
        self,
        connections: usize,
        io_threads: usize,
    ) -> Result<usize, StartError> {
        let own = own(io_threads);
        let left = self.limit.saturating_sub(own + self.kept_by_store() as u64);
        if left == 0 {
            return Err(StartError::OpenFiles {
                limit: self.limit,
                needed: needed(1, own),
            });
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if left < connections {
            let needed = needed(connections as u64, own);
            warn!(
                open_files = self.limit,
                connections = left,
                "the limit of open files lets {left} connections over TCP in, and not listen.connections_max ({connections}): \
                 raise it to {needed} (LimitNOFILE of systemd, ulimit -Hn of a shell)"
            );
        }
        Ok(left.min(connections))
    }
}

/// What is kept back beside the files that the store keeps open.
const fn own(io_threads: usize) -> u64 {
    OWN + PER_IO_THREAD * io_threads as u64 + OPERATIONS + REFUSALS + STORE_WORK
}

/// The least limit with which there are files for so many connections.
fn needed(connections: u64, own: u64) -> u64 {
    let others = connections + own;
    // A quarter of the limit is a third of the rest.
    let share = others.div_ceil(STORE_SHARE - 1);
    others + share.clamp(STORE_KEPT_LEAST, STORE_KEPT_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn let_in(limit: u64, connections: usize) -> Option<usize> {
        OpenFiles { limit }.for_connections(connections, 2).ok()
    }

    #[test]
    fn what_the_server_needs_is_kept_back() {
        for (limit, wanted, expected) in [
            (64, 10, None),
            (256, 10, None),
            (257, 10, Some(1)),
            (300, 50_000, Some(33)),
            (1_024, 50_000, Some(576)),
            (1_024, 100, Some(100)),
            (65_536, 50_000, Some(50_000)),
            (u64::MAX, 10_000_000, Some(10_000_000)),
        ] {
            assert_eq!(let_in(limit, wanted), expected, "{limit}");
        }
    }

    #[test]
    fn with_what_is_said_to_be_needed_there_are_enough() {
        for connections in [1, 2, 3, 10, 100, 500, 2_000, 5_000, 50_000, 1_000_000] {
            let needed = needed(connections, own(2));
            let wanted = usize::try_from(connections).unwrap();
            assert_eq!(let_in(needed, wanted), Some(wanted), "{connections}");
            let fewer = let_in(needed - 3, wanted).unwrap_or(0);
            assert!(fewer < wanted, "{connections}");
        }
    }
}
