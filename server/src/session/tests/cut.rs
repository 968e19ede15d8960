//! What a call has done reaches others, also when the caller's connection is gone before it is told: over every method that writes.
//!
//! A method is carried out once, and what others hear of it is noted. Then the same is done in worlds of their own, where the caller goes at one
//! point after the other; others hear the same.

use std::collections::BTreeSet;
use std::time::Duration;

use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::events::Event as _;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::methods::{Effect, METHODS, Method, Place};
use pitturu_protocol::types::accounts::{
    Authenticate, ChangePassword, DeleteAccount, GetAccount, IssuePasswordReset, Login, LoginGuest,
    Logout, LogoutEverywhere, RefreshTokens, Register, RequestPasswordReset, ResetPassword,
    RevokeSession, Role, SetRole, SignedIn, UpgradeGuest,
};
use pitturu_protocol::types::boards::FollowBoard;
use pitturu_protocol::types::chat::{BanMember, ListMyRooms, SendMessage};
use pitturu_protocol::types::friends::{BlockPlayer, ListFriends, RequestFriend};
use pitturu_protocol::types::presence::{PlayerPresence, RoomPresence};
use pitturu_protocol::types::system::{Resume, RoomCursor, StreamPosition};

use tokio::time::Instant;

use super::keys::{earn, raws};
use super::world::{Came, Client, Raw, World};
use super::{PATIENCE, let_others_run};
use crate::connections::link::memory::Options;

const PASSWORD: &str = "correct horse";

/// How long nothing new must come until all has.
const QUIET: Duration = Duration::from_millis(350);

/// A player on three connections.
struct Player {
    user: UserId,
    /// The one that is cut off.
    main: Option<Client>,
    /// Another one of the same session.
    twin: Client,
    /// Another session.
    second: Client,
    second_in: SignedIn,
    first_in: SignedIn,
}

/// The owner of a room, who is an admin with a password; a guest who is a member; a guest who is not.
struct Scene {
    world: World,
    owner: Player,
    member: Player,
    stranger: Player,
    room: RoomId,
    /// Which of the other connections the server has closed.
    gone: [bool; 6],
}

/// When the caller goes after the call was read.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// After the answer: what others hear then is what they have to.
    Never,
    /// When the server has had so many turns.
    After(usize),
    /// While the store writes.
    WhileWriting,
    /// When it is written, and nobody knows yet.
    WhileReporting,
}

/// How one of the other connections stands.
#[derive(Clone, Debug, PartialEq)]
struct Stands {
    /// Numbers of the events that have come.
    events: BTreeSet<u16>,
    /// Role and kind of account, or why the connection may not know.
    account: Result<(Role, bool), Code>,
    friends: usize,
    rooms: usize,
}

/// What others have heard, and how many reset tokens are on their way.
type Heard = (Vec<Stands>, usize);

fn guest(name: &str) -> LoginGuest {
    LoginGuest {
        secret: format!("{name:-<32}"),
        name: Some(name.to_owned()),
        device: None,
    }
}

fn login() -> Login {
    Login {
        username: "root".to_owned(),
        password: PASSWORD.to_owned(),
        device: None,
        known: None,
    }
}

impl Player {
    async fn new(world: &World, mut main: Client, first_in: SignedIn, second: SignIn) -> Self {
        let mut twin = world.greeted(Options::default()).await;
        let access = Authenticate {
            access: first_in.access.clone(),
        };
        twin.call(&access).await.unwrap();
        let mut other = world.greeted(Options::default()).await;
        let second_in = match second {
            SignIn::Guest(name) => other.call(&guest(name)).await.unwrap(),
            SignIn::Root => other.call(&login()).await.unwrap(),
        };
        let resume = Resume {
            epoch: None,
            inbox: None,
            rooms: Vec::new(),
        };
        main.call(&resume).await.unwrap();
        Self {
            user: first_in.identity.user,
            main: Some(main),
            twin,
            second: other,
            second_in,
            first_in,
        }
    }

    /// Has the other connections follow the inbox and these rooms.
    async fn follow(&mut self, rooms: &[RoomId]) {
        for client in [&mut self.twin, &mut self.second] {
            let rooms = rooms.iter().map(|&room| RoomCursor {
                room,
                seq: 0,
                rev: 0,
            });
            let resume = Resume {
                epoch: None,
                inbox: Some(0),
                rooms: rooms.collect(),
            };
            client.call(&resume).await.unwrap();
            let board = "best".to_owned();
            client.call(&FollowBoard { board }).await.unwrap();
        }
    }
}

enum SignIn {
    Guest(&'static str),
    Root,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let mut main = world.greeted(Options::default()).await;
        let register = Register {
            username: "root".to_owned(),
            password: PASSWORD.to_owned(),
            name: None,
            email: None,
            device: None,
        };
        let first_in = main.call(&register).await.unwrap();
        let mut owner = Player::new(&world, main, first_in, SignIn::Root).await;
        let mut guests = Vec::new();
        for name in ["member", "stranger"] {
            let (main, first_in) = world.guest(name, Options::default()).await;
            guests.push(Player::new(&world, main, first_in, SignIn::Guest(name)).await);
        }
        let (mut stranger, mut member) = (guests.pop().unwrap(), guests.pop().unwrap());
        let main = owner.main.as_mut().unwrap();
        let room = main.create_room().await;
        let main = member.main.as_mut().unwrap();
        main.join(room).await;
        for _ in 0..2 {
            let said = SendMessage {
                room,
                text: "said".to_owned(),
                data: None,
                reply_to: None,
            };
            main.call(&said).await.unwrap();
        }
        owner.follow(&[room]).await;
        member.follow(&[room]).await;
        stranger.follow(&[]).await;
        Self {
            world,
            owner,
            member,
            stranger,
            room,
            gone: [false; 6],
        }
    }

    /// What has to be there for the call to have an effect is made, and the call with its caller comes back: 0 is the owner, 1 the member, 2 the
    /// stranger, 3 somebody who is not signed in.
    async fn prepared(&mut self, method: &str) -> (Raw, usize) {
        let users = [self.owner.user, self.member.user, self.stranger.user];
        let (room, [_, member, stranger]) = (self.room, users);
        let owner = self.owner.main.as_mut().unwrap();
        match method {
            "UnbanMember" => {
                let ban = BanMember {
                    room,
                    user: stranger,
                    until: None,
                    reason: None,
                };
                owner.call(&ban).await.unwrap();
            }
            "UnblockPlayer" => {
                owner.call(&BlockPlayer { user: member }).await.unwrap();
            }
            "UnmutePlayer" => {
                let mute = raws("MutePlayer", room, users).0;
                owner.call_raw(&mute, "muted").await.unwrap();
            }
            "AcceptFriend" | "RemoveFriend" | "BlockPlayer" => {
                let request = RequestFriend { user: users[0] };
                let main = self.member.main.as_mut().unwrap();
                main.call(&request).await.unwrap();
            }
            _ => {}
        }
        let owner = self.owner.main.as_mut().unwrap();
        let (raw, who) = match method {
            "Logout" => (Raw::of(&Logout {}), 0),
            "DeleteAccount" => (Raw::of(&DeleteAccount { password: None }), 1),
            "LogoutEverywhere" => (Raw::of(&LogoutEverywhere {}), 0),
            "RevokeSession" => {
                let session = self.owner.second_in.identity.session;
                (Raw::of(&RevokeSession { session }), 0)
            }
            "ChangePassword" => {
                let change = ChangePassword {
                    old: PASSWORD.to_owned(),
                    new: "another password".to_owned(),
                };
                (Raw::of(&change), 0)
            }
            "RequestPasswordReset" => {
                let request = RequestPasswordReset {
                    username: "root".to_owned(),
                };
                (Raw::of(&request), 3)
            }
            "ResetPassword" => {
                // Nobody gets the token of an admin.
                let (user, role) = (member, Role::Admin);
                owner.call(&SetRole { user, role }).await.unwrap();
                let admin = self.member.main.as_mut().unwrap();
                let (user, role) = (users[0], Role::Player);
                admin.call(&SetRole { user, role }).await.unwrap();
                let issued = admin.call(&IssuePasswordReset { user }).await.unwrap();
                let reset = ResetPassword {
                    token: issued.token,
                    password: "another password".to_owned(),
                };
                (Raw::of(&reset), 3)
            }
            "RefreshTokens" => {
                // One that was used before ends its session.
                let refresh = RefreshTokens {
                    refresh: self.owner.first_in.refresh.clone(),
                };
                owner.call(&refresh).await.unwrap();
                (Raw::of(&refresh), 3)
            }
            "SetRole" => {
                let role = Role::Moderator;
                (Raw::of(&SetRole { user: member, role }), 0)
            }
            "UpgradeGuest" => {
                let upgrade = UpgradeGuest {
                    username: "ana".to_owned(),
                    password: PASSWORD.to_owned(),
                    email: None,
                };
                (Raw::of(&upgrade), 1)
            }
            "SpendPoints" | "GivePoints" | "BuyItem" | "UseItem" => {
                let mut player = self.owner.main.take().unwrap();
                earn(&mut self.owner.second, &mut player, users[0]).await;
                self.owner.main = Some(player);
                (raws(method, room, users).0, 0)
            }
            "GrantPoints" | "DeductPoints" | "ExpirePoints" | "RefundPoints" | "SetPointsAside"
            | "PostPoints" | "VoidPoints" | "GrantItem" | "TakeItem" | "RecordPlay" => {
                let player = self.member.main.as_mut().unwrap();
                earn(owner, player, member).await;
                (raws(method, room, users).0, 0)
            }
            "RemoveScore" => {
                let submit = raws("SubmitScore", room, users).0;
                owner.call_raw(&submit, "submitted").await.unwrap();
                // Followers hear of that first.
                tokio::time::sleep(Duration::from_millis(300)).await;
                (raws(method, room, users).0, 0)
            }
            "JoinRoom" => (raws(method, room, users).0, 2),
            "LeaveRoom" | "EditMessage" => (raws(method, room, users).0, 1),
            _ => (raws(method, room, users).0, 0),
        };
        (raw, who)
    }

    /// Carries the call out and cuts its caller off. What the others hear until they have heard `all`, or nothing more comes.
    async fn heard(&mut self, method: &str, cut: Cut, all: Option<&Heard>) -> Heard {
        let (raw, who) = self.prepared(method).await;
        self.forget().await;
        let before = self.stand(&mut vec![BTreeSet::new(); 6]).await;
        let main = match who {
            0 => self.owner.main.take(),
            1 => self.member.main.take(),
            2 => self.stranger.main.take(),
            _ => Some(self.world.greeted(Options::default()).await),
        };
        let mut main = main.expect("each calls once");
        let held = match cut {
            Cut::WhileWriting => Some(self.world.hold_writes().await),
            Cut::WhileReporting => {
                self.world.entities.hold_reports();
                None
            }
            Cut::Never | Cut::After(_) => None,
        };
        let (number, frame) = main.encode_raw(&raw, "key");
        main.peer.send(frame).await;
        main.peer.until_unread(0).await;
        match cut {
            Cut::Never => {
                let _answered = main.answer_in_any_order(number).await;
            }
            Cut::After(turns) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
            // Long enough for a password to be hashed.
            Cut::WhileWriting | Cut::WhileReporting => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        drop(main);
        let_others_run().await;
        drop(held);
        if matches!(cut, Cut::WhileReporting) {
            self.world.entities.release_reports();
        }
        let heard = self.collect(all).await;
        assert_ne!(before, heard, "nobody hears of {method}, {cut:?}");
        heard
    }

    fn others(&mut self) -> [&mut Client; 6] {
        let (owner, member, stranger) = (&mut self.owner, &mut self.member, &mut self.stranger);
        [
            &mut owner.twin,
            &mut owner.second,
            &mut member.twin,
            &mut member.second,
            &mut stranger.twin,
            &mut stranger.second,
        ]
    }

    /// Reads what has come before.
    async fn forget(&mut self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        for client in self.others() {
            ask(client, &mut BTreeSet::new(), &GetAccount {})
                .await
                .unwrap();
        }
    }

    async fn stand(&mut self, events: &mut [BTreeSet<u16>]) -> Heard {
        let mut all = Vec::new();
        let mut gone = self.gone;
        for ((client, events), gone) in self.others().into_iter().zip(events).zip(&mut gone) {
            let account = match *gone {
                true => Err(Code::Disconnected),
                false => ask(client, events, &GetAccount {}).await,
            };
            *gone = account == Err(Code::Disconnected);
            let (mut friends, mut rooms) = (0, 0);
            if account.is_ok() {
                let listed = ask(client, events, &ListFriends::default()).await;
                friends = listed.map_or(0, |listed| listed.friends.len());
                let listed = ask(client, events, &ListMyRooms::default()).await;
                rooms = listed.map_or(0, |listed| listed.rooms.len());
            }
            all.push(Stands {
                events: events.clone(),
                account: account.map(|account| (account.role, account.guest)),
                friends,
                rooms,
            });
        }
        self.gone = gone;
        (all, self.world.resets.count())
    }

    async fn collect(&mut self, all: Option<&Heard>) -> Heard {
        let mut events = vec![BTreeSet::new(); 6];
        let mut heard = Heard::default();
        let begun = Instant::now();
        let mut changed = begun;
        loop {
            let now = self.stand(&mut events).await;
            if now != heard {
                (heard, changed) = (now, Instant::now());
            }
            let is_all = match all {
                Some(all) => heard == *all || begun.elapsed() > PATIENCE,
                None => changed.elapsed() > QUIET,
            };
            if is_all {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The answer to a call, and what has come before it.
async fn ask<M: Method>(
    client: &mut Client,
    events: &mut BTreeSet<u16>,
    request: &M,
) -> Result<M::Reply, Code> {
    let call = client.begin(request).await;
    // These change by themselves, and by the cut.
    let passing = [
        RoomPresence::NUMBER,
        PlayerPresence::NUMBER,
        StreamPosition::NUMBER,
    ];
    loop {
        match client.next().await {
            Some(Came::Event(number, _)) => {
                if !passing.contains(&number) {
                    events.insert(number);
                }
            }
            Some(Came::Reply(answered, body)) if answered == call => {
                return Ok(codec::decode(&body).unwrap());
            }
            Some(Came::Fault(answered, fault)) if answered == call => return Err(fault.code),
            Some(_) => {}
            None => return Err(Code::Disconnected),
        }
    }
}

/// What nobody but its caller hears of: a new session or account, a token for the caller, a room of one's own.
const OF_THE_CALLER: [&str; 11] = [
    "Register",
    "Login",
    "LoginGuest",
    "IssuePasswordReset",
    "UpdateProfile",
    "UnbanMember",
    // The player has no connection that could hear it.
    "LiftSuspension",
    // The staff sees reports when it looks.
    "ReportMessage",
    "ReportPlayer",
    "TakeReport",
    "SettleReport",
];

async fn try_all(of_rooms: bool) {
    for info in METHODS {
        let is_of_rooms = info.place == Place::Room;
        let is_tried = info.effect == Effect::Writes && is_of_rooms == of_rooms;
        if !is_tried || OF_THE_CALLER.contains(&info.name) {
            continue;
        }
        let all = Scene::new().await.heard(info.name, Cut::Never, None).await;
        for cut in [Cut::After(0), Cut::WhileWriting, Cut::WhileReporting] {
            let mut scene = Scene::new().await;
            let heard = scene.heard(info.name, cut, Some(&all)).await;
            assert_eq!(heard, all, "{} cut off {cut:?}", info.name);
        }
    }
}

#[tokio::test]
async fn what_players_do_reaches_others_without_its_caller() {
    try_all(false).await;
}

#[tokio::test]
async fn what_happens_in_rooms_reaches_others_without_its_caller() {
    try_all(true).await;
}

#[tokio::test]
async fn a_guesser_who_does_not_wait_for_the_answer_is_held_up_as_well() {
    let scene = Scene::new().await;
    let wrong = Login {
        password: "wrong password".to_owned(),
        ..login()
    };
    for _ in 0..8 {
        let mut guesser = scene.world.greeted(Options::default()).await;
        guesser.begin(&wrong).await;
        guesser.peer.until_unread(0).await;
        drop(guesser);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let mut guesser = scene.world.greeted(Options::default()).await;
    let refused = guesser
        .call(&login())
        .await
        .map(drop)
        .map_err(|fault| fault.code);
    assert_eq!(refused, Err(Code::LockedOut));
}
