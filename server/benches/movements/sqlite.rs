//! The same movements in SQLite, as a good program makes them: one writer that takes all that waits into one transaction, prepared
//! statements, a log written ahead, and a sync for each transaction.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, ready};
use std::thread;

use pitturu_server::io_threads::{IoThreads, RunningIoThreads};
use pitturu_store::clock::now_ms;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Transaction, params};
use tokio::sync::oneshot;

use crate::Options;
use crate::load::{Hand, Ledger, THREADS};
use crate::plan::{Deed, FIRST_GRANT, Wish};

/// Most movements in one transaction.
const GROUP_MAX: usize = 4_096;

/// The admin among players.
const ADMIN: i64 = -1;

/// Accounts of a player's books.
const ISSUANCE: i64 = 1;
const SPEND: i64 = 6;
const TRANSIT: i64 = 9;

const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -131072;
PRAGMA wal_autocheckpoint = 16384;
CREATE TABLE wallets (
    player INTEGER PRIMARY KEY,
    balance INTEGER NOT NULL,
    head INTEGER NOT NULL
);
CREATE TABLE accounts (
    player INTEGER NOT NULL,
    account INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    PRIMARY KEY (player, account)
) WITHOUT ROWID;
CREATE TABLE entries (
    player INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    account INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    note TEXT,
    other INTEGER,
    caller INTEGER,
    key TEXT,
    PRIMARY KEY (player, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX keys ON entries (caller, key) WHERE key IS NOT NULL;
";

type Job = (Wish, oneshot::Sender<()>);

/// A ledger in SQLite.
pub(crate) struct Sqlite {
    jobs: Sender<Job>,
    io_threads: IoThreads,
    _threads: RunningIoThreads,
}

impl Sqlite {
    /// Opens the database, and makes the players.
    pub(crate) fn start(dir: &Path, options: &Options) -> Self {
        let mut database = Connection::open(dir.join("ledger")).expect("an empty folder");
        database.execute_batch(SCHEMA).expect("it is right");
        database.set_prepared_statement_cache_capacity(16);
        let players = database.transaction().expect("there is no other");
        for player in 0..options.players {
            let wallet = "INSERT INTO wallets VALUES (?, ?, 0)";
            let row = params![player, FIRST_GRANT.cast_signed()];
            players.execute(wallet, row).expect("it is the first");
            for account in [ISSUANCE, SPEND, TRANSIT] {
                let account_row = "INSERT INTO accounts VALUES (?, ?, 0)";
                let row = params![player, account];
                players.execute(account_row, row).expect("it is the first");
            }
        }
        players.commit().expect("there is room");
        let (jobs, waiting) = channel();
        thread::spawn(move || write(database, &waiting));
        let (io_threads, threads) = IoThreads::start(THREADS).expect("two threads");
        Self {
            jobs,
            io_threads,
            _threads: threads,
        }
    }
}

/// Takes all that waits into one transaction, and answers when it is on the disk.
fn write(mut database: Connection, waiting: &Receiver<Job>) {
    while let Ok(first) = waiting.recv() {
        let transaction = database.transaction().expect("there is no other");
        let mut answers = Vec::new();
        let mut statements = Statements::of(&transaction).expect("they are right");
        let others = waiting.try_iter().take(GROUP_MAX - 1);
        for (wish, answer) in std::iter::once(first).chain(others) {
            statements.move_points(&wish).expect("nothing is refused");
            answers.push(answer);
        }
        drop(statements);
        transaction.commit().expect("there is room");
        for answer in answers {
            // Whoever waited has all that it waits for.
            let _ = answer.send(());
        }
    }
}

struct Statements<'a> {
    known: CachedStatement<'a>,
    wallet: CachedStatement<'a>,
    account: CachedStatement<'a>,
    entry: CachedStatement<'a>,
}

impl<'a> Statements<'a> {
    fn of(transaction: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        let prepare = |statement| transaction.prepare_cached(statement);
        Ok(Self {
            known: prepare(
                "SELECT number FROM entries WHERE caller = ? AND key = ? AND key IS NOT NULL",
            )?,
            wallet: prepare(
                "UPDATE wallets SET balance = balance + ?1, head = head + 1
                 WHERE player = ?2 AND balance + ?1 >= 0 RETURNING balance, head",
            )?,
            account: prepare(
                "UPDATE accounts SET balance = balance + ? WHERE player = ? AND account = ?",
            )?,
            entry: prepare("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?,
        })
    }

    fn move_points(&mut self, wish: &Wish) -> rusqlite::Result<()> {
        let (player, amount) = (i64::from(wish.player), wish.amount.cast_signed());
        let (caller, change, account, note, other) = match wish.deed {
            Deed::Grant => (ADMIN, amount, ISSUANCE, Some("a prize"), None),
            Deed::Spend => (player, -amount, SPEND, None, None),
            Deed::Gift(to) => (player, -amount, TRANSIT, None, Some(i64::from(to))),
        };
        let known = self
            .known
            .query_row(params![caller, wish.key], |row| row.get::<_, i64>(0));
        if known.optional()?.is_some() {
            return Ok(());
        }
        let at = now_ms().cast_signed();
        let key = Some((caller, wish.key.as_str()));
        self.line((player, change, account), at, (note, other), key)?;
        match other {
            Some(to) => self.line((to, amount, TRANSIT), at, (None, Some(player)), None),
            None => Ok(()),
        }
    }

    /// Changes two balances of a player, and writes the line of it.
    fn line(
        &mut self,
        (player, change, account): (i64, i64, i64),
        at: i64,
        (note, other): (Option<&str>, Option<i64>),
        key: Option<(i64, &str)>,
    ) -> rusqlite::Result<()> {
        let (balance, number) = self.wallet.query_row(params![change, player], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?;
        self.account.execute(params![-change, player, account])?;
        let (caller, key) = key.unzip();
        self.entry.execute(params![
            player, number, at, account, change, balance, note, other, caller, key
        ])?;
        Ok(())
    }
}

impl Ledger for Sqlite {
    const NAME: &'static str = "SQLite";

    type Hand = Caller;

    fn hand(&self) -> Caller {
        Caller(self.jobs.clone())
    }

    fn spawn(&self, number: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.io_threads.of_task(number).spawn(task);
    }
}

/// Hands movements to the writer.
pub(crate) struct Caller(Sender<Job>);

impl Hand for Caller {
    type Answer = Answer;

    fn move_points(&self, wish: Wish) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.0
            .send((wish, answer))
            .expect("the writer waits for it");
        Answer(answered)
    }
}

/// The answer to a movement.
pub(crate) struct Answer(oneshot::Receiver<()>);

impl Future for Answer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        ready!(Pin::new(&mut self.0).poll(context)).expect("the writer answers");
        Poll::Ready(())
    }
}
