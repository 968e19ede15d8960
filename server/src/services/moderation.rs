//! Order in the whole product: what moderators and admins decide about players.
//!
//! Who may is looked up in the list of the staff, for caller and player alike: what connections and accounts show may be behind it.
//! What is decided is decided by the player's entity, which also tells the player.

use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::PAGE_ITEMS_MAX;
use pitturu_protocol::types::accounts::{AccountDeletion, Role};
use pitturu_protocol::types::audit_log::AuditAct;
use pitturu_protocol::types::moderation::{
    self, DeletePlayer, FindPlayers, GetPlayerRecord, LiftSuspension, MutePlayer, PlayerRecord,
    PlayersFound, ResetProfile, SignOutPlayer, SuspendPlayer, UnmutePlayer,
};
use pitturu_protocol::types::profile::Profile;
use pitturu_protocol::types::system::Done;
use pitturu_rules::accounts::{AccountRow, ProfileChange, ProfileRow, Sanction, Shown};
use pitturu_rules::pages::{Page, page_items};
use serde::de::DeserializeOwned;

use super::accounts::devices::listed;
use super::deletions::Deletions;
use super::players_access::PlayersAccess;
use super::profile::profile;
use crate::connections::caller::Caller;
use crate::connections::registry::Registry;
use crate::players::command::{AccountAsk, AccountEnd, Ask, Moderation};

/// The calls of [`pitturu_protocol::types::moderation`].
pub struct ModerationService {
    players: PlayersAccess,
    registry: Arc<Registry>,
    deletions: Deletions,
}

impl ModerationService {
    /// Moderation of these players.
    pub const fn new(
        players: PlayersAccess,
        registry: Arc<Registry>,
        deletions: Deletions,
    ) -> Self {
        Self {
            players,
            registry,
            deletions,
        }
    }

    /// [`SuspendPlayer`].
    pub async fn suspend(&self, caller: &Caller, request: SuspendPlayer) -> Result<Done, Fault> {
        let SuspendPlayer {
            user,
            until,
            reason,
        } = request;
        self.impose(caller, user, (until, reason), Moderation::Suspend)
            .await
    }

    /// [`LiftSuspension`].
    pub async fn lift_suspension(
        &self,
        caller: &Caller,
        request: LiftSuspension,
    ) -> Result<Done, Fault> {
        self.lift(caller, request.user, Moderation::LiftSuspension)
            .await
    }

    /// [`MutePlayer`].
    pub async fn mute(&self, caller: &Caller, request: MutePlayer) -> Result<Done, Fault> {
        let MutePlayer {
            user,
            until,
            reason,
        } = request;
        self.impose(caller, user, (until, reason), Moderation::Mute)
            .await
    }

    /// [`UnmutePlayer`].
    pub async fn unmute(&self, caller: &Caller, request: UnmutePlayer) -> Result<Done, Fault> {
        self.lift(caller, request.user, Moderation::Unmute).await
    }

    /// [`SignOutPlayer`].
    pub async fn sign_out(&self, caller: &Caller, request: SignOutPlayer) -> Result<Done, Fault> {
        let user = request.user;
        let (by, _) = self.above(caller, user).await?;
        let ended = self.ask::<bool>(caller, user, AccountAsk::EndSessions);
        if let (true, true) = ended.await? {
            note(caller, by, user, AuditAct::SignedOutEverywhere);
        }
        Ok(Done {})
    }

    /// [`ResetProfile`].
    pub async fn reset_profile(
        &self,
        caller: &Caller,
        request: ResetProfile,
    ) -> Result<Profile, Fault> {
        let user = request.user;
        let (by, account) = self.above(caller, user).await?;
        let ResetProfile {
            name,
            avatar,
            bio,
            reason,
            ..
        } = request;
        check_reason(&reason)?;
        let change = ProfileChange {
            name,
            avatar: avatar.then_some(None),
            bio: bio.then_some(None),
            language: None,
        };
        let act = Moderation::ResetProfile(change, reason);
        let noted = act.act();
        let (changed, is_new): (ProfileRow, _) = self.decide(caller, user, act).await?;
        if is_new && changed != account.profile {
            note(caller, by, user, noted);
        }
        Ok(profile(AccountRow {
            profile: changed,
            ..account
        }))
    }

    /// [`GetPlayerRecord`].
    pub async fn record(
        &self,
        caller: &Caller,
        request: GetPlayerRecord,
    ) -> Result<PlayerRecord, Fault> {
        let user = request.user;
        let staff = self.players.staff.moderator(caller).await?;
        let account = self.account(user).await?;
        let role = account.shown_role();
        let role = self.players.staff.role_of(role, caller.now).await?;
        let mut sessions = listed(self.players.store.sessions(user).await?, caller);
        if staff.role != Role::Admin {
            for session in &mut sessions {
                session.address = None;
            }
        }
        let connections = self.registry.connections_of(user).len();
        let most = PAGE_ITEMS_MAX as usize;
        let rooms = self.players.store.rooms(user, None, most).await?;
        Ok(PlayerRecord {
            role,
            guest: account.guest(),
            connections: u32::try_from(connections).unwrap_or(u32::MAX),
            suspension: account.sanctions.suspension(caller.now).map(shown),
            mute: account.sanctions.mute(caller.now).map(shown),
            sessions,
            rooms,
            erase_at: account.deletion.map(|deletion| deletion.erase_at),
            profile: profile(account),
        })
    }

    /// The role of a player in the whole product, as the staff knows it; a player's, if there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn role_of(&self, user: UserId, now: u64) -> Result<Role, Fault> {
        match self.players.store.account(user).await? {
            Some(account) => self.players.staff.role_of(account.shown_role(), now).await,
            None => Ok(Role::Player),
        }
    }

    /// [`DeletePlayer`].
    pub async fn delete_player(
        &self,
        caller: &Caller,
        request: DeletePlayer,
    ) -> Result<AccountDeletion, Fault> {
        let staff = self.players.staff.admin(caller).await?;
        let DeletePlayer {
            user,
            at_once,
            reason,
        } = request;
        check_reason(&reason)?;
        let before = self.below(caller, staff, user).await?.deletion;
        let erase_at = self.deletions.erase_at(caller.now, at_once);
        let ask = AccountAsk::End(AccountEnd::Delete(erase_at, Some(reason)));
        let (erase_at, is_new) = self.ask(caller, user, ask).await?;
        self.deletions.asked(erase_at, caller.now);
        if is_new && before.is_none_or(|before| before.erase_at != erase_at) {
            note(caller, staff.user, user, AuditAct::DeletionAsked);
        }
        Ok(AccountDeletion { erase_at })
    }

    /// [`FindPlayers`].
    pub async fn find_players(
        &self,
        caller: &Caller,
        request: FindPlayers,
    ) -> Result<PlayersFound, Fault> {
        self.players.staff.moderator(caller).await?;
        let limit = page_items(request.limit)?;
        let store = &self.players.store;
        let after = request.after.as_deref();
        let found = store.players_named(&request.name, after, limit).await?;
        let users = found.iter().map(|(user, _)| *user).collect();
        let mut accounts = store.accounts(users).await?.into_iter().peekable();
        // As many as were asked for may be all there are: then the next page is empty.
        let (mut players, mut next, mut are_more) = (Page::new(limit), None, found.len() == limit);
        for (user, position) in found {
            // Somebody may have gone meanwhile.
            if let Some(account) = accounts.next_if(|account| account.user == user)
                && !players.push(profile(account))
            {
                are_more = true;
                break;
            }
            next = Some(position);
        }
        Ok(PlayersFound {
            players: players.into_parts().0,
            next: next.filter(|_| are_more),
        })
    }

    /// Keeps a player from something, for a reason, until a time if there is one.
    async fn impose(
        &self,
        caller: &Caller,
        user: UserId,
        (until, reason): (Option<u64>, String),
        act: fn(Sanction) -> Moderation,
    ) -> Result<Done, Fault> {
        let by = self.above(caller, user).await?.0;
        let act = act(sanction(caller, by, until, reason)?);
        let noted = act.act();
        let (_, is_new) = self.decide::<bool>(caller, user, act).await?;
        if is_new {
            note(caller, by, user, noted);
        }
        Ok(Done {})
    }

    /// Ends what a player is kept from.
    async fn lift(&self, caller: &Caller, user: UserId, act: Moderation) -> Result<Done, Fault> {
        let by = self.above(caller, user).await?.0;
        let noted = act.act();
        if let (true, true) = self.decide::<bool>(caller, user, act).await? {
            note(caller, by, user, noted);
        }
        Ok(Done {})
    }

    /// Who of the staff calls, and the account of a player on whom they may act.
    async fn above(&self, caller: &Caller, user: UserId) -> Result<(UserId, AccountRow), Fault> {
        let staff = self.players.staff.moderator(caller).await?;
        Ok((staff.user, self.below(caller, staff, user).await?))
    }

    /// The account of a player on whom this one of the staff may act.
    async fn below(
        &self,
        caller: &Caller,
        staff: Shown,
        user: UserId,
    ) -> Result<AccountRow, Fault> {
        let account = self.account(user).await?;
        let of = account.shown_role();
        self.players
            .staff
            .check_below(staff, of, caller.now)
            .await?;
        Ok(account)
    }

    async fn account(&self, user: UserId) -> Result<AccountRow, Fault> {
        let account = self.players.store.account(user).await?;
        account.ok_or_else(|| Fault::of(Code::NotFound))
    }

    /// What came of it, and whether this call has brought it about.
    async fn decide<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        user: UserId,
        act: Moderation,
    ) -> Result<(T, bool), Fault> {
        self.ask(caller, user, AccountAsk::Moderate(act)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        user: UserId,
        ask: AccountAsk,
    ) -> Result<(T, bool), Fault> {
        let ask = Ask::Account(Box::new(ask), caller.into());
        self.players.decide_once(caller, user, ask).await
    }
}

/// The line of an act of the staff.
fn note(caller: &Caller, by: UserId, user: UserId, act: AuditAct) {
    tracing::info!(conn = %caller.conn, call = caller.call, %by, %user, %act, "act of staff");
}

fn sanction(
    caller: &Caller,
    by: UserId,
    until: Option<u64>,
    reason: String,
) -> Result<Sanction, Fault> {
    check_reason(&reason)?;
    if until.is_some_and(|until| until <= caller.now) {
        return Err(Fault::invalid("until", "a time still to come"));
    }
    Ok(Sanction {
        by: Some(by),
        at: caller.now,
        until,
        reason,
    })
}

fn check_reason(reason: &str) -> Result<(), Fault> {
    match reason.is_empty() {
        true => Err(Fault::invalid("reason", "words for the player")),
        false => Ok(()),
    }
}

fn shown(sanction: &Sanction) -> moderation::Sanction {
    moderation::Sanction {
        by: sanction.by,
        at: sanction.at,
        until: sanction.until,
        reason: sanction.reason.clone(),
    }
}
