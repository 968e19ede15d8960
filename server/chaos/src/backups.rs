//! Backups that are made while the server is broken, and what a store that is made of one has to have: whatever was acknowledged before it
//! was begun, and nothing that was asked after it was made.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::audit::{audit, seasons_end};
use crate::model::{Violation, check};
use crate::players::World;
use crate::record::{Line, What};
use crate::server::{Installation, Server, Start, make_backup};

/// Longest time for what entities of a restored store tell each other.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// The backups of a round.
#[derive(Debug, Default)]
pub struct Backups {
    /// How many were begun.
    begun: u32,
    /// The newest one that was made.
    made: Arc<Mutex<Option<u32>>>,
    under_way: Option<JoinHandle<()>>,
}

impl Backups {
    /// Has the server make one, while everything goes on. It may end before that is done.
    pub fn begin(&mut self, server: &Server, world: &Arc<World>) {
        self.begun += 1;
        let (number, ops) = (self.begun, server.ops());
        let (made, world) = (Arc::clone(&self.made), Arc::clone(world));
        world.record.write(0, What::Fault(begun(number)));
        self.under_way = Some(tokio::task::spawn_blocking(move || {
            if make_backup(ops, &name(number)) {
                world.record.write(0, What::Fault(is_made(number)));
                *made.lock() = Some(number);
            }
        }));
    }

    /// Waits until none is under way. The number of the newest one that was made.
    pub async fn newest(&mut self) -> Option<u32> {
        if let Some(under_way) = self.under_way.take() {
            // One that broke off was not made.
            let _ = under_way.await;
        }
        *self.made.lock()
    }
}

fn name(number: u32) -> String {
    format!("backup-{number}")
}

fn begun(number: u32) -> String {
    format!("{} is begun", name(number))
}

fn is_made(number: u32) -> String {
    format!("{} is made", name(number))
}

/// What of the record a backup answers for: all that was asked and told before it was begun, and what was asked before it was made, which
/// it may have or not.
fn answered_for(lines: &[Line], number: u32) -> Vec<Line> {
    let is_line =
        |line: &&Line, text: &str| matches!(&line.what, What::Fault(fault) if fault == text);
    let (begun, is_made) = (begun(number), is_made(number));
    let told = lines.iter().take_while(|line| !is_line(line, &begun));
    let meanwhile = lines.iter().skip_while(|line| !is_line(line, &begun));
    let meanwhile = meanwhile.take_while(|line| !is_line(line, &is_made));
    let asked = meanwhile.filter(|line| matches!(line.what, What::Asked(..)));
    told.chain(asked).cloned().collect()
}

/// Restores a backup, starts a server on it, and compares all that it has with what the backup answers for.
///
/// # Errors
/// What keeps it from being looked at.
pub async fn check_restored(
    from: &Installation,
    restored: Installation,
    (number, start): (u32, Start),
    lines: &[Line],
    world: &World,
) -> Result<Vec<Violation>, String> {
    let from = from.clone();
    let starting = tokio::task::spawn_blocking(move || {
        let (is_restored, said) = restored.restore(&from, &name(number))?;
        if !is_restored {
            return Err(std::io::Error::other(said));
        }
        let server = restored.start(&start).map_err(std::io::Error::other)?;
        Ok((restored, server))
    });
    let started = starting.await.map_err(|error| error.to_string())?;
    let (restored, server) = started.map_err(|error| error.to_string())?;
    seasons_end(world, server.ws)
        .await
        .map_err(|unended| unended.to_string())?;
    let began = Instant::now();
    while server.signals_wait() {
        if began.elapsed() > SETTLED_WITHIN {
            return Err("signals never arrive".to_owned());
        }
        sleep(Duration::from_millis(20)).await;
    }
    let audit = audit(world, server.ws)
        .await
        .map_err(|unreadable| unreadable.to_string())?;
    server.kill();
    let mut found = check(&answered_for(lines, number), world, &audit);
    for violation in &mut found {
        violation.subject = format!("the restored {}, {}", name(number), violation.subject);
    }
    match restored
        .verify_ledger()
        .map_err(|error| error.to_string())?
    {
        (true, _) => Ok(found),
        (false, said) => Err(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Ask, Outcome, Reply};

    fn line(what: What) -> Line {
        Line {
            at: Duration::ZERO,
            player: 0,
            what,
        }
    }

    fn asked(call: u64) -> Line {
        line(What::Asked(call, Ask::Wallet, call.to_string()))
    }

    fn answered(call: u64) -> Line {
        line(What::Answered(call, Outcome::Done(Reply::Done)))
    }

    #[test]
    fn a_backup_answers_for_what_was_told_before_and_may_have_what_was_asked_meanwhile() {
        let fault = |text: String| line(What::Fault(text));
        let lines = [
            asked(1),
            fault(begun(1)),
            answered(1),
            asked(2),
            fault(begun(2)),
            asked(3),
            answered(2),
            answered(3),
            fault(is_made(2)),
            asked(4),
            answered(4),
        ];
        let kept = answered_for(&lines, 2);
        let calls: Vec<(u64, bool)> = kept
            .iter()
            .filter_map(|line| match &line.what {
                What::Asked(call, ..) => Some((*call, false)),
                What::Answered(call, _) => Some((*call, true)),
                _ => None,
            })
            .collect();
        assert_eq!(calls, [(1, false), (1, true), (2, false), (3, false)]);
    }
}
