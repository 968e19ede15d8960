//! Hostile guests against a victim: generated sequences of calls that they are allowed to make.
//!
//! After each sequence the victim can do what anybody can, has of others what is allowed, and the hostile ones have not read what
//! is not theirs. `PITTURU_HOSTILE_SEED` and `PITTURU_HOSTILE_SEQUENCES` run a sequence again, or more of them.

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::ROOMS_OPEN_MAX;
use pitturu_protocol::types::accounts::Authenticate;
use pitturu_protocol::types::chat::{
    CreateRoom, DeleteMessage, EnterRoom, InviteToRoom, JoinRoom, LeaveRoom, OpenDirect,
    ReadHistory, RoomKind, SearchRooms,
};
use pitturu_protocol::types::friends::{
    AcceptFriend, BlockPlayer, FriendState, ListFriends, RemoveFriend, RequestFriend, UnblockPlayer,
};
use pitturu_protocol::types::presence::GetPresence;
use pitturu_protocol::types::system::{Resume, RoomCursor};

use super::super::world::{Came, Client, Raw, World};
use super::known::{about_rooms, calls};
use super::{create, guest, my_rooms, room_of, say, settle};
use crate::connections::link::memory::Options;

/// Words that only the victim's private rooms have.
const SECRET: &str = "plugh-secret";

/// Words that were in a public room, and were deleted.
const DELETED: &str = "frotz-deleted";

/// Calls of one sequence.
const CALLS: usize = 60;

/// Sequences of the short form.
const SEQUENCES: u64 = 12;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|asked| asked.parse().unwrap())
}

/// A hostile guest, and what they have made.
struct Hostile {
    client: Client,
    user: UserId,
    rooms: Vec<RoomId>,
}

/// What the calls are aimed at.
struct Aim<'a> {
    victim: UserId,
    honest: UserId,
    /// Rooms that the hostile ones may know: public ones and their own.
    open: &'a [RoomId],
    /// Rooms that they may not know.
    closed: &'a [RoomId],
}

impl Hostile {
    /// Makes one call. What came to the connection meanwhile.
    async fn act(&mut self, aim: &Aim<'_>, random: &mut fastrand::Rng) -> Vec<Vec<u8>> {
        let user = if random.u8(..4) == 0 {
            aim.honest
        } else {
            aim.victim
        };
        let raw = match random.u8(..20) {
            0 => Raw::of(&create(
                [RoomKind::Public, RoomKind::Private][random.usize(..2)],
                "Room",
            )),
            1 => Raw::of(&OpenDirect { user }),
            2 => Raw::of(&RequestFriend { user }),
            3 => Raw::of(&RemoveFriend { user }),
            4 => Raw::of(&AcceptFriend { user }),
            5 => Raw::of(&BlockPlayer { user }),
            6 => Raw::of(&UnblockPlayer { user }),
            7 => Raw::of(&GetPresence { users: vec![user] }),
            8 => Raw::of(&SearchRooms {
                query: "room".into(),
                after: None,
                limit: None,
            }),
            9 => Raw::of(&EnterRoom {
                handle: ["lobby", "Lobby", "secret", "owner's"][random.usize(..4)].to_owned(),
            }),
            10 => Raw::of(&Resume {
                epoch: None,
                inbox: Some(0),
                rooms: aim
                    .closed
                    .iter()
                    .map(|room| RoomCursor {
                        room: *room,
                        seq: 0,
                        rev: 0,
                    })
                    .collect(),
            }),
            11..=13 => {
                let room = self.some_room(aim, random);
                Raw::of(&InviteToRoom { room, user })
            }
            _ => {
                let of_rooms = about_rooms();
                let of_rooms: Vec<_> = of_rooms.collect();
                let info = of_rooms[random.usize(..of_rooms.len())];
                let room = self.some_room(aim, random);
                let calls = calls(info.name, room, user);
                calls[random.usize(..calls.len())].clone()
            }
        };
        let key = random.u64(..).to_string();
        let (number, frame) = self.client.encode_raw(&raw, &key);
        self.client.peer.send(frame).await;
        let mut came = Vec::new();
        loop {
            match self.client.next().await.expect("nobody is thrown out") {
                Came::Event(_, body) => came.push(body),
                Came::Reply(call, body) if call == number => {
                    came.push(body.clone());
                    self.note(&raw, &body);
                    return came;
                }
                Came::Fault(call, fault) if call == number => {
                    assert_ne!(fault.code, Code::Internal, "{fault}");
                    return came;
                }
                _ => {}
            }
        }
    }

    /// A room of one's own mostly, or one of the others.
    fn some_room(&self, aim: &Aim<'_>, random: &mut fastrand::Rng) -> RoomId {
        let of = match random.u8(..6) {
            0 => aim.closed,
            1 => aim.open,
            _ => &self.rooms,
        };
        let of = if of.is_empty() { aim.open } else { of };
        of[random.usize(..of.len())]
    }

    fn note(&mut self, raw: &Raw, reply: &[u8]) {
        use pitturu_protocol::methods::Method as _;
        use pitturu_protocol::types::chat::RoomView;
        if ![CreateRoom::NUMBER, OpenDirect::NUMBER].contains(&raw.method) {
            return;
        }
        let view: RoomView = codec::decode(reply).unwrap();
        self.rooms.push(view.info.room);
    }
}

/// What a victim can do after all.
async fn the_victim_is_well(
    world: &World,
    victim: &mut Client,
    honest: (&mut Client, UserId),
    (own, user): (RoomId, UserId),
) {
    let (honest, of_honest) = honest;
    // Makes, enters and leaves rooms.
    let made = room_of(victim, RoomKind::Private).await;
    victim.call(&LeaveRoom { room: made }).await.unwrap();
    let public = room_of(honest, RoomKind::Public).await;
    victim.call(&JoinRoom { room: public }).await.unwrap();
    victim.call(&say(public, "hello")).await.unwrap();
    victim.call(&LeaveRoom { room: public }).await.unwrap();
    // Rules in the own room.
    victim.call(&say(own, SECRET)).await.unwrap();
    // Receives requests and invitations of others.
    let request = RequestFriend { user };
    honest.call(&request).await.unwrap();
    let invited = room_of(honest, RoomKind::Private).await;
    let invite = InviteToRoom {
        room: invited,
        user,
    };
    honest.call(&invite).await.unwrap();
    settle(world).await;
    let received = ListFriends {
        state: Some(FriendState::Received),
        after: None,
        limit: Some(200),
    };
    let received = victim.call(&received).await.unwrap().friends;
    assert!(received.iter().any(|friend| friend.user == of_honest));
    let mine = my_rooms(world, victim).await;
    assert!(mine.iter().any(|mine| mine.info.room == invited));
    victim.call(&JoinRoom { room: invited }).await.unwrap();
    victim.call(&LeaveRoom { room: invited }).await.unwrap();
    honest.call(&RemoveFriend { user }).await.unwrap();
    honest.call(&LeaveRoom { room: invited }).await.unwrap();
    honest.call(&LeaveRoom { room: public }).await.unwrap();
    settle(world).await;
}

/// What the hostile ones have in the victim's lists is bounded.
async fn the_lists_are_bounded(world: &World, victim: &mut Client, user: UserId, hostile: usize) {
    let offered = world
        .context
        .services
        .players
        .offered_rooms(user, None, 1_000);
    let offered = offered.await.unwrap().len();
    assert!(offered <= hostile * 6, "{offered} rooms are offered");
    let players = &world.context.services.players;
    let inbox = players.inbox_after(user, 0, 1_000).await.unwrap();
    assert!(inbox.len() <= 30 + hostile * 10, "{} entries", inbox.len());
    let mine = my_rooms(world, victim).await;
    assert!(mine.len() <= ROOMS_OPEN_MAX);
}

async fn one_sequence(seed: u64) {
    println!("again with PITTURU_HOSTILE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new().await;
    let (mut victim, of_victim) = guest(&world, "victim").await;
    let (mut honest, of_honest) = guest(&world, "honest").await;
    let own = room_of(&mut victim, RoomKind::Private).await;
    let direct = victim.call(&OpenDirect { user: of_honest }).await.unwrap();
    let direct = direct.info.room;
    let public = room_of(&mut victim, RoomKind::Public).await;
    for room in [own, direct] {
        victim.call(&say(room, SECRET)).await.unwrap();
    }
    let gone = victim.call(&say(public, DELETED)).await.unwrap().seq;
    let delete = DeleteMessage {
        room: public,
        seq: gone,
    };
    victim.call(&delete).await.unwrap();
    let mut hostile = Vec::new();
    for number in 0..random.usize(2..=5) {
        let (client, user) = guest(&world, &format!("hostile {number}")).await;
        let rooms = Vec::new();
        hostile.push(Hostile {
            client,
            user,
            rooms,
        });
    }
    let aim = Aim {
        victim: of_victim,
        honest: of_honest,
        open: &[public],
        closed: &[own, direct],
    };
    for _ in 0..CALLS {
        let who = random.usize(..hostile.len());
        for came in hostile[who].act(&aim, &mut random).await {
            let text = String::from_utf8_lossy(&came);
            for words in [SECRET, DELETED] {
                assert!(!text.contains(words), "a hostile guest has read {text:?}");
            }
            for room in aim.closed {
                // The answer to a resume names what it was asked for.
                let is_told = text.contains(&room.to_string()) && text.contains("head");
                assert!(!is_told, "a hostile guest has heard of {room}: {text:?}");
            }
        }
    }
    let of_hostile: Vec<UserId> = hostile.iter().map(|one| one.user).collect();
    the_lists_are_bounded(&world, &mut victim, of_victim, of_hostile.len()).await;
    the_victim_is_well(
        &world,
        &mut victim,
        (&mut honest, of_honest),
        (own, of_victim),
    )
    .await;
    rooms_that_are_none_of_theirs(&mut hostile[0].client, &aim).await;
    // The victim's device signs in again, by its secret and by its token.
    let (_again, signed_in) = world.guest("victim", Options::default()).await;
    assert_eq!(signed_in.identity.user, of_victim);
    let mut device = world.greeted(Options::default()).await;
    let access = signed_in.access;
    let identity = device.call(&Authenticate { access }).await.unwrap();
    assert_eq!(identity.user, of_victim);
    // What a block takes out stays out.
    for user in of_hostile {
        victim.call(&BlockPlayer { user }).await.unwrap();
    }
    settle(&world).await;
    let offered = world
        .context
        .services
        .players
        .offered_rooms(of_victim, None, 1_000);
    assert_eq!(offered.await, Ok(Vec::new()));
}

/// The answers for rooms that there are, and that the hostile one may not know, are those for a room that there is not.
async fn rooms_that_are_none_of_theirs(client: &mut Client, aim: &Aim<'_>) {
    let mut answers: Vec<Vec<Result<Vec<u8>, Fault>>> = Vec::new();
    for room in [RoomId::from_bytes([99; 10])].iter().chain(aim.closed) {
        let mut found = Vec::new();
        for raw in [
            Raw::of(&JoinRoom { room: *room }),
            Raw::of(&ReadHistory {
                room: *room,
                from: None,
                limit: None,
            }),
        ] {
            found.push(client.call_raw(&raw, &fastrand::u64(..).to_string()).await);
        }
        answers.push(found);
    }
    assert!(
        answers.iter().all(|found| *found == answers[0]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn hostile_guests_take_nothing_from_a_victim_and_learn_nothing() {
    if let Some(seed) = asked("PITTURU_HOSTILE_SEED") {
        return one_sequence(seed).await;
    }
    let sequences = asked("PITTURU_HOSTILE_SEQUENCES").unwrap_or(SEQUENCES);
    for _ in 0..sequences {
        one_sequence(fastrand::u64(..)).await;
    }
}
