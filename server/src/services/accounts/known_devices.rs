//! Devices that an account knows: strangers' wrong passwords don't hold them up.

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::TOKEN_BYTES_MAX;
use pitturu_rules::accounts::AccountRow;

use super::AccountService;
use super::lockout::Attempt;
use super::passwords::Rank;
use super::tokens::{self, PresentedRefresh};
use crate::connections::caller::Caller;
use crate::connections::network::Network;

/// A sign-in with a password, as far as it tells where it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignInFrom<'a> {
    /// The folded name that is tried.
    pub(super) folded: &'a str,
    /// Whether it can be one.
    pub(super) is_name: bool,
    /// What the device calls itself.
    pub(super) device: Option<&'a str>,
    /// What the account gave the device before.
    pub(super) known: Option<&'a str>,
}

impl AccountService {
    /// Lets an attempt at a password go on: as a stranger's, or, where strangers have to wait, as that of a device which the account
    /// knows.
    pub(super) async fn admit(
        &self,
        caller: &Caller,
        from: SignInFrom<'_>,
    ) -> Result<Attempt<'_>, Fault> {
        let now = || self.ticks.now();
        let admitted = self
            .lockout
            .admit(from.folded, caller.address.ip(), now)
            .await;
        let wait_ms = match admitted {
            Ok(attempt) => return Ok(attempt),
            Err(wait_ms) => wait_ms,
        };
        let account = self.look_up(from.folded, from.is_name).await?;
        // The same look for a name that nobody has: the time of the answer would tell.
        let named = account.as_ref().map(|account| account.user);
        let user = named.unwrap_or_else(|| self.tokens.nobody(from.folded));
        let known = match account.and_then(|account| self.shown(&account, from.known)) {
            Some(shown) => Some(shown),
            None => self.has_session_here(user, caller, from.device).await?,
        };
        let Some(known) = known else {
            return Err(self.locked_out(caller, named, wait_ms));
        };
        let device = [user.as_bytes().as_slice(), known.as_bytes()];
        let admitted = self.lockout.admit_device(&device, caller.address.ip(), now);
        admitted
            .await
            .map_err(|wait_ms| self.locked_out(caller, named, wait_ms))
    }

    /// How soon a password is looked at: that of a device which shows what only the account has given it goes before others. A
    /// device that only says its name goes with them: how long they wait would tell a stranger who is signed in.
    pub(super) fn rank(&self, account: Option<&AccountRow>, from: SignInFrom<'_>) -> Rank {
        match account.and_then(|account| self.shown(account, from.known)) {
            Some(_) => Rank::Known,
            None => Rank::SignIn,
        }
    }

    /// The name of a device that shows a refresh token of the account's, be it used or of a session that has ended, or the secret
    /// of the guest that became the account.
    fn shown(&self, account: &AccountRow, known: Option<&str>) -> Option<String> {
        let known = known.filter(|known| known.len() <= TOKEN_BYTES_MAX)?;
        if account.guest_secret == Some(tokens::hash_of(known.as_bytes())) {
            return Some("guest".to_owned());
        }
        let token = PresentedRefresh::parse(known)?;
        let is_own = token.user == account.user && self.tokens.is_genuine(&token);
        is_own.then(|| format!("session {}", token.session))
    }

    /// The name of a device that calls itself as one that is signed in from the same network.
    async fn has_session_here(
        &self,
        user: UserId,
        caller: &Caller,
        device: Option<&str>,
    ) -> Result<Option<String>, Fault> {
        let sessions = self.players.store.sessions(user).await?;
        let network = Network::of(caller.address.ip());
        let is_known = sessions.iter().any(|session| {
            let address = session.address.parse().map(Network::of);
            device.is_some()
                && session.device.as_deref() == device
                && caller.now < session.expires_at
                && address == Ok(network)
        });
        Ok(device
            .filter(|_| is_known)
            .map(|device| format!("device {device} from {}", network.first())))
    }
}
