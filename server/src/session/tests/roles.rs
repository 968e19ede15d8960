//! A demotion that was acknowledged holds, whatever the demoted one's connections and entity know of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::{Access, METHODS, MethodInfo};
use pitturu_protocol::types::accounts::{
    IssuePasswordReset, Login, LogoutEverywhere, ResetPassword, Role, SetRole,
};
use pitturu_protocol::types::audit_log::ListAuditLog;
use pitturu_protocol::types::boards::{RemoveScore, SubmitScore};
use pitturu_protocol::types::items::{GrantItem, TakeItem};
use pitturu_protocol::types::moderation::{
    DeletePlayer, FindPlayers, GetPlayerRecord, LiftSuspension, MutePlayer, ResetProfile,
    SignOutPlayer, SuspendPlayer, UnmutePlayer,
};
use pitturu_protocol::types::points::{
    DeductPoints, ExpirePoints, GrantPoints, ListPointsDays, ListPointsTotals, PostPoints,
    RefundPoints, SetPointsAside, VoidPoints,
};
use pitturu_protocol::types::reports::{ListReports, ReportOutcome, SettleReport, TakeReport};

use pitturu_protocol::types::rewards::{PlayOutcome, RecordPlay};

use super::world::{Client, Raw, World};
use crate::connections::link::memory::Options;
use crate::players;

fn set(user: UserId, role: Role) -> SetRole {
    SetRole { user, role }
}

/// An admin, and another one who was demoted and whose entity does not hear of it.
struct Demoted {
    world: World,
    root: Client,
    root_user: UserId,
    deputy: Client,
    deputy_user: UserId,
    /// Somebody without a role.
    player_user: UserId,
}

impl Demoted {
    async fn new() -> Self {
        let world = World::new().await;
        let (mut root, one) = world.registered("root").await;
        let (deputy, two) = world.registered("deputy").await;
        let (_, three) = world.registered("player").await;
        let users = [one, two, three].map(|who| who.identity.user);
        let [root_user, deputy_user, player_user] = users;
        let promote = set(deputy_user, Role::Admin);
        root.call(&promote).await.expect("an admin may");
        let deaf = players::entity(deputy_user);
        world.entities.fail_applying(Some(deaf));
        let demote = set(deputy_user, Role::Player);
        root.call(&demote).await.expect("it is decided");
        Self {
            world,
            root,
            root_user,
            deputy,
            deputy_user,
            player_user,
        }
    }
}

/// Calls of a method that is not for every player.
fn staff_calls(info: &MethodInfo, [root, deputy, player]: [UserId; 3]) -> Vec<Raw> {
    match (info.access, info.name) {
        (Access::Anyone | Access::Player, _) => Vec::new(),
        (_, "SetRole") => vec![
            Raw::of(&set(root, Role::Player)),
            Raw::of(&set(deputy, Role::Admin)),
            Raw::of(&set(deputy, Role::Player)),
        ],
        (_, "IssuePasswordReset") => vec![
            Raw::of(&IssuePasswordReset { user: player }),
            Raw::of(&IssuePasswordReset { user: deputy }),
        ],
        (_, "GrantPoints") => vec![Raw::of(&GrantPoints {
            user: deputy,
            amount: 1,
            reference: None,
            note: "for the test".to_owned(),
        })],
        (_, "DeductPoints") => vec![Raw::of(&DeductPoints {
            user: root,
            amount: 1,
            reference: None,
            note: "for the test".to_owned(),
        })],
        (_, "RefundPoints") => vec![Raw::of(&RefundPoints {
            user: deputy,
            movement: 1,
            amount: None,
            note: "for the test".to_owned(),
        })],
        (_, "ExpirePoints") => vec![Raw::of(&ExpirePoints {
            user: root,
            amount: 1,
            reference: None,
        })],
        (_, "SetPointsAside") => vec![Raw::of(&SetPointsAside {
            user: root,
            amount: 1,
            until: 1,
            reference: None,
            note: None,
        })],
        (_, "PostPoints") => vec![Raw::of(&PostPoints {
            user: root,
            movement: 1,
            amount: None,
        })],
        (_, "VoidPoints") => vec![Raw::of(&VoidPoints {
            user: root,
            movement: 1,
        })],
        (_, "GrantItem") => vec![Raw::of(&GrantItem {
            user: deputy,
            item: "hat".to_owned(),
            count: 1,
            note: "for the test".to_owned(),
        })],
        (_, "TakeItem") => vec![Raw::of(&TakeItem {
            user: root,
            item: "hat".to_owned(),
            count: 1,
            note: "for the test".to_owned(),
        })],
        (_, "RecordPlay") => vec![Raw::of(&RecordPlay {
            user: deputy,
            game: "chess".to_owned(),
            outcome: PlayOutcome::Won,
        })],
        (_, "ListPointsDays") => vec![Raw::of(&ListPointsDays {
            day: 1,
            after: None,
        })],
        (_, "ListPointsTotals") => vec![Raw::of(&ListPointsTotals::default())],
        (_, "SubmitScore") => vec![Raw::of(&SubmitScore {
            board: "none".to_owned(),
            user: root,
            score: 1,
            metadata: None,
        })],
        (_, "RemoveScore") => vec![Raw::of(&RemoveScore {
            board: "none".to_owned(),
            season: None,
            user: root,
            note: "for the test".to_owned(),
        })],
        (_, "SuspendPlayer") => vec![Raw::of(&SuspendPlayer {
            user: deputy,
            until: None,
            reason: "for the test".to_owned(),
        })],
        (_, "LiftSuspension") => vec![Raw::of(&LiftSuspension { user: deputy })],
        (_, "MutePlayer") => vec![Raw::of(&MutePlayer {
            user: deputy,
            until: None,
            reason: "for the test".to_owned(),
        })],
        (_, "UnmutePlayer") => vec![Raw::of(&UnmutePlayer { user: deputy })],
        (_, "SignOutPlayer") => vec![Raw::of(&SignOutPlayer { user: deputy })],
        (_, "ResetProfile") => vec![Raw::of(&ResetProfile {
            user: deputy,
            name: None,
            avatar: true,
            bio: true,
            reason: "for the test".to_owned(),
        })],
        (_, "GetPlayerRecord") => vec![Raw::of(&GetPlayerRecord { user: deputy })],
        (_, "FindPlayers") => vec![Raw::of(&FindPlayers {
            name: "a".to_owned(),
            after: None,
            limit: None,
        })],
        (_, "DeletePlayer") => vec![Raw::of(&DeletePlayer {
            user: deputy,
            at_once: false,
            reason: "for the test".to_owned(),
        })],
        (_, "ListReports") => vec![Raw::of(&ListReports::default())],
        (_, "TakeReport") => vec![Raw::of(&TakeReport { number: 1 })],
        (_, "SettleReport") => vec![Raw::of(&SettleReport {
            number: 1,
            outcome: ReportOutcome::Acted,
            note: None,
        })],
        (_, "ListAuditLog") => vec![
            Raw::of(&ListAuditLog::default()),
            Raw::of(&ListAuditLog {
                user: Some(deputy),
                ..ListAuditLog::default()
            }),
        ],
        (_, name) => panic!("add {name} here: who decides that its caller may?"),
    }
}

#[tokio::test]
async fn who_is_demoted_makes_no_call_of_an_admin_any_more() {
    let mut scene = Demoted::new().await;
    let users = [scene.root_user, scene.deputy_user, scene.player_user];
    let mut tried = 0;
    for info in METHODS {
        let raws = staff_calls(info, users);
        for (number, raw) in raws.iter().enumerate() {
            let key = format!("{} {number}", info.name);
            let refused = scene.deputy.call_raw(raw, &key).await;
            let code = refused.map_err(|fault| fault.code);
            assert_eq!(code, Err(Code::Forbidden), "{key}");
            tried += 1;
        }
    }
    assert_eq!(tried, 33);
    scene.world.entities.fail_applying(None);
    let (_, other) = scene.world.registered("other").await;
    let promote = set(other.identity.user, Role::Moderator);
    let promoted = scene.root.call(&promote).await;
    promoted.expect("root has stayed an admin");
}

/// What the deputy was given as an admin is good for nothing after it.
#[tokio::test]
async fn a_reset_token_of_who_is_demoted_is_void() {
    let world = World::new().await;
    let (mut root, _) = world.registered("root").await;
    let (mut deputy, two) = world.registered("deputy").await;
    let (_, one) = world.registered("player").await;
    let [one, two] = [one, two].map(|who| who.identity.user);
    let promote = set(two, Role::Admin);
    root.call(&promote).await.expect("an admin may");
    let issue = IssuePasswordReset { user: one };
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let issued = deputy.call(&issue).await;
        tokens.push(issued.expect("an admin may").token);
    }
    let reset = |token: &String| ResetPassword {
        token: token.clone(),
        password: "another password".to_owned(),
    };
    for role in [Role::Moderator, Role::Player] {
        root.call(&set(two, role)).await.expect("an admin may");
        let mut anyone = world.greeted(Options::default()).await;
        let refused = anyone.call(&reset(&tokens[0])).await;
        let code = refused.map_err(|fault| fault.code);
        assert_eq!(code, Err(Code::TokenInvalid), "{role:?}");
    }
    root.call(&promote).await.expect("an admin may");
    let mut anyone = world.greeted(Options::default()).await;
    root.call(&set(one, Role::Admin))
        .await
        .expect("an admin may");
    let refused = anyone.call(&reset(&tokens[1])).await;
    let code = refused.map_err(|fault| fault.code);
    assert_eq!(code, Err(Code::TokenInvalid), "it would be an admin's");
    root.call(&set(one, Role::Moderator))
        .await
        .expect("an admin may");
    let taken = anyone.call(&reset(&tokens[1])).await;
    taken.expect("an admin has issued it");
}

/// A token is the account: nobody gets another admin's, nor past their own password.
#[tokio::test]
async fn no_reset_token_is_issued_for_an_admin() {
    let world = World::new().await;
    let (mut root, one) = world.registered("root").await;
    let (_, two) = world.registered("deputy").await;
    let [one, two] = [one, two].map(|who| who.identity.user);
    root.call(&set(two, Role::Admin))
        .await
        .expect("an admin may");
    for user in [one, two] {
        let refused = root.call(&IssuePasswordReset { user }).await;
        let code = refused.map_err(|fault| fault.code);
        assert_eq!(code, Err(Code::Forbidden));
    }
}

/// The demotion comes while the token is being stored.
#[tokio::test]
async fn who_is_demoted_meanwhile_is_given_no_reset_token() {
    let world = World::new().await;
    let (mut root, _) = world.registered("root").await;
    let (mut deputy, two) = world.registered("deputy").await;
    let (_, one) = world.registered("player").await;
    let [one, two] = [one, two].map(|who| who.identity.user);
    root.call(&set(two, Role::Admin))
        .await
        .expect("an admin may");
    world.entities.hold_recalls(true);
    let raw = Raw::of(&IssuePasswordReset { user: one });
    let (call, frame) = deputy.encode_raw(&raw, "key");
    deputy.peer.send(frame).await;
    deputy.peer.until_unread(0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    root.call(&set(two, Role::Player))
        .await
        .expect("an admin may");
    world.entities.hold_recalls(false);
    let refused = deputy.answer_to(call).await;
    let code = refused.map_err(|fault| fault.code);
    assert_eq!(code, Err(Code::Forbidden));
}

/// Two admins demote each other at once: one of them stays.
#[tokio::test]
async fn demotions_that_cross_leave_an_admin() {
    for _ in 0..10 {
        let world = World::new().await;
        let (mut root, one) = world.registered("root").await;
        let (mut deputy, two) = world.registered("deputy").await;
        let users = [one, two].map(|who| who.identity.user);
        let promote = set(users[1], Role::Admin);
        root.call(&promote).await.expect("an admin may");
        let first = root.begin(&set(users[1], Role::Player)).await;
        let second = deputy.begin(&set(users[0], Role::Moderator)).await;
        let demoted = [
            root.answer_to(first).await.is_ok(),
            deputy.answer_to(second).await.is_ok(),
        ];
        assert_eq!(demoted.iter().filter(|demoted| **demoted).count(), 1);
    }
}

/// The new connection takes the role from the account, which has not heard of the demotion.
#[tokio::test]
async fn signing_in_undoes_no_decision_about_a_role() {
    let world = World::new().await;
    let (mut first, one) = world.registered("first").await;
    let user = one.identity.user;
    let (mut root, _) = world.registered("root").await;
    root.call(&set(user, Role::Admin))
        .await
        .expect("an admin may");
    drop(first.call(&LogoutEverywhere {}).await);
    let deaf = players::entity(user);
    world.entities.fail_applying(Some(deaf));
    root.call(&set(user, Role::Player))
        .await
        .expect("an admin may");
    let login = Login {
        username: "first".to_owned(),
        password: "a good password".to_owned(),
        device: None,
        known: None,
    };
    let mut again = world.greeted(Options::default()).await;
    again.call(&login).await.expect("the password is right");
    let promoted = again.call(&set(user, Role::Admin)).await;
    let code = promoted.map_err(|fault| fault.code);
    assert_eq!(code, Err(Code::Forbidden));
}

/// Nothing fails. The deputy's program keeps asking for what they have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_who_keeps_asking_can_be_demoted() {
    let world = World::new().await;
    let (mut root, _) = world.registered("root").await;
    let (mut deputy, two) = world.registered("deputy").await;
    let user = two.identity.user;
    root.call(&set(user, Role::Admin))
        .await
        .expect("an admin may");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let asking = tokio::spawn(async move {
        while !stopped.load(Ordering::SeqCst) {
            let mut calls = Vec::new();
            for _ in 0..8 {
                calls.push(deputy.begin(&set(user, Role::Admin)).await);
            }
            for call in calls {
                drop(deputy.answer_in_any_order(call).await);
            }
        }
    });
    let mut undone = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let demoted = root.call(&set(user, Role::Player)).await;
        demoted.expect("an admin may");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let account = world.context.services.players.account(user).await;
        let role = account.expect("it is stored").map(|account| account.role);
        undone += usize::from(role == Some(Role::Admin));
        root.call(&set(user, Role::Admin))
            .await
            .expect("an admin may");
    }
    stop.store(true, Ordering::SeqCst);
    asking.await.expect("the deputy stays");
    assert_eq!(undone, 0, "of 20 demotions");
}

#[tokio::test]
async fn a_service_makes_the_calls_of_services_and_no_others_until_it_is_none() {
    let world = World::new().await;
    let (mut root, one) = world.registered("root").await;
    let (mut service, two) = world.registered("service").await;
    let (_, three) = world.registered("player").await;
    let users = [one, two, three].map(|who| who.identity.user);
    let user = users[1];
    root.call(&set(user, Role::Service))
        .await
        .expect("an admin may");
    let mut tried = 0;
    for role in [Role::Service, Role::Player] {
        if role == Role::Player {
            let deaf = players::entity(user);
            world.entities.fail_applying(Some(deaf));
            root.call(&set(user, role)).await.expect("it is decided");
        }
        for info in METHODS {
            for (number, raw) in staff_calls(info, users).iter().enumerate() {
                let key = format!("{} {number} {role:?}", info.name);
                let outcome = service.call_raw(raw, &key).await;
                let is_forbidden = outcome.is_err_and(|fault| fault.code == Code::Forbidden);
                let may = info.access == Access::Service && role == Role::Service;
                assert_eq!(is_forbidden, !may, "{key}");
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
}
