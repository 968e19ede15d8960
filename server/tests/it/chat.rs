//! Chat, friends and presence as players meet them, over the wire.

use std::time::Duration;

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::{Authenticate, SignedIn};
use pitturu_protocol::types::chat::{
    BanMember, CreateRoom, DeleteMessage, EditMessage, HistoryFrom, InviteToRoom, JoinRoom,
    KickMember, ListMembers, ListMyRooms, LostReason, MarkRead, MessageDeleted, MessageEdited,
    MessageSent, OpenDirect, React, ReactionChanged, ReadHistory, Retention, RoomKind, RoomLost,
    RoomView, SearchRooms, SendMessage, Typing, TypingStarted,
};
use pitturu_protocol::types::friends::{AcceptFriend, BlockPlayer, RequestFriend};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_protocol::types::presence::{PlayerPresence, Status};
use pitturu_protocol::types::system::{Resume, RoomCursor, StreamPosition};

use crate::launch::Server;
use crate::player::Player;

pub(crate) fn create(
    player: &mut Player,
    kind: RoomKind,
    name: &str,
    retention: Option<Retention>,
) -> RoomView {
    player
        .call(&CreateRoom {
            kind,
            name: name.to_owned(),
            topic: None,
            slow_mode_ms: None,
            retention,
        })
        .unwrap()
}

pub(crate) fn say(player: &mut Player, room: RoomId, text: &str) -> u64 {
    let request = SendMessage {
        room,
        text: text.to_owned(),
        data: None,
        reply_to: None,
    };
    player.call(&request).unwrap().seq
}

pub(crate) fn history(
    player: &mut Player,
    room: RoomId,
    from: Option<HistoryFrom>,
    limit: u32,
) -> Vec<u64> {
    let request = ReadHistory {
        room,
        from,
        limit: Some(limit),
    };
    let page = player.call(&request).unwrap();
    page.messages.iter().map(|message| message.seq).collect()
}

fn follow_inbox(player: &mut Player) {
    let resume = Resume {
        epoch: None,
        inbox: Some(0),
        rooms: Vec::new(),
    };
    player.call(&resume).unwrap();
}

fn two(server: &Server) -> ((Player, SignedIn), (Player, SignedIn)) {
    (
        Player::guest(server.ws, "ann"),
        Player::guest(server.ws, "bob"),
    )
}

/// Another connection of the same player.
pub(crate) fn again(server: &Server, signed_in: SignedIn) -> Player {
    let mut player = Player::connect(server.ws);
    let authenticate = Authenticate {
        access: signed_in.access,
    };
    player.call(&authenticate).unwrap();
    player
}

fn id(signed_in: &SignedIn) -> UserId {
    signed_in.identity.user
}

#[test]
fn messages_are_found_from_both_ends_and_by_time() {
    let server = Server::start(&[]);
    let ((mut ann, _), _) = two(&server);
    let room = create(&mut ann, RoomKind::Public, "history", None)
        .info
        .room;
    for number in 1..=10 {
        assert_eq!(say(&mut ann, room, &format!("message {number}")), number);
    }
    std::thread::sleep(Duration::from_millis(20));
    say(&mut ann, room, "late");
    let page = ann
        .call(&ReadHistory {
            room,
            from: None,
            limit: Some(1),
        })
        .unwrap();
    let late = page.messages[0].at;
    assert_eq!(history(&mut ann, room, None, 3), [9, 10, 11]);
    assert_eq!(
        history(&mut ann, room, Some(HistoryFrom::Before(4)), 2),
        [2, 3]
    );
    assert_eq!(
        history(&mut ann, room, Some(HistoryFrom::After(4)), 2),
        [5, 6]
    );
    assert_eq!(
        history(&mut ann, room, Some(HistoryFrom::Since(late)), 5),
        [11]
    );
    assert_eq!(
        history(&mut ann, room, Some(HistoryFrom::Until(late)), 2),
        [9, 10]
    );
    assert_eq!(
        history(&mut ann, room, Some(HistoryFrom::After(99)), 2),
        [0; 0]
    );
    assert_eq!(
        history(&mut ann, room, Some(HistoryFrom::Before(0)), 2),
        [0; 0]
    );
}

#[test]
fn changes_arrive_live_and_by_back_fill() {
    let server = Server::start(&[]);
    let ((mut ann, _), (mut bob, bob_in)) = two(&server);
    let room = create(&mut ann, RoomKind::Public, "changes", None)
        .info
        .room;
    bob.call(&JoinRoom { room }).unwrap();
    for text in ["one", "two"] {
        say(&mut ann, room, text);
    }
    let text = "edited".to_owned();
    ann.call(&EditMessage { room, seq: 1, text }).unwrap();
    let emoji = "🎉".to_owned();
    let on = true;
    let reaction = React {
        room,
        seq: 1,
        emoji,
        on,
    };
    assert_eq!(bob.call(&reaction).unwrap().count, 1);
    ann.call(&DeleteMessage { room, seq: 2 }).unwrap();
    let foreign = EditMessage {
        room,
        seq: 1,
        text: "mine now".to_owned(),
    };
    assert_eq!(bob.call(&foreign).unwrap_err().code, Code::Forbidden);

    let mut late = again(&server, bob_in);
    let resume = Resume {
        epoch: None,
        inbox: None,
        rooms: vec![RoomCursor {
            room,
            seq: 0,
            rev: 0,
        }],
    };
    late.call(&resume).unwrap();
    for player in [&mut bob, &mut late] {
        for seq in [1, 2] {
            assert_eq!(player.event::<MessageSent>().msg.seq, seq);
        }
        let edited: MessageEdited = player.event();
        assert_eq!((edited.rev, edited.text.as_str()), (1, "edited"));
        let reacted: ReactionChanged = player.event();
        assert_eq!((reacted.rev, reacted.count), (2, 1));
        assert_eq!(player.event::<MessageDeleted>().rev, 3);
    }
    let live: StreamPosition = late.event();
    assert_eq!((live.seq, live.rev, live.live), (2, 3, true));
}

#[test]
fn private_rooms_open_by_invitation_and_close_by_ban() {
    let server = Server::start(&[]);
    let ((mut ann, _), (mut bob, bob_in)) = two(&server);
    follow_inbox(&mut bob);
    let room = create(&mut ann, RoomKind::Private, "secret", None)
        .info
        .room;
    assert_eq!(
        bob.call(&JoinRoom { room }).unwrap_err().code,
        Code::RoomNotFound
    );
    let user = id(&bob_in);
    ann.call(&InviteToRoom { room, user }).unwrap();
    let invited: InboxAdded = bob.event();
    assert!(matches!(invited.entry, InboxEntry::RoomInvited { room: to, .. } if to == room));
    bob.call(&JoinRoom { room }).unwrap();
    let reason = Some("enough".to_owned());
    let kick = KickMember {
        room,
        user,
        reason: reason.clone(),
    };
    ann.call(&kick).unwrap();
    let (lost, kicked): (RoomLost, InboxAdded) = bob.both();
    assert_eq!(lost.reason, LostReason::Kicked);
    assert_eq!(kicked.seq, invited.seq + 1);
    // Whoever was kicked may not know the room any more.
    let unknown = bob.call(&JoinRoom { room }).unwrap_err();
    assert_eq!(unknown.code, Code::RoomNotFound);
    ann.call(&InviteToRoom { room, user }).unwrap();
    bob.call(&JoinRoom { room }).unwrap();
    let ban = BanMember {
        room,
        user,
        until: None,
        reason,
    };
    ann.call(&ban).unwrap();
    assert_eq!(bob.call(&JoinRoom { room }).unwrap_err().code, Code::Banned);
    assert_eq!(bob.call(&kick).unwrap_err().code, Code::Banned);
    let members = ann
        .call(&ListMembers {
            room,
            online: false,
            after: None,
            limit: None,
        })
        .unwrap();
    assert_eq!(members.members.len(), 1);
}

#[test]
fn direct_rooms_are_found_by_both_and_respect_blocks() {
    let server = Server::start(&[]);
    let ((mut ann, ann_in), (mut bob, bob_in)) = two(&server);
    follow_inbox(&mut bob);
    let open = OpenDirect { user: id(&bob_in) };
    let view = ann.call(&open).unwrap();
    assert_eq!(
        (view.info.name.as_str(), view.info.peer),
        ("bob", Some(id(&bob_in)))
    );
    let room = view.info.room;
    assert_eq!(ann.call(&open).unwrap().info.room, room);
    let told: InboxAdded = bob.event();
    assert!(matches!(told.entry, InboxEntry::DirectOpened { room: to, .. } if to == room));
    let back = bob.call(&OpenDirect { user: id(&ann_in) }).unwrap();
    assert_eq!(back.info.room, room);
    say(&mut ann, room, "hello");
    bob.call(&BlockPlayer { user: id(&ann_in) }).unwrap();
    let refused = || SendMessage {
        room,
        text: "still there?".to_owned(),
        data: None,
        reply_to: None,
    };
    // The block reaches the room a moment after the call.
    let blocked = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        ann.call(&refused())
            .is_err_and(|fault| fault.code == Code::Blocked)
    });
    assert!(blocked, "the block never reaches the direct room");
}

#[test]
fn unread_counts_follow_the_read_marker() {
    let server = Server::start(&[]);
    let ((mut ann, _), (mut bob, _)) = two(&server);
    let room = create(&mut ann, RoomKind::Public, "Unread 안 읽음", None)
        .info
        .room;
    let found = bob
        .call(&SearchRooms {
            query: "안 unr".to_owned(),
            after: None,
            limit: None,
        })
        .unwrap();
    assert_eq!(found.rooms[0].room, room);
    bob.call(&JoinRoom { room }).unwrap();
    for number in 0..5 {
        say(&mut ann, room, &format!("{number}"));
    }
    let unread = |bob: &mut Player| {
        let mine = bob.call(&ListMyRooms::default()).unwrap();
        let room = &mine.rooms[0];
        (room.unread, room.last.as_ref().unwrap().text.clone())
    };
    assert_eq!(unread(&mut bob), (5, "4".to_owned()));
    let marker = bob.call(&MarkRead { room, seq: 3 }).unwrap();
    assert_eq!((marker.read, marker.unread), (3, 2));
    assert_eq!(unread(&mut bob).0, 2);
    bob.call(&Typing { room }).unwrap();
    assert_eq!(ann.event::<TypingStarted>().name, "bob");
}

#[test]
fn friends_see_each_other_come_and_go() {
    let server = Server::start(&[]);
    let ((mut ann, ann_in), (mut bob, bob_in)) = two(&server);
    follow_inbox(&mut bob);
    ann.call(&RequestFriend { user: id(&bob_in) }).unwrap();
    let asked: InboxAdded = bob.event();
    assert!(matches!(asked.entry, InboxEntry::FriendRequested { user, .. } if user == id(&ann_in)));
    bob.call(&AcceptFriend { user: id(&ann_in) }).unwrap();
    let mut status_of_bob = |status: Status| {
        while ann.event::<PlayerPresence>().presence.status != status {}
    };
    status_of_bob(Status::Online);
    drop(bob);
    status_of_bob(Status::Offline);
}

#[test]
fn retention_leaves_a_gap_that_is_named() {
    let server = Server::start(&["limits.chat_burst=1000"]);
    let ((mut ann, ann_in), _) = two(&server);
    let retention = Retention {
        age_ms: None,
        messages: Some(10),
    };
    let room = create(&mut ann, RoomKind::Public, "short memory", Some(retention))
        .info
        .room;
    for number in 0..120 {
        say(&mut ann, room, &format!("{number}"));
    }
    // The room looks for what to remove every few seconds.
    let forgotten = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(200));
        history(&mut ann, room, Some(HistoryFrom::After(0)), 1) == [111]
    });
    assert!(forgotten, "nothing is ever removed");
    let resume = Resume {
        epoch: None,
        inbox: None,
        rooms: vec![RoomCursor {
            room,
            seq: 50,
            rev: 0,
        }],
    };
    let mut late = again(&server, ann_in);
    late.call(&resume).unwrap();
    assert_eq!(late.gap(), (51, 110));
    assert_eq!(late.event::<MessageSent>().msg.seq, 111);
}

#[test]
fn a_room_is_made_once_under_its_key() {
    let server = Server::start(&[]);
    let ((mut ann, _), _) = two(&server);
    let request = CreateRoom {
        kind: RoomKind::Public,
        name: "only one".to_owned(),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    };
    let first = ann.call_keyed(&request, "make it").unwrap();
    let again = ann.call_keyed(&request, "make it").unwrap();
    assert_eq!(first.info.room, again.info.room);
    let other = CreateRoom {
        name: "another".to_owned(),
        ..request
    };
    let fault = ann.call_keyed(&other, "make it").unwrap_err();
    assert_eq!(fault.code, Code::KeyReused);
    assert_eq!(ann.call(&ListMyRooms::default()).unwrap().rooms.len(), 1);
}

#[test]
fn a_keyed_call_repeated_after_a_crash_gets_its_first_result() {
    let mut server = Server::start(&[]);
    let ((mut ann, ann_in), _) = two(&server);
    let room = create(&mut ann, RoomKind::Public, "twice", None).info.room;
    let request = SendMessage {
        room,
        text: "once".to_owned(),
        data: None,
        reply_to: None,
    };
    let first = ann.call_keyed(&request, "the key").unwrap();
    assert_eq!(ann.call_keyed(&request, "the key").unwrap(), first);
    let folder = server.folder();
    server.kill();
    let server = Server::start_in(folder, &[]);
    let mut again = again(&server, ann_in);
    assert_eq!(again.call_keyed(&request, "the key").unwrap(), first);
    let other = SendMessage {
        text: "something else".to_owned(),
        ..request
    };
    let fault = again.call_keyed(&other, "the key").unwrap_err();
    assert_eq!(fault.code, Code::KeyReused);
    assert_eq!(history(&mut again, room, None, 10), [1]);
}
