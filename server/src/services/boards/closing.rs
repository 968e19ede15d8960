//! The end of seasons: they are closed, tell the best their places, and are removed when newer ones are kept in their stead.

use std::cmp::Reverse;
use std::time::Duration;

use pitturu_protocol::codes::Fault;
use pitturu_rules::boards::season_board::CLOSED_AFTER_MS;
use pitturu_rules::boards::{Closing, SeasonOf};
use pitturu_store::StoreError;
use pitturu_store::clock::now_ms;
use pitturu_store::entities::PAGE_ROWS_MAX;

use super::Parts;
use crate::boards::command::Wish;

/// How often seasons are looked at that should be over.
const EVERY: Duration = Duration::from_secs(1);

/// Rest between two commits that remove scores.
const REST: Duration = Duration::from_millis(20);

/// Closes seasons until the process ends.
pub async fn run(parts: Parts) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_first = true;
    loop {
        tick.tick().await;
        let due = match is_first {
            true => superseded(&parts, now_ms()).await,
            false => due(&parts, now_ms()).await,
        };
        match due {
            Ok(seasons) => {
                close(&parts, seasons, now_ms()).await;
                if is_first {
                    tokio::spawn(remove_all_old(parts.clone()));
                }
                is_first = false;
            }
            Err(error) => tracing::warn!(%error, "the end of seasons goes on later"),
        }
    }
}

/// Seasons that ended a moment ago, or have yet to tell places.
///
/// # Errors
/// Those of the store.
pub async fn due(parts: &Parts, now: u64) -> Result<Vec<(SeasonOf, bool)>, StoreError> {
    let before = now.saturating_sub(CLOSED_AFTER_MS).saturating_add(1);
    let due = parts.store.open(Some(before)).await?.into_iter();
    Ok(due.map(|of| (of, false)).collect())
}

/// The same, and seasons whose end is another one by the resets of now: those take it up, and such as would never end are closed by force.
///
/// # Errors
/// Those of the store.
pub async fn superseded(parts: &Parts, now: u64) -> Result<Vec<(SeasonOf, bool)>, StoreError> {
    let open = parts.store.open(None).await?.into_iter();
    let superseded = open.filter_map(|of| match parts.definitions.end_of(&of, now) {
        Some(ends_at) => (ends_at != of.season.ends_at).then_some((of, false)),
        None => of.season.ends_at.is_none().then_some((of, true)),
    });
    let superseded: Vec<_> = superseded.collect();
    Ok([superseded, due(parts, now).await?].concat())
}

/// Closes these seasons, and has the best told their places. What fails is tried again at the next turn.
pub async fn close(parts: &Parts, seasons: Vec<(SeasonOf, bool)>, now: u64) {
    for (of, is_forced) in seasons {
        // Without its rules nobody knows whom to tell. It goes on when the leaderboard is back in the file.
        if parts.definitions.get(&of.board).is_none() {
            continue;
        }
        let season = of.season.number;
        match close_one(parts, &of, is_forced, now).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(board = of.board, season, "a season has ended");
                let (parts, board) = (parts.clone(), of.board);
                tokio::spawn(async move { remove_old(&parts, &board, now).await });
            }
            Err(fault) => {
                tracing::warn!(board = of.board, season, %fault, "a season is closed later");
            }
        }
    }
}

/// Whether the season is closed now.
async fn close_one(parts: &Parts, of: &SeasonOf, is_forced: bool, now: u64) -> Result<bool, Fault> {
    loop {
        let wish = Wish::Close { is_forced };
        match parts.ask(of, wish, None, now).await? {
            Closing::Going => {}
            Closing::Running => return Ok(false),
            Closing::Done => return Ok(true),
        }
    }
}

/// What a process that ended in between has left.
async fn remove_all_old(parts: Parts) {
    let boards = parts
        .definitions
        .after(None)
        .map(|(name, _)| name.to_owned());
    for board in boards.collect::<Vec<_>>() {
        remove_old(&parts, &board, now_ms()).await;
    }
}

/// Removes what a leaderboard keeps no longer. What fails is tried again when the next season has ended, or the next process begins.
pub async fn remove_old(parts: &Parts, board: &str, now: u64) {
    if let Err(fault) = try_remove_old(parts, board, now).await {
        tracing::warn!(board, %fault, "old seasons are removed later");
    }
}

async fn try_remove_old(parts: &Parts, board: &str, now: u64) -> Result<(), Fault> {
    let Some(definition) = parts.definitions.get(board) else {
        return Ok(());
    };
    let kept = definition.rules.seasons_kept as usize;
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = parts.store.seasons(board, before, PAGE_ROWS_MAX).await?;
        before = page.last().map(|listed| listed.of.season.number);
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    let mut ended: Vec<_> = listed.into_iter().filter(|it| it.count.is_some()).collect();
    ended.sort_by_key(|listed| Reverse(listed.of.season.starts_at));
    for listed in ended.into_iter().skip(kept) {
        let of = listed.of;
        while parts.ask::<Closing>(&of, Wish::Clear, None, now).await? == Closing::Going {
            tokio::time::sleep(REST).await;
        }
        tracing::info!(
            board,
            season = of.season.number,
            "a season is kept no longer"
        );
    }
    Ok(())
}
