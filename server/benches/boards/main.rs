//! What a leaderboard of many players costs at its owner, on the embedded store.
//!
//! `cargo bench -p pitturu-server --bench boards -- 1000000`. Where `redis-server` is installed, the same members and scores are put into a sorted set of
//! Redis, started on a free port, in the same run. `--data=FOLDER` keeps the filled store there, and uses it again if it is there; `--cache-mb=N` is the
//! store's cache.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

mod redis;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitturu_protocol::codec;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::boards::ScoreSubmitted;
use pitturu_rules::boards::{BoardRules, Definitions, Operator, SeasonOf, Submission};
use pitturu_server::boards::command::{Ask, Look, Seen, Wish};
use pitturu_server::boards::store::BoardStore;
use pitturu_server::boards::{self, BoardOwners, Environment};
use pitturu_server::io_threads::IoThreads;
use pitturu_server::owners::signals::Routes;
use pitturu_server::services::boards::following::Following;
use pitturu_store::embedded::Embedded;
use pitturu_store::embedded::engine::EngineOptions;
use pitturu_store::entities::Entities;
use tikv_jemallocator::Jemalloc;

/// The allocator of the `pitturu` program.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Calls under way at the same time while the board is filled.
const AT_ONCE: usize = 2_000;

/// Calls that are timed one by one.
const TIMED: usize = 20_000;

const NOW: u64 = 1_800_000_000_000;

type Failure = Box<dyn std::error::Error>;

/// How long the allocator may take to give back what is free.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(12);

/// What is asked for on the command line.
struct Options {
    count: u32,
    data: Option<PathBuf>,
    engine: EngineOptions,
}

impl Options {
    fn parse() -> Self {
        let value = |name: &str| {
            let mut given = std::env::args();
            given.find_map(|it| it.strip_prefix(name).map(str::to_owned))
        };
        let mut engine = EngineOptions::default();
        if let Some(megabytes) = value("--cache-mb=").and_then(|it| it.parse::<u64>().ok()) {
            engine.cache_bytes = megabytes << 20;
        }
        let count = std::env::args().find_map(|it| it.parse().ok());
        Self {
            count: count.unwrap_or(1_000_000),
            data: value("--data=").map(PathBuf::from),
            engine,
        }
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let mut random = fastrand::Rng::with_seed(11);
    let players: Vec<UserId> = (0..options.count)
        .map(|_| UserId::from_bytes(std::array::from_fn(|_| random.u8(..))))
        .collect();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(ours(&options, &players, &mut random))?;
    match redis::measure(&players, &mut random) {
        Ok(()) => {}
        Err(error) => println!("no Redis beside it: {error}"),
    }
    Ok(())
}

fn definitions() -> Result<Arc<Definitions>, Failure> {
    let rules = BoardRules::of(Operator::Latest);
    let boards = ["all", "one"].map(|name| (name.to_owned(), rules.clone()));
    let boards = BTreeMap::from(boards);
    Ok(Arc::new(Definitions::new(&boards)?))
}

fn score(random: &mut fastrand::Rng) -> i64 {
    random.i64(-100_000_000..100_000_000)
}

/// The owners over a store in this folder.
fn open(
    dir: &Path,
    options: &Options,
    io_threads: &IoThreads,
) -> Result<(Embedded, BoardOwners), Failure> {
    let store = Embedded::open(dir, options.engine.clone())?;
    let entities: Arc<dyn Entities> = Arc::new(store.clone());
    let environment = Environment {
        boards: BoardStore::new(Arc::clone(&entities)),
        definitions: definitions()?,
        routes: Arc::new(Routes::default()),
        notifier: Arc::new(Following::default()),
    };
    let owners = boards::start(io_threads, 1, &environment);
    entities.listen_to_reports(Box::new(owners.announcer()));
    Ok((store, owners))
}

async fn ask<T: serde::de::DeserializeOwned>(
    owners: &BoardOwners,
    of: &Arc<SeasonOf>,
    wish: Wish,
) -> Result<T, Failure> {
    let ask = Ask {
        of: Arc::clone(of),
        wish,
    };
    let answered = owners.ask_under(of.id(), ask, None, NOW).await?;
    Ok(codec::decode(&answered.body)?)
}

fn submit(player: UserId, score: i64) -> Wish {
    Wish::Submit {
        submission: Box::new(Submission {
            player,
            score,
            metadata: String::new(),
            at: NOW,
            by: None,
        }),
        has_key: false,
    }
}

/// Has every player submit a score.
async fn fill(
    owners: &BoardOwners,
    of: &Arc<SeasonOf>,
    players: &[UserId],
    random: &mut fastrand::Rng,
) -> Result<(), Failure> {
    let began = Instant::now();
    for some in players.chunks(AT_ONCE) {
        let mut calls = Vec::new();
        for player in some {
            let (owners, of) = (owners.clone(), Arc::clone(of));
            let wish = submit(*player, score(random));
            calls.push(tokio::spawn(async move {
                let done: Result<Option<ScoreSubmitted>, _> = ask(&owners, &of, wish).await;
                done.map(drop).map_err(|error| error.to_string())
            }));
        }
        for call in calls {
            call.await??;
        }
    }
    let each = players.len() as f64 / began.elapsed().as_secs_f64();
    let count = players.len();
    println!("{count} players submitted, {AT_ONCE} at once: {each:.0} a second");
    Ok(())
}

/// Has the board loaded, and says how long that took and what is in memory then.
async fn load(owners: &BoardOwners, of: &Arc<SeasonOf>) -> Result<(), Failure> {
    let before = resident("VmRSS:");
    // From now on the most is that of what follows.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let began = Instant::now();
    let seen: Seen = ask(owners, of, Wish::Look(Look::Top(0, 10))).await?;
    let (took, count) = (began.elapsed(), seen.count);
    println!("ready after a restart: {took:?}, {count} players");
    let more = |now: usize| now.saturating_sub(before) >> 20;
    let (most, now) = (resident("VmHWM:"), resident("VmRSS:"));
    tokio::time::sleep(GIVEN_BACK_WITHIN).await;
    println!(
        "memory beyond that of the open store: {} MB, at most {} MB while it was loaded; {} MB after {GIVEN_BACK_WITHIN:?}",
        more(now),
        more(most),
        more(resident("VmRSS:")),
    );
    Ok(())
}

async fn ours(
    options: &Options,
    players: &[UserId],
    random: &mut fastrand::Rng,
) -> Result<(), Failure> {
    let temporary = tempfile::TempDir::new()?;
    let dir = options.data.as_deref().unwrap_or(temporary.path());
    let (io_threads, _threads) = IoThreads::start(1)?;
    let of = definitions()?.season_at("all", NOW).ok_or("a board")?;
    let of = Arc::new(of);
    if !dir.join("data").exists() {
        let (store, owners) = open(dir, options, &io_threads)?;
        fill(&owners, &of, players, random).await?;
        store.engine().close();
    }
    let before = resident("VmRSS:");
    let (store, owners) = open(dir, options, &io_threads)?;
    let opened = resident("VmRSS:").saturating_sub(before);
    println!("memory of an open store: {} MB", opened >> 20);
    load(&owners, &of).await?;
    let mut times = Vec::new();
    for _ in 0..TIMED {
        let player = players[random.usize(..players.len())];
        let began = Instant::now();
        let _: Seen = ask(&owners, &of, Wish::Look(Look::Among(vec![player]))).await?;
        times.push(began.elapsed());
    }
    shown("rank, asked of the owner", times);
    let mut times = Vec::new();
    for _ in 0..TIMED {
        let player = players[random.usize(..players.len())];
        let seen: Seen = ask(&owners, &of, Wish::Look(Look::Among(vec![player]))).await?;
        let wish = submit(player, seen.entries[0].score);
        let began = Instant::now();
        let _: Option<ScoreSubmitted> = ask(&owners, &of, wish).await?;
        times.push(began.elapsed());
    }
    shown(
        "submit of the score that is there: nothing is written",
        times,
    );
    let small = definitions()?.season_at("one", NOW).ok_or("a board")?;
    durable(
        &owners,
        &of,
        players,
        random,
        "submit, with its durable write",
    )
    .await?;
    let one = &players[..1];
    durable(
        &owners,
        &Arc::new(small),
        one,
        random,
        "the same on a board of one player",
    )
    .await?;
    store.engine().close();
    Ok(())
}

async fn durable(
    owners: &BoardOwners,
    of: &Arc<SeasonOf>,
    players: &[UserId],
    random: &mut fastrand::Rng,
    what: &str,
) -> Result<(), Failure> {
    let mut times = Vec::new();
    for _ in 0..TIMED / 20 {
        let player = players[random.usize(..players.len())];
        let wish = submit(player, score(random));
        let began = Instant::now();
        let _: Option<ScoreSubmitted> = ask(owners, of, wish).await?;
        times.push(began.elapsed());
    }
    shown(what, times);
    Ok(())
}

fn shown(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(1);
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{what}: mean {mean:?}, median {median:?}, p99 {p99:?}");
}

/// Bytes that this process has in memory, or has had at most.
fn resident(which: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(which));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes = kilobytes.and_then(|it| it.parse::<usize>().ok());
    kilobytes.unwrap_or(0) * 1_024
}
