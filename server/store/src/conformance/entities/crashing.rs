//! What a crash leaves: everything that was reported, and of the rest whole commits on which nothing is missing.

use super::seen::seen;
use super::{Crashing, Owner, append, entity, fill, put};
use crate::StoreError;
use crate::entities::{Bounds, List, LoadedPart, Part, RowRange};

pub(crate) async fn reported_commits_outlive_a_crash(mut harness: impl Crashing) {
    for seed in 0..10_u8 {
        for id in 0..3 {
            let mut owner = match seed {
                0 => Owner::created(&harness, entity(id)).await,
                _ => Owner::loaded(&harness, entity(id)).await,
            };
            owner.commit(|commit| fill(commit, seed.into())).await;
        }
        let before = seen(&*harness.store()).await;
        harness.crash(seed.into());
        assert_eq!(seen(&*harness.store()).await, before);
    }
}

pub(crate) async fn untold_commits_are_whole_and_dense<H: Crashing>() {
    let mut found = Vec::new();
    for seed in 1..40 {
        let mut harness = H::new();
        let mut owners = [
            Owner::created(&harness, entity(0)).await,
            Owner::created(&harness, entity(1)).await,
        ];
        harness.hold();
        let mut outcomes = Vec::new();
        for number in 1..=5 {
            for owner in &mut owners {
                outcomes.push(owner.hand_over(|commit| {
                    let row = [u8::try_from(number).unwrap()];
                    put(commit, b"a", &row);
                    append(commit, 0, number..number + 1, "");
                    append(commit, 1, number..number + 1, "");
                    let key = commit.entity.as_bytes().to_vec();
                    commit.lists.push((List(0), key, Some(row.to_vec())));
                }));
            }
        }
        harness.crash(seed);
        for outcome in outcomes {
            assert!(matches!(
                outcome.await,
                Ok(Err(StoreError::Unavailable(_))) | Err(_)
            ));
        }
        for id in 0..2 {
            found.push(whole(&harness, id).await);
        }
    }
    found.sort_unstable();
    found.dedup();
    println!("versions found after a crash: {found:?}");
}

/// Checks that everything of an entity is of one version, and returns it.
async fn whole(harness: &impl Crashing, id: u8) -> u64 {
    let store = harness.store();
    let parts = vec![
        Part::Rows(RowRange::default()),
        Part::Newest(0, Bounds::ALL),
        Part::Newest(1, Bounds::ALL),
    ];
    let loaded = store.load(entity(id), parts).await.unwrap().unwrap();
    let commits = loaded.head.version - 1;
    let row = vec![u8::try_from(commits).unwrap()];
    let entries: Vec<_> = (1..=commits)
        .map(|number| (number, super::numbered(number, "")))
        .collect();
    let (mut rows, mut listed) = (Vec::new(), Vec::new());
    if commits > 0 {
        rows.push((b"a".to_vec(), row.clone()));
        listed.push((entity(id).as_bytes().to_vec(), row));
    }
    let expected = [
        LoadedPart::Rows(rows),
        LoadedPart::Newest(entries.clone()),
        LoadedPart::Newest(entries),
    ];
    assert_eq!(loaded.parts, expected);
    let range = RowRange::prefix(*entity(id).as_bytes());
    let list = store.list(List(0), range, Bounds::ALL).await.unwrap();
    assert_eq!(list, listed);
    // It goes on from there.
    let mut owner = Owner::loaded(harness, entity(id)).await;
    owner.commit(|_| {}).await;
    loaded.head.version
}

pub(crate) async fn unknown_commits_are_whole_after_a_crash<H: Crashing>() {
    let mut outcomes = [0, 0];
    for seed in 0..20 {
        let mut harness = H::new();
        let mut owner = Owner::created(&harness, entity(1)).await;
        let before = seen(&*harness.store()).await;
        harness.fail_next(true);
        let outcome = owner.hand_over(|commit| fill(commit, 0)).await.unwrap();
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))));
        harness.crash(seed);
        let after = seen(&*harness.store()).await;
        let version = Owner::loaded(&harness, entity(1)).await.version;
        if version == 1 {
            assert_eq!(after, before);
        } else {
            let other = H::new();
            let mut owner = Owner::created(&other, entity(1)).await;
            owner.commit(|commit| fill(commit, 0)).await;
            assert_eq!(after, seen(&*other.store()).await);
        }
        outcomes[usize::from(version == 2)] += 1;
    }
    println!(
        "of unknown commits {} were gone and {} there",
        outcomes[0], outcomes[1]
    );
}
