//! What the log says of players, and what it does not.

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pitturu_protocol::codes::Code;
use pitturu_protocol::frame::ClientFrame;
use pitturu_protocol::types::accounts::{
    ChangePassword, IssuePasswordReset, Login, LoginGuest, Logout, Register, Role, SetRole,
    SignedIn,
};
use pitturu_protocol::types::chat::{EnterRoom, KickMember};
use pitturu_protocol::types::moderation::{
    LiftSuspension, MutePlayer, SignOutPlayer, SuspendPlayer, UnmutePlayer,
};
use pitturu_protocol::types::presence::{SetPresence, Status};
use pitturu_protocol::types::system::Hello;
use serde_json::Value;

use crate::launch::{Server, program};
use crate::player::Player;
use crate::raw::{PATIENCE, RawSocket};

const PASSWORD: &str = "correct horse battery";
const OTHER_PASSWORD: &str = "a horse of another colour";

fn register(player: &mut Player, username: &str) -> SignedIn {
    let request = Register {
        username: username.to_owned(),
        password: PASSWORD.to_owned(),
        name: None,
        email: Some(format!("{username}@mail.example")),
        device: None,
    };
    player.call(&request).expect("the name is free")
}

fn login(player: &mut Player, username: &str, password: &str) -> Result<SignedIn, Code> {
    let request = Login {
        username: username.to_owned(),
        password: password.to_owned(),
        device: None,
        known: None,
    };
    player.call(&request).map_err(|fault| fault.code)
}

/// The log, line by line, once it says this.
fn lines(server: &Server, last: &str) -> Vec<Value> {
    let until = Instant::now() + PATIENCE;
    while !server.log().contains(last) {
        assert!(Instant::now() < until, "{last}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = server.log();
    log.lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn the_evening_of_one_player_can_be_followed() {
    let server = Server::start(&[
        "accounts.bcrypt_cost=4",
        "accounts.admins=boss",
        "accounts.lockout_name_free=2",
        "log.addresses=network",
    ]);
    let mut boss = Player::connect(server.ws);
    let boss_is = register(&mut boss, "boss").identity.user.to_string();
    let mut ana = Player::connect(server.ws);
    let signed_in = register(&mut ana, "ana");
    let user = signed_in.identity.user;
    let change = ChangePassword {
        old: PASSWORD.to_owned(),
        new: OTHER_PASSWORD.to_owned(),
    };
    ana.call(&change).unwrap();
    ana.call(&Logout {}).unwrap();
    drop(ana);

    let mut stranger = Player::connect(server.ws);
    for _ in 0..3 {
        assert_eq!(
            login(&mut stranger, "ana", PASSWORD),
            Err(Code::WrongCredentials)
        );
    }
    assert_eq!(login(&mut stranger, "ana", PASSWORD), Err(Code::LockedOut));
    drop(stranger);

    let mut ana = Player::connect(server.ws);
    let until = Instant::now() + PATIENCE;
    while login(&mut ana, "ana", OTHER_PASSWORD).is_err() {
        assert!(Instant::now() < until, "still locked out");
        std::thread::sleep(Duration::from_millis(200));
    }
    let handle = "lobby".to_owned();
    let room = boss
        .call(&EnterRoom {
            handle: handle.clone(),
        })
        .unwrap()
        .info
        .room;
    ana.call(&EnterRoom { handle }).unwrap();
    let kick = KickMember {
        room,
        user,
        reason: None,
    };
    boss.call(&kick).unwrap();
    let role = Role::Moderator;
    boss.call(&SetRole { user, role }).unwrap();
    let ends = server.log().matches("connection closed").count();
    drop(ana);
    let until = Instant::now() + PATIENCE;
    while server.log().matches("connection closed").count() == ends {
        assert!(Instant::now() < until, "{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }

    let lines = lines(&server, "role set by staff");
    let user = user.to_string();
    let of_ana: Vec<&Value> = lines
        .iter()
        .filter(|line| text(line, "user") == user)
        .collect();
    let told: Vec<&str> = of_ana.iter().map(|line| text(line, "message")).collect();
    let mut expected = vec![
        "signed in",
        "password changed, other sessions end",
        "signed out",
        "wrong password",
        "locked out",
        "signed in",
        "act of staff",
        "role set by staff",
        "connection closed",
    ]
    .into_iter()
    .peekable();
    for message in &told {
        expected.next_if_eq(message);
    }
    assert_eq!(expected.peek(), None, "{told:?}");
    for line in &of_ana {
        assert!(!text(line, "conn").is_empty(), "{line}");
        let is_of_a_call = text(line, "message") != "connection closed";
        assert_eq!(
            line.get("call").is_some_and(Value::is_u64),
            is_of_a_call,
            "{line}"
        );
    }
    let find = |message: &str| {
        of_ana
            .iter()
            .find(|line| text(line, "message") == message)
            .unwrap()
    };
    let first = find("signed in");
    assert_eq!(text(first, "by"), "Register");
    assert_eq!(
        text(first, "session"),
        signed_in.identity.session.to_string()
    );
    assert_eq!(text(first, "address"), "127.0.0.0/24");
    assert_eq!(text(find("act of staff"), "by"), boss_is);
    assert_eq!(text(find("act of staff"), "act"), "kicked");
    assert_eq!(text(find("role set by staff"), "by"), boss_is);
    assert!(find("connection closed").get("lasted_s").is_some());

    // By its connection the rest is found: how it came, and what was refused.
    let conn = text(first, "conn");
    let opened = lines
        .iter()
        .find(|line| text(line, "conn") == conn && text(line, "message") == "connection opened");
    assert_eq!(text(opened.unwrap(), "transport"), "ws");
    let refused = lines
        .iter()
        .find(|line| text(line, "message") == "sign-in refused");
    assert_eq!(text(refused.unwrap(), "code"), "wrong_credentials");

    let log = server.log();
    for secret in [
        PASSWORD,
        OTHER_PASSWORD,
        "mail.example",
        &signed_in.access,
        &signed_in.refresh,
        "127.0.0.1\"",
    ] {
        let shown = log
            .lines()
            .find(|line| line.contains(secret) && !line.contains("\"ready\""));
        assert_eq!(shown, None, "{secret}");
    }
}

#[test]
fn each_connection_has_a_line_at_its_begin_and_one_at_its_end() {
    let server = Server::start(&[]);
    for round in 1..=3 {
        let (mut player, _) = Player::guest(server.ws, "busy");
        for _ in 0..50 {
            player
                .call(&pitturu_protocol::types::accounts::GetAccount {})
                .unwrap();
        }
        let before = server.log().lines().count();
        drop(player);
        let until = Instant::now() + PATIENCE;
        while server.log().matches("connection closed").count() < round {
            assert!(Instant::now() < until, "{}", server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(server.log().lines().count(), before + 1, "{}", server.log());
    }
    let log = server.log();
    assert_eq!(log.matches("connection opened").count(), 3, "{log}");
    assert_eq!(log.matches("signed in").count(), 3, "{log}");
}

#[test]
fn what_clients_cause_without_end_does_not_fill_the_disk() {
    let server = Server::start(&["log.level=info"]);
    let began = Instant::now();
    for _ in 0..400 {
        RawSocket::try_connect(server.ws, "Origin: https://x\r\nUpgrade: nothing\r\n").ok();
    }
    let seconds = began.elapsed().as_secs() + 2;
    let mut player = Player::connect(server.ws);
    for _ in 0..400 {
        let login = LoginGuest {
            secret: "short".to_owned(),
            name: None,
            device: None,
        };
        player.call(&login).ok();
    }
    let until = Instant::now() + PATIENCE;
    while !server.log().contains("so many more lines of a kind") {
        assert!(Instant::now() < until, "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let refused = server.log().matches("\"handshake refused\"").count();
    assert!(refused as u64 <= 20 * seconds, "{refused} in {seconds} s");
}

#[test]
fn a_file_gets_no_colours() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = program()
        .args(["--dev", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("data"))
        .args([
            "--set",
            "ops.listen=127.0.0.1:0",
            "--set",
            "log.format=text",
        ])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut log = Vec::new();
    let until = Instant::now() + PATIENCE;
    while !String::from_utf8_lossy(&log).contains("ready") {
        assert!(Instant::now() < until);
        let mut part = [0; 1_024];
        let count = stderr.read(&mut part).unwrap();
        log.extend_from_slice(&part[..count]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

/// What a stranger sends is not in the log, and can't be a line of it.
#[test]
fn a_hello_that_does_not_fit_writes_nothing_of_its_own_into_the_log() {
    let server = Server::start(&[]);
    let mut hello = ClientFrame::Hello(Hello {
        v: pitturu_protocol::VERSION,
        sdk: "test/0".to_owned(),
        token: None,
        presence: Some(SetPresence {
            status: Status::Online,
            note: None,
        }),
    })
    .encode();
    let place = hello.windows(6).position(|part| part == b"online");
    let place = place.expect("the status is in it");
    hello[place..place + 6].copy_from_slice(b"\x1b[2J\n!");
    let mut player = Player::silent(server.ws);
    player.send(&hello);
    let (fault, _) = player.farewell();
    assert!(fault.is_some(), "it is told what is wrong");
    let lines = lines(&server, "\"connection closed\"");
    let closed = lines
        .iter()
        .find(|line| text(line, "message") == "connection closed")
        .expect("it is there");
    assert!(text(closed, "reason").contains("presence.status"));
    assert!(!server.log().contains("[2J"), "{}", server.log());
}

/// A repetition under the same key does nothing, and is no line.
#[test]
fn an_act_of_the_staff_that_is_repeated_is_one_line() {
    let server = Server::start(&["accounts.admins=boss"]);
    let mut boss = Player::connect(server.ws);
    register(&mut boss, "boss");
    let mut other = Player::connect(server.ws);
    let user = register(&mut other, "other").identity.user;
    let reason = || "for the test".to_owned();
    let until = None;
    for number in 0..3 {
        let mute = MutePlayer {
            user,
            until,
            reason: reason(),
        };
        boss.call_keyed(&mute, "mute").expect("an admin may");
        let unmute = UnmutePlayer { user };
        boss.call_keyed(&unmute, "unmute").expect("an admin may");
        let suspend = SuspendPlayer {
            user,
            until,
            reason: reason(),
        };
        boss.call_keyed(&suspend, "suspend").expect("an admin may");
        let lift = LiftSuspension { user };
        boss.call_keyed(&lift, "lift").expect("an admin may");
        let sign_out = SignOutPlayer { user };
        if number == 0 {
            login(&mut Player::connect(server.ws), "other", PASSWORD).expect("it may");
        }
        boss.call_keyed(&sign_out, "sign out")
            .expect("an admin may");
        let role = Role::Moderator;
        boss.call_keyed(&SetRole { user, role }, "role")
            .expect("an admin may");
        let issue = IssuePasswordReset { user };
        boss.call_keyed(&issue, "reset").expect("an admin may");
    }
    let lines = lines(&server, "password-reset token issued by staff");
    let count = |field: &str, value: &str| {
        let found = lines.iter().filter(|line| text(line, field) == value);
        found.count()
    };
    for act in [
        "muted",
        "unmuted",
        "suspended",
        "suspension_lifted",
        "signed_out_everywhere",
    ] {
        assert_eq!(count("act", act), 1, "{act}");
    }
    for message in ["role set by staff", "password-reset token issued by staff"] {
        assert_eq!(count("message", message), 1, "{message}");
    }
}

/// Files, arguments and names of files are quoted in what is said of them.
#[test]
fn what_is_said_of_a_wrong_command_line_or_file_commands_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let bad = "\u{1b}[2J\u{9b}\u{202e}";
    let file = folder.path().join(format!("{bad}.toml"));
    std::fs::write(&file, format!("{bad} = 1\n")).unwrap();
    let file = file.to_str().unwrap();
    let arguments = [
        vec!["config", "--set", bad],
        vec!["config", "--config", file],
        vec!["config", "--config", bad],
        vec!["restore", bad],
        vec!["admin", "player", "show", bad],
        vec!["admin", "--url", bad, "player", "show", "@a"],
        vec![bad],
    ];
    for arguments in arguments {
        let mut command = program();
        command.args(&arguments).current_dir(folder.path());
        let output = command.output().expect("it runs");
        assert!(!output.status.success(), "{arguments:?}");
        for said in [output.stdout, output.stderr] {
            let said = String::from_utf8(said).expect("text");
            let active = said.chars().find(|char| bad.contains(*char));
            let active = active.filter(|char| !char.is_ascii_graphic());
            assert_eq!(active, None, "{arguments:?}: {said:?}");
        }
    }
}
