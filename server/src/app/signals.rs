//! What signals do: two ask for the end, one for another look at the configuration, and the rest for nothing.

use std::io;
use std::ops::RangeInclusive;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use super::Sessions;
use super::reload::Reloading;

/// Exit code of a process that a second signal ended before its shutdown was over.
const IMPATIENT: i32 = 130;

/// Signals that would end the process without an orderly end, and mean nothing here. Those of faults are left as they are.
const HARMLESS: [Number; 9] = [
    Number::USR1,
    Number::USR2,
    Number::PIPE,
    Number::ALARM,
    Number::VTALARM,
    Number::PROF,
    Number::IO,
    Number::XCPU,
    Number::XFSZ,
];

/// Those that Linux has beside them: of a coprocessor, of the power supply, and the real-time signals.
const HARMLESS_ON_LINUX: [RangeInclusive<i32>; 3] = [16..=16, 30..=30, 34..=64];

fn harmless() -> impl Iterator<Item = i32> {
    let everywhere = HARMLESS.into_iter().map(Number::as_raw);
    let on_linux = HARMLESS_ON_LINUX.into_iter().flatten();
    everywhere.chain(on_linux.filter(|_| cfg!(target_os = "linux")))
}

/// The signals that must not end a process that serves, from before it reads its configuration: the rest asks for the end, and may end
/// what has not begun.
#[derive(Debug)]
pub struct EarlySignals {
    /// What is asked for before the server is ready is done when it is.
    hangup: Signal,
}

impl EarlySignals {
    /// From now on none of them ends the process. Called within a runtime.
    ///
    /// # Errors
    /// Those of the system.
    pub fn listen() -> io::Result<Self> {
        for number in harmless() {
            // Whoever listens once has taken the signal from the system for good.
            drop(signal(SignalKind::from_raw(number))?);
        }
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// The signals that ask for something.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on no signal but those of faults ends the process before it is asked for the end.
    pub(super) fn listen(early: EarlySignals) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: early.hangup,
        })
    }

    /// Waits for one that asks for the end, or for another look at the configuration.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.quit.recv() => Asked::End,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Returns at the first signal that asks for the end. The second ends the process.
    pub(super) async fn wait_then_watch<S: Sessions>(mut self, mut reloading: Reloading<S>) {
        loop {
            tokio::select! {
                asked = self.next() => match asked {
                    Asked::End => break,
                    Asked::Reload => reloading.reload(),
                },
                ended = reloading.ended() => reloading.go_on(ended),
            }
        }
        // What is being read is for nobody: the end does not wait for its thread.
        drop(reloading);
        tokio::spawn(async move {
            while self.next().await == Asked::Reload {
                info!("the configuration is not read again: the server is shutting down");
            }
            std::process::exit(IMPATIENT);
        });
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    End,
    Reload,
}
