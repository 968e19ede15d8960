//! `pitturu admin`, as the staff types it.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::accounts::{GetAccount, ResetPassword, Role};
use pitturu_protocol::types::chat::{JoinRoom, OpenRoom, RoomKind};
use pitturu_protocol::types::profile::UpdateProfile;
use pitturu_protocol::types::reports::{ReportMessage, ReportReason};
use serde_json::Value;
use tempfile::TempDir;

use crate::chat::create;
use crate::launch::{Server, program};
use crate::moderation::{PASSWORD, SETTINGS, WHY, is_put_out, login, register, say};
use crate::player::Player;
use crate::raw::PATIENCE;

/// Somebody at a shell.
struct Shell {
    url: String,
    folder: TempDir,
}

impl Shell {
    fn at(server: &Server) -> Self {
        Self {
            url: format!("ws://{}", server.ws),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn tokens(&self) -> PathBuf {
        self.folder.path().join("state/tokens")
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = program();
        command
            .args(["admin", "--url", &self.url, "--tokens"])
            .arg(self.tokens())
            .args(arguments)
            .env("PITTURU_ADMIN_PASSWORD", PASSWORD);
        command.output().expect("it runs")
    }

    /// What a command answers.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.output(&[&["--json"], arguments].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What a command that can't be carried out says.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(output.stderr).expect("text")
    }
}

fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)
        .expect("it is there")
        .permissions()
        .mode();
    mode.trailing_zeros() >= 6
}

#[test]
fn the_staff_does_its_work_from_a_shell() {
    let server = Server::start(SETTINGS);
    register(&mut Player::connect(server.ws), "boss");
    register(&mut Player::connect(server.ws), "helper");
    let mut rude = Player::connect(server.ws);
    let signed_in = register(&mut rude, "rude");
    let user = signed_in.identity.user.to_string();
    let shell = Shell::at(&server);
    assert!(
        shell
            .refused(&["player", "show", "@rude"], 1)
            .contains("sign-in")
    );
    let boss = shell.json(&["sign-in", "boss"]);
    assert_eq!(boss["role"], "admin");
    assert!(is_private(&shell.tokens()));

    let record = shell.json(&["player", "show", "@rude"]);
    assert_eq!(record["profile"]["user"], user.as_str());
    assert_eq!(record["connections"], 1);
    shell.json(&["player", "set-role", "@helper", "moderator"]);
    let record = shell.json(&["player", "show", "@helper"]);
    assert_eq!(record["role"], "moderator");

    let room = create(&mut rude, RoomKind::Public, "yard", None).info.room;
    let seq = say(&mut rude, room, "rude words").expect("it may");
    let (mut other, _) = Player::guest(server.ws, "other");
    other.call(&JoinRoom { room }).expect("anybody may");
    let text = room.to_string();
    let record = shell.json(&["player", "show", "@rude"]);
    assert_eq!(record["rooms"][0], text.as_str());
    let members = shell.json(&["room", "members", &text]);
    let members = members["members"].as_array().expect("a list");
    let names: Vec<&Value> = members.iter().map(|member| &member["name"]).collect();
    assert!(names.contains(&&Value::from("rude")) && names.len() == 2);
    shell.json(&["room", "delete-message", &text, &seq.to_string()]);
    shell.json(&["room", "mute", &text, "@rude", "--for", "1h"]);
    assert_eq!(
        say(&mut rude, room, "more").map_err(|it| it.code),
        Err(Code::Muted)
    );
    shell.json(&["room", "mute", &text, "@rude", "--for", "0s"]);
    say(&mut rude, room, "sorry").expect("it is lifted");
    shell.json(&[
        "room", "ban", &text, &user, "--for", "7days", "--reason", WHY,
    ]);
    let open = OpenRoom {
        room,
        seq: None,
        rev: None,
    };
    assert_eq!(
        rude.call(&open).map_err(|it| it.code),
        Err(Code::Banned),
        "also the owner"
    );
    shell.json(&["room", "unban", &text, &user]);
    shell.json(&["room", "delete", &text]);
    assert_eq!(
        other.call(&open).map_err(|it| it.code),
        Err(Code::RoomNotFound)
    );

    shell.json(&["player", "mute", "@rude", "--reason", WHY, "--for", "30m"]);
    shell.json(&["player", "unmute", "@rude"]);
    let since = Instant::now();
    shell.json(&["player", "suspend", "@rude", "--reason", WHY]);
    is_put_out(&mut rude, since);
    let record = shell.json(&["player", "show", "@rude"]);
    assert_eq!(record["suspension"]["reason"], WHY);
    shell.json(&["player", "lift", "@rude"]);
    let reset = shell.json(&["player", "reset-password", "@rude"]);
    let token = reset["token"].as_str().expect("a token").to_owned();
    let password = "a new password".to_owned();
    let mut rude = Player::connect(server.ws);
    rude.call(&ResetPassword { token, password })
        .expect("it is good");
    login(&mut rude, "rude", "a new password").expect("it is right");

    let about = shell.json(&["audit-log", "list", "--about", "@rude", "--limit", "200"]);
    let entries = about["entries"].as_array().expect("a list");
    let acts: Vec<&str> = entries
        .iter()
        .filter_map(|record| record["entry"]["act"].as_str())
        .collect();
    for act in ["suspended", "suspension_lifted", "banned", "muted"] {
        assert!(acts.contains(&act), "{act} is not in {acts:?}");
    }
    let whole = shell.json(&["audit-log", "verify"]);
    assert_eq!(whole["faults"], Value::Array(Vec::new()));
    assert_eq!(whole["entries"], whole["newest"]);

    shell.json(&["player", "sign-out", "@rude"]);
    shell.json(&["sign-out"]);
    assert!(!shell.tokens().exists());
    shell.refused(&["player", "show", "@rude"], 1);
}

/// Ten guests flood rooms of their own; whoever reads there reports it, and the operator ends it.
#[test]
fn a_flood_is_seen_in_reports_and_ended_and_one_of_its_authors_erased() {
    let server = Server::start(SETTINGS);
    register(&mut Player::connect(server.ws), "boss");
    let (mut reader, _) = Player::guest(server.ws, "reader");
    let mut spammers: Vec<(Player, RoomId)> = (0..10)
        .map(|number| {
            let (mut spammer, _) = Player::guest(server.ws, &format!("spammer {number}"));
            let name = format!("sale {number}");
            let room = create(&mut spammer, RoomKind::Public, &name, None)
                .info
                .room;
            reader.call(&JoinRoom { room }).expect("anybody may");
            let said = (0..5).map(|_| say(&mut spammer, room, "buy my things"));
            let seqs: Vec<u64> = said.map(|seq| seq.expect("it may")).collect();
            let report = ReportMessage {
                room,
                seq: seqs[4],
                reason: ReportReason::Spam,
                note: None,
            };
            reader.call(&report).expect("a member may");
            (spammer, room)
        })
        .collect();
    let shell = Shell::at(&server);
    shell.json(&["sign-in", "boss"]);
    let reports = shell.json(&["report", "list"]);
    let reports = reports["reports"].as_array().expect("a list").clone();
    assert_eq!(reports.len(), 10);
    for report in &reports {
        assert_eq!(report["message"]["text"], "buy my things");
        let number = report["number"].to_string();
        let user = report["user"].as_str().expect("an id");
        let room = report["message"]["room"].as_str().expect("an id");
        shell.json(&["report", "take", &number]);
        shell.json(&["player", "suspend", user, "--reason", WHY]);
        shell.json(&["room", "delete", room]);
        shell.json(&["report", "settle", &number, "acted", "--note", "suspended"]);
        let again = shell.json(&["report", "settle", &number, "dismissed"]);
        assert_eq!(again["settled"]["note"], "suspended");
        let about = shell.json(&["report", "list", "--about", user]);
        assert_eq!(about["reports"][0]["settled"]["outcome"], "acted");
    }
    for (spammer, room) in &mut spammers {
        is_put_out(spammer, Instant::now());
        let open = OpenRoom {
            room: *room,
            seq: None,
            rev: None,
        };
        let gone = reader.call(&open).map_err(|fault| fault.code);
        assert_eq!(gone.map(drop), Err(Code::RoomNotFound));
    }
    let left = shell.json(&["report", "list"]);
    assert_eq!(left["reports"], Value::Array(Vec::new()));
    let settled = shell.json(&["report", "list", "--settled"]);
    assert_eq!(settled["reports"].as_array().map(Vec::len), Some(10));
    let shown = shell.output(&["report", "list", "--settled"]);
    let shown = String::from_utf8(shown.stdout).expect("text");
    assert!(shown.contains("buy my things"), "{shown}");
    // A suspension, a room and a report of each, and the role of the admin.
    let log = shell.json(&["audit-log", "verify"]);
    assert_eq!(log["entries"], 31);

    // One of them is not to be known any more.
    let found = shell.json(&["player", "find", "SPAMMER"]);
    let found = found["players"].as_array().expect("a list");
    assert_eq!(found.len(), 10);
    let user = found[0]["user"].as_str().expect("an id");
    shell.json(&["player", "delete", user, "--reason", WHY, "--at-once"]);
    let began = Instant::now();
    // That it was asked for, and done.
    while shell.json(&["audit-log", "verify"])["entries"] != 33 {
        assert!(began.elapsed() < PATIENCE, "it is not erased");
    }
    let gone = shell.refused(&["player", "show", user], 1);
    assert!(gone.contains("not_found"), "{gone}");
    let found = shell.json(&["player", "find", "spammer"]);
    assert_eq!(found["players"].as_array().map(Vec::len), Some(9));
    let about = shell.json(&["report", "list", "--about", user]);
    assert_eq!(about["reports"], Value::Array(Vec::new()));
}

#[test]
fn text_is_for_people_and_keeps_the_terminal_as_it_is() {
    let server = Server::start(SETTINGS);
    let mut painter = Player::connect(server.ws);
    register(&mut painter, "painter");
    let name = UpdateProfile {
        name: Some("Pa\u{301}inter".to_owned()),
        ..UpdateProfile::default()
    };
    painter.call(&name).expect("it may");
    let shell = Shell::at(&server);
    // The first admin, of a server without any account.
    assert_eq!(shell.json(&["register", "boss"])["role"], "admin");
    let taken = shell.refused(&["register", "boss"], 1);
    assert!(taken.contains("username_taken"), "{taken}");
    shell.json(&["sign-in", "boss"]);
    let shown = shell.output(&["player", "show", "@painter"]);
    let shown = String::from_utf8(shown.stdout).expect("text");
    let role = |line: &str| line.starts_with("role") && line.ends_with("player");
    assert!(shown.lines().any(role), "{shown}");
    assert!(shown.contains("sessions (1)"), "{shown}");
    let done = shell.output(&["player", "sign-out", "@painter"]);
    assert_eq!(done.stdout, b"done\n");
}

#[test]
fn whoever_may_not_and_whatever_is_none_is_refused_with_what_to_do() {
    let server = Server::start(SETTINGS);
    register(&mut Player::connect(server.ws), "boss");
    let mut player = Player::connect(server.ws);
    register(&mut player, "player");
    let shell = Shell::at(&server);
    let wrong = shell.refused(&["sign-in", "nobody"], 1);
    assert!(wrong.contains("wrong_credentials"), "{wrong}");
    shell.json(&["sign-in", "player"]);
    for refused in [
        &["player", "suspend", "@boss", "--reason", "me"][..],
        &["audit-log", "list"],
        &["player", "set-role", "@player", "admin"],
    ] {
        let told = shell.refused(refused, 1);
        assert!(told.contains("forbidden"), "{told}");
    }
    let role = player.call(&GetAccount {}).expect("signed in").role;
    assert_eq!(role, Role::Player);
    // One who signs in takes the place of who was.
    shell.json(&["sign-in", "boss"]);
    let unknown = shell.refused(&["player", "show", "@nobody"], 1);
    assert!(unknown.contains("not_found"), "{unknown}");
    for usage in [
        &["player", "show", "nobody"][..],
        &["player", "show", "@"],
        &["player", "suspend", "@player"],
        &["player", "set-role", "@player", "king"],
        &[
            "player", "mute", "@player", "--reason", "x", "--for", "soon",
        ],
        &[
            "player",
            "mute",
            "@player",
            "--reason",
            "x",
            "--for",
            "1h",
            "--until",
            "2027-01-31T00:00:00Z",
        ],
        &["room", "kick", "lobby", "@player"],
    ] {
        shell.refused(usage, 2);
    }
    let past = [
        "player",
        "suspend",
        "@player",
        "--reason",
        "x",
        "--until",
        "1999-01-31T00:00:00Z",
    ];
    let past = shell.refused(&past, 1);
    assert!(past.contains("until"), "{past}");
}

#[test]
fn a_session_whose_tokens_cannot_be_kept_is_said_so_and_ended() {
    let server = Server::start(SETTINGS);
    register(&mut Player::connect(server.ws), "boss");
    let shell = Shell::at(&server);
    // A file where the folder would be.
    std::fs::write(shell.folder.path().join("state"), "").expect("it is written");
    let told = shell.refused(&["sign-in", "boss"], 1);
    assert!(told.contains("can't be kept in"), "{told}");
    std::fs::remove_file(shell.folder.path().join("state")).expect("it is there");
    shell.json(&["sign-in", "boss"]);
    let record = shell.json(&["player", "show", "@boss"]);
    let sessions = record["sessions"].as_array().expect("a list");
    // That of the player, and this one.
    assert_eq!(sessions.len(), 2, "{sessions:?}");
}

#[test]
fn a_server_that_is_not_reached_is_told_with_the_reason() {
    let mut server = Server::start(&["listen.tls=127.0.0.1:0"]);
    register(&mut Player::connect(server.ws), "boss");
    let mut shell = Shell::at(&server);
    shell.json(&["sign-in", "boss"]);
    let refused = |shell: &Shell, reason: &str| {
        let told = shell.refused(&["player", "show", "@boss"], 1);
        assert!(told.contains("the server can't be reached"), "{told}");
        assert!(told.contains(reason), "{told}");
    };
    let plain = shell.url.clone();
    let tls = server.tls.expect("it listens");
    shell.url = format!("wss://localhost:{}", tls.port());
    refused(&shell, "certificate");
    server.stop();
    shell.url = plain;
    refused(&shell, "refused");
}
