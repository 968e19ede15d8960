//! Items and rewards through a session: what is bought is paid and owned at once, or neither.

mod again;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{GetAccount, Role, SetRole};
use pitturu_protocol::types::items::{
    BuyItem, GrantItem, InventoryChanged, ItemChange, ItemChangesFrom, ItemReason, ListInventory,
    ListItemChanges, ListItems, OwnedItem, TakeItem, UseItem,
};
use pitturu_protocol::types::points::{GetWallet, GrantPoints, ListMovements, PointsReason};
use pitturu_protocol::types::rewards::{GetRewards, PlayOutcome, PlayRecorded, RecordPlay, Reward};

use super::world::{Client, World};
use crate::connections::link::memory::Options;

const GAME: &str = r#"
[items.crown]
most = 1
[items.hat]
price = 30
stock = 3
[items.potion]
price = 5
consumable = true
most = 10
[items.vip]
price = 7
lasts_hours = 24
most = 3

[rewards]
zone = "Asia/Seoul"
points_per_day = 100

[rewards.rules.first]
on = "first_play"
points = 20
[rewards.rules.week]
on = { streak = 7 }
item = "crown"
[rewards.rules.win]
on = "win"
game = "chess"
points = 30
per_day = 5
"#;

struct Scene {
    world: World,
    service: Client,
    player: Client,
    user: UserId,
    keys: u32,
}

fn code<T>(outcome: Result<T, Fault>) -> Option<Code> {
    outcome.err().map(|fault| fault.code)
}

fn buy(item: &str, count: u64, price: u64) -> BuyItem {
    let item = item.to_owned();
    BuyItem { item, count, price }
}

fn used(item: &str, count: u64) -> UseItem {
    let item = item.to_owned();
    UseItem { item, count }
}

impl Scene {
    async fn new() -> Self {
        Self::in_world(World::with_game(GAME).await).await
    }

    async fn in_world(world: World) -> Self {
        let (mut admin, _) = world.registered("root").await;
        let (service, one) = world.registered("gameserver").await;
        let promote = SetRole {
            user: one.identity.user,
            role: Role::Service,
        };
        admin.call(&promote).await.expect("an admin may");
        let (player, signed_in) = world.guest("player", Options::default()).await;
        Self {
            world,
            service,
            player,
            user: signed_in.identity.user,
            keys: 0,
        }
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("change {}", self.keys)
    }

    async fn serve<M: Method>(&mut self, request: &M) -> Result<M::Reply, Fault> {
        let key = self.key();
        self.service.call_under(request, &key).await
    }

    async fn play<M: Method>(&mut self, request: &M) -> Result<M::Reply, Fault> {
        let key = self.key();
        self.player.call_under(request, &key).await
    }

    async fn points(&mut self, amount: u64) {
        let grant = GrantPoints {
            user: self.user,
            amount,
            reference: None,
            note: String::new(),
        };
        self.serve(&grant).await.expect("points");
    }

    async fn give(&mut self, item: &str, count: u64) -> Result<ItemChange, Fault> {
        let grant = GrantItem {
            user: self.user,
            item: item.to_owned(),
            count,
            note: "a gift".to_owned(),
        };
        self.serve(&grant).await
    }

    async fn take(&mut self, item: &str, count: u64) -> Result<ItemChange, Fault> {
        let take = TakeItem {
            user: self.user,
            item: item.to_owned(),
            count,
            note: String::new(),
        };
        self.serve(&take).await
    }

    async fn record(&mut self, game: &str, outcome: PlayOutcome) -> PlayRecorded {
        let play = RecordPlay {
            user: self.user,
            game: game.to_owned(),
            outcome,
        };
        self.serve(&play).await.expect("a game played")
    }

    /// Balance, what is owned, and how many changes and movements there are.
    async fn stand(&mut self) -> (i64, Vec<(String, u64)>, u64, u64) {
        let wallet = self.player.call(&GetWallet::default()).await.unwrap();
        let owned = self.player.call(&ListInventory::default()).await.unwrap();
        let items = owned.items.into_iter().map(|item| (item.item, item.count));
        (wallet.balance, items.collect(), owned.head, wallet.head)
    }

    async fn left(&mut self, item: &str) -> Option<u64> {
        let listed = self.player.call(&ListItems::default()).await.unwrap();
        let found = listed.items.into_iter().find(|info| info.item == item);
        found.expect("it is in the catalogue").left
    }
}

#[tokio::test]
async fn what_is_bought_is_paid_and_owned_and_outlives_a_restart() {
    let mut scene = Scene::new().await;
    scene.points(100).await;
    let bought = scene.play(&buy("potion", 3, 5)).await.unwrap();
    assert_eq!((bought.points, bought.balance), (15, 85));
    assert_eq!(bought.change.reason, ItemReason::Bought);
    assert_eq!(bought.change.movement, Some(2));
    let used = scene.play(&used("potion", 2)).await.unwrap();
    assert_eq!((used.change, used.owned.count, used.number), (-2, 1, 2));
    let hat = scene.play(&buy("hat", 1, 30)).await.unwrap();
    assert_eq!((hat.points, hat.balance), (30, 55));
    assert_eq!(scene.left("hat").await, Some(2));
    let before = scene.stand().await;
    let owned = [("hat", 1), ("potion", 1)].map(|(item, count)| (item.to_owned(), count));
    assert_eq!(before, (55, owned.to_vec(), 3, 3));
    let movements = scene.player.call(&ListMovements::default()).await.unwrap();
    let spent = movements.movements.iter();
    let spent = spent.filter(|movement| movement.reason == PointsReason::Spend);
    let spent: Vec<_> = spent
        .map(|movement| movement.reference.as_deref())
        .collect();
    assert_eq!(spent, [Some("hat"), Some("potion")]);

    let mut world = scene.world;
    drop((scene.service, scene.player));
    world = world.restarted().await;
    let (mut player, _) = world.guest("player", Options::default()).await;
    let inventory = player.call(&ListInventory::default()).await.unwrap();
    assert_eq!(inventory.head, 3);
    assert_eq!(inventory.items.len(), 2);
    let hat = player
        .call_under(&buy("hat", 1, 30), "after")
        .await
        .unwrap();
    assert_eq!((hat.change.number, hat.balance), (4, 25));
    assert_eq!(hat.change.owned.count, 2);
}

#[tokio::test]
async fn a_purchase_is_made_once_under_its_key() {
    let mut scene = Scene::new().await;
    scene.points(200).await;
    for request in [buy("potion", 1, 5), buy("hat", 1, 30)] {
        let key = scene.key();
        let first = scene.player.call_under(&request, &key).await.unwrap();
        let stands = scene.stand().await;
        let again = scene.player.call_under(&request, &key).await.unwrap();
        assert_eq!(first, again);
        let other = BuyItem {
            count: 2,
            ..request.clone()
        };
        let refused = scene.player.call_under(&other, &key).await.unwrap_err();
        assert_eq!(refused.code, Code::KeyReused);
        assert_eq!(refused.field.as_deref(), Some("count"));
        assert_eq!(scene.stand().await, stands);
    }
    // The key is the player's: whatever the item is.
    let key = format!("change {}", scene.keys);
    let refused = scene.player.call_under(&buy("potion", 1, 5), &key).await;
    assert_eq!(code(refused), Some(Code::KeyReused));
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let mut scene = Scene::new().await;
    scene.points(40).await;
    scene.give("crown", 1).await.unwrap();
    let before = scene.stand().await;
    let refused = [
        (buy("sword", 1, 5), Code::ItemNotFound),
        (buy("crown", 1, 5), Code::NotForSale),
        (buy("potion", 1, 4), Code::PriceChanged),
        (buy("potion", 9, 5), Code::NotEnoughPoints),
        (buy("potion", 11, 5), Code::LimitReached),
        (buy("hat", 2, 30), Code::NotEnoughPoints),
        (buy("hat", 4, 30), Code::NotEnoughPoints),
        (buy("vip", 4, 7), Code::LimitReached),
        (buy("potion", 0, 5), Code::InvalidArgument),
        (buy("potion", 1_000_001, 5), Code::InvalidArgument),
    ];
    for (request, expected) in refused {
        let outcome = scene.play(&request).await;
        assert_eq!(code(outcome), Some(expected), "{request:?}");
    }
    for (request, expected) in [
        (used("sword", 1), Code::ItemNotFound),
        (used("crown", 1), Code::InvalidArgument),
        (used("potion", 1), Code::NotEnoughItems),
    ] {
        let outcome = scene.play(&request).await;
        assert_eq!(code(outcome), Some(expected), "{request:?}");
    }
    assert_eq!(code(scene.give("crown", 1).await), Some(Code::LimitReached));
    assert_eq!(code(scene.give("sword", 1).await), Some(Code::ItemNotFound));
    assert_eq!(
        code(scene.take("crown", 2).await),
        Some(Code::NotEnoughItems)
    );
    assert_eq!(code(scene.take("hat", 1).await), Some(Code::NotEnoughItems));
    let nobody = TakeItem {
        user: UserId::from_bytes([9; 10]),
        item: "hat".to_owned(),
        count: 1,
        note: String::new(),
    };
    assert_eq!(code(scene.serve(&nobody).await), Some(Code::NotFound));
    // What another player owns is nobody's business but theirs who give it.
    let of_another = ListInventory {
        user: Some(scene.user),
        ..ListInventory::default()
    };
    let (mut other, _) = scene.world.guest("other", Options::default()).await;
    assert_eq!(code(other.call(&of_another).await), Some(Code::Forbidden));
    assert_eq!(
        scene.service.call(&of_another).await.unwrap().items.len(),
        1
    );
    assert_eq!(scene.stand().await, before);
    assert_eq!(scene.left("hat").await, Some(3));
}

#[tokio::test]
async fn a_purchase_without_a_key_is_refused() {
    let mut scene = Scene::new().await;
    scene.points(40).await;
    let refused = scene.player.call(&buy("potion", 1, 5)).await;
    assert_eq!(code(refused), Some(Code::InvalidArgument));
}

#[tokio::test]
async fn ten_connections_buy_what_is_left_and_no_more() {
    let mut scene = Scene::new().await;
    let mut buyers = Vec::new();
    for number in 0..10 {
        let name = format!("buyer {number}");
        let (client, signed_in) = scene.world.guest(&name, Options::default()).await;
        let grant = GrantPoints {
            user: signed_in.identity.user,
            amount: 35,
            reference: None,
            note: String::new(),
        };
        scene.serve(&grant).await.unwrap();
        buyers.push(client);
    }
    let mut bought = Vec::new();
    for buyer in buyers {
        bought.push(tokio::spawn(async move {
            let mut buyer = buyer;
            let outcome = buyer.call_under(&buy("hat", 1, 30), "a hat").await;
            let again = buyer.call_under(&buy("hat", 1, 30), "a hat").await;
            assert_eq!(outcome, again, "a repetition gets the first outcome");
            let wallet = buyer.call(&GetWallet::default()).await.unwrap();
            let owned = buyer.call(&ListInventory::default()).await.unwrap();
            (
                code(outcome),
                wallet.balance,
                wallet.head,
                owned.items.len(),
            )
        }));
    }
    let (mut with, mut without) = (0, 0);
    for outcome in bought {
        match outcome.await.unwrap() {
            (None, 5, 2, 1) => with += 1,
            (Some(Code::SoldOut), 35, 1, 0) => without += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((with, without), (3, 7));
    assert_eq!(scene.left("hat").await, Some(0));
}

#[tokio::test]
async fn one_balance_pays_for_what_it_has_and_the_stock_gets_the_rest_back() {
    let mut scene = Scene::new().await;
    scene.points(45).await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        let (client, _) = scene.world.guest("player", Options::default()).await;
        connections.push(client);
    }
    let mut orders = Vec::new();
    for (number, client) in connections.into_iter().enumerate() {
        orders.push(tokio::spawn(async move {
            let mut client = client;
            let key = format!("order {number}");
            code(client.call_under(&buy("hat", 1, 30), &key).await)
        }));
    }
    let mut codes = Vec::new();
    for order in orders {
        codes.push(order.await.unwrap());
    }
    codes.sort_unstable_by_key(|code| code.map(Code::number));
    let short = Some(Code::NotEnoughPoints);
    assert_eq!(codes, [None, short, short]);
    let (balance, owned, ..) = scene.stand().await;
    assert_eq!((balance, owned), (15, vec![("hat".to_owned(), 1)]));
    for _ in 0..200 {
        if scene.left("hat").await == Some(2) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the stock has {:?}", scene.left("hat").await);
}

#[tokio::test]
async fn what_lasts_for_a_time_is_made_longer_and_runs_out() {
    let mut scene = Scene::new().await;
    scene.points(100).await;
    let first = scene.play(&buy("vip", 1, 7)).await.unwrap();
    let until = first.change.owned.until.expect("it lasts for a time");
    assert_eq!(until, first.change.at + 86_400_000);
    let second = scene.play(&buy("vip", 2, 7)).await.unwrap();
    assert_eq!(second.change.owned.until, Some(until + 2 * 86_400_000));
    assert_eq!(second.change.owned.count, 1);
    let refused = scene.play(&buy("vip", 1, 7)).await;
    assert_eq!(code(refused), Some(Code::LimitReached));
    let taken = scene.take("vip", 3).await.unwrap();
    let nothing = OwnedItem {
        item: "vip".to_owned(),
        count: 0,
        until: None,
    };
    assert_eq!(taken.owned, nothing);
    let (_, owned, ..) = scene.stand().await;
    assert_eq!(owned, []);
}

#[tokio::test]
async fn changes_are_listed_both_ways_and_told() {
    let mut scene = Scene::new().await;
    for _ in 0..3 {
        scene.give("potion", 1).await.unwrap();
        scene.give("hat", 1).await.unwrap();
    }
    // A connection may hear of the newest only.
    let newest = loop {
        let told: InventoryChanged = scene.player.event().await;
        if told.change.number == 6 {
            break told.change;
        }
    };
    assert_eq!(newest.item, "hat");
    let list = |from, item: Option<&str>, limit| ListItemChanges {
        user: None,
        from,
        item: item.map(str::to_owned),
        limit: Some(limit),
    };
    let mut seen = Vec::new();
    let mut from = None;
    loop {
        let page = scene
            .player
            .call(&list(from, Some("potion"), 2))
            .await
            .unwrap();
        seen.extend(page.changes.iter().map(|change| change.number));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(seen, [5, 3, 1]);
    let after = Some(ItemChangesFrom::After(2));
    let page = scene.player.call(&list(after, None, 200)).await.unwrap();
    let numbers: Vec<u64> = page.changes.iter().map(|change| change.number).collect();
    assert_eq!((numbers, page.next), (vec![3, 4, 5, 6], None));
    assert_eq!(page.changes[0].note.as_deref(), Some("a gift"));
}

#[tokio::test]
async fn the_catalogue_is_listed_page_by_page() {
    let mut scene = Scene::new().await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let list = ListItems {
            after: after.take(),
            limit: Some(3),
        };
        let page = scene.player.call(&list).await.unwrap();
        seen.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let names: Vec<&str> = seen.iter().map(|info| info.item.as_str()).collect();
    assert_eq!(names, ["crown", "hat", "potion", "vip"]);
    assert_eq!((seen[0].price, seen[0].most, seen[0].left), (None, 1, None));
    assert_eq!((seen[1].price, seen[1].left), (Some(30), Some(3)));
    assert!(seen[2].consumable);
    assert_eq!(seen[3].lasts_ms, Some(86_400_000));
}

#[tokio::test]
async fn rules_give_for_games_played_up_to_their_caps() {
    let mut scene = Scene::new().await;
    let reward = |rule: &str, points| Reward {
        rule: rule.to_owned(),
        points,
        item: None,
        count: 0,
    };
    let first = scene.record("chess", PlayOutcome::Won).await;
    assert_eq!(first.streak, 1);
    assert_eq!(first.rewards, [reward("first", 20), reward("win", 30)]);
    let lost = scene.record("chess", PlayOutcome::Lost).await;
    assert_eq!(lost.rewards, []);
    let other_game = scene.record("go", PlayOutcome::Won).await;
    assert_eq!(other_game.rewards, []);
    // 100 points a day: 20 and three times 30 are 110.
    let mut given = Vec::new();
    for _ in 0..4 {
        given.push(scene.record("chess", PlayOutcome::Won).await.rewards);
    }
    assert_eq!(
        given[..2],
        [vec![reward("win", 30)], vec![reward("win", 20)]]
    );
    assert_eq!(given[2..], [vec![], vec![]]);
    let (balance, ..) = scene.stand().await;
    assert_eq!(balance, 100);
    let shown = scene.player.call(&GetRewards::default()).await.unwrap();
    assert_eq!(
        (shown.streak, shown.has_played, shown.points),
        (1, true, 100)
    );
    let win = shown.rules.iter().find(|rule| rule.rule == "win").unwrap();
    assert_eq!((win.today, win.per_day), (3, Some(5)));
    // A repetition under its key gives nothing more.
    let play = RecordPlay {
        user: scene.user,
        game: "chess".to_owned(),
        outcome: PlayOutcome::Won,
    };
    let again = scene.service.call_under(&play, "change 4").await.unwrap();
    assert_eq!(again.rewards, given[0]);
    let lost = RecordPlay {
        outcome: PlayOutcome::Lost,
        ..play
    };
    let refused = scene.service.call_under(&lost, "change 4").await;
    assert_eq!(code(refused), Some(Code::KeyReused));
    let (balance, ..) = scene.stand().await;
    assert_eq!(balance, 100);
}

#[tokio::test]
async fn what_is_no_name_of_a_game_is_refused() {
    let mut scene = Scene::new().await;
    for game in ["", "Chess", "a b", &"x".repeat(33)] {
        let play = RecordPlay {
            user: scene.user,
            game: game.to_owned(),
            outcome: PlayOutcome::Played,
        };
        let refused = scene.serve(&play).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{game:?}");
        assert_eq!(refused.field.as_deref(), Some("game"));
    }
}

/// Whoever gives something is kept with it, also where they give it to themselves.
#[tokio::test]
async fn who_gave_is_kept_with_what_was_given_to_themselves_too() {
    let mut scene = Scene::new().await;
    let server = scene.service.call(&GetAccount {}).await.unwrap().user;
    for user in [scene.user, server] {
        let grant = GrantPoints {
            user,
            amount: 5,
            reference: None,
            note: "a test".to_owned(),
        };
        let granted = scene.serve(&grant).await.unwrap();
        assert_eq!(granted.by, Some(server), "points to {user}");
        let give = GrantItem {
            user,
            item: "potion".to_owned(),
            count: 1,
            note: "a test".to_owned(),
        };
        let given = scene.serve(&give).await.unwrap();
        assert_eq!(given.by, Some(server), "an item to {user}");
        let play = RecordPlay {
            user,
            game: "chess".to_owned(),
            outcome: PlayOutcome::Won,
        };
        scene.serve(&play).await.unwrap();
        let list = ListMovements {
            user: Some(user),
            reason: Some(PointsReason::Reward),
            ..ListMovements::default()
        };
        let rewarded = scene.service.call(&list).await.unwrap().movements;
        assert_eq!(rewarded.len(), 2);
        for movement in rewarded {
            assert_eq!(movement.by, Some(server), "a reward of {user}");
        }
    }
    // What is their own doing is nobody's else.
    let bought = scene.service.call_under(&buy("potion", 1, 5), "own").await;
    assert_eq!(bought.unwrap().change.by, None);
}
