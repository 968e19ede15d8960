//! The full way of a score, under kills: a season ends, its places are told, rules give points and items for them, and players buy
//! with the points and use up what they bought. Each step happens once, whatever the server was doing when it was killed.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pitturu_chaos::server::{ADMIN, Installation, Server, Start};
use pitturu_client::types::boards::SubmitScore;
use pitturu_client::types::inbox::{InboxAdded, InboxEntry};
use pitturu_client::types::items::{
    BuyItem, ItemChange, ItemChangesFrom, ItemReason, ListInventory, ListItemChanges, UseItem,
};
use pitturu_client::types::points::{GetWallet, ListMovements, MovementsFrom, PointsReason};
use pitturu_client::{Call, Client, ClientOptions, UserId, new_guest_secret};
use pitturu_protocol::methods::Method;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::PROGRAM;

const GAME: &str = r#"
[boards.daily]
operator = "best"
reset = { every = "day", at = "00:00", zone = "UTC" }
places_told = 3

[items.crown]
[items.potion]
price = 10
consumable = true

[rewards.rules.first]
on = { places = { board = "daily", from = 1, to = 1 } }
points = 10
item = "crown"
[rewards.rules.second]
on = { places = { board = "daily", from = 2, to = 2 } }
points = 3
"#;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Where the server is killed, each time at one of them.
const POINTS: [&str; 10] = [
    "owner.decided",
    "owner.handed_over",
    "store.group",
    "store.commit",
    "store.synced",
    "store.reported",
    "owner.reported",
    "signal.sent",
    "signal.applied",
    "signal.answered",
];

const KILLS: u64 = 20;

/// Days after which so many kills must have come.
const DAYS_MAX: i64 = 60;

const PATIENCE: Duration = Duration::from_secs(60);

/// How long one attempt of a call may take before the server is looked at.
const ATTEMPT: Duration = Duration::from_secs(3);

const PASSWORD: &str = "a password for tests";

struct Player {
    secret: String,
    user: UserId,
    points: i64,
    crowns: u64,
    potions_used: u64,
}

struct World {
    installation: Installation,
    server: Server,
    settings: Vec<String>,
    clock: i64,
    _files: TempDir,
}

/// Who calls: a player by their secret, or the admin.
type Who<'a> = Option<&'a str>;

impl World {
    fn start() -> Self {
        let files = TempDir::new().unwrap();
        let game = files.path().join("game.toml");
        fs::write(&game, GAME).unwrap();
        let program = (PROGRAM.clone(), vec!["serve".to_owned()]);
        let installation = Installation::new(program, Vec::new()).unwrap();
        let settings = vec![
            format!("game.file={}", game.display()),
            "accounts.access_life=30d".to_owned(),
            "accounts.refresh_life=90d".to_owned(),
        ];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_millis()).unwrap();
        // Noon of a day, so that nothing but a step of the clock ends it.
        let clock = DAY_MS + DAY_MS / 2 - now % DAY_MS;
        let server = started(&installation, &settings, clock);
        Self {
            installation,
            server,
            settings,
            clock,
            _files: files,
        }
    }

    /// Starts the server again if it was killed.
    fn mend(&mut self) {
        if self.server.has_ended() {
            self.server = started(&self.installation, &self.settings, self.clock);
        }
    }

    fn kills(&self) -> u64 {
        let acted = self.installation.acted();
        let kills = acted.iter().filter(|(what, _)| what.ends_with("abort"));
        kills.map(|(_, times)| times).sum()
    }

    /// The next day begins.
    fn next_day(&mut self) {
        self.clock += DAY_MS;
        self.server.order(&format!("clock/{}", self.clock));
        self.mend();
    }

    async fn client(&self, who: Who<'_>) -> Option<Client> {
        let url = format!("ws://{}/ws", self.server.ws);
        let client = Client::connect(ClientOptions::new(url)).unwrap();
        let signed_in = async {
            match who {
                Some(secret) => client.login_guest(secret, None).await,
                None => match client.login(ADMIN, PASSWORD).await {
                    Ok(signed_in) => Ok(signed_in),
                    Err(_) => client.register(ADMIN, PASSWORD).await,
                },
            }
        };
        let signed_in = timeout(ATTEMPT, signed_in).await;
        matches!(signed_in, Ok(Ok(_))).then_some(client)
    }

    /// The reply to a call, which is made again under its key until there is one.
    async fn call<M>(&mut self, who: Who<'_>, request: &M, key: Option<&str>) -> M::Reply
    where
        M: Method + Clone,
    {
        let began = Instant::now();
        loop {
            self.mend();
            let Some(client) = self.client(who).await else {
                assert!(began.elapsed() < PATIENCE, "nobody can sign in");
                continue;
            };
            let mut call: Call<M> = client.call(request.clone());
            if let Some(key) = key {
                call = call.with_key(key);
            }
            if let Ok(Ok(reply)) = timeout(ATTEMPT, call).await {
                client.close();
                return reply;
            }
            client.close();
            assert!(began.elapsed() < PATIENCE, "{} is not answered", M::NAME);
        }
    }

    async fn crowns(&mut self, player: &Player) -> u64 {
        let list = ListInventory::default();
        let owned = self.call(Some(&player.secret), &list, None).await;
        let crowns = owned.items.into_iter();
        let crowns = crowns.filter(|item| item.item == "crown");
        crowns.map(|item| item.count).sum()
    }

    async fn balance(&mut self, player: &Player) -> i64 {
        let get = GetWallet::default();
        self.call(Some(&player.secret), &get, None).await.balance
    }
}

fn started(installation: &Installation, settings: &[String], clock_offset_ms: i64) -> Server {
    let start = Start {
        settings: settings.to_vec(),
        clock_offset_ms,
        ..Start::default()
    };
    installation.start(&start).unwrap()
}

/// Waits until everybody has what they should have, and sees that nobody ever has more.
async fn all_is_given(world: &mut World, players: &[Player], what: &str) {
    let began = Instant::now();
    loop {
        let mut is_given = true;
        for player in players {
            let (points, crowns) = (world.balance(player).await, world.crowns(player).await);
            assert!(points <= player.points, "{what}: {points} points too many");
            assert!(crowns <= player.crowns, "{what}: {crowns} crowns");
            is_given &= points == player.points && crowns == player.crowns;
        }
        if is_given {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: something is not given");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_becomes_points_and_an_item_once_under_twenty_kills() {
    let mut world = World::start();
    let mut players = Vec::new();
    for _ in 0..3 {
        let secret = new_guest_secret().unwrap();
        let client = world
            .client(Some(&secret))
            .await
            .expect("nothing fails yet");
        players.push(Player {
            user: client.identity().unwrap().user,
            secret,
            points: 0,
            crowns: 0,
            potions_used: 0,
        });
        client.close();
    }
    let mut random = fastrand::Rng::with_seed(11);
    let mut day = 0;
    while world.kills() < KILLS {
        assert!(day < DAYS_MAX, "{} kills only", world.kills());
        let winner = usize::try_from(day).unwrap() % players.len();
        let point = POINTS[random.usize(..POINTS.len())];
        world.mend();
        world
            .server
            .order(&format!("arm/{point}=abort:{}", random.u32(1..15)));
        for (place, score) in [30, 20, 10].into_iter().enumerate() {
            let user = players[(winner + place) % players.len()].user;
            let submit = SubmitScore {
                board: "daily".to_owned(),
                user,
                score,
                metadata: None,
            };
            let key = format!("score {day} {place}");
            world.call(None, &submit, Some(&key)).await;
        }
        world.next_day();
        let second = (winner + 1) % players.len();
        players[winner].points += 10;
        players[winner].crowns += 1;
        players[second].points += 3;
        all_is_given(&mut world, &players, &format!("day {day}, {point}")).await;

        let buy = BuyItem {
            item: "potion".to_owned(),
            count: 1,
            price: 10,
        };
        let secret = players[winner].secret.clone();
        let key = format!("buy {day}");
        let bought = world.call(Some(&secret), &buy, Some(&key)).await;
        players[winner].points -= 10;
        assert_eq!(bought.balance, players[winner].points, "{key}");
        assert_eq!(bought.change.owned.count, 1, "{key}");
        let used = UseItem {
            item: "potion".to_owned(),
            count: 1,
        };
        let key = format!("use {day}");
        let used = world.call(Some(&secret), &used, Some(&key)).await;
        assert_eq!(used.owned.count, 0, "{key}");
        players[winner].potions_used += 1;
        day += 1;
    }
    println!("{day} days, kills: {:?}", world.installation.acted());
    assert_eq!(world.installation.panics(), Vec::<String>::new());
    for player in &players {
        check_books(&mut world, player, day).await;
    }
    let World {
        installation,
        server,
        ..
    } = world;
    server.kill();
    let (adds_up, said) = installation.verify_ledger().unwrap();
    assert!(adds_up, "{said}");
}

/// Reads all that is kept of a player: everything is there once.
async fn check_books(world: &mut World, player: &Player, days: i64) {
    let secret = Some(player.secret.as_str());
    let all = ListMovements {
        from: Some(MovementsFrom::After(0)),
        limit: Some(200),
        ..ListMovements::default()
    };
    let movements = world.call(secret, &all, None).await.movements;
    let mut by_reason = BTreeMap::new();
    for movement in &movements {
        let note = movement.note.clone().unwrap_or_default();
        let id = movement.id.clone().unwrap_or_default();
        let times = by_reason
            .entry((format!("{:?}", movement.reason), note, id))
            .or_insert(0);
        *times += 1;
        assert_eq!(*times, 1, "{movement:?} is there twice");
    }
    let spent = movements.iter();
    let spent = spent.filter(|movement| movement.reason == PointsReason::Spend);
    assert_eq!(spent.count() as u64, player.potions_used);
    let all = ListItemChanges {
        from: Some(ItemChangesFrom::After(0)),
        limit: Some(200),
        ..ListItemChanges::default()
    };
    let changes: Vec<ItemChange> = world.call(secret, &all, None).await.changes;
    let of = |reason| changes.iter().filter(|it| it.reason == reason).count() as u64;
    assert_eq!(of(ItemReason::Rewarded), player.crowns);
    assert_eq!(of(ItemReason::Bought), player.potions_used);
    assert_eq!(of(ItemReason::Used), player.potions_used);
    let numbers: Vec<u64> = changes.iter().map(|change| change.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    // The inbox has each day's place once.
    let url = format!("ws://{}/ws", world.server.ws);
    let client = Client::connect(ClientOptions::new(url)).unwrap();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let _listening = client.on::<InboxAdded>(move |added| {
        let _ = told.send(added.entry.clone());
    });
    let signed_in = client.login_guest(&player.secret, None).await;
    signed_in.expect("nothing fails any more");
    let mut seasons = BTreeMap::new();
    let reading = async {
        while seasons.len() < usize::try_from(days).unwrap() {
            if let InboxEntry::SeasonPlaced { season, .. } = heard.recv().await.unwrap() {
                *seasons.entry(season).or_insert(0) += 1;
            }
        }
    };
    timeout(PATIENCE, reading)
        .await
        .expect("each season is told");
    assert!(seasons.values().all(|times| *times == 1), "{seasons:?}");
    client.close();
}
