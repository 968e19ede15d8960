use futures_util::FutureExt as _;
use futures_util::future::join_all;
use pitturu_protocol::codes::Code;
use pitturu_protocol::types::accounts::{
    Authenticate, GetAccount, ListSessions, Login, Logout, LogoutEverywhere, Register,
    RevokeSession, Role, SetRole, UpgradeGuest,
};
use pitturu_protocol::types::system::Done;
use pitturu_rules::accounts::SESSIONS_MAX;

use super::{DAY, MINUTE, PASSWORD, Told, World, code, guest, keyed, login, register};

#[tokio::test]
async fn register_login_and_read_the_account() {
    let world = World::new().await;
    let tokens = world.register("Ana").await;
    assert!(tokens.created);
    assert_eq!(tokens.identity.role, Role::Player);
    assert_eq!(tokens.identity.expires_at, world.now + 15 * MINUTE);
    assert_eq!(tokens.refresh_expires_at, world.now + 90 * DAY);
    assert_eq!(world.identify(&tokens).await.unwrap(), tokens.identity);

    let again = world.login("aNA", PASSWORD).await.unwrap();
    assert!(!again.created);
    assert_eq!(again.identity.user, tokens.identity.user);
    assert_ne!(again.identity.session, tokens.identity.session);
    let account = world
        .accounts
        .get_account(&world.signed_in(&again.identity), GetAccount {})
        .await
        .unwrap();
    assert_eq!(account.username.as_deref(), Some("Ana"));
    assert!(!account.guest);
}

#[tokio::test]
async fn accounts_and_sessions_outlive_a_restart() {
    let mut world = World::new().await;
    let tokens = world.register("ana").await;
    world.restart().await;
    assert_eq!(world.identify(&tokens).await.unwrap(), tokens.identity);
    world.refresh(&tokens.refresh).await.unwrap();
    world.login("ana", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn one_name_is_one_account_however_it_is_written() {
    let world = World::new().await;
    world.register("Straße").await;
    for taken in ["straße", "STRASSE", "ｓｔｒａｓｓｅ"] {
        let result = world
            .accounts
            .register(&world.anyone(), register(taken))
            .await;
        assert_eq!(code(result), Code::UsernameTaken, "{taken}");
    }
    world.login("STRASSE", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn fifty_registrations_of_one_name_make_one_account() {
    let world = World::new().await;
    let caller = world.anyone();
    let results =
        join_all((0..50).map(|_| world.accounts.register(&caller, register("ana")))).await;
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1);
    for lost in results.into_iter().filter(Result::is_err) {
        assert_eq!(code(lost), Code::UsernameTaken);
    }
}

#[tokio::test]
async fn a_repeated_registration_gets_the_same_session() {
    let mut world = World::new().await;
    let request = register("ana");
    let caller = keyed(world.anyone(), "key-1", &request);
    let first = world
        .accounts
        .register(&caller, request.clone())
        .await
        .unwrap();
    world.restart().await;
    let second = world
        .accounts
        .register(&caller, request.clone())
        .await
        .unwrap();
    assert_eq!(first.identity, second.identity);
    assert_eq!(first.refresh, second.refresh);
    assert_eq!(first.refresh_expires_at, second.refresh_expires_at);
    assert!(second.created);
    let sessions = list(&world, &second.identity).await;
    assert_eq!(sessions.len(), 1);
    assert_eq!(world.identify(&second).await.unwrap(), second.identity);

    let on_its_connection = super::Caller {
        identity: Some(first.identity.clone()),
        ..caller.clone()
    };
    world
        .accounts
        .register(&on_its_connection, request.clone())
        .await
        .unwrap();

    let ben = Register {
        username: "ben".to_owned(),
        ..request.clone()
    };
    let caller = keyed(world.anyone(), "key-1", &ben);
    let other_name = world.accounts.register(&caller, ben).await.unwrap();
    assert_ne!(
        other_name.identity.user, first.identity.user,
        "each name has its own keys"
    );

    for other in [
        Register {
            device: None,
            ..request.clone()
        },
        Register {
            password: "another password".to_owned(),
            ..request.clone()
        },
    ] {
        let caller = keyed(world.anyone(), "key-1", &other);
        assert_eq!(
            code(world.accounts.register(&caller, other).await),
            Code::KeyReused
        );
    }
    let login = login("ana", PASSWORD);
    let caller = keyed(world.anyone(), "key-1", &login);
    assert_eq!(
        code(world.accounts.login(&caller, login).await),
        Code::KeyReused
    );
}

#[tokio::test]
async fn a_registration_repeated_at_the_same_moment_is_one() {
    let world = World::new().await;
    let request = register("ana");
    let caller = keyed(world.anyone(), "key-1", &request);
    let calls = (0..10).map(|_| world.accounts.register(&caller, request.clone()));
    let results: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(
        results
            .iter()
            .all(|tokens| tokens.refresh == results[0].refresh)
    );
    assert_eq!(list(&world, &results[0].identity).await.len(), 1);
}

#[tokio::test]
async fn a_repetition_after_the_session_went_on_or_ended_gets_no_tokens() {
    let world = World::new().await;
    let request = register("ana");
    let caller = keyed(world.anyone(), "key-1", &request);
    let first = world
        .accounts
        .register(&caller, request.clone())
        .await
        .unwrap();
    let next = world.refresh(&first.refresh).await.unwrap();
    let late = world.accounts.register(&caller, request.clone()).await;
    assert_eq!(code(late), Code::TokenInvalid);
    world
        .refresh(&next.refresh)
        .await
        .expect("the session goes on");
    logout(&world, &next.identity).await;
    assert_eq!(
        code(world.accounts.register(&caller, request).await),
        Code::TokenInvalid
    );
}

#[tokio::test]
async fn a_repeated_login_is_one_session_and_still_checks_the_password() {
    let world = World::new().await;
    world.register("ana").await;
    let request = login("ana", PASSWORD);
    let caller = keyed(world.anyone(), "key-2", &request);
    let first = world
        .accounts
        .login(&caller, request.clone())
        .await
        .unwrap();
    let second = world
        .accounts
        .login(&caller, request.clone())
        .await
        .unwrap();
    assert_eq!(first.refresh, second.refresh);
    assert_eq!(list(&world, &first.identity).await.len(), 2);
    let wrong = Login {
        password: "wrong password".to_owned(),
        ..request
    };
    let caller = keyed(world.anyone(), "key-2", &wrong);
    assert_eq!(
        code(world.accounts.login(&caller, wrong).await),
        Code::WrongCredentials
    );
}

#[tokio::test]
async fn a_signed_in_connection_signs_in_no_one_else() {
    let world = World::new().await;
    let ana = world.register("ana").await;
    let ben = world.register("ben").await;
    let caller = world.signed_in(&ana.identity);
    assert_eq!(
        code(world.accounts.register(&caller, register("eve")).await),
        Code::AlreadySignedIn
    );
    assert_eq!(
        code(world.accounts.login(&caller, login("ben", PASSWORD)).await),
        Code::AlreadySignedIn
    );
    assert_eq!(
        code(
            world
                .accounts
                .login_guest(&caller, guest("0123456789abcdef"))
                .await
        ),
        Code::AlreadySignedIn
    );
    let refresh = super::RefreshTokens {
        refresh: ben.refresh.clone(),
    };
    assert_eq!(
        code(world.accounts.refresh_tokens(&caller, refresh).await),
        Code::AlreadySignedIn
    );
    let other = Authenticate {
        access: ben.access.clone(),
    };
    assert_eq!(
        code(world.accounts.authenticate(&caller, other).await),
        Code::AlreadySignedIn
    );
    let own = Authenticate {
        access: ana.access.clone(),
    };
    assert_eq!(
        world.accounts.authenticate(&caller, own).await.unwrap(),
        ana.identity
    );
    world
        .refresh(&ben.refresh)
        .await
        .expect("the refused refresh used nothing up");
}

#[tokio::test]
async fn a_guest_comes_back_and_becomes_a_named_account() {
    let world = World::new().await;
    let secret = "0123456789abcdef";
    let first = world.guest(secret).await;
    assert!(first.created && first.identity.guest);
    let second = world.guest(secret).await;
    assert!(!second.created);
    assert_eq!(first.identity.user, second.identity.user);

    let caller = world.signed_in(&second.identity);
    let account = world
        .accounts
        .upgrade_guest(&caller, upgrade("Ana"))
        .await
        .unwrap();
    assert_eq!(account.username.as_deref(), Some("Ana"));
    assert!(!account.guest);
    let ended = Told::AllEnded(account.user, Some(second.identity.session));
    assert_eq!(world.recorder.take(), [Told::Upgraded(account.user), ended]);
    assert!(!world.identify(&second).await.unwrap().guest);
    assert_eq!(code(world.identify(&first).await), Code::TokenInvalid);
    let named = world.login("ana", PASSWORD).await.unwrap();
    assert_eq!(named.identity.user, first.identity.user);
    let retired = world
        .accounts
        .login_guest(&world.anyone(), guest(secret))
        .await;
    assert_eq!(code(retired), Code::WrongCredentials);
    let twice = world.accounts.upgrade_guest(&caller, upgrade("ben")).await;
    assert_eq!(code(twice), Code::NotAGuest);
}

#[tokio::test]
async fn upgrades_collide_on_the_name_and_repeat_under_their_key() {
    let world = World::new().await;
    world.register("ana").await;
    let guests = [
        world.guest("0123456789abcdef").await,
        world.guest("fedcba9876543210").await,
    ];
    let callers: Vec<_> = guests
        .iter()
        .map(|guest| world.signed_in(&guest.identity))
        .collect();
    let taken = world
        .accounts
        .upgrade_guest(&callers[0], upgrade("ANA"))
        .await;
    assert_eq!(code(taken), Code::UsernameTaken);
    let both = join_all(
        callers
            .iter()
            .map(|caller| world.accounts.upgrade_guest(caller, upgrade("ben"))),
    )
    .await;
    assert_eq!(both.iter().filter(|result| result.is_ok()).count(), 1);
    for lost in both.into_iter().filter(Result::is_err) {
        assert_eq!(code(lost), Code::UsernameTaken);
    }

    let third = world.guest("a-third-device-secret").await;
    let request = upgrade("cleo");
    let caller = keyed(world.signed_in(&third.identity), "up", &request);
    let once = world
        .accounts
        .upgrade_guest(&caller, request.clone())
        .await
        .unwrap();
    let twice = world
        .accounts
        .upgrade_guest(&caller, request.clone())
        .await
        .unwrap();
    assert_eq!(once, twice);
    let other = UpgradeGuest {
        password: "another password".to_owned(),
        ..request
    };
    let caller = keyed(world.signed_in(&third.identity), "up", &other);
    assert_eq!(
        code(world.accounts.upgrade_guest(&caller, other).await),
        Code::KeyReused
    );
}

#[tokio::test]
async fn many_sign_ins_of_a_new_guest_make_one_account() {
    let world = World::new().await;
    let caller = world.anyone();
    let calls = (0..20).map(|_| {
        world
            .accounts
            .login_guest(&caller, guest("0123456789abcdef"))
    });
    let results: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(results.iter().filter(|tokens| tokens.created).count(), 1);
    assert!(
        results
            .iter()
            .all(|tokens| tokens.identity.user == results[0].identity.user)
    );

    let request = guest("another device secret");
    let caller = keyed(world.anyone(), "g", &request);
    let calls = (0..5).map(|_| world.accounts.login_guest(&caller, request.clone()));
    let results: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(
        results
            .iter()
            .all(|tokens| tokens.refresh == results[0].refresh && tokens.created)
    );
}

#[tokio::test]
async fn absurd_credentials_are_only_wrong() {
    let world = World::new().await;
    world.register("ana").await;
    let huge = "x".repeat(60_000);
    for (name, password) in [
        ("ana", ""),
        ("ana", "\0"),
        ("ana", huge.as_str()),
        ("", ""),
        (huge.as_str(), PASSWORD),
        ("a\0na", PASSWORD),
    ] {
        assert_eq!(
            code(world.login(name, password).await),
            Code::WrongCredentials
        );
    }
}

#[tokio::test]
async fn sessions_are_listed_revoked_and_ended() {
    let mut world = World::new().await;
    let one = world.register("ana").await;
    world.now += MINUTE;
    let two = world.login("ana", PASSWORD).await.unwrap();
    world.now += MINUTE;
    let one = world.refresh(&one.refresh).await.unwrap();
    let sessions = list(&world, &two.identity).await;
    assert_eq!(
        sessions.iter().map(|s| s.session).collect::<Vec<_>>(),
        [one.identity.session, two.identity.session]
    );
    assert_eq!(
        sessions.iter().map(|s| s.current).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(sessions[0].device.as_deref(), Some("phone"));
    assert_eq!(sessions[0].address.as_deref(), Some("192.0.2.7"));
    assert_eq!(sessions[0].used_at - sessions[0].created_at, 2 * MINUTE);

    let caller = world.signed_in(&two.identity);
    let revoke = RevokeSession {
        session: one.identity.session,
    };
    world
        .accounts
        .revoke_session(&caller, revoke.clone())
        .await
        .unwrap();
    assert_eq!(
        world.recorder.take(),
        [Told::Ended(one.identity.user, one.identity.session)]
    );
    assert_eq!(
        code(world.identify(&one).await),
        Code::TokenInvalid,
        "at once, not when it runs out"
    );
    assert_eq!(code(world.refresh(&one.refresh).await), Code::TokenInvalid);
    assert_eq!(
        code(world.accounts.revoke_session(&caller, revoke).await),
        Code::NotFound
    );

    let ben = world.register("ben").await;
    let foreign = RevokeSession {
        session: two.identity.session,
    };
    let stranger = world.signed_in(&ben.identity);
    assert_eq!(
        code(world.accounts.revoke_session(&stranger, foreign).await),
        Code::NotFound
    );

    let three = world.login("ana", PASSWORD).await.unwrap();
    world
        .accounts
        .logout_everywhere(&caller, LogoutEverywhere {})
        .await
        .unwrap();
    assert_eq!(
        world.recorder.take(),
        [Told::AllEnded(two.identity.user, None)]
    );
    for tokens in [two, three] {
        assert_eq!(code(world.identify(&tokens).await), Code::TokenInvalid);
    }
    world.identify(&ben).await.expect("others go on");
}

#[tokio::test]
async fn logout_ends_its_own_session_only() {
    let world = World::new().await;
    let one = world.register("ana").await;
    let two = world.login("ana", PASSWORD).await.unwrap();
    logout(&world, &one.identity).await;
    assert_eq!(
        world.recorder.take(),
        [Told::Ended(one.identity.user, one.identity.session)]
    );
    assert_eq!(code(world.identify(&one).await), Code::TokenInvalid);
    world.identify(&two).await.unwrap();
    logout(&world, &one.identity).await;
}

#[tokio::test]
async fn what_has_ended_is_told_though_its_caller_has_gone() {
    let world = World::new().await;
    let ana = world.register("ana").await;
    let other = world.login("ana", PASSWORD).await.unwrap();
    world.recorder.take();
    let caller = world.signed_in(&ana.identity);
    let session = other.identity.session;
    let revoking = world
        .accounts
        .revoke_session(&caller, RevokeSession { session });
    // The call has begun, and nobody waits for it any more.
    assert_eq!(revoking.now_or_never(), None);
    for _ in 0..500 {
        let told = world.recorder.take();
        if !told.is_empty() {
            assert_eq!(told, [Told::Ended(ana.identity.user, session)]);
            assert_eq!(code(world.identify(&other).await), Code::TokenInvalid);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nobody was told");
}

#[tokio::test]
async fn an_identity_is_confirmed_as_it_is_now() {
    let world = World::new().await;
    let root = world.register("root").await;
    let ana = world.register("ana").await;
    let promote = SetRole {
        user: ana.identity.user,
        role: Role::Moderator,
    };
    let admin = world.signed_in(&root.identity);
    world.accounts.set_role(&admin, promote).await.unwrap();
    let (at, accounts) = (world.now, &world.accounts);
    let (now, _) = accounts.confirm(ana.identity.clone(), at).await.unwrap();
    assert_eq!(now.role, Role::Moderator);
    logout(&world, &ana.identity).await;
    let ended = accounts.confirm(ana.identity, at).await;
    assert_eq!(code(ended), Code::TokenInvalid);
}

#[tokio::test]
async fn an_account_has_a_bounded_number_of_sessions() {
    let mut world = World::new().await;
    let first = world.guest("0123456789abcdef").await;
    for _ in 0..SESSIONS_MAX {
        world.now += 1;
        world.guest("0123456789abcdef").await;
    }
    assert_eq!(list(&world, &first.identity).await.len(), SESSIONS_MAX);
    assert_eq!(
        world.recorder.take(),
        [Told::Ended(first.identity.user, first.identity.session)]
    );
    world.now += 91 * DAY;
    let last = world.guest("0123456789abcdef").await;
    assert_eq!(
        list(&world, &last.identity).await.len(),
        1,
        "those that ran out are gone"
    );
}

#[tokio::test]
async fn names_in_the_configuration_are_admins() {
    let world = World::new().await;
    let root = world.register("ROOT").await;
    assert_eq!(root.identity.role, Role::Admin);
    assert_eq!(world.identify(&root).await.unwrap().role, Role::Admin);
    let mut config = super::config();
    config.admins = vec![super::name("ana")];
    let world = World::with(super::config()).await;
    let ana = world.register("ana").await;
    assert_eq!(ana.identity.role, Role::Player);
    let mut world = World { config, ..world };
    world.restart().await;
    let ana = world.login("ana", PASSWORD).await.unwrap();
    assert_eq!(ana.identity.role, Role::Admin);
}

fn upgrade(username: &str) -> UpgradeGuest {
    UpgradeGuest {
        username: username.to_owned(),
        password: PASSWORD.to_owned(),
        email: None,
    }
}

async fn list(
    world: &World,
    identity: &super::Identity,
) -> Vec<pitturu_protocol::types::accounts::Session> {
    let caller = world.signed_in(identity);
    world
        .accounts
        .list_sessions(&caller, ListSessions {})
        .await
        .unwrap()
        .sessions
}

async fn logout(world: &World, identity: &super::Identity) {
    let caller = world.signed_in(identity);
    assert_eq!(world.accounts.logout(&caller, Logout {}).await, Ok(Done {}));
}
