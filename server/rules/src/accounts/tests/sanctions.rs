use pitturu_protocol::codes::{Code, Fault};

use super::*;

fn sanction(until: Option<u64>) -> Sanction {
    Sanction {
        by: Some(OTHER),
        at: NOW,
        until,
        reason: "spam in the lobby".to_owned(),
    }
}

fn suspended(until: Option<u64>) -> Account {
    let mut account = created(guest(TOKEN));
    let (done, changed) = effects(&mut account, |account, effects| {
        account.suspend(sanction(until), effects)
    });
    assert_eq!(done, Ok(true));
    let told = AccountNews::Suspended(sanction(until));
    assert_eq!(changed.news, [told]);
    account
}

fn rotation(now: u64) -> Rotation {
    Rotation {
        session: session_id(1),
        generation: 0,
        presented: secret(0),
        genuine: true,
        nonce: [9; 16],
        next: secret(1),
        address: "192.0.2.1".to_owned(),
        now,
        expires_at: now + 1_000,
    }
}

fn open(now: u64) -> SessionRow {
    SessionRow {
        created_at: now,
        ..session(2)
    }
}

#[test]
fn no_way_to_sign_in_leads_past_a_suspension_and_sessions_stay() {
    let mut account = suspended(None);
    for now in [NOW, NOW + 900] {
        let rotated = refused(&mut account, |account, effects| {
            account.rotate(&rotation(now), effects)
        });
        let opened = refused(&mut account, |account, effects| {
            account.open_session(None, open(now), Some(Role::Admin), effects)
        });
        for refusal in [rotated, opened] {
            let fault = Fault::from(refusal);
            assert_eq!(fault.code, Code::Suspended);
            assert_eq!(fault.message, "spam in the lobby");
            assert_eq!(fault.retry_after_ms, None);
        }
    }
    assert_eq!(account.sessions().count(), 1);
    let (lifted, _) = effects(&mut account, |account, effects| {
        account.lift_suspension(NOW, effects)
    });
    assert_eq!(lifted, Ok(true));
    let (rotated, _) = effects(&mut account, |account, effects| {
        account.rotate(&rotation(NOW), effects)
    });
    assert!(matches!(rotated, Ok(Rotated::Done(_))), "{rotated:?}");
}

#[test]
fn a_suspension_ends_by_itself_and_says_when() {
    let mut account = suspended(Some(NOW + 500));
    let refusal = refused(&mut account, |account, effects| {
        account.rotate(&rotation(NOW + 200), effects)
    });
    assert_eq!(Fault::from(refusal).retry_after_ms, Some(300));
    let (rotated, _) = effects(&mut account, |account, effects| {
        account.rotate(&rotation(NOW + 500), effects)
    });
    assert!(matches!(rotated, Ok(Rotated::Done(_))), "{rotated:?}");
    let (lifted, changed) = effects(&mut account, |account, effects| {
        account.lift_suspension(NOW + 500, effects)
    });
    assert_eq!(lifted, Ok(false));
    assert!(changed.is_empty(), "it was over");
}

#[test]
fn of_two_states_the_later_one_is_newer() {
    let mut account = created(guest(TOKEN));
    let mut states = vec![account.row().unwrap().sanctions.clone()];
    let changes: [fn(&mut Account, &mut AccountEffects); 4] = [
        |account, effects| assert!(account.mute(sanction(None), effects).unwrap()),
        |account, effects| assert!(account.unmute(NOW, effects).unwrap()),
        |account, effects| assert!(account.suspend(sanction(None), effects).unwrap()),
        |account, effects| assert!(account.lift_suspension(NOW, effects).unwrap()),
    ];
    for change in changes {
        effects(&mut account, change);
        states.push(account.row().unwrap().sanctions.clone());
    }
    for (place, state) in states.iter().enumerate() {
        for (other_place, other) in states.iter().enumerate() {
            assert_eq!(state.is_newer_than(other), place > other_place);
        }
    }
}

#[test]
fn a_mute_is_told_to_connections_and_ends() {
    let mut account = created(guest(TOKEN));
    let (_, changed) = effects(&mut account, |account, effects| {
        account.mute(sanction(Some(NOW + 10)), effects)
    });
    let row = account.row().unwrap();
    let told = AccountNews::Sanctioned(row.sanctions.clone());
    assert_eq!(changed.news, [told]);
    let fault = row.sanctions.may_speak(NOW + 4).unwrap_err();
    assert_eq!((fault.code, fault.retry_after_ms), (Code::Muted, Some(6)));
    assert_eq!(fault.message, "spam in the lobby");
    assert_eq!(row.sanctions.may_speak(NOW + 10), Ok(()));
    assert_eq!(row.sanctions.may_sign_in(NOW), Ok(()));
}

#[test]
fn a_rule_takes_the_place_of_nothing_that_is_in_force() {
    let by_rule = |at, until| Sanction {
        by: None,
        at,
        until: Some(until),
        reason: "too many messages".to_owned(),
    };
    for act in [Account::mute, Account::suspend] {
        let mut account = created(guest(TOKEN));
        let mut impose = |sanction: Sanction| {
            let (done, changed) = effects(&mut account, |account, effects| {
                act(account, sanction, effects)
            });
            let has_changed = changed.has_account_changed && !changed.news.is_empty();
            assert_eq!(done, Ok(has_changed));
            has_changed
        };
        assert!(impose(by_rule(NOW, NOW + 10)));
        assert!(!impose(by_rule(NOW + 9, NOW + 100)), "one is in force");
        assert!(impose(by_rule(NOW + 10, NOW + 20)), "it is over");
        assert!(impose(sanction(None)), "the staff replaces what a rule did");
        assert!(!impose(by_rule(NOW + 1_000, NOW + 2_000)));
        let sanctions = &account.row().unwrap().sanctions;
        let in_force = sanctions
            .mute(NOW + 1_000)
            .or(sanctions.suspension(NOW + 1_000));
        assert_eq!(in_force, Some(&sanction(None)));
    }
}
