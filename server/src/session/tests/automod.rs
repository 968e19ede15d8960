//! The server acts by itself on players who go too far, and on nobody else.

use std::sync::Arc;
use std::time::Duration;

use pitturu_protocol::codes::{CloseCode, Code};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::{Role, SetRole};
use pitturu_protocol::types::audit_log::{AuditAct, AuditRecord, ListAuditLog};
use pitturu_protocol::types::chat::{SendEphemeral, SendMessage};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_protocol::types::moderation::{
    GetPlayerRecord, LiftSuspension, MutePlayer, PlayerSuspended, UnmutePlayer,
};
use pitturu_protocol::types::profile::UpdateProfile;
use pitturu_protocol::types::system::Resume;
use pitturu_store::clock::now_ms;

use super::world::{Client, LISTED_WORD, World, message};
use crate::connections::automod::{Act, Rule, Rules};
use crate::connections::link::CloseReason;
use crate::connections::link::memory::Options;
use crate::session::rates::{Allowance, Allowances, Rates};

const REASON: &str = "mind your words";

const REFUSALS: usize = 3;

const fn rule(act: Act) -> Option<Rule> {
    Some(Rule {
        refusals: REFUSALS,
        within_ms: 60_000,
        act,
        lasts_ms: 600_000,
        reason: String::new(),
    })
}

/// A server with these rules.
async fn with_rules(flood: Option<Rule>, filter: Option<Rule>) -> World {
    let world = World::new().await;
    let worded = |rule: Option<Rule>| {
        rule.map(|rule| Rule {
            reason: REASON.to_owned(),
            ..rule
        })
    };
    world.context.services.automod.replace(Rules {
        flood: worded(flood),
        filter: worded(filter),
    });
    world
}

async fn say(client: &mut Client, room: RoomId, text: &str) -> Option<Code> {
    let send = SendMessage {
        text: text.to_owned(),
        ..message(room)
    };
    let said = client.call(&send).await;
    said.err().map(|fault| fault.code)
}

/// Says something until the answer is this one: the server acts beside the calls.
async fn says_until(client: &mut Client, room: RoomId, wanted: Option<Code>) {
    for _ in 0..500 {
        if say(client, room, "hello").await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never {wanted:?}");
}

async fn acts_of(admin: &mut Client, user: UserId) -> Vec<AuditRecord> {
    let list = ListAuditLog {
        user: Some(user),
        ..ListAuditLog::default()
    };
    let records = admin.call(&list).await.expect("an admin may").entries;
    let is_act = |act| matches!(act, AuditAct::Muted | AuditAct::Suspended);
    let of_acts = records.into_iter();
    of_acts.filter(|record| is_act(record.entry.act)).collect()
}

/// Waits for the log to have so many acts on the player.
async fn has_acts(admin: &mut Client, user: UserId, count: usize) -> Vec<AuditRecord> {
    for _ in 0..500 {
        let acts = acts_of(admin, user).await;
        if acts.len() >= count {
            assert_eq!(acts.len(), count);
            return acts;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no act is noted");
}

#[tokio::test]
async fn who_is_refused_by_the_word_filter_again_and_again_is_muted_on_all_connections() {
    let world = with_rules(None, rule(Act::Mute)).await;
    let (mut admin, _) = world.registered("root").await;
    let (mut player, one) = world.guest("player", Options::default()).await;
    let user = one.identity.user;
    let (mut same, again) = world.guest("player", Options::default()).await;
    assert_eq!(again.identity.user, user);
    let room = player.create_room().await;
    let (mut other, _) = world.guest("other", Options::default()).await;
    other.join(room).await;

    let rude = format!("you {LISTED_WORD}");
    assert_eq!(say(&mut player, room, &rude).await, Some(Code::TextRefused));
    let ephemeral = SendEphemeral {
        room,
        text: rude.clone(),
    };
    let refused = player.call(&ephemeral).await.unwrap_err();
    assert_eq!(refused.code, Code::TextRefused);
    assert_eq!(
        say(&mut player, room, "sorry").await,
        None,
        "two are not too many"
    );
    assert_eq!(say(&mut other, room, &rude).await, Some(Code::TextRefused));
    assert_eq!(say(&mut same, room, &rude).await, Some(Code::TextRefused));

    says_until(&mut player, room, Some(Code::Muted)).await;
    let resume = Resume {
        epoch: None,
        inbox: Some(0),
        rooms: Vec::new(),
    };
    same.begin(&resume).await;
    let told: InboxAdded = same.event().await;
    says_until(&mut same, room, Some(Code::Muted)).await;
    assert_eq!(say(&mut other, room, "hello").await, None);
    let record = admin.call(&GetPlayerRecord { user }).await.expect("staff");
    let mute = record.mute.expect("it is in force");
    assert_eq!((mute.by, mute.reason.as_str()), (None, REASON));
    assert_eq!(mute.until, Some(mute.at + 600_000));
    let acts = has_acts(&mut admin, user, 1).await;
    assert_eq!(
        (acts[0].entry.by, acts[0].entry.act),
        (None, AuditAct::Muted)
    );
    let why = acts[0]
        .details
        .as_ref()
        .and_then(|details| details.reason.clone());
    assert_eq!(why.as_deref(), Some(REASON));
    let until = mute.until;
    let reason = REASON.to_owned();
    assert_eq!(told.entry, InboxEntry::Muted { until, reason });

    // The staff ends it, and it takes as many again.
    admin.call(&UnmutePlayer { user }).await.expect("staff");
    for _ in 1..REFUSALS {
        assert_eq!(say(&mut player, room, &rude).await, Some(Code::TextRefused));
    }
    assert_eq!(say(&mut player, room, "hello").await, None);
    assert_eq!(say(&mut player, room, &rude).await, Some(Code::TextRefused));
    says_until(&mut player, room, Some(Code::Muted)).await;
    has_acts(&mut admin, user, 2).await;
}

#[tokio::test]
async fn a_flood_of_chat_suspends_and_one_of_other_calls_does_not() {
    let mut world = with_rules(rule(Act::Suspend), None).await;
    let context = Arc::get_mut(&mut world.context).expect("nobody is connected yet");
    context.rates = Rates::new(&Allowances {
        chat: Allowance::new(1, 5),
        write: Allowance::new(1, 5),
        ..Allowances::default()
    });
    let (mut admin, _) = world.registered("root").await;
    let (mut player, one) = world.guest("player", Options::default()).await;
    let user = one.identity.user;
    let room = player.create_room().await;
    let mut refused = 0;
    while refused < 3 * REFUSALS {
        let rename = UpdateProfile {
            name: Some("another".to_owned()),
            ..UpdateProfile::default()
        };
        refused += usize::from(player.call(&rename).await.is_err());
    }
    assert_eq!(acts_of(&mut admin, user).await, []);

    let mut refused = 0;
    while refused < REFUSALS {
        match say(&mut player, room, "hello").await {
            None => {}
            code => {
                assert_eq!(code, Some(Code::RateLimited));
                refused += 1;
            }
        }
    }
    let told: PlayerSuspended = player.event().await;
    assert_eq!(told.reason, REASON);
    let until = told.until.expect("it ends by itself");
    assert!(until > now_ms());
    let (_, closed) = player.farewell().await;
    assert_eq!(closed, Some(CloseReason::Protocol(CloseCode::Suspended)));
    let acts = has_acts(&mut admin, user, 1).await;
    assert_eq!((acts[0].entry.by, acts[0].entry.until), (None, Some(until)));
    admin.call(&LiftSuspension { user }).await.expect("staff");
    world.guest("player", Options::default()).await;
}

#[tokio::test]
async fn nobody_with_a_role_is_acted_on_and_nothing_of_the_staff_is_replaced() {
    let world = with_rules(None, rule(Act::Mute)).await;
    let (mut admin, root) = world.registered("root").await;
    let rude = format!("you {LISTED_WORD}");
    for role in [Role::Moderator, Role::Service] {
        let (mut trusted, one) = world.registered(&format!("{role:?}").to_lowercase()).await;
        let user = one.identity.user;
        let promote = SetRole { user, role };
        admin.call(&promote).await.expect("an admin may");
        let room = trusted.create_room().await;
        for _ in 0..3 * REFUSALS {
            assert_eq!(
                say(&mut trusted, room, &rude).await,
                Some(Code::TextRefused)
            );
        }
    }
    let room = admin.create_room().await;
    for _ in 0..3 * REFUSALS {
        assert_eq!(say(&mut admin, room, &rude).await, Some(Code::TextRefused));
    }
    let (mut player, one) = world.guest("player", Options::default()).await;
    let user = one.identity.user;
    player.join(room).await;
    for _ in 1..REFUSALS {
        assert_eq!(say(&mut player, room, &rude).await, Some(Code::TextRefused));
    }
    let mute = MutePlayer {
        user,
        until: None,
        reason: "by hand".to_owned(),
    };
    // The last refusal and the mute by hand come together, in whatever order.
    let send = SendMessage {
        text: rude,
        ..message(room)
    };
    let last = player.begin(&send).await;
    admin.call(&mute).await.expect("staff");
    player.answer_to(last).await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let record = admin.call(&GetPlayerRecord { user }).await.expect("staff");
    let mute = record.mute.expect("it is in force");
    assert_eq!((mute.by, mute.until), (Some(root.identity.user), None));
    let roles = ListAuditLog::default();
    let records = admin.call(&roles).await.expect("an admin may").entries;
    let by_rule = records.iter().filter(|record| {
        record.entry.act == AuditAct::Muted
            && record.entry.by.is_none()
            && record.entry.user != Some(user)
    });
    assert_eq!(by_rule.count(), 0);
}
