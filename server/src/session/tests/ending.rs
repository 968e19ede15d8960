//! From the moment at which an erasure begins there is no such player to anybody: what others still do to them leaves nothing behind.

use std::time::Duration;

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::{Role, SetRole};
use pitturu_protocol::types::audit_log::{AuditAct, ListAuditLog};
use pitturu_protocol::types::boards::{ListTopScores, SubmitScore};
use pitturu_protocol::types::chat::{BanMember, InviteToRoom, ListBans};
use pitturu_protocol::types::friends::{ListFriends, RequestFriend};
use pitturu_protocol::types::moderation::{DeletePlayer, MutePlayer, ResetProfile};
use pitturu_protocol::types::points::{GivePoints, GrantPoints};
use pitturu_protocol::types::profile::GetProfile;
use pitturu_protocol::types::reports::{ListReports, ReportPlayer, ReportReason};

use super::world::{Client, Raw, World};
use crate::connections::link::memory::Options;

const BOARD: &str = "best";

const WHY: &str = "what somebody wrote about them";

/// Everything that others can do to a player, by who may.
fn deeds(user: UserId, room: RoomId) -> [(Who, Raw); 9] {
    let reason = WHY.to_owned();
    [
        (
            Who::Staff,
            Raw::of(&SubmitScore {
                board: BOARD.to_owned(),
                user,
                score: 500,
                metadata: None,
            }),
        ),
        (
            Who::Staff,
            Raw::of(&GrantPoints {
                user,
                amount: 5,
                note: reason.clone(),
                reference: None,
            }),
        ),
        (
            Who::Staff,
            Raw::of(&MutePlayer {
                user,
                until: None,
                reason: reason.clone(),
            }),
        ),
        (
            Who::Staff,
            Raw::of(&ResetProfile {
                user,
                name: None,
                avatar: true,
                bio: true,
                reason: reason.clone(),
            }),
        ),
        (Who::Friend, Raw::of(&RequestFriend { user })),
        (
            Who::Friend,
            Raw::of(&ReportPlayer {
                user,
                reason: ReportReason::Spam,
                note: Some(reason.clone()),
            }),
        ),
        (
            Who::Friend,
            Raw::of(&GivePoints {
                user,
                amount: 1,
                note: Some(reason.clone()),
            }),
        ),
        (Who::Friend, Raw::of(&InviteToRoom { room, user })),
        (
            Who::Friend,
            Raw::of(&BanMember {
                room,
                user,
                until: None,
                reason: Some(reason),
            }),
        ),
    ]
}

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Staff,
    Friend,
}

async fn is_gone(client: &mut Client, user: UserId) -> bool {
    let profile = client.call(&GetProfile { user: Some(user) }).await;
    profile.is_err_and(|fault| fault.code == Code::NotFound)
}

async fn has_ended(admin: &mut Client, user: UserId) -> bool {
    let list = ListAuditLog {
        user: Some(user),
        ..ListAuditLog::default()
    };
    let entries = admin.call(&list).await.expect("an admin may").entries;
    let mut acts = entries.iter().map(|record| record.entry.act);
    acts.any(|act| act == AuditAct::AccountErased)
}

#[tokio::test]
async fn what_others_do_to_somebody_who_is_being_erased_leaves_nothing() {
    let world = World::new().await;
    let (mut admin, root) = world.registered("root").await;
    let (mut friend, one) = world.guest("friend", Options::default()).await;
    let room = friend.create_room().await;
    let grant = GrantPoints {
        user: one.identity.user,
        amount: 1_000,
        note: "for the test".to_owned(),
        reference: None,
    };
    let granted = admin.call_under(&grant, "for the test").await;
    granted.expect("an admin may");
    for round in 0..3 {
        let (_player, two) = world
            .guest(&format!("leaver{round}"), Options::default())
            .await;
        let user = two.identity.user;
        let delete = DeletePlayer {
            user,
            at_once: true,
            reason: "asked for".to_owned(),
        };
        let deeds = deeds(user, room);
        let mut number = 0;
        let mut refused_since_gone = 0;
        admin.call(&delete).await.expect("an admin may");
        // All the time, from before it begins until it is over.
        while !has_ended(&mut admin, user).await {
            let was_gone = is_gone(&mut friend, user).await;
            for (who, raw) in &deeds {
                number += 1;
                let key = format!("{round} {number}");
                let client = match who {
                    Who::Staff => &mut admin,
                    Who::Friend => &mut friend,
                };
                let done = client.call_raw(raw, &key).await;
                if was_gone {
                    let code = done.map_err(|fault| fault.code);
                    assert_eq!(code, Err(Code::NotFound), "{}", raw.method);
                    refused_since_gone += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(
            refused_since_gone > 20,
            "the window is tried: {refused_since_gone}"
        );

        let top = ListTopScores {
            board: BOARD.to_owned(),
            season: None,
            offset: None,
            limit: None,
        };
        let scores = friend.call(&top).await.expect("anybody may").entries;
        assert!(scores.iter().all(|score| score.user != user), "{scores:?}");
        let friends = friend.call(&ListFriends::default()).await.expect("own");
        assert_eq!(friends.friends, []);
        let bans = ListBans {
            room,
            after: None,
            limit: None,
        };
        assert_eq!(friend.call(&bans).await.expect("the owner may").bans, []);
        for settled in [false, true] {
            let reports = ListReports {
                settled,
                ..ListReports::default()
            };
            let reports = admin.call(&reports).await.expect("staff").reports;
            assert_eq!(reports, []);
        }
        let list = ListAuditLog {
            user: Some(user),
            ..ListAuditLog::default()
        };
        let entries = admin.call(&list).await.expect("an admin may").entries;
        let with_details = entries.iter().filter(|record| record.details.is_some());
        assert_eq!(with_details.count(), 0, "{entries:?}");
    }
    assert!(!is_gone(&mut friend, root.identity.user).await);
}

/// The reasons of who has served and is gone are about others, and stay.
#[tokio::test]
async fn what_a_former_moderator_has_done_keeps_its_reason() {
    let world = World::new().await;
    let (mut admin, _) = world.registered("root").await;
    let (mut moderator, one) = world.registered("moderator").await;
    let (_player, two) = world.guest("player", Options::default()).await;
    let (keeper, user) = (one.identity.user, two.identity.user);
    let set = |role| SetRole { user: keeper, role };
    admin
        .call(&set(Role::Moderator))
        .await
        .expect("an admin may");
    let mute = MutePlayer {
        user,
        until: None,
        reason: WHY.to_owned(),
    };
    moderator.call(&mute).await.expect("a moderator may");
    admin.call(&set(Role::Player)).await.expect("an admin may");
    let delete = DeletePlayer {
        user: keeper,
        at_once: true,
        reason: "asked for".to_owned(),
    };
    admin.call(&delete).await.expect("an admin may");
    while !has_ended(&mut admin, keeper).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let list = ListAuditLog {
        user: Some(user),
        ..ListAuditLog::default()
    };
    let entries = admin.call(&list).await.expect("an admin may").entries;
    let details = entries.iter().find_map(|record| record.details.as_ref());
    let reason = details.and_then(|details| details.reason.as_deref());
    assert_eq!(reason, Some(WHY));
}

/// A name that is free again is for anybody: the configuration, which makes whoever has it an admin, means somebody who is gone.
#[tokio::test]
async fn the_name_of_an_admin_who_was_erased_makes_nobody_an_admin() {
    let world = World::new().await;
    let (mut root, one) = world.registered("root").await;
    let (mut deputy, two) = world.registered("deputy").await;
    let [root_user, deputy_user] = [one, two].map(|who| who.identity.user);
    let set = |user, role| SetRole { user, role };
    root.call(&set(deputy_user, Role::Admin))
        .await
        .expect("an admin may");
    deputy
        .call(&set(root_user, Role::Player))
        .await
        .expect("an admin may");
    let delete = DeletePlayer {
        user: root_user,
        at_once: true,
        reason: "asked for".to_owned(),
    };
    deputy.call(&delete).await.expect("an admin may");
    while !has_ended(&mut deputy, root_user).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (mut other, signed_in) = world.registered("root").await;
    assert_ne!(signed_in.identity.user, root_user);
    assert_eq!(signed_in.identity.role, Role::Player);
    let refused = other.call(&ListAuditLog::default()).await;
    assert_eq!(refused.map_err(|fault| fault.code), Err(Code::Forbidden));
    // Nor at the next sign-in.
    let mut again = world.signed_in("root").await;
    let refused = again.call(&ListAuditLog::default()).await;
    assert_eq!(refused.map_err(|fault| fault.code), Err(Code::Forbidden));
}
