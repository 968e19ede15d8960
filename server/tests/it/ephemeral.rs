//! What is said for the moment: heard once by those who have the room open, and by nobody later.

use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::events::Event;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::limits::TIME_MS_MAX;
use pitturu_protocol::types::chat::{
    EphemeralSent, JoinRoom, ListMyRooms, MessageSent, MuteMember, ReadHistory, RoomKind,
    SendEphemeral, SendMessage,
};
use pitturu_protocol::types::system::{Resume, RoomCursor, StreamPosition};

use crate::chat::{again, create, history, say};
use crate::launch::Server;
use crate::player::{Came, Player};

fn ephemeral(room: RoomId, text: impl Into<String>) -> SendEphemeral {
    SendEphemeral {
        room,
        text: text.into(),
    }
}

/// Texts that come up to the message with this text, which ends them: `~` marks what is not stored.
fn heard_until(player: &mut Player, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        match player.next() {
            Came::Event(MessageSent::NUMBER, body) => {
                let sent: MessageSent = codec::decode(&body).unwrap();
                if sent.msg.text == last {
                    return heard;
                }
                heard.push(sent.msg.text);
            }
            Came::Event(EphemeralSent::NUMBER, body) => {
                let said: EphemeralSent = codec::decode(&body).unwrap();
                heard.push(format!("~{}: {}", said.name, said.text));
            }
            Came::Closed(code) => panic!("closed with {code:?} before {last}"),
            Came::Ended => panic!("ended before {last}"),
            _ => {}
        }
    }
}

#[test]
fn all_who_are_there_hear_it_once_and_in_order_and_nobody_later() {
    let server = Server::start(&[]);
    let (mut ann, _) = Player::guest(server.ws, "ann");
    let (mut bob, bob_in) = Player::guest(server.ws, "bob");
    let (mut cho, cho_in) = Player::guest(server.ws, "cho");
    let (mut dan, _) = Player::guest(server.ws, "dan");
    let room = create(&mut ann, RoomKind::Public, "arena", None).info.room;
    let view = bob.call(&JoinRoom { room }).unwrap();
    cho.call(&JoinRoom { room }).unwrap();
    let fault = dan.call(&ephemeral(room, "let me in")).unwrap_err();
    assert_eq!(fault.code, Code::NotAMember);

    // Sent without waiting, so that the message may still be on its way to the disk.
    let message = |text: &str| SendMessage {
        room,
        text: text.to_owned(),
        data: None,
        reply_to: None,
    };
    ann.begin(&message("ready?"));
    ann.begin(&ephemeral(room, "o/"));
    ann.begin(&ephemeral(room, "gl hf"));
    ann.begin(&message("go"));
    ann.begin(&ephemeral(room, "!"));
    ann.begin(&message("end"));
    let expected = ["ready?", "~ann: o/", "~ann: gl hf", "go", "~ann: !"];
    for player in [&mut ann, &mut bob, &mut cho] {
        assert_eq!(heard_until(player, "end"), expected);
    }

    dan.call(&JoinRoom { room }).unwrap();
    let mut resumed = again(&server, bob_in);
    let resume = Resume {
        epoch: None,
        inbox: None,
        rooms: vec![RoomCursor {
            room,
            seq: view.info.head,
            rev: view.rev,
        }],
    };
    resumed.call(&resume).unwrap();
    ann.begin(&message("last"));
    assert_eq!(heard_until(&mut dan, "last"), [""; 0]);
    assert_eq!(heard_until(&mut resumed, "last"), ["ready?", "go", "end"]);

    assert_eq!(history(&mut cho, room, None, 10), [1, 2, 3, 4]);
    let mine = cho.call(&ListMyRooms::default()).unwrap();
    assert_eq!(mine.rooms[0].unread, 4);
    ann.call(&ephemeral(room, "gg")).unwrap();
    let mine = cho.call(&ListMyRooms::default()).unwrap();
    let last = mine.rooms[0].last.as_ref().unwrap();
    assert_eq!((mine.rooms[0].unread, last.text.as_str()), (4, "last"));
    let page = cho.call(&ReadHistory {
        room,
        from: None,
        limit: None,
    });
    assert_eq!(page.unwrap().head, 4);

    let mute = MuteMember {
        room,
        user: cho_in.identity.user,
        until: TIME_MS_MAX,
    };
    ann.call(&mute).unwrap();
    let fault = cho.call(&ephemeral(room, "unfair")).unwrap_err();
    assert_eq!(fault.code, Code::Muted);
}

/// Text of one ephemeral message of the flood, and how many: more than the kernel's buffers between server and reader
/// hold, so that the rest meets the reader's outbox.
const TEXT_BYTES: usize = 4_000;
const FLOOD: usize = 4_000;

#[test]
fn a_reader_behind_loses_it_and_nothing_else() {
    let server = Server::start(&["limits.chat_per_second=100000", "limits.chat_burst=100000"]);
    let (mut ann, _) = Player::guest(server.ws, "ann");
    let (mut slow, _) = Player::guest(server.ws, "slow");
    let room = create(&mut ann, RoomKind::Public, "flood", None).info.room;
    slow.call(&JoinRoom { room }).unwrap();
    assert!(slow.event::<StreamPosition>().live);
    say(&mut ann, room, "before");
    let padding = "x".repeat(TEXT_BYTES);
    for number in 0..FLOOD {
        ann.call(&ephemeral(room, format!("{number:04}{padding}")))
            .unwrap();
    }
    say(&mut ann, room, "between");
    say(&mut ann, room, "after");

    let (mut seqs, mut numbers) = (Vec::new(), Vec::new());
    while seqs.len() < 3 {
        match slow.next() {
            Came::Event(EphemeralSent::NUMBER, body) => {
                let said: EphemeralSent = codec::decode(&body).unwrap();
                numbers.push(said.text[..4].parse::<usize>().unwrap());
            }
            Came::Event(MessageSent::NUMBER, body) => {
                let sent: MessageSent = codec::decode(&body).unwrap();
                seqs.push(sent.msg.seq);
            }
            Came::Event(StreamPosition::NUMBER, _) => panic!("the stream was cut"),
            Came::Closed(_) | Came::Ended | Came::Gap(..) => panic!("the reader lost more"),
            _ => {}
        }
    }
    assert_eq!(seqs, [1, 2, 3]);
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    println!(
        "{} of {FLOOD} ephemeral messages reached a reader that did not read",
        numbers.len()
    );
    assert!(
        (1..FLOOD).contains(&numbers.len()),
        "{} of {FLOOD} came",
        numbers.len()
    );
    ann.call(&ephemeral(room, "still there?")).unwrap();
    assert_eq!(slow.event::<EphemeralSent>().text, "still there?");
}
