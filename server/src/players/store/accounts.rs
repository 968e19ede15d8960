//! Accounts and sessions among the rows of a player, and the claims that lead to them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ID_CHARS, SessionId, UserId};
use pitturu_protocol::limits::POSITION_BYTES_MAX;
use pitturu_rules::accounts::{
    Account, AccountRow, Claim, GuestRow, NOBODY, ResetRow, SecretHash, SessionRow, VOID_KNOWN_MS,
};
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Bounds, Claimed, List, LoadedPart, PAGE_ROWS_MAX, Part, Row, RowKey, RowRange, Space,
};
use pitturu_text::fold::{ORDER_END, order, room_name as name_form};
use serde::{Deserialize, Serialize};

use super::super::entity;
use super::{PlayerStore, decode, optional};
use crate::connections::caller::IdempotencyKey;
use crate::owners::keys::of_this_request;

/// The row of the account.
const ACCOUNT: &[u8] = b"a";

/// Rows of sessions: session.
const SESSIONS: &[u8] = b"s";

/// Rows of reset tokens: hash of the token.
const RESETS: &[u8] = b"t";

/// Rows of void claims: space, key.
const VOIDS: &[u8] = b"v";

/// The row that says that the account was erased, and when: the id is used up.
const ERASED: &[u8] = b"z";

/// Claims of folded user names.
const NAMES: Space = Space(1);

/// Claims of guests' secrets: hash of the secret.
const SECRETS: Space = Space(2);

/// Players by display name: the order of the name, a zero byte, player.
const DISPLAY_NAMES: List = List(9);

/// Accounts that are to be erased: when, player.
const DELETIONS: List = List(10);

#[derive(Serialize, Deserialize)]
struct VoidRow {
    claim: Claim,
    since: u64,
}

const fn space(claim: &Claim) -> Space {
    match claim {
        Claim::Name(_) => NAMES,
        Claim::Secret(_) => SECRETS,
    }
}

fn session_key(session: SessionId) -> RowKey {
    [SESSIONS, session.as_bytes()].concat()
}

fn reset_key(token: &SecretHash) -> RowKey {
    [RESETS, token].concat()
}

fn void_key(claim: &Claim) -> RowKey {
    [VOIDS, &[space(claim).0], claim.as_bytes()].concat()
}

/// The row of the account, as a change of a commit; so the others.
pub(in crate::players) fn account_row(row: Option<&AccountRow>) -> (RowKey, Option<Vec<u8>>) {
    (ACCOUNT.to_vec(), row.map(codec::encode))
}

/// The row of an account that was erased.
pub(in crate::players) fn erased_row(at: u64) -> (RowKey, Option<Vec<u8>>) {
    (ERASED.to_vec(), Some(codec::encode(&at)))
}

/// What brings the lists of accounts in line: when a player's is to be erased, and its display names, each no longer or from now on.
pub(in crate::players) fn account_lists(
    user: UserId,
    deletions: &[(u64, bool)],
    names: &[(String, bool)],
) -> Vec<(List, RowKey, Option<Vec<u8>>)> {
    let row = |is_there: bool| is_there.then(Vec::new);
    let deletions = deletions.iter();
    let deletions =
        deletions.map(|(at, is_there)| (DELETIONS, deletion_key(*at, user), row(*is_there)));
    let names = names.iter();
    let names = names.map(|(name, is_there)| (DISPLAY_NAMES, name_key(name, user), row(*is_there)));
    deletions.chain(names).collect()
}

fn deletion_key(at: u64, user: UserId) -> RowKey {
    [&at.to_be_bytes()[..], user.as_bytes()].concat()
}

fn name_key(name: &str, user: UserId) -> RowKey {
    let order = order(&name_form(name));
    [order.as_bytes(), &[0], user.as_bytes()].concat()
}

/// A place in the list of display names as clients hold it. It is the name that the player had there: whoever is renamed between two pages
/// hides nobody.
fn name_position(key: &[u8], user: UserId) -> String {
    let order = key.strip_suffix(user.as_bytes()).unwrap_or_default();
    let order = order.strip_suffix(&[0]).unwrap_or_default();
    format!("{user}{}", String::from_utf8_lossy(order))
}

/// The key at a position.
fn name_at(position: &str) -> Result<RowKey, StoreError> {
    let (user, order) = position
        .split_at_checked(ID_CHARS)
        .filter(|_| position.len() <= POSITION_BYTES_MAX)
        .ok_or(StoreError::InvalidPosition)?;
    let user: UserId = user.parse().map_err(|_| StoreError::InvalidPosition)?;
    Ok([order.as_bytes(), &[0], user.as_bytes()].concat())
}

/// The row of a session.
pub(in crate::players) fn session_row(
    session: SessionId,
    row: Option<&SessionRow>,
) -> (RowKey, Option<Vec<u8>>) {
    (session_key(session), row.map(codec::encode))
}

/// The row of a reset token.
pub(in crate::players) fn reset_row(
    token: &SecretHash,
    row: Option<&ResetRow>,
) -> (RowKey, Option<Vec<u8>>) {
    (reset_key(token), row.map(codec::encode))
}

/// The row of a void claim.
pub(in crate::players) fn void_row(claim: &Claim, since: Option<u64>) -> (RowKey, Option<Vec<u8>>) {
    let row = since.map(|since| {
        codec::encode(&VoidRow {
            claim: claim.clone(),
            since,
        })
    });
    (void_key(claim), row)
}

/// What of a player is loaded for the account.
pub(super) fn parts() -> impl Iterator<Item = Part> {
    let families = [ACCOUNT, SESSIONS, RESETS, VOIDS, ERASED];
    families
        .map(|prefix| Part::Rows(RowRange::prefix(prefix)))
        .into_iter()
}

/// The account of what was loaded of [`parts`]; none of nothing.
pub(super) fn load(user: UserId, parts: &[LoadedPart]) -> Result<Account, StoreError> {
    let rows = |at: usize| match parts.get(at) {
        Some(LoadedPart::Rows(rows)) => rows.as_slice(),
        _ => &[],
    };
    let account = rows(0).first().map(|(_, row)| decode("account", row));
    let reset = |(key, row): &Row| {
        let token = key.last_chunk().copied();
        let token = token.ok_or_else(|| StoreError::damaged("a key of resets is none"))?;
        Ok((token, decode("reset", row)?))
    };
    let voids = rows(3).iter();
    let voids = voids.map(|(_, row)| decode::<VoidRow>("void claim", row));
    let resets = rows(2).iter().map(reset);
    Ok(Account::load(
        user,
        account.transpose()?,
        session_rows(rows(1))?,
        resets.collect::<Result<Vec<_>, StoreError>>()?,
        voids
            .map(|row| row.map(|row| (row.claim, row.since)))
            .collect::<Result<Vec<_>, StoreError>>()?,
        !rows(4).is_empty(),
    ))
}

fn session_rows(rows: &[Row]) -> Result<Vec<SessionRow>, StoreError> {
    rows.iter().map(|(_, row)| decode("session", row)).collect()
}

fn listed_player(key: &[u8]) -> Result<UserId, StoreError> {
    let user = key.last_chunk().copied().map(UserId::from_bytes);
    user.ok_or_else(|| StoreError::damaged("a key of players is none"))
}

/// Accounts and sessions, as they are stored: nothing here loads an entity.
impl PlayerStore {
    async fn row(&self, user: UserId, key: RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.entities.rows_of(vec![(entity(user), key)]).await?;
        Ok(rows.into_iter().next().flatten())
    }

    /// The account of a player; none of one who is being erased.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn account(&self, user: UserId) -> Result<Option<AccountRow>, StoreError> {
        let account = self.account_to_erase(user).await?;
        Ok(account.filter(|account| !account.is_ending()))
    }

    /// The account of a player, also of one who is being erased: for whoever does that.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn account_to_erase(&self, user: UserId) -> Result<Option<AccountRow>, StoreError> {
        optional(
            "account",
            self.row(user, ACCOUNT.to_vec()).await?.as_deref(),
        )
    }

    /// The accounts of several players, in the order asked for, without those that there are not.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn accounts(&self, users: Vec<UserId>) -> Result<Vec<AccountRow>, StoreError> {
        let mut accounts = Vec::with_capacity(users.len());
        for users in users.chunks(PAGE_ROWS_MAX) {
            let wanted = users.iter().map(|user| (entity(*user), ACCOUNT.to_vec()));
            let rows = self.entities.rows_of(wanted.collect()).await?;
            for row in rows.iter().flatten() {
                let account: AccountRow = decode("account", row)?;
                accounts.extend(Some(account).filter(|account| !account.is_ending()));
            }
        }
        Ok(accounts)
    }

    /// The account that has what is claimed. Looks for as long when there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn account_of(&self, claim: &Claim) -> Result<Option<AccountRow>, StoreError> {
        let (space, key) = (space(claim), claim.as_bytes());
        let holder = self.entities.claimed(space, key).await?;
        // Of nobody as well: it takes the time of a look at somebody.
        let holder = holder.map_or(NOBODY, |holder| UserId::from_bytes(holder.id()));
        let account = self.account(holder).await?;
        // A claim may have led to no account yet, or to one that has got another name.
        Ok(account.filter(|account| claim.is_of(account)))
    }

    /// The account with this folded name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn account_named(&self, folded: &str) -> Result<Option<AccountRow>, StoreError> {
        self.account_of(&Claim::Name(folded.to_owned())).await
    }

    /// Whose device secret has this hash.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn guest(&self, secret: SecretHash) -> Result<Option<GuestRow>, StoreError> {
        let account = self.account_of(&Claim::Secret(secret)).await?;
        Ok(account.map(|account| GuestRow {
            user: account.user,
            retired: !account.guest(),
        }))
    }

    /// A session, also when it has run out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn session(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<Option<SessionRow>, StoreError> {
        optional(
            "session",
            self.row(user, session_key(session)).await?.as_deref(),
        )
    }

    /// All sessions of a player, also those that have run out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sessions(&self, user: UserId) -> Result<Vec<SessionRow>, StoreError> {
        let range = RowRange::prefix(SESSIONS);
        let bounds = Bounds::rows(PAGE_ROWS_MAX);
        session_rows(&self.entities.rows(entity(user), range, bounds).await?)
    }

    /// The account that a session signs in, if there is the session.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn signed_in(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<Option<AccountRow>, StoreError> {
        let wanted = [session_key(session), ACCOUNT.to_vec()];
        let wanted = wanted.map(|key| (entity(user), key)).to_vec();
        match self.entities.rows_of(wanted).await?.as_slice() {
            [Some(_), account] => optional("account", account.as_deref()),
            _ => Ok(None),
        }
    }

    /// A reset token that has not been used, also when it has run out.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reset(
        &self,
        user: UserId,
        token: &SecretHash,
    ) -> Result<Option<ResetRow>, StoreError> {
        optional("reset", self.row(user, reset_key(token)).await?.as_deref())
    }

    /// Has a player get what is claimed, also instead of another one. Who has it, if that is somebody else.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn claim(
        &self,
        claim: &Claim,
        user: UserId,
        instead_of: Option<UserId>,
    ) -> Result<Option<UserId>, StoreError> {
        let (space, key) = (space(claim), claim.as_bytes().to_vec());
        let claimed = self
            .entities
            .claim(space, key, entity(user), instead_of.map(entity));
        Ok(match claimed.await? {
            Claimed::Done => None,
            Claimed::Held(holder) => Some(UserId::from_bytes(holder.id())),
        })
    }

    /// Whether a claim of this player's has been made void, not too long ago, or the player's account was erased.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_void(&self, user: UserId, claim: &Claim, now: u64) -> Result<bool, StoreError> {
        let wanted = [void_key(claim), ERASED.to_vec()].map(|key| (entity(user), key));
        let rows = self.entities.rows_of(wanted.to_vec()).await?;
        let [void, erased] = rows.as_slice() else {
            return Err(StoreError::damaged("other rows than asked for"));
        };
        let row: Option<VoidRow> = optional("void claim", void.as_deref())?;
        let is_void = row.is_some_and(|row| now < row.since.saturating_add(VOID_KNOWN_MS));
        Ok(is_void || erased.is_some())
    }

    /// Frees what a player has claimed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn release(&self, claim: &Claim, user: UserId) -> Result<(), StoreError> {
        let (space, key) = (space(claim), claim.as_bytes().to_vec());
        self.entities.release(space, key, entity(user)).await
    }

    /// Players whose accounts were to be erased by this time, the longest due first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn due_for_erasure(&self, now: u64) -> Result<Vec<UserId>, StoreError> {
        let range = RowRange {
            before: Some(now.saturating_add(1).to_be_bytes().to_vec()),
            ..RowRange::default()
        };
        let bounds = Bounds::rows(PAGE_ROWS_MAX);
        let rows = self.entities.list(DELETIONS, range, bounds).await?;
        rows.iter().map(|(key, _)| listed_player(key)).collect()
    }

    /// Players whose display name begins with this, in the order of their names, each with its position, behind the position `after`.
    ///
    /// # Errors
    /// [`StoreError::InvalidPosition`] if `after` is no position; those of the store.
    pub async fn players_named(
        &self,
        name: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(UserId, String)>, StoreError> {
        let after = after.map(name_at).transpose()?;
        let order = order(&name_form(name));
        // What it is sorted by first ends before the name itself.
        let begun = order.split(ORDER_END).next().unwrap_or_default();
        let range = RowRange::prefix(begun).after(after);
        let bounds = Bounds::rows(limit.min(PAGE_ROWS_MAX));
        let rows = self.entities.list(DISPLAY_NAMES, range, bounds).await?;
        let players = rows.iter().map(|(key, _)| {
            let user = listed_player(key)?;
            Ok((user, name_position(key, user)))
        });
        players.collect()
    }

    /// All players with an account, behind this position, and the position behind them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn all_players(
        &self,
        after: Option<RowKey>,
    ) -> Result<(Vec<UserId>, Option<RowKey>), StoreError> {
        let range = RowRange::default().after(after);
        let bounds = Bounds::rows(PAGE_ROWS_MAX);
        let rows = self.entities.list(DISPLAY_NAMES, range, bounds).await?;
        let users = rows.iter().map(|(key, _)| listed_player(key));
        let users = users.collect::<Result<Vec<_>, _>>()?;
        Ok((users, rows.into_iter().last().map(|(key, _)| key)))
    }

    /// What a call under this key of `by`'s was answered by the player's entity, if it is stored.
    ///
    /// # Errors
    /// `KeyReused` when that was another request; those of the store.
    pub async fn recall(
        &self,
        user: UserId,
        by: UserId,
        key: &IdempotencyKey,
    ) -> Result<Option<Bytes>, Fault> {
        let found = self.entities.recall(entity(user), by, &key.key).await?;
        of_this_request(found, key)
    }

    /// The display name of a player, if it is in memory. It is the one that the player has now.
    pub fn known_name(&self, user: UserId) -> Option<Arc<str>> {
        self.names.get(user).0
    }

    /// The display names of players, from memory where they can be. Who is no player has none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn display_names(
        &self,
        users: Vec<UserId>,
    ) -> Result<HashMap<UserId, Arc<str>>, StoreError> {
        let (mut names, mut missing) = (HashMap::new(), Vec::new());
        let mut epochs = HashMap::new();
        for user in users {
            match self.names.get(user) {
                (Some(name), _) => drop(names.insert(user, name)),
                (None, epoch) => {
                    epochs.insert(user, epoch);
                    missing.push(user);
                }
            }
        }
        if missing.is_empty() {
            return Ok(names);
        }
        for account in self.accounts(missing).await? {
            let name: Arc<str> = account.profile.name.into();
            if let Some(epoch) = epochs.get(&account.user) {
                self.names.put(account.user, Arc::clone(&name), *epoch);
            }
            names.insert(account.user, name);
        }
        Ok(names)
    }

    /// The display name of a player, from memory where it can be.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn display_name(&self, user: UserId) -> Result<Option<Arc<str>>, StoreError> {
        let (known, epoch) = self.names.get(user);
        if known.is_some() {
            return Ok(known);
        }
        let Some(account) = self.account(user).await? else {
            return Ok(None);
        };
        let name: Arc<str> = account.profile.name.into();
        self.names.put(user, Arc::clone(&name), epoch);
        Ok(Some(name))
    }
}
