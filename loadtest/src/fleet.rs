//! Generator processes: started, told to begin together, and their counts put together.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::clock;
use crate::plan::{Plan, Share, Window};
use crate::probe::{Probe, ResourceSample, Sample};
use crate::scenarios::Scenario;
use crate::tally::Slice;
use crate::worker::{Order, Report};

/// From the last player who is ready to the beginning of the load.
const BEFORE_GO: Duration = Duration::from_millis(300);

/// Longest time for all players to get ready.
const READY_WITHIN: Duration = Duration::from_secs(900);

/// Longest time after the load for a worker to say that it is done.
const DONE_WITHIN: Duration = Duration::from_secs(90);

/// Why the generator did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A process or its pipes.
    #[error("a generator process: {0}")]
    Io(#[from] io::Error),
    /// A process that ended or spoke out of turn.
    #[error("a generator process ended early; what it wrote to standard error says why")]
    Ended,
    /// Players that could not get ready.
    #[error("a player could not get ready: {0}")]
    Player(String),
    /// Too slow.
    #[error("the players are not ready after {} s", READY_WITHIN.as_secs())]
    NotReady,
    /// Counts that make no sense.
    #[error(transparent)]
    Unreadable(#[from] crate::tally::Unreadable),
}

/// What happens while a run goes on, for those who watch.
#[derive(Debug)]
pub enum Watched<'a> {
    /// So many more players are ready.
    Ready(u64),
    /// A second is over.
    Second(i64, &'a Slice, &'a ResourceSample),
}

/// What a fleet gathered.
#[derive(Debug, Default)]
pub struct Gathered {
    /// While getting ready.
    pub preparation: Slice,
    /// By second.
    pub by_second: BTreeMap<i64, Slice>,
    /// What was used at the beginning of each second.
    pub resources: BTreeMap<i64, ResourceSample>,
}

struct Worker {
    child: Child,
    orders: ChildStdin,
}

/// Plays a scenario with this many processes.
pub async fn run(
    scenario: &Scenario,
    plan: &Plan,
    processes: u64,
    probe: Option<Probe>,
    mut watch: impl FnMut(Watched<'_>),
) -> Result<Gathered, FleetError> {
    let (heard_in, mut heard) = mpsc::channel(1024);
    let mut workers = Vec::new();
    for index in 0..processes {
        let share = Share {
            index,
            of: processes,
        };
        let order = Order::Plan {
            scenario: Box::new(scenario.clone()),
            plan: Box::new(Plan {
                share,
                ..plan.clone()
            }),
        };
        let mut worker = start(&heard_in)?;
        tell(&mut worker, &order).await?;
        workers.push(worker);
    }
    drop(heard_in);
    let mut gathered = Gathered::default();
    let getting_ready = ready(&mut heard, workers.len(), &mut gathered, &mut watch);
    match tokio::time::timeout(READY_WITHIN, getting_ready).await {
        Ok(outcome) => outcome?,
        Err(_) => return Err(FleetError::NotReady),
    }
    let start = clock::now() + u64::try_from(BEFORE_GO.as_nanos()).expect("short");
    for worker in &mut workers {
        tell(worker, &Order::Go(start)).await?;
    }
    let window = Window::new(start, plan.warm_up, plan.seconds);
    let probes = Probes {
        server: probe,
        generators: workers
            .iter()
            .filter_map(|worker| worker.child.id())
            .collect(),
    };
    gather(
        &mut heard,
        workers.len(),
        window,
        &probes,
        &mut gathered,
        &mut watch,
    )
    .await?;
    for mut worker in workers {
        drop(worker.orders);
        worker.child.wait().await?;
    }
    Ok(gathered)
}

fn start(heard: &mpsc::Sender<Option<Report>>) -> Result<Worker, FleetError> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let orders = child.stdin.take().expect("it is piped");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let heard = heard.clone();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let report: Option<Report> = serde_json::from_str(&line).ok();
            let last = matches!(report, None | Some(Report::Done | Report::Failed(_)));
            // Nobody listens to a fleet that is given up.
            if heard.send(report).await.is_err() || last {
                return;
            }
        }
        drop(heard.send(None).await);
    });
    Ok(Worker { child, orders })
}

async fn tell(worker: &mut Worker, order: &Order) -> Result<(), FleetError> {
    let mut line = serde_json::to_vec(order).expect("orders are plain data");
    line.push(b'\n');
    worker.orders.write_all(&line).await?;
    worker.orders.flush().await?;
    Ok(())
}

async fn ready(
    heard: &mut mpsc::Receiver<Option<Report>>,
    mut waiting: usize,
    gathered: &mut Gathered,
    watch: &mut impl FnMut(Watched<'_>),
) -> Result<(), FleetError> {
    while waiting > 0 {
        match heard.recv().await.flatten().ok_or(FleetError::Ended)? {
            Report::Progress(count) => watch(Watched::Ready(count)),
            Report::Ready => waiting -= 1,
            Report::Slice { slice, .. } => gathered.preparation.add_packed(&slice)?,
            Report::Failed(why) => return Err(FleetError::Player(why)),
            Report::Done => return Err(FleetError::Ended),
        }
    }
    Ok(())
}

struct Probes {
    server: Option<Probe>,
    generators: Vec<u32>,
}

impl Probes {
    fn sample(&self) -> ResourceSample {
        let generator = self
            .generators
            .iter()
            .filter_map(|&pid| Probe::Process(pid).sample())
            .reduce(Sample::and);
        ResourceSample {
            at: clock::now(),
            server: self.server.and_then(Probe::sample),
            generator: generator.unwrap_or_default(),
        }
    }
}

/// Takes slices until all workers are done, and looks at the processes at the beginning of each second.
async fn gather(
    heard: &mut mpsc::Receiver<Option<Report>>,
    mut running: usize,
    window: Window,
    probes: &Probes,
    gathered: &mut Gathered,
    watch: &mut impl FnMut(Watched<'_>),
) -> Result<(), FleetError> {
    let mut next = window.start;
    let give_up = clock::instant(window.end) + DONE_WITHIN;
    while running > 0 {
        tokio::select! {
            biased;
            () = clock::sleep_until(next) => {
                let second = window.second(next);
                let resources = probes.sample();
                gathered.resources.insert(second, resources);
                // The second before the last one has come from everybody by now.
                if let Some(slice) = gathered.by_second.get(&(second - 2)) {
                    watch(Watched::Second(second - 2, slice, &resources));
                }
                next += clock::SECOND;
            }
            () = tokio::time::sleep_until(give_up) => return Err(FleetError::Ended),
            report = heard.recv() => match report.flatten().ok_or(FleetError::Ended)? {
                Report::Slice { second, slice } => {
                    let into = match second {
                        Some(second) => gathered.by_second.entry(second).or_default(),
                        None => &mut gathered.preparation,
                    };
                    into.add_packed(&slice)?;
                }
                Report::Done => running -= 1,
                Report::Failed(why) => return Err(FleetError::Player(why)),
                Report::Progress(_) | Report::Ready => {}
            },
        }
    }
    Ok(())
}
