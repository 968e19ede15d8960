//! What a season decides.

use std::sync::Arc;

use pitturu_metrics::labels::EntityKind;
use pitturu_metrics::table;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{BoardId, ID_BYTES, UserId};
use pitturu_protocol::limits::BOARD_TOP;
use pitturu_protocol::types::boards::{ScoreEntry, ScoreSubmitted};
use pitturu_rules::audit_log::Note;
use pitturu_rules::boards::{BoardEffects, Ranked, SeasonBoard, SeasonOf, Submission};
use pitturu_rules::signals::{BoardSignal, PlayerSignal};
use pitturu_store::StoreError;
use pitturu_store::clock::now_ms;
use pitturu_store::entities::{Commit, EntityId, Kind};

use super::command::{Ask, Look, Seen, Wish};
use super::season::LiveSeason;
use super::store::{list_rows, score_row, season_row};
use super::{BOARD, Environment};
use crate::owners::answering::{Answering, Decisions, Loaded, Moment};
use crate::owners::signals::Numbered;
use crate::players::{self, audit_log};

/// How long a season that may still change stays in memory after its last use, in milliseconds.
const STAYS_MS: u64 = 10 * 60 * 1_000;

/// The same of one that has ended, which is looked at now and then.
const ENDED_STAYS_MS: u64 = 60 * 1_000;

/// A season at its owner.
pub type LiveBoard = Answering<LiveSeason>;

/// What a decision changes.
#[derive(Debug, Default)]
pub struct Effects {
    board: BoardEffects,
    /// Scores that go on to the next season.
    passed_on: Vec<BoardSignal>,
    /// The answer is kept under its key, though nothing changes.
    keeps_answer: bool,
    /// What the audit log is told.
    note: Option<Note>,
}

/// What is told of a decision.
#[derive(Debug, Default)]
pub struct News {
    has_changed: bool,
}

impl Decisions for LiveSeason {
    type Id = BoardId;
    type Ask = Ask;
    type Effects = Effects;
    type News = News;
    type Environment = Environment;

    const KIND: Kind = BOARD;
    const LABEL: EntityKind = EntityKind::Boards;
    const COMMIT_BYTES: usize = 1_024;

    fn stays_ms(&self) -> u64 {
        match &self.board {
            Some(board) if board.is_closed() => ENDED_STAYS_MS,
            Some(_) => STAYS_MS,
            None => 0,
        }
    }

    fn may_join(ask: &Ask) -> bool {
        matches!(ask.wish, Wish::Submit { .. })
    }

    fn only_looks(ask: &Ask) -> bool {
        matches!(ask.wish, Wish::Look(_))
    }

    fn id_of(id: [u8; ID_BYTES]) -> BoardId {
        BoardId::from_bytes(id)
    }

    async fn load(environment: Environment, id: BoardId) -> Result<Loaded<Self>, StoreError> {
        environment.boards.load(id, environment.definitions).await
    }

    fn decide(
        &mut self,
        Ask { of, wish }: Ask,
        moment: Moment,
        effects: &mut Effects,
    ) -> Result<Vec<u8>, Fault> {
        let board = self.begun(&of)?;
        Ok(match wish {
            Wish::Submit {
                submission,
                has_key,
            } => {
                let submitted = submit(board, *submission, moment.now, &mut effects.board)?;
                effects.keeps_answer = has_key && submitted.is_some();
                codec::encode(&submitted)
            }
            Wish::Remove {
                player,
                only_running,
                note,
            } => {
                let is_over = only_running && board.is_over(moment.now);
                if !is_over {
                    board.remove(player, &mut effects.board)?;
                    effects.note = note.map(|note| noted(*note, &of));
                }
                // A unit would be encoded like nothing.
                codec::encode(&(!is_over).then_some(true))
            }
            Wish::Look(look) => codec::encode(&seen(board, look)),
            Wish::Close { is_forced } => {
                codec::encode(&board.close(moment.now, is_forced, &mut effects.board))
            }
            Wish::Clear => codec::encode(&board.clear(&mut effects.board)),
        })
    }

    fn apply(&mut self, from: EntityId, signal: &Numbered, effects: &mut Effects) {
        match codec::decode(&signal.body) {
            Ok(signal) => self.take(from, signal, effects),
            // It would be no better the next time.
            Err(error) => {
                tracing::error!(%from, version = signal.version, %error, "a signal is damaged");
            }
        }
    }

    fn is_empty(effects: &Effects) -> bool {
        effects.board.is_empty() && effects.passed_on.is_empty() && !effects.keeps_answer
    }

    fn put(&mut self, _: &Environment, effects: Effects, _: u64, commit: &mut Commit) -> News {
        let BoardEffects {
            scores,
            players,
            season,
            placements,
        } = effects.board;
        let passed_on = effects.passed_on.iter().map(super::signal);
        commit.signals.extend(passed_on);
        commit.signals.extend(effects.note.map(audit_log::signal));
        let Some(board) = &mut self.board else {
            return News::default();
        };
        let has_changed = season || !scores.is_empty();
        if season {
            commit.rows.push(season_row(&board.row()));
        }
        // Other decisions may have put theirs into the same commit.
        commit.lists.extend(list_rows(board, season, players));
        let scores = scores.into_iter();
        commit
            .rows
            .extend(scores.map(|(player, row)| score_row(player, row.as_ref())));
        let placements = placements.into_iter();
        let signals = placements
            .map(|(player, placement)| players::signal(player, &PlayerSignal::Placed(placement)));
        commit.signals.extend(signals);
        News { has_changed }
    }

    fn tell(&mut self, environment: &Environment, news: News) {
        if let Some(board) = self.board.as_ref().filter(|_| news.has_changed) {
            environment.notifier.changed(&board.of().board);
        }
    }
}

impl LiveSeason {
    /// The season, which begins if nothing is stored of it.
    fn begun(&mut self, of: &SeasonOf) -> Result<&mut SeasonBoard, Fault> {
        if self.board.is_none() {
            let definition = self.definitions.get(&of.board);
            let definition = definition.ok_or_else(|| Fault::of(Code::BoardNotFound))?;
            if of.id() != self.id {
                return Err(Fault::of(Code::Internal));
            }
            let rules = Arc::clone(&definition.rules);
            self.board = Some(SeasonBoard::new(of.clone(), rules));
        }
        self.board.as_mut().ok_or_else(|| Fault::of(Code::Internal))
    }

    /// Takes a score that a signal brings, or passes it on. It can't be refused: what the rules do not take is counted, and gone.
    fn take(&mut self, from: EntityId, signal: BoardSignal, effects: &mut Effects) {
        let BoardSignal::Score {
            of,
            player,
            score,
            metadata,
            at,
        } = signal;
        let submission = Submission {
            player,
            score,
            metadata: metadata.clone(),
            at,
            by: None,
        };
        let outcome = match self.begun(&of) {
            Ok(board) => board
                .submit(submission, &mut effects.board)
                .map_err(Fault::from),
            Err(fault) => Err(fault),
        };
        match outcome {
            Ok(Some(_)) => {}
            Ok(None) => match self.definitions.next(&of, now_ms()) {
                Some(of) => effects.passed_on.push(BoardSignal::Score {
                    of,
                    player,
                    score,
                    metadata,
                    at,
                }),
                None => dropped(from, &of.board, &Fault::of(Code::BoardNotFound)),
            },
            Err(fault) => dropped(from, &of.board, &fault),
        }
    }
}

/// An act of the staff, of this season. Its line in the log is written where it is decided, once.
fn noted(note: Note, of: &SeasonOf) -> Note {
    tracing::info!(
        by = note.by.map(tracing::field::display),
        user = note.user.map(tracing::field::display),
        board = of.board,
        season = of.season.number,
        act = %note.act,
        "act of staff"
    );
    Note {
        board: Some((of.board.clone(), of.season.number)),
        ..note
    }
}

fn dropped(from: EntityId, board: &str, fault: &Fault) {
    table::BOARD_SCORES_DROPPED.increment();
    tracing::warn!(%from, board, %fault, "a score that a signal brought is not taken");
}

fn submit(
    board: &mut SeasonBoard,
    submission: Submission,
    now: u64,
    effects: &mut BoardEffects,
) -> Result<Option<ScoreSubmitted>, Fault> {
    if board.is_over(now) {
        return Ok(None);
    }
    Ok(board.submit(submission, effects)?)
}

fn seen(season: &SeasonBoard, look: Look) -> Seen {
    let board = season.board();
    let mut own = Vec::new();
    let entries = match look {
        Look::Top(offset, limit) => board.top(offset, limit).map(shown).collect(),
        Look::Around(player, before, after) => {
            let around = board.around(player, before, after);
            around.into_iter().flatten().map(shown).collect()
        }
        Look::Among(players) => among(season, players),
        Look::Glance(players) => {
            own = among(season, players);
            let top = u32::try_from(BOARD_TOP).unwrap_or(u32::MAX);
            board.top(0, top).map(shown).collect()
        }
    };
    Seen {
        count: board.count(),
        is_closed: season.is_closed(),
        operator: board.rules().operator,
        direction: board.rules().direction,
        ends_at: season.of().season.ends_at,
        entries,
        own,
    }
}

fn among(season: &SeasonBoard, players: Vec<UserId>) -> Vec<ScoreEntry> {
    let found = season.board().among(players);
    found.into_iter().map(shown).collect()
}

/// An entry without its name.
fn shown(ranked: Ranked<'_>) -> ScoreEntry {
    let metadata = ranked.entry.metadata;
    ScoreEntry {
        user: ranked.entry.player,
        name: String::new(),
        rank: ranked.rank,
        score: ranked.entry.score,
        at: ranked.entry.at,
        metadata: (!metadata.is_empty()).then(|| String::from_utf8_lossy(metadata).into_owned()),
    }
}
