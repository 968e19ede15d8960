//! Keys that one entity has and no other can get.

use futures_util::future::join_all;

use super::{Harness, Owner, entity};
use crate::entities::{Claimed, Entities, EntityId, Space};

const SPACE: Space = Space(1);

async fn claim(
    store: &dyn Entities,
    key: &[u8],
    number: u8,
    instead_of: Option<EntityId>,
) -> Claimed {
    let claimed = store.claim(SPACE, key.to_vec(), entity(number), instead_of);
    claimed.await.unwrap()
}

async fn holder(store: &dyn Entities, key: &[u8]) -> Option<EntityId> {
    store.claimed(SPACE, key).await.unwrap()
}

pub(crate) async fn of_two_claims_at_once_one_wins(harness: impl Harness) {
    let store = harness.store();
    for key in [b"one".as_slice(), b"two"] {
        let all = join_all((1..=50).map(|number| claim(&*store, key, number, None))).await;
        let won: Vec<usize> = (0..50).filter(|at| all[*at] == Claimed::Done).collect();
        let [winner] = won[..] else {
            panic!("{won:?} have won");
        };
        let winner = entity(u8::try_from(winner).unwrap() + 1);
        assert_eq!(holder(&*store, key).await, Some(winner));
        let lost = all.iter().filter(|lost| **lost == Claimed::Held(winner));
        assert_eq!(lost.count(), 49);
        // Who has it gets it again.
        let again = store.claim(SPACE, key.to_vec(), winner, None).await;
        assert_eq!(again.unwrap(), Claimed::Done);
    }
}

pub(crate) async fn a_claim_is_replaced_from_the_named_holder_alone(harness: impl Harness) {
    let store = harness.store();
    claim(&*store, b"k", 1, None).await;
    let wrong = claim(&*store, b"k", 2, Some(entity(3))).await;
    assert_eq!(wrong, Claimed::Held(entity(1)));
    let itself = claim(&*store, b"k", 2, Some(entity(2))).await;
    assert_eq!(itself, Claimed::Held(entity(1)));
    assert_eq!(holder(&*store, b"k").await, Some(entity(1)));
    // Of several who would replace one holder, one does.
    let all = join_all((2..=20).map(|number| claim(&*store, b"k", number, Some(entity(1))))).await;
    let done = all.iter().filter(|claimed| **claimed == Claimed::Done);
    assert_eq!(done.count(), 1);
    let late = claim(&*store, b"k", 30, Some(entity(1))).await;
    assert_eq!(
        late,
        Claimed::Held(holder(&*store, b"k").await.unwrap()),
        "its holder is another by now"
    );
    // A key that is free, or its own, needs nobody to be replaced.
    assert_eq!(
        claim(&*store, b"free", 1, Some(entity(9))).await,
        Claimed::Done
    );
    assert_eq!(
        claim(&*store, b"free", 1, Some(entity(9))).await,
        Claimed::Done
    );
}

pub(crate) async fn a_claim_is_freed_by_its_holder_alone(harness: impl Harness) {
    let store = harness.store();
    let release = |number| store.release(SPACE, b"k".to_vec(), entity(number));
    release(1).await.unwrap();
    claim(&*store, b"k", 1, None).await;
    release(2).await.unwrap();
    assert_eq!(holder(&*store, b"k").await, Some(entity(1)));
    release(1).await.unwrap();
    assert_eq!(holder(&*store, b"k").await, None);
    assert_eq!(claim(&*store, b"k", 2, None).await, Claimed::Done);
}

pub(crate) async fn claims_of_other_keys_and_spaces_are_apart(harness: impl Harness) {
    let store = harness.store();
    let long = vec![0xff; 200];
    let keys = [b"k".as_slice(), b"kk", b"\0", b"k\0", &long];
    for (key, number) in keys.iter().zip(1..) {
        assert_eq!(claim(&*store, key, number, None).await, Claimed::Done);
    }
    let elsewhere = Space(2);
    assert_eq!(store.claimed(elsewhere, b"k").await.unwrap(), None);
    let other = store.claim(elsewhere, b"k".to_vec(), entity(9), None).await;
    assert_eq!(other.unwrap(), Claimed::Done);
    store
        .release(elsewhere, b"kk".to_vec(), entity(2))
        .await
        .unwrap();
    for (key, number) in keys.iter().zip(1..) {
        assert_eq!(holder(&*store, key).await, Some(entity(number)));
    }
}

pub(crate) async fn claims_outlive_a_restart_and_their_entities(mut harness: impl Harness) {
    let mut owner = Owner::created(&harness, entity(1)).await;
    claim(&*harness.store(), b"used", 1, None).await;
    // There need be no such entity.
    claim(&*harness.store(), b"never", 2, None).await;
    claim(&*harness.store(), b"gone", 3, None).await;
    claim(&*harness.store(), b"gone", 4, Some(entity(3))).await;
    let freed = harness.store().release(SPACE, b"gone".to_vec(), entity(4));
    freed.await.unwrap();
    owner.commit(|commit| commit.ends_at = Some(1)).await;
    harness.restart();
    let store = harness.store();
    assert_eq!(holder(&*store, b"used").await, Some(entity(1)));
    assert_eq!(holder(&*store, b"never").await, Some(entity(2)));
    assert_eq!(holder(&*store, b"gone").await, None);
}
