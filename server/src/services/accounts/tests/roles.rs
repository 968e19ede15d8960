//! Roles, which one entity decides and others show.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::accounts::{Role, SetRole, SignedIn, UpgradeGuest};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_rules::accounts::{RoleChange, Shown};
use pitturu_store::entities::Entities as _;
use pitturu_store::memory::Memory;

use super::{PASSWORD, Recorder, START, Told, World, code, keyed};
use crate::connections::address::Address;
use crate::io_threads::IoThreads;
use crate::owners::signals::{Routes, wake_senders};
use crate::players::command::Ask;
use crate::players::staff::{self, StaffOwner};
use crate::players::store::PlayerStore;
use crate::players::tests::without_rooms;
use crate::players::{self, PlayerOwners};

fn role_of(who: &SignedIn, role: Role) -> SetRole {
    SetRole {
        user: who.identity.user,
        role,
    }
}

#[tokio::test]
async fn a_repeated_role_is_set_once() {
    let mut world = World::new().await;
    let root = world.register("root").await;
    let ana = world.register("ana").await;
    world.recorder.take();
    let moderator = role_of(&ana, Role::Moderator);
    let first = keyed(world.signed_in(&root.identity), "m", &moderator);
    world
        .accounts
        .set_role(&first, moderator.clone())
        .await
        .unwrap();
    let back = role_of(&ana, Role::Player);
    let caller = world.signed_in(&root.identity);
    world.accounts.set_role(&caller, back).await.unwrap();
    for _ in 0..2 {
        let again = world.accounts.set_role(&first, moderator.clone());
        again.await.unwrap();
        assert_eq!(world.identify(&ana).await.unwrap().role, Role::Player);
        world.restart().await;
    }
    let inbox = world.players.inbox_after(ana.identity.user, 0, 10).await;
    let roles = inbox.unwrap().into_iter().map(|added| added.entry);
    let changed = |role| InboxEntry::RoleChanged { role };
    assert_eq!(
        roles.collect::<Vec<_>>(),
        [changed(Role::Moderator), changed(Role::Player)]
    );
    let told = [Role::Moderator, Role::Player].map(|role| Told::Role(ana.identity.user, role));
    assert_eq!(world.recorder.take(), told);
    let other = role_of(&ana, Role::Admin);
    let caller = keyed(world.signed_in(&root.identity), "m", &other);
    let reused = world.accounts.set_role(&caller, other).await;
    assert_eq!(code(reused), Code::KeyReused);
}

#[tokio::test]
async fn an_admin_of_the_configuration_is_the_last_one_too() {
    let mut world = World::new().await;
    let root = world.register("root").await;
    world.restart().await;
    let caller = world.signed_in(&root.identity);
    let step_down = || {
        world
            .accounts
            .set_role(&caller, role_of(&root, Role::Player))
    };
    assert_eq!(code(step_down().await), Code::InvalidArgument);
    // The configuration gives the role to one who has a name already.
    let ana = world.register("ana").await;
    world.config.admins.push(super::name("ana"));
    world.restart().await;
    let again = world.login("ana", PASSWORD).await.unwrap();
    assert_eq!(world.identify(&ana).await.unwrap().role, Role::Admin);
    let step_down = world
        .accounts
        .set_role(&caller, role_of(&root, Role::Player));
    step_down.await.unwrap();
    let caller = world.signed_in(&again.identity);
    let last = world
        .accounts
        .set_role(&caller, role_of(&ana, Role::Moderator))
        .await;
    assert_eq!(code(last), Code::InvalidArgument);
}

#[tokio::test]
async fn a_demoted_admin_of_the_configuration_stays_demoted() {
    let mut config = super::config();
    config.admins.extend(["Deputy", "Third"].map(super::name));
    let mut world = World::with(config).await;
    let root = world.register("root").await;
    let deputy = world.register("deputy").await;
    assert_eq!(deputy.identity.role, Role::Admin);
    for role in [Role::Player, Role::Moderator] {
        let caller = world.signed_in(&root.identity);
        let set = world.accounts.set_role(&caller, role_of(&deputy, role));
        set.await.unwrap();
        for _ in 0..2 {
            let again = world.login("deputy", PASSWORD).await.unwrap();
            assert_eq!(again.identity.role, role);
            world.restart().await;
        }
    }
    // So does a guest who was one before the name was.
    let guest = world.guest("0123456789abcdef").await;
    for role in [Role::Moderator, Role::Player] {
        let caller = world.signed_in(&root.identity);
        let set = world.accounts.set_role(&caller, role_of(&guest, role));
        set.await.unwrap();
    }
    let upgrade = UpgradeGuest {
        username: "third".to_owned(),
        password: PASSWORD.to_owned(),
        email: None,
    };
    let caller = world.signed_in(&guest.identity);
    let account = world
        .accounts
        .upgrade_guest(&caller, upgrade)
        .await
        .unwrap();
    assert_eq!(account.role, Role::Player);
}

/// Players and staff over a store in memory.
fn over(memory: &Memory, io_threads: &IoThreads) -> (PlayerStore, PlayerOwners, StaffOwner) {
    let store = PlayerStore::new(Arc::new(memory.clone()));
    let routes = Arc::new(Routes::default());
    let environment = players::Environment {
        players: store.clone(),
        game: Arc::default(),
        direct_rooms: without_rooms(&routes),
        routes,
        notifier: Arc::new(Recorder::default()),
    };
    let owners = players::start(io_threads, 1, &environment);
    let staff = staff::start(io_threads, &environment);
    let (announce_players, announce_staff) = (owners.announcer(), staff.announcer());
    assert!(memory.listen_to_reports(Box::new(move || {
        announce_players();
        announce_staff();
    })));
    let entities = Arc::clone(store.entities());
    tokio::spawn(wake_senders(entities, Arc::clone(&environment.routes)));
    (store, owners, staff)
}

#[tokio::test]
async fn a_role_that_was_decided_reaches_the_player_after_a_crash() {
    let (io_threads, _threads) = IoThreads::start(1).unwrap();
    let memory = Memory::new();
    let world = World::new().await;
    let ana = world.guest("0123456789abcdef").await.identity.user;
    let account = world.players.account(ana).await.unwrap().unwrap();
    let session = world.players.sessions(ana).await.unwrap().remove(0);
    let (_, owners, _) = over(&memory, &io_threads);
    let create = players::command::AccountAsk::Create(Box::new(account), session);
    let create = Ask::Account(Box::new(create), (&world.anyone()).into());
    owners.ask(ana, create, None, START).await.unwrap();
    let role = |store: PlayerStore| async move {
        let account = store.account(ana).await.unwrap();
        account.unwrap().role
    };

    // The player's entity can't be loaded after this restart, but the staff is.
    let memory = memory.restart();
    let (store, _owners, staff) = over(&memory, &io_threads);
    let change = |role| RoleChange {
        by: Shown {
            user: UserId::from_bytes([9; 10]),
            role: Role::Admin,
        },
        of: Shown {
            user: ana,
            role: Role::Player,
        },
        role,
    };
    let address = Address::from(Ipv4Addr::LOCALHOST);
    loop {
        memory.fail_loads(0);
        let as_it_is = staff.set_role(change(Role::Player), address, None, START);
        assert_eq!(as_it_is.await, Ok(false));
        memory.fail_loads(1_000);
        let set = staff.set_role(change(Role::Moderator), address, None, START);
        match set.await {
            Ok(is_new) => {
                assert!(is_new, "it is decided");
                break;
            }
            // The staff has left memory before the call came.
            Err(fault) => assert_eq!(fault.code, Code::StorageUnavailable),
        }
    }
    assert_eq!(role(store).await, Role::Player, "not told yet");

    let memory = memory.crash(|_| false);
    let (store, _owners, _staff) = over(&memory, &io_threads);
    for _ in 0..500 {
        if role(store.clone()).await == Role::Moderator {
            let inbox = store.inbox_after(ana, 0, 10).await.unwrap();
            assert_eq!(inbox.len(), 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the player never heard of the role");
}
