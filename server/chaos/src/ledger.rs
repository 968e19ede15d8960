//! The ledger of points under kills: as many random movements as are wanted, most of them with a few players, and a model of all books
//! that is compared with what the server has.
//!
//! - [`cli`], [`run`]: the command, and what it does;
//! - `people`: who signs up; `clients`: who is connected; `draw`: what they send; `calls`: what is asked;
//! - `world`, `state`: what all clients share, and what became of each call; `breaker`: the process, and its ends;
//! - `model`: every player's books, carried out again by `books`; `reader`, `queries`, `refusals`: what is compared with them;
//! - `report`: what is said about it.
//!
//! The model knows the protocol and nothing of the server's rules.

pub mod cli;

mod audit;
mod breaker;
mod calls;
mod clients;
mod draw;
mod model;
mod people;
mod queries;
mod reader;
mod refusals;
mod report;
mod state;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::audit::Auditor;
use self::breaker::{Breaker, POINTS};
use self::cli::Arguments;
use self::clients::{Client, Role};
use self::people::{SERVICES, sign_up};
pub use self::report::Report;
use self::world::{Phase, Process, World};
use crate::books::Books;
use crate::run::RunError;
use crate::server::Installation;

/// Longest time without any acknowledged movement.
const MOVES_WITHIN: Duration = Duration::from_secs(60);

/// Longest time for everything that was sent to be answered, and for signals to arrive.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// Of five clients, those that call as services.
const SERVICES_OF_FIVE: usize = 2;

/// Moves points, kills the server, and compares.
///
/// # Errors
/// [`RunError`]: what is no fault of a broken server.
pub async fn run(
    arguments: &Arguments,
    program: (PathBuf, Vec<String>),
) -> Result<Report, RunError> {
    let began = Instant::now();
    let arguments = &arguments.of_form();
    let installation = Installation::new(program, arguments.undo.clone())?;
    let server = breaker::start(&installation, 0)?;
    let signing = sign_up(server.ws, arguments.seed, arguments.players);
    let people = signing.await.map_err(RunError::SetUp)?;
    let process = Process {
        address: server.ws,
        number: 1,
    };
    let busy = arguments.busy.min(arguments.players);
    let (seed, goal) = (arguments.seed, arguments.movements);
    let world = World::new(people, (SERVICES, busy), seed, goal, process);
    let world = Arc::new(world);
    let points = match arguments.points.is_empty() {
        true => POINTS.iter().map(|point| (*point).to_owned()).collect(),
        false => arguments.points.clone(),
    };
    let breaker = Breaker::new(installation, server, Arc::clone(&world), points);
    let mut run = Run {
        arguments,
        auditor: Auditor::new(Arc::clone(&world)),
        world,
        breaker,
        moved: Duration::ZERO,
    };
    let clients = run.connect();
    if let Err(error) = run.carry_out().await {
        let lines = run.breaker.last_lines();
        let message = format!("{error}; the last lines of its log:\n{lines}");
        run.world
            .violation("the run comes to its end", "the server", message);
    }
    run.world.turn_to(Phase::Stop);
    clients.join_all().await;
    Ok(run.report(began.elapsed()))
}

struct Run<'a> {
    arguments: &'a Arguments,
    world: Arc<World>,
    breaker: Breaker,
    auditor: Auditor,
    moved: Duration,
}

impl Run<'_> {
    fn connect(&self) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        let mut rng = Rng::with_seed(self.world.seed);
        self.world.state.lock().connected = vec![0; self.arguments.connections];
        for number in 0..self.arguments.connections {
            let role = match number % 5 < SERVICES_OF_FIVE {
                true => Role::Service,
                false => Role::Player,
            };
            let client = Client {
                world: Arc::clone(&self.world),
                number,
                role,
                rng: rng.fork(),
            };
            clients.spawn(client.run());
        }
        clients
    }

    fn progress(&self) -> u64 {
        self.world.state.lock().progress()
    }

    fn is_wrong(&self) -> bool {
        !self.world.state.lock().violations.is_empty()
    }

    async fn carry_out(&mut self) -> Result<(), String> {
        let (kills, goal) = (self.arguments.kills, self.arguments.movements);
        let mut rng = Rng::with_seed(self.world.seed.wrapping_add(1));
        for number in 0..kills {
            let share = f64::from(number) + rng.f64();
            self.move_until(at(goal, share, kills)).await?;
            self.breaker.kill().await;
            if is_one_of(number, kills, self.arguments.audits) {
                self.verify().await?;
            }
            self.breaker
                .start()
                .await
                .map_err(|error| error.to_string())?;
            if is_one_of(number, kills, self.arguments.audits) {
                self.settle().await?;
                self.auditor.look(self.arguments.queries).await?;
                self.say();
                if self.is_wrong() {
                    return Ok(());
                }
                self.world.turn_to(Phase::Move);
            }
        }
        self.move_until(goal).await?;
        self.finish().await
    }

    /// Has everything answered, also what waited for its time, and compares once more from the beginning.
    async fn finish(&mut self) -> Result<(), String> {
        self.settle().await?;
        self.world.state.lock().send_all_of_later();
        self.settle().await?;
        self.breaker
            .stop()
            .await
            .map_err(|error| error.to_string())?;
        self.verify().await?;
        self.breaker
            .start()
            .await
            .map_err(|error| error.to_string())?;
        self.settle().await?;
        self.auditor.look(self.arguments.queries).await?;
        self.auditor.look_again().await?;
        self.breaker
            .stop()
            .await
            .map_err(|error| error.to_string())?;
        let said = self.verify().await?;
        self.auditor.compare_figures(&said);
        Ok(())
    }

    /// Lets clients call until so many movements were acknowledged.
    async fn move_until(&mut self, due: u64) -> Result<(), String> {
        let began = Instant::now();
        let (mut last, mut since) = (self.progress(), Instant::now());
        while last < due {
            sleep(Duration::from_millis(5)).await;
            let progress = self.progress();
            if progress > last {
                (last, since) = (progress, Instant::now());
            }
            if since.elapsed() > MOVES_WITHIN {
                return Err(format!("no movement within {MOVES_WITHIN:?}"));
            }
            if self.breaker.has_ended() {
                return Err("the server has ended by itself".to_owned());
            }
        }
        self.moved += began.elapsed();
        Ok(())
    }

    /// Waits until nothing is in flight.
    async fn settle(&mut self) -> Result<(), String> {
        self.world.turn_to(Phase::Settle);
        let began = Instant::now();
        while !self.world.state.lock().is_settled() || self.breaker.signals_wait() {
            sleep(Duration::from_millis(20)).await;
            if began.elapsed() > SETTLED_WITHIN {
                return Err("not everything is answered, or signals do not arrive".to_owned());
            }
            if self.breaker.has_ended() {
                return Err("the server has ended by itself".to_owned());
            }
        }
        Ok(())
    }

    /// Has the closed folder's ledger added up.
    async fn verify(&mut self) -> Result<String, String> {
        self.auditor
            .count("times that pitturu ledger verify ran", 1);
        let verified = self.breaker.verify().await;
        if let Err(said) = &verified {
            let message = format!("after the end of a process: {said}");
            self.world
                .violation("pitturu ledger verify", "the closed folder", message);
        }
        Ok(verified.unwrap_or_default())
    }

    /// Whoever waits wants to know how far it is.
    fn say(&self) {
        use std::io::Write as _;
        let (progress, goal) = (self.progress(), self.arguments.movements);
        let lines = self.auditor.model.lines();
        let _ = writeln!(
            std::io::stderr(),
            "{progress} of {goal} movements acknowledged, {lines} lines compared"
        );
    }

    fn report(self, took: Duration) -> Report {
        for line in self.breaker.panics() {
            self.world.violation("no panic", "the server", line);
        }
        let mut state = self.world.state.lock();
        let model = &self.auditor.model;
        let busy = self.world.services..self.world.services + self.world.busy;
        let busy = &model.books[busy.start as usize..busy.end as usize];
        Report {
            command: self.arguments.command(),
            moved: self.moved,
            took,
            counts: state.counts.clone(),
            kills: self.breaker.kills(),
            lines: (model.lines(), busy.iter().map(Books::head).sum()),
            gifts: model.gifts(),
            ran_out: model.ran_out,
            compared: self.auditor.compared.clone(),
            violations: std::mem::take(&mut state.violations),
            untold: state.untold,
        }
    }
}

/// A share of all movements.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "far fewer movements than a float counts"
)]
fn at(goal: u64, share: f64, of: u32) -> u64 {
    (goal as f64 * share / f64::from(of.max(1))) as u64
}

/// Whether this is one of `some` that are spread over `all`.
fn is_one_of(number: u32, all: u32, some: u32) -> bool {
    let (number, all, some) = (u64::from(number), u64::from(all), u64::from(some));
    (number + 1) * some / all.max(1) > number * some / all.max(1)
}
