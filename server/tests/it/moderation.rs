//! What moderators and admins do about players, from outside.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pitturu_protocol::codes::{CloseCode, Code, Fault};
use pitturu_protocol::frame::ClientFrame;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::{
    Authenticate, GetAccount, Login, LoginGuest, RefreshTokens, Register, Role, SetRole, SignedIn,
    UpgradeGuest,
};
use pitturu_protocol::types::chat::{
    CreateRoom, EnterRoom, ListMyRooms, OpenDirect, RoomKind, SendMessage,
};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_protocol::types::moderation::{
    GetPlayerRecord, LiftSuspension, MutePlayer, PlayerSuspended, ResetProfile, SignOutPlayer,
    SuspendPlayer, UnmutePlayer,
};
use pitturu_protocol::types::presence::{GetPresence, SetPresence, Status};
use pitturu_protocol::types::profile::{GetProfile, UpdateProfile};
use pitturu_protocol::types::system::{Hello, Resume, Welcome};

use crate::launch::Server;
use crate::player::{Came, Player};

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) const WHY: &str = "insults in the lobby";

pub(crate) const SETTINGS: &[&str] = &["accounts.bcrypt_cost=4", "accounts.admins=boss"];

pub(crate) fn register(player: &mut Player, username: &str) -> SignedIn {
    let request = Register {
        username: username.to_owned(),
        password: PASSWORD.to_owned(),
        name: None,
        email: None,
        device: None,
    };
    player.call(&request).expect("the name is free")
}

pub(crate) fn login(
    player: &mut Player,
    username: &str,
    password: &str,
) -> Result<SignedIn, Fault> {
    player.call(&Login {
        username: username.to_owned(),
        password: password.to_owned(),
        device: None,
        known: None,
    })
}

fn guest(player: &mut Player, secret: &str) -> Result<SignedIn, Fault> {
    player.call(&LoginGuest {
        secret: format!("{secret:-<32}"),
        name: None,
        device: None,
    })
}

/// An admin and a moderator.
pub(crate) fn staff(server: &Server) -> (Player, Player) {
    let mut boss = Player::connect(server.ws);
    register(&mut boss, "boss");
    let mut moderator = Player::connect(server.ws);
    let user = register(&mut moderator, "mod").identity.user;
    let role = Role::Moderator;
    boss.call(&SetRole { user, role }).expect("an admin may");
    (boss, moderator)
}

pub(crate) fn suspend(by: &mut Player, user: UserId, until: Option<u64>) -> Result<(), Fault> {
    let reason = WHY.to_owned();
    let request = SuspendPlayer {
        user,
        until,
        reason,
    };
    by.call(&request).map(drop)
}

pub(crate) fn mute(by: &mut Player, user: UserId) -> Result<(), Fault> {
    let reason = WHY.to_owned();
    let request = MutePlayer {
        user,
        until: None,
        reason,
    };
    by.call(&request).map(drop)
}

/// What a hello with this token brings.
fn hello(server: &Server, access: &str) -> (Player, Welcome) {
    let mut player = Player::silent(server.ws);
    let hello = Hello {
        v: pitturu_protocol::VERSION,
        sdk: "test/0".to_owned(),
        token: Some(access.to_owned()),
        presence: None,
    };
    player.send(&ClientFrame::Hello(hello).encode());
    match player.next() {
        Came::Welcome(welcome) => (player, welcome),
        other => panic!("no welcome but {other:?}"),
    }
}

/// That the player was told why, and cut off, at once.
pub(crate) fn is_put_out(player: &mut Player, since: Instant) {
    let told: PlayerSuspended = player.event();
    assert_eq!(told.reason, WHY);
    loop {
        match player.next() {
            Came::Closed(code) => {
                assert_eq!(code, Some(CloseCode::Suspended.number()));
                break;
            }
            Came::Event(..) | Came::Other => {}
            other => panic!("no close but {other:?}"),
        }
    }
    let took = since.elapsed();
    assert!(took < Duration::from_secs(1), "only after {took:?}");
}

fn says_why(fault: &Fault) {
    assert_eq!(fault.code, Code::Suspended);
    assert_eq!(fault.message, WHY);
}

fn room(player: &mut Player) -> RoomId {
    let request = CreateRoom {
        kind: RoomKind::Public,
        name: "yard".to_owned(),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    };
    player.call(&request).expect("it may").info.room
}

pub(crate) fn say(player: &mut Player, room: RoomId, text: &str) -> Result<u64, Fault> {
    let request = SendMessage {
        room,
        text: text.to_owned(),
        data: None,
        reply_to: None,
    };
    player.call(&request).map(|sent| sent.seq)
}

#[test]
fn a_suspended_player_is_out_at_once_has_no_way_back_and_finds_everything_when_it_ends() {
    let mut server = Server::start(SETTINGS);
    let (_boss, mut moderator) = staff(&server);
    let mut phone = Player::connect(server.ws);
    let on_phone = register(&mut phone, "rude");
    let mut desk = Player::connect(server.ws);
    let on_desk = login(&mut desk, "rude", PASSWORD).expect("it is right");
    let yard = room(&mut phone);
    say(&mut phone, yard, "before").expect("a member may");
    let user = on_phone.identity.user;

    let since = Instant::now();
    suspend(&mut moderator, user, None).expect("a moderator may");
    for player in [&mut phone, &mut desk] {
        is_put_out(player, since);
    }
    for signed_in in [&on_phone, &on_desk] {
        let (mut player, welcome) = hello(&server, &signed_in.access);
        assert_eq!(welcome.identity, None);
        says_why(&welcome.refused.expect("the token counts no more"));
        let access = signed_in.access.clone();
        says_why(&player.call(&Authenticate { access }).unwrap_err());
        let refresh = signed_in.refresh.clone();
        says_why(&player.call(&RefreshTokens { refresh }).unwrap_err());
        says_why(&login(&mut player, "rude", PASSWORD).unwrap_err());
        // Whoever does not know the password is told nothing of it.
        let wrong = login(&mut player, "rude", "not the password").unwrap_err();
        assert_eq!(wrong, Fault::of(Code::WrongCredentials));
        let nobody = player.call(&GetAccount {}).unwrap_err();
        assert_eq!(nobody.code, Code::Unauthenticated);
    }

    server.kill();
    let server = Server::start_in(server.folder(), SETTINGS);
    says_why(&login(&mut Player::connect(server.ws), "rude", PASSWORD).unwrap_err());
    let mut moderator = Player::connect(server.ws);
    login(&mut moderator, "mod", PASSWORD).expect("it is right");
    let record = moderator.call(&GetPlayerRecord { user }).expect("it may");
    let suspension = record.suspension.expect("it is in force");
    assert_eq!((suspension.reason.as_str(), suspension.until), (WHY, None));
    assert_eq!((record.sessions.len(), record.connections), (2, 0));
    assert!(record.sessions.iter().all(|held| held.address.is_none()));
    for _ in 0..2 {
        let lift = LiftSuspension { user };
        moderator.call(&lift).expect("a moderator may");
    }

    // The sessions of before, with the tokens of before.
    let (mut phone, welcome) = hello(&server, &on_phone.access);
    assert_eq!(welcome.identity.map(|identity| identity.user), Some(user));
    let mine = phone.call(&ListMyRooms::default()).expect("it may");
    let rooms: Vec<RoomId> = mine.rooms.iter().map(|room| room.info.room).collect();
    assert_eq!(rooms, [yard]);
    say(&mut phone, yard, "after").expect("it is still a member");
    let mut desk = Player::connect(server.ws);
    let refresh = on_desk.refresh;
    desk.call(&RefreshTokens { refresh })
        .expect("it was not used up");
    let resume = Resume {
        epoch: None,
        inbox: Some(0),
        rooms: Vec::new(),
    };
    desk.call(&resume).expect("it may");
    let told: InboxAdded = desk.event();
    let reason = WHY.to_owned();
    let entry = InboxEntry::Suspended {
        until: None,
        reason,
    };
    assert_eq!(told.entry, entry);
}

#[test]
fn a_guest_is_kept_out_by_the_secret_and_comes_back_when_the_time_is_over() {
    let server = Server::start(SETTINGS);
    let (_boss, mut moderator) = staff(&server);
    let mut player = Player::connect(server.ws);
    let identity = guest(&mut player, "rude").expect("it is new").identity;
    let since = Instant::now();
    let until = server_clock() + 1_500;
    suspend(&mut moderator, identity.user, Some(until)).expect("a moderator may");
    is_put_out(&mut player, since);
    let mut player = Player::connect(server.ws);
    let fault = guest(&mut player, "rude").unwrap_err();
    says_why(&fault);
    let wait = fault.retry_after_ms.expect("it ends by itself");
    assert!(wait <= 1_500, "{wait}");
    std::thread::sleep(Duration::from_millis(wait + 50));
    let again = guest(&mut player, "rude").expect("it is over");
    assert_eq!((again.identity.user, again.created), (identity.user, false));
}

fn server_clock() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[test]
fn nothing_of_a_muted_player_reaches_others_anywhere() {
    let server = Server::start(SETTINGS);
    let (_boss, mut moderator) = staff(&server);
    let (mut other, _) = Player::guest(server.ws, "other");
    let yard = room(&mut other);
    let mut rude = Player::connect(server.ws);
    let signed_in = register(&mut rude, "rude");
    let user = signed_in.identity.user;
    let enter = |handle: &str| EnterRoom {
        handle: handle.to_owned(),
    };
    let own = rude.call(&enter("corner")).expect("it is new").info.room;
    let direct = rude
        .call(&OpenDirect {
            user: other
                .call(&GetAccount {})
                .expect("somebody is signed in")
                .user,
        })
        .expect("it may")
        .info
        .room;
    let shown = SetPresence {
        status: Status::Online,
        note: Some("rude words".to_owned()),
    };
    rude.call(&shown).expect("it may");

    let (mut guest, nameless) = Player::guest(server.ws, "nameless");
    mute(&mut moderator, nameless.identity.user).expect("a moderator may");
    let upgrade = UpgradeGuest {
        username: "rude_words".to_owned(),
        password: PASSWORD.to_owned(),
        email: None,
    };
    let refused = guest.call(&upgrade).expect_err("everybody would read it");
    assert_eq!((refused.code, refused.message.as_str()), (Code::Muted, WHY));

    mute(&mut moderator, user).expect("a moderator may");
    // On this connection, and on whatever comes later.
    let (later, _) = hello(&server, &signed_in.access);
    for mut rude in [rude, later] {
        let mut refused: BTreeMap<&str, Fault> = BTreeMap::new();
        let mut expect = |what, outcome: Result<(), Fault>| {
            refused.insert(what, outcome.expect_err(what));
        };
        expect("room", say(&mut rude, own, "hi").map(drop));
        expect("direct", say(&mut rude, direct, "hi").map(drop));
        let name = UpdateProfile {
            name: Some("rude words".to_owned()),
            ..UpdateProfile::default()
        };
        expect("name", rude.call(&name).map(drop));
        expect("new room", rude.call(&enter("rude words")).map(drop));
        expect("presence", rude.call(&shown).map(drop));
        for (what, fault) in refused {
            assert_eq!(fault.code, Code::Muted, "{what}: {fault}");
        }
        rude.call(&enter("corner")).expect("reading goes on");
        let language = UpdateProfile {
            language: Some("ko".to_owned()),
            ..UpdateProfile::default()
        };
        rude.call(&language).expect("it has no words");
    }
    let users = vec![user];
    let presences = other.call(&GetPresence { users }).expect("it may");
    assert_eq!(presences.presences[0].note, None);
    assert_eq!(say(&mut other, yard, "calm"), Ok(1));

    moderator.call(&UnmutePlayer { user }).expect("it may");
    let (mut rude, _) = hello(&server, &signed_in.access);
    rude.call(&enter("corner")).expect("it may");
    say(&mut rude, own, "sorry").expect("it is lifted");
}

#[test]
fn profiles_are_reset_and_players_signed_out() {
    let server = Server::start(SETTINGS);
    let (mut boss, mut moderator) = staff(&server);
    let mut rude = Player::connect(server.ws);
    let user = register(&mut rude, "rude").identity.user;
    let update = UpdateProfile {
        name: Some("Rude".to_owned()),
        avatar: Some("pictures/rude".to_owned()),
        bio: Some("rude words".to_owned()),
        language: Some("ko".to_owned()),
    };
    rude.call(&update).expect("it may");
    let reset = ResetProfile {
        user,
        name: Some("Player".to_owned()),
        avatar: true,
        bio: true,
        reason: WHY.to_owned(),
    };
    let shown = moderator.call(&reset).expect("a moderator may");
    let profile = rude.call(&GetProfile { user: None }).expect("it may");
    assert_eq!(profile, shown);
    let (name, language) = (profile.name.as_str(), profile.language.as_deref());
    assert_eq!((name, language), ("Player", Some("ko")));
    assert_eq!((profile.avatar, profile.bio), (None, None));

    let record = boss.call(&GetPlayerRecord { user }).expect("it may");
    assert_eq!((record.connections, record.role), (1, Role::Player));
    let address = record.sessions[0].address.as_deref();
    assert_eq!(address, Some("127.0.0.1"), "admins see addresses");
    moderator.call(&SignOutPlayer { user }).expect("it may");
    loop {
        match rude.next() {
            Came::Closed(code) => {
                assert_eq!(code, Some(CloseCode::SessionEnded.number()));
                break;
            }
            Came::Event(..) | Came::Other => {}
            other => panic!("no close but {other:?}"),
        }
    }
    login(&mut Player::connect(server.ws), "rude", PASSWORD).expect("it may come back");
}

#[test]
fn whoever_may_not_is_refused_and_nothing_changes() {
    let server = Server::start(SETTINGS);
    let (mut boss, mut moderator) = staff(&server);
    let (mut player, signed_in) = Player::guest(server.ws, "player");
    let (mut other, victim) = Player::guest(server.ws, "victim");
    let user = victim.identity.user;
    let id = |username: &str| {
        let mut found = Player::connect(server.ws);
        let signed_in = login(&mut found, username, PASSWORD);
        signed_in.expect("it is right").identity.user
    };
    let (boss_id, moderator_id) = (id("boss"), id("mod"));
    let forbidden = |outcome: Result<(), Fault>| {
        assert_eq!(outcome.expect_err("it may not").code, Code::Forbidden);
    };
    forbidden(suspend(&mut player, user, None));
    forbidden(mute(&mut player, user));
    forbidden(player.call(&GetPlayerRecord { user }).map(drop));
    forbidden(suspend(&mut moderator, boss_id, None));
    forbidden(suspend(&mut moderator, moderator_id, None));
    forbidden(suspend(&mut boss, boss_id, None));
    let nobody = UserId::from_bytes([7; 10]);
    let unknown = suspend(&mut moderator, nobody, None).expect_err("nobody");
    assert_eq!(unknown.code, Code::NotFound);
    let past = suspend(&mut moderator, user, Some(1)).expect_err("it is over");
    assert_eq!(past.field.as_deref(), Some("until"));
    let silent = SuspendPlayer {
        user,
        until: None,
        reason: " \n".to_owned(),
    };
    let silent = moderator.call(&silent).expect_err("nothing is said");
    assert_eq!(silent.field.as_deref(), Some("reason"));
    let record = moderator.call(&GetPlayerRecord { user }).expect("it may");
    assert_eq!((record.suspension, record.mute), (None, None));
    other.call(&GetAccount {}).expect("nobody was put out");

    // An admin acts on a moderator, whose acts stay.
    suspend(&mut moderator, signed_in.identity.user, None).expect("it may");
    suspend(&mut boss, moderator_id, None).expect("an admin may");
    is_put_out(&mut moderator, Instant::now());
    is_put_out(&mut player, Instant::now());
}

#[test]
fn a_repetition_gets_the_first_answer() {
    let server = Server::start(SETTINGS);
    let (_boss, mut moderator) = staff(&server);
    let (_player, signed_in) = Player::guest(server.ws, "player");
    let user = signed_in.identity.user;
    let request = SuspendPlayer {
        user,
        until: None,
        reason: WHY.to_owned(),
    };
    moderator.call_keyed(&request, "s1").expect("it may");
    let lift = LiftSuspension { user };
    moderator.call_keyed(&lift, "l1").expect("it may");
    moderator.call_keyed(&request, "s1").expect("a repetition");
    let record = moderator.call(&GetPlayerRecord { user }).expect("it may");
    assert_eq!(record.suspension, None, "a repetition changes nothing");
    let other = SuspendPlayer {
        until: Some(server_clock() + 60_000),
        ..request
    };
    let reused = moderator.call_keyed(&other, "s1").expect_err("another");
    assert_eq!(reused.code, Code::KeyReused);
}
