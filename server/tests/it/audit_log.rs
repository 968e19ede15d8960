//! The audit log, from outside: what becomes an entry, who reads it, and what shows that it is whole.

use std::path::Path;
use std::process::Output;
use std::time::Instant;

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::{
    ChangePassword, IssuePasswordReset, ListSessions, LoginGuest, LogoutEverywhere, RefreshTokens,
    ResetPassword, RevokeSession, Role, UpgradeGuest,
};
use pitturu_protocol::types::audit_log::{AuditAct, AuditEntry, AuditRecord, ListAuditLog};
use pitturu_protocol::types::chat::{
    BanMember, DeleteMessage, DeleteRoom, JoinRoom, KickMember, MemberRole, MuteMember, RoomKind,
    SetMemberRole, UnbanMember,
};
use pitturu_protocol::types::moderation::{
    LiftSuspension, ResetProfile, SignOutPlayer, UnmutePlayer,
};
use pitturu_rules::audit_log::Head;
use pitturu_store::clock::now_ms;

use crate::chat::create;
use crate::launch::{Server, program};
use crate::moderation::{PASSWORD, SETTINGS, WHY, login, mute, register, say, staff, suspend};
use crate::player::Player;
use crate::raw::PATIENCE;

/// Every entry, oldest first, by pages of three.
fn whole(by: &mut Player, user: Option<UserId>) -> Vec<AuditRecord> {
    let (mut records, mut before) = (Vec::new(), None);
    loop {
        let page = ListAuditLog {
            user,
            before,
            limit: Some(3),
        };
        let page = by.call(&page).expect("it may");
        records.extend(page.entries);
        before = page.next;
        if before.is_none() {
            records.reverse();
            return records;
        }
    }
}

/// What an entry says, without what no test knows before.
type Said = (AuditAct, Option<UserId>, Option<UserId>, Option<RoomId>);

fn said(entry: &AuditEntry) -> Said {
    (entry.act, entry.by, entry.user, entry.room)
}

/// Waits until the log says this, in whatever order the entities told it, and nothing else.
fn until_it_says(by: &mut Player, expected: &[Said]) -> Vec<AuditRecord> {
    let sorted = |mut all: Vec<String>| {
        all.sort_unstable();
        all
    };
    let expected = sorted(expected.iter().map(|said| format!("{said:?}")).collect());
    let began = Instant::now();
    loop {
        let records = whole(by, None);
        let all = records.iter().map(|record| said(&record.entry));
        let all = sorted(all.map(|said| format!("{said:?}")).collect());
        if all == expected {
            return records;
        }
        assert!(began.elapsed() < PATIENCE, "{all:#?}\nnot\n{expected:#?}");
    }
}

fn check(records: &[AuditRecord]) {
    let mut head = Head::default();
    for record in records {
        head.follow(record).expect("it follows");
    }
}

/// What the program says about the log in this folder.
pub(crate) fn verify(data: &Path, known: &[&str]) -> Output {
    let mut command = program();
    command.args(["--dev", "--data"]).arg(data);
    command.args(["audit-log", "verify"]);
    for known in known {
        command.args(["--known", known]);
    }
    command.output().expect("it runs")
}

/// What the staff does to a player's account. What changes nothing is done as well, and is no entry.
fn act_on_account(moderator: &mut Player, user: UserId) -> [AuditAct; 6] {
    suspend(moderator, user, Some(now_ms() + 3_600_000)).expect("it may");
    for _ in 0..2 {
        moderator.call(&LiftSuspension { user }).expect("it may");
    }
    mute(moderator, user).expect("it may");
    for _ in 0..2 {
        moderator.call(&UnmutePlayer { user }).expect("it may");
    }
    let reset = ResetProfile {
        user,
        name: Some("Player".to_owned()),
        avatar: false,
        bio: false,
        reason: WHY.to_owned(),
    };
    for _ in 0..2 {
        moderator.call(&reset).expect("it may");
    }
    moderator.call(&SignOutPlayer { user }).expect("it may");
    moderator.call(&SignOutPlayer { user }).expect("it may");
    [
        AuditAct::Suspended,
        AuditAct::SuspensionLifted,
        AuditAct::Muted,
        AuditAct::Unmuted,
        AuditAct::ProfileReset,
        AuditAct::SignedOutEverywhere,
    ]
}

/// What happens to the safety of an account: by itself, and by nobody who is signed in.
fn live_through(server: &Server, boss: &mut Player) -> Vec<Said> {
    let mut guest = Player::connect(server.ws);
    let secret = "s".repeat(32);
    let (name, device) = (None, None);
    let signed_in = guest.call(&LoginGuest {
        secret,
        name,
        device,
    });
    let user = signed_in.expect("anybody may").identity.user;
    let upgrade = UpgradeGuest {
        username: "cautious".to_owned(),
        password: PASSWORD.to_owned(),
        email: None,
    };
    guest.call(&upgrade).expect("the name is free");
    let mut other = Player::connect(server.ws);
    login(&mut other, "cautious", PASSWORD).expect("it is right");
    let sessions = guest.call(&ListSessions {}).expect("it may").sessions;
    let session = sessions.iter().find(|session| !session.current);
    let session = session.expect("there is another").session;
    let revoke = RevokeSession { session };
    guest.call(&revoke).expect("it is its own");
    let change = ChangePassword {
        old: PASSWORD.to_owned(),
        new: "another one".to_owned(),
    };
    guest.call(&change).expect("it is right");
    guest.call(&LogoutEverywhere {}).expect("it may");

    let reset = boss.call(&IssuePasswordReset { user });
    let token = reset.expect("an admin may").token;
    let password = PASSWORD.to_owned();
    let mut anyone = Player::connect(server.ws);
    let reset = anyone.call(&ResetPassword { token, password });
    reset.expect("the token is good");
    let refresh = login(&mut anyone, "cautious", PASSWORD).expect("it is right");
    let refresh = refresh.refresh;
    // A used token that comes from elsewhere.
    let refresh = RefreshTokens { refresh };
    let mut elsewhere = Player::connect(server.ws);
    elsewhere.call(&refresh).expect("it is the newest");
    let mut thief = Player::connect(server.ws);
    let reused = thief.call(&refresh).expect_err("it was used");
    assert_eq!(reused.code, Code::RefreshReused);
    let own = |act| (act, Some(user), Some(user), None);
    let of_nobody = |act| (act, None, Some(user), None);
    let boss = id_of(boss);
    vec![
        own(AuditAct::GuestUpgraded),
        own(AuditAct::SessionRevoked),
        own(AuditAct::PasswordChanged),
        own(AuditAct::SignedOutEverywhere),
        (AuditAct::PasswordResetIssued, Some(boss), Some(user), None),
        of_nobody(AuditAct::PasswordChanged),
        of_nobody(AuditAct::RefreshTokenReused),
    ]
}

/// The id behind a connection.
fn id_of(player: &mut Player) -> UserId {
    use pitturu_protocol::types::accounts::GetAccount;
    player.call(&GetAccount {}).expect("signed in").user
}

/// What the staff does in somebody's room.
fn act_in_room(server: &Server, boss: &mut Player) -> (UserId, UserId, RoomId) {
    let (mut owner, signed_in) = Player::guest(server.ws, "owner");
    let owner_id = signed_in.identity.user;
    let (mut member, signed_in) = Player::guest(server.ws, "member");
    let user = signed_in.identity.user;
    let room = create(&mut owner, RoomKind::Public, "yard", None).info.room;
    member.call(&JoinRoom { room }).expect("anybody may");
    let seq = say(&mut member, room, "rude words").expect("it may");
    say(&mut member, room, "more").expect("it may");
    // What owners and players do among themselves is theirs.
    let own = DeleteMessage { room, seq: seq + 1 };
    member.call(&own).expect("it is its own");
    let until = now_ms() + 3_600_000;
    owner
        .call(&MuteMember { room, user, until })
        .expect("an owner may");
    boss.call(&DeleteMessage { room, seq })
        .expect("an admin may");
    let longer = MuteMember {
        room,
        user,
        until: until + 1,
    };
    boss.call(&longer).expect("it may");
    // What is so already is no act.
    boss.call(&longer).expect("it may");
    let role = MemberRole::Moderator;
    boss.call(&SetMemberRole { room, user, role })
        .expect("it may");
    let reason = Some(WHY.to_owned());
    boss.call(&KickMember { room, user, reason })
        .expect("it may");
    let (until, reason) = (Some(until), Some(WHY.to_owned()));
    let ban = BanMember {
        room,
        user,
        until,
        reason,
    };
    boss.call(&ban).expect("it may");
    boss.call(&UnbanMember { room, user }).expect("it may");
    boss.call(&DeleteRoom { room }).expect("it may");
    (owner_id, user, room)
}

#[test]
fn what_the_staff_does_and_what_happens_to_accounts_is_kept_and_survives_a_crash() {
    let mut server = Server::start(SETTINGS);
    let (mut boss, mut moderator) = staff(&server);
    let (boss_id, moderator_id) = (id_of(&mut boss), id_of(&mut moderator));
    let mut expected = vec![
        (AuditAct::RoleChanged, None, Some(boss_id), None),
        (
            AuditAct::RoleChanged,
            Some(boss_id),
            Some(moderator_id),
            None,
        ),
    ];
    let mut rude = Player::connect(server.ws);
    let user = register(&mut rude, "rude").identity.user;
    let acts = act_on_account(&mut moderator, user);
    let by_moderator = |act| (act, Some(moderator_id), Some(user), None);
    expected.extend(acts.map(by_moderator));
    expected.extend(live_through(&server, &mut boss));
    let (_, member, room) = act_in_room(&server, &mut boss);
    let acts = [
        AuditAct::MessageDeleted,
        AuditAct::MutedInRoom,
        AuditAct::RoomRoleChanged,
        AuditAct::Kicked,
        AuditAct::Banned,
        AuditAct::Unbanned,
    ];
    expected.extend(acts.map(|act| (act, Some(boss_id), Some(member), Some(room))));
    expected.push((AuditAct::RoomDeleted, Some(boss_id), None, Some(room)));

    let records = until_it_says(&mut boss, &expected);
    check(&records);
    let suspended = records
        .iter()
        .find(|it| it.entry.act == AuditAct::Suspended);
    let suspended = suspended.expect("it was");
    assert!(suspended.entry.until.is_some());
    let details = suspended.details.as_ref().expect("there are");
    assert_eq!(details.reason.as_deref(), Some(WHY));
    assert_eq!(details.address.as_deref(), Some("127.0.0.1"));
    let role = |record: &&AuditRecord| record.entry.user == Some(moderator_id);
    let role = records.iter().find(role).expect("it was given");
    assert_eq!(role.entry.role, Some(Role::Moderator));

    server.kill();
    let server = Server::start_in(server.folder(), SETTINGS);
    let mut boss = Player::connect(server.ws);
    login(&mut boss, "boss", PASSWORD).expect("it is right");
    assert_eq!(until_it_says(&mut boss, &expected), records);
}

#[test]
fn lock_outs_are_entries_but_not_each_attempt() {
    let server = Server::start(SETTINGS);
    let (mut boss, _moderator) = staff(&server);
    let mut player = Player::connect(server.ws);
    let user = register(&mut player, "victim").identity.user;
    let mut refused = 0;
    while refused < 5 {
        let mut thief = Player::connect(server.ws);
        let fault = login(&mut thief, "victim", "a wrong one").expect_err("it is wrong");
        refused += u32::from(fault.code == Code::LockedOut);
    }
    let began = Instant::now();
    loop {
        let about = whole(&mut boss, Some(user));
        let acts: Vec<AuditAct> = about.iter().map(|record| record.entry.act).collect();
        if !acts.is_empty() {
            assert_eq!(acts, [AuditAct::LockedOut]);
            let details = about[0].details.as_ref().expect("there are");
            assert_eq!(details.address.as_deref(), Some("127.0.0.1"));
            break;
        }
        assert!(began.elapsed() < PATIENCE, "no entry");
    }
}

#[test]
fn moderators_read_of_one_player_without_addresses_and_players_nothing() {
    let server = Server::start(SETTINGS);
    let (mut boss, mut moderator) = staff(&server);
    let (mut player, signed_in) = Player::guest(server.ws, "player");
    let user = signed_in.identity.user;
    let (_, other) = Player::guest(server.ws, "other");
    suspend(&mut moderator, other.identity.user, None).expect("it may");
    mute(&mut boss, user).expect("it may");
    let about = whole(&mut moderator, Some(user));
    let acts: Vec<AuditAct> = about.iter().map(|record| record.entry.act).collect();
    assert_eq!(acts, [AuditAct::Muted]);
    let details = about[0].details.as_ref().expect("a moderator sees why");
    assert_eq!(details.reason.as_deref(), Some(WHY));
    assert_eq!((&details.address, &details.salt), (&None, &None));
    let own = id_of(&mut moderator);
    let acts = whole(&mut boss, Some(own));
    let acts: Vec<AuditAct> = acts.iter().map(|record| record.entry.act).collect();
    assert_eq!(acts, [AuditAct::RoleChanged, AuditAct::Suspended]);

    let of_one = ListAuditLog {
        user: Some(user),
        ..ListAuditLog::default()
    };
    let of_all = ListAuditLog::default();
    for refused in [
        moderator.call(&of_all),
        player.call(&of_all),
        player.call(&of_one),
    ] {
        assert_eq!(refused.expect_err("it may not").code, Code::Forbidden);
    }
    let too_many = ListAuditLog {
        limit: Some(201),
        ..ListAuditLog::default()
    };
    let refused = boss.call(&too_many).expect_err("it is too much");
    assert_eq!(refused.field.as_deref(), Some("limit"));
}

#[test]
fn the_program_checks_the_log_of_a_server_that_does_not_run() {
    let mut server = Server::start(SETTINGS);
    let (mut boss, mut moderator) = staff(&server);
    let (_player, signed_in) = Player::guest(server.ws, "player");
    suspend(&mut moderator, signed_in.identity.user, None).expect("it may");
    let records = whole(&mut boss, None);
    let known: Vec<String> = records
        .iter()
        .map(|record| format!("{}:{}", record.entry.number, record.digest))
        .collect();
    let newest = known.last().expect("there are entries");
    // The log of the server has what a later check compares.
    let began = Instant::now();
    let digest = &records.last().expect("there are").digest;
    while !server.log().contains(digest.as_str()) {
        assert!(
            began.elapsed() < PATIENCE,
            "{digest} is not in\n{}",
            server.log()
        );
    }
    let data = server.data();
    assert!(!verify(&data, &[]).status.success(), "a server runs there");
    server.stop();

    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let whole = verify(&data, &known);
    let told = String::from_utf8_lossy(&whole.stdout);
    assert!(whole.status.success(), "{told}");
    assert!(told.contains(newest.as_str()), "{told}");
    assert!(told.contains("0 faults"), "{told}");
    // Of a log that was written anew, or whose end was cut off, other digests are known.
    let zeros = "0".repeat(64);
    for known in [format!("2:{zeros}"), format!("99:{digest}")] {
        let other = verify(&data, &[&known]);
        assert_eq!(other.status.code(), Some(1));
        let told = String::from_utf8_lossy(&other.stdout);
        assert!(told.contains("FAULT"), "{told}");
    }
    assert!(
        verify(&data, &["0:"]).status.success(),
        "an empty log is known"
    );
    for wrong in ["2", "2:xyz", &format!("0:{zeros}")] {
        assert_eq!(verify(&data, &[wrong]).status.code(), Some(2), "{wrong}");
    }
    let nothing = tempfile::tempdir().expect("a folder");
    assert!(!verify(nothing.path(), &[]).status.success(), "no store");
}
