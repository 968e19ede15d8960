//! Names, passwords, reset tokens and roles inside a write.

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::accounts::Role;

use super::{account_now, claim_name, put_account, sessions};
use crate::StoreError;
use crate::accounts::{AccountError, GuestRow, Login, PasswordChange, ResetRow, SecretHash};
use crate::embedded::engine::{Limit, Range, Tx};
use crate::embedded::rows;
use crate::embedded::tables::Table;

pub(super) fn set_password(
    tx: &mut Tx<'_>,
    change: PasswordChange,
) -> Result<UserId, AccountError> {
    let mut account = account_now(tx, change.user)?;
    let Some(login) = account
        .login
        .as_mut()
        .filter(|login| login.version == change.version)
    else {
        return Err(AccountError::PasswordMoved);
    };
    if let Some(token) = change.reset {
        if tx.get(Table::Resets, &token)?.is_none() {
            return Err(AccountError::PasswordMoved);
        }
        tx.delete(Table::Resets, token.as_slice());
    }
    login.password = change.password;
    if let Some(except) = change.end_sessions {
        login.version += 1;
        sessions::end_all(tx, change.user, except)?;
    }
    put_account(tx, &account);
    Ok(change.user)
}

pub(super) fn upgrade(
    tx: &mut Tx<'_>,
    user: UserId,
    login: Login,
    role: Option<Role>,
) -> Result<UserId, AccountError> {
    let mut account = account_now(tx, user)?;
    if !account.guest() {
        return Err(AccountError::NotAGuest);
    }
    claim_name(tx, &login.folded, user)?;
    if let Some(secret) = account.guest_secret {
        let guest = GuestRow {
            user,
            retired: true,
        };
        tx.put(Table::Guests, secret.as_slice(), rows::encode(&guest));
    }
    account.login = Some(login);
    if let Some(role) = role {
        account.role = role;
        note_admin(tx, user, role);
    }
    put_account(tx, &account);
    Ok(user)
}

pub(super) fn sweep_resets(
    tx: &mut Tx<'_>,
    after: Option<SecretHash>,
    limit: usize,
    now: u64,
) -> Result<Option<SecretHash>, StoreError> {
    let range = match after {
        Some(after) => Range::all().after(after.to_vec()),
        None => Range::all(),
    };
    let found = tx.scan(Table::Resets, &range, false, Limit::rows(limit))?;
    let last = found.last().filter(|_| found.len() == limit);
    let next = last.and_then(|(key, _)| SecretHash::try_from(key.as_ref()).ok());
    for (key, row) in found {
        if rows::decode::<ResetRow>(Table::Resets, &row)?.expires_at <= now {
            tx.delete(Table::Resets, key);
        }
    }
    Ok(next)
}

pub(super) fn set_role(tx: &mut Tx<'_>, user: UserId, role: Role) -> Result<bool, AccountError> {
    let mut account = account_now(tx, user)?;
    if account.role == role {
        return Ok(false);
    }
    if account.role == Role::Admin {
        let two = tx.scan(Table::Admins, &Range::all(), false, Limit::rows(2))?;
        if two.len() < 2 {
            return Err(AccountError::LastAdmin);
        }
    }
    account.role = role;
    note_admin(tx, user, role);
    put_account(tx, &account);
    Ok(true)
}

/// Keeps the list of admins, by which the last one is known.
pub(super) fn note_admin(tx: &mut Tx<'_>, user: UserId, role: Role) {
    if role == Role::Admin {
        tx.put(Table::Admins, user.as_bytes().as_slice(), Vec::new());
    } else {
        tx.delete(Table::Admins, user.as_bytes().as_slice());
    }
}
