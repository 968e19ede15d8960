//! Reports of players and what the staff does with them, from outside.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::GetAccount;
use pitturu_protocol::types::audit_log::{AuditAct, ListAuditLog};
use pitturu_protocol::types::chat::{DeleteMessage, JoinRoom, LeaveRoom, RoomKind};
use pitturu_protocol::types::reports::{
    ListReports, Report, ReportMessage, ReportOutcome, ReportPlayer, ReportReason, SettleReport,
    TakeReport,
};

use crate::chat::{create, say};
use crate::launch::Server;
use crate::moderation::{PASSWORD, SETTINGS, login, staff};
use crate::player::Player;

fn report_message(by: &mut Player, room: RoomId, seq: u64) -> Result<u64, Fault> {
    let request = ReportMessage {
        room,
        seq,
        reason: ReportReason::Spam,
        note: Some("again and again".to_owned()),
    };
    by.call(&request).map(|reported| reported.number)
}

fn report_player(by: &mut Player, user: UserId) -> Result<u64, Fault> {
    let request = ReportPlayer {
        user,
        reason: ReportReason::Profile,
        note: None,
    };
    by.call(&request).map(|reported| reported.number)
}

fn listed(by: &mut Player, request: &ListReports) -> Vec<Report> {
    by.call(request).expect("it may").reports
}

fn open() -> ListReports {
    ListReports::default()
}

fn settled() -> ListReports {
    ListReports {
        settled: true,
        ..ListReports::default()
    }
}

fn settle(by: &mut Player, number: u64) -> Result<Report, Fault> {
    by.call(&SettleReport {
        number,
        outcome: ReportOutcome::Acted,
        note: Some("suspended".to_owned()),
    })
}

#[test]
fn a_reported_message_is_seen_as_it_was_taken_and_settled() {
    let mut server = Server::start(SETTINGS);
    let (mut boss, mut moderator) = staff(&server);
    let (mut spammer, signed_in) = Player::guest(server.ws, "spammer");
    let about = signed_in.identity.user;
    let (mut reader, reader_in) = Player::guest(server.ws, "reader");
    let room = create(&mut spammer, RoomKind::Public, "yard", None)
        .info
        .room;
    reader.call(&JoinRoom { room }).expect("anybody may");
    let seq = say(&mut spammer, room, "buy my things");
    let number = report_message(&mut reader, room, seq).expect("a member may");
    assert_eq!(report_message(&mut reader, room, seq), Ok(number));
    // What was reported stays as it was.
    spammer
        .call(&DeleteMessage { room, seq })
        .expect("it is its own");
    assert_eq!(report_player(&mut reader, about), Ok(number + 1));
    let late = report_message(&mut reader, room, seq).expect_err("it is deleted");
    assert_eq!(late.code, Code::MessageDeleted);

    let found = listed(&mut moderator, &open());
    let numbers: Vec<u64> = found.iter().map(|report| report.number).collect();
    assert_eq!(numbers, [number + 1, number], "newest first");
    let report = &found[1];
    assert_eq!((report.by, report.user), (reader_in.identity.user, about));
    assert_eq!(report.note.as_deref(), Some("again and again"));
    let message = report.message.as_ref().expect("it is about one");
    assert_eq!((message.room, message.seq), (room, seq));
    assert_eq!(
        (&*message.text, &*message.name),
        ("buy my things", "spammer")
    );
    let taken = moderator.call(&TakeReport { number }).expect("it may");
    let moderator_id = taken.staff.expect("who took it");
    assert_eq!(listed(&mut boss, &open())[1].staff, Some(moderator_id));

    server.kill();
    let server = Server::start_in(server.folder(), SETTINGS);
    let mut moderator = Player::connect(server.ws);
    login(&mut moderator, "mod", PASSWORD).expect("it is right");
    let done = settle(&mut moderator, number).expect("it may");
    assert_eq!(done.staff, Some(moderator_id));
    let again = settle(&mut moderator, number).expect("as it was settled first");
    assert_eq!(again, done);
    let left = listed(&mut moderator, &open());
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(
        listed(&mut moderator, &settled()),
        std::slice::from_ref(&done)
    );
    let of_player = ListReports {
        user: Some(about),
        ..open()
    };
    assert_eq!(listed(&mut moderator, &of_player), [left[0].clone(), done]);
    let mut boss = Player::connect(server.ws);
    login(&mut boss, "boss", PASSWORD).expect("it is right");
    let log = boss.call(&ListAuditLog::default()).expect("it may").entries;
    let entry = &log[0].entry;
    assert_eq!(entry.act, AuditAct::ReportSettled);
    assert_eq!((entry.by, entry.user), (Some(moderator_id), Some(about)));
}

#[test]
fn a_repetition_is_the_first_report_whatever_became_of_the_message() {
    let server = Server::start(SETTINGS);
    let (mut spammer, _) = Player::guest(server.ws, "spammer");
    let (mut reader, _) = Player::guest(server.ws, "reader");
    let room = create(&mut spammer, RoomKind::Public, "yard", None)
        .info
        .room;
    reader.call(&JoinRoom { room }).expect("anybody may");
    let seq = say(&mut spammer, room, "buy my things");
    let report = ReportMessage {
        room,
        seq,
        reason: ReportReason::Spam,
        note: None,
    };
    let first = reader.call_keyed(&report, "r1").expect("a member may");
    spammer
        .call(&DeleteMessage { room, seq })
        .expect("it is its own");
    reader.call(&LeaveRoom { room }).expect("it may");
    assert_eq!(reader.call_keyed(&report, "r1"), Ok(first));
    let other = ReportMessage {
        reason: ReportReason::Abuse,
        ..report
    };
    let reused = reader.call_keyed(&other, "r1").expect_err("another");
    assert_eq!(reused.code, Code::KeyReused);
}

#[test]
fn what_can_not_be_reported_is_refused_and_players_see_no_reports() {
    let server = Server::start(SETTINGS);
    let (_boss, mut moderator) = staff(&server);
    let (mut owner, signed_in) = Player::guest(server.ws, "owner");
    let (mut stranger, _) = Player::guest(server.ws, "stranger");
    let room = create(&mut owner, RoomKind::Private, "yard", None)
        .info
        .room;
    let seq = say(&mut owner, room, "words");
    let code = |outcome: Result<u64, Fault>| outcome.expect_err("it may not").code;
    assert_eq!(
        code(report_message(&mut stranger, room, seq)),
        Code::RoomNotFound
    );
    let nowhere = RoomId::from_bytes([7; 10]);
    assert_eq!(
        code(report_message(&mut stranger, nowhere, 1)),
        Code::RoomNotFound
    );
    assert_eq!(
        code(report_message(&mut owner, room, seq)),
        Code::InvalidArgument
    );
    assert_eq!(
        code(report_message(&mut owner, room, 99)),
        Code::MessageNotFound
    );
    let user = signed_in.identity.user;
    assert_eq!(code(report_player(&mut owner, user)), Code::InvalidArgument);
    let nobody = UserId::from_bytes([7; 10]);
    assert_eq!(code(report_player(&mut owner, nobody)), Code::NotFound);
    report_player(&mut stranger, user).expect("anybody may");
    for refused in [
        stranger.call(&open()).map(drop),
        stranger.call(&TakeReport { number: 1 }).map(drop),
        settle(&mut stranger, 1).map(drop),
    ] {
        assert_eq!(refused.expect_err("it may not").code, Code::Forbidden);
    }
    let report = &listed(&mut moderator, &open())[0];
    assert_eq!((report.staff, &report.settled), (None, &None));
    let unknown = settle(&mut moderator, 99).expect_err("there is none");
    assert_eq!(unknown.code, Code::NotFound);
}

#[test]
fn a_moderator_neither_sees_nor_settles_what_is_about_them() {
    let server = Server::start(SETTINGS);
    let (mut boss, mut moderator) = staff(&server);
    let (mut player, _) = Player::guest(server.ws, "player");
    let own = moderator.call(&GetAccount {}).expect("signed in").user;
    let number = report_player(&mut player, own).expect("anybody may");
    assert_eq!(listed(&mut moderator, &open()), []);
    let of_own = ListReports {
        user: Some(own),
        ..open()
    };
    assert_eq!(listed(&mut moderator, &of_own), []);
    for refused in [
        moderator.call(&TakeReport { number }),
        settle(&mut moderator, number),
    ] {
        // As if there were none.
        assert_eq!(refused.expect_err("it may not").code, Code::NotFound);
    }
    assert_eq!(listed(&mut boss, &open()).len(), 1);
    settle(&mut boss, number).expect("another may");
}

#[test]
fn reports_come_by_pages() {
    let server = Server::start(SETTINGS);
    let (_boss, mut moderator) = staff(&server);
    let (mut reader, _) = Player::guest(server.ws, "reader");
    let users: Vec<UserId> = (0..5)
        .map(|number| {
            let (_, signed_in) = Player::guest(server.ws, &format!("guest {number}"));
            signed_in.identity.user
        })
        .collect();
    for user in &users {
        report_player(&mut reader, *user).expect("anybody may");
    }
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = ListReports {
            before,
            limit: Some(2),
            ..open()
        };
        let page = moderator.call(&page).expect("it may");
        found.extend(page.reports.iter().map(|report| report.user));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    found.reverse();
    assert_eq!(found, users);
}
