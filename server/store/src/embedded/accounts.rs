//! The accounts port on the embedded store.

mod auth_keys;
mod credentials;
mod sessions;

use async_trait::async_trait;
use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Embedded;
use super::engine::{Tx, View};
use super::rows;
use super::tables::Table;
use crate::StoreError;
use crate::accounts::{
    AccountError, AccountRow, Accounts, Grant, GuestRow, Hidden, Login, PasswordChange,
    ProfileChange, ProfileRow, ResetRow, Rotated, Rotation, SecretHash, SessionRow, SigningKeyRow,
};
use crate::keyed::{KeyUse, Stored};

/// Runs `job`, or finds what it returned when it ran under this key before.
fn once<T, E>(
    tx: &mut Tx<'_>,
    key: Option<KeyUse>,
    reused: E,
    job: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
) -> Result<Stored<T>, E>
where
    T: Serialize + DeserializeOwned,
    E: From<StoreError>,
{
    let Some(key) = key else {
        return job(tx).map(Stored::now);
    };
    if let Some(record) = tx.recall_key(key.scope, &key.key)? {
        let before = key.matches(&record)?;
        return before.map(Stored::before).ok_or(reused);
    }
    let value = job(tx)?;
    tx.remember_key(key.scope, &key.key, &key.record(&value));
    Ok(Stored::now(value))
}

fn get<T: DeserializeOwned>(
    view: &View,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, StoreError> {
    view.get(table, key)?
        .map(|row| rows::decode(table, &row))
        .transpose()
}

fn get_now<T: DeserializeOwned>(
    tx: &Tx<'_>,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, StoreError> {
    tx.get(table, key)?
        .map(|row| rows::decode(table, &row))
        .transpose()
}

/// The account inside a write.
fn account_now(tx: &Tx<'_>, user: UserId) -> Result<AccountRow, AccountError> {
    get_now(tx, Table::Accounts, user.as_bytes())?.ok_or(AccountError::NoAccount)
}

fn put_account(tx: &mut Tx<'_>, account: &AccountRow) {
    tx.put(
        Table::Accounts,
        account.user.as_bytes().as_slice(),
        rows::encode(account),
    );
}

fn claim_name(tx: &mut Tx<'_>, folded: &str, user: UserId) -> Result<(), AccountError> {
    if tx.get(Table::Usernames, folded.as_bytes())?.is_some() {
        return Err(AccountError::NameTaken);
    }
    tx.put(Table::Usernames, folded.as_bytes(), rows::encode(&user));
    Ok(())
}

impl Embedded {
    fn recalled<T: DeserializeOwned>(&self, key: &KeyUse) -> Result<Option<T>, AccountError> {
        let Some(record) = self.engine().recall_key(key.scope, &key.key)? else {
            return Ok(None);
        };
        key.matches(&record)?
            .map(Some)
            .ok_or(AccountError::KeyReused)
    }
}

#[async_trait]
impl Accounts for Embedded {
    async fn account(&self, user: UserId) -> Result<Option<AccountRow>, StoreError> {
        get(&self.engine().view()?, Table::Accounts, user.as_bytes())
    }

    async fn accounts(&self, users: Vec<UserId>) -> Result<Vec<AccountRow>, StoreError> {
        self.engine()
            .read(move |view| {
                let mut accounts = Vec::with_capacity(users.len());
                for user in users {
                    accounts.extend(get(view, Table::Accounts, user.as_bytes())?);
                }
                Ok(accounts)
            })
            .await
    }

    async fn account_named(&self, folded: &str) -> Result<Option<AccountRow>, StoreError> {
        let view = self.engine().view()?;
        match get::<UserId>(&view, Table::Usernames, folded.as_bytes())? {
            Some(user) => get(&view, Table::Accounts, user.as_bytes()),
            None => Ok(None),
        }
    }

    async fn guest(&self, secret: SecretHash) -> Result<Option<GuestRow>, StoreError> {
        get(&self.engine().view()?, Table::Guests, &secret)
    }

    async fn recall_grant(&self, key: &KeyUse) -> Result<Option<Grant>, AccountError> {
        self.recalled(key)
    }

    async fn recall_password(&self, key: &KeyUse) -> Result<Option<UserId>, AccountError> {
        self.recalled(key)
    }

    async fn create(
        &self,
        account: AccountRow,
        session: SessionRow,
        key: Option<KeyUse>,
    ) -> Result<Stored<Grant>, AccountError> {
        self.engine()
            .write(move |tx| {
                once(tx, key, AccountError::KeyReused, |tx| {
                    sessions::create(tx, &account, &session)
                })
            })
            .await
    }

    async fn open_session(
        &self,
        user: UserId,
        version: Option<u64>,
        session: SessionRow,
        role: Option<Role>,
        key: Option<KeyUse>,
    ) -> Result<(Stored<Grant>, Vec<SessionId>), AccountError> {
        self.engine()
            .write(move |tx| {
                let mut ended = Vec::new();
                let grant = once(tx, key, AccountError::KeyReused, |tx| {
                    sessions::open(tx, user, version, &session, role, &mut ended)
                })?;
                Ok((grant, ended))
            })
            .await
    }

    async fn rotate(
        &self,
        rotation: Rotation,
        key: Option<KeyUse>,
    ) -> Result<Stored<Rotated>, AccountError> {
        self.engine()
            .write(move |tx| {
                once(tx, key, AccountError::KeyReused, |tx| {
                    sessions::rotate(tx, &rotation)
                })
            })
            .await
    }

    async fn session(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<Option<SessionRow>, StoreError> {
        get(
            &self.engine().view()?,
            Table::Sessions,
            &sessions::key(user, session),
        )
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<SessionRow>, StoreError> {
        self.engine()
            .read(move |view| sessions::all(view, user))
            .await
    }

    async fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        key: Option<KeyUse>,
    ) -> Result<Stored<()>, AccountError> {
        self.engine()
            .write(move |tx| {
                once(tx, key, AccountError::KeyReused, |tx| {
                    sessions::end(tx, user, session)
                })
            })
            .await
    }

    async fn end_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        key: Option<KeyUse>,
    ) -> Result<Stored<()>, AccountError> {
        self.engine()
            .write(move |tx| {
                once(tx, key, AccountError::KeyReused, |tx| {
                    Ok(sessions::end_all(tx, user, except)?)
                })
            })
            .await
    }

    async fn set_password(
        &self,
        change: PasswordChange,
        key: Option<KeyUse>,
    ) -> Result<Stored<UserId>, AccountError> {
        self.engine()
            .write(move |tx| {
                once(tx, key, AccountError::KeyReused, |tx| {
                    credentials::set_password(tx, change)
                })
            })
            .await
    }

    async fn upgrade(
        &self,
        user: UserId,
        login: Login,
        role: Option<Role>,
        key: Option<KeyUse>,
    ) -> Result<Stored<UserId>, AccountError> {
        self.engine()
            .write(move |tx| {
                once(tx, key, AccountError::KeyReused, |tx| {
                    credentials::upgrade(tx, user, login, role)
                })
            })
            .await
    }

    async fn add_reset(
        &self,
        token: SecretHash,
        reset: ResetRow,
        key: Option<KeyUse>,
    ) -> Result<Stored<ResetRow>, AccountError> {
        self.engine()
            .write(move |tx| {
                once(tx, key, AccountError::KeyReused, |tx| {
                    tx.put(Table::Resets, token.as_slice(), rows::encode(&reset));
                    Ok(reset)
                })
            })
            .await
    }

    async fn reset(&self, token: SecretHash) -> Result<Option<ResetRow>, StoreError> {
        get(&self.engine().view()?, Table::Resets, &token)
    }

    async fn sweep_resets(
        &self,
        after: Option<SecretHash>,
        limit: usize,
        now: u64,
    ) -> Result<Option<SecretHash>, StoreError> {
        self.engine()
            .write(move |tx| credentials::sweep_resets(tx, after, limit, now))
            .await
    }

    async fn set_role(
        &self,
        user: UserId,
        role: Role,
        key: Option<KeyUse>,
    ) -> Result<Stored<bool>, AccountError> {
        self.engine()
            .write(move |tx| {
                once(tx, key, AccountError::KeyReused, |tx| {
                    credentials::set_role(tx, user, role)
                })
            })
            .await
    }

    async fn update_profile(
        &self,
        user: UserId,
        change: ProfileChange,
        key: Option<KeyUse>,
    ) -> Result<Stored<ProfileRow>, AccountError> {
        self.engine()
            .write(move |tx| {
                once(tx, key, AccountError::KeyReused, |tx| {
                    let mut account = account_now(tx, user)?;
                    apply(&mut account, change);
                    put_account(tx, &account);
                    Ok(account.profile)
                })
            })
            .await
    }

    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        self.engine().read(auth_keys::all).await
    }

    async fn rotate_signing_key(
        &self,
        key: SigningKeyRow,
        newest: Option<String>,
    ) -> Result<bool, StoreError> {
        self.engine()
            .write(move |tx| auth_keys::rotate(tx, &key, newest.as_deref()))
            .await
    }

    async fn raise_signing_key_life(&self, kid: String, life_ms: u64) -> Result<(), StoreError> {
        self.engine()
            .write(move |tx| auth_keys::raise_life(tx, &kid, life_ms))
            .await
    }

    async fn delete_signing_key(&self, kid: String) -> Result<(), StoreError> {
        self.engine()
            .write(move |tx| {
                tx.delete(Table::SigningKeys, kid.as_bytes());
                Ok(())
            })
            .await
    }

    async fn secret(
        &self,
        name: &'static str,
        fresh: [u8; 32],
    ) -> Result<Hidden<[u8; 32]>, StoreError> {
        self.engine()
            .write(move |tx| auth_keys::secret(tx, name, fresh))
            .await
    }
}

fn apply(account: &mut AccountRow, change: ProfileChange) {
    let profile = &mut account.profile;
    if let Some(name) = change.name {
        profile.name = name;
    }
    if let Some(avatar) = change.avatar {
        profile.avatar = avatar;
    }
    if let Some(bio) = change.bio {
        profile.bio = bio;
    }
    if let Some(language) = change.language {
        profile.language = language;
    }
}
