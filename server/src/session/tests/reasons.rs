//! What admins and services do with points and items: who did it is shown to the staff alone, why to the player as well.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{Role, SetRole};
use pitturu_protocol::types::items::{GrantItem, InventoryChanged, ListItemChanges, TakeItem};
use pitturu_protocol::types::points::{
    DeductPoints, GetWallet, GrantPoints, ListMovements, RefundPoints, SpendPoints,
};

use super::world::{Client, World};
use crate::connections::link::memory::Options;

struct Scene {
    /// Its connections end with it.
    _world: World,
    admin: Client,
    service: Client,
    player: Client,
    user: UserId,
    admin_id: UserId,
    service_id: UserId,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let (mut admin, root) = world.registered("root").await;
        let (service, one) = world.registered("gameserver").await;
        let (player, signed_in) = world.guest("player", Options::default()).await;
        let promote = SetRole {
            user: one.identity.user,
            role: Role::Service,
        };
        admin.call(&promote).await.expect("an admin may");
        Self {
            _world: world,
            admin,
            service,
            player,
            user: signed_in.identity.user,
            admin_id: root.identity.user,
            service_id: one.identity.user,
        }
    }

    fn grant(&self, note: &str) -> GrantPoints {
        GrantPoints {
            user: self.user,
            amount: 100,
            reference: None,
            note: note.to_owned(),
        }
    }

    fn deduct(&self, note: &str) -> DeductPoints {
        DeductPoints {
            user: self.user,
            amount: 1,
            reference: Some("a reference is no reason".to_owned()),
            note: note.to_owned(),
        }
    }

    fn refund(&self, note: &str) -> RefundPoints {
        RefundPoints {
            user: self.user,
            movement: 2,
            amount: Some(1),
            note: note.to_owned(),
        }
    }

    fn give(&self, note: &str) -> GrantItem {
        GrantItem {
            user: self.user,
            item: "potion".to_owned(),
            count: 5,
            note: note.to_owned(),
        }
    }

    fn take(&self, note: &str) -> TakeItem {
        TakeItem {
            user: self.user,
            item: "potion".to_owned(),
            count: 1,
            note: note.to_owned(),
        }
    }
}

/// Everything that the staff does about a player, by the admin and by the service.
async fn all_done(scene: &mut Scene) {
    let (grant, give) = (scene.grant("welcome"), scene.give("a gift"));
    let (deduct, take) = (scene.deduct("a fine"), scene.take("a fine"));
    let refund = scene.refund("sorry");
    let spend = SpendPoints {
        amount: 10,
        reference: None,
    };
    scene.admin.call_under(&grant, "1").await.unwrap();
    scene.player.call_under(&spend, "1").await.unwrap();
    scene.service.call_under(&deduct, "2").await.unwrap();
    scene.admin.call_under(&refund, "3").await.unwrap();
    scene.admin.call_under(&give, "4").await.unwrap();
    scene.service.call_under(&take, "5").await.unwrap();
}

#[tokio::test]
async fn players_read_why_and_not_who() {
    let mut scene = Scene::new().await;
    all_done(&mut scene).await;
    // A slow connection hears of the newest only.
    loop {
        let told: InventoryChanged = scene.player.event().await;
        assert_eq!((told.change.note.is_some(), told.change.by), (true, None));
        if told.change.number == 2 {
            break;
        }
    }
    let movements = |user| ListMovements {
        user,
        ..ListMovements::default()
    };
    let changes = |user| ListItemChanges {
        user,
        ..ListItemChanges::default()
    };
    let (admin, service) = (Some(scene.admin_id), Some(scene.service_id));
    for client in [&mut scene.admin, &mut scene.service] {
        let shown = client.call(&movements(Some(scene.user))).await.unwrap();
        let by: Vec<_> = shown.movements.iter().map(|line| line.by).collect();
        assert_eq!(by, [admin, service, None, admin]);
        let shown = client.call(&changes(Some(scene.user))).await.unwrap();
        let by: Vec<_> = shown.changes.iter().map(|change| change.by).collect();
        assert_eq!(by, [service, admin]);
    }
    for user in [None, Some(scene.user)] {
        let shown = scene.player.call(&movements(user)).await.unwrap();
        let lines = shown.movements.iter();
        let said: Vec<_> = lines.map(|line| (line.note.as_deref(), line.by)).collect();
        let notes = [Some("sorry"), Some("a fine"), None, Some("welcome")];
        assert_eq!(said, notes.map(|note| (note, None)));
        let shown = scene.player.call(&changes(user)).await.unwrap();
        let lines = shown.changes.iter();
        let said: Vec<_> = lines.map(|line| (line.note.as_deref(), line.by)).collect();
        assert_eq!(
            said,
            [Some("a fine"), Some("a gift")].map(|note| (note, None))
        );
    }
    // Whoever is staff no longer is a player like any other.
    let own = GrantPoints {
        user: scene.service_id,
        ..scene.grant("for the test")
    };
    scene.service.call_under(&own, "own").await.unwrap();
    for (role, by) in [(Role::Service, service), (Role::Player, None)] {
        let user = scene.service_id;
        scene.admin.call(&SetRole { user, role }).await.unwrap();
        let shown = scene.service.call(&movements(None)).await.unwrap();
        assert_eq!(shown.movements[0].by, by);
    }
}

async fn is_refused<M: Method>(client: &mut Client, request: &M, key: &str)
where
    M::Reply: std::fmt::Debug,
{
    let fault: Fault = client.call_under(request, key).await.expect_err(M::NAME);
    let found = (fault.code, fault.field.as_deref());
    assert_eq!(found, (Code::InvalidArgument, Some("note")), "{}", M::NAME);
}

#[tokio::test]
async fn an_admin_says_why() {
    let mut scene = Scene::new().await;
    all_done(&mut scene).await;
    // The second has nothing to see.
    for note in ["", " \u{200b}\n"] {
        let (grant, deduct, refund) = (scene.grant(note), scene.deduct(note), scene.refund(note));
        let (give, take) = (scene.give(note), scene.take(note));
        let admin = &mut scene.admin;
        is_refused(admin, &grant, "none").await;
        is_refused(admin, &deduct, "none").await;
        is_refused(admin, &refund, "none").await;
        is_refused(admin, &give, "none").await;
        is_refused(admin, &take, "none").await;
    }
    let own = GetWallet::default();
    assert_eq!(scene.player.call(&own).await.unwrap().head, 4);
    // A program's key says what it was.
    let grant = scene.grant("");
    let granted = scene.service.call_under(&grant, "match 7").await.unwrap();
    assert_eq!((granted.number, granted.note), (5, None));
    assert_eq!(granted.id.as_deref(), Some("match 7"));
    let take = scene.take("");
    let taken = scene.service.call_under(&take, "match 8").await.unwrap();
    assert_eq!((taken.number, taken.note), (3, None));
    // It is the role of this moment that counts.
    let user = scene.service_id;
    let role = Role::Admin;
    scene.admin.call(&SetRole { user, role }).await.unwrap();
    is_refused(&mut scene.service, &grant, "match 9").await;
}
