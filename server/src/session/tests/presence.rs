//! Who hides is hidden wherever presence is told, from the first moment of each connection on.

use std::time::Duration;

use pitturu_protocol::codec;
use pitturu_protocol::events::Event;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::NOTE_BYTES_MAX;
use pitturu_protocol::types::accounts::{RefreshTokens, SignedIn};
use pitturu_protocol::types::chat::{
    JoinRoom, KickMember, LeaveRoom, ListMembers, Member, OpenRoom, RoomLost,
};
use pitturu_protocol::types::friends::{AcceptFriend, BlockPlayer, ListFriends, RequestFriend};
use pitturu_protocol::types::moderation::{SignOutPlayer, SuspendPlayer};
use pitturu_protocol::types::presence::{
    GetPresence, PlayerPresence, Presence, RoomPresence, SetPresence, Status,
};
use pitturu_protocol::types::system::Echo;

use super::world::{Came, Client, World, message};
use super::{PATIENCE, let_others_run};
use crate::chat::store::entity;
use crate::connections::link::memory::Options;
use crate::session::SessionConfig;

/// Longer than until presence is told.
const PRESENCE_TOLD: Duration = Duration::from_millis(1_500);

const fn status(status: Status) -> SetPresence {
    SetPresence { status, note: None }
}

/// Two friends in one room, of whom the first looks at the second.
struct Friends {
    world: World,
    observer: Client,
    observer_user: UserId,
    room: RoomId,
    seen: Client,
    tokens: SignedIn,
}

impl Friends {
    async fn new() -> Self {
        let world = World::new().await;
        let (mut observer, me) = world.guest("Ann", Options::default()).await;
        let (mut seen, tokens) = world.guest("Ben", Options::default()).await;
        let user = tokens.identity.user;
        observer.call(&RequestFriend { user }).await.unwrap();
        let user = me.identity.user;
        seen.call(&AcceptFriend { user }).await.unwrap();
        let room = observer.create_room().await;
        seen.call(&JoinRoom { room }).await.unwrap();
        let mut friends = Self {
            world,
            observer,
            observer_user: me.identity.user,
            room,
            seen,
            tokens,
        };
        friends.told().await;
        friends
    }

    fn user(&self) -> UserId {
        self.tokens.identity.user
    }

    /// What the observer heard of the other one's presence until now: for each event whether it shows them.
    async fn told(&mut self) -> Vec<(&'static str, bool)> {
        tokio::time::sleep(PRESENCE_TOLD).await;
        let user = self.user();
        let echo = self.observer.begin(&Echo { data: Vec::new() }).await;
        let mut told = Vec::new();
        loop {
            match self.observer.next().await {
                Some(Came::Reply(call, _)) if call == echo => return told,
                Some(Came::Event(RoomPresence::NUMBER, body)) => {
                    let event: RoomPresence = codec::decode(&body).unwrap();
                    let users = event.users.expect("few are here");
                    assert_eq!(event.online as usize, users.len());
                    told.push(("room", users.contains(&user)));
                }
                Some(Came::Event(PlayerPresence::NUMBER, body)) => {
                    let event: PlayerPresence = codec::decode(&body).unwrap();
                    if event.presence.user == user {
                        told.push(("friend", event.presence.status != Status::Offline));
                    }
                }
                Some(_) => {}
                None => panic!("the observer was disconnected"),
            }
        }
    }

    /// Whether the observer finds the other one online, by every call that tells it.
    async fn found(&mut self) -> bool {
        let (user, room) = (self.user(), self.room);
        let mut found = Vec::new();
        for online in [false, true] {
            let list = ListMembers {
                room,
                online,
                after: None,
                limit: None,
            };
            let members = self.observer.call(&list).await.unwrap().members;
            found.push((members.iter()).any(|member| member.user == user && member.online));
        }
        let users = vec![user];
        let presences = self.observer.call(&GetPresence { users }).await.unwrap();
        found.push(presences.presences[0].status != Status::Offline);
        let list = ListFriends {
            state: None,
            after: None,
            limit: None,
        };
        let friends = self.observer.call(&list).await.unwrap().friends;
        let friend = friends.iter().find(|friend| friend.user == user).unwrap();
        let presence = friend.presence.as_ref().expect("they are friends");
        found.push(presence.status != Status::Offline);
        let open = OpenRoom {
            room,
            seq: None,
            rev: None,
        };
        found.push(self.observer.call(&open).await.unwrap().online > 1);
        let first = found[0];
        assert_eq!(found, vec![first; found.len()], "one rule for all");
        first
    }

    /// The other one's connection ends, and the next one says hello in this way and comes back into the room.
    async fn comes_back(&mut self, refreshes: bool, presence: Option<SetPresence>) {
        let mut next = self.world.connect(Options::default());
        let token = self.tokens.access.clone();
        next.hello_with((!refreshes).then_some(token.as_str()), presence)
            .await;
        self.seen = next;
        if refreshes {
            let refresh = self.tokens.refresh.clone();
            self.tokens = self.seen.call(&RefreshTokens { refresh }).await.unwrap();
        }
        let open = OpenRoom {
            room: self.room,
            seq: None,
            rev: None,
        };
        self.seen.call(&open).await.unwrap();
    }

    async fn goes(&mut self) {
        let away = self.world.connect(Options::default());
        drop(std::mem::replace(&mut self.seen, away));
        tokio::time::sleep(PRESENCE_TOLD).await;
    }
}

#[tokio::test]
async fn who_hides_is_hidden_wherever_presence_is_told() {
    let mut friends = Friends::new().await;
    assert!(friends.found().await);
    friends.seen.call(&status(Status::Offline)).await.unwrap();
    let told = friends.told().await;
    assert!(told.contains(&("room", false)) && told.contains(&("friend", false)));
    assert!(!told.iter().any(|(_, shows)| *shows), "{told:?}");
    assert!(!friends.found().await);
    // The hidden one sees the others.
    let list = ListMembers {
        room: friends.room,
        online: true,
        after: None,
        limit: None,
    };
    assert_eq!(friends.seen.call(&list).await.unwrap().members.len(), 1);

    friends.seen.call(&status(Status::Busy)).await.unwrap();
    let told = friends.told().await;
    assert!(told.contains(&("room", true)) && told.contains(&("friend", true)));
    assert!(friends.found().await);
}

/// Rooms do not know blocks: whoever sits in one sees who is there, as they see what is said there. Nothing else tells them.
#[tokio::test]
async fn whoever_sits_in_the_same_room_sees_who_is_there_blocked_or_not() {
    let mut friends = Friends::new().await;
    let note = Some("a few words".to_owned());
    let shows = SetPresence {
        status: Status::Away,
        note,
    };
    friends.seen.call(&shows).await.unwrap();
    let (room, blocked) = (friends.room, friends.observer_user);
    friends
        .seen
        .call(&BlockPlayer { user: blocked })
        .await
        .unwrap();
    friends.told().await;
    let user = friends.user();
    for is_inside in [true, false] {
        if !is_inside {
            friends.observer.call(&LeaveRoom { room }).await.unwrap();
            friends.told().await;
        }
        let list = ListMembers {
            room,
            online: true,
            after: None,
            limit: None,
        };
        let listed = friends.observer.call(&list).await;
        let is_seen = |members: &[Member]| members.iter().any(|member| member.user == user);
        let is_listed = listed.is_ok_and(|page| is_seen(&page.members));
        assert_eq!(is_listed, is_inside, "ListMembers");
        let get = GetPresence { users: vec![user] };
        let found = friends.observer.call(&get).await.unwrap().presences;
        let shown = Presence {
            user,
            status: Status::Offline,
            note: None,
        };
        assert_eq!(found, [shown], "inside: {is_inside}");
        let list = ListFriends {
            state: None,
            after: None,
            limit: None,
        };
        let listed = friends.observer.call(&list).await.unwrap().friends;
        assert_eq!(listed, [], "inside: {is_inside}");
        // The events say the same.
        friends.comes_back(true, None).await;
        let told = friends.told().await;
        let is_told = told.contains(&("room", true));
        assert_eq!(is_told, is_inside, "RoomPresence: {told:?}");
        assert!(!told.contains(&("friend", true)), "{told:?}");
    }
}

#[tokio::test]
async fn a_hidden_player_comes_back_hidden_and_nobody_hears_of_it() {
    let mut friends = Friends::new().await;
    friends.seen.call(&status(Status::Offline)).await.unwrap();
    friends.told().await;
    for refreshes in [false, true] {
        friends.goes().await;
        friends
            .comes_back(refreshes, Some(status(Status::Offline)))
            .await;
        assert!(!friends.found().await);
        let told = friends.told().await;
        assert_eq!(told, [], "it tells that somebody is there");
    }
    friends.goes().await;
    friends.comes_back(false, None).await;
    assert!(friends.found().await, "the next run did not ask for it");
}

#[tokio::test]
async fn what_a_player_has_said_counts_more_than_what_a_hello_restores() {
    let mut friends = Friends::new().await;
    let token = friends.tokens.access.clone();
    let hello = async |friends: &Friends, restored| {
        let mut client = friends.world.connect(Options::default());
        client
            .hello_with(Some(&token), Some(status(restored)))
            .await;
        client
    };
    // Nobody has said anything: it counts.
    let _away = hello(&friends, Status::Away).await;
    let user = friends.user();
    let registry = friends.world.context.services.registry.clone();
    assert_eq!(registry.presence(user).status, Status::Away);
    // Of two hellos the one that hides.
    let _busy = hello(&friends, Status::Busy).await;
    assert_eq!(registry.presence(user).status, Status::Away);
    let _hidden = hello(&friends, Status::Offline).await;
    assert_eq!(registry.presence(user).status, Status::Offline);
    let told = friends.told().await;
    assert_eq!(told.last(), Some(&("friend", false)));
    // What is said counts more.
    friends.seen.call(&status(Status::Busy)).await.unwrap();
    let _hidden = hello(&friends, Status::Offline).await;
    assert_eq!(registry.presence(user).status, Status::Busy);
}

#[tokio::test]
async fn a_hello_restores_nothing_for_a_player_whom_its_tokens_did_not_sign_in() {
    let world = World::new().await;
    let mut client = world.connect(Options::default());
    client.hello_with(None, Some(status(Status::Offline))).await;
    let login = pitturu_protocol::types::accounts::LoginGuest {
        secret: "0123456789abcdef".to_owned(),
        name: None,
        device: None,
    };
    let user = client.call(&login).await.unwrap().identity.user;
    let registry = &world.context.services.registry;
    assert_eq!(registry.presence(user).status, Status::Online);
}

#[tokio::test]
async fn a_hello_can_not_restore_what_nobody_may_set() {
    let world = World::new().await;
    let (client, tokens) = world.guest("Ann", Options::default()).await;
    drop(client);
    let user = tokens.identity.user;
    let registry = &world.context.services.registry;
    while registry.presence(user).status != Status::Offline {
        tokio::task::yield_now().await;
    }
    let mut client = world.connect(Options::default());
    let presence = SetPresence {
        status: Status::InGame,
        note: Some("x".repeat(10_000)),
    };
    let welcome = client
        .hello_with(Some(&tokens.access), Some(presence))
        .await;
    assert!(welcome.identity.is_some());
    let shown = registry.presence(user);
    assert_eq!((shown.status, shown.note), (Status::Online, None));
}

/// What a connection keeps of a hello before anybody has signed in there is bounded, whatever its token.
#[tokio::test]
async fn nothing_is_kept_of_a_presence_that_nobody_may_set() {
    let world = World::new().await;
    for token in [None, Some("not.a.token")] {
        for (length, kept) in [(100, Some(100)), (NOTE_BYTES_MAX + 1, None), (60_000, None)] {
            let mut client = world.connect(Options::default());
            let presence = SetPresence {
                status: Status::Away,
                note: Some("n".repeat(length)),
            };
            let welcome = client.hello_with(token, Some(presence)).await;
            let registry = &world.context.services.registry;
            let connection = registry.connection(welcome.conn).unwrap();
            let held = connection.take_restored_presence().unwrap();
            assert_eq!(held.status, Status::Away);
            assert_eq!(held.note.map(|note| note.len()), kept, "{token:?} {length}");
        }
    }
}

/// Presence is told by a tick. What is as it was before the tick was not for whoever looked in between.
#[tokio::test]
async fn a_friend_who_looked_hears_that_it_is_no_longer_so() {
    let mut friends = Friends::new().await;
    let users = vec![friends.user()];
    for _ in 0..3 {
        let away = status(Status::Away);
        friends.seen.call(&away).await.unwrap();
        let look = GetPresence {
            users: users.clone(),
        };
        let found = friends.observer.call(&look).await.unwrap();
        assert_eq!(found.presences[0].status, Status::Away);
        friends.seen.call(&status(Status::Online)).await.unwrap();
        let told = friends.told().await;
        assert!(told.contains(&("friend", true)), "{told:?}");
    }
}

/// The kick is durable, and nobody has heard of it when a later write fails: what the room is told is that they are no member.
#[tokio::test]
async fn who_is_put_out_loses_the_room_hidden_or_not_though_a_write_fails() {
    for hides in [false, true] {
        let world = World::new().await;
        let (mut owner, _) = world.guest("owner", Options::default()).await;
        let room = owner.create_room().await;
        let (mut member, signed) = world.guest("member", Options::default()).await;
        member.join(room).await;
        if hides {
            member.call(&status(Status::Offline)).await.unwrap();
        }
        world.entities.hold_reports();
        let kick = KickMember {
            room,
            user: signed.identity.user,
            reason: None,
        };
        let before = world.entities.commits();
        owner.begin(&kick).await;
        // The kick has to be on its way when the next commit is to fail.
        while world.entities.commits() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let_others_run().await;
        world.entities.fail(entity(room), 1, 0);
        owner.begin(&message(room)).await;
        let lost = tokio::time::timeout(PATIENCE, member.event::<RoomLost>()).await;
        world.entities.release_reports();
        assert!(lost.is_ok(), "hides: {hides}");
    }
}

/// How the server ends the connections of a player.
#[derive(Clone, Copy, Debug)]
enum EndedBy {
    Suspension,
    SignOut,
    Violation,
}

#[tokio::test]
async fn who_reads_nothing_is_gone_as_soon_as_the_server_has_ended_the_connection() {
    for ended_by in [EndedBy::Suspension, EndedBy::SignOut, EndedBy::Violation] {
        let world = World::with(SessionConfig {
            close_timeout: Duration::from_secs(3_600),
            ..SessionConfig::default()
        })
        .await;
        let (mut root, _) = world.registered("root").await;
        let narrow = Options {
            messages_max: 4,
            ..Options::default()
        };
        let (mut deaf, signed_in) = world.guest("deaf", narrow).await;
        let user = signed_in.identity.user;
        for _ in 0..8 {
            deaf.begin(&GetPresence { users: vec![user] }).await;
            deaf.peer.until_unread(0).await;
        }
        match ended_by {
            EndedBy::Suspension => {
                let suspend = SuspendPlayer {
                    user,
                    until: None,
                    reason: "for the test".to_owned(),
                };
                root.call(&suspend).await.expect("an admin may");
            }
            EndedBy::SignOut => {
                let sign_out = SignOutPlayer { user };
                root.call(&sign_out).await.expect("an admin may");
            }
            EndedBy::Violation => deaf.peer.send(vec![0xc1]).await,
        }
        let gone = async {
            let get = GetPresence { users: vec![user] };
            while root.call(&get).await.unwrap().presences[0].status != Status::Offline {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let is_gone = tokio::time::timeout(PATIENCE, gone).await;
        assert!(is_gone.is_ok(), "{ended_by:?}");
    }
}
