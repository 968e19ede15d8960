//! Start and end of the process: configuration, exit codes, TLS, health, orderly shutdown, idle memory.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::types::accounts::LoginGuest;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::launch::{Server, program};
use crate::player::{Came, Player};
use crate::raw::{PATIENCE, RawSocket};

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    program()
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_wrong_configuration_ends_with_code_2_and_the_key() {
    for (arguments, environment, named) in [
        (&["--set", "listen.wss=1.2.3.4:5"][..], &[][..], "listen.ws"),
        (&["--set", "heartbeat.ping=5"], &[], "heartbeat.ping"),
        (&[], &[("PITTURU_STORE__DIRR", "x")], "store.dir"),
        (&["--config", "missing.toml"], &[], "missing.toml"),
        (
            &["--dev", "--set", "log.level=no such=level"],
            &[],
            "log.level",
        ),
        (&["--listen", "0.0.0.0:0"], &[], "listen.plain"),
        (&["--dev", "--set", "log.level=inof"], &[], "log.level"),
        (&["--set", "listen.origins=*"], &[], "listen.origins"),
        (
            &["--set", "listen.origins=https://a.example,b.example"],
            &[],
            "listen.origins",
        ),
    ] {
        let output = run(arguments, environment);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(named), "{arguments:?}: {text}");
    }
}

#[test]
fn config_prints_what_is_in_effect_and_where_it_comes_from() {
    let output = run(
        &["config", "--set", "listen.connections_max=77"],
        &[("PITTURU_HEARTBEAT__PING", "7s")],
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("connections_max = \"77\" # flag --set"),
        "{text}"
    );
    assert!(
        text.contains("environment PITTURU_HEARTBEAT__PING"),
        "{text}"
    );
}

#[test]
fn a_taken_address_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(
        &[
            "--dev",
            "--listen",
            &address,
            "--set",
            "ops.listen=127.0.0.1:0",
        ],
        &[],
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(
        text.contains(&address) && text.contains("listen.ws"),
        "{text}"
    );
}

#[test]
fn a_store_that_is_in_use_ends_with_code_3_and_its_folder() {
    let server = Server::start(&[]);
    let data = server.data().display().to_string();
    let output = run(
        &[
            "--dev",
            "--listen",
            "127.0.0.1:0",
            "--set",
            "ops.listen=127.0.0.1:0",
            "--data",
            &data,
        ],
        &[],
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains(&data), "{text}");
}

#[test]
fn a_file_that_cannot_be_followed_ends_with_code_2_and_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let game = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("game.file={}", path.display())
    };
    let gifts = game("gifts.toml", "[points.gifts]\nleast = 0");
    let unknown = game("unknown.toml", "[bards.weekly]\noperator = 'best'");
    let bytes = dir.path().join("words.bin");
    std::fs::write(&bytes, [0xff, 0xfe, 0xfd]).unwrap();
    let not_text = format!("chat.word_filter={}", bytes.display());
    let folder = format!("chat.word_filter={}", dir.path().display());
    for (setting, named) in [
        (gifts.as_str(), "points.gifts.least"),
        (&unknown, "bards"),
        ("game.file=no-such-game.toml", "game.file"),
        ("chat.word_filter=no-such-list.txt", "chat.word_filter"),
        (&not_text, "chat.word_filter"),
        (&folder, "chat.word_filter"),
        ("accounts.admins=no name", "accounts.admins"),
        ("accounts.reset_hook=mail.example", "accounts.reset_hook"),
        ("accounts.reset_hook=http://", "accounts.reset_hook"),
        (
            "accounts.reset_hook=ftp://mail.example/",
            "accounts.reset_hook",
        ),
    ] {
        let arguments = ["--dev", "--data", &data, "--set", setting];
        let output = run(&arguments, &[]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{setting}: {text}");
        assert!(text.contains(named), "{setting}: {text}");
    }
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_server_that_is_built_without_traces_does_not_begin_with_a_collector() {
    let collector = ["--set", "traces.endpoint=http://127.0.0.1:4318"];
    let output = run(&collector, &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for part in ["traces.endpoint", "--features pitturu-server/otlp"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_ends_with_code_2_its_key_and_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let made =
        [(); 2].map(|()| rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap());
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let cert = write("cert.pem", &made[0].cert.pem());
    let key = write("key.pem", &made[0].signing_key.serialize_pem());
    let other = write("other.pem", &made[1].signing_key.serialize_pem());
    let missing = dir.path().join("missing.pem").display().to_string();
    let folder = dir.path().display().to_string();
    for (cert, key, named, file, hint) in [
        (&cert, &other, "listen.key", &other, "does not belong"),
        (&key, &cert, "listen.cert", &key, "exchanged"),
        (&cert, &missing, "listen.key", &missing, "No such file"),
        (&missing, &key, "listen.cert", &missing, "No such file"),
        (&cert, &folder, "listen.key", &folder, "not of a folder"),
    ] {
        let (cert, key) = (format!("listen.cert={cert}"), format!("listen.key={key}"));
        for listener in ["listen.tls=127.0.0.1:0", "listen.quic=127.0.0.1:0"] {
            let sets = ["--set", listener, "--set", &cert, "--set", &key];
            let output = run(&sets, &[]);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{sets:?}: {text}");
            for part in [named, file, hint] {
                assert!(text.contains(part), "{part} is missing in: {text}");
            }
        }
    }
}

#[test]
fn what_is_allowed_and_not_meant_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let cert = dir.path().join("cert.pem");
    let key = dir.path().join("key.pem");
    std::fs::write(&cert, params.self_signed(&signing_key).unwrap().pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let server = Server::start(&[
        "quic.unvalidated_max=7",
        "quic.send_window=64KiB",
        "accounts.reset_hook_token=unused",
        "listen.tls=127.0.0.1:0",
        &format!("listen.cert={}", cert.display()),
        &format!("listen.key={}", key.display()),
    ]);
    let log = server.log();
    for part in [
        "quic.unvalidated_max, quic.send_window",
        "listen.quic",
        "accounts.reset_hook_token",
        "the certificate has run out",
    ] {
        assert!(log.contains(part), "{part} is missing in:\n{log}");
    }
}

/// A folder that was named wrong has no books that could be wrong.
#[test]
fn a_ledger_that_is_not_there_is_not_found_right() {
    let dir = tempfile::tempdir().unwrap();
    for name in [".", "missing"] {
        let data = dir.path().join(name);
        let shown = data.display().to_string();
        let output = run(&["ledger", "verify", "--data", &shown], &[]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains(&shown), "{text}");
    }
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 0, "it makes none");
}

#[test]
fn health_shows_the_server() {
    let server = Server::start(&[]);
    let _player = Player::connect(server.ws);
    for path in ["/live", "/ready", "/health"] {
        assert!(server.ops_page(path).starts_with("HTTP/1.1 200"), "{path}");
    }
    let detail = server.ops_page("/health/detailed");
    for part in [
        "\"ready\":true",
        "\"store\"",
        "\"listeners\"",
        "\"connections\":1",
    ] {
        assert!(detail.contains(part), "{part} is missing in {detail}");
    }
}

#[test]
fn who_lives_may_not_be_ready() {
    let assert_becomes = |server: &Server, ready: &str, why: &str| {
        let until = Instant::now() + PATIENCE;
        let status = format!("HTTP/1.1 {ready} ");
        while !server.ops_page("/ready").starts_with(&status) {
            assert!(Instant::now() < until, "{why}: {}", server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(server.ops_page("/live").starts_with("HTTP/1.1 200"));
        let detail = server.ops_page("/health/detailed");
        assert!(detail.contains(why), "{detail}");
    };
    let server = Server::start(&["server.shutdown_timeout=1h", "heartbeat.ping=10m"]);
    assert_becomes(&server, "200", "\"store\"");

    // No file may grow: the store can't write.
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let mut stubborn = Player::connect(server.ws);
    let maximum = getrlimit(Resource::Fsize).maximum;
    let grow_to = |current: Option<u64>| {
        let limit = Rlimit { current, maximum };
        prlimit(pid, Resource::Fsize, limit).unwrap();
    };
    grow_to(Some(0));
    stubborn.begin(&LoginGuest {
        secret: "-".repeat(32),
        name: None,
        device: None,
    });
    assert_becomes(&server, "503", "went wrong");
    grow_to(maximum);
    assert_becomes(&server, "200", "\"store\"");

    server.signal("TERM");
    assert_becomes(&server, "503", "shutting down");
}

#[test]
fn a_signal_sends_everybody_away_and_ends_with_code_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&[]);
        let mut players: Vec<Player> = (0..10).map(|_| Player::connect(server.ws)).collect();
        server.signal(signal);
        for player in &mut players {
            match player.next() {
                Came::Goaway(goaway) => assert!(goaway.reconnect, "{goaway:?}"),
                other => panic!("no goaway but {other:?}"),
            }
            let code = Some(CloseCode::ShuttingDown.number());
            assert_eq!(player.next(), Came::Closed(code));
        }
        drop(players);
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {}", server.log());
        assert!(RawSocket::try_connect(server.ws, "").is_err());
    }
}

#[test]
fn a_shutdown_does_not_wait_for_those_who_do_not_leave() {
    let mut server = Server::start(&["server.shutdown_timeout=500ms"]);
    // Says nothing and answers nothing, not even the close frame.
    let _stubborn = Player::connect(server.ws);
    let began = Instant::now();
    let status = server.stop();
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&["server.shutdown_timeout=1h", "heartbeat.ping=10m"]);
    let _stubborn = Player::connect(server.ws);
    server.signal("TERM");
    let began = Instant::now();
    while !server.log().contains("shutting down") {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    server.signal("TERM");
    let status = server.wait();
    assert!(matches!(status.code(), Some(130 | 0)), "{status:?}");
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let mut server = Server::start(&[]);
    let (player, first) = Player::guest(server.ws, "returning");
    assert!(first.created);
    drop(player);
    // Without warning, in order, and with nothing to clean up after.
    for stop in [Server::kill, |server: &mut Server| {
        assert!(server.stop().success())
    }] {
        stop(&mut server);
        server = Server::start_in(server.folder(), &[]);
        let (_, again) = Player::guest(server.ws, "returning");
        assert!(!again.created, "the account is forgotten");
        assert_eq!(again.identity.user, first.identity.user);
    }
}

#[test]
fn tls_serves_with_a_made_up_certificate_in_development() {
    let server = Server::start(&["listen.tls=127.0.0.1:0"]);
    let address = server.tls.expect("TLS is on");
    let certificate = server.data().join("dev-cert.pem");
    let output = std::process::Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-servername",
            "localhost",
        ])
        .arg("-CAfile")
        .arg(&certificate)
        .args(["-connect", &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            use std::io::Write;
            let mut stdin = child.stdin.take().expect("piped");
            stdin.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            child.wait_with_output()
        });
    let output = output.expect("openssl is part of every Debian");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("426 Upgrade Required"), "{text}{errors}");
}

#[test]
fn idle_connections_are_small() {
    const COUNT: usize = 2_000;
    const BYTES_MAX: u64 = 8 * 1024;
    let server = Server::start(&["heartbeat.ping=10m"]);
    // The first ones bring what is shared by all.
    let _first: Vec<Player> = (0..200).map(|_| Player::connect(server.ws)).collect();
    let before = server.resident_bytes();
    let _idle: Vec<Player> = (0..COUNT).map(|_| Player::connect(server.ws)).collect();
    let each = (server.resident_bytes() - before) / COUNT as u64;
    println!("{each} bytes of resident memory per idle connection");
    assert!(each <= BYTES_MAX, "{each}");
}
