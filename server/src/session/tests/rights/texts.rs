//! A text that was deleted or replaced is nowhere to be read, and what is unread is what is still there.

use pitturu_protocol::codec;
use pitturu_protocol::events::Event as _;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::chat::{
    DeleteMessage, EditMessage, HistoryFrom, InviteToRoom, ListReactions, OpenRoom, React,
    ReadHistory, RoomKind,
};
use pitturu_protocol::types::system::{Resume, RoomCursor, StreamPosition};

use super::super::world::{Came, Client, World};
use super::{guest, my_rooms, room_of, say};

/// Words that stand in no other text of these tests.
const SECRET: &str = "xyzzy-secret";

/// The emoji by which the test knows a reaction again.
const EMOJI: &str = "🦞";

fn holds(bytes: &[u8], words: &str) -> bool {
    let mut windows = bytes.windows(words.len());
    windows.any(|window| window == words.as_bytes())
}

/// Everything that comes until the room's stream is live, acknowledging page after page.
async fn until_live(client: &mut Client, room: RoomId) -> Vec<Vec<u8>> {
    let mut read = Vec::new();
    loop {
        match client.next().await.expect("the stream goes on") {
            Came::Event(StreamPosition::NUMBER, body) => {
                let position: StreamPosition = codec::decode(&body).unwrap();
                if position.stream != room.to_string() {
                    continue;
                }
                if position.live {
                    return read;
                }
                client.ack(room, &position).await;
            }
            Came::Event(_, body) | Came::Reply(_, body) => read.push(body),
            _ => {}
        }
    }
}

/// Everything that a member can read of a room now, by every way there is.
async fn everything(world: &World, client: &mut Client, room: RoomId) -> Vec<Vec<u8>> {
    let mut read = Vec::new();
    let froms = [
        None,
        Some(HistoryFrom::Before(1_000)),
        Some(HistoryFrom::After(0)),
        Some(HistoryFrom::Since(0)),
        Some(HistoryFrom::Until(1 << 50)),
    ];
    for from in froms {
        let limit = Some(200);
        let history = client.call(&ReadHistory { room, from, limit }).await;
        read.push(codec::encode(&history.unwrap()));
    }
    for seq in 1..=3 {
        let reactions = ListReactions {
            room,
            seq,
            after: None,
            limit: None,
        };
        // Of a deleted message it may be refused.
        let found = client.call(&reactions).await.ok();
        read.extend(found.map(|found| codec::encode(&found)));
    }
    for (seq, rev) in [(0, 0), (1, 0), (3, 0), (0, 1), (3, 1)] {
        let (seq, rev) = (Some(seq), Some(rev));
        client.begin(&OpenRoom { room, seq, rev }).await;
        read.extend(until_live(client, room).await);
    }
    let resume = Resume {
        epoch: None,
        inbox: Some(0),
        rooms: vec![RoomCursor {
            room,
            seq: 0,
            rev: 0,
        }],
    };
    client.begin(&resume).await;
    read.extend(until_live(client, room).await);
    let mine = my_rooms(world, client).await;
    read.extend(mine.iter().map(codec::encode));
    read
}

#[tokio::test]
async fn what_was_deleted_or_replaced_is_nowhere_to_be_read() {
    for is_deleted in [true, false] {
        let mut world = World::new().await;
        let (mut author, _) = guest(&world, "author").await;
        let (mut reader, user) = guest(&world, "reader").await;
        let room = room_of(&mut author, RoomKind::Private).await;
        author.call(&InviteToRoom { room, user }).await.unwrap();
        for text in ["first", SECRET, "third"] {
            let mut message = say(room, text);
            message.data = Some(SECRET.as_bytes().to_vec()).filter(|_| is_deleted);
            author.call(&message).await.unwrap();
        }
        let react = React {
            room,
            seq: 2,
            emoji: EMOJI.to_owned(),
            on: true,
        };
        author.call(&react).await.unwrap();
        let edit = |text: &str| EditMessage {
            room,
            seq: 2,
            text: text.to_owned(),
        };
        for text in [SECRET, "xyzzy-secret once more"] {
            author.call(&edit(text)).await.unwrap();
        }
        if is_deleted {
            for seq in 1..=3 {
                author.call(&DeleteMessage { room, seq }).await.unwrap();
            }
        } else {
            author.call(&edit("as it is now")).await.unwrap();
        }
        for place in ["from memory", "from the store"] {
            // The reader comes when all is over.
            reader.join(room).await;
            let read = everything(&world, &mut reader, room).await;
            assert!(read.len() > 20, "{place}: something is read");
            for bytes in read {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                assert!(!holds(&bytes, SECRET), "{place}: {text}");
                assert!(!is_deleted || !holds(&bytes, EMOJI), "{place}: {text}");
            }
            drop((author, reader));
            world = world.restarted().await;
            (author, _) = guest(&world, "author").await;
            (reader, _) = guest(&world, "reader").await;
        }
    }
}
