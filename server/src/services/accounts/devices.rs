//! The sessions of an account: one for each signed-in device.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::types::accounts::{
    Account, GetAccount, ListSessions, Logout, LogoutEverywhere, RevokeSession, Session, Sessions,
};
use pitturu_protocol::types::system::Done;
use pitturu_store::accounts::{AccountError, AccountRow};

use super::{AccountService, keyed};
use crate::connections::caller::Caller;

impl AccountService {
    /// [`GetAccount`].
    pub async fn get_account(&self, caller: &Caller, _: GetAccount) -> Result<Account, Fault> {
        Ok(account(self.known_account(caller.user()?).await?))
    }

    /// [`Logout`].
    pub async fn logout(&self, caller: &Caller, _: Logout) -> Result<Done, Fault> {
        let identity = caller.identity()?;
        let key = keyed(caller, Some(identity.user));
        match self
            .store
            .end_session(identity.user, identity.session, key)
            .await
        {
            Ok(_) | Err(AccountError::NoSession) => {}
            Err(error) => return Err(error.into()),
        }
        self.notifier
            .session_ended(identity.user, identity.session, caller.conn);
        Ok(Done {})
    }

    /// [`LogoutEverywhere`].
    pub async fn logout_everywhere(
        &self,
        caller: &Caller,
        _: LogoutEverywhere,
    ) -> Result<Done, Fault> {
        let user = caller.user()?;
        let ended = self
            .store
            .end_sessions(user, None, keyed(caller, Some(user)))
            .await?;
        if !ended.repeated {
            self.notifier.sessions_ended(user, None, caller.conn);
        }
        Ok(Done {})
    }

    /// [`ListSessions`].
    pub async fn list_sessions(&self, caller: &Caller, _: ListSessions) -> Result<Sessions, Fault> {
        let identity = caller.identity()?;
        let mut rows = self.store.sessions(identity.user).await?;
        rows.retain(|row| caller.now < row.expires_at);
        rows.sort_by_key(|row| std::cmp::Reverse(row.used_at));
        let sessions = rows
            .into_iter()
            .map(|row| Session {
                current: row.session == identity.session,
                session: row.session,
                device: row.device,
                address: Some(row.address),
                created_at: row.created_at,
                used_at: row.used_at,
            })
            .collect();
        Ok(Sessions { sessions })
    }

    /// [`RevokeSession`].
    pub async fn revoke_session(
        &self,
        caller: &Caller,
        request: RevokeSession,
    ) -> Result<Done, Fault> {
        let user = caller.user()?;
        let key = keyed(caller, Some(user));
        match self.store.end_session(user, request.session, key).await {
            Err(AccountError::NoSession) => return Err(Fault::of(Code::NotFound)),
            ended => ended?,
        };
        self.notifier
            .session_ended(user, request.session, caller.conn);
        Ok(Done {})
    }
}

/// An account as its owner sees it.
pub(super) fn account(row: AccountRow) -> Account {
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
