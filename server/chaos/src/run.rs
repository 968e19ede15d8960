//! One round after the other.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pitturu_protocol::limits::BOARD_TOP;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::actions::{last_word, set_up, work};
use crate::audit::{Audit, audit, seasons_end};
use crate::backups::check_restored;
use crate::cli::Arguments;
use crate::faults::Breaker;
use crate::game::{self, BOARDS};
use crate::model::{Violation, check};
use crate::players::World;
use crate::proxy::Proxy;
use crate::record::{Line, Record, What};
use crate::report::{Report, Shown};
use crate::server::{Installation, Start};
use crate::tokens::drill;

/// Longest time for all calls of a round to end, and for all streams to come to their heads, on a server that works.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// How long after a season was closed its places are being told at the latest.
const PLACES_AFTER: Duration = Duration::from_millis(300);

/// Accounts whose tokens are looked at on their own.
const DRILLS: u64 = 2;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A socket or a folder.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A server that nobody has broken yet.
    #[error("the first start: {0}")]
    Start(#[from] crate::server::ServerError),
    /// Players on a server that nobody has broken yet.
    #[error("setting up: {0}")]
    SetUp(String),
}

/// Runs rounds until the time is over or something is wrong.
///
/// # Errors
/// [`RunError`]: what is no fault of a broken server.
pub async fn run(
    arguments: &Arguments,
    program: (PathBuf, Vec<String>),
) -> Result<Report, RunError> {
    let mut report = Report::default();
    let began = Instant::now();
    let limit = Duration::from_secs_f64(arguments.minutes * 60.0);
    while let Some(arguments) = arguments.round(report.rounds) {
        let round = Round {
            installation: Installation::new(program.clone(), arguments.undo.clone())?
                .with_game(game::FILE, game::SETTINGS)?,
            restored: Installation::new(program.clone(), Vec::new())?
                .with_game(game::FILE, game::SETTINGS)?,
            arguments: &arguments,
            seed: arguments.seed,
        };
        let violations = round.run(&mut report).await?;
        report.rounds += 1;
        report.took = began.elapsed();
        let is_wrong = !violations.is_empty();
        for violation in violations {
            let shown = Shown {
                command: arguments.command(),
                violation,
            };
            // A run may take an hour, and whoever waits for it wants to know.
            write!(io::stdout(), "{shown}")?;
            report.violations.push(shown);
        }
        let is_over = arguments.rounds.is_none() && began.elapsed() >= limit;
        if is_over || (is_wrong && !arguments.keep_going) {
            break;
        }
    }
    Ok(report)
}

struct Round<'a> {
    arguments: &'a Arguments,
    seed: u64,
    installation: Installation,
    /// What becomes of a backup.
    restored: Installation,
}

impl Round<'_> {
    async fn run(self, report: &mut Report) -> Result<Vec<Violation>, RunError> {
        let server = self.installation.start(&Start::default())?;
        let proxy = Proxy::start(server.ws).await?;
        let record = Arc::<Record>::default();
        let world = World::begin(
            proxy.address,
            self.seed,
            self.arguments.sdk_players,
            self.arguments.raw_players.max(4),
            record,
        )
        .await
        .map_err(RunError::SetUp)?;
        let world = Arc::new(world);
        set_up(&world).await.map_err(RunError::SetUp)?;

        let mut breaker = Breaker::new(
            self.installation.clone(),
            server,
            proxy.clone(),
            Arc::clone(&world),
            &self.arguments.kinds(),
        );
        let (workers, drills) = self.begin(&world, &proxy);
        let time = Duration::from_secs_f64(self.arguments.round_seconds);
        let broken = breaker.run(time).await;
        world.stop.store(true, Ordering::Relaxed);
        let whole = match broken {
            Ok(()) => breaker.make_whole().await,
            Err(error) => Err(error),
        };
        let mut violations = Vec::new();
        match whole {
            Ok(()) => violations.extend(self.settle(&world, workers, drills, &breaker).await),
            Err(error) => violations.push(violation("starts and ends in order", &error)),
        }
        let panics = self.installation.panics();
        violations.extend(panics.iter().map(|line| violation("no panic", line)));
        report.count_faults(&breaker.counts, self.installation.acted());
        let backup = breaker.newest_backup().await;
        let lines = self.check(&world, &mut violations, &breaker).await;
        let said = breaker.verify_ledger().await;
        violations.extend(said.map(|said| violation("pitturu ledger verify", &said)));
        violations.extend(self.check_backup(backup, &breaker, &lines, &world).await);
        report.restored += u64::from(backup.is_some());
        report.count_lines(&lines);
        if !violations.is_empty() {
            violations.push(self.log(&lines));
        }
        Ok(violations)
    }

    /// What was done to the server, and what it has said last.
    fn log(&self, lines: &[Line]) -> Violation {
        let faults = lines.iter().filter_map(|line| match &line.what {
            What::Fault(fault) => Some(format!("{:9.3} {fault}", line.at.as_secs_f64())),
            _ => None,
        });
        let log = self.installation.last_lines();
        Violation {
            rule: "log",
            subject: "the server".to_owned(),
            message: "all faults of the round, and the last lines of its log".to_owned(),
            trace: faults.chain(log.lines().map(str::to_owned)).collect(),
        }
    }

    fn begin(&self, world: &Arc<World>, proxy: &Proxy) -> (JoinSet<()>, JoinSet<Vec<Violation>>) {
        let mut workers = JoinSet::new();
        for player in 0..world.players.len() {
            for worker in 0..self.arguments.workers {
                let seed = self.seed.wrapping_mul(1_000_003) + (player * 100 + worker) as u64;
                workers.spawn(work(Arc::clone(world), player, seed));
            }
        }
        let mut drills = JoinSet::new();
        for number in 0..DRILLS {
            drills.spawn(drill(Arc::clone(world), proxy.address, number));
        }
        (workers, drills)
    }

    /// Waits until nobody waits for anything any more.
    async fn settle(
        &self,
        world: &World,
        mut workers: JoinSet<()>,
        mut drills: JoinSet<Vec<Violation>>,
        breaker: &Breaker,
    ) -> Vec<Violation> {
        let mut violations = Vec::new();
        let ended = async { while workers.join_next().await.is_some() {} };
        if timeout(SETTLED_WITHIN, ended).await.is_err() {
            violations.push(violation("every call ends", "some never did"));
        }
        let ended = async {
            let mut found = Vec::new();
            while let Some(drill) = drills.join_next().await {
                match drill {
                    Ok(more) => found.extend(more),
                    Err(error) => found.push(violation("tokens", &error)),
                }
            }
            found
        };
        match timeout(2 * SETTLED_WITHIN, ended).await {
            Ok(found) => violations.extend(found),
            Err(_) => violations.push(violation("tokens", "a sign-in does not go through")),
        }
        for player in &world.players {
            player.hurry();
        }
        let began = Instant::now();
        while !world.players.iter().all(|player| player.is_online()) {
            if began.elapsed() > SETTLED_WITHIN {
                let away = world.players.iter().filter(|player| !player.is_online());
                let states: Vec<String> = away.map(|player| player.state()).collect();
                violations.push(violation("everybody comes back", &states.join(", ")));
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        let Some(address) = breaker.address() else {
            violations.push(violation("starts and ends in order", "there is no server"));
            return violations;
        };
        if let Err(unended) = seasons_end(world, address).await {
            violations.push(violation("seasons end", &unended));
        }
        if let Err(refused) = last_word(world).await {
            violations.push(violation("everything can be done", &refused));
        }
        // What one entity tells another comes after the answer, and is tried again after a second.
        let began = Instant::now();
        sleep(PLACES_AFTER).await;
        while breaker.signals_wait() {
            if began.elapsed() > SETTLED_WITHIN {
                violations.push(violation("signals arrive", "some never did"));
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        violations
    }

    /// Has a backup of the round restored elsewhere, and compares what is there.
    async fn check_backup(
        &self,
        backup: Option<u32>,
        breaker: &Breaker,
        lines: &[Line],
        world: &World,
    ) -> Vec<Violation> {
        let Some(number) = backup else {
            return vec![violation("a backup can be made", "none was")];
        };
        let (from, to) = (&self.installation, self.restored.clone());
        let backup = (number, breaker.start_as_now());
        match check_restored(from, to, backup, lines, world).await {
            Ok(found) => found,
            Err(why) => vec![violation("a backup can be restored", &why)],
        }
    }

    /// Reads what the server has, waits until everybody has heard of it, and compares.
    async fn check(
        &self,
        world: &World,
        violations: &mut Vec<Violation>,
        breaker: &Breaker,
    ) -> Vec<Line> {
        let Some(address) = breaker.address() else {
            return world.record.take();
        };
        let audit = match audit(world, address).await {
            Ok(audit) => audit,
            Err(unreadable) => {
                violations.push(violation("everything can be read", &unreadable));
                return world.record.take();
            }
        };
        violations.extend(converge(world, &audit).await);
        let lines = world.record.take();
        violations.extend(check(&lines, world, &audit));
        lines
    }
}

/// Everybody whose room is open hears all of it.
async fn converge(world: &World, audit: &Audit) -> Vec<Violation> {
    let began = Instant::now();
    loop {
        let mut behind = Vec::new();
        for player in &world.players {
            for (room, seq, rev) in player.standing() {
                let Some(view) = audit.rooms.get(&room).and_then(|audit| audit.view.as_ref())
                else {
                    continue;
                };
                if seq < view.info.head || rev < view.rev {
                    behind.push(format!(
                        "{} has come to {seq} and {rev} in {room}, which has {} and {}",
                        player.name, view.info.head, view.rev
                    ));
                }
            }
        }
        behind.extend(followers_behind(world, audit));
        if behind.is_empty() {
            return Vec::new();
        }
        if began.elapsed() > SETTLED_WITHIN {
            let found = behind.iter();
            return found
                .map(|text| violation("everybody hears everything", text))
                .collect();
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Who follows a leaderboard and was not told last how it stands.
fn followers_behind(world: &World, audit: &Audit) -> Vec<String> {
    let mut behind = Vec::new();
    for board in BOARDS {
        let seasons = audit
            .seasons
            .range((board.name, 0)..=(board.name, u64::MAX));
        let Some((_, newest)) = seasons.max_by_key(|((_, number), _)| *number) else {
            continue;
        };
        for player in &world.players {
            let own = newest.entries.iter().find(|it| it.user == player.user);
            let top = newest.entries.iter().take(BOARD_TOP);
            let told = world.record.standing(player.number, board.name);
            let is_right = told.as_ref().is_some_and(|told| {
                let is_newest = told.season == newest.info.number && told.count == newest.count;
                is_newest && told.own.as_ref() == own && told.top.iter().eq(top)
            });
            if !is_right {
                let (name, board) = (&player.name, board.name);
                behind.push(format!(
                    "{name} was told last of {board}: {told:?}, which has {newest:?}"
                ));
            }
        }
    }
    behind
}

fn violation(rule: &'static str, what: &(impl ToString + ?Sized)) -> Violation {
    Violation {
        rule,
        subject: "the round".to_owned(),
        message: what.to_string(),
        trace: Vec::new(),
    }
}
