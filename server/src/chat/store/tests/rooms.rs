//! Rooms and their members, and how commits to them behave.

use std::sync::Arc;

use pitturu_protocol::limits::{RETENTION_MS_MAX, TIME_MS_MAX};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::chat::{BanMember, CreateRoom, MemberRole, Retention, RoomKind};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_rules::rooms::rows::{Change, ChangeRow, MemberState, RoomRow, RoomRows, SanctionRow};
use pitturu_rules::rooms::{Actor, ChatLimits, Effects, Room, Target};
use pitturu_rules::signals::PlayerSignal;
use pitturu_store::StoreError;
use pitturu_store::entities::{Bounds, Commit, Fence, KeyedRequest, KeyedResult, Signal};

use super::{Owner, is_conflict, member, message, room, room_row, user};
use crate::chat::store::{RoomStore, entity};
use crate::players::{
    self,
    tests::stored::{Stored, on_both_stores},
};

on_both_stores! {
    unknown_rooms_are_empty,
    a_room_without_settings_is_damaged,
    a_room_comes_back_as_it_was_written,
    writes_are_whole_or_refused,
    members_come_and_go,
    large_rooms_load,
}

async fn unknown_rooms_are_empty(store: impl Stored) {
    let rooms = RoomStore::new(store.entities());
    let unknown = room(1);
    assert_eq!(rooms.load(unknown, Bounds::rows(9)).await.unwrap(), None);
    assert!(rooms.summaries(&[unknown]).await.unwrap().is_empty());
    assert_eq!(rooms.places(user(1), &[unknown]).await.unwrap(), [None]);
    assert!(rooms.rooms_page(None, 9).await.unwrap().is_empty());
    let after = rooms.messages_after(unknown, 0, 9, 9_999).await.unwrap();
    assert!(after.is_empty());
    let before = rooms.messages_before(unknown, u64::MAX, 9, 9_999).await;
    assert!(before.unwrap().is_empty());
    assert_eq!(rooms.message(unknown, 1).await.unwrap(), None);
    let changes = rooms.changes_after(unknown, 0, 9, 9_999).await.unwrap();
    assert!(changes.is_empty());
    assert_eq!(rooms.seq_at_time(unknown, 1).await.unwrap(), 1);
    let reactions = rooms.reactions(unknown, 1, None, 9).await.unwrap();
    assert!(reactions.is_empty());
    rooms.remove_between(unknown, 0, 1).await.unwrap();
    assert!(!store.entities().sweep(0).await.unwrap());
    // What rests on a commit that there is not is refused.
    let mut orphan = Owner::of(&rooms, unknown).await;
    drop(orphan.journal.next());
    let sent = RoomRows {
        message: Some(message(1, "nowhere")),
        ..RoomRows::default()
    };
    assert!(is_conflict(&orphan.write(sent).await));
    assert_eq!(rooms.load(unknown, Bounds::rows(9)).await.unwrap(), None);
}

async fn a_room_without_settings_is_damaged(store: impl Stored) {
    let rooms = RoomStore::new(store.entities());
    let mut owner = Owner::of(&rooms, room(1)).await;
    owner.send(message(1, "first")).await;
    let loaded = rooms.load(room(1), Bounds::rows(9)).await;
    assert!(matches!(loaded, Err(StoreError::Damaged(_))), "{loaded:?}");
    assert!(rooms.summaries(&[room(1)]).await.unwrap().is_empty());
}

async fn a_room_comes_back_as_it_was_written(mut store: impl Stored) {
    let row = RoomRow {
        kind: RoomKind::Direct,
        topic: Some("주제".to_owned()),
        slow_mode_ms: 1_500,
        retention: Retention {
            age_ms: Some(RETENTION_MS_MAX),
            messages: None,
        },
        created_at: TIME_MS_MAX,
        peers: Some([user(1), user(2)]),
        ..room_row(room(1), "name \0 \u{10ffff}")
    };
    let mut banned = member(
        user(3),
        MemberState::Banned {
            by: user(1),
            until: None,
            reason: Some(String::new()),
        },
    );
    banned.muted_until = Some(7);
    banned.invited_by = Some(user(2));
    banned.role = MemberRole::Owner;
    banned.read = 12;
    let joined = member(user(1), MemberState::Member);
    let mut sent = message(1, "첫");
    sent.msg.data = Some(vec![0, 255]);
    sent.msg.reply_to = Some(1);
    let first = RoomRows {
        row: Some(row.clone()),
        joined: Some(1),
        members: vec![banned.clone(), joined.clone()],
        message: Some(sent.clone()),
        ..RoomRows::default()
    };
    let rooms = RoomStore::new(store.entities());
    Owner::of(&rooms, room(1)).await.write(first).await.unwrap();

    for _ in 0..2 {
        let rooms = RoomStore::new(store.entities());
        let loaded = rooms.load(room(1), Bounds::rows(9)).await.unwrap().unwrap();
        let stored = loaded.stored;
        assert_eq!(stored.row, row);
        let in_order = [joined.clone(), banned.clone()];
        assert_eq!(stored.members, in_order, "in the order of their ids");
        assert_eq!((stored.head, stored.rev, stored.last_at), (1, 0, 10));
        assert_eq!((stored.first, stored.changes_first), (1, 1));
        assert_eq!(stored.last.as_ref(), Some(&sent));
        assert_eq!(loaded.recent, [sent.clone()]);
        let summaries = rooms.summaries(&[room(9), room(1)]).await.unwrap();
        let [summary] = summaries.as_slice() else {
            panic!("one of them is there: {summaries:?}");
        };
        assert_eq!((summary.members, summary.head), (1, 1));
        assert_eq!(summary.row, row);
        assert_eq!(summary.last.as_ref(), Some(&sent));
        store.restart();
    }
}

fn target(number: u16) -> Target {
    Target {
        user: user(number),
        exists: true,
        is_blocked: false,
        role: Role::Player,
    }
}

/// A commit that changes something of everything.
fn full() -> RoomRows {
    RoomRows {
        row: Some(room_row(room(1), "renamed")),
        row_before: Some(room_row(room(1), "hall")),
        joined: Some(1),
        members: vec![member(user(5), MemberState::Member)],
        message: Some(message(2, "two")),
        updated: vec![message(1, "changed")],
        change: Some(ChangeRow {
            rev: 1,
            at_seq: 1,
            at: 1,
            change: Change::Deleted {
                seq: 1,
                by: user(1),
            },
        }),
        sanctions: vec![(
            user(6),
            Some(SanctionRow {
                muted_until: Some(7),
                ..SanctionRow::none(user(6))
            }),
        )],
        deleted: vec![(1, true)],
        reactions: vec![(1, user(5), vec!["👍".to_owned()])],
    }
}

/// What a full commit carries beside its rows.
fn with_result_and_signal(commit: &mut Commit) {
    commit.results.push(KeyedResult {
        user: user(5),
        key: "key".into(),
        method: 1,
        request: KeyedRequest::Hash([0; 16]),
        reply: vec![1],
    });
    commit.signals.push(Signal {
        to: players::entity(user(5)),
        body: vec![7],
    });
}

async fn writes_are_whole_or_refused(store: impl Stored) {
    let entities = store.entities();
    let rooms = RoomStore::new(store.entities());
    let mut owner = Owner::create(&rooms, room_row(room(1), "hall")).await;
    owner.send(message(1, "one")).await;
    let mut gap = full();
    gap.message.as_mut().unwrap().msg.seq = 3;
    let mut gap_in_changes = full();
    gap_in_changes.change.as_mut().unwrap().rev = 2;
    let mut not_there = full();
    not_there.updated = vec![message(9, "not sent yet")];
    let foreign: Fence = {
        // A fence of another store, which no failure has raised as often.
        let other = pitturu_store::memory::Memory::new();
        for _ in 0..9 {
            other.fail_commits(1, pitturu_store::memory::Failure::Lost);
            let other = RoomStore::new(Arc::new(other.clone()));
            let mut owner = Owner::of(&other, room(1)).await;
            owner.write(full()).await.unwrap_err();
        }
        pitturu_store::entities::Entities::fence(&other)
    };
    type Wrong = (RoomRows, Box<dyn Fn(&mut Commit)>);
    let wrong: [Wrong; 7] = [
        (gap, Box::new(|_| {})),
        (gap_in_changes, Box::new(|_| {})),
        (not_there, Box::new(|_| {})),
        (full(), Box::new(|commit| commit.version += 1)),
        (full(), Box::new(|commit| commit.version -= 1)),
        (full(), Box::new(|commit| commit.incarnation ^= 1)),
        (full(), Box::new(move |commit| commit.fence = foreign)),
    ];
    let before = rooms.load(room(1), Bounds::rows(9)).await.unwrap();
    for (index, (rows, more)) in wrong.into_iter().enumerate() {
        let mut owner = Owner::of(&rooms, room(1)).await;
        let outcome = owner.hand_over(&rows, |commit| {
            with_result_and_signal(commit);
            more(commit);
        });
        let refused = outcome.await.unwrap();
        assert!(is_conflict(&refused), "{index}: {refused:?}");
        let now = rooms.load(room(1), Bounds::rows(9)).await.unwrap();
        assert_eq!(now, before, "{index}");
        let one = rooms.message(room(1), 1).await.unwrap().unwrap();
        assert_eq!(one.msg.text, "one");
        assert_eq!(rooms.message(room(1), 2).await.unwrap(), None);
        let reaction = rooms.reaction_of(room(1), 1, user(5)).await.unwrap();
        assert!(reaction.is_empty());
        let recalled = entities.recall(entity(room(1)), user(5), "key").await;
        assert_eq!(recalled.unwrap(), None);
        let told = entities
            .undelivered(entity(room(1)), None, 9)
            .await
            .unwrap();
        assert!(told.is_empty());
        assert_eq!(rooms.places(user(5), &[room(1)]).await.unwrap(), [None]);
        let found = rooms.search("renamed", None, 9).await.unwrap();
        assert!(found.rooms.is_empty());
        assert_eq!(rooms.rooms_page(None, 9).await.unwrap()[0].name, "hall");
    }
    let mut owner = Owner::of(&rooms, room(1)).await;
    let outcome = owner.hand_over(&full(), with_result_and_signal);
    outcome.await.unwrap().unwrap();
    let after = rooms.load(room(1), Bounds::rows(9)).await.unwrap().unwrap();
    let after = after.stored;
    assert_eq!((after.head, after.rev, after.members.len()), (2, 1, 1));
    assert_eq!(after.row.name, "renamed");
    let one = rooms.message(room(1), 1).await.unwrap().unwrap();
    assert_eq!(one.msg.text, "changed");
    let told = entities
        .undelivered(entity(room(1)), None, 9)
        .await
        .unwrap();
    assert_eq!((told.len(), told[0].signal.body.as_slice()), (1, &[7][..]));
    let recalled = entities.recall(entity(room(1)), user(5), "key").await;
    assert!(recalled.unwrap().is_some());
    let found = rooms.search("renamed", None, 9).await.unwrap();
    assert_eq!(found.rooms, [room(1)]);
    let found = rooms.search("hall", None, 9).await.unwrap();
    assert!(found.rooms.is_empty());
    assert_eq!(rooms.rooms_page(None, 9).await.unwrap()[0].name, "renamed");
}

/// What each command of the rules puts into a commit is what anyone then reads: the number of members, the player's place, and
/// what the player's list of rooms is told.
async fn members_come_and_go(store: impl Stored) {
    let rooms = RoomStore::new(store.entities());
    let actor = |number: u16| Actor {
        user: user(number),
        name: "player".into(),
        role: Role::Player,
        sanctions: None,
        now: 1,
        steady_ms: 1,
    };
    let hall = CreateRoom {
        kind: RoomKind::Public,
        name: "hall".to_owned(),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    };
    let limits = Arc::new(ChatLimits::default());
    let (mut rules, made) = Room::create(room(1), &actor(9), hall, limits).unwrap();
    let mut owner = Owner::of(&rooms, room(1)).await;
    owner.write(made.rows).await.unwrap();
    let ban = |number| BanMember {
        room: room(1),
        user: user(number),
        until: Some(5),
        reason: None,
    };
    let banned = MemberState::Banned {
        by: user(9),
        until: Some(5),
        reason: None,
    };
    type Step<'a> = &'a dyn Fn(&mut Room, &mut Effects) -> bool;
    type Case<'a> = (u16, Step<'a>, u32, Option<MemberState>, &'a [bool]);
    let steps: [Case<'_>; 8] = [
        (
            1,
            &|room, effects| room.join(&actor(1), effects).is_ok(),
            2,
            Some(MemberState::Member),
            &[true],
        ),
        (
            1,
            &|room, effects| room.join(&actor(1), effects).is_ok(),
            2,
            Some(MemberState::Member),
            &[],
        ),
        (
            2,
            &|room, effects| room.invite(&actor(9), &target(2), effects).is_ok(),
            2,
            Some(MemberState::Invited),
            &[true],
        ),
        (
            2,
            &|room, effects| room.join(&actor(2), effects).is_ok(),
            3,
            Some(MemberState::Member),
            &[true],
        ),
        (
            2,
            &|room, effects| room.ban(&actor(9), ban(2), &target(2), effects).is_ok(),
            2,
            Some(banned.clone()),
            &[false],
        ),
        (
            3,
            &|room, effects| room.leave(&actor(3), effects).is_err(),
            2,
            None,
            &[],
        ),
        (
            1,
            &|room, effects| room.leave(&actor(1), effects).is_ok(),
            1,
            None,
            &[false],
        ),
        (
            1,
            &|room, effects| room.leave(&actor(1), effects).is_err(),
            1,
            None,
            &[],
        ),
    ];
    for (index, (number, step, members, place, told)) in steps.into_iter().enumerate() {
        let mut effects = Effects::default();
        assert!(step(&mut rules, &mut effects), "{index}");
        owner.write(effects.rows).await.unwrap();
        let summary = &rooms.summaries(&[room(1)]).await.unwrap()[0];
        assert_eq!(summary.members, members, "{index}");
        let places = rooms.places(user(number), &[room(1)]).await.unwrap();
        let found = places[0].as_ref().map(|row| row.state.clone());
        assert_eq!(found, place, "{index}");
        let listed: Vec<bool> = effects
            .signals
            .iter()
            .filter_map(|(to, signal)| match signal {
                PlayerSignal::Room { listed, .. } if *to == user(number) => Some(listed.is_some()),
                PlayerSignal::Inbox {
                    entry: InboxEntry::FriendRemoved { .. },
                    ..
                } => panic!("{index}"),
                _ => None,
            })
            .collect();
        assert_eq!(listed, told, "{index}");
    }
    let loaded = rooms.load(room(1), Bounds::rows(9)).await.unwrap().unwrap();
    let states: Vec<_> = loaded
        .stored
        .members
        .iter()
        .map(|row| (row.user, &row.state))
        .collect();
    assert_eq!(
        states,
        [(user(2), &banned), (user(9), &MemberState::Member)]
    );
}

async fn large_rooms_load(mut store: impl Stored) {
    const MEMBERS: u16 = 10_000;
    let rooms = RoomStore::new(store.entities());
    let mut owner = Owner::create(&rooms, room_row(room(1), "hall")).await;
    for chunk in (0..MEMBERS).collect::<Vec<_>>().chunks(500) {
        let members = chunk
            .iter()
            .map(|&number| member(user(number), MemberState::Member));
        let join = RoomRows {
            members: members.collect(),
            ..RoomRows::default()
        };
        owner.write(join).await.unwrap();
    }
    store.restart();
    let rooms = RoomStore::new(store.entities());
    let loaded = rooms.load(room(1), Bounds::rows(9)).await.unwrap().unwrap();
    assert_eq!(loaded.stored.members.len(), usize::from(MEMBERS));
    assert!(loaded.stored.members.is_sorted_by_key(|member| member.user));
}
