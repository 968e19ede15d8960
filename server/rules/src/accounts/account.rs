//! One player's account, sessions and reset tokens.

use std::collections::BTreeMap;

use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::types::accounts::Role;

use super::SESSIONS_MAX;
use super::refusal::{AccountRefusal, RESETS_MAX, VOID_KNOWN_MS, VOIDS_MAX};
use super::rows::{
    AccountRow, Claim, Grant, Login, PasswordChange, ProfileChange, ProfileRow, ResetRow, Rotated,
    Rotation, SecretHash, SessionRow,
};
use super::sanctions::{Sanction, Sanctions};

/// What the player's connections hear once a decision is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountNews {
    /// A session has ended.
    SessionEnded(SessionId),
    /// All sessions have ended but one.
    SessionsEnded(Option<SessionId>),
    /// The role is now this one.
    RoleChanged(Role),
    /// The guest has become a named account.
    Upgraded,
    /// The display name is now this one.
    Renamed(String),
    /// The player is suspended.
    Suspended(Sanction),
    /// The player is muted everywhere, or no longer.
    Sanctioned(Sanctions),
}

/// What a decision changes, all in one atomic commit. `None` is removed.
#[derive(Debug, Default, PartialEq)]
pub struct AccountEffects {
    /// The account has changed, or was made.
    pub has_account_changed: bool,
    /// Sessions that changed.
    pub sessions: Vec<(SessionId, Option<SessionRow>)>,
    /// Reset tokens that changed.
    pub resets: Vec<(SecretHash, Option<ResetRow>)>,
    /// Void claims that changed: since when.
    pub voids: Vec<(Claim, Option<u64>)>,
    /// When the account is to be erased: times that are so no longer, and those that are from now on.
    pub deletions: Vec<(u64, bool)>,
    /// Display names that the account has no longer, and those that it has from now on.
    pub names: Vec<(String, bool)>,
    /// That the account was erased, and when.
    pub erased_at: Option<u64>,
    /// The role that the configuration gave the player, to be told to the entity that keeps roles.
    pub configured: Option<Role>,
    /// What connections hear. Nothing has to be stored for it.
    pub news: Vec<AccountNews>,
}

impl AccountEffects {
    /// Whether nothing has to be stored.
    pub const fn is_empty(&self) -> bool {
        !self.has_account_changed
            && self.sessions.is_empty()
            && self.resets.is_empty()
            && self.voids.is_empty()
    }
}

/// What a player's entity has of the account.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    user: UserId,
    pub(super) row: Option<AccountRow>,
    pub(super) sessions: BTreeMap<SessionId, SessionRow>,
    pub(super) resets: BTreeMap<SecretHash, ResetRow>,
    pub(super) voids: BTreeMap<Claim, u64>,
    /// Whether there was an account that has been erased.
    pub(super) is_erased: bool,
}

impl Account {
    /// The account of `user`, as it is stored. There need be none.
    pub fn load(
        user: UserId,
        row: Option<AccountRow>,
        sessions: impl IntoIterator<Item = SessionRow>,
        resets: impl IntoIterator<Item = (SecretHash, ResetRow)>,
        voids: impl IntoIterator<Item = (Claim, u64)>,
        is_erased: bool,
    ) -> Self {
        let sessions = sessions.into_iter();
        Self {
            user,
            row,
            sessions: sessions.map(|row| (row.session, row)).collect(),
            resets: resets.into_iter().collect(),
            voids: voids.into_iter().collect(),
            is_erased,
        }
    }

    /// The account, if there is one.
    pub const fn row(&self) -> Option<&AccountRow> {
        self.row.as_ref()
    }

    /// Its sessions, in the order of their ids.
    pub fn sessions(&self) -> impl Iterator<Item = &SessionRow> {
        self.sessions.values()
    }

    /// Creates the account with its first session. Name or secret have been claimed for it. An admin is one by the
    /// configuration.
    ///
    /// # Errors
    /// [`AccountRefusal::Exists`], `Void`.
    pub fn create(
        &mut self,
        account: AccountRow,
        session: SessionRow,
        now: u64,
        effects: &mut AccountEffects,
    ) -> Result<Grant, AccountRefusal> {
        if self.row.is_some() {
            return Err(AccountRefusal::Exists);
        }
        let name = account.login.iter();
        let name = name.map(|login| Claim::Name(login.folded.clone()));
        let secret = account.guest_secret.map(Claim::Secret);
        if name.chain(secret).any(|claim| self.is_void(&claim, now)) {
            return Err(AccountRefusal::Void);
        }
        if account.role != Role::Player {
            effects.configured = Some(account.role);
        }
        effects.names.push((account.profile.name.clone(), true));
        self.row = Some(account);
        effects.has_account_changed = true;
        let grant = self.grant(&session, true);
        self.put_session(session, effects);
        Ok(grant)
    }

    /// Makes sure that this claim leads to no account later: a creation or an upgrade that is under way is refused. False when it
    /// has led to one, or too many are void: the claim stays. Nothing leads to an account that was erased.
    pub fn void(&mut self, claim: Claim, now: u64, effects: &mut AccountEffects) -> bool {
        if self.row.as_ref().is_some_and(|row| claim.is_of(row)) {
            return false;
        }
        if self.is_void(&claim, now) {
            return true;
        }
        self.tidy(now, effects);
        if self.voids.len() >= VOIDS_MAX {
            return false;
        }
        self.voids.insert(claim.clone(), now);
        effects.voids.push((claim, Some(now)));
        true
    }

    /// Whether [`Self::void`] was asked for this claim, not too long ago, or the account was erased: its id is used up.
    pub fn is_void(&self, claim: &Claim, now: u64) -> bool {
        let since = self.voids.get(claim);
        self.is_erased || since.is_some_and(|since| now < since.saturating_add(VOID_KNOWN_MS))
    }

    /// Adds a session, which takes a deletion back, for [`SESSIONS_MAX`] removes those that have run out and the one that was used longest ago, and, when
    /// `role` is given, by the configuration, and no admin has decided otherwise, sets the role. The account's password must still be at `version`; guests have none.
    ///
    /// # Errors
    /// [`AccountRefusal::NoAccount`], `PasswordMoved`, `Suspended`, `Erased`.
    pub fn open_session(
        &mut self,
        version: Option<u64>,
        session: SessionRow,
        role: Option<Role>,
        effects: &mut AccountEffects,
    ) -> Result<Grant, AccountRefusal> {
        let row = self.row.as_ref().ok_or(AccountRefusal::NoAccount)?;
        if row.version() != version {
            return Err(AccountRefusal::PasswordMoved);
        }
        let now = session.created_at;
        row.sanctions.may_sign_in(now)?;
        self.take_deletion_back(now, effects)?;
        self.configure(role, effects);
        let run_out = self.sessions.values().filter(|old| now >= old.expires_at);
        for old in run_out.map(|old| old.session).collect::<Vec<_>>() {
            self.remove_session(old, effects);
        }
        let live = self.sessions.values();
        let mut live: Vec<(u64, SessionId)> = live.map(|old| (old.number, old.session)).collect();
        live.sort_unstable();
        let surplus = (live.len() + 1).saturating_sub(SESSIONS_MAX);
        for (_, old) in live.into_iter().take(surplus) {
            self.remove_session(old, effects);
            effects.news.push(AccountNews::SessionEnded(old));
        }
        let grant = self.grant(&session, false);
        self.put_session(session, effects);
        Ok(grant)
    }

    /// Exchanges a refresh token. A genuine token of an earlier generation ends the session; anything else that doesn't
    /// fit changes nothing. Of several rotations of one generation exactly one is done.
    ///
    /// # Errors
    /// [`AccountRefusal::NoSession`], `WrongToken`, `SessionExpired`, `Suspended`.
    pub fn rotate(
        &mut self,
        rotation: &Rotation,
        effects: &mut AccountEffects,
    ) -> Result<Rotated, AccountRefusal> {
        let Some(session) = self.sessions.get(&rotation.session) else {
            return Err(AccountRefusal::NoSession);
        };
        if rotation.generation > session.generation {
            return Err(AccountRefusal::WrongToken);
        }
        if rotation.generation < session.generation {
            if !rotation.genuine {
                return Err(AccountRefusal::WrongToken);
            }
            self.remove_session(rotation.session, effects);
            let ended = AccountNews::SessionEnded(rotation.session);
            effects.news.push(ended);
            return Ok(Rotated::Reused);
        }
        if rotation.presented != session.refresh {
            return Err(AccountRefusal::WrongToken);
        }
        if rotation.now >= session.expires_at {
            return Err(AccountRefusal::SessionExpired);
        }
        if let Some(row) = &self.row {
            row.sanctions.may_sign_in(rotation.now)?;
        }
        let session = SessionRow {
            generation: session.generation + 1,
            refresh: rotation.next,
            nonce: rotation.nonce,
            address: rotation.address.clone(),
            used_at: rotation.now,
            expires_at: rotation.expires_at,
            ..session.clone()
        };
        let grant = self.grant(&session, false);
        self.put_session(session, effects);
        Ok(Rotated::Done(grant))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`AccountRefusal::NoSession`].
    pub fn end_session(
        &mut self,
        session: SessionId,
        effects: &mut AccountEffects,
    ) -> Result<(), AccountRefusal> {
        if !self.sessions.contains_key(&session) {
            return Err(AccountRefusal::NoSession);
        }
        self.log_out(session, effects);
        Ok(())
    }

    /// Ends a session if it is there. Its connections are told in any case: they may have been signed in too late to hear of
    /// its end.
    pub fn log_out(&mut self, session: SessionId, effects: &mut AccountEffects) {
        if self.sessions.contains_key(&session) {
            self.remove_session(session, effects);
        }
        effects.news.push(AccountNews::SessionEnded(session));
    }

    /// Ends all sessions but one.
    pub fn end_sessions(&mut self, except: Option<SessionId>, effects: &mut AccountEffects) {
        let ended = self.sessions.keys().copied();
        let ended: Vec<SessionId> = ended.filter(|held| Some(*held) != except).collect();
        for session in ended {
            self.remove_session(session, effects);
        }
        effects.news.push(AccountNews::SessionsEnded(except));
    }

    /// Sets a password, uses up a reset token and ends sessions. When sessions end, no reset token is good any more.
    ///
    /// # Errors
    /// [`AccountRefusal::NoAccount`]; [`AccountRefusal::PasswordMoved`] when the password has been changed since, or the token is
    /// no longer there.
    pub fn set_password(
        &mut self,
        change: PasswordChange,
        effects: &mut AccountEffects,
    ) -> Result<UserId, AccountRefusal> {
        let row = self.row.as_mut().ok_or(AccountRefusal::NoAccount)?;
        let login = row.login.as_mut();
        let login = login.filter(|login| login.version == change.version);
        let login = login.ok_or(AccountRefusal::PasswordMoved)?;
        if let Some(token) = change.reset {
            if self.resets.remove(&token).is_none() {
                return Err(AccountRefusal::PasswordMoved);
            }
            effects.resets.push((token, None));
        }
        login.password = change.password;
        effects.has_account_changed = true;
        if let Some(except) = change.end_sessions {
            login.version += 1;
            let void = std::mem::take(&mut self.resets).into_keys();
            effects.resets.extend(void.map(|token| (token, None)));
            self.end_sessions(except, effects);
        }
        Ok(self.user)
    }

    /// Gives a guest a name, which has been claimed, and a password. The device's secret signs in no longer, and of the sessions that it has
    /// opened only `by` goes on: the device's owner gets rid of whoever has copied the secret.
    ///
    /// # Errors
    /// [`AccountRefusal::NoAccount`], `NotAGuest`, `Void`.
    pub fn upgrade(
        &mut self,
        login: Login,
        by: SessionId,
        role: Option<Role>,
        now: u64,
        effects: &mut AccountEffects,
    ) -> Result<UserId, AccountRefusal> {
        let is_void = self.is_void(&Claim::Name(login.folded.clone()), now);
        let row = self.row.as_mut().ok_or(AccountRefusal::NoAccount)?;
        if !row.guest() {
            return Err(AccountRefusal::NotAGuest);
        }
        if is_void {
            return Err(AccountRefusal::Void);
        }
        // Everybody reads a user name.
        row.sanctions.may_speak(now)?;
        row.login = Some(login);
        effects.has_account_changed = true;
        effects.news.push(AccountNews::Upgraded);
        self.end_sessions(Some(by), effects);
        self.configure(role, effects);
        Ok(self.user)
    }

    /// Keeps a reset token under its hash, and forgets those beyond [`RESETS_MAX`].
    ///
    /// # Errors
    /// [`AccountRefusal::NoAccount`]; [`AccountRefusal::PasswordMoved`] when the password has been changed since.
    pub fn add_reset(
        &mut self,
        token: SecretHash,
        mut reset: ResetRow,
        now: u64,
        effects: &mut AccountEffects,
    ) -> Result<ResetRow, AccountRefusal> {
        let row = self.row.as_ref().ok_or(AccountRefusal::NoAccount)?;
        if row.version() != Some(reset.version) {
            return Err(AccountRefusal::PasswordMoved);
        }
        self.tidy(now, effects);
        let newest = self.resets.values().map(|reset| reset.number).max();
        reset.number = newest.map_or(1, |newest| newest + 1);
        while self.resets.len() >= RESETS_MAX {
            let first = self.resets.iter().min_by_key(|(_, reset)| reset.number);
            let Some(first) = first.map(|(token, _)| *token) else {
                break;
            };
            self.resets.remove(&first);
            effects.resets.push((first, None));
        }
        self.resets.insert(token, reset);
        effects.resets.push((token, Some(reset)));
        Ok(reset)
    }

    /// Forgets what has run out: reset tokens and void claims. To be called with what is committed anyway.
    pub fn tidy(&mut self, now: u64, effects: &mut AccountEffects) {
        let run_out = self
            .resets
            .extract_if(.., |_, reset| now >= reset.expires_at);
        effects
            .resets
            .extend(run_out.map(|(token, _)| (token, None)));
        let is_old = |since: u64| now >= since.saturating_add(VOID_KNOWN_MS);
        let old = self.voids.extract_if(.., |_, since| is_old(*since));
        effects.voids.extend(old.map(|(claim, _)| (claim, None)));
    }

    /// Sets the role that the entity which keeps roles has decided. Whether it is another one: from then on the configuration gives the
    /// player no role.
    pub fn set_role(&mut self, role: Role, effects: &mut AccountEffects) -> bool {
        let is_other = self.show_role(role, effects);
        if is_other && let Some(row) = &mut self.row {
            row.is_role_decided = true;
        }
        is_other
    }

    fn show_role(&mut self, role: Role, effects: &mut AccountEffects) -> bool {
        let Some(row) = self.row.as_mut().filter(|row| row.role != role) else {
            return false;
        };
        row.role = role;
        effects.has_account_changed = true;
        effects.news.push(AccountNews::RoleChanged(role));
        true
    }

    /// Changes a profile and returns the whole of it.
    ///
    /// # Errors
    /// [`AccountRefusal::NoAccount`].
    pub fn update_profile(
        &mut self,
        change: ProfileChange,
        effects: &mut AccountEffects,
    ) -> Result<ProfileRow, AccountRefusal> {
        let row = self.row.as_mut().ok_or(AccountRefusal::NoAccount)?;
        let before = row.profile.clone();
        let profile = &mut row.profile;
        if let Some(name) = change.name
            && name != before.name
        {
            profile.name.clone_from(&name);
            effects.names.push((before.name.clone(), false));
            effects.names.push((name.clone(), true));
            effects.news.push(AccountNews::Renamed(name));
        }
        if let Some(avatar) = change.avatar {
            profile.avatar = avatar;
        }
        if let Some(bio) = change.bio {
            profile.bio = bio;
        }
        if let Some(language) = change.language {
            profile.language = language;
        }
        effects.has_account_changed |= *profile != before;
        Ok(profile.clone())
    }

    fn configure(&mut self, role: Option<Role>, effects: &mut AccountEffects) {
        let is_decided = self.row.as_ref().is_some_and(|row| row.is_role_decided);
        if let Some(role) = role
            && !is_decided
            && self.show_role(role, effects)
        {
            effects.configured = Some(role);
        }
    }

    const fn grant(&self, session: &SessionRow, created: bool) -> Grant {
        Grant {
            user: self.user,
            session: session.session,
            generation: session.generation,
            nonce: session.nonce,
            refresh: session.refresh,
            created,
        }
    }

    /// Puts a session that is used now.
    fn put_session(&mut self, mut session: SessionRow, effects: &mut AccountEffects) {
        let newest = self.sessions.values().map(|held| held.number).max();
        session.number = newest.map_or(1, |newest| newest + 1);
        effects
            .sessions
            .push((session.session, Some(session.clone())));
        self.sessions.insert(session.session, session);
    }

    fn remove_session(&mut self, session: SessionId, effects: &mut AccountEffects) {
        self.sessions.remove(&session);
        effects.sessions.push((session, None));
    }
}
