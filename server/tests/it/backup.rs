//! Backups while players play, and what they find after a restore.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pitturu_client::types::chat::RoomKind;
use pitturu_client::{BackOff, Client, ClientOptions, Missing, RoomId, ServerEvent, Stream};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::accounts::LoginGuest;
use pitturu_protocol::types::friends::{ListFriends, RequestFriend};
use tempfile::TempDir;

use crate::kill_nine::{SETTINGS, fixed_address};
use crate::launch::{Server, program};
use crate::player::Player;
use crate::raw::http;
use crate::sdk_rust::{Message, RustPlayer, history};

const PATIENCE: Duration = Duration::from_secs(60);

const BACK_OFF: BackOff = BackOff {
    base_ms: 20,
    cap_ms: 200,
};

const PLAYERS: usize = 4;

/// Messages of one player at a time.
const UNDER_WAY: usize = 8;

/// Messages that are acknowledged before the backup, and again behind it.
const BETWEEN: u64 = 300;

/// Players who are asked for friendship, one after the other.
const ASKED: usize = 30;

/// The settings of a server that makes backups in this folder.
fn settings(backups: &Path) -> Vec<String> {
    let mut settings: Vec<String> = SETTINGS.iter().map(|&setting| setting.to_owned()).collect();
    settings.push("limits.write_per_second=1000000".to_owned());
    settings.push("limits.write_burst=1000000".to_owned());
    settings.push(format!("backup.folder={}", backups.display()));
    settings
}

fn start(address: &str, folder: Arc<TempDir>, settings: &[String]) -> Server {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Server::start_at(address, folder, &settings)
}

/// What the program says to `words`, of the store in `data` whose server has this operations port.
pub(crate) fn run(data: &Path, ops: SocketAddr, backups: Option<&Path>, words: &[&str]) -> Output {
    let mut command = program();
    command.args(["--dev", "--data"]).arg(data);
    command.args(["--set", &format!("ops.listen={ops}")]);
    if let Some(backups) = backups {
        command.args(["--set", &format!("backup.folder={}", backups.display())]);
    }
    command.args(words);
    command.output().expect("it runs")
}

pub(crate) fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// Restores into a folder of its own, with the master keys of before.
fn restore(backup: &Path, from: &Server) -> Arc<TempDir> {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    fs::copy(
        from.data().with_extension("master"),
        data.with_extension("master"),
    )
    .unwrap();
    let output = run(
        &data,
        from.ops,
        None,
        &["restore", &backup.display().to_string()],
    );
    assert!(output.status.success(), "{}", said(&output));
    folder
}

/// What one client was told of a room, in order.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Message(u64, String),
    Gap(Missing, u64, u64),
    Lost,
}

/// Notes what the client is told of the room from now on.
fn note(client: &Client, room: RoomId) -> Arc<Mutex<Vec<Told>>> {
    let told = Arc::<Mutex<Vec<Told>>>::default();
    let mut events = client.events();
    let noted = Arc::clone(&told);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let entry = match event {
                ServerEvent::MessageSent(sent) if sent.room == room => {
                    Told::Message(sent.msg.seq, sent.msg.text)
                }
                ServerEvent::Gap(gap) if gap.stream == Stream::Room(room) => {
                    Told::Gap(gap.missing, gap.from, gap.to)
                }
                ServerEvent::StreamLost { .. } | ServerEvent::SignedOut(_) => Told::Lost,
                _ => continue,
            };
            noted.lock().unwrap().push(entry);
        }
    });
    told
}

/// Players who write, one who edits and one who makes friends, until they are told to stop.
struct Load {
    players: Vec<RustPlayer>,
    told: Vec<Arc<Mutex<Vec<Told>>>>,
    room: RoomId,
    stop: Arc<AtomicBool>,
    /// The newest edit of the first message that was acknowledged.
    edit: Arc<AtomicU64>,
    /// How many requests for friendship were acknowledged.
    requests: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    asking: Option<std::thread::JoinHandle<()>>,
}

impl Load {
    async fn start(url: &str, server: SocketAddr) -> Self {
        let mut players = Vec::new();
        for index in 0..PLAYERS {
            players.push(RustPlayer::connect(url, &format!("player-{index}"), BACK_OFF).await);
        }
        let view = players[0]
            .client
            .create_room(RoomKind::Public, "backup")
            .await
            .unwrap();
        let room = view.info.room;
        for player in &players[1..] {
            player.client.room(room).join().await.unwrap();
        }
        let told = players
            .iter()
            .map(|player| note(&player.client, room))
            .collect();
        players[0].client.room(room).send("edited 0").await.unwrap();
        let asked: Vec<UserId> = (0..ASKED)
            .map(|number| {
                Player::guest(server, &format!("asked {number}"))
                    .1
                    .identity
                    .user
            })
            .collect();
        let mut load = Self {
            players,
            told,
            room,
            stop: Arc::default(),
            edit: Arc::default(),
            requests: Arc::default(),
            tasks: Vec::new(),
            asking: None,
        };
        load.write();
        load.edit();
        load.ask(server, asked);
        load
    }

    fn write(&mut self) {
        for player in self.players.iter().cloned() {
            let (stop, room) = (Arc::clone(&self.stop), self.room);
            self.tasks.push(tokio::spawn(async move {
                let mut numbers = 1..;
                let next = || {
                    let number = numbers.next().filter(|_| !stop.load(Ordering::Relaxed))?;
                    Some(format!("{} {number}", player.name))
                };
                player.send_all(room, UNDER_WAY, next).await;
            }));
        }
    }

    fn edit(&mut self) {
        let (room, stop) = (
            self.players[0].client.room(self.room),
            Arc::clone(&self.stop),
        );
        let edit = Arc::clone(&self.edit);
        self.tasks.push(tokio::spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let edited = room.edit(1, format!("edited {number}")).without_deadline();
                edited.send().await.unwrap();
                edit.store(number, Ordering::Release);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
    }

    /// Asks until it is done, or the server is killed.
    fn ask(&mut self, server: SocketAddr, asked: Vec<UserId>) {
        let requests = Arc::clone(&self.requests);
        let (mut player, _) = Player::guest(server, "asking");
        self.asking = Some(std::thread::spawn(move || {
            for user in asked {
                player.call(&RequestFriend { user }).unwrap();
                requests.fetch_add(1, Ordering::AcqRel);
                std::thread::sleep(Duration::from_millis(20));
            }
        }));
    }

    fn acknowledged(&self) -> Vec<Message> {
        let reports = self.players.iter().map(RustPlayer::report);
        reports.flat_map(|report| report.acknowledged).collect()
    }

    async fn until_acknowledged(&self, more: u64) {
        let count = || {
            self.players
                .iter()
                .map(RustPlayer::acknowledged)
                .sum::<u64>()
        };
        let (began, before) = (Instant::now(), count());
        while count() < before + more {
            assert!(
                began.elapsed() < PATIENCE,
                "{} acknowledged",
                count() - before
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops, and waits until every call has its answer.
    async fn finish(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks.drain(..) {
            let ended = tokio::time::timeout(PATIENCE, task).await;
            ended.expect("every call is answered").unwrap();
        }
    }
}

/// A client of an earlier run, with the cursors that it had then, which were not ahead of the backup.
async fn of_an_earlier_run(
    url: &str,
    secret: &str,
    resume: pitturu_client::types::system::Resume,
    room: RoomId,
) -> (Client, Arc<Mutex<Vec<Told>>>) {
    let options = ClientOptions::new(url).back_off(BACK_OFF).resume(resume);
    let client = Client::connect(options).unwrap();
    let told = note(&client, room);
    client.login_guest(secret, None).await.unwrap();
    client.online().await.unwrap();
    (client, told)
}

fn dense_and_unique(kept: &[Message]) {
    assert!(
        kept.iter().map(|(seq, _)| *seq).eq(1..=kept.len() as u64),
        "sequences are not dense"
    );
    let texts: HashSet<&String> = kept.iter().map(|(_, text)| text).collect();
    assert_eq!(texts.len(), kept.len(), "a message is there twice");
}

/// A client was told once that all that it knew is to be read again, and from there on of each message, once and in order.
fn told_and_goes_on(who: &str, told: &[Told], kept: &[Message]) {
    assert!(!told.contains(&Told::Lost), "{who}: {told:?}");
    let gaps: Vec<usize> = (0..told.len())
        .filter(|at| matches!(told[*at], Told::Gap(Missing::Messages, ..)))
        .collect();
    let [gap] = gaps[..] else {
        panic!("{who}: {} gaps of messages", gaps.len());
    };
    let Told::Gap(_, from, to) = told[gap] else {
        unreachable!("it is a gap");
    };
    let seen_before = told[..gap].iter().filter_map(|entry| match entry {
        Told::Message(seq, _) => Some(*seq),
        _ => None,
    });
    assert_eq!(from, 1, "{who}");
    assert!(
        to >= seen_before.max().unwrap_or(0),
        "{who}: all that was seen is in doubt"
    );
    let after: Vec<Message> = told[gap..]
        .iter()
        .filter_map(|entry| match entry {
            Told::Message(seq, text) => Some((*seq, text.clone())),
            _ => None,
        })
        .collect();
    let (first, _) = after
        .first()
        .unwrap_or_else(|| panic!("{who} hears nothing more"));
    assert_eq!(after[..], kept[*first as usize - 1..], "{who}");
}

#[test]
fn what_was_acknowledged_before_a_backup_is_there_after_a_restore_elsewhere() {
    let address = fixed_address();
    let url = format!("ws://{address}");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let backups = folder.path().join("backups");
    let settings = settings(&backups);
    let mut server = start(&address, folder, &settings);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut load = runtime.block_on(Load::start(&url, server.ws));
    let room = load.room;

    // One that goes before the backup, with its cursors.
    let secret = "the client that was not ahead of it";
    let earlier = runtime.block_on(async {
        let client = Client::connect(ClientOptions::new(&url).back_off(BACK_OFF)).unwrap();
        client.login_guest(secret, Some("earlier")).await.unwrap();
        client.room(room).join().await.unwrap();
        load.until_acknowledged(BETWEEN).await;
        let cursors = client.cursors();
        client.close();
        cursors
    });
    assert!(earlier.rooms[0].seq > 1 && earlier.epoch.is_some());

    let (acknowledged, edit, requests) = (
        load.acknowledged(),
        load.edit.load(Ordering::Acquire),
        load.requests.load(Ordering::Acquire),
    );
    let output = run(&server.data(), server.ops, None, &["backup", "under-load"]);
    assert!(output.status.success(), "{}", said(&output));
    let backup = backups.join("under-load");
    assert!(
        said(&output).contains(&backup.display().to_string()),
        "{}",
        said(&output)
    );
    runtime.block_on(load.until_acknowledged(BETWEEN));
    server.kill();
    assert!(load.acknowledged().len() as u64 >= acknowledged.len() as u64 + BETWEEN);

    let elsewhere = restore(&backup, &server);
    let mut server = start(&address, elsewhere, &settings);
    let (kept, told) = runtime.block_on(async {
        load.until_acknowledged(BETWEEN).await;
        let (client, told) = of_an_earlier_run(&url, secret, earlier, room).await;
        load.until_acknowledged(BETWEEN).await;
        client.room(room).send("and goes on talking").await.unwrap();
        load.finish().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let kept = history(&client.room(room)).await;
        (kept, told.lock().unwrap().clone())
    });
    dense_and_unique(&kept);
    for (seq, text) in acknowledged.iter().filter(|(seq, _)| *seq > 1) {
        assert_eq!(
            &kept[*seq as usize - 1].1,
            text,
            "acknowledged as {seq} before the backup"
        );
    }
    let (_, edited) = &kept[0];
    let number: u64 = edited.strip_prefix("edited ").unwrap().parse().unwrap();
    assert!(number >= edit, "{edited} and {edit} were acknowledged");
    for (player, told) in load.players.iter().zip(&load.told) {
        assert!(
            player.report().failed.is_empty(),
            "{:?}",
            player.report().failed
        );
        told_and_goes_on(&player.name, &told.lock().unwrap(), &kept);
    }
    told_and_goes_on("earlier", &told, &kept);
    assert!(kept.iter().any(|(_, text)| text == "and goes on talking"));

    let mut asking = Player::connect(server.ws);
    let secret = format!("{:-<32}", "asking");
    asking
        .call(&LoginGuest {
            secret,
            name: None,
            device: None,
        })
        .unwrap();
    let listed = asking.call(&ListFriends::default()).unwrap();
    assert!(
        listed.friends.len() as u64 >= requests,
        "{} of {requests} requests",
        listed.friends.len()
    );
    println!(
        "{} messages, edit {edit}, {requests} requests before the backup; {} messages in the end",
        acknowledged.len(),
        kept.len()
    );
    // It was killed under the others.
    drop(load.asking.take());
    server.stop();
}

#[test]
fn a_backup_is_asked_for_by_name_from_the_same_machine_alone() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let backups = folder.path().join("backups");
    let mut server = Server::start_in(Arc::clone(&folder), &[]);
    let refused = run(
        &server.data(),
        server.ops,
        Some(&backups),
        &["backup", "one"],
    );
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        said(&refused).contains("backup.folder"),
        "{}",
        said(&refused)
    );
    let page = server.ops_page("/backup?name=one");
    assert!(
        page.starts_with("HTTP/1.1 405 ") || page.starts_with("HTTP/1.1 404 "),
        "{page}"
    );
    server.stop();

    let configured = settings(&backups);
    let mut server = start("127.0.0.1:0", Arc::clone(&folder), &configured);
    let post = |query: &str, headers: &str| {
        let request = format!(
            "POST /backup?{query} HTTP/1.1\r\nHost: ops\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        http(server.ops, &request)
    };
    for (query, headers, status) in [
        ("name=..%2fevil", "", 400),
        ("name=../evil", "", 400),
        ("name=", "", 400),
        ("name=page", "Origin: https://evil.example\r\n", 403),
        ("name=one", "", 200),
        ("name=one", "", 409),
        ("name=one.pitturu-part", "", 400),
    ] {
        let answer = post(query, headers);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{query}: {answer}"
        );
    }
    let metrics = server.ops_page("/metrics");
    assert!(
        metrics.contains("\npitturu_backups_failed_total 0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\npitturu_backup_timestamp_seconds 1"),
        "{metrics}"
    );

    // Killed in the middle: whatever that leaves, the next one makes it good.
    let data = server.data();
    let asking = std::thread::spawn({
        let (data, ops) = (data.clone(), server.ops);
        move || run(&data, ops, None, &["backup", "two"])
    });
    std::thread::sleep(Duration::from_millis(30));
    server.kill();
    asking.join().unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&backups)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    };
    let before = names();
    assert!(
        before
            .iter()
            .all(|name| name.starts_with("one") || name.starts_with("two")),
        "{before:?}"
    );
    // Without a server the program opens the store itself.
    let made = run(&data, server.ops, Some(&backups), &["backup", "three"]);
    assert!(made.status.success(), "{}", said(&made));
    assert!(
        names().iter().all(|name| !name.ends_with("part")),
        "{:?}",
        names()
    );
    let named_by_time = run(&data, server.ops, Some(&backups), &["backup"]);
    assert!(named_by_time.status.success(), "{}", said(&named_by_time));
    refuse_restores(&data, server.ops, &backups.join("three"));
}

/// A restore over a store, out of nothing, and a start on a backup.
fn refuse_restores(data: &Path, ops: SocketAddr, backup: &Path) {
    let from = backup.display().to_string();
    let refused = run(data, ops, None, &["restore", &from]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        said(&refused).contains("is not empty"),
        "{}",
        said(&refused)
    );
    let empty = tempfile::tempdir().unwrap();
    let refused = run(
        &empty.path().join("data"),
        ops,
        None,
        &["restore", &data.display().to_string()],
    );
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        said(&refused).contains("no finished backup"),
        "{}",
        said(&refused)
    );
    let refused = run(backup, ops, None, &["ledger", "verify"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        said(&refused).contains("pitturu restore"),
        "{}",
        said(&refused)
    );
}
