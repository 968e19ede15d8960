//! From what a call has brought about to the tokens for its caller.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::types::accounts::{Identity, SignedIn};
use pitturu_rules::accounts::Grant;

use super::passwords::{Asker, Rank};
use super::tokens::RefreshOf;
use super::{AccountService, Stored};
use crate::connections::caller::Caller;

impl AccountService {
    /// The tokens of a grant, which may have been made by an earlier call under the key.
    pub(super) async fn granted(
        &self,
        grant: Stored<Grant>,
        caller: &Caller,
        password: Option<&str>,
    ) -> Result<SignedIn, Fault> {
        if grant.is_repeated {
            return self.again(grant.value, caller, password).await;
        }
        let refresh_expires_at = caller.now.saturating_add(self.config.refresh_life_ms);
        self.signed_in(grant.value, caller, refresh_expires_at)
            .await
    }

    /// The tokens of a grant, as long as its session has not gone on without them. A password that came with
    /// the repetition must be the account's: it is not part of the stored hash of the request.
    pub(super) async fn again(
        &self,
        grant: Grant,
        caller: &Caller,
        password: Option<&str>,
    ) -> Result<SignedIn, Fault> {
        if let Some(password) = password {
            let account = self.known_account(grant.user).await?;
            let asker = Asker::of(caller, Rank::Registration);
            let hash = account
                .login
                .as_ref()
                .map(|login| login.password.0.as_str());
            if !self.passwords.verify(asker, password, hash).await? {
                return Err(Fault::of(Code::KeyReused));
            }
        }
        let session = self
            .players
            .store
            .session(grant.user, grant.session)
            .await?
            .filter(|session| session.generation == grant.generation)
            .ok_or_else(|| Fault::of(Code::TokenInvalid))?;
        self.signed_in(grant, caller, session.expires_at).await
    }

    async fn signed_in(
        &self,
        grant: Grant,
        caller: &Caller,
        refresh_expires_at: u64,
    ) -> Result<SignedIn, Fault> {
        let account = self.known_account(grant.user).await?;
        // The master key may have been replaced since, be it a moment ago.
        let refresh = self
            .tokens
            .refresh_again(grant.into(), grant.nonce, grant.refresh)
            .ok_or_else(|| Fault::of(Code::TokenInvalid))?;
        let Grant { user, session, .. } = grant;
        let (role, guest) = (account.role, account.guest());
        let (access, expires_at) = self.keys.sign(user, session, role, guest, caller.now)?;
        Ok(SignedIn {
            identity: Identity {
                user,
                session,
                role,
                guest,
                expires_at,
            },
            access,
            refresh: refresh.text,
            refresh_expires_at,
            created: grant.created,
        })
    }
}

impl From<Grant> for RefreshOf {
    fn from(grant: Grant) -> Self {
        Self {
            user: grant.user,
            session: grant.session,
            generation: grant.generation,
        }
    }
}
