use super::*;

/// What is drawn when this generation's token is exchanged.
fn drawn(generation: u64) -> Nonce {
    [50 + u8::try_from(generation).unwrap(); 16]
}

fn rotation(generation: u64) -> Rotation {
    Rotation {
        session: session_id(1),
        generation,
        presented: secret(generation),
        genuine: true,
        nonce: drawn(generation),
        next: secret(generation + 1),
        address: "192.0.2.2".to_owned(),
        now: NOW + 500,
        expires_at: NOW + 2_000,
    }
}

/// An account whose session has been refreshed twice.
fn rotated() -> Account {
    let mut account = created(named("ana"));
    for generation in 0..2 {
        let (rotated, changed) = effects(&mut account, |account, effects| {
            account.rotate(&rotation(generation), effects)
        });
        let Ok(Rotated::Done(grant)) = rotated else {
            panic!("{rotated:?}");
        };
        assert_eq!((grant.generation, grant.created), (generation + 1, false));
        assert_eq!(grant.nonce, drawn(generation));
        assert!(changed.news.is_empty());
    }
    account
}

#[test]
fn a_session_moves_on_with_each_rotation() {
    let account = rotated();
    let row = account.sessions().next().unwrap();
    assert_eq!((row.generation, row.refresh), (2, secret(2)));
    assert_eq!((row.used_at, row.created_at), (NOW + 500, NOW));
    assert_eq!(row.expires_at, NOW + 2_000);
    assert_eq!(row.address, "192.0.2.2");
}

#[test]
fn only_a_genuine_earlier_token_ends_the_session() {
    let forged = |generation| Rotation {
        genuine: false,
        ..rotation(generation)
    };
    let wrong = Rotation {
        presented: secret(9),
        ..rotation(2)
    };
    let late = |generation| Rotation {
        now: NOW + 2_000,
        ..rotation(generation)
    };
    let unknown = Rotation {
        session: session_id(9),
        ..rotation(2)
    };
    for (presented, refusal) in [
        (rotation(0), None),
        (rotation(1), None),
        (late(1), None),
        (rotation(3), Some(AccountRefusal::WrongToken)),
        (forged(0), Some(AccountRefusal::WrongToken)),
        (wrong, Some(AccountRefusal::WrongToken)),
        (late(2), Some(AccountRefusal::SessionExpired)),
        (unknown, Some(AccountRefusal::NoSession)),
    ] {
        let mut account = rotated();
        match refusal {
            Some(refusal) => {
                let found = refused(&mut account, |account, effects| {
                    account.rotate(&presented, effects)
                });
                assert_eq!(found, refusal, "{presented:?}");
            }
            None => {
                let (found, changed) = effects(&mut account, |account, effects| {
                    account.rotate(&presented, effects)
                });
                assert_eq!(found, Ok(Rotated::Reused), "{presented:?}");
                let ended = AccountNews::SessionEnded(session_id(1));
                assert_eq!(changed.news, [ended]);
                assert_eq!(account.sessions().count(), 0);
            }
        }
    }
}

#[test]
fn sessions_are_bounded_and_the_one_used_longest_ago_goes() {
    let mut account = created(named("ana"));
    let last = u8::try_from(SESSIONS_MAX).unwrap() + 1;
    let mut news = Vec::new();
    for number in 2..=last {
        let (opened, changed) = effects(&mut account, |account, effects| {
            account.open_session(Some(0), session(number), None, effects)
        });
        assert!(!opened.unwrap().created);
        news.extend(changed.news);
    }
    assert_eq!(news, [AccountNews::SessionEnded(session_id(1))]);
    assert_eq!(account.sessions().count(), SESSIONS_MAX);
    let later = SessionRow {
        created_at: NOW + 1_000,
        ..session(99)
    };
    let (_, changed) = effects(&mut account, |account, effects| {
        account.open_session(Some(0), later, None, effects)
    });
    assert!(changed.news.is_empty(), "they had run out");
    assert_eq!(account.sessions().count(), 1);
}

/// Sessions that were used while the clock was ahead were used no later for it.
#[test]
fn the_session_used_longest_ago_goes_by_order_of_use_whatever_the_clock_says() {
    let mut account = created(named("ana"));
    let last = u8::try_from(SESSIONS_MAX).unwrap();
    let open = |account: &mut Account, number: u8, used_at: u64| {
        let opened = SessionRow {
            used_at,
            created_at: NOW,
            ..session(number)
        };
        let (_, changed) = effects(account, |account, effects| {
            account.open_session(Some(0), opened, None, effects)
        });
        changed.news
    };
    for number in 2..=last {
        assert_eq!(open(&mut account, number, NOW + 900_000), []);
    }
    // What was stored keeps its order.
    let mut account = Account::load(
        USER,
        account.row().cloned(),
        account.sessions().cloned().collect::<Vec<_>>(),
        [],
        [],
        false,
    );
    let used = Rotation {
        now: NOW,
        ..rotation(0)
    };
    let (rotated, _) = effects(&mut account, |account, effects| {
        account.rotate(&used, effects)
    });
    assert!(matches!(rotated, Ok(Rotated::Done(_))), "{rotated:?}");
    for number in 0..3 {
        let ended = AccountNews::SessionEnded(session_id(2 + number));
        assert_eq!(open(&mut account, last + 1 + number, NOW), [ended]);
    }
    let is_there = |id| {
        account
            .sessions()
            .any(|held| held.session == session_id(id))
    };
    assert!(is_there(1), "it was refreshed after all others");
}

#[test]
fn a_session_rests_on_the_password_that_was_checked() {
    let mut account = created(named("ana"));
    for version in [None, Some(1)] {
        let moved = refused(&mut account, |account, effects| {
            account.open_session(version, session(2), Some(Role::Admin), effects)
        });
        assert_eq!(moved, AccountRefusal::PasswordMoved);
    }
    let missing = refused(&mut nobody(), |account, effects| {
        account.open_session(None, session(2), None, effects)
    });
    assert_eq!(missing, AccountRefusal::NoAccount);
    let mut guest = created(guest([9; 32]));
    let (opened, _) = effects(&mut guest, |account, effects| {
        account.open_session(None, session(2), None, effects)
    });
    assert!(opened.is_ok());
}

#[test]
fn a_role_of_the_configuration_comes_with_a_session() {
    let mut account = created(named("ana"));
    for configured in [Some(Role::Admin), None] {
        let (_, changed) = effects(&mut account, |account, effects| {
            account.open_session(Some(0), session(2), Some(Role::Admin), effects)
        });
        assert_eq!(changed.configured, configured);
        assert_eq!(changed.news.len(), configured.iter().count());
    }
}

#[test]
fn sessions_end_one_by_one_and_together() {
    let mut account = created(named("ana"));
    for number in 2..=5 {
        account
            .open_session(
                Some(0),
                session(number),
                None,
                &mut AccountEffects::default(),
            )
            .unwrap();
    }
    let (ended, changed) = effects(&mut account, |account, effects| {
        account.end_session(session_id(2), effects)
    });
    assert_eq!(ended, Ok(()));
    assert_eq!(changed.news, [AccountNews::SessionEnded(session_id(2))]);
    let twice = refused(&mut account, |account, effects| {
        account.end_session(session_id(2), effects)
    });
    assert_eq!(twice, AccountRefusal::NoSession);
    let ((), changed) = effects(&mut account, |account, effects| {
        account.log_out(session_id(2), effects);
    });
    assert!(changed.is_empty(), "its connections are told all the same");
    assert_eq!(changed.news, [AccountNews::SessionEnded(session_id(2))]);
    let ((), changed) = effects(&mut account, |account, effects| {
        account.end_sessions(Some(session_id(5)), effects);
    });
    let all_but_one = AccountNews::SessionsEnded(Some(session_id(5)));
    assert_eq!(changed.news, [all_but_one]);
    assert_eq!(account.sessions().collect::<Vec<_>>(), [&session(5)]);
    let ((), _) = effects(&mut account, |account, effects| {
        account.end_sessions(None, effects);
    });
    assert_eq!(account.sessions().count(), 0);
}

#[test]
fn a_token_that_fits_what_is_stored_is_good_also_when_its_master_key_is_gone() {
    let mut account = rotated();
    let unknown = Rotation {
        genuine: false,
        ..rotation(2)
    };
    let (found, _) = effects(&mut account, |account, effects| {
        account.rotate(&unknown, effects)
    });
    assert!(matches!(found, Ok(Rotated::Done(_))), "{found:?}");
}
