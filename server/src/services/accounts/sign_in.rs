//! Register, log in, refresh, authenticate.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::limits::TOKEN_BYTES_MAX;
use pitturu_protocol::types::accounts::{
    Authenticate, Identity, Login, LoginGuest, RefreshTokens, Register, Role, SignedIn,
};
use pitturu_rules::names::{self, Username};
use pitturu_store::accounts::{
    AccountError, AccountRow, Grant, Hidden, Login as LoginRow, PasswordChange, ProfileRow,
    Rotated, Rotation, SessionRow,
};
use pitturu_store::keyed::{KeyUse, Stored};

use super::tokens::{self, PresentedRefresh};
use super::{AccountService, keyed, keyed_without_passwords, locked_out};
use crate::connections::caller::Caller;
use crate::random::random_bytes;

/// Fewest characters of a guest's secret.
const GUEST_SECRET_CHARS_MIN: usize = 16;

/// Most characters of a guest's secret.
const GUEST_SECRET_CHARS_MAX: usize = 128;

/// Tries to sign a guest in while another call with the same secret creates or upgrades the account.
const GUEST_TRIES: usize = 3;

impl AccountService {
    /// [`Register`]. A repetition under the same key gets the tokens of the same session.
    pub async fn register(&self, caller: &Caller, request: Register) -> Result<SignedIn, Fault> {
        let username = Username::parse(&request.username)?;
        names::password("password", &request.password)?;
        let name = match &request.name {
            Some(name) => names::display_name("name", name)?,
            None => username.shown.clone(),
        };
        let email = names::email(request.email.as_deref())?;
        let device = names::device(request.device.as_deref())?;
        let taken = self.store.account_named(&username.folded).await?.is_some();
        let (key, password) = split_password(caller, request);
        if let Some(grant) = self.recalled(caller, key.as_ref()).await? {
            return self.again(grant, caller, Some(&password)).await;
        }
        if taken {
            return Err(Fault::of(Code::UsernameTaken));
        }
        let hash = self.passwords.hash(&password).await?;
        let user = UserId::from_bytes(random_bytes());
        let account = AccountRow {
            user,
            role: self
                .configured_role(&username.folded)
                .unwrap_or(Role::Player),
            login: Some(LoginRow {
                username: username.shown,
                folded: username.folded,
                password: Hidden(hash),
                version: 0,
                email,
            }),
            guest_secret: None,
            created_at: caller.now,
            profile: profile(name),
        };
        let session = self.new_session(user, device, caller);
        let grant = self.store.create(account, session, key).await?;
        self.granted(grant, caller, Some(&password)).await
    }

    /// [`Login`]. Takes the same time and gives the same answer whether the name or the password is wrong.
    pub async fn login(&self, caller: &Caller, request: Login) -> Result<SignedIn, Fault> {
        let device = names::device(request.device.as_deref())?;
        let (folded, lookup) = match Username::parse(&request.username) {
            Ok(name) => (name.folded, true),
            Err(_) => (request.username.clone(), false),
        };
        let password = request.password.clone();
        let blanked = Login {
            password: String::new(),
            ..request
        };
        let key = keyed_without_passwords(caller, None, &blanked);
        self.recalled(caller, key.as_ref()).await?;
        let attempt = self
            .lockout
            .admit(&folded, caller.address, caller.now)
            .map_err(locked_out)?;
        let checked = self.check_password(&folded, lookup, &password).await;
        let account = match checked {
            Ok(Some(account)) => account,
            Ok(None) => {
                metrics::counter!("pitturu_wrong_passwords_total").increment(1);
                return Err(Fault::of(Code::WrongCredentials));
            }
            Err(fault) => {
                self.lockout.undo(attempt);
                return Err(fault);
            }
        };
        self.lockout.succeeded(attempt);
        self.renew_hash(&account, &password).await;
        let role = self
            .configured_role(&folded)
            .filter(|&role| role != account.role);
        let version = account.login.as_ref().map(|login| login.version);
        let session = self.new_session(account.user, device, caller);
        let opened = self.open_session(caller, account.user, version, session, role, key);
        let grant = opened.await?;
        self.granted(grant, caller, None).await
    }

    /// [`LoginGuest`].
    pub async fn login_guest(
        &self,
        caller: &Caller,
        request: LoginGuest,
    ) -> Result<SignedIn, Fault> {
        let chars = request
            .secret
            .chars()
            .take(GUEST_SECRET_CHARS_MAX + 1)
            .count();
        if !(GUEST_SECRET_CHARS_MIN..=GUEST_SECRET_CHARS_MAX).contains(&chars) {
            return Err(Fault::invalid(
                "secret",
                format!(
                    "a guest's secret is {GUEST_SECRET_CHARS_MIN} to {GUEST_SECRET_CHARS_MAX} random characters"
                ),
            ));
        }
        let device = names::device(request.device.as_deref())?;
        let name = match &request.name {
            Some(name) => Some(names::display_name("name", name)?),
            None => None,
        };
        let key = keyed(caller, None);
        if let Some(grant) = self.recalled(caller, key.as_ref()).await? {
            return self.again(grant, caller, None).await;
        }
        let secret = tokens::hash_of(request.secret.as_bytes());
        for _ in 0..GUEST_TRIES {
            let grant = match self.store.guest(secret).await? {
                Some(guest) if guest.retired => {
                    return Err(Fault::new(
                        Code::WrongCredentials,
                        "this guest has a name and a password now; sign in with them",
                    ));
                }
                Some(guest) => {
                    let session = self.new_session(guest.user, device.clone(), caller);
                    self.open_session(caller, guest.user, None, session, None, key.clone())
                        .await?
                }
                None => {
                    let user = UserId::from_bytes(random_bytes());
                    let account = AccountRow {
                        user,
                        login: None,
                        guest_secret: Some(secret),
                        role: Role::Player,
                        created_at: caller.now,
                        profile: profile(name.clone().unwrap_or_else(|| guest_name(user))),
                    };
                    let session = self.new_session(user, device.clone(), caller);
                    match self.store.create(account, session, key.clone()).await {
                        Err(AccountError::SecretTaken) => continue,
                        created => created?,
                    }
                }
            };
            return self.granted(grant, caller, None).await;
        }
        Err(Fault::of(Code::Unavailable))
    }

    /// [`RefreshTokens`]. A token that was used before ends its session, unless the same key comes with it.
    pub async fn refresh_tokens(
        &self,
        caller: &Caller,
        request: RefreshTokens,
    ) -> Result<SignedIn, Fault> {
        let token = PresentedRefresh::parse(&request.refresh)
            .filter(|_| request.refresh.len() <= TOKEN_BYTES_MAX)
            .filter(|token| self.tokens.is_genuine(token))
            .ok_or_else(|| Fault::of(Code::TokenInvalid))?;
        if caller
            .identity
            .as_ref()
            .is_some_and(|identity| identity.session != token.session)
        {
            return Err(Fault::of(Code::AlreadySignedIn));
        }
        let rotation = Rotation {
            user: token.user,
            session: token.session,
            generation: token.generation,
            presented: token.hash(),
            genuine: true,
            next: self
                .tokens
                .refresh(token.user, token.session, token.generation + 1)
                .hash,
            address: caller.address.to_canonical().to_string(),
            now: caller.now,
            expires_at: caller.now.saturating_add(self.config.refresh_life_ms),
        };
        let rotated = self.store.rotate(rotation, keyed(caller, None)).await?;
        match rotated.value {
            Rotated::Done(value) => {
                let grant = Stored {
                    value,
                    repeated: rotated.repeated,
                };
                self.granted(grant, caller, None).await
            }
            Rotated::Reused => {
                tracing::warn!(user = %token.user, session = %token.session, "a refresh token was used twice");
                self.notifier
                    .session_ended(token.user, token.session, caller.conn);
                Err(Fault::of(Code::RefreshReused))
            }
        }
    }

    /// [`Authenticate`].
    pub async fn authenticate(
        &self,
        caller: &Caller,
        request: Authenticate,
    ) -> Result<Identity, Fault> {
        let identity = self.identify(&request.access, caller.now).await?;
        match &caller.identity {
            Some(signed_in) if signed_in.session != identity.session => {
                Err(Fault::of(Code::AlreadySignedIn))
            }
            _ => Ok(identity),
        }
    }

    /// Who an access token speaks for: its signature, key and time are good and its session has not ended. Role and kind
    /// of account are those of now.
    ///
    /// # Errors
    /// [`Code::TokenInvalid`], [`Code::TokenExpired`], and those of the store.
    pub async fn identify(&self, access: &str, now: u64) -> Result<Identity, Fault> {
        let claims = self.keys.verify(access, now)?;
        self.confirm(Identity {
            user: claims.sub,
            session: claims.sid,
            role: claims.role,
            guest: claims.guest,
            expires_at: claims.exp.saturating_mul(1_000),
        })
        .await
    }

    /// The identity with role and kind of account as they are now, when its session has not ended.
    ///
    /// To be asked once more after a connection was listed as signed in: [`crate::connections::session_notifier::SessionNotifier`]
    /// hears of whatever ends or changes later, and could not reach the connection before.
    ///
    /// # Errors
    /// [`Code::TokenInvalid`], and those of the store.
    pub async fn confirm(&self, identity: Identity) -> Result<Identity, Fault> {
        let session = self.store.session(identity.user, identity.session).await?;
        if session.is_none() {
            return Err(Fault::of(Code::TokenInvalid));
        }
        let account = self.known_account(identity.user).await?;
        Ok(Identity {
            role: account.role,
            guest: account.guest(),
            ..identity
        })
    }

    /// The account with this name, when the password is its own.
    async fn check_password(
        &self,
        folded: &str,
        lookup: bool,
        password: &str,
    ) -> Result<Option<AccountRow>, Fault> {
        let account = if lookup {
            self.store.account_named(folded).await?
        } else {
            None
        };
        let hash = account
            .as_ref()
            .and_then(|account| account.login.as_ref())
            .map(|login| login.password.0.as_str());
        let right = self.passwords.verify(password, hash).await?;
        Ok(account.filter(|_| right))
    }

    /// Hashes a right password again when the cost was changed. Without it the sign-in goes on all the same.
    async fn renew_hash(&self, account: &AccountRow, password: &str) {
        let Some(login) = &account.login else {
            return;
        };
        if !self.passwords.outdated(&login.password.0) {
            return;
        }
        if let Ok(hash) = self.passwords.hash(password).await {
            let change = PasswordChange {
                user: account.user,
                version: login.version,
                password: Hidden(hash),
                end_sessions: None,
                reset: None,
            };
            if let Err(error) = self.store.set_password(change, None).await {
                tracing::debug!(%error, "a password keeps its old hash");
            }
        }
    }

    async fn open_session(
        &self,
        caller: &Caller,
        user: UserId,
        version: Option<u64>,
        session: SessionRow,
        role: Option<Role>,
        key: Option<KeyUse>,
    ) -> Result<Stored<Grant>, Fault> {
        let opened = self
            .store
            .open_session(user, version, session, role, key)
            .await;
        let (grant, ended) = match opened {
            Err(AccountError::PasswordMoved) => return Err(Fault::of(Code::WrongCredentials)),
            opened => opened?,
        };
        for session in ended {
            self.notifier.session_ended(user, session, caller.conn);
        }
        if let Some(role) = role {
            self.notifier.role_changed(user, role);
        }
        Ok(grant)
    }

    /// What the key gave out before. On a signed-in connection nothing else can be asked for.
    async fn recalled(
        &self,
        caller: &Caller,
        key: Option<&KeyUse>,
    ) -> Result<Option<Grant>, Fault> {
        let grant = match key {
            Some(key) => self.store.recall_grant(key).await?,
            None => None,
        };
        let signed_in = caller.identity.as_ref().map(|identity| identity.session);
        if signed_in.is_some() && signed_in != grant.map(|grant| grant.session) {
            return Err(Fault::of(Code::AlreadySignedIn));
        }
        Ok(grant)
    }

    async fn granted(
        &self,
        grant: Stored<Grant>,
        caller: &Caller,
        password: Option<&str>,
    ) -> Result<SignedIn, Fault> {
        if grant.repeated {
            return self.again(grant.value, caller, password).await;
        }
        let account = self.known_account(grant.value.user).await?;
        let refresh_expires_at = caller.now.saturating_add(self.config.refresh_life_ms);
        self.signed_in(grant.value, &account, refresh_expires_at, caller.now)
    }

    /// The tokens of a grant once more, as long as its session has not gone on without them. A password that came with
    /// the repetition must be the account's: it is not part of the stored hash of the request.
    async fn again(
        &self,
        grant: Grant,
        caller: &Caller,
        password: Option<&str>,
    ) -> Result<SignedIn, Fault> {
        let account = self.known_account(grant.user).await?;
        if let Some(password) = password {
            let hash = account
                .login
                .as_ref()
                .map(|login| login.password.0.as_str());
            if !self.passwords.verify(password, hash).await? {
                return Err(Fault::of(Code::KeyReused));
            }
        }
        let session = self
            .store
            .session(grant.user, grant.session)
            .await?
            .filter(|session| session.generation == grant.generation)
            .ok_or_else(|| Fault::of(Code::TokenInvalid))?;
        self.signed_in(grant, &account, session.expires_at, caller.now)
    }

    fn signed_in(
        &self,
        grant: Grant,
        account: &AccountRow,
        refresh_expires_at: u64,
        now: u64,
    ) -> Result<SignedIn, Fault> {
        let Grant { user, session, .. } = grant;
        let (access, expires_at) =
            self.keys
                .sign(user, session, account.role, account.guest(), now)?;
        Ok(SignedIn {
            identity: Identity {
                user,
                session,
                role: account.role,
                guest: account.guest(),
                expires_at,
            },
            access,
            refresh: self.tokens.refresh(user, session, grant.generation).text,
            refresh_expires_at,
            created: grant.created,
        })
    }

    fn new_session(&self, user: UserId, device: Option<String>, caller: &Caller) -> SessionRow {
        let session = SessionId::from_bytes(random_bytes());
        SessionRow {
            session,
            device,
            address: caller.address.to_canonical().to_string(),
            created_at: caller.now,
            used_at: caller.now,
            expires_at: caller.now.saturating_add(self.config.refresh_life_ms),
            generation: 0,
            refresh: self.tokens.refresh(user, session, 0).hash,
        }
    }

    /// The account of somebody who is signed in.
    pub(super) async fn known_account(&self, user: UserId) -> Result<AccountRow, Fault> {
        self.store
            .account(user)
            .await?
            .ok_or_else(|| Fault::of(Code::TokenInvalid))
    }
}

/// The password of a registration apart from the key for the rest of it.
fn split_password(caller: &Caller, mut request: Register) -> (Option<KeyUse>, String) {
    let password = std::mem::take(&mut request.password);
    (keyed_without_passwords(caller, None, &request), password)
}

const fn profile(name: String) -> ProfileRow {
    ProfileRow {
        name,
        avatar: None,
        bio: None,
        language: None,
    }
}

fn guest_name(user: UserId) -> String {
    let id = user.to_string();
    format!("Guest {}", &id[id.len() - 5..])
}
