//! Register, log in, refresh, authenticate.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::TOKEN_BYTES_MAX;
use pitturu_protocol::types::accounts::{
    Authenticate, Identity, Login, LoginGuest, RefreshTokens, Register, Role, SignedIn,
};
use pitturu_rules::accounts::{
    AccountRow, Claim, Grant, Hidden, Login as LoginRow, PasswordChange, Rotated, Rotation,
    Sanctions, SessionRow,
};
use pitturu_text::username::Username;

use super::creation::{Creation, NewAccount, new_session};
use super::known_devices::SignInFrom;
use super::passwords::{Asker, Rank};
use super::tokens::{self, PresentedRefresh, RefreshOf};
use super::{
    AccountService, Stored, decode, given, instead, key_without_passwords, wrong_password,
};
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::players::command::AccountAsk;
use crate::random::random_bytes;

/// Tries to sign a guest in while another call with the same secret creates or upgrades the account.
const GUEST_TRIES: usize = 3;

impl AccountService {
    /// [`Register`]. A repetition under the same key gets the tokens of the same session.
    pub async fn register(&self, caller: &Caller, request: Register) -> Result<SignedIn, Fault> {
        let username =
            Username::parse(&request.username).map_err(|refusal| refusal.fault("username"))?;
        let name = request
            .name
            .clone()
            .unwrap_or_else(|| username.shown.clone());
        let (email, device) = (given(&request.email), given(&request.device));
        let known = self.players.store.account_named(&username.folded).await?;
        let (key, password) = split_password(caller, request);
        let known = known.map(|account| account.user);
        if let Some(grant) = self.recalled(caller, known, key.as_ref()).await? {
            return self.again(grant, caller, Some(&password)).await;
        }
        let taken = || Fault::of(Code::UsernameTaken);
        if known.is_some() {
            return Err(taken());
        }
        let asker = Asker::of(caller, Rank::Registration);
        let claim = Claim::Name(username.folded.clone());
        let role = self.configured_role(&username.folded).await?;
        let login = LoginRow {
            username: username.shown,
            folded: username.folded,
            password: Hidden(self.passwords.hash(asker, &password).await?),
            version: 0,
            email,
        };
        let new = NewAccount {
            login: Some(login),
            guest_secret: None,
            role: role.unwrap_or(Role::Player),
            name: Some(name),
            device,
        };
        match self.create(caller, claim, new, key).await? {
            Creation::Made(grant) => self.granted(grant, caller, Some(&password)).await,
            Creation::Taken => Err(taken()),
        }
    }

    /// [`Login`]. Takes the same time and gives the same answer whether the name or the password is wrong.
    pub async fn login(&self, caller: &Caller, request: Login) -> Result<SignedIn, Fault> {
        let device = given(&request.device);
        let (folded, is_name) = match Username::parse(&request.username) {
            Ok(name) => (name.folded, true),
            Err(_) => (request.username.clone(), false),
        };
        let password = request.password.clone();
        let known = request.known.clone();
        let blanked = Login {
            password: String::new(),
            known: None,
            ..request
        };
        let key = key_without_passwords(caller, &blanked);
        self.check_key(caller, &folded, is_name, key.as_ref())
            .await?;
        let from = SignInFrom {
            folded: &folded,
            is_name,
            device: device.as_deref(),
            known: known.as_deref(),
        };
        let attempt = self.admit(caller, from).await?;
        let (account, right) = self.check_password(caller, from, &password).await?;
        let user = account.as_ref().map(|account| account.user);
        let Some(account) = account.filter(|_| right) else {
            attempt.failed(self.ticks.now());
            return Err(wrong_password(caller, user));
        };
        drop(attempt);
        self.renew_hash(caller, &account, &password).await;
        let role = self.configured_role(&folded).await?;
        let role = role.filter(|&role| role != account.role);
        let session = self.new_session(account.user, device, caller);
        let (user, version) = (account.user, account.version());
        let opened = self.open_session(caller, user, version, session, role, key);
        let grant = opened.await?;
        self.granted(grant, caller, None).await
    }

    /// [`LoginGuest`].
    pub async fn login_guest(
        &self,
        caller: &Caller,
        request: LoginGuest,
    ) -> Result<SignedIn, Fault> {
        let device = given(&request.device);
        let name = request.name;
        let secret = tokens::hash_of(request.secret.as_bytes());
        let key = caller.key.clone();
        for _ in 0..GUEST_TRIES {
            let guest = self.players.store.guest(secret).await?;
            let known = guest.map(|guest| guest.user);
            if let Some(grant) = self.recalled(caller, known, key.as_ref()).await? {
                return self.again(grant, caller, None).await;
            }
            let grant = match guest {
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
                    let new = NewAccount {
                        login: None,
                        guest_secret: Some(secret),
                        role: Role::Player,
                        name: name.clone(),
                        device: device.clone(),
                    };
                    let claim = Claim::Secret(secret);
                    match self.create(caller, claim, new, key.clone()).await? {
                        Creation::Made(grant) => grant,
                        Creation::Taken => continue,
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
            .ok_or_else(|| Fault::of(Code::TokenInvalid))?;
        if caller
            .identity
            .as_ref()
            .is_some_and(|identity| identity.session != token.session)
        {
            return Err(Fault::of(Code::AlreadySignedIn));
        }
        let genuine = self.tokens.is_genuine(&token);
        if !genuine && !self.fits(&token).await? {
            return Err(Fault::of(Code::TokenInvalid));
        }
        let next = RefreshOf {
            user: token.user,
            session: token.session,
            generation: token.generation + 1,
        };
        let nonce = random_bytes();
        let rotation = Rotation {
            session: token.session,
            generation: token.generation,
            presented: token.hash(),
            genuine,
            nonce,
            next: self.tokens.refresh(next, nonce).hash,
            address: caller.address.ip().to_string(),
            now: caller.now,
            expires_at: caller.now.saturating_add(self.config.refresh_life_ms),
        };
        let key = caller.key.clone().map(|key| (token.user, key));
        let ask = AccountAsk::Rotate(rotation);
        let rotated = self.players.ask(token.user, caller, ask, key).await?;
        match rotated.value {
            Rotated::Done(value) => {
                let grant = Stored {
                    value,
                    is_repeated: rotated.is_repeated,
                };
                self.granted(grant, caller, None).await
            }
            Rotated::Reused => {
                tracing::warn!(conn = %caller.conn, call = caller.call, user = %token.user, session = %token.session, "a refresh token was used twice");
                Err(Fault::of(Code::RefreshReused))
            }
        }
    }

    /// Whether a token of a key that is kept no longer is the one that its session waits for. Nothing else of it reaches the player's
    /// entity.
    async fn fits(&self, token: &PresentedRefresh) -> Result<bool, Fault> {
        let session = self.players.store.session(token.user, token.session);
        Ok(session
            .await?
            .is_some_and(|row| row.refresh == token.hash()))
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
        let identity = Identity {
            user: claims.sub,
            session: claims.sid,
            role: claims.role,
            guest: claims.guest,
            expires_at: claims.exp.saturating_mul(1_000),
        };
        Ok(self.confirm(identity, now).await?.0)
    }

    /// The identity with role and kind of account as they are now, when its session has not ended and the player is not suspended; and
    /// what the staff has decided against the player.
    ///
    /// To be asked once more after a connection was listed as signed in: [`crate::connections::session_notifier::SessionNotifier`]
    /// hears of whatever ends or changes later, and could not reach the connection before.
    ///
    /// # Errors
    /// [`Code::TokenInvalid`], [`Code::Suspended`], and those of the store.
    pub async fn confirm(
        &self,
        identity: Identity,
        now: u64,
    ) -> Result<(Identity, Sanctions), Fault> {
        let (user, session) = (identity.user, identity.session);
        let account = self.players.store.signed_in(user, session).await?;
        let account = account.ok_or_else(|| Fault::of(Code::TokenInvalid))?;
        account.sanctions.may_sign_in(now)?;
        let identity = Identity {
            role: account.role,
            guest: account.guest(),
            ..identity
        };
        Ok((identity, account.sanctions))
    }

    /// That a login's key was not used for another request.
    async fn check_key(
        &self,
        caller: &Caller,
        folded: &str,
        is_name: bool,
        key: Option<&IdempotencyKey>,
    ) -> Result<(), Fault> {
        let user = match key {
            // The same look for a name that nobody has: another answer would tell.
            Some(_) => {
                let known = self.look_up(folded, is_name).await?;
                let user = known.map(|account| account.user);
                Some(user.unwrap_or_else(|| self.tokens.nobody(folded)))
            }
            None => None,
        };
        self.recalled(caller, user, key).await.map(drop)
    }

    pub(super) async fn look_up(
        &self,
        folded: &str,
        is_name: bool,
    ) -> Result<Option<AccountRow>, Fault> {
        if !is_name {
            return Ok(None);
        }
        Ok(self.players.store.account_named(folded).await?)
    }

    /// The account with this name, and whether the password is its own.
    async fn check_password(
        &self,
        caller: &Caller,
        from: SignInFrom<'_>,
        password: &str,
    ) -> Result<(Option<AccountRow>, bool), Fault> {
        let account = self.look_up(from.folded, from.is_name).await?;
        let asker = Asker::of(caller, self.rank(account.as_ref(), from));
        let hash = account
            .as_ref()
            .and_then(|account| account.login.as_ref())
            .map(|login| login.password.0.as_str());
        let right = self.passwords.verify(asker, password, hash).await?;
        Ok((account, right))
    }

    /// Hashes a right password again when the cost was changed. Without it the sign-in goes on all the same.
    async fn renew_hash(&self, caller: &Caller, account: &AccountRow, password: &str) {
        let Some(login) = &account.login else {
            return;
        };
        if !self.passwords.outdated(&login.password.0) {
            return;
        }
        // The password was right.
        let asker = Asker::of(caller, Rank::Known);
        if let Ok(hash) = self.passwords.hash(asker, password).await {
            let change = PasswordChange {
                version: login.version,
                password: Hidden(hash),
                end_sessions: None,
                reset: None,
            };
            let ask = AccountAsk::SetPassword(change);
            let user = account.user;
            if let Err(fault) = self.players.ask::<UserId>(user, caller, ask, None).await {
                tracing::debug!(%fault, "a password keeps its old hash");
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
        key: Option<IdempotencyKey>,
    ) -> Result<Stored<Grant>, Fault> {
        let ask = AccountAsk::OpenSession {
            version,
            session,
            role,
        };
        let key = key.map(|key| (user, key));
        let opened = self.players.ask(user, caller, ask, key).await;
        // The password was changed since it was checked.
        opened.map_err(|fault| instead(fault, Code::TokenInvalid, Code::WrongCredentials))
    }

    /// What the key has brought out for this player before. On a signed-in connection nothing else can be asked for.
    async fn recalled(
        &self,
        caller: &Caller,
        user: Option<UserId>,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<Grant>, Fault> {
        let found = match user.zip(key) {
            Some((user, key)) => self.players.store.recall(user, user, key).await?,
            None => None,
        };
        let grant: Option<Grant> = found.map(|body| decode(&body)).transpose()?;
        let signed_in = caller.identity.as_ref().map(|identity| identity.session);
        if signed_in.is_some() && signed_in != grant.map(|grant| grant.session) {
            return Err(Fault::of(Code::AlreadySignedIn));
        }
        Ok(grant)
    }

    fn new_session(&self, user: UserId, device: Option<String>, caller: &Caller) -> SessionRow {
        let life_ms = self.config.refresh_life_ms;
        new_session(&self.tokens, life_ms, user, device, caller)
    }

    /// The account of somebody who is signed in.
    pub(super) async fn known_account(&self, user: UserId) -> Result<AccountRow, Fault> {
        self.players
            .store
            .account(user)
            .await?
            .ok_or_else(|| Fault::of(Code::TokenInvalid))
    }
}

/// The password of a registration apart from the key for the rest of it.
fn split_password(caller: &Caller, mut request: Register) -> (Option<IdempotencyKey>, String) {
    let password = std::mem::take(&mut request.password);
    (key_without_passwords(caller, &request), password)
}
