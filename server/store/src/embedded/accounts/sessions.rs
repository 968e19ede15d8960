//! Sessions inside a write: creating, rotating and ending them.

use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::types::accounts::Role;

use super::{account_now, claim_name, get_now, put_account};
use crate::StoreError;
use crate::accounts::{
    AccountError, AccountRow, Grant, GuestRow, Rotated, Rotation, SESSIONS_MAX, SessionRow,
};
use crate::embedded::engine::{Limit, Range, Row, Tx, View};
use crate::embedded::keys::KeyBuilder;
use crate::embedded::rows;
use crate::embedded::tables::Table;

/// More than an account ever has: [`SESSIONS_MAX`] are left after each sign-in.
const SCAN: Limit = Limit::rows(SESSIONS_MAX * 2);

pub(super) fn key(user: UserId, session: SessionId) -> Vec<u8> {
    KeyBuilder::new()
        .user(&user)
        .bytes(session.as_bytes())
        .build()
}

pub(super) fn all(view: &View, user: UserId) -> Result<Vec<SessionRow>, StoreError> {
    decode(&view.scan(
        Table::Sessions,
        &Range::prefix(user.as_bytes()),
        false,
        SCAN,
    )?)
}

fn all_now(tx: &Tx<'_>, user: UserId) -> Result<Vec<SessionRow>, StoreError> {
    decode(&tx.scan(
        Table::Sessions,
        &Range::prefix(user.as_bytes()),
        false,
        SCAN,
    )?)
}

fn decode(found: &[Row]) -> Result<Vec<SessionRow>, StoreError> {
    found
        .iter()
        .map(|(_, row)| rows::decode(Table::Sessions, row))
        .collect()
}

fn put(tx: &mut Tx<'_>, user: UserId, session: &SessionRow) {
    tx.put(
        Table::Sessions,
        key(user, session.session),
        rows::encode(session),
    );
}

pub(super) fn create(
    tx: &mut Tx<'_>,
    account: &AccountRow,
    session: &SessionRow,
) -> Result<Grant, AccountError> {
    if let Some(login) = &account.login {
        claim_name(tx, &login.folded, account.user)?;
    }
    if let Some(secret) = account.guest_secret {
        if tx.get(Table::Guests, &secret)?.is_some() {
            return Err(AccountError::SecretTaken);
        }
        let guest = GuestRow {
            user: account.user,
            retired: false,
        };
        tx.put(Table::Guests, secret.as_slice(), rows::encode(&guest));
    }
    if account.role == Role::Admin {
        tx.put(
            Table::Admins,
            account.user.as_bytes().as_slice(),
            Vec::new(),
        );
    }
    put_account(tx, account);
    put(tx, account.user, session);
    Ok(Grant {
        user: account.user,
        session: session.session,
        generation: session.generation,
        created: true,
    })
}

pub(super) fn open(
    tx: &mut Tx<'_>,
    user: UserId,
    version: Option<u64>,
    session: &SessionRow,
    role: Option<Role>,
    ended: &mut Vec<SessionId>,
) -> Result<Grant, AccountError> {
    let mut account = account_now(tx, user)?;
    if account.login.as_ref().map(|login| login.version) != version {
        return Err(AccountError::PasswordMoved);
    }
    if let Some(role) = role.filter(|&role| role != account.role) {
        account.role = role;
        put_account(tx, &account);
        super::credentials::note_admin(tx, user, role);
    }
    let now = session.created_at;
    let (mut live, gone): (Vec<_>, Vec<_>) = all_now(tx, user)?
        .into_iter()
        .partition(|old| now < old.expires_at);
    for old in gone {
        tx.delete(Table::Sessions, key(user, old.session));
    }
    live.sort_by_key(|old| old.used_at);
    let surplus = (live.len() + 1).saturating_sub(SESSIONS_MAX);
    for old in live.into_iter().take(surplus) {
        tx.delete(Table::Sessions, key(user, old.session));
        ended.push(old.session);
    }
    put(tx, user, session);
    Ok(Grant {
        user,
        session: session.session,
        generation: session.generation,
        created: false,
    })
}

pub(super) fn rotate(tx: &mut Tx<'_>, rotation: &Rotation) -> Result<Rotated, AccountError> {
    let row_key = key(rotation.user, rotation.session);
    let Some(mut session) = get_now::<SessionRow>(tx, Table::Sessions, &row_key)? else {
        return Err(AccountError::NoSession);
    };
    if !rotation.genuine || rotation.generation > session.generation {
        return Err(AccountError::WrongToken);
    }
    if rotation.generation < session.generation {
        tx.delete(Table::Sessions, row_key);
        return Ok(Rotated::Reused);
    }
    if rotation.presented != session.refresh {
        return Err(AccountError::WrongToken);
    }
    if rotation.now >= session.expires_at {
        return Err(AccountError::SessionExpired);
    }
    session.generation += 1;
    session.refresh = rotation.next;
    session.address.clone_from(&rotation.address);
    session.used_at = rotation.now;
    session.expires_at = rotation.expires_at;
    put(tx, rotation.user, &session);
    Ok(Rotated::Done(Grant {
        user: rotation.user,
        session: rotation.session,
        generation: session.generation,
        created: false,
    }))
}

pub(super) fn end(tx: &mut Tx<'_>, user: UserId, session: SessionId) -> Result<(), AccountError> {
    let row_key = key(user, session);
    if tx.get(Table::Sessions, &row_key)?.is_none() {
        return Err(AccountError::NoSession);
    }
    tx.delete(Table::Sessions, row_key);
    Ok(())
}

pub(super) fn end_all(
    tx: &mut Tx<'_>,
    user: UserId,
    except: Option<SessionId>,
) -> Result<(), StoreError> {
    for session in all_now(tx, user)? {
        if Some(session.session) != except {
            tx.delete(Table::Sessions, key(user, session.session));
        }
    }
    Ok(())
}
