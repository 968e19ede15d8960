//! The end of an account, from outside: asked for, taken back, carried out; and then nothing of the player is anywhere.

use std::path::Path;
use std::time::{Duration, Instant};

use pitturu_protocol::codes::{CloseCode, Code, Fault};
use pitturu_protocol::ids::{ID_BYTES, RoomId, UserId};
use pitturu_protocol::types::accounts::{
    DeleteAccount, ExportPlayer, GetAccount, Register, UpgradeGuest,
};
use pitturu_protocol::types::audit_log::{AuditAct, AuditLog, ListAuditLog};
use pitturu_protocol::types::chat::{
    AuthorErased, BanMember, EditMessage, History, InviteToRoom, JoinRoom, LeaveRoom, ListMembers,
    MemberRole, OpenDirect, OpenRoom, React, ReadHistory, RoomKind,
};
use pitturu_protocol::types::friends::{AcceptFriend, BlockPlayer, ListFriends, RequestFriend};
use pitturu_protocol::types::moderation::{DeletePlayer, FindPlayers, GetPlayerRecord};
use pitturu_protocol::types::points::{GivePoints, GrantPoints, ListMovements};
use pitturu_protocol::types::profile::{FindPlayer, GetProfile, UpdateProfile};
use pitturu_protocol::types::reports::{
    ListReports, ReportMessage, ReportOutcome, ReportPlayer, ReportReason, SettleReport,
};
use pitturu_store::embedded::engine::{Engine, EngineOptions, Limit, Range};
use pitturu_store::embedded::tables::Table;
use serde_json::Value;

use crate::audit_log::verify;
use crate::chat::create;
use crate::launch::Server;
use crate::moderation::{PASSWORD, SETTINGS, WHY, login, mute, register, say, staff};
use crate::player::Player;
use crate::raw::PATIENCE;

/// Begins every piece of personal data that is planted, and nothing else.
const PLANTED: &str = "zqvplanted";

const NOBODY: UserId = UserId::from_bytes([0; ID_BYTES]);

fn planted(what: &str) -> String {
    format!("{PLANTED}{what}")
}

/// A player with something planted wherever a player may say something of themselves.
fn planting(server: &Server) -> (Player, UserId) {
    let mut player = Player::connect(server.ws);
    let request = Register {
        username: planted("user"),
        password: PASSWORD.to_owned(),
        name: Some(planted("first")),
        email: Some(format!("{}@example.com", planted("mail"))),
        device: Some(planted("device")),
    };
    let user = player.call(&request).expect("it is free").identity.user;
    let profile = UpdateProfile {
        name: Some(planted("name")),
        avatar: Some(format!("https://example.com/{}", planted("avatar"))),
        bio: Some(planted("bio")),
        language: None,
    };
    player.call(&profile).expect("its own");
    (player, user)
}

fn until_erased(staff: &mut Player, user: UserId) {
    let began = Instant::now();
    let list = ListAuditLog {
        user: Some(user),
        ..ListAuditLog::default()
    };
    loop {
        let entries = staff.call(&list).expect("staff").entries;
        let mut acts = entries.iter().map(|record| record.entry.act);
        if acts.any(|act| act == AuditAct::AccountErased) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it is not erased");
        std::thread::sleep(Duration::from_millis(50));
    }
    let nobody = staff.call(&GetPlayerRecord { user });
    assert_eq!(nobody.map_err(|fault| fault.code), Err(Code::NotFound));
}

fn history(player: &mut Player, room: RoomId) -> History {
    let read = ReadHistory {
        room,
        from: None,
        limit: None,
    };
    player.call(&read).expect("a member may")
}

/// Everything that the store has, but for what calls under keys were answered: that goes by itself after two days.
fn is_clean(data: &Path) {
    let engine = Engine::open(data, EngineOptions::default()).expect("the server has stopped");
    let (mut rows, mut found) = (0, Vec::new());
    for table in Table::ALL {
        if matches!(table, Table::KeysA | Table::KeysB) {
            continue;
        }
        let limit = Limit {
            rows: usize::MAX,
            bytes: usize::MAX,
        };
        let all = engine.scan(*table, &Range::all(), false, limit);
        for row in all.expect("it is whole") {
            rows += 1;
            for bytes in [&row.0[..], &row.1[..]] {
                let text = String::from_utf8_lossy(bytes);
                if text.contains(PLANTED) {
                    found.push(format!("{}: {text}", table.name()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(rows > 20, "only {rows} rows were looked at");
}

#[test]
fn of_an_erased_player_nothing_is_left_anywhere() {
    let mut server = Server::start(&[SETTINGS, &["log.addresses=none"]].concat());
    let (mut boss, mut moderator) = staff(&server);
    let (mut friend, friend_in) = Player::guest(server.ws, "friend");
    let friend_id = friend_in.identity.user;
    let (_asked, asked_in) = Player::guest(server.ws, "asked");
    let (mut player, user) = planting(&server);

    // Among friends.
    player
        .call(&RequestFriend { user: friend_id })
        .expect("it may");
    friend.call(&AcceptFriend { user }).expect("it was asked");
    let asked_id = asked_in.identity.user;
    player
        .call(&RequestFriend { user: asked_id })
        .expect("it may");
    let (_blocked, blocked_in) = Player::guest(server.ws, "blocked");
    let block = BlockPlayer {
        user: blocked_in.identity.user,
    };
    player.call(&block).expect("it may");

    // In rooms: another's, one of its own, one with a friend, one that it has left.
    let yard = create(&mut friend, RoomKind::Public, "yard", None)
        .info
        .room;
    player.call(&JoinRoom { room: yard }).expect("anybody may");
    let said = ["one", "two", "three"].map(|text| say(&mut player, yard, text).expect("it may"));
    let edit = EditMessage {
        room: yard,
        seq: said[1],
        text: "two, as it should be".to_owned(),
    };
    player.call(&edit).expect("its own");
    let react = React {
        room: yard,
        seq: said[0],
        emoji: "👍".to_owned(),
        on: true,
    };
    friend.call(&react).expect("it may");
    let own = create(&mut player, RoomKind::Private, "own", None)
        .info
        .room;
    let invite = InviteToRoom {
        room: own,
        user: friend_id,
    };
    player.call(&invite).expect("its own room");
    friend.call(&JoinRoom { room: own }).expect("it is invited");
    let ban = BanMember {
        room: own,
        user: asked_id,
        until: None,
        reason: Some(planted("ban")),
    };
    player.call(&ban).expect("its own room");
    let direct = player
        .call(&OpenDirect { user: friend_id })
        .expect("a friend");
    let direct = direct.info.room;
    say(&mut player, direct, "between us").expect("it may");

    // In books.
    let grant = GrantPoints {
        user,
        amount: 10,
        reference: None,
        note: planted("grant"),
    };
    boss.call(&grant).expect("an admin may");
    let gift = GivePoints {
        user: friend_id,
        amount: 4,
        note: Some(planted("gift")),
    };
    player.call(&gift).expect("it has them");
    let back = GivePoints {
        user,
        amount: 1,
        note: Some(planted("gift back")),
    };
    friend
        .call_keyed(&back, "back")
        .expect("it has been given them");

    // In what the staff keeps.
    let of_message = ReportMessage {
        room: yard,
        seq: said[0],
        reason: ReportReason::Spam,
        note: None,
    };
    let number = friend.call(&of_message).expect("a member may").number;
    let of_friend = ReportPlayer {
        user: friend_id,
        reason: ReportReason::Other,
        note: Some(planted("report")),
    };
    player.call(&of_friend).expect("it may");
    let settle = SettleReport {
        number,
        outcome: ReportOutcome::Acted,
        note: Some(planted("settled")),
    };
    moderator.call(&settle).expect("it may");
    mute(&mut moderator, user).expect("it may");

    let delete = DeletePlayer {
        user,
        at_once: true,
        reason: planted("reason"),
    };
    assert_eq!(
        moderator.call(&delete).map_err(|fault| fault.code),
        Err(Code::Forbidden),
        "only admins may"
    );
    boss.call(&delete).expect("an admin may");
    until_erased(&mut moderator, user);

    // Nothing is given twice, though what was said with it is gone.
    let again = friend.call_keyed(&back, "back").map(drop);
    let code = again.map_err(|fault| fault.code);
    assert!(
        matches!(code, Err(Code::NotFound | Code::KeyReused)),
        "{code:?}"
    );

    // Whoever looks on is told, and whoever comes later sees it.
    let mut told: Vec<u64> = (0..3).map(|_| friend.event::<AuthorErased>().seq).collect();
    told.sort_unstable();
    assert_eq!(told, said);
    for (room, count) in [(yard, 3), (direct, 1)] {
        let messages = history(&mut friend, room).messages;
        assert_eq!(messages.len(), count);
        for message in messages {
            assert_eq!((message.from, message.name.as_str()), (NOBODY, ""));
            assert!(!message.text.is_empty(), "the words stay");
        }
    }
    let members = friend.call(&ListMembers {
        room: own,
        after: None,
        limit: None,
        online: false,
    });
    let members = members.expect("a member may").members;
    let owners: Vec<(UserId, MemberRole)> = members.iter().map(|it| (it.user, it.role)).collect();
    assert_eq!(owners, [(friend_id, MemberRole::Owner)], "it is handed on");
    let friends = friend.call(&ListFriends::default()).expect("its own");
    assert_eq!(friends.friends, []);
    let movements = friend.call(&ListMovements::default()).expect("its own");
    let movement = movements.movements.last().expect("the gift");
    assert_eq!((movement.amount, movement.note.as_deref()), (4, None));
    let reports = moderator.call(&ListReports::default()).expect("it may");
    let reports: Vec<(UserId, UserId, Option<String>)> = reports
        .reports
        .into_iter()
        .map(|it| (it.by, it.user, it.note))
        .collect();
    assert_eq!(reports, [(NOBODY, friend_id, None)]);

    // Neither a way back nor a trace of who it was; the name is free.
    let gone = friend.call(&GetProfile { user: Some(user) });
    assert_eq!(gone.map_err(|fault| fault.code), Err(Code::NotFound));
    let username = planted("user");
    let mut again = Player::connect(server.ws);
    let refused = login(&mut again, &username, PASSWORD);
    assert_eq!(
        refused.map_err(|fault| fault.code),
        Err(Code::WrongCredentials)
    );
    let found = friend.call(&FindPlayer { username });
    assert_eq!(found.map_err(|fault| fault.code), Err(Code::NotFound));
    let named = moderator.call(&FindPlayers {
        name: PLANTED.to_owned(),
        after: None,
        limit: None,
    });
    assert_eq!(named.expect("it may").players, []);
    let about: AuditLog = boss
        .call(&ListAuditLog {
            user: Some(user),
            ..ListAuditLog::default()
        })
        .expect("an admin may");
    let acts: Vec<AuditAct> = about.entries.iter().map(|it| it.entry.act).collect();
    assert!(acts.contains(&AuditAct::Muted) && acts.contains(&AuditAct::DeletionAsked));
    assert!(about.entries.iter().all(|it| it.details.is_none()));

    let log = server.log();
    let metrics = server.ops_page("/metrics");
    assert!(server.stop().success());
    assert!(verify(&server.data(), &[]).status.success(), "it is whole");
    is_clean(&server.data());
    for (what, text) in [("log", log + &server.log()), ("metrics", metrics)] {
        let line = text.lines().find(|line| line.contains(PLANTED));
        assert_eq!(line, None, "{what}");
    }
}

#[test]
fn players_are_found_page_by_page_in_the_order_of_their_names() {
    let mut server = Server::start(SETTINGS);
    let (_boss, mut moderator) = staff(&server);
    for name in ["Annb", "bert", "\u{c1}nna", "Ann"] {
        Player::guest(server.ws, name);
    }
    let (mut anna, _) = Player::guest(server.ws, "anna");
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let found = moderator.call(&FindPlayers {
            name: "ANN".to_owned(),
            after,
            limit: Some(1),
        });
        let page = found.expect("it may");
        names.extend(page.players.into_iter().map(|player| player.name));
        if names.len() == 2 {
            // Where she was is where the next page begins.
            let name = Some("Zoe".to_owned());
            let rename = UpdateProfile {
                name,
                ..UpdateProfile::default()
            };
            anna.call(&rename).expect("it is free");
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["Ann", "anna", "\u{c1}nna", "Annb"]);
    let lost = moderator.call(&FindPlayers {
        name: "a".to_owned(),
        after: Some("nowhere".to_owned()),
        limit: None,
    });
    let code = lost.map_err(|fault| fault.code);
    assert_eq!(code, Err(Code::InvalidArgument), "where was that?");
    assert!(server.stop().success());
}

#[test]
fn whoever_signs_in_within_the_time_of_grace_keeps_the_account() {
    let mut server = Server::start(SETTINGS);
    let (_boss, mut moderator) = staff(&server);
    let mut player = Player::connect(server.ws);
    let user = register(&mut player, "undecided").identity.user;
    let mut phone = Player::connect(server.ws);
    login(&mut phone, "undecided", PASSWORD).expect("the password is right");
    let room = create(&mut player, RoomKind::Public, "yard", None)
        .info
        .room;
    let delete = |password: Option<&str>| DeleteAccount {
        password: password.map(str::to_owned),
    };
    let refused = player.call(&delete(None)).map_err(|fault| fault.code);
    assert_eq!(refused, Err(Code::InvalidArgument));
    let refused = player.call(&delete(Some("wrong password")));
    assert_eq!(
        refused.map_err(|fault| fault.code),
        Err(Code::WrongCredentials)
    );
    let erase_at = player
        .call(&delete(Some(PASSWORD)))
        .expect("it is right")
        .erase_at;
    let (_, code) = phone.farewell();
    assert_eq!(code, Some(CloseCode::SessionEnded.number()));
    let record = moderator.call(&GetPlayerRecord { user }).expect("it may");
    assert_eq!(
        (record.erase_at, record.sessions.len()),
        (Some(erase_at), 0)
    );

    // It lasts.
    server.kill();
    let mut server = Server::start_in(server.folder(), SETTINGS);
    let mut moderator = Player::connect(server.ws);
    login(&mut moderator, "mod", PASSWORD).expect("the password is right");
    let record = moderator.call(&GetPlayerRecord { user }).expect("it may");
    assert_eq!(record.erase_at, Some(erase_at));

    let mut player = Player::connect(server.ws);
    login(&mut player, "undecided", PASSWORD).expect("it is taken back");
    let record = moderator.call(&GetPlayerRecord { user }).expect("it may");
    assert_eq!(record.erase_at, None);
    let open = OpenRoom {
        room,
        seq: None,
        rev: None,
    };
    player.call(&open).expect("everything is there");
    assert!(server.stop().success());
}

#[test]
fn who_may_not_be_deleted_is_not_and_an_interrupted_erasure_goes_on() {
    let settings = [SETTINGS, &["accounts.deletion_grace=0s"]].concat();
    let mut server = Server::start(&settings);
    let (mut boss, mut moderator) = staff(&server);
    let staff_member = moderator.call(&GetAccount {}).expect("its own").user;
    let deletion = |user| DeletePlayer {
        user,
        at_once: true,
        reason: WHY.to_owned(),
    };
    let own = DeleteAccount {
        password: Some(PASSWORD.to_owned()),
    };
    for refused in [
        boss.call(&deletion(staff_member)),
        boss.call(&own),
        moderator.call(&own),
    ] {
        let code = refused.map_err(|fault| fault.code);
        assert_eq!(code, Err(Code::Forbidden), "the role goes first");
    }
    let nobody = boss.call(&deletion(NOBODY)).map_err(|fault| fault.code);
    assert_eq!(nobody, Err(Code::NotFound));

    // Many messages, and the server is killed as soon as they are being erased.
    let (mut guest, signed_in) = Player::guest(server.ws, "chatty");
    let user = signed_in.identity.user;
    let (mut reader, _) = Player::guest(server.ws, "reader");
    let room = create(&mut reader, RoomKind::Public, "yard", None)
        .info
        .room;
    guest.call(&JoinRoom { room }).expect("anybody may");
    for number in 0..60 {
        while say(&mut guest, room, &format!("message {number}")).is_err() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    guest
        .call(&DeleteAccount { password: None })
        .expect("guests have no password");
    let first: AuthorErased = reader.event();
    assert_eq!(first.room, room);
    server.kill();

    let mut server = Server::start_in(server.folder(), &settings);
    let mut boss = Player::connect(server.ws);
    login(&mut boss, "boss", PASSWORD).expect("the password is right");
    until_erased(&mut boss, user);
    let (mut reader, _) = Player::guest(server.ws, "reader");
    let messages = history(&mut reader, room).messages;
    assert!(messages.iter().all(|message| message.from == NOBODY));
    assert_eq!(messages.len(), 50, "a page");
    // The device's secret is free: whoever comes with it is somebody else.
    let (mut again, signed_in) = Player::guest(server.ws, "chatty");
    assert_ne!(signed_in.identity.user, user);
    let upgrade = UpgradeGuest {
        username: "chatty".to_owned(),
        password: PASSWORD.to_owned(),
        email: None,
    };
    again.call(&upgrade).expect("as any other");
    assert!(server.stop().success());
}

/// Everything that is kept about a player, by pages; their own if it is nobody else's.
fn exported(by: &mut Player, user: Option<UserId>) -> Result<Vec<Value>, Fault> {
    let (mut records, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = by.call(&ExportPlayer { user, after })?;
        let found: Vec<Value> = serde_json::from_str(&page.records).expect("an array");
        records.extend(found);
        pages += 1;
        after = page.next;
        if after.is_none() {
            assert!(pages > 1, "of one page nothing is seen of the others");
            return Ok(records);
        }
    }
}

#[test]
fn a_player_and_an_admin_get_everything_that_is_kept_and_nobody_else() {
    let mut server = Server::start(SETTINGS);
    let (mut boss, mut moderator) = staff(&server);
    let (mut friend, friend_in) = Player::guest(server.ws, "friend");
    let friend_id = friend_in.identity.user;
    let (mut player, user) = planting(&server);
    player
        .call(&RequestFriend { user: friend_id })
        .expect("it may");
    let yard = create(&mut friend, RoomKind::Public, "yard", None)
        .info
        .room;
    player.call(&JoinRoom { room: yard }).expect("anybody may");
    let [left, kept_out] = ["left", "kept out"].map(|name| {
        let room = create(&mut friend, RoomKind::Public, name, None).info.room;
        player.call(&JoinRoom { room }).expect("anybody may");
        say(&mut friend, room, "not theirs").expect("a member may");
        let said = say(&mut player, room, &planted(name)).expect("a member may");
        let react = React {
            room,
            seq: said - 1,
            emoji: "👍".to_owned(),
            on: true,
        };
        for by in [&mut player, &mut friend] {
            by.call(&react).expect("a member may");
        }
        room
    });
    player.call(&LeaveRoom { room: left }).expect("it may");
    let ban = BanMember {
        room: kept_out,
        user,
        until: None,
        reason: Some(WHY.to_owned()),
    };
    friend.call(&ban).expect("it owns the room");
    let react = React {
        room: yard,
        seq: say(&mut friend, yard, "not theirs").expect("a member may"),
        emoji: "👍".to_owned(),
        on: true,
    };
    player.call(&react).expect("a member may");
    // More than a page of them, between those of somebody else.
    let long = "\u{1}long\"".repeat(300);
    for number in 0..20 {
        let said = say(&mut friend, yard, "not theirs");
        said.expect("a member may");
        while say(&mut player, yard, &format!("{number} {long}")).is_err() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let grant = GrantPoints {
        user,
        amount: 10,
        reference: None,
        note: planted("grant"),
    };
    boss.call(&grant).expect("an admin may");
    let report = ReportPlayer {
        user: friend_id,
        reason: ReportReason::Other,
        note: Some(planted("report")),
    };
    player.call(&report).expect("it may");
    mute(&mut moderator, user).expect("it may");

    let own = exported(&mut player, None).expect("its own");
    let of_kind = |records: &[Value], kind: &str| {
        let of_kind = records.iter().filter_map(|record| record.get(kind));
        of_kind.cloned().collect::<Vec<Value>>()
    };
    let told = |kind: &str| of_kind(&own, kind);
    let account = &told("account")[0];
    assert_eq!(account["profile"]["bio"], planted("bio").as_str());
    assert_eq!(account["mute"]["reason"], WHY);
    let email = format!("{}@example.com", planted("mail"));
    assert_eq!(account["account"]["email"], email.as_str());
    assert_eq!(told("session")[0]["device"], planted("device").as_str());
    assert_eq!(told("friend")[0]["user"], friend_id.to_string().as_str());
    assert_eq!(told("room")[0]["room"], yard.to_string().as_str());
    let messages = told("message");
    assert_eq!(messages.len(), 20);
    for (number, message) in messages.iter().enumerate() {
        let text = format!("{number} {long}");
        assert_eq!(message["message"]["text"], text.as_str());
    }
    let movement = &told("movement")[0];
    assert_eq!(movement["note"], planted("grant").as_str());
    assert_eq!(movement.get("by"), None, "not who of the staff it was");
    assert_eq!(told("report")[0]["note"], planted("report").as_str());
    let muted = told("event");
    let muted = muted.iter().find(|event| event["act"] == "muted");
    assert_eq!(muted.expect("it was")["by_themselves"], false);
    assert!(
        told("inbox")
            .iter()
            .any(|it| it["entry"]["kind"] == "muted")
    );

    assert_eq!(told("room").len(), 1);
    assert_eq!(told("reaction").len(), 1);

    // The same, and then what is in rooms that are not in the player's list.
    let by_admin = exported(&mut boss, Some(user)).expect("an admin may");
    let (same, elsewhere) = by_admin.split_at(own.len());
    assert_eq!(of_kind(same, "message"), messages);
    let said = of_kind(elsewhere, "message");
    let mut texts: Vec<&str> = said
        .iter()
        .filter_map(|message| message["message"]["text"].as_str())
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, [planted("kept out"), planted("left")]);
    assert_eq!(of_kind(elsewhere, "reaction").len(), 2);
    let rooms = of_kind(elsewhere, "room");
    let [room] = &rooms[..] else {
        panic!("one of both says something: {rooms:?}");
    };
    assert_eq!(room["room"], kept_out.to_string().as_str());
    let banned = &room["place"]["state"]["banned"];
    assert_eq!(banned["reason"], WHY);
    assert_eq!(banned.get("by"), None, "not who it was");
    assert_eq!(elsewhere.len(), 5, "{elsewhere:?}");
    for other in [&mut moderator, &mut friend] {
        let refused = exported(other, Some(user)).map_err(|fault| fault.code);
        assert_eq!(refused, Err(Code::Forbidden));
    }
    let nobody = exported(&mut boss, Some(NOBODY)).map_err(|fault| fault.code);
    assert_eq!(nobody, Err(Code::NotFound));
    for wrong in [
        "", "x", "99", "2.x", "2.:1", "0.x", "-1.", "8.é", "10.\u{0}",
    ] {
        let page = player.call(&ExportPlayer {
            user: None,
            after: Some(wrong.to_owned()),
        });
        let code = page.map(drop).map_err(|fault| fault.code);
        assert_eq!(code, Err(Code::InvalidArgument), "{wrong:?}");
    }
    assert!(server.stop().success());
}
