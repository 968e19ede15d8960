//! The end of an account.

use super::*;

const LATER: u64 = NOW + 1_000;

fn asked(account: &mut Account, erase_at: u64) -> (Result<u64, AccountRefusal>, AccountEffects) {
    effects(account, |account, effects| {
        account.delete(erase_at, effects)
    })
}

/// What was erased leaves nothing but that it was.
fn erased(account: &mut Account, now: u64) -> AccountEffects {
    let (begun, _) = effects(account, |account, effects| {
        account.begin_erasure(now, effects)
    });
    begun.expect("it is due");
    let mut changed = AccountEffects::default();
    account.erase(now, &mut changed).expect("it has begun");
    changed
}

#[test]
fn a_deletion_ends_all_sessions_and_signing_in_takes_it_back() {
    let mut account = created(named("ana"));
    let (erase_at, changed) = asked(&mut account, LATER);
    assert_eq!(erase_at, Ok(LATER));
    assert_eq!(changed.deletions, [(LATER, true)]);
    assert_eq!(changed.news, [AccountNews::SessionsEnded(None)]);
    assert_eq!(account.sessions().count(), 0);
    // Asked for again, the earlier time counts.
    let (erase_at, changed) = asked(&mut account, LATER + 1);
    assert_eq!((erase_at, changed.deletions), (Ok(LATER), vec![]));
    let (erase_at, changed) = asked(&mut account, LATER - 1);
    assert_eq!(erase_at, Ok(LATER - 1));
    assert_eq!(changed.deletions, [(LATER, false), (LATER - 1, true)]);

    let (opened, changed) = effects(&mut account, |account, effects| {
        account.open_session(Some(0), session(2), None, effects)
    });
    opened.expect("it is not due");
    assert_eq!(changed.deletions, [(LATER - 1, false)]);
    assert_eq!(account.row().and_then(|row| row.deletion), None);
    let refusal = refused(&mut account, |account, effects| {
        account.begin_erasure(LATER, effects)
    });
    assert_eq!(refusal, AccountRefusal::NotDue, "it was taken back");
}

#[test]
fn what_is_due_is_not_taken_back_and_what_has_begun_begins_again() {
    let mut account = created(named("ana"));
    asked(&mut account, LATER).0.expect("there is an account");
    for due in [LATER, LATER + 1] {
        let refusal = refused(&mut account, |account, effects| {
            let session = SessionRow {
                created_at: due,
                ..session(2)
            };
            account.open_session(Some(0), session, None, effects)
        });
        assert_eq!(refusal, AccountRefusal::Erased);
    }
    let early = refused(&mut account, |account, effects| {
        account.begin_erasure(LATER - 1, effects)
    });
    assert_eq!(early, AccountRefusal::NotDue);
    let unready = refused(&mut account, |account, effects| {
        account.erase(LATER, effects)
    });
    assert_eq!(unready, AccountRefusal::NotDue, "it has not begun");
    for now in [LATER, 1] {
        let (begun, _) = effects(&mut account, |account, effects| {
            account.begin_erasure(now, effects)
        });
        assert_eq!(begun, Ok(()), "also with a clock that was set back");
    }
    let refusal = refused(&mut account, |account, effects| {
        account.open_session(Some(0), session(2), None, effects)
    });
    assert_eq!(refusal, AccountRefusal::Erased, "also by such a clock");
}

#[test]
fn an_erased_account_leaves_nothing_and_its_id_is_used_up() {
    let mut account = created(named("ana"));
    let claim = name("another");
    let mut unused = AccountEffects::default();
    assert!(account.void(claim.clone(), NOW, &mut unused));
    asked(&mut account, NOW).0.expect("there is an account");
    let changed = erased(&mut account, NOW);
    assert!(changed.has_account_changed);
    assert_eq!(changed.erased_at, Some(NOW));
    assert_eq!(changed.deletions, [(NOW, false)]);
    assert_eq!(changed.voids, [(claim, None)]);
    assert_eq!((account.row(), account.sessions().count()), (None, 0));
    let ended: Vec<&(String, bool)> = changed.names.iter().collect();
    assert_eq!(ended.len(), 1);
    assert!(!ended[0].1);

    let refusal = refused(&mut account, |account, effects| {
        account.create(named("ben"), session(3), NOW, effects)
    });
    assert_eq!(refusal, AccountRefusal::Void);
    let (is_void, changed) = effects(&mut account, |account, effects| {
        account.void(name("ben"), NOW, effects)
    });
    assert!(is_void, "whoever claims the name takes it over");
    assert_eq!(
        changed,
        AccountEffects::default(),
        "and nothing is kept of it"
    );
    let nobody = refused(&mut account, |account, effects| {
        account.delete(LATER, effects)
    });
    assert_eq!(nobody, AccountRefusal::NoAccount);
}

#[test]
fn whoever_has_a_role_keeps_the_account() {
    for role in [Role::Moderator, Role::Service, Role::Admin] {
        let mut account = created(AccountRow {
            role,
            ..named("ana")
        });
        let refusal = refused(&mut account, |account, effects| {
            account.delete(NOW, effects)
        });
        assert_eq!(refusal, AccountRefusal::HasRole);
    }
}

#[test]
fn whoever_is_given_a_role_meanwhile_is_not_erased_as_long_as_they_have_it() {
    let mut account = created(named("ana"));
    asked(&mut account, NOW).0.expect("there is an account");
    let mut unused = AccountEffects::default();
    account.set_role(Role::Admin, &mut unused);
    let refusal = refused(&mut account, |account, effects| {
        account.begin_erasure(LATER, effects)
    });
    assert_eq!(refusal, AccountRefusal::NotDue);
    // They sign in when they come, and it is taken back.
    let mut late = account.clone();
    let (opened, _) = effects(&mut late, |account, effects| {
        let late = SessionRow {
            created_at: LATER + 1,
            ..session(2)
        };
        account.open_session(Some(0), late, None, effects)
    });
    opened.expect("the account is theirs");
    assert_eq!(late.row().expect("it is there").deletion, None);
    account.set_role(Role::Player, &mut unused);
    erased(&mut account, LATER);
}

#[test]
fn the_display_name_that_players_are_found_by_is_the_one_that_they_have() {
    let mut account = nobody();
    let (made, changed) = effects(&mut account, |account, effects| {
        account.create(named("ana"), session(1), NOW, effects)
    });
    made.expect("there is none");
    let first = account.row().expect("it was made").profile.name.clone();
    assert_eq!(changed.names, [(first.clone(), true)]);
    let renamed = ProfileChange {
        name: Some("Ben".to_owned()),
        ..ProfileChange::default()
    };
    let (_, changed) = effects(&mut account, |account, effects| {
        account.update_profile(renamed.clone(), effects)
    });
    assert_eq!(changed.names, [(first, false), ("Ben".to_owned(), true)]);
    let (_, changed) = effects(&mut account, |account, effects| {
        account.update_profile(renamed, effects)
    });
    assert_eq!(changed.names, []);
}
