//! Leaderboards on a store that crashes at a step of the test's choice: each score counts once, each place is told once.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ConnectionId, UserId};
use pitturu_protocol::types::boards::ScoreSubmitted;
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::presence::Presence;
use pitturu_rules::boards::{BoardRules, Definitions, Operator, Reset, SeasonOf, Submission};
use pitturu_rules::signals::BoardSignal;
use pitturu_store::clock::Steady;
use pitturu_store::entities::{Commit, Entities};

use super::following::Following;
use super::{BoardService, Parts, closing};
use crate::boards;
use crate::boards::command::{Look, Seen, Wish};
use crate::boards::store::BoardStore;
use crate::chat::tests::signals::faulty::{self, Faulty};
use crate::connections::caller::Caller;
use crate::connections::registry::offline;
use crate::connections::session_notifier::Presences;
use crate::io_threads::IoThreads;
use crate::owners::signals::{Routes, wake_senders};
use crate::players;
use crate::players::staff;
use crate::players::store::PlayerStore;
use crate::players::tests::{Grown, PATIENCE, key, user, without_rooms};
use crate::services::friends::FriendService;
use crate::services::players_access::PlayersAccess;

const BOARD: &str = "daily";
const DAY: u64 = 86_400_000;

/// The day of the tests, in the year 2100: nothing is over by the clock of the machine.
const DAY_TRIED: u64 = 47_500 * DAY;

fn definitions() -> Arc<Definitions> {
    let rules = BoardRules {
        reset: Reset::Day {
            at: "00:00".to_owned(),
            zone: "UTC".to_owned(),
        },
        places_told: 10,
        ..BoardRules::of(Operator::Sum)
    };
    let boards = BTreeMap::from([(BOARD.to_owned(), rules)]);
    Arc::new(Definitions::new(&boards).unwrap())
}

struct Nobody;

impl Presences for Nobody {
    fn presence(&self, user: UserId) -> Presence {
        offline(user)
    }
}

/// The owners of boards, players and the staff as one process has them.
struct Process {
    store: Faulty,
    io_threads: IoThreads,
    service: BoardService,
}

impl Process {
    fn start(store: Faulty, io_threads: &IoThreads) -> Self {
        let entities: Arc<dyn Entities> = Arc::new(store.clone());
        let routes = Arc::new(Routes::default());
        let players = PlayerStore::new(Arc::clone(&entities));
        let environment = players::Environment {
            players: players.clone(),
            routes: Arc::clone(&routes),
            notifier: Arc::new(Grown::default()),
            direct_rooms: without_rooms(&routes),
            game: Arc::default(),
        };
        let player_owners = players::start(io_threads, 2, &environment);
        let staff = staff::start(io_threads, &environment);
        let following = Arc::new(Following::default());
        let environment = boards::Environment {
            boards: BoardStore::new(Arc::clone(&entities)),
            definitions: definitions(),
            routes: Arc::clone(&routes),
            notifier: following.clone(),
        };
        let owners = boards::start(io_threads, 1, &environment);
        let announcers = (player_owners.announcer(), owners.announcer());
        assert!(entities.listen_to_reports(Box::new(move || {
            announcers.0();
            announcers.1();
        })));
        tokio::spawn(wake_senders(entities, routes));
        let friends = FriendService::new(players.clone(), player_owners.clone(), Arc::new(Nobody));
        let service = BoardService::new(Parts {
            definitions: environment.definitions,
            store: environment.boards,
            owners,
            players: PlayersAccess {
                store: players,
                owners: player_owners,
                staff,
            },
            friends: Arc::new(friends),
            following,
            keys_kept_ms: 2 * DAY,
        });
        Self {
            store,
            io_threads: io_threads.clone(),
            service,
        }
    }

    /// The next process, after this one has crashed or was stopped.
    fn restarted(&self) -> Self {
        let store = tokio::task::block_in_place(|| self.store.reopen());
        Self::start(store, &self.io_threads)
    }

    /// What `act` comes to, unless the process crashes first.
    async fn until_crash<T>(&self, act: impl Future<Output = T>) -> Option<T> {
        let began = Instant::now();
        tokio::pin!(act);
        loop {
            let moment = Duration::from_millis(2);
            match tokio::time::timeout(moment, &mut act).await {
                Ok(done) => return Some(done),
                Err(_) if self.store.has_crashed() => return None,
                Err(_) => assert!(began.elapsed() < PATIENCE, "it takes too long"),
            }
        }
    }

    async fn submit(&self, score: &Score, now: u64) -> Result<ScoreSubmitted, Fault> {
        let by = user(99);
        let caller = Caller {
            conn: ConnectionId::from_bytes([7; 10]),
            call: 1,
            identity: None,
            address: Ipv4Addr::LOCALHOST.into(),
            now,
            steady: Steady::now(),
            key: Some(key(&score.key, 123, 1)),
        };
        let wish = || Wish::Submit {
            submission: Box::new(Submission {
                player: user(score.player),
                score: score.score,
                metadata: "x".to_owned(),
                at: now,
                by: Some(by),
            }),
            has_key: true,
        };
        self.service.at_running(&caller, by, BOARD, wish).await
    }

    /// Closes what is over, if the store lets it.
    async fn close(&self, now: u64) -> bool {
        let parts = self.service.parts();
        let Ok(due) = closing::due(parts, now).await else {
            return false;
        };
        closing::close(parts, due, now).await;
        parts
            .store
            .open(Some(now))
            .await
            .is_ok_and(|open| open.is_empty())
    }

    /// The scores of a season.
    async fn seen(&self, of: &SeasonOf) -> Seen {
        let look = Wish::Look(Look::Top(0, 100));
        let parts = self.service.parts();
        parts
            .ask(of, look, None, DAY_TRIED)
            .await
            .expect("nothing fails now")
    }

    /// The places that a player was told, by season.
    async fn told(&self, player: u16) -> Vec<(u64, u32)> {
        let players = &self.service.parts().players.store;
        let entries = players.inbox_after(user(player), 0, 100).await.unwrap();
        let places = entries.into_iter().map(|added| match added.entry {
            InboxEntry::SeasonPlaced { season, rank, .. } => (season, rank),
            other => panic!("nobody else writes here: {other:?}"),
        });
        places.collect()
    }

    async fn is_quiet(&self) -> bool {
        self.store
            .senders(None, 1)
            .await
            .is_ok_and(|it| it.is_empty())
    }
}

#[derive(Debug)]
struct Score {
    player: u16,
    score: i64,
    key: String,
}

fn season(at: u64) -> SeasonOf {
    definitions().season_at(BOARD, at).unwrap()
}

/// Takes scores over a reset while the clock steps, closes the season and has its places told; the process is started again whenever it has
/// crashed, and what was not answered is tried again at another time of the day. How many steps the store was asked for.
async fn play(mut process: Process) -> (Process, u64) {
    let end = DAY_TRIED + DAY;
    let mut steps = 0;
    // One before the reset, one after it, one with the clock back over it, and so on.
    let clock = [end - 2, end, end - 1, end + 3, end - 3, end + 1];
    let mut ticks = 0;
    for number in 0..6_u16 {
        let score = Score {
            player: number % 3,
            score: 1 << number,
            key: format!("{number}"),
        };
        let mut answers = Vec::new();
        // The second is a repetition at another time.
        while answers.len() < 2 {
            let mut now = clock[ticks % clock.len()];
            ticks += 1;
            // The first is before the reset, so that there is a season to be closed; the second too, unless the first was repeated behind it.
            if number < 2 && answers.is_empty() {
                now = end - 2;
            }
            match process.until_crash(process.submit(&score, now)).await {
                Some(Ok(answer)) => answers.push(answer),
                Some(Err(_)) if !process.store.has_crashed() => {}
                _ => {
                    steps += process.store.steps();
                    process = process.restarted();
                }
            }
        }
        assert_eq!(answers[0], answers[1], "{score:?}");
    }
    while process.until_crash(process.close(end + 6_000)).await != Some(true) {
        if process.store.has_crashed() {
            steps += process.store.steps();
            process = process.restarted();
        }
    }
    let began = Instant::now();
    while !process.is_quiet().await {
        if process.store.has_crashed() {
            steps += process.store.steps();
            process = process.restarted();
        }
        assert!(began.elapsed() < PATIENCE, "signals stay on their way");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    steps += process.store.steps();
    (process, steps)
}

async fn check(process: &Process) {
    let first = season(DAY_TRIED);
    let next = season(DAY_TRIED + DAY);
    let (of_first, of_next) = (process.seen(&first).await, process.seen(&next).await);
    assert!(of_first.count >= 1, "the first score is before the reset");
    let all = of_first.entries.iter().chain(&of_next.entries);
    let sum: i64 = all.map(|entry| entry.score).sum();
    assert_eq!(sum, (1 << 6) - 1, "each score is a bit of its own");
    assert!(of_first.is_closed && !of_next.is_closed);
    for player in 0..3 {
        let entry = of_first.entries.iter().find(|it| it.user == user(player));
        let rank = entry.map(|entry| (first.season.number, entry.rank));
        assert_eq!(process.told(player).await, Vec::from_iter(rank), "{player}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_step_loses_and_doubles_nothing() {
    let (io_threads, _threads) = IoThreads::start(1).unwrap();
    let whole = Process::start(Faulty::new(1), &io_threads);
    let (whole, steps) = play(whole).await;
    check(&whole).await;
    assert!(steps > 40, "{steps} steps");
    for step in 0..steps {
        for fault in [faulty::Fault::CrashBefore, faulty::Fault::CrashAfter] {
            let store = Faulty::new(step);
            store.at(step, fault);
            println!("{fault:?} at step {step}");
            let (process, _) = play(Process::start(store, &io_threads)).await;
            // How many steps there are is not always the same: it may have been about to crash now.
            process.store.fail_at_random(None);
            let process = match process.store.has_crashed() {
                true => process.restarted(),
                false => process,
            };
            check(&process).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_now_and_then_loses_and_doubles_nothing() {
    let (io_threads, _threads) = IoThreads::start(1).unwrap();
    let seed = crate::players::tests::seed();
    for round in 0..20 {
        let store = Faulty::new(seed.wrapping_add(round));
        store.fail_at_random(Some(12));
        let process = Process::start(store, &io_threads);
        let (process, _) = play(process).await;
        process.store.fail_at_random(None);
        check(&process).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_score_by_a_signal_goes_on_from_a_season_that_is_closed() {
    let (io_threads, _threads) = IoThreads::start(1).unwrap();
    let (first, next) = (season(DAY_TRIED), season(DAY_TRIED + DAY));
    let process = Process::start(Faulty::new(1), &io_threads);
    let score = Score {
        player: 0,
        score: 1,
        key: "k".to_owned(),
    };
    process.submit(&score, DAY_TRIED).await.unwrap();
    assert!(process.close(DAY_TRIED + DAY + 6_000).await);
    let process = process.restarted();
    // Whatever tells a season something is an entity with a commit: here a player.
    let sender = players::entity(user(50));
    let store = &process.store;
    let mut commit = Commit::new(sender, store.fence(), 1, 7);
    let signal = |of: &SeasonOf, score| {
        boards::signal(&BoardSignal::Score {
            of: of.clone(),
            player: user(1),
            score,
            metadata: String::new(),
            at: DAY_TRIED,
        })
    };
    commit.signals = vec![
        signal(&first, 5),
        signal(&next, 20),
        signal(&next, i64::MAX),
    ];
    let (done, committed) = tokio::sync::oneshot::channel();
    let reservation = store.reserve(100).unwrap();
    store.commit(
        reservation,
        commit.into(),
        Box::new(|outcome| drop(done.send(outcome))),
    );
    committed.await.unwrap().unwrap();
    let process = process.restarted();
    let began = Instant::now();
    while !process.is_quiet().await {
        assert!(began.elapsed() < PATIENCE, "signals stay on their way");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let process = process.restarted();
    let scores = |seen: Seen| -> Vec<i64> { seen.entries.iter().map(|it| it.score).collect() };
    assert_eq!(scores(process.seen(&first).await), [1]);
    // What is out of range is gone; it holds up nothing.
    assert_eq!(scores(process.seen(&next).await), [25]);
}
