//! Passwords, reset tokens and roles.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::accounts::{
    Account, ChangePassword, IssuePasswordReset, PasswordReset, RequestPasswordReset,
    ResetPassword, SetRole, UpgradeGuest,
};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::system::Done;
use pitturu_rules::names::{self, Username};
use pitturu_store::accounts::{AccountError, Hidden, Login, PasswordChange, ResetRow};
use pitturu_store::keyed::KeyUse;

use super::devices::account;
use super::reset_delivery::ResetMessage;
use super::{AccountService, keyed, keyed_without_passwords, locked_out, tokens};
use crate::connections::caller::Caller;
use crate::random::random_bytes;

impl AccountService {
    /// [`UpgradeGuest`]. The device's secret signs in no longer.
    pub async fn upgrade_guest(
        &self,
        caller: &Caller,
        request: UpgradeGuest,
    ) -> Result<Account, Fault> {
        let user = caller.user()?;
        let username = Username::parse(&request.username)?;
        names::password("password", &request.password)?;
        let email = names::email(request.email.as_deref())?;
        let taken = self.store.account_named(&username.folded).await?.is_some();
        let password = request.password.clone();
        let blanked = UpgradeGuest {
            password: String::new(),
            ..request
        };
        let key = keyed_without_passwords(caller, Some(user), &blanked);
        if self.set_before(key.as_ref(), &password).await? {
            return Ok(account(self.known_account(user).await?));
        }
        if !self.known_account(user).await?.guest() {
            return Err(Fault::of(Code::NotAGuest));
        }
        if taken {
            return Err(Fault::of(Code::UsernameTaken));
        }
        let hash = self.passwords.hash(&password).await?;
        let role = self.configured_role(&username.folded);
        let login = Login {
            username: username.shown,
            folded: username.folded,
            password: Hidden(hash),
            version: 0,
            email,
        };
        let upgraded = self.store.upgrade(user, login, role, key).await?;
        if upgraded.repeated {
            self.password_is(user, &password).await?;
        }
        self.notifier.upgraded(user);
        if let Some(role) = role {
            self.notifier.role_changed(user, role);
        }
        Ok(account(self.known_account(user).await?))
    }

    /// [`ChangePassword`].
    pub async fn change_password(
        &self,
        caller: &Caller,
        request: ChangePassword,
    ) -> Result<Done, Fault> {
        let identity = caller.identity()?;
        names::password("new", &request.new)?;
        let blanked = ChangePassword {
            old: String::new(),
            new: String::new(),
        };
        let key = keyed_without_passwords(caller, Some(identity.user), &blanked);
        if self.set_before(key.as_ref(), &request.new).await? {
            return Ok(Done {});
        }
        let Some(login) = self.known_account(identity.user).await?.login else {
            return Err(Fault::new(
                Code::Forbidden,
                "a guest has no password; give the account a name and a password first",
            ));
        };
        let attempt = self
            .lockout
            .admit(&login.folded, caller.address, caller.now)
            .map_err(locked_out)?;
        let right = self
            .passwords
            .verify(&request.old, Some(&login.password.0))
            .await
            .inspect_err(|_| self.lockout.undo(attempt))?;
        if !right {
            return Err(Fault::of(Code::WrongCredentials));
        }
        self.lockout.succeeded(attempt);
        let change = PasswordChange {
            user: identity.user,
            version: login.version,
            password: Hidden(self.passwords.hash(&request.new).await?),
            end_sessions: Some(Some(identity.session)),
            reset: None,
        };
        let changed = match self.store.set_password(change, key).await {
            Err(AccountError::PasswordMoved) => return Err(Fault::of(Code::WrongCredentials)),
            changed => changed?,
        };
        if changed.repeated {
            self.password_is(identity.user, &request.new).await?;
        }
        self.notifier
            .sessions_ended(identity.user, Some(identity.session), caller.conn);
        Ok(Done {})
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
        if self
            .reset_requests
            .admit(counted, caller.address, caller.now)
            .is_err()
        {
            return Ok(Done {});
        }
        let account = match &name {
            Some(name) => self.store.account_named(name).await?,
            None => None,
        };
        let known = account.and_then(|account| account.login.map(|login| (account.user, login)));
        let row = self.new_reset(known.as_ref().map(|(user, login)| (*user, login)), caller);
        let made = self.tokens.reset(&row.nonce);
        let added = self
            .store
            .add_reset(made.hash, row, keyed(caller, None))
            .await?;
        if let Some((user, login)) = known.filter(|_| !added.repeated) {
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
        names::password("password", &request.password)?;
        let invalid = || Fault::of(Code::TokenInvalid);
        let token = tokens::reset_hash(&request.token).ok_or_else(invalid)?;
        let password = request.password.clone();
        let blanked = ResetPassword {
            password: String::new(),
            ..request
        };
        let key = keyed_without_passwords(caller, None, &blanked);
        if self.set_before(key.as_ref(), &password).await? {
            return Ok(Done {});
        }
        let reset = self.store.reset(token).await?.ok_or_else(invalid)?;
        if caller.now >= reset.expires_at {
            return Err(Fault::of(Code::TokenExpired));
        }
        let (user, version) = reset.account.ok_or_else(invalid)?;
        let login = self.known_account(user).await?.login;
        let login = login
            .filter(|login| login.version == version)
            .ok_or_else(invalid)?;
        let change = PasswordChange {
            user,
            version,
            password: Hidden(self.passwords.hash(&password).await?),
            end_sessions: Some(None),
            reset: Some(token),
        };
        let changed = self.store.set_password(change, key).await?;
        if changed.repeated {
            self.password_is(user, &password).await?;
        }
        self.lockout.clear(&login.folded);
        self.notifier.sessions_ended(user, None, caller.conn);
        Ok(Done {})
    }

    /// [`IssuePasswordReset`]. A repetition under the same key gets the same token.
    pub async fn issue_password_reset(
        &self,
        caller: &Caller,
        request: IssuePasswordReset,
    ) -> Result<PasswordReset, Fault> {
        let admin = caller.user()?;
        let account = self
            .store
            .account(request.user)
            .await?
            .ok_or_else(|| Fault::of(Code::NotFound))?;
        let Some(login) = &account.login else {
            return Err(Fault::invalid("user", "a guest has no password"));
        };
        let row = self.new_reset(Some((account.user, login)), caller);
        let hash = self.tokens.reset(&row.nonce).hash;
        let added = self
            .store
            .add_reset(hash, row, keyed(caller, Some(admin)))
            .await?;
        tracing::info!(%admin, user = %account.user, "issued a password-reset token");
        Ok(PasswordReset {
            token: self.tokens.reset(&added.value.nonce).text,
            expires_at: added.value.expires_at,
        })
    }

    /// [`SetRole`]. The last admin keeps the role.
    pub async fn set_role(&self, caller: &Caller, request: SetRole) -> Result<Done, Fault> {
        let admin = caller.user()?;
        let SetRole { user, role } = request;
        let changed = self
            .store
            .set_role(user, role, keyed(caller, Some(admin)))
            .await?;
        if changed.value {
            // A call that is repeated because the process ended here tells again, under its key once.
            let (entry, key) = (InboxEntry::RoleChanged { role }, caller.key.clone());
            self.players.tell(user, entry, key, caller.now).await?;
        }
        if changed.value && !changed.repeated {
            tracing::info!(%admin, %user, ?role, "set a role");
            self.notifier.role_changed(user, role);
        }
        Ok(Done {})
    }

    fn new_reset(&self, account: Option<(UserId, &Login)>, caller: &Caller) -> ResetRow {
        ResetRow {
            account: account.map(|(user, login)| (user, login.version)),
            nonce: random_bytes(),
            expires_at: caller.now.saturating_add(self.config.reset_life_ms),
        }
    }

    /// Whether the key has set this very password before. Another one under the same key is [`Code::KeyReused`].
    async fn set_before(&self, key: Option<&KeyUse>, password: &str) -> Result<bool, Fault> {
        let Some(key) = key else {
            return Ok(false);
        };
        match self.store.recall_password(key).await? {
            Some(user) => self.password_is(user, password).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn password_is(&self, user: UserId, password: &str) -> Result<(), Fault> {
        let login = self.known_account(user).await?.login;
        let hash = login.as_ref().map(|login| login.password.0.as_str());
        if self.passwords.verify(password, hash).await? {
            Ok(())
        } else {
            Err(Fault::of(Code::KeyReused))
        }
    }
}
