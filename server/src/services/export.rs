//! Everything that is kept about a player, as JSON, by pages: what laws on personal data let a player ask for.
//!
//! A page holds records, each an object with one key that says what it is. Parts come one after the other, and a position says which part
//! goes on where. What is other players' or the staff's is left out: what they said, who decided something.
//!
//! `rooms` has what there is of a player in rooms. In those that the player has left it takes a look at every room of the server, so that
//! is for admins alone, whose export is whole.

mod rooms;

use std::sync::Arc;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::EXPORT_BYTES_MAX;
use pitturu_protocol::types::accounts::{ExportPlayer, PlayerExport};
use pitturu_protocol::types::audit_log::{AuditAct, AuditEntry};
use pitturu_protocol::types::boards::GetScore;
use pitturu_rules::accounts::Sanction;
use pitturu_store::clock::Steady;
use pitturu_store::entities::Span;
use serde::Serialize;
use serde_json::{Value, json};

use self::rooms::{Rooms, Which};
use super::accounts::devices::{account, listed};
use super::boards::BoardService;
use super::players_access::PlayersAccess;
use super::profile::profile;
use crate::boards::store::position;
use crate::chat::store::RoomStore;
use crate::connections::caller::Caller;

/// Rows that one look into the store takes.
const ROWS: usize = 100;

/// Looks into the store for one page: a player who has said little in busy rooms gets short pages.
const LOOKS_MAX: usize = 16;

/// How long one page goes through rooms that are not in the player's list.
const LOOKS_FOR_MS: u64 = 500;

/// What an export is made of, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Account,
    Friends,
    Rooms,
    Inbox,
    Movements,
    Items,
    ItemChanges,
    Scores,
    OpenReports,
    SettledReports,
    Events,
    OtherRooms,
}

/// Those of everybody's export of their own.
const OWN_PARTS: &[Part] = PARTS.split_last().expect("there are some").1;

const PARTS: &[Part] = &[
    Part::Account,
    Part::Friends,
    Part::Rooms,
    Part::Inbox,
    Part::Movements,
    Part::Items,
    Part::ItemChanges,
    Part::Scores,
    Part::OpenReports,
    Part::SettledReports,
    Part::Events,
    Part::OtherRooms,
];

/// Records of one part, each with the position behind it, and where the part goes on if it does.
#[derive(Default)]
struct Found {
    records: Vec<(Value, String)>,
    next: Option<String>,
}

impl Found {
    /// Records that are all that there is behind them, if they are fewer than were asked for.
    fn page(asked: usize, records: Vec<(Value, String)>) -> Self {
        let last = records.last().map(|(_, position)| position.clone());
        Self {
            next: last.filter(|_| records.len() >= asked),
            records,
        }
    }
}

/// The call [`ExportPlayer`].
pub struct ExportService {
    players: PlayersAccess,
    rooms: RoomStore,
    boards: Arc<BoardService>,
}

impl ExportService {
    /// Exports of these players, from these rooms and leaderboards.
    pub const fn new(players: PlayersAccess, rooms: RoomStore, boards: Arc<BoardService>) -> Self {
        Self {
            players,
            rooms,
            boards,
        }
    }

    /// [`ExportPlayer`].
    pub async fn export(
        &self,
        caller: &Caller,
        request: ExportPlayer,
    ) -> Result<PlayerExport, Fault> {
        let own = caller.user()?;
        let user = request.user.unwrap_or(own);
        let mut parts = OWN_PARTS;
        if user != own {
            self.players.staff.admin(caller).await?;
            self.players.check_exists(user).await?;
            parts = PARTS;
        }
        let (mut number, mut after) = match &request.after {
            Some(position) => parsed(position)?,
            None => (0, String::new()),
        };
        let mut records = String::from("[");
        let begun = Steady::now().as_ms();
        for looks in 0.. {
            let Some(part) = parts.get(number) else {
                return Ok(page(records, None));
            };
            let is_enough = match part {
                Part::OtherRooms => Steady::now().as_ms().saturating_sub(begun) >= LOOKS_FOR_MS,
                _ => looks >= LOOKS_MAX,
            };
            // The first look of a page is always taken: there is no page that leads nowhere.
            if is_enough && looks > 0 {
                break;
            }
            let found = self.look(caller, user, *part, &after).await?;
            for (record, position) in found.records {
                let record = record.to_string();
                // The comma, and the end.
                if records.len() > 1 && records.len() + record.len() + 2 > EXPORT_BYTES_MAX {
                    return Ok(page(records, Some(format!("{number}.{after}"))));
                }
                if records.len() > 1 {
                    records.push(',');
                }
                records.push_str(&record);
                after = position;
            }
            match found.next {
                Some(next) => after = next,
                None => (number, after) = (number + 1, String::new()),
            }
        }
        Ok(page(records, Some(format!("{number}.{after}"))))
    }

    async fn look(
        &self,
        caller: &Caller,
        user: UserId,
        part: Part,
        after: &str,
    ) -> Result<Found, Fault> {
        match part {
            Part::Account => self.account(caller, user, after).await,
            Part::Friends => self.friends(user, after).await,
            Part::Rooms => self.rooms(user, Which::Listed).look(after).await,
            Part::OtherRooms => self.rooms(user, Which::Others).look(after).await,
            Part::Inbox => self.inbox(user, after).await,
            Part::Movements => self.movements(user, after).await,
            Part::Items => self.items(user, after).await,
            Part::ItemChanges => self.item_changes(user, after).await,
            Part::Scores => self.scores(caller, user, after).await,
            Part::OpenReports => self.reports(user, false, after).await,
            Part::SettledReports => self.reports(user, true, after).await,
            Part::Events => self.events(user, after).await,
        }
    }

    const fn rooms(&self, user: UserId, which: Which) -> Rooms<'_> {
        Rooms {
            players: &self.players.store,
            rooms: &self.rooms,
            user,
            which,
        }
    }

    /// The account, and its sessions. The position is how many of them were told.
    async fn account(&self, caller: &Caller, user: UserId, after: &str) -> Result<Found, Fault> {
        let told_before: usize = optional(after)?.unwrap_or(0);
        let store = &self.players.store;
        let row = store.account(user).await?;
        let (_, rewards) = store.items_head(user).await?;
        let sessions = listed(store.sessions(user).await?, caller).into_iter();
        let sessions = sessions.map(|session| json!({ "session": session }));
        let shown = row.into_iter().map(|row| {
            let now = caller.now;
            let sanctions = row.sanctions.clone();
            json!({"account": {
                "profile": profile(row.clone()),
                "suspension": sanctions.suspension(now).map(told),
                "mute": sanctions.mute(now).map(told),
                "erase_at": row.deletion.map(|deletion| deletion.erase_at),
                "rewards": {
                    "day": rewards.day,
                    "streak": rewards.streak,
                    "points": rewards.points,
                    "given": rewards.given,
                },
                "account": account(row),
            }})
        });
        let records = shown.chain(sessions).zip(1..).skip(told_before);
        Ok(Found {
            records: records
                .map(|(record, told): (Value, usize)| (record, told.to_string()))
                .collect(),
            next: None,
        })
    }

    async fn friends(&self, user: UserId, after: &str) -> Result<Found, Fault> {
        let after = optional(after)?;
        let friends = self.players.store.friends(user, None, after, ROWS).await?;
        let records = friends.into_iter();
        let records = records.map(|row| record("friend", &row, row.user.to_string()));
        Ok(Found::page(ROWS, records.collect()))
    }

    async fn inbox(&self, user: UserId, after: &str) -> Result<Found, Fault> {
        let after = optional(after)?.unwrap_or(0);
        let entries = self.players.store.inbox_after(user, after, ROWS).await?;
        let records = entries.into_iter();
        let records = records.map(|entry| record("inbox", &entry, entry.seq.to_string()));
        Ok(Found::page(ROWS, records.collect()))
    }

    async fn movements(&self, user: UserId, after: &str) -> Result<Found, Fault> {
        let span = Span::After(optional(after)?.unwrap_or(0));
        let lines = self.players.store.movements(user, span, ROWS).await?;
        let records = lines.into_iter().map(|(number, line)| {
            let mut movement = line.movement(number);
            movement.by = None;
            record("movement", &movement, number.to_string())
        });
        Ok(Found::page(ROWS, records.collect()))
    }

    async fn items(&self, user: UserId, after: &str) -> Result<Found, Fault> {
        let after = Some(after).filter(|after| !after.is_empty());
        let items = self.players.store.owned_items(user, after, ROWS).await?;
        let records = items.into_iter();
        let records = records.map(|(name, row)| record("item", &row.shown(&name), name));
        Ok(Found::page(ROWS, records.collect()))
    }

    async fn item_changes(&self, user: UserId, after: &str) -> Result<Found, Fault> {
        let after = optional(after)?.unwrap_or(0);
        let changes = self.players.store.item_changes(user, after, ROWS).await?;
        let records = changes.into_iter().map(|(number, row)| {
            let mut change = row.shown(number);
            change.by = None;
            record("item_change", &change, number.to_string())
        });
        Ok(Found::page(ROWS, records.collect()))
    }

    async fn scores(&self, caller: &Caller, user: UserId, after: &str) -> Result<Found, Fault> {
        /// Each asks a season, which may have to be loaded.
        const SEASONS: usize = 8;
        let after = Some(after).filter(|after| !after.is_empty());
        let store = &self.boards.parts().store;
        let seasons = store.places(user, after, SEASONS).await?;
        let mut records = Vec::with_capacity(seasons.len());
        for of in seasons {
            let asked = GetScore {
                board: of.board.clone(),
                season: Some(of.season.number),
                user: Some(user),
            };
            // A leaderboard that the game has no longer still has the score.
            let score = self.boards.score(caller, asked).await.ok();
            let score = json!({"board": of.board, "season": of.season.number, "score": score});
            records.push((json!({"score": score}), position(&of)));
        }
        Ok(Found::page(SEASONS, records))
    }

    async fn reports(&self, user: UserId, settled: bool, after: &str) -> Result<Found, Fault> {
        let before = optional(after)?;
        let reports = self.players.store.reports(settled, before, ROWS).await?;
        let next = reports.last().map(|report| report.number.to_string());
        let own = reports.into_iter().filter(|report| report.by == user);
        let records = own.map(|report| {
            let message = report.message.map(|message| (message.room, message.seq));
            let told = json!({
                "number": report.number,
                "at": report.at,
                "user": report.user,
                "reason": report.reason,
                "note": report.note,
                "message": message,
            });
            (json!({"report": told}), report.number.to_string())
        });
        Ok(Found {
            records: records.collect(),
            next,
        })
    }

    /// What the audit log has about the player, or of what they did.
    async fn events(&self, user: UserId, after: &str) -> Result<Found, Fault> {
        let before = optional(after)?;
        let found = self.players.store.audit_log_about(user, before, ROWS);
        let found = found.await?;
        let next = found.last().map(|record| record.entry.number.to_string());
        let next = next.filter(|_| found.len() >= ROWS);
        // Whoever is reported is told nothing of it.
        let is_told =
            |entry: &AuditEntry| entry.act != AuditAct::ReportSettled || entry.by == Some(user);
        let told = found.into_iter().filter(|record| is_told(&record.entry));
        let records = told.map(|found| {
            let entry = found.entry;
            let is_own = entry.by == Some(user);
            let details = found.details.filter(|_| is_own);
            let told = json!({
                "number": entry.number,
                "at": entry.at,
                "act": entry.act,
                "by_themselves": is_own,
                "room": entry.room,
                "until": entry.until,
                "address": details.and_then(|details| details.address),
            });
            (json!({"event": told}), entry.number.to_string())
        });
        Ok(Found {
            records: records.collect(),
            next,
        })
    }
}

fn page(mut records: String, next: Option<String>) -> PlayerExport {
    records.push(']');
    PlayerExport { records, next }
}

fn record<T: Serialize>(kind: &str, what: &T, position: String) -> (Value, String) {
    (json!({ kind: what }), position)
}

/// What the player was told of it.
fn told(sanction: &Sanction) -> Value {
    json!({"at": sanction.at, "until": sanction.until, "reason": sanction.reason})
}

fn parsed(position: &str) -> Result<(usize, String), Fault> {
    let parts = position.split_once('.');
    let parts = parts.and_then(|(number, after)| Some((number.parse().ok()?, after)));
    let (number, after) = parts.ok_or_else(no_position)?;
    Ok((number, after.to_owned()))
}

fn required<T: std::str::FromStr>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| no_position())
}

/// Nothing is where a part begins.
fn optional<T: std::str::FromStr>(text: &str) -> Result<Option<T>, Fault> {
    match text.is_empty() {
        true => Ok(None),
        false => required(text).map(Some),
    }
}

fn no_position() -> Fault {
    Fault::invalid("after", "`next` of a page")
}
