//! What the server does by itself against players who go too far, as its configuration says it.

use std::time::{Duration, Instant};

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::events::Event as _;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::SendMessage;
use pitturu_protocol::types::moderation::{
    GetPlayerRecord, LiftSuspension, PlayerSuspended, Sanction, UnmutePlayer,
};

use crate::moderation::register;
use crate::player::{Came, Player};
use crate::raw::PATIENCE;
use crate::reload::{Configured, join, message};

const WORD: &str = "borogove";

fn say(player: &mut Player, room: RoomId, text: &str) -> Result<u64, Fault> {
    let said = player.call(&SendMessage {
        text: text.to_owned(),
        ..message(room)
    });
    said.map(|sent| sent.seq)
}

fn is_refused_for_its_words(player: &mut Player, room: RoomId) {
    let fault = say(player, room, WORD).expect_err("it is listed");
    assert_eq!(fault.code, Code::TextRefused);
}

/// The mute of the player, once there is one.
fn mute_of(boss: &mut Player, user: UserId) -> Sanction {
    let until = Instant::now() + PATIENCE;
    loop {
        let record = boss.call(&GetPlayerRecord { user }).expect("staff");
        if let Some(mute) = record.mute {
            return mute;
        }
        assert!(Instant::now() < until, "no mute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn rules_are_as_they_were_read_last() {
    let staff = [("accounts.admins", "boss"), ("accounts.bcrypt_cost", "4")];
    let mut configured = Configured::start(&staff);
    let words = configured.write("words.txt", WORD);
    let ws = configured.server.ws;
    let mut boss = Player::connect(ws);
    register(&mut boss, "boss");
    let (mut player, one) = Player::guest(ws, "somebody");
    let user = one.identity.user;
    let room = join(&mut player, "here");
    let mut reload = |keys: &[(&str, &str)]| {
        let all = [&staff[..], &[("chat.word_filter", &words)], keys].concat();
        configured.reload(&all);
    };

    // Nothing is done where nothing is set, whatever the numbers.
    let numbers = [
        ("automod.filter_refusals", "3"),
        ("automod.filter_within", "2s"),
        ("automod.filter_lasts", "2h"),
        ("automod.filter_reason", "not these words"),
    ];
    reload(&numbers);
    for _ in 0..6 {
        is_refused_for_its_words(&mut player, room);
    }
    say(&mut player, room, "hello").expect("nothing is done");

    reload(&[&numbers[..], &[("automod.filter_act", "mute")]].concat());
    for _ in 0..2 {
        is_refused_for_its_words(&mut player, room);
    }
    std::thread::sleep(Duration::from_millis(2_100));
    is_refused_for_its_words(&mut player, room);
    say(&mut player, room, "hello").expect("two were too long ago");
    for _ in 0..2 {
        is_refused_for_its_words(&mut player, room);
    }
    let mute = mute_of(&mut boss, user);
    assert_eq!((mute.by, mute.reason.as_str()), (None, "not these words"));
    assert_eq!(mute.until, Some(mute.at + 7_200_000));
    let fault = say(&mut player, room, "hello").expect_err("it holds");
    assert_eq!(fault.code, Code::Muted);
    boss.call(&UnmutePlayer { user }).expect("staff");

    // The other rule, and the first one is gone.
    reload(&[
        ("limits.chat_per_second", "1"),
        ("limits.chat_burst", "10"),
        ("automod.flood_act", "suspend"),
        ("automod.flood_refusals", "20"),
        ("automod.flood_within", "1h"),
        ("automod.flood_lasts", "3h"),
        ("automod.flood_reason", "slow down"),
    ]);
    for _ in 0..5 {
        is_refused_for_its_words(&mut player, room);
    }
    while !matches!(say(&mut player, room, "hello"), Err(fault) if fault.code == Code::RateLimited)
    {
    }
    for _ in 0..5 {
        player.begin(&message(room));
    }
    let suspended = loop {
        player.begin(&message(room));
        match player.next() {
            Came::Event(event, body) if event == PlayerSuspended::NUMBER => {
                break codec::decode::<PlayerSuspended>(&body).expect("its type");
            }
            Came::Closed(_) => panic!("without a word"),
            _ => {}
        }
    };
    assert_eq!(suspended.reason, "slow down");
    let record = boss.call(&GetPlayerRecord { user }).expect("staff");
    let suspension = record.suspension.expect("it is in force");
    assert_eq!(suspension.until, Some(suspension.at + 10_800_000));
    assert_eq!((suspension.until, record.mute), (suspended.until, None));
    boss.call(&LiftSuspension { user }).expect("staff");
    Player::guest(ws, "somebody");

    let metrics = configured.server.ops_page("/metrics");
    for line in [
        "pitturu_acts_by_rule_total{rule=\"flood\"} 1",
        "pitturu_acts_by_rule_total{rule=\"filter\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert_eq!(configured.server.log().matches("act by rule").count(), 2);
}
