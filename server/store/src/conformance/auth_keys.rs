//! Signing keys, and named secrets.

use super::Harness;
use crate::auth_keys::{AuthKeys as _, Secret, SigningKeyRow};

pub(crate) async fn signing_keys_have_one_successor(mut harness: impl Harness) {
    let store = harness.store();
    let row = |kid: &str, created_at| SigningKeyRow {
        kid: kid.to_owned(),
        secret: Secret([1; 32]),
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
}

pub(crate) async fn a_secret_is_drawn_once(mut harness: impl Harness) {
    let store = harness.store();
    let both = tokio::join!(store.secret("ids", [1; 32]), store.secret("ids", [2; 32]));
    let kept = both.0.unwrap();
    assert_eq!(both.1.unwrap(), kept);
    harness.restart();
    let store = harness.store();
    let again = store.secret("ids", [3; 32]).await.unwrap();
    let other = store.secret("other", [3; 32]).await.unwrap();
    assert_eq!((again, other.0), (kept.clone(), [3; 32]));
    assert_eq!(format!("{kept:?}"), "hidden");
}
