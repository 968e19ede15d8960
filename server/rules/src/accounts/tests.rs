use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::types::accounts::Role;

use super::*;

mod deletion;
mod sanctions;
mod sessions;

const NOW: u64 = 1_000;

const USER: UserId = UserId::from_bytes([1; 10]);

const OTHER: UserId = UserId::from_bytes([2; 10]);

const TOKEN: SecretHash = [3; 32];

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
        number: u64::from(number),
        expires_at: NOW + 1_000,
        generation: 0,
        refresh: secret(0),
        nonce: [number; 16],
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

fn guest(secret: SecretHash) -> AccountRow {
    AccountRow {
        user: USER,
        login: None,
        guest_secret: Some(secret),
        role: Role::Player,
        is_role_decided: false,
        created_at: NOW,
        profile: ProfileRow {
            name: "player".to_owned(),
            avatar: None,
            bio: None,
            language: None,
        },
        sanctions: Sanctions::default(),
        deletion: None,
    }
}

fn named(folded: &str) -> AccountRow {
    AccountRow {
        login: Some(login(folded)),
        guest_secret: None,
        ..guest([0; 32])
    }
}

fn name(folded: &str) -> Claim {
    Claim::Name(folded.to_owned())
}

/// A player without an account.
fn nobody() -> Account {
    Account::load(USER, None, [], [], [], false)
}

/// A player with this account and one session.
fn created(row: AccountRow) -> Account {
    let mut account = nobody();
    let made = account.create(row, session(1), NOW, &mut AccountEffects::default());
    assert!(made.unwrap().created);
    account
}

/// What a decision changed, which the account's rows must be in line with.
fn effects<T>(
    account: &mut Account,
    decide: impl FnOnce(&mut Account, &mut AccountEffects) -> T,
) -> (T, AccountEffects) {
    let before = account.clone();
    let mut effects = AccountEffects::default();
    let outcome = decide(account, &mut effects);
    let mut stored = before;
    if effects.has_account_changed {
        stored.row.clone_from(&account.row);
    }
    for (session, row) in &effects.sessions {
        match row {
            Some(row) => stored.sessions.insert(*session, row.clone()),
            None => stored.sessions.remove(session),
        };
    }
    for (token, row) in &effects.resets {
        match row {
            Some(row) => stored.resets.insert(*token, *row),
            None => stored.resets.remove(token),
        };
    }
    for (claim, since) in &effects.voids {
        match since {
            Some(since) => stored.voids.insert(claim.clone(), *since),
            None => stored.voids.remove(claim),
        };
    }
    assert_eq!(stored, *account, "what is stored is what is decided");
    (outcome, effects)
}

/// Asserts that a refused call has changed nothing.
fn refused<T: std::fmt::Debug>(
    account: &mut Account,
    decide: impl FnOnce(&mut Account, &mut AccountEffects) -> Result<T, AccountRefusal>,
) -> AccountRefusal {
    let before = account.clone();
    let (outcome, changed) = effects(account, decide);
    assert_eq!(changed, AccountEffects::default());
    assert_eq!(before, *account);
    outcome.unwrap_err()
}

#[test]
fn an_account_is_created_once() {
    let mut account = nobody();
    let (made, changed) = effects(&mut account, |account, effects| {
        account.create(named("ana"), session(1), NOW, effects)
    });
    let grant = made.unwrap();
    assert_eq!((grant.user, grant.session), (USER, session_id(1)));
    assert!(changed.has_account_changed && changed.configured.is_none());
    assert_eq!(account.row(), Some(&named("ana")));
    assert_eq!(account.sessions().collect::<Vec<_>>(), [&session(1)]);
    let again = refused(&mut account, |account, effects| {
        account.create(named("ana"), session(2), NOW, effects)
    });
    assert_eq!(again, AccountRefusal::Exists);
    let admin = AccountRow {
        role: Role::Admin,
        ..named("root")
    };
    let (_, changed) = effects(&mut nobody(), |account, effects| {
        account.create(admin, session(1), NOW, effects)
    });
    assert_eq!(changed.configured, Some(Role::Admin));
}

#[test]
fn a_void_claim_leads_to_no_account() {
    let claims = [
        (name("ana"), named("ana")),
        (Claim::Secret([9; 32]), guest([9; 32])),
    ];
    for (claim, row) in claims {
        let mut account = nobody();
        for _ in 0..2 {
            let (is_void, _) = effects(&mut account, |account, effects| {
                account.void(claim.clone(), NOW, effects)
            });
            assert!(is_void);
        }
        for late in [0, VOID_KNOWN_MS - 1] {
            let lost = refused(&mut account, |account, effects| {
                account.create(row.clone(), session(1), NOW + late, effects)
            });
            assert_eq!(lost, AccountRefusal::Void);
        }
        let mut other = account.clone();
        let made = other.create(
            named("ben"),
            session(1),
            NOW,
            &mut AccountEffects::default(),
        );
        assert!(made.is_ok(), "another name is not void");
        let later = NOW + VOID_KNOWN_MS;
        assert!(!account.is_void(&claim, later));
        let (made, _) = effects(&mut account, |account, effects| {
            account.create(row.clone(), session(1), later, effects)
        });
        assert!(made.is_ok());
        // Once there is the account, the claim is its own.
        let (is_void, changed) = effects(&mut account, |account, effects| {
            account.void(claim.clone(), later, effects)
        });
        assert!(!is_void);
        assert_eq!(changed, AccountEffects::default());
    }
}

#[test]
fn void_claims_are_bounded_and_forgotten() {
    let mut account = created(guest([9; 32]));
    for number in 0..VOIDS_MAX {
        let (is_void, _) = effects(&mut account, |account, effects| {
            account.void(name(&number.to_string()), NOW, effects)
        });
        assert!(is_void);
    }
    let (is_void, _) = effects(&mut account, |account, effects| {
        account.void(name("more"), NOW, effects)
    });
    assert!(!is_void, "the claim stays with the player");
    let (is_void, changed) = effects(&mut account, |account, effects| {
        account.void(name("more"), NOW + VOID_KNOWN_MS, effects)
    });
    assert!(is_void);
    assert_eq!(changed.voids.len(), VOIDS_MAX + 1);
}

#[test]
fn a_guest_is_upgraded_once() {
    let mut account = created(guest([9; 32]));
    for number in 2..5 {
        let copied =
            account.open_session(None, session(number), None, &mut AccountEffects::default());
        assert!(copied.is_ok());
    }
    account.void(name("ben"), NOW, &mut AccountEffects::default());
    let lost = refused(&mut account, |account, effects| {
        account.upgrade(login("ben"), session_id(1), None, NOW, effects)
    });
    assert_eq!(lost, AccountRefusal::Void);
    let (done, changed) = effects(&mut account, |account, effects| {
        account.upgrade(login("ana"), session_id(1), Some(Role::Admin), NOW, effects)
    });
    assert_eq!(done, Ok(USER));
    let role = AccountNews::RoleChanged(Role::Admin);
    let ended = AccountNews::SessionsEnded(Some(session_id(1)));
    assert_eq!(changed.news, [AccountNews::Upgraded, ended, role]);
    let left: Vec<_> = account.sessions().map(|row| row.session).collect();
    assert_eq!(
        left,
        [session_id(1)],
        "what the secret has opened elsewhere ends"
    );
    assert_eq!(changed.configured, Some(Role::Admin));
    let row = account.row().unwrap();
    assert_eq!((row.username(), row.guest()), (Some("ANA"), false));
    assert!(Claim::Secret([9; 32]).is_of(row), "the secret stays taken");
    let twice = refused(&mut account, |account, effects| {
        account.upgrade(login("cleo"), session_id(1), None, NOW, effects)
    });
    assert_eq!(twice, AccountRefusal::NotAGuest);
    let missing = refused(&mut nobody(), |account, effects| {
        account.upgrade(login("ana"), session_id(1), None, NOW, effects)
    });
    assert_eq!(missing, AccountRefusal::NoAccount);
}

fn change(version: u64, reset: Option<SecretHash>) -> PasswordChange {
    PasswordChange {
        version,
        password: Hidden(format!("hash {version}")),
        end_sessions: Some(None),
        reset,
    }
}

fn reset(version: u64, expires_at: u64) -> ResetRow {
    ResetRow {
        version,
        nonce: [4; 16],
        expires_at,
        number: 0,
        issued_by: None,
    }
}

#[test]
fn a_password_changes_once_per_version_and_token() {
    let mut account = created(named("ana"));
    for token in [TOKEN, [5; 32]] {
        let (kept, _) = effects(&mut account, |account, effects| {
            account.add_reset(token, reset(0, NOW + 10), NOW, effects)
        });
        assert_eq!(kept.map(|kept| kept.expires_at), Ok(NOW + 10));
    }
    let unknown = refused(&mut account, |account, effects| {
        account.set_password(change(0, Some([6; 32])), effects)
    });
    assert_eq!(unknown, AccountRefusal::PasswordMoved);
    let (set, changed) = effects(&mut account, |account, effects| {
        account.set_password(change(0, Some(TOKEN)), effects)
    });
    assert_eq!(set, Ok(USER));
    assert_eq!(changed.news, [AccountNews::SessionsEnded(None)]);
    assert_eq!(changed.resets.len(), 2, "no token outlives the change");
    let login = account.row().unwrap().login.clone().unwrap();
    assert_eq!((login.version, login.password.0.as_str()), (1, "hash 0"));
    assert_eq!(account.sessions().count(), 0);
    for again in [change(0, None), change(1, Some(TOKEN))] {
        let moved = refused(&mut account, |account, effects| {
            account.set_password(again, effects)
        });
        assert_eq!(moved, AccountRefusal::PasswordMoved);
    }
    let late = refused(&mut account, |account, effects| {
        account.add_reset(TOKEN, reset(0, NOW + 10), NOW, effects)
    });
    assert_eq!(late, AccountRefusal::PasswordMoved);
}

#[test]
fn a_new_hash_of_the_same_password_ends_nothing() {
    let mut account = created(named("ana"));
    account
        .add_reset(
            TOKEN,
            reset(0, NOW + 10),
            NOW,
            &mut AccountEffects::default(),
        )
        .unwrap();
    let renewed = PasswordChange {
        end_sessions: None,
        ..change(0, None)
    };
    let (set, changed) = effects(&mut account, |account, effects| {
        account.set_password(renewed, effects)
    });
    assert_eq!(set, Ok(USER));
    assert!(changed.news.is_empty() && changed.resets.is_empty());
    assert_eq!(account.row().unwrap().version(), Some(0));
}

#[test]
fn reset_tokens_run_out_and_are_bounded() {
    let mut account = created(named("ana"));
    let tokens = RESETS_MAX + 2;
    for number in 0..tokens {
        let mut token = [0; 32];
        token[0] = u8::try_from(number).unwrap();
        // Whichever runs out first: the clock may have been set.
        let expires_at = NOW + 100 + (tokens - number) as u64;
        let (_, changed) = effects(&mut account, |account, effects| {
            account.add_reset(token, reset(0, expires_at), NOW, effects)
        });
        let gone = changed.resets.iter().filter(|(_, row)| row.is_none());
        let gone: Vec<_> = gone.map(|(token, _)| usize::from(token[0])).collect();
        let surplus = (number + 1).saturating_sub(RESETS_MAX);
        assert_eq!(gone, (surplus.max(1) - 1..surplus).collect::<Vec<_>>());
    }
    assert_eq!(account.resets.len(), RESETS_MAX);
    let ((), changed) = effects(&mut account, |account, effects| {
        account.tidy(NOW + 100 + 5, effects);
    });
    assert_eq!(changed.resets.len(), 5, "the newest five have run out");
}

#[test]
fn profiles_change_field_by_field() {
    let mut account = created(named("ana"));
    let text = |text: &str| Some(text.to_owned());
    let first = ProfileChange {
        bio: Some(text("one")),
        avatar: Some(text("pic")),
        ..ProfileChange::default()
    };
    let (_, changed) = effects(&mut account, |account, effects| {
        account.update_profile(first, effects)
    });
    assert!(changed.news.is_empty(), "the name is as it was");
    let second = ProfileChange {
        name: text("Ana"),
        avatar: Some(None),
        ..ProfileChange::default()
    };
    let (profile, changed) = effects(&mut account, |account, effects| {
        account.update_profile(second, effects)
    });
    let profile = profile.unwrap();
    assert_eq!(
        (profile.name.as_str(), profile.avatar, profile.bio),
        ("Ana", None, text("one"))
    );
    assert_eq!(changed.news, [AccountNews::Renamed("Ana".to_owned())]);
    let missing = refused(&mut nobody(), |account, effects| {
        account.update_profile(ProfileChange::default(), effects)
    });
    assert_eq!(missing, AccountRefusal::NoAccount);
}

#[test]
fn the_last_admin_stays() {
    let mut staff = Staff::default();
    let mut effects = StaffEffects::default();
    staff.configured(USER, Role::Admin, &mut effects);
    let mut set = |by, user, role, seen| {
        let mut effects = StaffEffects::default();
        let set = staff.set(role_change(by, user, role, seen), &mut effects);
        assert_eq!(set == Ok(true), effects != StaffEffects::default());
        set
    };
    let last = Err(AccountRefusal::LastAdmin);
    assert_eq!(set(USER, USER, Role::Player, Role::Admin), last);
    assert_eq!(set(USER, USER, Role::Moderator, Role::Admin), last);
    assert_eq!(set(USER, USER, Role::Admin, Role::Admin), Ok(false));
    assert_eq!(set(USER, OTHER, Role::Player, Role::Player), Ok(false));
    assert_eq!(set(USER, OTHER, Role::Admin, Role::Player), Ok(true));
    assert_eq!(set(USER, USER, Role::Player, Role::Admin), Ok(true));
    // The accounts may not have heard of it yet.
    assert_eq!(set(OTHER, OTHER, Role::Player, Role::Player), last);
    let refused = Err(AccountRefusal::NotAnAdmin);
    assert_eq!(set(USER, USER, Role::Admin, Role::Admin), refused);
    assert_eq!(set(USER, OTHER, Role::Player, Role::Admin), refused);
    assert_eq!(set(OTHER, USER, Role::Moderator, Role::Admin), Ok(true));
    assert_eq!(set(USER, USER, Role::Moderator, Role::Admin), refused);
    // The list may not have heard of an admin of the configuration.
    let mut new = Staff::default();
    let mut effects = StaffEffects::default();
    let own = role_change(USER, USER, Role::Player, Role::Admin);
    assert_eq!(new.set(own, &mut effects), last);
    assert_eq!(effects, StaffEffects::default());
}

/// Both accounts show a role: the caller's that of an admin, the other's `seen`.
fn role_change(by: UserId, user: UserId, role: Role, seen: Role) -> RoleChange {
    RoleChange {
        by: Shown {
            user: by,
            role: Role::Admin,
        },
        of: Shown { user, role: seen },
        role,
    }
}

#[test]
fn a_role_of_the_configuration_does_not_undo_what_was_decided() {
    // The list makes a moderator; meanwhile the configuration makes an admin.
    let (mut staff, mut account) = (Staff::default(), created(named("ana")));
    let mut decided = StaffEffects::default();
    let demoted = role_change(OTHER, USER, Role::Moderator, Role::Player);
    staff.set(demoted, &mut decided).unwrap();
    let mut signed_in = AccountEffects::default();
    account
        .open_session(Some(0), session(2), Some(Role::Admin), &mut signed_in)
        .unwrap();
    let configured = signed_in.configured.unwrap();
    staff.configured(USER, configured, &mut decided);
    for (user, role) in decided.told {
        assert_eq!(user, USER);
        effects(&mut account, |account, effects| {
            account.set_role(role, effects)
        });
    }
    assert_eq!(account.row().unwrap().role, Role::Moderator);
    let shown = Shown {
        user: USER,
        role: Role::Admin,
    };
    assert_eq!(staff.role_of(shown), Role::Moderator);
    let (is_new, changed) = effects(&mut account, |account, effects| {
        account.set_role(Role::Moderator, effects)
    });
    assert!(!is_new && changed == AccountEffects::default());
}
