//! Reports of players, and what the staff does with them.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::accounts::{Identity, Role};
use pitturu_protocol::types::reports::{
    ListReports, Report, ReportMessage, ReportPlayer, Reported, ReportedMessage, Reports,
    SettleReport, TakeReport,
};
use pitturu_rules::accounts::{NOBODY, Shown};
use pitturu_rules::pages::{Page, page_items};
use pitturu_rules::reports;
use pitturu_rules::rooms::member_of;

use super::players_access::PlayersAccess;
use crate::chat::store::RoomStore;
use crate::connections::caller::Caller;
use crate::players::reports::{Ask, ReportsOwner};

/// The calls of [`pitturu_protocol::types::reports`].
pub struct ReportService {
    players: PlayersAccess,
    rooms: RoomStore,
    owner: ReportsOwner,
}

impl ReportService {
    /// Reports of these players about messages in these rooms, kept by this owner.
    pub const fn new(players: PlayersAccess, rooms: RoomStore, owner: ReportsOwner) -> Self {
        Self {
            players,
            rooms,
            owner,
        }
    }

    /// [`ReportMessage`]. The message is what the store has of it at this moment.
    pub async fn report_message(
        &self,
        caller: &Caller,
        request: ReportMessage,
    ) -> Result<Reported, Fault> {
        let ReportMessage {
            room,
            seq,
            reason,
            note,
        } = request;
        let by = caller.user()?;
        // A report that was made stays made, also if the message was deleted since.
        if let Some(key) = &caller.key
            && let Some(number) = self.players.store.reported_before(by, key).await?
        {
            return Ok(Reported { number });
        }
        self.check_member(caller, room).await?;
        let message = self.rooms.message(room, seq).await?;
        let message = message.ok_or_else(|| Fault::of(Code::MessageNotFound))?.msg;
        if message.deleted_by.is_some() {
            return Err(Fault::of(Code::MessageDeleted));
        }
        if message.from == NOBODY {
            let why = "its author's account was erased: there is nobody to report";
            return Err(Fault::new(Code::NotFound, why));
        }
        if message.from == by {
            return Err(Fault::invalid("seq", "the message of another player"));
        }
        let report = Report {
            number: 0,
            at: caller.now,
            by,
            user: message.from,
            reason,
            note,
            message: Some(ReportedMessage {
                room,
                seq,
                at: message.at,
                name: message.name,
                text: message.text,
            }),
            staff: None,
            settled: None,
        };
        self.add(caller, report).await
    }

    /// [`ReportPlayer`].
    pub async fn report_player(
        &self,
        caller: &Caller,
        request: ReportPlayer,
    ) -> Result<Reported, Fault> {
        let ReportPlayer { user, reason, note } = request;
        let by = caller.user()?;
        if user == by {
            return Err(Fault::invalid("user", "another player"));
        }
        self.players.check_exists(user).await?;
        let report = Report {
            number: 0,
            at: caller.now,
            by,
            user,
            reason,
            note,
            message: None,
            staff: None,
            settled: None,
        };
        self.add(caller, report).await
    }

    /// [`ListReports`].
    pub async fn list(&self, caller: &Caller, request: ListReports) -> Result<Reports, Fault> {
        let staff = self.players.staff.moderator(caller).await?;
        let ListReports {
            settled,
            user,
            before,
            limit,
        } = request;
        let limit = page_items(limit)?;
        let store = &self.players.store;
        // That a moderator is reported, and by whom, is for others of the staff to know: no page has a place where it was.
        let is_shown = |report: &Report| report.user != staff.user || staff.role == Role::Admin;
        let (mut found, mut behind) = (Vec::new(), before);
        // One more than the page holds says whether others follow.
        while found.len() <= limit {
            let read = match user {
                Some(user) => store.reports_about(user, behind, limit + 1).await?,
                None => store.reports(settled, behind, limit + 1).await?,
            };
            let is_all = read.len() <= limit;
            behind = read.last().map(|report| report.number);
            found.extend(read.into_iter().filter(is_shown));
            if is_all {
                break;
            }
        }
        let (reports, are_more) = Page::of(limit, found).into_parts();
        let last = reports.last().map(|report| report.number);
        Ok(Reports {
            next: last.filter(|_| are_more),
            reports,
        })
    }

    /// [`TakeReport`].
    pub async fn take(&self, caller: &Caller, request: TakeReport) -> Result<Report, Fault> {
        let Shown { user: staff, role } = self.players.staff.moderator(caller).await?;
        let ask = Ask::Take(request.number, staff);
        let taken = self.owner.decide(caller, ask).await;
        taken.map_err(|fault| not_told(fault, role))
    }

    /// [`SettleReport`].
    pub async fn settle(&self, caller: &Caller, request: SettleReport) -> Result<Report, Fault> {
        let Shown { user: staff, role } = self.players.staff.moderator(caller).await?;
        let SettleReport {
            number,
            outcome,
            note,
        } = request;
        let ask = Ask::Settle {
            number,
            how: (outcome, note),
            by: (staff, caller.address),
        };
        let settled = match self.owner.decide(caller, ask).await {
            Err(fault) if fault.code == Code::NotFound => {
                // The owner holds those that nobody has settled.
                let settled = self.players.store.settled_report(number).await?;
                let settled = settled.ok_or(fault)?;
                reports::check_not_about(&settled, staff).map(|()| settled)
            }
            settled => settled,
        };
        settled.map_err(|fault| not_told(fault, role))
    }

    /// Refuses whoever is no member of the room, by how they stand to it.
    async fn check_member(&self, caller: &Caller, room: RoomId) -> Result<(), Fault> {
        let Identity { user, role, .. } = *caller.identity()?;
        let found = self.rooms.summaries_for(user, &[room]).await?.pop();
        let found = found.filter(|found| !found.row.deleted);
        let found = found.ok_or_else(|| Fault::of(Code::RoomNotFound))?;
        member_of(found.row.kind, found.place.as_ref(), role, caller.now).map(drop)
    }

    async fn add(&self, caller: &Caller, report: Report) -> Result<Reported, Fault> {
        let ask = Ask::Add(Box::new(report));
        let number = self.owner.decide(caller, ask).await?;
        Ok(Reported { number })
    }
}

/// To a moderator a report about themselves is none.
fn not_told(fault: Fault, role: Role) -> Fault {
    match fault.code {
        Code::Forbidden if role != Role::Admin => Fault::of(Code::NotFound),
        _ => fault,
    }
}
