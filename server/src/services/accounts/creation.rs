//! Claiming a name or a guest's secret, and the account that it leads to.
//!
//! A claim is a row of its own, made before the account. A creator that finds it held by a player who has no such account can't
//! tell whether that one's creator has died, or is about to commit. It waits a moment. Then it has the player's entity make the claim
//! void, which is durable and refuses a creation that comes later, and takes the claim over.
//!
//! | killed, or gone | what follows |
//! |---|---|
//! | before the claim | nothing was done |
//! | between claim and account | the next who wants the name takes it over |
//! | between void and taking over | the same |
//! | after the account | a repetition under the same key gets its result |
//!
//! The player's id derives from claim and key, so that a repetition meets the same entity. Where the claim was void, both go on to
//! a further id.

use std::time::Duration;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_rules::accounts::{
    AccountRow, Claim, Grant, Login, ProfileRow, Sanctions, SecretHash, SessionRow,
};

use super::tokens::{RefreshOf, TokenMaker};
use super::{AccountService, Players, Stored};
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::players::command::AccountAsk;
use crate::random::random_bytes;

/// Ids that one call tries: each is lost to another call for the same name, which then has nearly always made its account.
const IDS_MAX: u32 = 8;

/// Holders of one claim that a call finds without an account.
const HOLDERS_MAX: usize = 8;

/// How long a creator waits for the account of another one.
pub(super) const GRACE: Duration = Duration::from_millis(400);

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An account with its first session for a player's id.
pub(super) type Make = Box<dyn Fn(UserId) -> (AccountRow, SessionRow) + Send>;

/// The id to be tried at this attempt.
pub(super) type Ids = Box<dyn Fn(u32) -> UserId + Send>;

/// What became of a creation.
#[derive(Debug)]
pub(super) enum Creation {
    /// There is the account, now or since an earlier call under the key.
    Made(Stored<Grant>),
    /// Somebody has an account with the name or secret.
    Taken,
}

impl AccountService {
    /// Creates an account with its first session, under an id that follows from claim and key.
    pub(super) async fn create(
        &self,
        caller: &Caller,
        claim: Claim,
        new: NewAccount,
        key: Option<IdempotencyKey>,
    ) -> Result<Creation, Fault> {
        let ids: Ids = match &key {
            Some(key) => {
                let (tokens, claim, key) = (self.tokens.clone(), claim.clone(), key.key.clone());
                Box::new(move |attempt| tokens.new_player(&claim, &key, attempt))
            }
            None => Box::new(|_| UserId::from_bytes(random_bytes())),
        };
        let (tokens, life_ms) = (self.tokens.clone(), self.config.refresh_life_ms);
        let by = caller.clone();
        let make: Make = Box::new(move |user| {
            let session = new_session(&tokens, life_ms, user, new.device.clone(), &by);
            (new.account(user, by.now), session)
        });
        self.players.create(caller, claim, ids, make, key).await
    }
}

impl Players {
    /// Creates an account. It goes on when the caller goes away: a claim without an account would keep others waiting.
    pub(super) async fn create(
        &self,
        caller: &Caller,
        claim: Claim,
        ids: Ids,
        make: Make,
        key: Option<IdempotencyKey>,
    ) -> Result<Creation, Fault> {
        let (players, caller) = (self.clone(), caller.clone());
        let creating = async move { players.try_to_create(&caller, &claim, ids, make, key).await };
        tokio::spawn(creating)
            .await
            .unwrap_or_else(|_| Err(Fault::of(Code::Internal)))
    }

    async fn try_to_create(
        &self,
        caller: &Caller,
        claim: &Claim,
        ids: Ids,
        make: Make,
        key: Option<IdempotencyKey>,
    ) -> Result<Creation, Fault> {
        for attempt in 0..IDS_MAX {
            let user = ids(attempt);
            if self.store.is_void(user, claim, caller.now).await? {
                continue;
            }
            if !self.claim(caller, claim, user).await? {
                return Ok(Creation::Taken);
            }
            let (account, session) = make(user);
            let ask = AccountAsk::Create(Box::new(account), session);
            let key = key.clone().map(|key| (user, key));
            match self.ask(user, caller, ask, key).await {
                Ok(made) => return Ok(Creation::Made(made)),
                // Somebody has taken the claim over meanwhile, who may die as well.
                Err(_) if self.store.is_void(user, claim, caller.now).await? => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::of(Code::Unavailable))
    }

    /// Has a player get what is claimed. False: another one has an account with it.
    pub(super) async fn claim(
        &self,
        caller: &Caller,
        claim: &Claim,
        user: UserId,
    ) -> Result<bool, Fault> {
        let mut instead_of = None;
        for _ in 0..HOLDERS_MAX {
            let Some(holder) = self.store.claim(claim, user, instead_of).await? else {
                return Ok(true);
            };
            if self.has_soon(holder, claim).await? {
                return Ok(false);
            }
            let void = AccountAsk::Void(claim.clone());
            let is_void: Stored<bool> = self.ask(holder, caller, void, None).await?;
            if !is_void.value {
                // It has come to it after all, or keeps the claim.
                return Ok(false);
            }
            instead_of = Some(holder);
        }
        Err(Fault::of(Code::Unavailable))
    }

    /// Whether the player has an account with what is claimed, or gets one within a moment.
    async fn has_soon(&self, holder: UserId, claim: &Claim) -> Result<bool, Fault> {
        let mut waited = Duration::ZERO;
        loop {
            let account = self.store.account(holder).await?;
            if account.is_some_and(|account| claim.is_of(&account)) {
                return Ok(true);
            }
            if waited >= self.grace {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }
}

/// An account to be created for a player who has no id yet.
pub(super) struct NewAccount {
    pub(super) login: Option<Login>,
    pub(super) guest_secret: Option<SecretHash>,
    pub(super) role: Role,
    /// Display name; a made-up one when absent.
    pub(super) name: Option<String>,
    pub(super) device: Option<String>,
}

impl NewAccount {
    fn account(&self, user: UserId, now: u64) -> AccountRow {
        AccountRow {
            user,
            login: self.login.clone(),
            guest_secret: self.guest_secret,
            role: self.role,
            is_role_decided: false,
            created_at: now,
            profile: ProfileRow {
                name: self.name.clone().unwrap_or_else(|| guest_name(user)),
                avatar: None,
                bio: None,
                language: None,
            },
            sanctions: Sanctions::default(),
            deletion: None,
        }
    }
}

/// A session that begins now.
pub(super) fn new_session(
    tokens: &TokenMaker,
    life_ms: u64,
    user: UserId,
    device: Option<String>,
    caller: &Caller,
) -> SessionRow {
    let session = SessionId::from_bytes(random_bytes());
    let nonce = random_bytes();
    let about = RefreshOf {
        user,
        session,
        generation: 0,
    };
    SessionRow {
        session,
        device,
        address: caller.address.ip().to_string(),
        created_at: caller.now,
        used_at: caller.now,
        number: 0,
        expires_at: caller.now.saturating_add(life_ms),
        generation: 0,
        refresh: tokens.refresh(about, nonce).hash,
        nonce,
    }
}

fn guest_name(user: UserId) -> String {
    let id = user.to_string();
    format!("Guest {}", &id[id.len() - 5..])
}
