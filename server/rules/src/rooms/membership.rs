//! Who belongs to a room: join, leave, invite, kick, ban, mute, roles.

use std::collections::BTreeMap;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::chat::{
    BanMember, KickMember, LostReason, MemberRole, MuteMember, RoomKind, SetMemberRole,
};
use pitturu_protocol::types::inbox::InboxEntry;

use super::rows::{MemberRow, MemberState};
use super::settings::shown;
use super::state::new_member;
use super::{Actor, Effects, Room, RoomEvent};
use crate::signals::Listed;

/// Invitations to one room by one member that are not taken up.
pub(super) const INVITED_BY_ONE_MAX: usize = 100;

/// Invitations to one room that are not taken up. All of them are told when the room ends.
pub(super) const INVITED_MAX: usize = 1_000;

/// Bans from one room.
pub(super) const BANS_MAX: usize = 10_000;

/// Most bans that are over which one commit lets go.
const BANS_SWEPT_MAX: usize = 1_000;

const _: () = assert!(INVITED_BY_ONE_MAX < INVITED_MAX);

/// What was read of the player whom a call is about. The room asks for it only once the actor may do what they ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The player.
    pub user: UserId,
    /// Whether there is such a player.
    pub exists: bool,
    /// Whether one of the two blocks the other, and the call is refused for it.
    pub is_blocked: bool,
    /// Their role in the whole product; a player's if the actor does not keep order.
    pub role: Role,
}

impl Target {
    fn check(&self) -> Result<(), Fault> {
        if self.is_blocked {
            return Err(Fault::of(Code::Blocked));
        }
        if !self.exists {
            return Err(Fault::new(Code::NotFound, "there is no such player"));
        }
        Ok(())
    }
}

impl Room {
    /// Whether the actor may be a member, or is one.
    ///
    /// # Errors
    /// They are kept out, or not let in; the room is full.
    pub fn may_join(&self, actor: &Actor) -> Result<(), Fault> {
        match (self.row.kind, self.own(actor).map(|row| &row.state)) {
            (_, Some(MemberState::Member)) => return Ok(()),
            (_, Some(MemberState::Banned { .. })) => return Err(Fault::of(Code::Banned)),
            (RoomKind::Public, _) | (RoomKind::Private, Some(MemberState::Invited)) => {}
            (RoomKind::Private, _) if self.authority(actor).is_ok() => {}
            (RoomKind::Private | RoomKind::Direct, _) => {
                return Err(Fault::of(Code::RoomNotFound));
            }
        }
        if self.joined >= self.limits.members_max {
            return Err(Fault::of(Code::RoomFull));
        }
        Ok(())
    }

    /// Makes the actor a member. Joining again changes nothing. Whoever comes back while a ban does not bind them has ended it.
    ///
    /// # Errors
    /// Those of [`Self::may_join`].
    pub fn join(&mut self, actor: &Actor, effects: &mut Effects) -> Result<(), Fault> {
        self.may_join(actor)?;
        if self.is_member(actor.user) {
            return Ok(());
        }
        let mut row = new_member(actor.user, MemberRole::Member, actor.now);
        row.muted_until = self.sanction(actor.user).muted_until;
        row.read = self.head;
        self.save_member(row, effects);
        Ok(())
    }

    /// Ends the actor's membership, or declines an invitation. When the last owner goes the room is handed on, and when the last
    /// member goes it ends.
    pub fn leave(&mut self, actor: &Actor, effects: &mut Effects) -> Result<(), Fault> {
        if self.row.kind == RoomKind::Direct {
            return Err(Fault::new(
                Code::Forbidden,
                "a direct room can't be left; block the player instead",
            ));
        }
        match self.own(actor).map(|row| &row.state) {
            Some(MemberState::Invited) => {}
            _ => {
                self.member(actor)?;
            }
        }
        self.put_out(
            actor.user,
            MemberState::Left,
            LostReason::Left,
            actor.now,
            effects,
        );
        Ok(())
    }

    /// Lets a player in, and tells them.
    pub fn invite(
        &mut self,
        actor: &Actor,
        target: &Target,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        if self.row.kind == RoomKind::Direct {
            return Err(Fault::new(
                Code::Forbidden,
                "nobody can be invited to a direct room",
            ));
        }
        self.require(actor, MemberRole::Member)?;
        target.check()?;
        let user = target.user;
        match self.held(user, actor.now).map(|row| &row.state) {
            Some(MemberState::Member) => return Ok(()),
            // Their list may have let it go for newer ones.
            Some(MemberState::Invited) => {
                let listed = Some(Listed::Invited(actor.user));
                self.tell_listed(user, listed, effects);
                return Ok(());
            }
            Some(MemberState::Banned { .. }) => return Err(Fault::of(Code::Banned)),
            _ => {}
        }
        if self.joined >= self.limits.members_max {
            return Err(Fault::of(Code::RoomFull));
        }
        self.let_an_invitation_go(actor.user, effects);
        let mut row = new_member(user, MemberRole::Member, actor.now);
        row.muted_until = self.sanction(user).muted_until;
        row.state = MemberState::Invited;
        row.invited_by = Some(actor.user);
        self.save_member(row, effects);
        let entry = InboxEntry::RoomInvited {
            room: self.row.room,
            name: self.row.name.clone(),
            by: actor.user,
        };
        effects.tell(user, actor.now, entry);
        Ok(())
    }

    /// Makes room for one more invitation of this member: the oldest of theirs goes, or, when the room has all that it may have,
    /// the oldest of whoever has most. So nobody pushes out what others have offered, unless they have offered more.
    fn let_an_invitation_go(&mut self, by: UserId, effects: &mut Effects) {
        let invited = self.members.values();
        let invited = invited.filter(|row| row.state == MemberState::Invited);
        let mut all: BTreeMap<UserId, Vec<(u64, UserId)>> = BTreeMap::new();
        for row in invited {
            let by = row.invited_by.unwrap_or(row.user);
            all.entry(by).or_default().push((row.number, row.user));
        }
        let is_full = all.values().map(Vec::len).sum::<usize>() >= INVITED_MAX;
        let own = all.get(&by).filter(|own| own.len() >= INVITED_BY_ONE_MAX);
        let most = || all.values().max_by_key(|of_one| of_one.len());
        let from = own.or_else(|| is_full.then(most).flatten());
        if let Some((_, user)) = from.and_then(|from| from.iter().min()).copied() {
            self.let_go(user, effects);
        }
    }

    /// Removes the row of somebody who is no member.
    pub(super) fn let_go(&mut self, user: UserId, effects: &mut Effects) {
        if let Some(mut row) = self.members.get(&user).cloned() {
            row.state = MemberState::Left;
            self.save_member(row, effects);
        }
    }

    /// Makes room for one more ban: those that are over go.
    fn make_room_for_a_ban(&mut self, now: u64, effects: &mut Effects) -> Result<(), Fault> {
        let bans = self.members.values();
        let bans = bans.filter(|row| matches!(row.state, MemberState::Banned { .. }));
        let mut bans: Vec<&MemberRow> = bans.collect();
        if bans.len() < BANS_MAX {
            return Ok(());
        }
        bans.retain(|row| !row.state.is_in_force(now));
        let over: Vec<UserId> = bans
            .iter()
            .map(|row| row.user)
            .take(BANS_SWEPT_MAX)
            .collect();
        if over.is_empty() {
            let text = format!("at most {BANS_MAX} bans from one room");
            return Err(Fault::new(Code::LimitReached, text));
        }
        for user in over {
            self.let_go(user, effects);
        }
        Ok(())
    }

    /// Puts a member, or an invited player, out.
    pub fn kick(
        &mut self,
        actor: &Actor,
        request: KickMember,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        self.may_moderate(actor, request.user)?;
        may_say(actor, request.reason.as_deref())?;
        match self.members.get(&request.user).map(|row| &row.state) {
            Some(MemberState::Member | MemberState::Invited) => {}
            _ => return Err(Fault::of(Code::NotInRoom)),
        }
        self.put_out(
            request.user,
            MemberState::Left,
            LostReason::Kicked,
            actor.now,
            effects,
        );
        let entry = InboxEntry::RoomKicked {
            room: self.row.room,
            by: actor.user,
            reason: shown(request.reason),
        };
        effects.tell(request.user, actor.now, entry);
        Ok(())
    }

    /// Puts a player out and keeps them out. Whoever has nothing to do with the room is not told: a stranger's words are none
    /// of theirs.
    pub fn ban(
        &mut self,
        actor: &Actor,
        request: BanMember,
        target: &Target,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        self.may_moderate(actor, request.user)?;
        may_say(actor, request.reason.as_deref())?;
        if request.until.is_some_and(|until| until <= actor.now) {
            return Err(Fault::invalid("until", "a time still to come"));
        }
        target.check()?;
        let held = self.held(request.user, actor.now).map(|row| &row.state);
        if !matches!(held, Some(MemberState::Banned { .. })) {
            self.make_room_for_a_ban(actor.now, effects)?;
        }
        let state = MemberState::Banned {
            by: actor.user,
            until: request.until,
            reason: shown(request.reason.clone()),
        };
        let before = self.held(request.user, actor.now);
        let is_concerned = before.is_some_and(|row| row.state.is_listed());
        if self.place(request.user).is_some() {
            self.put_out(request.user, state, LostReason::Banned, actor.now, effects);
        } else {
            let mut row = before.cloned().unwrap_or(MemberRow {
                unasked: true,
                ..new_member(request.user, MemberRole::Member, actor.now)
            });
            row.state = state;
            self.save_member(row, effects);
        }
        if !is_concerned {
            return Ok(());
        }
        let entry = InboxEntry::RoomBanned {
            room: self.row.room,
            by: actor.user,
            until: request.until,
            reason: shown(request.reason),
        };
        effects.tell(request.user, actor.now, entry);
        Ok(())
    }

    /// Lifts a ban. Lifting it twice changes nothing.
    pub fn unban(
        &mut self,
        actor: &Actor,
        user: UserId,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        self.require(actor, MemberRole::Moderator)?;
        let held = self.members.get(&user).map(|row| &row.state);
        if matches!(held, Some(MemberState::Banned { .. })) {
            self.let_go(user, effects);
        }
        Ok(())
    }

    /// Stops a member from writing for a time, or lets them write again. It lasts when they leave and come back, so it can also be
    /// changed while they are away.
    pub fn mute(
        &mut self,
        actor: &Actor,
        request: &MuteMember,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        self.may_moderate(actor, request.user)?;
        let mut sanction = self.sanction(request.user);
        let place = self.members.get(&request.user).cloned();
        let place = place.filter(|row| row.state.is_listed());
        if place.is_none() && sanction.muted_until.is_none() {
            return Err(Fault::of(Code::NotInRoom));
        }
        let until = (request.until > actor.now).then_some(request.until);
        let is_shown = place.as_ref().is_none_or(|row| row.muted_until == until);
        if sanction.muted_until == until && is_shown {
            return Ok(());
        }
        sanction.muted_until = until;
        self.save_sanction(sanction, actor.now, effects);
        let Some(mut row) = place else {
            return Ok(());
        };
        row.muted_until = until;
        self.save_member(row, effects);
        let entry = InboxEntry::RoomMuted {
            room: self.row.room,
            by: actor.user,
            until: request.until,
        };
        effects.tell(request.user, actor.now, entry);
        Ok(())
    }

    /// Sets a member's role. The last owner can't be made less.
    pub fn set_role(
        &mut self,
        actor: &Actor,
        request: &SetMemberRole,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        self.not_direct()?;
        self.require(actor, MemberRole::Owner)?;
        let mut row = self
            .place(request.user)
            .ok_or_else(|| Fault::of(Code::NotInRoom))?
            .clone();
        if row.role == request.role {
            return Ok(());
        }
        if row.role == MemberRole::Owner && self.owners().count() == 1 {
            return Err(Fault::new(
                Code::Forbidden,
                "the room's last owner stays one; make another owner first",
            ));
        }
        row.role = request.role;
        self.save_member(row, effects);
        let entry = InboxEntry::RoomRoleChanged {
            room: self.row.room,
            by: actor.user,
            role: request.role,
        };
        effects.tell(request.user, actor.now, entry);
        Ok(())
    }

    fn owners(&self) -> impl Iterator<Item = &MemberRow> {
        self.members
            .values()
            .filter(|row| row.state == MemberState::Member && row.role == MemberRole::Owner)
    }

    fn not_direct(&self) -> Result<(), Fault> {
        if self.row.kind == RoomKind::Direct {
            return Err(Fault::new(
                Code::Forbidden,
                "a direct room has no moderators",
            ));
        }
        Ok(())
    }

    /// Moderators act on those below them, never on their equals or themselves. Who keeps order in the whole product acts on whoever the
    /// room has, its owner too, if [their role allows it](Self::check_rank); of themselves the room holds nothing against them.
    fn may_moderate(&self, actor: &Actor, user: UserId) -> Result<(), Fault> {
        self.not_direct()?;
        let authority = self.require(actor, MemberRole::Moderator)?;
        let target = self.place(user).map(|row| row.role);
        let is_above = |role| role < authority || actor.role.keeps_order();
        if user == actor.user || target.is_some_and(|role| !is_above(role)) {
            return Err(Fault::of(Code::Forbidden));
        }
        Ok(())
    }

    /// Refuses one of the product's staff who would act on somebody whose role is not below theirs. What they may as one of the room's
    /// own, on those below them there or, for owners, by giving roles, needs no other role. What refuses the call for another reason is
    /// not looked at here.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn check_rank(
        &self,
        actor: &Actor,
        target: &Target,
        gives_role: bool,
    ) -> Result<(), Fault> {
        let is_staff = self.row.kind != RoomKind::Direct && actor.role.keeps_order();
        if !is_staff || actor.user == target.user || actor.role.acts_on(target.role) {
            return Ok(());
        }
        let theirs = self.place(target.user).map(|row| row.role);
        let is_of_the_room = self.place(actor.user).is_some_and(|own| match own.role {
            MemberRole::Owner if gives_role => true,
            MemberRole::Owner | MemberRole::Moderator => theirs.is_none_or(|role| role < own.role),
            MemberRole::Member => false,
        });
        match is_of_the_room {
            true => Ok(()),
            false => {
                let why = "the player's role in the whole product is not below yours";
                Err(Fault::new(Code::Forbidden, why))
            }
        }
    }

    pub(super) fn put_out(
        &mut self,
        user: UserId,
        state: MemberState,
        reason: LostReason,
        now: u64,
        effects: &mut Effects,
    ) {
        let Some(row) = self.members.get(&user) else {
            return;
        };
        let mut row = row.clone();
        let was_owner = row.role == MemberRole::Owner && row.state == MemberState::Member;
        row.state = state;
        row.role = MemberRole::Member;
        self.save_member(row, effects);
        effects.events.push(RoomEvent::Lost(user, reason));
        if self.joined == 0 {
            // Nobody could find out what is said in it, or let anybody in.
            self.end(effects);
        } else if was_owner && self.owners().next().is_none() {
            self.hand_on(user, now, effects);
        }
    }

    /// Makes the longest-standing moderator, or else member, the owner: who came first by number, not by the clock.
    fn hand_on(&mut self, from: UserId, now: u64, effects: &mut Effects) {
        let heir = self
            .members
            .values()
            .filter(|row| row.state == MemberState::Member)
            .min_by_key(|row| (row.role != MemberRole::Moderator, row.number));
        if let Some(heir) = heir {
            let mut row = heir.clone();
            row.role = MemberRole::Owner;
            let entry = InboxEntry::RoomRoleChanged {
                room: self.row.room,
                by: from,
                role: MemberRole::Owner,
            };
            effects.tell(row.user, now, entry);
            self.save_member(row, effects);
        }
    }
}

/// A reason is words that the other reads.
fn may_say(actor: &Actor, reason: Option<&str>) -> Result<(), Fault> {
    match reason {
        Some(reason) if !reason.is_empty() => actor.may_speak(),
        _ => Ok(()),
    }
}
