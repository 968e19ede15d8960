//! Which calls a command makes, and what is shown of their answers.

use pitturu_client::types::accounts::{AccountDeletion, ExportPlayer, IssuePasswordReset, SetRole};
use pitturu_client::types::audit_log::{AuditLog, ListAuditLog};
use pitturu_client::types::chat::{
    BanMember, DeleteMessage, DeleteRoom, KickMember, ListMembers, Members, MuteMember,
    SetMemberRole, UnbanMember,
};
use pitturu_client::types::moderation::{
    DeletePlayer, FindPlayers, GetPlayerRecord, LiftSuspension, MutePlayer, PlayersFound,
    ResetProfile, SignOutPlayer, SuspendPlayer, UnmutePlayer,
};
use pitturu_client::types::profile::FindPlayer;
use pitturu_client::types::reports::{ListReports, SettleReport, TakeReport};
use pitturu_client::{CallError, Client, RoomId, UserId, limits};
use pitturu_rules::audit_log::Head;
use serde::Serialize;
use serde_json::{Value, json};

use crate::arguments::{
    AuditLogCommand, Deletion, Ending, Imposed, Player, PlayerCommand, ReportCommand, RoomCommand,
};
use crate::times::{Moment, Span};

/// What came of a command.
pub(crate) struct Shown {
    /// The answer.
    pub(crate) value: Value,
    /// What was found to be wrong.
    pub(crate) faults: u64,
}

impl Shown {
    /// An answer with nothing wrong.
    pub(crate) fn of<T: Serialize>(answer: &T) -> Self {
        // Numbers, texts and ids, under names: all of it is JSON.
        let value = serde_json::to_value(answer).expect("answers are JSON");
        Self { value, faults: 0 }
    }
}

pub(crate) async fn of_player(client: &Client, command: PlayerCommand) -> Result<Shown, CallError> {
    let id = async |player: Player| id(client, player).await;
    Ok(match command {
        PlayerCommand::Find { name } => Shown::of(&found(client, name).await?),
        PlayerCommand::Export { player } => Shown::of(&exported(client, player).await?),
        PlayerCommand::Delete(deletion) => Shown::of(&delete(client, deletion).await?),
        PlayerCommand::Show { player } => {
            let user = id(player).await?;
            Shown::of(&client.call(GetPlayerRecord { user }).await?)
        }
        PlayerCommand::Suspend(imposed) => {
            let (user, until, reason) = imposing(client, imposed).await?;
            let request = SuspendPlayer {
                user,
                until,
                reason,
            };
            Shown::of(&client.call(request).await?)
        }
        PlayerCommand::Lift { player } => {
            let user = id(player).await?;
            Shown::of(&client.call(LiftSuspension { user }).await?)
        }
        PlayerCommand::Mute(imposed) => {
            let (user, until, reason) = imposing(client, imposed).await?;
            let request = MutePlayer {
                user,
                until,
                reason,
            };
            Shown::of(&client.call(request).await?)
        }
        PlayerCommand::Unmute { player } => {
            let user = id(player).await?;
            Shown::of(&client.call(UnmutePlayer { user }).await?)
        }
        PlayerCommand::SignOut { player } => {
            let user = id(player).await?;
            Shown::of(&client.call(SignOutPlayer { user }).await?)
        }
        PlayerCommand::ResetProfile {
            player,
            name,
            avatar,
            bio,
            reason,
        } => {
            let reset = ResetProfile {
                user: id(player).await?,
                name,
                avatar,
                bio,
                reason,
            };
            Shown::of(&client.call(reset).await?)
        }
        PlayerCommand::SetRole { player, role } => {
            let user = id(player).await?;
            let role = role.into();
            Shown::of(&client.call(SetRole { user, role }).await?)
        }
        PlayerCommand::ResetPassword { player } => {
            let user = id(player).await?;
            Shown::of(&client.call(IssuePasswordReset { user }).await?)
        }
    })
}

async fn delete(client: &Client, deletion: Deletion) -> Result<AccountDeletion, CallError> {
    let Deletion {
        player,
        reason,
        at_once,
    } = deletion;
    let user = id(client, player).await?;
    let request = DeletePlayer {
        user,
        at_once,
        reason,
    };
    client.call(request).await
}

/// All that is kept about a player.
async fn exported(client: &Client, player: Player) -> Result<Vec<Value>, CallError> {
    let user = id(client, player).await?;
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let request = ExportPlayer {
            user: Some(user),
            after,
        };
        let page = client.call(request).await?;
        match serde_json::from_str::<Vec<Value>>(&page.records) {
            Ok(records) => all.extend(records),
            // Of a newer server: nothing of it is lost.
            Err(_) => all.push(Value::String(page.records)),
        }
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Players beyond which a longer beginning of the name has to be given.
const FOUND_MAX: usize = 1_000;

/// Players whose display name begins so.
async fn found(client: &Client, name: String) -> Result<PlayersFound, CallError> {
    let mut all = PlayersFound {
        players: Vec::new(),
        next: None,
    };
    loop {
        let request = FindPlayers {
            name: name.clone(),
            after: all.next,
            limit: None,
        };
        let page = client.call(request).await?;
        all.players.extend(page.players);
        all.next = page.next;
        if all.next.is_none() || all.players.len() >= FOUND_MAX {
            return Ok(all);
        }
    }
}

async fn members(client: &Client, room: RoomId) -> Result<Members, CallError> {
    let mut all = Members {
        members: Vec::new(),
        more: true,
    };
    while all.more {
        let request = ListMembers {
            room,
            after: all.members.last().map(|member| member.user),
            limit: None,
            online: false,
        };
        let page = client.call(request).await?;
        all.more = page.more && !page.members.is_empty();
        all.members.extend(page.members);
    }
    Ok(all)
}

pub(crate) async fn of_room(client: &Client, command: RoomCommand) -> Result<Shown, CallError> {
    let id = async |player: Player| id(client, player).await;
    Ok(match command {
        RoomCommand::Members { room } => Shown::of(&members(client, room).await?),
        RoomCommand::Kick {
            room,
            player,
            reason,
        } => {
            let user = id(player).await?;
            Shown::of(&client.call(KickMember { room, user, reason }).await?)
        }
        RoomCommand::Ban {
            room,
            player,
            reason,
            ending,
        } => {
            let ban = BanMember {
                room,
                user: id(player).await?,
                until: end(ending),
                reason,
            };
            Shown::of(&client.call(ban).await?)
        }
        RoomCommand::Unban { room, player } => {
            let user = id(player).await?;
            Shown::of(&client.call(UnbanMember { room, user }).await?)
        }
        RoomCommand::Mute {
            room,
            player,
            ending,
        } => {
            let user = id(player).await?;
            let until = match ending.span {
                Some(span) if span.0.is_zero() => 0,
                _ => end(ending).unwrap_or(limits::TIME_MS_MAX),
            };
            Shown::of(&client.call(MuteMember { room, user, until }).await?)
        }
        RoomCommand::SetRole { room, player, role } => {
            let user = id(player).await?;
            let role = role.into();
            Shown::of(&client.call(SetMemberRole { room, user, role }).await?)
        }
        RoomCommand::DeleteMessage { room, seq } => {
            Shown::of(&client.call(DeleteMessage { room, seq }).await?)
        }
        RoomCommand::Delete { room } => Shown::of(&client.call(DeleteRoom { room }).await?),
    })
}

pub(crate) async fn of_reports(
    client: &Client,
    command: ReportCommand,
) -> Result<Shown, CallError> {
    Ok(match command {
        ReportCommand::List {
            settled,
            about,
            before,
            limit,
        } => {
            let user = match about {
                Some(player) => Some(id(client, player).await?),
                None => None,
            };
            let list = ListReports {
                settled,
                user,
                before,
                limit: Some(limit),
            };
            Shown::of(&client.call(list).await?)
        }
        ReportCommand::Take { number } => Shown::of(&client.call(TakeReport { number }).await?),
        ReportCommand::Settle {
            number,
            outcome,
            note,
        } => {
            let settle = SettleReport {
                number,
                outcome: outcome.into(),
                note,
            };
            Shown::of(&client.call(settle).await?)
        }
    })
}

pub(crate) async fn of_audit_log(
    client: &Client,
    command: AuditLogCommand,
) -> Result<Shown, CallError> {
    match command {
        AuditLogCommand::List {
            about,
            before,
            limit,
        } => {
            let user = match about {
                Some(player) => Some(id(client, player).await?),
                None => None,
            };
            let list = ListAuditLog {
                user,
                before,
                limit: Some(limit),
            };
            Ok(Shown::of(&client.call(list).await?))
        }
        AuditLogCommand::Verify => verify(client).await,
    }
}

/// Checks the whole log against its digests. It is read from its end, so entries that are added meanwhile are not looked at.
async fn verify(client: &Client) -> Result<Shown, CallError> {
    let (mut records, mut before) = (Vec::new(), None);
    loop {
        let list = ListAuditLog {
            user: None,
            before,
            limit: Some(limits::PAGE_ITEMS_MAX),
        };
        let AuditLog { entries, next } = client.call(list).await?;
        records.extend(entries);
        before = next;
        if before.is_none() {
            break;
        }
    }
    let mut head = Head::default();
    let mut faults = Vec::new();
    for record in records.iter().rev() {
        if let Err(fault) = head.follow(record) {
            let number = record.entry.number;
            faults.push(json!({"entry": number, "fault": fault.to_string()}));
        }
    }
    let count = u64::try_from(faults.len()).unwrap_or(u64::MAX);
    let value = json!({
        "entries": records.len(),
        "newest": head.number,
        "digest": head.digest,
        "faults": faults,
    });
    Ok(Shown {
        value,
        faults: count,
    })
}

async fn imposing(
    client: &Client,
    imposed: Imposed,
) -> Result<(UserId, Option<u64>, String), CallError> {
    let user = id(client, imposed.player).await?;
    Ok((user, end(imposed.ending), imposed.reason))
}

fn end(ending: Ending) -> Option<u64> {
    let until = ending.until.map(|Moment(ms)| ms);
    until.or_else(|| ending.span.map(Span::end))
}

/// Who is meant.
async fn id(client: &Client, player: Player) -> Result<UserId, CallError> {
    match player {
        Player::Id(user) => Ok(user),
        Player::Name(username) => {
            let found = client.call(FindPlayer { username }).await?;
            Ok(found.user)
        }
    }
}
