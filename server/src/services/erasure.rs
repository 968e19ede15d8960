//! Erasing the accounts whose time has come, and everything personal of their players.
//!
//! The player's own entity comes first and last: it begins, so that nothing takes the deletion back any more, and it ends, so that whoever
//! was interrupted in between begins again. Each step does nothing where it was done before.
//!
//! | step | what goes |
//! |---|---|
//! | begin | sessions, friendships, requests, blocks; from here on there is no such player to anybody else |
//! | claims | the user name and the device's secret are free; the configuration makes nobody an admin by that name any more |
//! | rooms | places, bans, mutes; messages stand under nobody's name, which followers are told |
//! | leaderboards | scores |
//! | other players | what tells of the player in inboxes and lists of rooms; what was said with gifts |
//! | reports | those about the player; of those by the player, who made them and what they said |
//! | audit log | reasons and addresses of what is about the player |
//! | end | account, profile, inbox, reset tokens; what was said in the ledger |
//!
//! Nobody keeps a list of where a player ever was: rooms and inboxes are looked through, all of them, for all players who are due at the
//! same time ([decision 14](../../../docs/decisions/0014-erasure-looks-everywhere.md)).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::PAGE_BYTES_MAX;
use pitturu_protocol::methods::Method as _;
use pitturu_protocol::types::accounts::{DeleteAccount, Role};
use pitturu_rules::accounts::{AccountRow, Claim};
use pitturu_rules::items::ChangeRow as ItemsRow;
use pitturu_rules::reports::concerns;
use pitturu_rules::rooms::Actor;
use pitturu_store::StoreError;
use pitturu_store::clock::{Steady, now_ms};
use pitturu_store::entities::{PAGE_ROWS_MAX, Span};
use serde::de::DeserializeOwned;
use tracing::Span as LogSpan;

use super::boards;
use super::deletions::Deletions;
use super::players_access::PlayersAccess;
use crate::boards::command::Wish;
use crate::boards::store::position;
use crate::chat::RoomOwners;
use crate::chat::command::{Ask as RoomAsk, Command, Erase, RoomCall};
use crate::chat::store::RoomStore;
use crate::connections::address::Address;
use crate::connections::call::PendingCall;
use crate::connections::call_metrics::Moment;
use crate::connections::recipient::{OwnCall, Recipient};
use crate::players;
use crate::players::audit_log::AuditLogOwner;
use crate::players::command::{AccountAsk, AccountEnd, Ask, Line, Origin, Redacted};
use crate::players::reports::ReportsOwner;

/// How often accounts are looked for that are due.
const EVERY: Duration = Duration::from_secs(60);

/// Calls of theirs, and about them, that were under way at the beginning are decided by then.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// Rest between two pages of what is looked through, so that it takes little of the store's time.
const REST: Duration = Duration::from_millis(5);

/// Messages of one room that are asked for together: their commits share a sync.
const AT_ONCE: usize = 32;

/// Pause before something is asked again that was refused for the moment.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How often that is asked before the erasure begins anew, a minute later.
const TRIES_MAX: u32 = 100;

/// What accounts are erased from.
pub struct Erasure {
    /// What is stored of rooms.
    pub rooms: RoomStore,
    /// Who owns rooms.
    pub room_owners: RoomOwners,
    /// Leaderboards, and players.
    pub boards: boards::Parts,
    /// Reports.
    pub reports: ReportsOwner,
    /// The audit log.
    pub audit_log: AuditLogOwner,
    /// When they are due.
    pub deletions: Deletions,
}

impl Erasure {
    /// Erases what is due until the process ends.
    pub async fn run(self) {
        loop {
            if let Err(fault) = self.erase_due(now_ms()).await {
                tracing::warn!(%fault, "accounts are erased later");
            }
            // Whichever comes first.
            tokio::time::timeout(EVERY, self.deletions.come_due())
                .await
                .ok();
        }
    }

    /// Erases the accounts that are due.
    ///
    /// # Errors
    /// Those of the store, and those of an owner who has too much to do, which concern all of them. What was done stays done, and the rest is
    /// tried again at the next call.
    pub async fn erase_due(&self, now: u64) -> Result<(), Fault> {
        let mut begun = Vec::new();
        for user in self.players().store.due_for_erasure(now).await? {
            match self.begin(user).await {
                Ok(true) => begun.push(user),
                Ok(false) => {}
                Err(fault) => tracing::warn!(%user, %fault, "an account is erased later"),
            }
        }
        if begun.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(UNDER_WAY).await;
        for user in &begun {
            self.release_claims(*user).await?;
            self.leave_boards(*user).await?;
        }
        self.leave_rooms(&begun).await?;
        self.leave_inboxes(&begun).await?;
        for user in begun {
            match self.end(user).await {
                Ok(()) => tracing::info!(%user, "an account was erased"),
                Err(fault) => tracing::warn!(%user, %fault, "an account is erased later"),
            }
        }
        Ok(())
    }

    /// Whether the account is erased from here on. It is not if that was taken back meanwhile.
    async fn begin(&self, user: UserId) -> Result<bool, Fault> {
        match self.ask(user, AccountEnd::Begin).await {
            Ok(()) => {}
            Err(fault) if fault.code == Code::Unavailable => return Ok(false),
            Err(fault) => return Err(fault),
        }
        Ok(true)
    }

    async fn end(&self, user: UserId) -> Result<(), Fault> {
        // Whatever was slower than the rest.
        self.leave_boards(user).await?;
        self.erase_reports(user).await?;
        self.erase_details(user).await?;
        self.erase_account(user).await
    }

    const fn players(&self) -> &PlayersAccess {
        &self.boards.players
    }

    async fn ask<T: DeserializeOwned>(&self, user: UserId, step: AccountEnd) -> Result<T, Fault> {
        self.ask_player(
            user,
            Ask::Account(Box::new(AccountAsk::End(step)), Origin::SERVER),
        )
        .await
    }

    async fn ask_player<T: DeserializeOwned>(&self, user: UserId, ask: Ask) -> Result<T, Fault> {
        let owners = &self.players().owners;
        let answered = owners.ask_under(user, ask, None, now_ms()).await?;
        codec::decode(&answered.body).map_err(|_| Fault::of(Code::Internal))
    }

    async fn account(&self, user: UserId) -> Result<AccountRow, Fault> {
        let account = self.players().store.account_to_erase(user).await?;
        account.ok_or_else(|| Fault::of(Code::NotFound))
    }

    async fn release_claims(&self, user: UserId) -> Result<(), Fault> {
        let account = self.account(user).await?;
        let name = account.login.map(|login| login.folded);
        if let Some(name) = name
            .as_ref()
            .filter(|name| self.deletions.makes_admin(name))
        {
            // Before somebody else has it.
            self.players().store.spend_name(name).await?;
        }
        let name = name.map(Claim::Name);
        let secret = account.guest_secret.map(Claim::Secret);
        for claim in name.into_iter().chain(secret) {
            self.players().store.release(&claim, user).await?;
        }
        Ok(())
    }

    async fn leave_boards(&self, user: UserId) -> Result<(), Fault> {
        let mut after: Option<String> = None;
        loop {
            let after_this = after.as_deref();
            let page = self
                .boards
                .store
                .places(user, after_this, PAGE_ROWS_MAX)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(position(last));
            for of in &page {
                let wish = Wish::Remove {
                    player: user,
                    only_running: false,
                    note: None,
                };
                let removed = self.boards.ask::<Option<bool>>(of, wish, None, now_ms());
                removed.await?;
            }
        }
    }

    /// Has every room forget these players.
    async fn leave_rooms(&self, users: &[UserId]) -> Result<(), Fault> {
        let mut after = None;
        loop {
            let page = self.rooms.rooms_page(after, PAGE_ROWS_MAX).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.room);
            for row in &page {
                let is_of = |user: &UserId| row.peers.is_none_or(|peers| peers.contains(user));
                let users: Vec<UserId> = users.iter().copied().filter(is_of).collect();
                if !row.deleted && !users.is_empty() {
                    self.leave_room(row.room, &users).await?;
                }
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn leave_room(&self, room: RoomId, users: &[UserId]) -> Result<(), Fault> {
        let mut after = 0;
        loop {
            let page = self
                .rooms
                .messages_after(room, after, PAGE_ROWS_MAX, PAGE_BYTES_MAX)
                .await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.msg.seq;
            let theirs = page.iter().map(|row| (row.msg.from, row.msg.seq));
            let theirs: Vec<(UserId, u64)> =
                theirs.filter(|(from, _)| users.contains(from)).collect();
            for some in theirs.chunks(AT_ONCE) {
                let asked = some.iter();
                let asked =
                    asked.map(|(from, seq)| self.ask_room(room, *from, Erase::Author(*seq)));
                try_join_all(asked).await?;
            }
        }
        // Last, for whoever is the last member ends the room.
        for user in self.rooms.traces_of(room, users).await? {
            self.ask_room(room, user, Erase::Player).await?;
        }
        Ok(())
    }

    async fn ask_room(&self, room: RoomId, user: UserId, erase: Erase) -> Result<(), Fault> {
        for _ in 0..TRIES_MAX {
            let (own, outcome) = OwnCall::new();
            self.room_owners
                .send(Command::Call(Box::new(call(room, user, erase, own))));
            match outcome.await {
                Ok(Ok(())) => return Ok(()),
                // The room has ended, or retention has come past the message.
                Ok(Err(fault))
                    if matches!(fault.code, Code::RoomNotFound | Code::MessageNotFound) =>
                {
                    return Ok(());
                }
                Ok(Err(_)) | Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
            }
        }
        Err(Fault::of(Code::Unavailable))
    }

    /// Has every other player forget these.
    async fn leave_inboxes(&self, users: &[UserId]) -> Result<(), Fault> {
        let gifts = self.gifts_of(users).await?;
        for ((other, user), lines) in gifts {
            self.ask_player::<()>(other, Ask::ForgetPlayer(user, lines))
                .await?;
        }
        let mut after = None;
        loop {
            let (page, position) = self.players().store.all_players(after).await?;
            if page.is_empty() {
                return Ok(());
            }
            after = position;
            for other in page {
                for user in self.players().store.traces_of(other, users).await? {
                    self.ask_player::<()>(other, Ask::ForgetPlayer(user, Vec::new()))
                        .await?;
                }
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// The lines of others' ledgers in which something stands that these players have said with a gift, without it.
    async fn gifts_of(
        &self,
        users: &[UserId],
    ) -> Result<BTreeMap<(UserId, UserId), Vec<Line>>, StoreError> {
        let mut others = BTreeSet::new();
        for user in users {
            let lines = self.lines_with_notes(*user).await?;
            let with = lines.iter().filter_map(|(_, line)| line.entry.other);
            others.extend(with.map(|other| (other, *user)));
        }
        let mut gifts = BTreeMap::new();
        for (other, user) in others {
            let mut lines = self.lines_with_notes(other).await?;
            lines.retain(|(_, line)| line.entry.other == Some(user));
            gifts.insert((other, user), without_notes(lines));
        }
        Ok(gifts)
    }

    /// What stays of a player's books, without what was said.
    async fn redacted(&self, user: UserId) -> Result<Redacted, StoreError> {
        let movements = without_notes(self.lines_with_notes(user).await?);
        let (mut items, mut after) = (Vec::new(), 0);
        loop {
            let store = &self.players().store;
            let page = store.item_changes(user, after, PAGE_ROWS_MAX).await?;
            let Some((last, _)) = page.last() else {
                return Ok(Redacted { movements, items });
            };
            after = *last;
            let with = page.into_iter().filter(|(_, line)| line.note.is_some());
            items.extend(with.map(|(number, line)| (number, ItemsRow { note: None, ..line })));
        }
    }

    async fn lines_with_notes(&self, user: UserId) -> Result<Vec<Line>, StoreError> {
        let (mut lines, mut after) = (Vec::new(), 0);
        loop {
            let span = Span::After(after);
            let page = self.players().store.movements(user, span, PAGE_ROWS_MAX);
            let page = page.await?;
            let Some((last, _)) = page.last() else {
                return Ok(lines);
            };
            after = *last;
            lines.extend(
                page.into_iter()
                    .filter(|(_, line)| line.entry.note.is_some()),
            );
        }
    }

    async fn erase_reports(&self, user: UserId) -> Result<(), Fault> {
        let (mut settled, mut before) = (Vec::new(), None);
        loop {
            let store = &self.players().store;
            let page = store.reports(true, before, PAGE_ROWS_MAX).await?;
            let Some(last) = page.last() else {
                break;
            };
            before = Some(last.number);
            settled.extend(page.into_iter().filter(|report| concerns(report, user)));
        }
        self.reports.erase_player(user, settled, now_ms()).await
    }

    /// Erases what the audit log has in words about the player, once everything that the player's entity tells it has come.
    async fn erase_details(&self, user: UserId) -> Result<(), Fault> {
        let store = &self.players().store;
        let mut tries = 0;
        loop {
            let waiting = store
                .entities()
                .undelivered(players::entity(user), None, 1)
                .await?;
            if waiting.is_empty() {
                break;
            }
            tries += 1;
            if tries > TRIES_MAX {
                return Err(Fault::of(Code::Unavailable));
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        let mut before = None;
        loop {
            let page = store
                .audit_log_about(user, before, PAGE_ROWS_MAX / 2)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            before = Some(last.entry.number);
            // What one of the staff did to somebody else is about them, and stays their reason.
            let about = page.iter().filter(|record| record.entry.user == Some(user));
            let with = about.filter(|record| record.details.is_some());
            let numbers: Vec<u64> = with.map(|record| record.entry.number).collect();
            if !numbers.is_empty() {
                self.audit_log.erase(numbers, now_ms()).await?;
            }
        }
    }

    async fn erase_account(&self, user: UserId) -> Result<(), Fault> {
        let mut after = None;
        loop {
            let rooms = self
                .players()
                .store
                .rooms(user, after, PAGE_ROWS_MAX)
                .await?;
            after = rooms.last().copied();
            if rooms.is_empty() {
                break;
            }
            // Rooms that have ended tell nobody.
            let ask = Ask::ForgetRooms(rooms);
            self.players()
                .owners
                .ask_under(user, ask, None, now_ms())
                .await?;
        }
        let redacted = self.redacted(user).await?;
        self.ask::<()>(user, AccountEnd::Erase(redacted)).await?;
        let entities = self.players().store.entities();
        Ok(entities.trim(players::entity(user)).await?)
    }
}

fn without_notes(mut lines: Vec<Line>) -> Vec<Line> {
    for (_, line) in &mut lines {
        line.entry.note = None;
    }
    lines
}

/// What a room is asked in a player's name.
fn call(room: RoomId, user: UserId, erase: Erase, own: Arc<OwnCall>) -> RoomCall {
    RoomCall {
        room,
        recipient: Recipient::Own(own),
        actor: Actor {
            user,
            name: Arc::from(""),
            role: Role::Player,
            sanctions: None,
            now: now_ms(),
            steady_ms: Steady::now().as_ms(),
        },
        address: Address::from(std::net::Ipv4Addr::UNSPECIFIED),
        call: PendingCall::new(0, DeleteAccount::NUMBER, Moment::now()),
        ask: RoomAsk::Erase(erase),
        key: None,
        span: LogSpan::none(),
    }
}
