//! Movements of points that come while others wait for the disk.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ConnectionId, SessionId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::points::Movement;
use pitturu_rules::accounts::{AccountRow, ProfileRow, Sanctions, SessionRow};
use pitturu_rules::friends::Other;
use pitturu_rules::points::Flow;
use pitturu_store::entities::{Bounds, Entities as _, Span};
use pitturu_store::memory::{Failure, Memory};

use super::{Players, key, until_quiet, user};
use crate::players::command::{AccountAsk, Ask, Origin, PointsAsk, PointsGift, PointsWish};
use crate::players::entity;

const GRANT: u16 = 1;

fn wish(number: u64) -> PointsWish {
    let friend = Other {
        user: user(2),
        exists: true,
        reachable: true,
        room_for_friend: true,
    };
    match number % 3 {
        0 => PointsWish::Flow(Flow::Grant, 10),
        1 => PointsWish::Flow(Flow::Spend, 2),
        _ => PointsWish::Give(PointsGift {
            to: friend,
            amount: 3,
            is_note_allowed: true,
        }),
    }
}

impl Players<Memory> {
    /// Makes a player, a guest.
    async fn create(&self, number: u16) {
        let account = AccountRow {
            user: user(number),
            login: None,
            guest_secret: Some([1; 32]),
            role: Role::Player,
            is_role_decided: false,
            created_at: 1,
            profile: ProfileRow {
                name: "Ana".to_owned(),
                avatar: None,
                bio: None,
                language: None,
            },
            sanctions: Sanctions::default(),
            deletion: None,
        };
        let session = SessionRow {
            session: SessionId::from_bytes([1; 10]),
            device: None,
            address: String::new(),
            created_at: 1,
            used_at: 1,
            number: 0,
            expires_at: u64::MAX,
            generation: 0,
            refresh: [0; 32],
            nonce: [0; 16],
        };
        let ask = AccountAsk::Create(Box::new(account), session);
        let origin = Origin {
            conn: ConnectionId::from_bytes([0; 10]),
            user: None,
            address: Some(Ipv4Addr::LOCALHOST.into()),
        };
        let ask = Ask::Account(Box::new(ask), origin);
        self.ask(number, ask, None, 5).await.unwrap();
    }

    async fn move_points(&self, wish: PointsWish, id: &str) -> Result<Movement, Fault> {
        self.move_of(1, wish, id).await
    }

    async fn move_of(&self, player: u16, wish: PointsWish, id: &str) -> Result<Movement, Fault> {
        let ask = PointsAsk {
            wish,
            id: Some(id.to_owned()),
            by: None,
            reference: None,
            note: None,
        };
        let ask = Ask::Points(Box::new(ask));
        let answer = self.ask(player, ask, Some(key(id, GRANT, 0)), 5).await?;
        Ok(codec::decode(&answer).unwrap())
    }

    /// Makes movements while the store writes nothing, and has it go on once all are decided.
    async fn move_at_once(&self, numbers: std::ops::Range<u64>) -> Vec<Result<Movement, Fault>> {
        // They are in memory then, some in each shard.
        for player in [1, 3, 4, 5, 6, 7, 8, 9, 10] {
            self.refused(player).await;
        }
        let memory = &self.stored;
        memory.hold_writer();
        let all = numbers.map(|number| async move {
            let id = format!("{number}");
            self.move_points(wish(number), &id).await
        });
        let released = async {
            // A shard does one thing after the other: what is refused now comes behind all that is decided.
            for player in 3..=10 {
                self.refused(player).await;
            }
            memory.release_writer();
        };
        tokio::join!(join_all(all), released).0
    }

    /// Asks a player, who waits for nothing, for what is refused at once.
    async fn refused(&self, player: u16) {
        let wish = || PointsWish::Flow(Flow::Spend, 1_000_000);
        while let Err(fault) = self.move_of(player, wish(), "refused").await
            && matches!(fault.code, Code::StorageUnavailable | Code::Unavailable)
        {
            // It was about to be loaded when the store failed.
            tokio::task::yield_now().await;
        }
    }

    async fn version(&self) -> u64 {
        let glances = self.stored.glances(vec![entity(user(1))], Vec::new());
        let glances = glances.await.unwrap();
        glances[0].as_ref().map_or(0, |glance| glance.head.version)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_decided_while_a_commit_waits_joins_it() {
    let mut world = Players::start(Memory::new());
    world.create(1).await;
    world.create(2).await;
    let first = world.move_points(wish(0), "0").await.unwrap();
    assert_eq!((first.number, world.version().await), (1, 2));
    let moved = world.move_at_once(1..31).await;
    let moved: Vec<_> = moved.into_iter().map(Result::unwrap).collect();
    let numbers: Vec<u64> = moved.iter().map(|movement| movement.number).collect();
    assert_eq!(numbers, (2..32).collect::<Vec<_>>());
    assert_eq!(world.version().await, 3);
    let entities = std::sync::Arc::new(world.stored.clone()) as _;
    until_quiet(&entities).await;
    // Each is found under its key, as it was answered.
    world.restart();
    for (number, movement) in (1..31).zip(moved) {
        let again = world.move_points(wish(number), &format!("{number}")).await;
        assert_eq!(again.unwrap(), movement);
    }
    assert_eq!(world.version().await, 3);
    let gifts = world
        .stored
        .entries(entity(user(2)), 1, Span::After(0), Bounds::ALL);
    assert_eq!(gifts.await.unwrap().len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_joined_a_commit_that_is_lost_is_refused_and_undone() {
    let world = Players::start(Memory::new());
    world.create(1).await;
    world.create(2).await;
    let first = world.move_points(wish(0), "0").await.unwrap();
    for failure in [Failure::Lost, Failure::Unknown] {
        world.stored.fail_commits(1, failure);
        for outcome in world.move_at_once(1..31).await {
            assert_eq!(outcome.unwrap_err().code, Code::StorageUnavailable);
        }
        world.stored.recover();
        assert_eq!(world.version().await, 2);
    }
    let moved = world.move_at_once(1..31).await;
    let last = moved.last().unwrap().as_ref().unwrap();
    assert_eq!(last.number, 31);
    assert_eq!(world.version().await, 3);
    assert_eq!((first.balance, last.balance), (10, 10 + 10 * (10 - 2 - 3)));
}
