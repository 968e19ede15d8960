//! Passwords, reset tokens and roles.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::types::accounts::{
    Account, AccountDeletion, ChangePassword, DeleteAccount, Identity, IssuePasswordReset,
    PasswordReset, RequestPasswordReset, ResetPassword, Role, SetRole, UpgradeGuest,
};
use pitturu_protocol::types::system::Done;
use pitturu_rules::accounts::{Claim, Hidden, Login, PasswordChange, ResetRow, RoleChange, Shown};
use pitturu_text::username::Username;

use super::devices::account;
use super::passwords::{Asker, Rank};
use super::reset_delivery::ResetMessage;
use super::{
    AccountService, Players, Stored, decode, given, instead, key_without_passwords, tokens,
    wrong_password,
};
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::log_lines::PASSWORDS;
use crate::players::command::{AccountAsk, AccountEnd};
use crate::random::random_bytes;

impl AccountService {
    /// [`UpgradeGuest`]. The device's secret signs in no longer.
    pub async fn upgrade_guest(
        &self,
        caller: &Caller,
        request: UpgradeGuest,
    ) -> Result<Account, Fault> {
        let Identity { user, session, .. } = *caller.identity()?;
        let asker = Asker::of(caller, Rank::Registration);
        let username =
            Username::parse(&request.username).map_err(|refusal| refusal.fault("username"))?;
        let email = given(&request.email);
        let taken = self.players.store.account_named(&username.folded).await?;
        let password = request.password.clone();
        let blanked = UpgradeGuest {
            password: String::new(),
            ..request
        };
        let key = key_without_passwords(caller, &blanked);
        if self
            .set_before(asker, user, key.as_ref(), &password)
            .await?
        {
            return Ok(account(self.known_account(user).await?));
        }
        let guest = self.known_account(user).await?;
        if !guest.guest() {
            return Err(Fault::of(Code::NotAGuest));
        }
        guest.sanctions.may_speak(caller.now)?;
        if taken.is_some() {
            return Err(Fault::of(Code::UsernameTaken));
        }
        let hash = self.passwords.hash(asker, &password).await?;
        let role = self.configured_role(&username.folded).await?;
        let login = Login {
            username: username.shown,
            folded: username.folded,
            password: Hidden(hash),
            version: 0,
            email,
        };
        let upgrade = Upgrade {
            login,
            by: session,
            role,
        };
        let upgraded = self.players.upgrade(caller, user, upgrade, key).await?;
        if upgraded.is_repeated {
            self.password_is(asker, user, &password).await?;
        }
        note(caller, user, "guest upgraded, other sessions end");
        Ok(account(self.known_account(user).await?))
    }

    /// [`ChangePassword`].
    pub async fn change_password(
        &self,
        caller: &Caller,
        request: ChangePassword,
    ) -> Result<Done, Fault> {
        let identity = caller.identity()?;
        let asker = Asker::of(caller, Rank::Known);
        let blanked = ChangePassword {
            old: String::new(),
            new: String::new(),
        };
        let key = key_without_passwords(caller, &blanked);
        let before = self.set_before(asker, identity.user, key.as_ref(), &request.new);
        if before.await? {
            return Ok(Done {});
        }
        let Some(login) = self.known_account(identity.user).await?.login else {
            return Err(Fault::new(
                Code::Forbidden,
                "a guest has no password; give the account a name and a password first",
            ));
        };
        self.check_own_password(caller, &login, &request.old)
            .await?;
        let change = PasswordChange {
            version: login.version,
            password: Hidden(self.passwords.hash(asker, &request.new).await?),
            end_sessions: Some(Some(identity.session)),
            reset: None,
        };
        let changed = self.set_password(caller, identity.user, change, key).await;
        let changed =
            changed.map_err(|fault| instead(fault, Code::TokenInvalid, Code::WrongCredentials))?;
        if changed.is_repeated {
            self.password_is(asker, identity.user, &request.new).await?;
        }
        note(
            caller,
            identity.user,
            "password changed, other sessions end",
        );
        Ok(Done {})
    }

    /// [`DeleteAccount`]. Whoever holds a player's unlocked device can't end a named account.
    pub async fn delete_account(
        &self,
        caller: &Caller,
        request: DeleteAccount,
    ) -> Result<AccountDeletion, Fault> {
        let user = caller.user()?;
        let account = self.known_account(user).await?;
        match (account.login, &request.password) {
            (Some(login), Some(password)) => {
                self.check_own_password(caller, &login, password).await?;
            }
            (Some(_), None) => return Err(Fault::invalid("password", "the account's password")),
            (None, Some(_)) => return Err(Fault::invalid("password", "none: a guest has none")),
            (None, None) => {}
        }
        let key = key_without_passwords(caller, &DeleteAccount { password: None });
        let key = key.map(|key| (user, key));
        let erase_at = self.deletions.erase_at(caller.now, false);
        let ask = AccountAsk::End(AccountEnd::Delete(erase_at, None));
        let erase_at = self.players.ask(user, caller, ask, key).await?.value;
        self.deletions.asked(erase_at, caller.now);
        note(caller, user, "account to be erased");
        Ok(AccountDeletion { erase_at })
    }

    /// That this is the password of the caller, who is signed in: known, and held up by nobody else's attempts.
    async fn check_own_password(
        &self,
        caller: &Caller,
        login: &Login,
        password: &str,
    ) -> Result<(), Fault> {
        let identity = caller.identity()?;
        let asker = Asker::of(caller, Rank::Known);
        let device =
            [identity.user.as_bytes(), identity.session.as_bytes()].map(|id| id.as_slice());
        let now = || self.ticks.now();
        let attempt = self.lockout.admit_device(&device, caller.address.ip(), now);
        let attempt = attempt
            .await
            .map_err(|wait_ms| self.locked_out(caller, Some(identity.user), wait_ms))?;
        let hash = Some(login.password.0.as_str());
        if self.passwords.verify(asker, password, hash).await? {
            return Ok(());
        }
        attempt.failed(self.ticks.now());
        Err(wrong_password(caller, Some(identity.user)))
    }

    /// [`RequestPasswordReset`]. The same work is done and written whether or not there is such an account.
    pub async fn request_password_reset(
        &self,
        caller: &Caller,
        request: RequestPasswordReset,
    ) -> Result<Done, Fault> {
        let Some(reset_delivery) = &self.reset_delivery else {
            return Err(Fault::new(
                Code::Unavailable,
                "this server has no way to deliver reset tokens; ask its support",
            ));
        };
        let name = Username::parse(&request.username)
            .ok()
            .map(|name| name.folded);
        let counted = name.as_deref().unwrap_or(&request.username);
        let attempt = self
            .reset_requests
            .admit(counted, caller.address.ip(), || self.ticks.now());
        attempt
            .await
            .map_err(too_many_resets)?
            .failed(self.ticks.now());
        let account = match &name {
            Some(name) => self.players.store.account_named(name).await?,
            None => None,
        };
        let known = account.and_then(|account| account.login.map(|login| (account.user, login)));
        let version = known.as_ref().map_or(0, |(_, login)| login.version);
        let row = self.new_reset(version, None, caller);
        let user = known.as_ref().map(|(user, _)| *user);
        let user = user.unwrap_or_else(|| self.tokens.nobody(counted));
        let made = self.tokens.reset(user, &row.nonce);
        let ask = match &known {
            Some(_) => AccountAsk::AddReset(made.hash, row),
            None => AccountAsk::AddNoReset(row),
        };
        let key = caller.key.clone().map(|key| (user, key));
        let added = self.players.ask::<ResetRow>(user, caller, ask, key).await;
        let is_new = match added {
            Ok(added) => !added.is_repeated,
            // The password was changed since the account was read. The answer must not tell that there is one.
            Err(fault) if fault.code == Code::TokenInvalid => false,
            Err(fault) => return Err(fault),
        };
        if let Some((user, login)) = known.filter(|_| is_new) {
            note(caller, user, "password reset asked for");
            reset_delivery.deliver(ResetMessage {
                user,
                username: login.username,
                email: login.email,
                token: Hidden(made.text),
                expires_at: row.expires_at,
            });
        }
        Ok(Done {})
    }

    /// [`ResetPassword`].
    pub async fn reset_password(
        &self,
        caller: &Caller,
        request: ResetPassword,
    ) -> Result<Done, Fault> {
        let invalid = || Fault::of(Code::TokenInvalid);
        let (user, token) = tokens::presented_reset(&request.token).ok_or_else(invalid)?;
        let asker = Asker::of(caller, Rank::Known);
        let password = request.password.clone();
        let blanked = ResetPassword {
            password: String::new(),
            ..request
        };
        let key = key_without_passwords(caller, &blanked);
        if self
            .set_before(asker, user, key.as_ref(), &password)
            .await?
        {
            return Ok(Done {});
        }
        let reset = self.players.store.reset(user, &token).await?;
        let reset = reset.ok_or_else(invalid)?;
        if caller.now >= reset.expires_at {
            return Err(Fault::of(Code::TokenExpired));
        }
        let account = self.known_account(user).await?;
        if let Some(by) = reset.issued_by {
            let issuer = self.known_account(by).await?.shown_role();
            let of = account.shown_role();
            let may = self.check_issuer(issuer, of, caller.now).await;
            may.map_err(|fault| instead(fault, Code::Forbidden, Code::TokenInvalid))?;
        }
        let login = account
            .login
            .filter(|login| login.version == reset.version)
            .ok_or_else(invalid)?;
        let change = PasswordChange {
            version: reset.version,
            password: Hidden(self.passwords.hash(asker, &password).await?),
            end_sessions: Some(None),
            reset: Some(token),
        };
        let changed = self.set_password(caller, user, change, key).await?;
        if changed.is_repeated {
            self.password_is(asker, user, &password).await?;
        }
        self.lockout.forgive(&login.folded, caller.address.ip());
        note(caller, user, "password reset, all sessions end");
        Ok(Done {})
    }

    /// Refuses a token by one who is no admin any more, and one for somebody who has become an admin since.
    async fn check_issuer(&self, issuer: Shown, of: Shown, now: u64) -> Result<(), Fault> {
        let role = self.staff.role_of(issuer, now).await?;
        if role != Role::Admin {
            return Err(Fault::of(Code::Forbidden));
        }
        let issuer = Shown { role, ..issuer };
        self.staff.check_below(issuer, of, now).await
    }

    /// [`IssuePasswordReset`]. A repetition under the same key gets the same token. Who is demoted before it is given out does not
    /// get it. It is an act on the player, for whoever has the token takes the account over.
    pub async fn issue_password_reset(
        &self,
        caller: &Caller,
        request: IssuePasswordReset,
    ) -> Result<PasswordReset, Fault> {
        let staff = self.staff.admin(caller).await?;
        let (admin, user) = (staff.user, request.user);
        let account = self.players.store.account(user).await?;
        let account = account.ok_or_else(|| Fault::of(Code::NotFound))?;
        let of = account.shown_role();
        self.staff.check_below(staff, of, caller.now).await?;
        let Some(version) = account.version() else {
            return Err(Fault::invalid("user", "a guest has no password"));
        };
        let row = self.new_reset(version, Some(admin), caller);
        let ask = AccountAsk::AddReset(self.tokens.reset(user, &row.nonce).hash, row);
        let key = caller.key.clone().map(|key| (admin, key));
        let added = self.players.ask::<ResetRow>(user, caller, ask, key).await;
        // The password was changed since the account was read.
        let added = added.map_err(|fault| instead(fault, Code::TokenInvalid, Code::Unavailable))?;
        let ResetRow {
            nonce, expires_at, ..
        } = added.value;
        // The master key may be another one by now.
        let mut token = self.tokens.reset(user, &nonce);
        for made in self.tokens.resets(user, &nonce) {
            if self.players.store.reset(user, &made.hash).await?.is_some() {
                token = made;
            }
        }
        self.staff.admin(caller).await?;
        if !added.is_repeated {
            tracing::info!(conn = %caller.conn, call = caller.call, by = %admin, %user, "password-reset token issued by staff");
        }
        Ok(PasswordReset {
            token: token.text,
            expires_at,
        })
    }

    /// [`SetRole`]. The staff decides whether the caller may, too. The last admin keeps the role.
    pub async fn set_role(&self, caller: &Caller, request: SetRole) -> Result<Done, Fault> {
        let by = shown(caller.identity()?);
        let SetRole { user, role } = request;
        let account = self.players.store.account(user).await?;
        let account = account.ok_or_else(|| Fault::of(Code::NotFound))?;
        let of = account.shown_role();
        let change = RoleChange { by, of, role };
        let set = self
            .staff
            .set_role(change, caller.address, caller.key.clone(), caller.now);
        if set.await? {
            tracing::info!(conn = %caller.conn, call = caller.call, by = %by.user, %user, ?role, "role set by staff");
        }
        Ok(Done {})
    }

    fn new_reset(&self, version: u64, issued_by: Option<UserId>, caller: &Caller) -> ResetRow {
        ResetRow {
            version,
            nonce: random_bytes(),
            expires_at: caller.now.saturating_add(self.config.reset_life_ms),
            number: 0,
            issued_by,
        }
    }

    async fn set_password(
        &self,
        caller: &Caller,
        user: UserId,
        change: PasswordChange,
        key: Option<IdempotencyKey>,
    ) -> Result<Stored<UserId>, Fault> {
        let key = key.map(|key| (user, key));
        let ask = AccountAsk::SetPassword(change);
        self.players.ask(user, caller, ask, key).await
    }

    /// Whether the key has set this very password before. Another one under the same key is [`Code::KeyReused`].
    async fn set_before(
        &self,
        asker: Asker,
        user: UserId,
        key: Option<&IdempotencyKey>,
        password: &str,
    ) -> Result<bool, Fault> {
        let Some(key) = key else {
            return Ok(false);
        };
        let Some(body) = self.players.store.recall(user, user, key).await? else {
            return Ok(false);
        };
        let set: UserId = decode(&body)?;
        self.password_is(asker, set, password).await.map(|()| true)
    }

    async fn password_is(&self, asker: Asker, user: UserId, password: &str) -> Result<(), Fault> {
        let login = self.known_account(user).await?.login;
        let hash = login.as_ref().map(|login| login.password.0.as_str());
        if self.passwords.verify(asker, password, hash).await? {
            Ok(())
        } else {
            Err(Fault::of(Code::KeyReused))
        }
    }
}

/// The line of something that concerns a player's password.
fn note(caller: &Caller, user: UserId, what: &'static str) {
    if PASSWORDS.admit() {
        tracing::info!(conn = %caller.conn, call = caller.call, %user, address = %caller.address, "{what}");
    }
}

/// What the caller's account shows.
const fn shown(identity: &Identity) -> Shown {
    Shown {
        user: identity.user,
        role: identity.role,
    }
}

/// What a guest becomes.
struct Upgrade {
    login: Login,
    /// The session that goes on.
    by: SessionId,
    /// The role that the configuration gives.
    role: Option<Role>,
}

impl Players {
    /// Claims a name for a guest and upgrades the account. It goes on when the caller goes away: a claim without an account would
    /// keep others waiting.
    async fn upgrade(
        &self,
        caller: &Caller,
        user: UserId,
        upgrade: Upgrade,
        key: Option<IdempotencyKey>,
    ) -> Result<Stored<UserId>, Fault> {
        let (players, caller) = (self.clone(), caller.clone());
        let upgrading = async move {
            let Upgrade { login, by, role } = upgrade;
            let claim = Claim::Name(login.folded.clone());
            if !players.claim(&caller, &claim, user).await? {
                return Err(Fault::of(Code::UsernameTaken));
            }
            let key = key.map(|key| (user, key));
            let ask = AccountAsk::Upgrade(login, by, role);
            let upgraded = players.ask(user, &caller, ask, key).await;
            match upgraded {
                Err(_) if players.store.is_void(user, &claim, caller.now).await? => {
                    Err(Fault::of(Code::UsernameTaken))
                }
                upgraded => upgraded,
            }
        };
        tokio::spawn(upgrading)
            .await
            .unwrap_or_else(|_| Err(Fault::of(Code::Internal)))
    }
}

fn too_many_resets(wait_ms: u64) -> Fault {
    let fault = Fault::new(Code::RateLimited, "too many password resets were asked for");
    fault.retry_after_ms(wait_ms)
}
