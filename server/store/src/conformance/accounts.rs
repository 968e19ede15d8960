//! Accounts, sessions, reset tokens and keys.

use futures_util::future::join_all;
use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::types::accounts::Role;

use super::{Harness, user};
use crate::accounts::{
    AccountError, AccountRow, Accounts, Grant, GuestRow, Hidden, Login, PasswordChange,
    ProfileChange, ProfileRow, ResetRow, Rotated, Rotation, SESSIONS_MAX, SecretHash, SessionRow,
    SigningKeyRow,
};
use crate::keyed::{KeyUse, Stored};

const NOW: u64 = 1_000;

fn session_id(number: u8) -> SessionId {
    SessionId::from_bytes([number; 10])
}

fn secret(generation: u64) -> SecretHash {
    let mut hash = [7; 32];
    hash[..8].copy_from_slice(&generation.to_be_bytes());
    hash
}

fn session(number: u8) -> SessionRow {
    SessionRow {
        session: session_id(number),
        device: None,
        address: "192.0.2.1".to_owned(),
        created_at: NOW,
        used_at: NOW + u64::from(number),
        expires_at: NOW + 1_000,
        generation: 0,
        refresh: secret(0),
    }
}

fn named(user: UserId, folded: &str) -> AccountRow {
    AccountRow {
        login: Some(login(folded)),
        guest_secret: None,
        ..guest(user, [0; 32])
    }
}

fn login(folded: &str) -> Login {
    Login {
        username: folded.to_uppercase(),
        folded: folded.to_owned(),
        password: Hidden("hash".to_owned()),
        version: 0,
        email: None,
    }
}

fn guest(user: UserId, secret: SecretHash) -> AccountRow {
    AccountRow {
        user,
        login: None,
        guest_secret: Some(secret),
        role: Role::Player,
        created_at: NOW,
        profile: ProfileRow {
            name: "player".to_owned(),
            avatar: None,
            bio: None,
            language: None,
        },
    }
}

fn key(scope: Option<UserId>, key: &str, method: u16) -> Option<KeyUse> {
    Some(KeyUse {
        scope,
        key: key.to_owned(),
        method,
        request_hash: [1; 16],
        at: NOW,
    })
}

fn rotation(generation: u64, next: u64) -> Rotation {
    Rotation {
        user: user(1),
        session: session_id(1),
        generation,
        presented: secret(generation),
        genuine: true,
        next: secret(next),
        address: "192.0.2.2".to_owned(),
        now: NOW + 500,
        expires_at: NOW + 2_000,
    }
}

fn grant(generation: u64, created: bool) -> Grant {
    Grant {
        user: user(1),
        session: session_id(1),
        generation,
        created,
    }
}

pub(crate) async fn names_and_secrets_belong_to_one_account(mut harness: impl Harness) {
    let store = harness.store();
    let row = named(user(1), "ana");
    let made = store.create(row.clone(), session(1), None).await.unwrap();
    assert_eq!(made, Stored::now(grant(0, true)));
    let taken = store.create(named(user(2), "ana"), session(2), None).await;
    assert_eq!(taken, Err(AccountError::NameTaken));
    assert_eq!(
        store.account(user(2)).await.unwrap(),
        None,
        "nothing of it was made"
    );
    assert!(store.sessions(user(2)).await.unwrap().is_empty());

    store
        .create(guest(user(3), [9; 32]), session(3), None)
        .await
        .unwrap();
    let taken = store
        .create(guest(user(4), [9; 32]), session(4), None)
        .await;
    assert_eq!(taken, Err(AccountError::SecretTaken));
    let taken = store.upgrade(user(3), login("ana"), None, None).await;
    assert_eq!(taken, Err(AccountError::NameTaken));
    store
        .upgrade(user(3), login("ben"), None, None)
        .await
        .unwrap();
    let again = store.upgrade(user(3), login("cleo"), None, None).await;
    assert_eq!(again, Err(AccountError::NotAGuest));
    assert_eq!(store.account_named("cleo").await.unwrap(), None);

    harness.restart();
    let store = harness.store();
    assert_eq!(store.account(user(1)).await.unwrap(), Some(row.clone()));
    assert_eq!(store.account_named("ana").await.unwrap(), Some(row.clone()));
    let retired = GuestRow {
        user: user(3),
        retired: true,
    };
    assert_eq!(store.guest([9; 32]).await.unwrap(), Some(retired));
    assert_eq!(store.guest([8; 32]).await.unwrap(), None);
    let ben = store.account(user(3)).await.unwrap().unwrap();
    let found = store
        .accounts(vec![user(3), user(9), user(1)])
        .await
        .unwrap();
    assert_eq!(found, [ben, row]);
}

pub(crate) async fn a_keyed_creation_happens_once(mut harness: impl Harness) {
    let make = |number: u8| {
        (
            guest(user(u16::from(number)), [number; 32]),
            session(number),
        )
    };
    let store = harness.store();
    let (account, first) = make(1);
    store
        .create(account, first, key(None, "k", 10))
        .await
        .unwrap();
    harness.restart();
    let store = harness.store();
    let (account, second) = make(2);
    let again = store
        .create(account.clone(), second.clone(), key(None, "k", 10))
        .await
        .unwrap();
    assert_eq!(again, Stored::before(grant(0, true)));
    assert_eq!(store.account(user(2)).await.unwrap(), None);
    let recalled = store
        .recall_grant(&key(None, "k", 10).unwrap())
        .await
        .unwrap();
    assert_eq!(recalled, Some(grant(0, true)));
    let other = KeyUse {
        request_hash: [2; 16],
        ..key(None, "k", 10).unwrap()
    };
    assert_eq!(
        store.recall_grant(&other).await,
        Err(AccountError::KeyReused)
    );
    assert_eq!(
        store
            .create(account.clone(), second.clone(), Some(other))
            .await,
        Err(AccountError::KeyReused)
    );
    let scoped = key(Some(user(1)), "k", 10);
    let made = store.create(account, second, scoped).await.unwrap();
    assert!(!made.repeated, "each scope has its own keys");
}

pub(crate) async fn a_session_rotates_once_per_generation(harness: impl Harness) {
    let store = harness.store();
    store
        .create(named(user(1), "ana"), session(1), None)
        .await
        .unwrap();
    let all = join_all((1..=50).map(|next| store.rotate(rotation(0, next), None))).await;
    let done = Ok(Stored::now(Rotated::Done(grant(1, false))));
    assert_eq!(all.iter().filter(|result| **result == done).count(), 1);
    let reused = Ok(Stored::now(Rotated::Reused));
    assert_eq!(all.iter().filter(|result| **result == reused).count(), 1);
    assert_eq!(store.session(user(1), session_id(1)).await.unwrap(), None);

    let open = |number| store.open_session(user(1), Some(0), session(number), None, None);
    open(1).await.unwrap();
    let forged = Rotation {
        genuine: false,
        ..rotation(0, 1)
    };
    let ahead = rotation(1, 2);
    let wrong = Rotation {
        presented: secret(5),
        ..rotation(0, 1)
    };
    for bad in [forged, ahead, wrong] {
        assert_eq!(store.rotate(bad, None).await, Err(AccountError::WrongToken));
    }
    let late = Rotation {
        now: NOW + 1_000,
        ..rotation(0, 1)
    };
    assert_eq!(
        store.rotate(late, None).await,
        Err(AccountError::SessionExpired)
    );
    let keyed = store
        .rotate(rotation(0, 1), key(None, "r", 11))
        .await
        .unwrap();
    let again = store
        .rotate(rotation(0, 9), key(None, "r", 11))
        .await
        .unwrap();
    assert_eq!(
        (keyed.value, keyed.repeated),
        (again.value, !again.repeated)
    );
    let row = store
        .session(user(1), session_id(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (row.generation, row.refresh, row.used_at),
        (1, secret(1), NOW + 500)
    );
    assert_eq!(
        (row.expires_at, row.address.as_str()),
        (NOW + 2_000, "192.0.2.2")
    );
    let other = Rotation {
        session: session_id(9),
        ..rotation(0, 1)
    };
    assert_eq!(
        store.rotate(other, None).await,
        Err(AccountError::NoSession)
    );
}

pub(crate) async fn sessions_are_bounded_and_end(harness: impl Harness) {
    let store = harness.store();
    store
        .create(named(user(1), "ana"), session(1), None)
        .await
        .unwrap();
    let last = u8::try_from(SESSIONS_MAX).unwrap() + 1;
    let mut ended = Vec::new();
    for number in 2..=last {
        let opened = store
            .open_session(user(1), Some(0), session(number), None, None)
            .await;
        ended.extend(opened.unwrap().1);
    }
    assert_eq!(ended, [session_id(1)], "the one used longest ago");
    assert_eq!(store.sessions(user(1)).await.unwrap().len(), SESSIONS_MAX);
    let moved = store
        .open_session(user(1), Some(1), session(99), None, None)
        .await;
    assert_eq!(moved, Err(AccountError::PasswordMoved));
    let nobody = store
        .open_session(user(2), None, session(99), None, None)
        .await;
    assert_eq!(nobody, Err(AccountError::NoAccount));

    store
        .end_session(user(1), session_id(2), None)
        .await
        .unwrap();
    let twice = store.end_session(user(1), session_id(2), None).await;
    assert_eq!(twice, Err(AccountError::NoSession));
    store
        .end_sessions(user(1), Some(session_id(5)), None)
        .await
        .unwrap();
    let left = store.sessions(user(1)).await.unwrap();
    assert_eq!(left, [session(5)]);
    store.end_sessions(user(1), None, None).await.unwrap();
    assert!(store.sessions(user(1)).await.unwrap().is_empty());
}

pub(crate) async fn a_password_changes_once_per_version_and_token(mut harness: impl Harness) {
    let store = harness.store();
    store
        .create(named(user(1), "ana"), session(1), None)
        .await
        .unwrap();
    let token = [3; 32];
    let reset = ResetRow {
        account: Some((user(1), 0)),
        nonce: [4; 16],
        expires_at: NOW + 10,
    };
    let kept = store
        .add_reset(token, reset, key(None, "q", 20))
        .await
        .unwrap();
    assert_eq!(kept, Stored::now(reset));
    let other = ResetRow {
        nonce: [5; 16],
        ..reset
    };
    let again = store
        .add_reset([5; 32], other, key(None, "q", 20))
        .await
        .unwrap();
    assert_eq!(again, Stored::before(reset));
    assert_eq!(store.reset([5; 32]).await.unwrap(), None);

    let change = |version| PasswordChange {
        user: user(1),
        version,
        password: Hidden(format!("hash {version}")),
        end_sessions: Some(None),
        reset: Some(token),
    };
    let set = store
        .set_password(change(0), key(None, "p", 21))
        .await
        .unwrap();
    assert_eq!(set, Stored::now(user(1)));
    harness.restart();
    let store = harness.store();
    let again = store
        .set_password(change(0), key(None, "p", 21))
        .await
        .unwrap();
    assert_eq!(again, Stored::before(user(1)));
    let recalled = store
        .recall_password(&key(None, "p", 21).unwrap())
        .await
        .unwrap();
    assert_eq!(recalled, Some(user(1)));
    for version in [0, 1] {
        let moved = store.set_password(change(version), None).await;
        assert_eq!(
            moved,
            Err(AccountError::PasswordMoved),
            "old version, or used token"
        );
    }
    let row = store
        .account(user(1))
        .await
        .unwrap()
        .unwrap()
        .login
        .unwrap();
    assert_eq!((row.version, row.password.0.as_str()), (1, "hash 0"));
    assert_eq!(store.reset(token).await.unwrap(), None);
    assert!(store.sessions(user(1)).await.unwrap().is_empty());
}

pub(crate) async fn old_reset_tokens_are_swept_in_steps(harness: impl Harness) {
    let store = harness.store();
    for number in 0..10 {
        let expires_at = NOW + u64::from(number % 2);
        let reset = ResetRow {
            account: None,
            nonce: [0; 16],
            expires_at,
        };
        store.add_reset([number; 32], reset, None).await.unwrap();
    }
    let mut after = None;
    let mut steps = 0;
    loop {
        steps += 1;
        after = store.sweep_resets(after, 3, NOW).await.unwrap();
        if after.is_none() {
            break;
        }
    }
    assert_eq!(steps, 4);
    for number in 0..10 {
        let left = store.reset([number; 32]).await.unwrap().is_some();
        assert_eq!(left, number % 2 == 1, "{number}");
    }
}

pub(crate) async fn the_last_admin_stays(harness: impl Harness) {
    let store = harness.store();
    let admin = AccountRow {
        role: Role::Admin,
        ..named(user(1), "ana")
    };
    store.create(admin, session(1), None).await.unwrap();
    store
        .create(named(user(2), "ben"), session(2), None)
        .await
        .unwrap();
    let set = |number, role| store.set_role(user(number), role, None);
    assert_eq!(set(1, Role::Player).await, Err(AccountError::LastAdmin));
    assert_eq!(set(1, Role::Admin).await, Ok(Stored::now(false)));
    assert_eq!(set(2, Role::Admin).await, Ok(Stored::now(true)));
    let both = tokio::join!(set(1, Role::Player), set(2, Role::Player));
    assert_eq!(both, (Ok(Stored::now(true)), Err(AccountError::LastAdmin)));
    assert_eq!(set(9, Role::Player).await, Err(AccountError::NoAccount));
}

pub(crate) async fn profiles_change_field_by_field(harness: impl Harness) {
    let store = harness.store();
    store
        .create(named(user(1), "ana"), session(1), None)
        .await
        .unwrap();
    let text = |text: &str| Some(text.to_owned());
    let first = ProfileChange {
        bio: Some(text("one")),
        avatar: Some(text("pic")),
        ..ProfileChange::default()
    };
    store.update_profile(user(1), first, None).await.unwrap();
    let second = ProfileChange {
        name: text("Ana"),
        avatar: Some(None),
        ..ProfileChange::default()
    };
    let profile = store
        .update_profile(user(1), second, None)
        .await
        .unwrap()
        .value;
    assert_eq!(
        (profile.name.as_str(), profile.avatar, profile.bio),
        ("Ana", None, text("one"))
    );
    let nobody = store
        .update_profile(user(2), ProfileChange::default(), None)
        .await;
    assert_eq!(nobody, Err(AccountError::NoAccount));
}

pub(crate) async fn signing_keys_have_one_successor(mut harness: impl Harness) {
    let store = harness.store();
    let row = |kid: &str, created_at| SigningKeyRow {
        kid: kid.to_owned(),
        secret: Hidden([1; 32]),
        created_at,
        retired_at: None,
        life_ms: 10,
    };
    let first = store.rotate_signing_key(row("a", 1), None);
    assert!(first.await.unwrap());
    let newest = || Some("a".to_owned());
    let two = tokio::join!(
        store.rotate_signing_key(row("b", 2), newest()),
        store.rotate_signing_key(row("c", 2), newest()),
    );
    assert_eq!((two.0.unwrap(), two.1.unwrap()), (true, false));
    store
        .raise_signing_key_life("b".to_owned(), 20)
        .await
        .unwrap();
    store
        .raise_signing_key_life("b".to_owned(), 15)
        .await
        .unwrap();
    store
        .raise_signing_key_life("gone".to_owned(), 15)
        .await
        .unwrap();
    harness.restart();
    let store = harness.store();
    let keys = store.signing_keys().await.unwrap();
    let retired = SigningKeyRow {
        retired_at: Some(2),
        ..row("a", 1)
    };
    let longer = SigningKeyRow {
        life_ms: 20,
        ..row("b", 2)
    };
    assert_eq!(keys, [retired, longer.clone()]);
    store.delete_signing_key("a".to_owned()).await.unwrap();
    assert_eq!(store.signing_keys().await.unwrap(), [longer]);

    let kept = store.secret("master", [1; 32]).await.unwrap();
    let again = store.secret("master", [2; 32]).await.unwrap();
    let other = store.secret("other", [2; 32]).await.unwrap();
    assert_eq!((kept.0, again.0, other.0), ([1; 32], [1; 32], [2; 32]));
    assert_eq!(format!("{kept:?}"), "hidden");
}
