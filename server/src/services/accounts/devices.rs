//! The sessions of an account: one for each signed-in device.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::SessionId;
use pitturu_protocol::types::accounts::{
    Account, GetAccount, ListSessions, Logout, LogoutEverywhere, RevokeSession, Session, Sessions,
};
use pitturu_protocol::types::system::Done;
use pitturu_rules::accounts::{AccountRow, SessionRow};
use serde::de::DeserializeOwned;
use tracing::field::display;
use tracing::info;

use super::{AccountService, instead};
use crate::connections::caller::Caller;
use crate::log_lines::SIGNED_OUT;
use crate::players::command::AccountAsk;

impl AccountService {
    /// [`GetAccount`].
    pub async fn get_account(&self, caller: &Caller, _: GetAccount) -> Result<Account, Fault> {
        Ok(account(self.known_account(caller.user()?).await?))
    }

    /// [`Logout`].
    pub async fn logout(&self, caller: &Caller, _: Logout) -> Result<Done, Fault> {
        let identity = caller.identity()?;
        let ask = AccountAsk::LogOut(identity.session);
        self.ask_own::<()>(caller, ask).await?;
        note(caller, identity.session, "signed out");
        Ok(Done {})
    }

    /// [`LogoutEverywhere`].
    pub async fn logout_everywhere(
        &self,
        caller: &Caller,
        _: LogoutEverywhere,
    ) -> Result<Done, Fault> {
        let session = caller.identity()?.session;
        self.ask_own::<bool>(caller, AccountAsk::EndSessions)
            .await?;
        note(caller, session, "signed out everywhere");
        Ok(Done {})
    }

    /// [`ListSessions`].
    pub async fn list_sessions(&self, caller: &Caller, _: ListSessions) -> Result<Sessions, Fault> {
        let rows = self.players.store.sessions(caller.user()?).await?;
        Ok(Sessions {
            sessions: listed(rows, caller),
        })
    }

    /// [`RevokeSession`].
    pub async fn revoke_session(
        &self,
        caller: &Caller,
        request: RevokeSession,
    ) -> Result<Done, Fault> {
        let ended = self
            .ask_own::<()>(caller, AccountAsk::EndSession(request.session))
            .await;
        ended.map_err(|fault| instead(fault, Code::TokenInvalid, Code::NotFound))?;
        note(caller, request.session, "session revoked by its player");
        Ok(Done {})
    }

    /// Has the caller's own entity decide, under the caller's key.
    pub(super) async fn ask_own<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        ask: AccountAsk,
    ) -> Result<T, Fault> {
        let user = caller.user()?;
        let key = caller.key.clone().map(|key| (user, key));
        let answered = self.players.ask(user, caller, ask, key).await?;
        Ok(answered.value)
    }
}

/// The line of the end of a session of the caller's.
fn note(caller: &Caller, session: SessionId, what: &'static str) {
    let user = caller
        .identity
        .as_ref()
        .map(|identity| display(identity.user));
    if SIGNED_OUT.admit() {
        info!(conn = %caller.conn, call = caller.call, user, %session, "{what}");
    }
}

/// Sessions that have not run out, newest use first.
pub(in crate::services) fn listed(mut rows: Vec<SessionRow>, caller: &Caller) -> Vec<Session> {
    let current = caller.identity.as_ref().map(|identity| identity.session);
    rows.retain(|row| caller.now < row.expires_at);
    rows.sort_by_key(|row| std::cmp::Reverse(row.number));
    let sessions = rows.into_iter().map(|row| Session {
        current: Some(row.session) == current,
        session: row.session,
        device: row.device,
        address: Some(row.address),
        created_at: row.created_at,
        used_at: row.used_at,
    });
    sessions.collect()
}

/// An account as its owner sees it.
pub(in crate::services) fn account(row: AccountRow) -> Account {
    let guest = row.guest();
    let (username, email) = row
        .login
        .map_or((None, None), |login| (Some(login.username), login.email));
    Account {
        user: row.user,
        username,
        email,
        role: row.role,
        guest,
        created_at: row.created_at,
    }
}
