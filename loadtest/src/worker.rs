//! A generator process: it is told a plan on standard input and says on standard output what it counted, line by line.

use std::io::{BufRead, Write};
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::plan::{Plan, Share};
use crate::scenarios::Scenario;
use crate::tally::Packed;
use crate::thread_players::{ThreadPlayers, WorkerEvent};

/// A line to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Get ready.
    Plan {
        /// What the players do.
        scenario: Box<Scenario>,
        /// Against what, how much of it, and for how long.
        plan: Box<Plan>,
    },
    /// Begin at this moment.
    Go(u64),
}

/// A line from a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// So many more players are ready.
    Progress(u64),
    /// All are.
    Ready,
    /// What one thread counted in one second; without a second: while getting ready.
    Slice {
        /// Which second.
        second: Option<i64>,
        /// What was counted.
        slice: Box<Packed>,
    },
    /// All is over.
    Done,
    /// The run can't go on.
    Failed(String),
}

/// Why a worker could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Standard input or output.
    #[error("talking to the process that started it: {0}")]
    Io(#[from] std::io::Error),
    /// A line that is no order, or not the one expected.
    #[error("an order that is none: {0}")]
    Order(String),
}

/// Works off one plan.
pub fn work() -> Result<(), WorkError> {
    let mut orders = std::io::stdin().lock().lines();
    let mut order = || -> Result<Order, WorkError> {
        let line = orders
            .next()
            .ok_or_else(|| WorkError::Order("the input has ended".to_owned()))??;
        serde_json::from_str(&line).map_err(|error| WorkError::Order(error.to_string()))
    };
    let Order::Plan { scenario, plan } = order()? else {
        return Err(WorkError::Order("go before a plan".to_owned()));
    };
    fastrand::seed(plan.seed ^ plan.share.index.rotate_left(32));
    let (events_in, mut events) = mpsc::unbounded_channel();
    let (go, gone) = watch::channel(None);
    let threads = start_threads(&scenario, &Arc::new(*plan), &events_in, &gone);
    drop(events_in);
    let mut waiting = threads;
    let mut running = threads;
    while let Some(event) = events.blocking_recv() {
        match event {
            WorkerEvent::Ready => {
                waiting -= 1;
                if waiting == 0 {
                    say(&Report::Ready)?;
                    let Order::Go(at) = order()? else {
                        return Err(WorkError::Order("a second plan".to_owned()));
                    };
                    go.send_replace(Some(at));
                }
            }
            WorkerEvent::Progress(count) => say(&Report::Progress(count))?,
            WorkerEvent::Slice(second, slice) => say(&Report::Slice {
                second,
                slice: Box::new(slice.packed()),
            })?,
            WorkerEvent::Done => {
                running -= 1;
                if running == 0 {
                    break;
                }
            }
            WorkerEvent::Failed(why) => {
                say(&Report::Failed(why))?;
                return Ok(());
            }
        }
    }
    say(&Report::Done)?;
    Ok(())
}

fn start_threads(
    scenario: &Scenario,
    plan: &Arc<Plan>,
    events: &mpsc::UnboundedSender<WorkerEvent>,
    gone: &watch::Receiver<Option<u64>>,
) -> u32 {
    let of = plan.threads.max(1);
    for index in 0..of {
        let share = Share {
            index: u64::from(index),
            of: u64::from(of),
        };
        let players = share.within(plan.share).range(scenario.players());
        let scenario = scenario.clone();
        let plan = Arc::clone(plan);
        let events = events.clone();
        let gone = gone.clone();
        let seed = fastrand::u64(..);
        std::thread::spawn(move || {
            fastrand::seed(seed);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime starts where there are files to open");
            let thread = Rc::new(ThreadPlayers::new(plan, players, events, gone));
            LocalSet::new().block_on(&runtime, async {
                match scenario.play(Rc::clone(&thread)).await {
                    Ok(()) => thread.end(),
                    Err(failed) => thread.tell(WorkerEvent::Failed(failed.to_string())),
                }
            });
        });
    }
    of
}

fn say(report: &Report) -> Result<(), WorkError> {
    let mut line = serde_json::to_vec(report).expect("reports are plain data");
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()?;
    Ok(())
}
