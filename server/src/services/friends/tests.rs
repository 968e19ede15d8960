use std::sync::Arc;

use futures_util::future::join_all;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::PAGE_BYTES_MAX;
use pitturu_protocol::types::accounts::SignedIn;
use pitturu_protocol::types::friends::{
    AcceptFriend, BlockPlayer, Friend, FriendState, ListFriends, RemoveFriend, RequestFriend,
    UnblockPlayer,
};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::presence::{Presence, Status};
use pitturu_protocol::types::profile::UpdateProfile;
use pitturu_rules::friends::FRIEND_REQUESTS_MAX;

use super::{FriendService, Presences};
use crate::connections::caller::Caller;
use crate::players::tests::until_quiet;
use crate::services::accounts::tests::{Told, World, code, keyed};
use crate::services::profile::ProfileService;

struct LongNotes;

impl Presences for LongNotes {
    fn presence(&self, user: UserId) -> Presence {
        Presence {
            user,
            status: Status::Online,
            note: Some("x".repeat(512)),
        }
    }
}

struct Social {
    world: World,
    friends: FriendService,
}

impl Social {
    async fn new() -> Self {
        let world = World::new().await;
        let friends = FriendService::new(
            world.players.clone(),
            world.player_owners.clone(),
            Arc::new(LongNotes),
        );
        Self { world, friends }
    }

    fn caller(&self, who: &SignedIn) -> Caller {
        self.world.signed_in(&who.identity)
    }

    async fn request(&self, from: &SignedIn, to: &SignedIn) -> Result<Friend, Code> {
        let request = RequestFriend {
            user: to.identity.user,
        };
        let result = self
            .friends
            .request_friend(&self.caller(from), request)
            .await;
        result.map_err(|fault| fault.code)
    }

    async fn accept(&self, from: &SignedIn, to: &SignedIn) -> Result<Friend, Code> {
        let request = AcceptFriend {
            user: to.identity.user,
        };
        let result = self
            .friends
            .accept_friend(&self.caller(from), request)
            .await;
        result.map_err(|fault| fault.code)
    }

    async fn remove(&self, from: &SignedIn, to: &SignedIn) -> Result<(), Code> {
        let request = RemoveFriend {
            user: to.identity.user,
        };
        let result = self
            .friends
            .remove_friend(&self.caller(from), request)
            .await;
        result.map(drop).map_err(|fault| fault.code)
    }

    async fn block(&self, from: &SignedIn, to: &SignedIn) -> Result<(), Code> {
        let request = BlockPlayer {
            user: to.identity.user,
        };
        let result = self.friends.block_player(&self.caller(from), request).await;
        result.map(drop).map_err(|fault| fault.code)
    }

    async fn unblock(&self, from: &SignedIn, to: &SignedIn) -> Result<(), Code> {
        let request = UnblockPlayer {
            user: to.identity.user,
        };
        let result = self
            .friends
            .unblock_player(&self.caller(from), request)
            .await;
        result.map(drop).map_err(|fault| fault.code)
    }

    async fn states(&self, of: &SignedIn) -> Vec<(UserId, FriendState)> {
        let caller = self.caller(of);
        let list = self.friends.list_friends(&caller, ListFriends::default());
        let page = list.await.unwrap();
        page.friends
            .iter()
            .map(|friend| (friend.user, friend.state))
            .collect()
    }

    async fn inbox(&self, of: &SignedIn) -> Vec<InboxEntry> {
        let entries = self
            .world
            .players
            .inbox_after(of.identity.user, 0, 100)
            .await
            .unwrap();
        entries.into_iter().map(|added| added.entry).collect()
    }
}

#[tokio::test]
async fn a_request_is_made_accepted_and_ended() {
    let social = Social::new().await;
    let ana = social.world.register("ana").await;
    let ben = social.world.register("ben").await;
    let (a, b) = (ana.identity.user, ben.identity.user);
    let asked = social.request(&ana, &ben).await.unwrap();
    assert_eq!(
        (asked.user, asked.state, asked.name.as_str()),
        (b, FriendState::Requested, "ben")
    );
    assert_eq!(asked.presence, None);
    assert_eq!(social.states(&ben).await, [(a, FriendState::Received)]);
    assert_eq!(
        social.request(&ana, &ben).await.unwrap(),
        asked,
        "asking twice changes nothing"
    );
    assert_eq!(
        social.accept(&ana, &ben).await,
        Err(Code::NotFriends),
        "one can't accept for the other"
    );

    let accepted = social.accept(&ben, &ana).await.unwrap();
    assert_eq!(accepted.state, FriendState::Friend);
    assert_eq!(accepted.presence.unwrap().status, Status::Online);
    assert_eq!(
        social.accept(&ben, &ana).await.unwrap().state,
        FriendState::Friend
    );
    assert_eq!(social.states(&ana).await, [(b, FriendState::Friend)]);
    assert_eq!(social.friends.friends_of(a).await.unwrap(), [b]);

    social.remove(&ana, &ben).await.unwrap();
    assert_eq!(social.remove(&ana, &ben).await, Err(Code::NotFriends));
    assert!(social.states(&ana).await.is_empty() && social.states(&ben).await.is_empty());
    let name = |name: &str| name.to_owned();
    assert_eq!(
        social.inbox(&ben).await,
        [
            InboxEntry::FriendRequested {
                user: a,
                name: name("ana")
            },
            InboxEntry::FriendRemoved { user: a }
        ]
    );
    assert_eq!(
        social.inbox(&ana).await,
        [InboxEntry::FriendAccepted {
            user: b,
            name: name("ben")
        }]
    );
    assert!(social.world.recorder.take().contains(&Told::Friends(b, a)));
}

#[tokio::test]
async fn crossing_requests_make_friends_once() {
    let social = Social::new().await;
    for n in 0..10 {
        let ana = social.world.register(&format!("ana{n}")).await;
        let ben = social.world.register(&format!("ben{n}")).await;
        let (one, other) = tokio::join!(social.request(&ana, &ben), social.request(&ben, &ana));
        // Each may have been decided before the other one came.
        for state in [one.unwrap().state, other.unwrap().state] {
            let said = [FriendState::Requested, FriendState::Friend];
            assert!(said.contains(&state), "{state:?}");
        }
        assert_eq!(
            social.states(&ana).await,
            [(ben.identity.user, FriendState::Friend)]
        );
        assert_eq!(
            social.states(&ben).await,
            [(ana.identity.user, FriendState::Friend)]
        );
        let told = social.inbox(&ana).await.len() + social.inbox(&ben).await.len();
        assert_eq!(
            told, 2,
            "one request and one acceptance, or two acceptances"
        );
    }
}

#[tokio::test]
async fn a_block_ends_everything_and_forbids_requests() {
    let social = Social::new().await;
    let ana = social.world.register("ana").await;
    let ben = social.world.register("ben").await;
    let (a, b) = (ana.identity.user, ben.identity.user);
    social.request(&ana, &ben).await.unwrap();
    social.accept(&ben, &ana).await.unwrap();
    social.block(&ben, &ana).await.unwrap();
    social.block(&ben, &ana).await.unwrap();
    assert_eq!(social.states(&ben).await, [(a, FriendState::Blocked)]);
    assert!(
        social.states(&ana).await.is_empty(),
        "the blocked one doesn't see the block"
    );
    assert!(social.friends.is_blocked_either(a, b).await.unwrap());
    assert!(social.friends.is_blocked_either(b, a).await.unwrap());
    assert_eq!(social.request(&ana, &ben).await, Err(Code::Blocked));
    assert_eq!(social.request(&ben, &ana).await, Err(Code::Blocked));
    assert_eq!(social.accept(&ben, &ana).await, Err(Code::Blocked));
    assert_eq!(
        social.remove(&ben, &ana).await,
        Err(Code::NotFriends),
        "a block is not removed so"
    );
    assert_eq!(social.unblock(&ana, &ben).await, Err(Code::NotFound));

    social.block(&ana, &ben).await.unwrap();
    social.unblock(&ben, &ana).await.unwrap();
    assert_eq!(
        social.request(&ben, &ana).await,
        Err(Code::Blocked),
        "the other block stands"
    );
    social.unblock(&ana, &ben).await.unwrap();
    assert!(!social.friends.is_blocked_either(a, b).await.unwrap());
    social.request(&ana, &ben).await.unwrap();
    let inbox = social.inbox(&ben).await;
    assert_eq!(
        inbox.len(),
        1,
        "blocks are not told, and take out what there was: {inbox:?}"
    );
}

#[tokio::test]
async fn nobody_befriends_themselves_or_nobody() {
    let social = Social::new().await;
    let ana = social.world.register("ana").await;
    assert_eq!(social.request(&ana, &ana).await, Err(Code::InvalidArgument));
    assert_eq!(social.block(&ana, &ana).await, Err(Code::InvalidArgument));
    let mut nobody = ana.clone();
    nobody.identity.user = UserId::from_bytes([5; 10]);
    assert_eq!(social.request(&ana, &nobody).await, Err(Code::NotFound));
    assert_eq!(social.block(&ana, &nobody).await, Err(Code::NotFound));
    assert_eq!(social.accept(&ana, &nobody).await, Err(Code::NotFriends));
}

#[tokio::test]
async fn a_repeated_call_gets_the_first_result() {
    let social = Social::new().await;
    let ana = social.world.register("ana").await;
    let ben = social.world.register("ben").await;
    let ask = RequestFriend {
        user: ben.identity.user,
    };
    let caller = keyed(social.caller(&ana), "f", &ask);
    let first = social
        .friends
        .request_friend(&caller, ask.clone())
        .await
        .unwrap();
    social.remove(&ben, &ana).await.unwrap();
    let second = social.friends.request_friend(&caller, ask).await.unwrap();
    assert_eq!(first, second);
    assert!(
        social.states(&ben).await.is_empty(),
        "the repetition asks for nothing"
    );
    let other = RequestFriend {
        user: ana.identity.user,
    };
    let caller = keyed(social.caller(&ana), "f", &other);
    let result = social.friends.request_friend(&caller, other).await;
    assert_eq!(code(result), Code::InvalidArgument);
    let other = BlockPlayer {
        user: ben.identity.user,
    };
    let caller = keyed(social.caller(&ana), "f", &other);
    assert_eq!(
        code(social.friends.block_player(&caller, other).await),
        Code::KeyReused
    );
}

#[tokio::test]
async fn open_requests_are_bounded_on_both_sides() {
    let social = Social::new().await;
    let popular = social.world.guest("the popular player").await;
    let fans = join_all((0..=FRIEND_REQUESTS_MAX).map(|n| {
        let world = &social.world;
        async move { world.guest(&format!("secret of fan number {n:04}")).await }
    }))
    .await;
    // The oldest request goes for one that the popular player's entity has no room for, and its fan hears that it has ended.
    let results = join_all(fans.iter().map(|fan| social.request(fan, &popular))).await;
    let players = &social.world.players;
    until_quiet(players.entities()).await;
    let asked = players
        .friends(popular.identity.user, None, None, 1_000)
        .await;
    let asked = asked.unwrap();
    assert_eq!(asked.len(), FRIEND_REQUESTS_MAX as usize);
    for (fan, result) in fans.iter().zip(results) {
        let is_asked = asked.iter().any(|row| row.user == fan.identity.user);
        let is_asking = !social.states(fan).await.is_empty();
        assert_eq!(is_asking, is_asked);
        assert!(result.is_ok(), "{result:?}");
    }
    let late = social.world.guest("the secret of a late fan").await;
    social.request(&late, &popular).await.unwrap();
    let asked = players
        .friends(popular.identity.user, None, None, 1_000)
        .await;
    let asked = asked.unwrap();
    assert_eq!(asked.len(), FRIEND_REQUESTS_MAX as usize);
    assert!(asked.iter().any(|row| row.user == late.identity.user));

    let sender = social.world.guest("the eager player's").await;
    let results = join_all(fans.iter().map(|fan| social.request(&sender, fan))).await;
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        FRIEND_REQUESTS_MAX as usize
    );
    let refused = results.iter().position(Result::is_err).unwrap();
    social
        .remove(&sender, &fans[(refused + 1) % fans.len()])
        .await
        .unwrap();
    social
        .request(&sender, &fans[refused])
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn lists_come_in_pages_that_fit_into_a_frame() {
    let social = Social::new().await;
    let ana = social.world.guest("the first player's").await;
    let world = &social.world;
    let profiles = ProfileService::new(world.players.clone(), world.player_owners.clone());
    let others = join_all((0..150).map(|n| {
        let (world, profiles) = (&social.world, &profiles);
        async move {
            let other = world.guest(&format!("secret of player {n:04}")).await;
            let rename = UpdateProfile {
                name: Some("한".repeat(40)),
                ..UpdateProfile::default()
            };
            profiles
                .update_profile(&world.signed_in(&other.identity), rename)
                .await
                .unwrap();
            other
        }
    }))
    .await;
    join_all(others.iter().map(|other| social.request(other, &ana))).await;
    join_all(
        others
            .iter()
            .take(120)
            .map(|other| social.accept(&ana, other)),
    )
    .await;

    let mut seen = Vec::new();
    let mut request = ListFriends {
        limit: Some(200),
        ..ListFriends::default()
    };
    loop {
        let page = social
            .friends
            .list_friends(&social.caller(&ana), request.clone())
            .await
            .unwrap();
        let bytes = pitturu_protocol::codec::encode(&page).len();
        assert!(bytes <= PAGE_BYTES_MAX + 1_024, "{bytes}");
        request.after = page.friends.last().map(|friend| friend.user);
        seen.extend(page.friends.into_iter().map(|friend| friend.user));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen.len(), 150);
    assert!(seen.is_sorted_by(|a, b| a < b), "in order and none twice");

    let request = ListFriends {
        state: Some(FriendState::Received),
        limit: Some(30),
        after: None,
    };
    let page = social
        .friends
        .list_friends(&social.caller(&ana), request)
        .await
        .unwrap();
    assert_eq!((page.friends.len(), page.more), (30, false));
    assert_eq!(
        social
            .friends
            .friends_of(ana.identity.user)
            .await
            .unwrap()
            .len(),
        120
    );
    for limit in [0, 201, u32::MAX] {
        let request = ListFriends {
            limit: Some(limit),
            ..ListFriends::default()
        };
        let result = social
            .friends
            .list_friends(&social.caller(&ana), request)
            .await;
        assert_eq!(code(result), Code::InvalidArgument);
    }
}
