//! What a leaderboard of many players costs at its owner, on the embedded store.
//!
//! `cargo bench -p pitturu-server --bench boards -- 1000000`. Where `redis-server` is installed, the same members and scores are put into a sorted set of
//! Redis, started on a free port, in the same run.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
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

/// Calls under way at the same time while the board is filled.
const AT_ONCE: usize = 2_000;

/// Calls that are timed one by one.
const TIMED: usize = 20_000;

const NOW: u64 = 1_800_000_000_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let count = std::env::args().find_map(|it| it.parse().ok());
    let count: u32 = count.unwrap_or(1_000_000);
    let mut random = fastrand::Rng::with_seed(11);
    let players: Vec<UserId> = (0..count)
        .map(|_| UserId::from_bytes(std::array::from_fn(|_| random.u8(..))))
        .collect();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(ours(&players, &mut random))?;
    match redis(&players, &mut random) {
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
fn open(dir: &std::path::Path, io_threads: &IoThreads) -> Result<(Embedded, BoardOwners), Failure> {
    let store = Embedded::open(dir, EngineOptions::default())?;
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

async fn ours(players: &[UserId], random: &mut fastrand::Rng) -> Result<(), Failure> {
    let dir = tempfile::TempDir::new()?;
    let (io_threads, _threads) = IoThreads::start(1)?;
    let of = definitions()?.season_at("all", NOW).ok_or("a board")?;
    let of = Arc::new(of);
    let (store, owners) = open(dir.path(), &io_threads)?;
    let began = Instant::now();
    for some in players.chunks(AT_ONCE) {
        let mut calls = Vec::new();
        for player in some {
            let (owners, of) = (owners.clone(), Arc::clone(&of));
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
    let took = began.elapsed();
    let each = players.len() as f64 / took.as_secs_f64();
    println!(
        "{} players submitted, {AT_ONCE} at once: {each:.0} a second",
        players.len()
    );
    store.engine().close();
    drop((store, owners));

    let before = resident();
    let (store, owners) = open(dir.path(), &io_threads)?;
    let opened = resident();
    let began = Instant::now();
    let seen: Seen = ask(&owners, &of, Wish::Look(Look::Top(0, 10))).await?;
    println!(
        "ready after a restart: {:?}, {} players",
        began.elapsed(),
        seen.count
    );
    println!(
        "memory: {} MB more than before it was loaded",
        (resident() - opened) >> 20
    );
    println!(
        "memory of an open store: {} MB",
        (opened.saturating_sub(before)) >> 20
    );
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

/// Bytes that this process has in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes
        .and_then(|it| it.parse::<usize>().ok())
        .unwrap_or(0)
        * 1_024
}

/// A Redis of its own, which ends with the value.
struct Redis {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Redis {
    fn start() -> Result<Self, Failure> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .spawn()?;
        for _ in 0..100 {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                stream.set_nodelay(true)?;
                let stream = BufReader::new(stream);
                return Ok(Self { process, stream });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        process.kill()?;
        process.wait()?;
        Err("it does not listen".into())
    }

    fn send(&mut self, commands: &[Vec<String>]) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for command in commands {
            write!(bytes, "*{}\r\n", command.len())?;
            for word in command {
                write!(bytes, "${}\r\n{word}\r\n", word.len())?;
            }
        }
        self.stream.get_mut().write_all(&bytes)?;
        Ok(())
    }

    /// The next answer: a number, or a text.
    fn answer(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.trim_end();
        match line.strip_prefix('$') {
            Some(length) => {
                let mut text = vec![0; length.parse::<usize>()? + 2];
                self.stream.read_exact(&mut text)?;
                Ok(String::from_utf8(text)?)
            }
            None if line.starts_with('-') => Err(line.into()),
            None => Ok(line.to_owned()),
        }
    }

    fn call(&mut self, words: &[&str]) -> Result<String, Failure> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        self.send(&[words])?;
        self.answer()
    }

    fn memory(&mut self) -> Result<u64, Failure> {
        let info = self.call(&["INFO", "memory"])?;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.ok_or("no used_memory")?.trim().parse()?)
    }
}

fn redis(players: &[UserId], random: &mut fastrand::Rng) -> Result<(), Failure> {
    let mut redis = Redis::start()?;
    let before = redis.memory()?;
    for some in players.chunks(1_000) {
        let add = |player: &UserId| {
            let score = score(random).to_string();
            let words = ["ZADD", "board", &score, &player.to_string()];
            words.map(str::to_owned).to_vec()
        };
        let commands: Vec<_> = some.iter().map(add).collect();
        redis.send(&commands)?;
        for _ in some {
            redis.answer()?;
        }
    }
    println!("Redis: memory {} MB", (redis.memory()? - before) >> 20);
    let (mut ranks, mut adds) = (Vec::new(), Vec::new());
    for _ in 0..TIMED {
        let player = players[random.usize(..players.len())].to_string();
        let began = Instant::now();
        redis.call(&["ZREVRANK", "board", &player])?;
        ranks.push(began.elapsed());
        let score = score(random).to_string();
        let began = Instant::now();
        redis.call(&["ZADD", "board", &score, &player])?;
        adds.push(began.elapsed());
    }
    shown("Redis: ZREVRANK over loopback", ranks);
    shown("Redis: ZADD over loopback, not durable", adds);
    Ok(())
}
