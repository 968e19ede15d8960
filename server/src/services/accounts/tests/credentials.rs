use std::collections::HashSet;
use std::net::Ipv4Addr;

use futures_util::future::join_all;
use pitturu_protocol::codes::Code;
use pitturu_protocol::types::accounts::{
    ChangePassword, IssuePasswordReset, RequestPasswordReset, ResetPassword, Role, SetRole,
    UpgradeGuest,
};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_store::master_keys::MasterKeys;

use super::{Caller, MINUTE, PASSWORD, Told, World, code, keyed};
use crate::services::accounts::masters::Masters;
use crate::services::accounts::{AccountService, Keys, Players};
use crate::services::deletions::Deletions;

const NEW: &str = "battery staple";

fn change(old: &str, new: &str) -> ChangePassword {
    ChangePassword {
        old: old.to_owned(),
        new: new.to_owned(),
    }
}

fn ask(username: &str) -> RequestPasswordReset {
    RequestPasswordReset {
        username: username.to_owned(),
    }
}

fn reset(token: &str, password: &str) -> ResetPassword {
    ResetPassword {
        token: token.to_owned(),
        password: password.to_owned(),
    }
}

async fn token(world: &World, username: &str) -> String {
    let caller = world.anyone();
    world
        .accounts
        .request_password_reset(&caller, ask(username))
        .await
        .unwrap();
    world
        .recorder
        .deliveries
        .lock()
        .unwrap()
        .pop()
        .unwrap()
        .token
        .0
}

#[tokio::test]
async fn an_upgrade_ends_what_a_copied_secret_has_opened() {
    let world = World::new().await;
    let secret = "0123456789abcdef";
    let (own, copied) = (world.guest(secret).await, world.guest(secret).await);
    world.recorder.take();
    let upgrade = UpgradeGuest {
        username: "ana".to_owned(),
        password: PASSWORD.to_owned(),
        email: None,
    };
    let caller = world.signed_in(&own.identity);
    world
        .accounts
        .upgrade_guest(&caller, upgrade)
        .await
        .unwrap();
    assert_eq!(code(world.identify(&copied).await), Code::TokenInvalid);
    assert_eq!(
        code(world.refresh(&copied.refresh).await),
        Code::TokenInvalid
    );
    let ended = Told::AllEnded(own.identity.user, Some(own.identity.session));
    assert!(world.recorder.take().contains(&ended));
    world.identify(&own).await.unwrap();
    world.refresh(&own.refresh).await.unwrap();
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions() {
    let world = World::new().await;
    let one = world.register("ana").await;
    let two = world.login("ana", PASSWORD).await.unwrap();
    let caller = world.signed_in(&two.identity);
    let wrong = world
        .accounts
        .change_password(&caller, change("wrong password", NEW))
        .await;
    assert_eq!(code(wrong), Code::WrongCredentials);

    world
        .accounts
        .change_password(&caller, change(PASSWORD, NEW))
        .await
        .unwrap();
    let user = one.identity.user;
    assert_eq!(
        world.recorder.take(),
        [Told::AllEnded(user, Some(two.identity.session))]
    );
    assert_eq!(code(world.identify(&one).await), Code::TokenInvalid);
    world.identify(&two).await.unwrap();
    assert_eq!(
        code(world.login("ana", PASSWORD).await),
        Code::WrongCredentials
    );
    world.login("ana", NEW).await.unwrap();

    let guest = world.guest("0123456789abcdef").await;
    let caller = world.signed_in(&guest.identity);
    assert_eq!(
        code(
            world
                .accounts
                .change_password(&caller, change("", NEW))
                .await
        ),
        Code::Forbidden
    );
}

#[tokio::test]
async fn a_repeated_change_is_done_once_and_another_under_its_key_is_refused() {
    let world = World::new().await;
    let ana = world.register("ana").await;
    let request = change(PASSWORD, NEW);
    let caller = keyed(world.signed_in(&ana.identity), "c", &request);
    world
        .accounts
        .change_password(&caller, request.clone())
        .await
        .unwrap();
    let later = world.login("ana", NEW).await.unwrap();
    world
        .accounts
        .change_password(&caller, request)
        .await
        .unwrap();
    world
        .identify(&later)
        .await
        .expect("the repetition ends nothing");
    let other = change(NEW, "a third password");
    let caller = keyed(world.signed_in(&ana.identity), "c", &other);
    assert_eq!(
        code(world.accounts.change_password(&caller, other).await),
        Code::KeyReused
    );
}

#[tokio::test]
async fn of_two_changes_at_once_one_wins() {
    let world = World::new().await;
    let ana = world.register("ana").await;
    let caller = world.signed_in(&ana.identity);
    let results = join_all(["password one", "password two"].map(|new| {
        world
            .accounts
            .change_password(&caller, change(PASSWORD, new))
    }))
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let lost = results.into_iter().find(Result::is_err).unwrap();
    assert_eq!(code(lost), Code::WrongCredentials);
}

#[tokio::test]
async fn a_reset_token_works_once_and_ends_all_sessions() {
    let world = World::new().await;
    let ana = world.register("ana").await;
    let caller = world.anyone();
    for _ in 0..20 {
        world.login("ana", "wrong password").await.unwrap_err();
    }
    let token = token(&world, "ANA").await;
    let second = self::token(&world, "ana").await;
    assert_ne!(token, second);
    world
        .accounts
        .reset_password(&caller, reset(&token, NEW))
        .await
        .unwrap();
    assert_eq!(
        world.recorder.take(),
        [Told::AllEnded(ana.identity.user, None)]
    );
    assert_eq!(code(world.identify(&ana).await), Code::TokenInvalid);
    world.login("ana", NEW).await.expect("the lock-out is over");
    for used in [&token, &second] {
        let result = world
            .accounts
            .reset_password(&caller, reset(used, "a third password"))
            .await;
        assert_eq!(
            code(result),
            Code::TokenInvalid,
            "no token outlives the reset"
        );
    }
}

#[tokio::test]
async fn a_repeated_reset_is_done_once() {
    let world = World::new().await;
    world.register("ana").await;
    let token = token(&world, "ana").await;
    let request = reset(&token, NEW);
    let caller = keyed(world.anyone(), "r", &request);
    world
        .accounts
        .reset_password(&caller, request.clone())
        .await
        .unwrap();
    let later = world.login("ana", NEW).await.unwrap();
    world
        .accounts
        .reset_password(&caller, request)
        .await
        .unwrap();
    world
        .identify(&later)
        .await
        .expect("the repetition ends nothing");
    let other = reset(&token, "a third password");
    let caller = keyed(world.anyone(), "r", &other);
    assert_eq!(
        code(world.accounts.reset_password(&caller, other).await),
        Code::KeyReused
    );
}

#[tokio::test]
async fn of_two_resets_with_one_token_one_wins() {
    let world = World::new().await;
    world.register("ana").await;
    let token = token(&world, "ana").await;
    let caller = world.anyone();
    let results = join_all(["password one", "password two"].map(|password| {
        world
            .accounts
            .reset_password(&caller, reset(&token, password))
    }))
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

#[tokio::test]
async fn reset_tokens_run_out_and_are_swept() {
    let mut world = World::new().await;
    world.register("ana").await;
    let first = token(&world, "ana").await;
    world.now += 60 * MINUTE;
    let caller = world.anyone();
    let result = world
        .accounts
        .reset_password(&caller, reset(&first, NEW))
        .await;
    assert_eq!(code(result), Code::TokenExpired);
    let second = token(&world, "ana").await;
    world.accounts.maintain(world.now).await.unwrap();
    let result = world
        .accounts
        .reset_password(&caller, reset(&first, NEW))
        .await;
    assert_eq!(code(result), Code::TokenInvalid, "swept");
    world
        .accounts
        .reset_password(&caller, reset(&second, NEW))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_password_change_makes_reset_tokens_void() {
    let world = World::new().await;
    let ana = world.register("ana").await;
    let token = token(&world, "ana").await;
    let caller = world.signed_in(&ana.identity);
    world
        .accounts
        .change_password(&caller, change(PASSWORD, NEW))
        .await
        .unwrap();
    let result = world
        .accounts
        .reset_password(&world.anyone(), reset(&token, "a third password"))
        .await;
    assert_eq!(code(result), Code::TokenInvalid);
}

#[tokio::test]
async fn unknown_names_get_the_same_answer_and_nothing_is_sent() {
    let world = World::new().await;
    world.register("ana").await;
    let caller = world.anyone();
    for name in ["nobody", "", "a b c", &"x".repeat(60_000)] {
        world
            .accounts
            .request_password_reset(&caller, ask(name))
            .await
            .unwrap();
    }
    assert!(world.recorder.deliveries.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nobody_can_fill_a_mailbox() {
    let world = World::new().await;
    world.register("ana").await;
    let mut refused = 0;
    for network in 0..50 {
        let caller = Caller {
            address: Ipv4Addr::new(203, 0, 113, network).into(),
            ..world.anyone()
        };
        for _ in 0..4 {
            let asked = world.accounts.request_password_reset(&caller, ask("ana"));
            refused += usize::from(asked.await.is_err());
        }
    }
    let sent = world.recorder.deliveries.lock().unwrap().len();
    assert_eq!((sent, refused), (13, 187));
}

#[tokio::test]
async fn a_repeated_request_sends_once() {
    let world = World::new().await;
    world.register("ana").await;
    let caller = keyed(world.anyone(), "q", &ask("ana"));
    for _ in 0..3 {
        world
            .accounts
            .request_password_reset(&caller, ask("ana"))
            .await
            .unwrap();
    }
    let sent = std::mem::take(&mut *world.recorder.deliveries.lock().unwrap());
    assert_eq!(sent.len(), 1);
    // Whether or not there is such an account, the key is used up for its name.
    for name in ["ana", "nobody"] {
        let caller = keyed(world.anyone(), "q", &ask(name));
        let asked = world.accounts.request_password_reset(&caller, ask(name));
        asked.await.unwrap();
        let login = super::login(name, PASSWORD);
        let caller = keyed(world.anyone(), "q", &login);
        let result = world.accounts.login(&caller, login).await;
        assert_eq!(code(result), Code::KeyReused, "{name}");
    }
    assert_eq!(world.recorder.deliveries.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn without_a_courier_resets_are_unavailable() {
    let world = World::new().await;
    let keys = Keys {
        signing: std::sync::Arc::new(world.store.clone()),
        masters: Masters::new(MasterKeys::in_memory([7; 32])),
    };
    let accounts = AccountService::open(
        keys,
        Players::new(world.players.clone(), world.player_owners.clone()),
        (world.staff.clone(), world.audit_log.clone()),
        None,
        (super::config(), Deletions::new(0, HashSet::new())),
        world.now,
    )
    .await
    .unwrap();
    let result = accounts
        .request_password_reset(&world.anyone(), ask("ana"))
        .await;
    assert_eq!(code(result), Code::Unavailable);
}

#[tokio::test]
async fn an_admin_issues_a_token_and_a_repetition_gets_the_same() {
    let world = World::new().await;
    let root = world.register("root").await;
    let ana = world.register("ana").await;
    let request = IssuePasswordReset {
        user: ana.identity.user,
    };
    let caller = keyed(world.signed_in(&root.identity), "i", &request);
    let first = world
        .accounts
        .issue_password_reset(&caller, request.clone())
        .await
        .unwrap();
    let second = world
        .accounts
        .issue_password_reset(&caller, request)
        .await
        .unwrap();
    assert_eq!(first, second);
    world
        .accounts
        .reset_password(&world.anyone(), reset(&first.token, NEW))
        .await
        .unwrap();
    world.login("ana", NEW).await.unwrap();

    let guest = world.guest("0123456789abcdef").await;
    let unknown = pitturu_protocol::ids::UserId::from_bytes([5; 10]);
    for (user, expected) in [
        (guest.identity.user, Code::InvalidArgument),
        (unknown, Code::NotFound),
    ] {
        let caller = world.signed_in(&root.identity);
        let result = world
            .accounts
            .issue_password_reset(&caller, IssuePasswordReset { user })
            .await;
        assert_eq!(code(result), expected);
    }
}

#[tokio::test]
async fn roles_change_at_once_and_the_last_admin_stays() {
    let world = World::new().await;
    let root = world.register("root").await;
    let ana = world.register("ana").await;
    let caller = world.signed_in(&root.identity);
    let set = |user, role| world.accounts.set_role(&caller, SetRole { user, role });
    assert_eq!(
        code(set(root.identity.user, Role::Player).await),
        Code::InvalidArgument
    );
    set(ana.identity.user, Role::Admin).await.unwrap();
    assert_eq!(
        world.recorder.take(),
        [Told::Role(ana.identity.user, Role::Admin)]
    );
    assert_eq!(world.identify(&ana).await.unwrap().role, Role::Admin);
    set(ana.identity.user, Role::Admin).await.unwrap();
    assert!(world.recorder.take().is_empty(), "nothing has changed");
    set(root.identity.user, Role::Moderator).await.unwrap();
    let back = set(root.identity.user, Role::Admin).await;
    assert_eq!(code(back), Code::Forbidden);
    let own = world.signed_in(&ana.identity);
    let own = Caller {
        identity: Some(world.identify(&ana).await.unwrap()),
        ..own
    };
    let set = |user, role| world.accounts.set_role(&own, SetRole { user, role });
    assert_eq!(
        code(set(ana.identity.user, Role::Player).await),
        Code::InvalidArgument
    );
    let unknown = pitturu_protocol::ids::UserId::from_bytes([5; 10]);
    assert_eq!(code(set(unknown, Role::Player).await), Code::NotFound);
    let inbox = world
        .players
        .inbox_after(ana.identity.user, 0, 10)
        .await
        .unwrap();
    assert_eq!(inbox.len(), 1);
    assert_eq!(
        inbox[0].entry,
        InboxEntry::RoleChanged { role: Role::Admin }
    );
}

#[tokio::test]
async fn a_new_cost_renews_the_hash_at_the_next_sign_in() {
    let mut world = World::new().await;
    let ana = world.register("ana").await;
    world.config.passwords.cost = 5;
    world.restart().await;
    world.login("ana", PASSWORD).await.unwrap();
    let login = world
        .players
        .account(ana.identity.user)
        .await
        .unwrap()
        .unwrap()
        .login
        .unwrap();
    assert!(
        login.password.0.starts_with("$2b$05$"),
        "{}",
        login.password.0
    );
    world.login("ana", PASSWORD).await.unwrap();
    world.identify(&ana).await.expect("sessions go on");
}
