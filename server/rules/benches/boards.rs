//! What a board of many players costs: memory, loading, submitting, asking.
//!
//! `cargo bench -p pitturu-rules --bench boards -- 1000000`. Times are those of one call after another on one thread, with
//! players drawn at random, so that nothing asked for is in the processor's cache by luck.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitturu_protocol::ids::UserId;
use pitturu_rules::boards::{Board, BoardRules, Direction, Entry, Operator, Reset};

const SCORES: i64 = 100_000_000;

fn main() {
    let counts: Vec<u32> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    for &count in if counts.is_empty() {
        &[1_000_000][..]
    } else {
        &counts
    } {
        measure(count);
    }
}

fn rules() -> Arc<BoardRules> {
    Arc::new(BoardRules {
        operator: Operator::Latest,
        direction: Direction::Higher,
        reset: Reset::default(),
        entries_max: u32::MAX,
        ..BoardRules::of(Operator::Best)
    })
}

fn measure(count: u32) {
    println!("{count} players");
    let mut random = fastrand::Rng::with_seed(11);
    let mut rows: Vec<(UserId, i64)> = (0..count)
        .map(|_| {
            let id = std::array::from_fn(|_| random.u8(..));
            (UserId::from_bytes(id), random.i64(-SCORES..SCORES))
        })
        .collect();
    load("loaded, rows in any order", &rows);
    rows.sort_unstable();
    let mut board = load("loaded, rows by player", &rows);
    random.shuffle(&mut rows);

    let players = |random: &mut fastrand::Rng| rows[random.usize(..rows.len())].0;
    time("rank_of", 200_000, |_| {
        let player = players(&mut random);
        move |board: &mut Board| u64::from(board.rank_of(player).unwrap_or_default())
    })(&mut board);
    time("at_rank", 200_000, |_| {
        let rank = random.u32(1..=count);
        move |board: &mut Board| board.at_rank(rank).map_or(0, |it| it.entry.number)
    })(&mut board);
    time("around, 10 and 10", 100_000, |_| {
        let player = players(&mut random);
        move |board: &mut Board| {
            board
                .around(player, 10, 10)
                .map_or(0, |it| it.count() as u64)
        }
    })(&mut board);
    time("top 100 after any", 20_000, |_| {
        let offset = random.u32(..count);
        move |board: &mut Board| board.top(offset, 100).count() as u64
    })(&mut board);
    time("among 100 friends", 5_000, |_| {
        let friends: Vec<_> = (0..100).map(|_| players(&mut random)).collect();
        move |board: &mut Board| board.among(friends.iter().copied()).len() as u64
    })(&mut board);
    time("submit, another score", 2 * count as usize, |_| {
        let (player, score) = (players(&mut random), random.i64(-SCORES..SCORES));
        move |board: &mut Board| u64::from(board.submit(player, score, 1, b"").is_ok())
    })(&mut board);
    println!("  memory after that: {}", per_entry(board.bytes(), count));
    drop(board);

    let mut board = Board::new(rules());
    time("submit, new players from none", rows.len(), |index| {
        let (player, score) = rows[index];
        move |board: &mut Board| u64::from(board.submit(player, score, 1, b"").is_ok())
    })(&mut board);
    println!("  memory after that: {}", per_entry(board.bytes(), count));
}

fn load(what: &str, rows: &[(UserId, i64)]) -> Board {
    let mut board = None;
    let mut took = Duration::ZERO;
    let info = allocation_counter::measure(|| {
        let entries = (1..).zip(rows).map(|(number, &(player, score))| Entry {
            player,
            score,
            number,
            at: 1_700_000_000_000 + number,
            metadata: b"",
        });
        let begin = Instant::now();
        board = Board::load(rules(), entries, rows.len() as u64).ok();
        took = begin.elapsed();
    });
    let board = board.expect("ids drawn at random are not drawn twice");
    let count = board.count();
    let held = usize::try_from(info.bytes_current).expect("a board holds memory");
    let most = usize::try_from(info.bytes_max).expect("a number of bytes");
    println!(
        "  {what}: {took:.0?}, {}, counted {}, at most {}",
        per_entry(board.bytes(), count),
        per_entry(held, count),
        per_entry(most, count),
    );
    board
}

fn per_entry(bytes: usize, count: u32) -> String {
    let bytes = bytes as f64;
    format!(
        "{:.1} MB ({:.1} B each)",
        bytes / 1e6,
        bytes / f64::from(count)
    )
}

/// Times calls one by one. What `prepare` does is not counted.
fn time<Call: FnOnce(&mut Board) -> u64>(
    what: &str,
    calls: usize,
    mut prepare: impl FnMut(usize) -> Call,
) -> impl FnOnce(&mut Board) {
    move |board| {
        let mut times: Vec<u32> = Vec::with_capacity(calls);
        for index in 0..calls {
            let call = prepare(index);
            let begin = Instant::now();
            black_box(call(board));
            let nanos = begin.elapsed().as_nanos();
            times.push(u32::try_from(nanos).unwrap_or(u32::MAX));
        }
        times.sort_unstable();
        let mean = times.iter().map(|&it| f64::from(it)).sum::<f64>() / calls as f64;
        let at = |of_10_000: usize| f64::from(times[(calls - 1) * of_10_000 / 10_000]) / 1e3;
        println!(
            "  {what}: mean {:.2} µs, p50 {:.2}, p99 {:.2}, p99.99 {:.2}, most {:.2}",
            mean / 1e3,
            at(5_000),
            at(9_900),
            at(9_999),
            at(10_000),
        );
    }
}
