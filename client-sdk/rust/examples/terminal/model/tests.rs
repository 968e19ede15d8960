//! The model driven by events and keys, and drawn on screens of many sizes.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use pitturu_client::types::accounts::{Identity, Role};
use pitturu_client::types::chat::{
    History, LostReason, MemberRole, Membership, Message, MessageDeleted, MessageEdited,
    MessageSent, ReactionChanged, Retention, RoomInfo, RoomKind, RoomLost, RoomView, Sent,
    TypingStarted,
};
use pitturu_client::types::presence::RoomPresence;
use pitturu_client::types::system::StreamPosition;
use pitturu_client::{Code, Fault, Gap, Missing, RoomId, ServerEvent, SessionId, Stream, UserId};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::{Action, Input, Link, Model, Reply, Scroll, Start};
use crate::text::width;
use crate::view;

/// Noon of a Monday.
const NOON: u64 = 1_795_435_200_000;

fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 10])
}

fn room(number: u8) -> RoomId {
    RoomId::from_bytes([number; 10])
}

fn info(number: u8, name: &str, head: u64) -> RoomInfo {
    RoomInfo {
        room: room(number),
        kind: RoomKind::Public,
        name: name.to_owned(),
        handle: None,
        topic: None,
        peer: None,
        members: 2,
        head,
        first: u64::from(head > 0),
        slow_mode_ms: 0,
        retention: Retention::default(),
        created_at: NOON,
    }
}

fn opened(number: u8, name: &str, head: u64, read: u64, show: bool) -> Input {
    let me = Membership {
        role: MemberRole::Member,
        read,
        muted_until: None,
        joined_at: NOON,
    };
    let view = RoomView {
        info: info(number, name, head),
        me,
        rev: 0,
        online: 1,
    };
    Input::Reply(Reply::Opened { view, show })
}

fn message(seq: u64, from: u8, text: &str) -> Message {
    Message {
        seq,
        from: user(from),
        name: if from == 1 { "Ann" } else { "민준" }.to_owned(),
        text: text.to_owned(),
        at: NOON + seq * 1000,
        data: None,
        reply_to: None,
        edited_at: None,
        deleted_by: None,
        reactions: Vec::new(),
    }
}

fn sent(number: u8, msg: Message) -> Input {
    let room = room(number);
    event(ServerEvent::MessageSent(MessageSent { room, msg }))
}

fn event(event: ServerEvent) -> Input {
    Input::Server(Box::new(event))
}

fn page(number: u8, messages: Vec<Message>, newest: bool, rev: u64) -> Input {
    let head = messages.last().map_or(0, |msg| msg.seq);
    let result = Ok(History {
        messages,
        first: u64::from(head > 0),
        head,
        rev,
    });
    let room = room(number);
    Input::Reply(Reply::History {
        room,
        newest,
        result,
    })
}

fn key(code: KeyCode) -> Input {
    Input::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn alt(code: KeyCode) -> Input {
    Input::Key(KeyEvent::new(code, KeyModifiers::ALT))
}

fn line(model: &mut Model, text: &str) -> Vec<Action> {
    model.apply(Input::Paste(text.to_owned()), NOON);
    model.apply(key(KeyCode::Enter), NOON)
}

/// Ann, signed in and in room 1 with these messages.
fn ann(columns: u16, rows: u16, messages: Vec<Message>) -> Model {
    let start = Start {
        url: "ws://localhost".to_owned(),
        name: "Ann".to_owned(),
        room: Some("lobby".to_owned()),
        ..Start::default()
    };
    let mut model = Model::new(start, (columns, rows), NOON);
    model.apply(Input::Link(Link::Online), NOON);
    let identity = Identity {
        user: user(1),
        session: SessionId::from_bytes([0; 10]),
        role: Role::Player,
        guest: true,
        expires_at: u64::MAX,
    };
    let name = "Ann".to_owned();
    let actions = model.apply(Input::Reply(Reply::SignedIn { identity, name }), NOON);
    assert!(actions.contains(&Action::ListRooms));
    let head = messages.last().map_or(0, |msg| msg.seq);
    let actions = model.apply(opened(1, "lobby", head, head, true), NOON);
    assert!(matches!(
        actions[..],
        [Action::History { before: None, .. }]
    ));
    model.apply(page(1, messages, true, 0), NOON);
    model
}

/// The screen as text, one line a row.
fn screen(model: &Model) -> Vec<String> {
    let (columns, rows) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal
        .draw(|frame| {
            if let Some(cursor) = view::draw(model, frame.buffer_mut()) {
                assert!(cursor.x < columns && cursor.y < rows, "{cursor:?}");
                frame.set_cursor_position(cursor);
            }
        })
        .unwrap();
    let buffer = terminal.backend().buffer();
    let mut lines = Vec::new();
    for y in 0..rows {
        let mut line = String::new();
        let mut x = 0;
        while x < columns {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(width(symbol).max(1)).unwrap();
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

fn shows(model: &Model, text: &str) -> bool {
    screen(model).iter().any(|line| line.contains(text))
}

#[test]
fn korean_messages_stand_in_columns() {
    let mut model = ann(
        80,
        10,
        vec![message(1, 2, "안녕하세요"), message(2, 1, "hello 민준")],
    );
    let lines = screen(&model).join("\n");
    assert!(lines.contains("12:00         민준 안녕하세요"), "{lines}");
    assert!(lines.contains("12:00          Ann hello 민준"), "{lines}");
    assert!(lines.contains("Mon 23 Nov 2026"), "{lines}");
    assert!(lines.contains("here begins #lobby"), "{lines}");
    assert!(lines.contains("● online"), "{lines}");
    let presence = RoomPresence {
        room: room(1),
        online: 2,
        members: 7,
        users: Some(vec![user(2), user(1)]),
    };
    model.apply(event(ServerEvent::RoomPresence(presence)), NOON);
    assert!(shows(&model, "2 of 7 here"));
    let lines = screen(&model);
    let here = lines
        .iter()
        .position(|line| line.starts_with("here"))
        .unwrap();
    assert!(lines[here + 1].starts_with("Ann") && lines[here + 2].starts_with("민준"));
}

#[test]
fn every_size_of_window_is_drawn() {
    let texts = [
        "안녕하세요 여러분 반갑습니다",
        "longwordlongwordlongwordlongwordlongwordlongwordlongwordlongword",
        "👩‍👩‍👧 family 👨‍👩‍👧‍👦 \u{200d}\u{200d} e\u{301}",
        "a\nb\n\nc",
        "",
        "\u{1b}[2J\u{7}\u{202e}abc",
    ];
    let messages: Vec<Message> = (1..=12)
        .map(|seq| {
            let mut msg = message(
                seq,
                if seq % 3 == 0 { 1 } else { 2 },
                texts[usize::try_from(seq).unwrap() % 6],
            );
            msg.reply_to = (seq % 4 == 0).then_some(seq - 1);
            msg.edited_at = (seq % 5 == 0).then_some(NOON);
            msg
        })
        .collect();
    for columns in (1..=8).chain([30, 59, 60, 100]) {
        for rows in [1, 2, 3, 4, 5, 8, 12] {
            let mut model = ann(columns, rows, messages.clone());
            screen(&model);
            model.apply(
                Input::Link(Link::Offline {
                    retry_at: Some(NOON + 2000),
                    why: Some("가나다".repeat(30)),
                }),
                NOON,
            );
            line(&mut model, "기다리는 message");
            screen(&model);
            line(&mut model, "/help");
            model.apply(key(KeyCode::PageDown), NOON);
            screen(&model);
            model.apply(key(KeyCode::Esc), NOON);
            for _ in 0..8 {
                model.apply(key(KeyCode::PageUp), NOON);
                screen(&model);
            }
            model.apply(alt(KeyCode::Up), NOON);
            model.apply(alt(KeyCode::Up), NOON);
            screen(&model);
            for _ in 0..60 {
                model.apply(key(KeyCode::PageDown), NOON);
            }
            model.apply(key(KeyCode::Esc), NOON);
            assert!(
                rows < 3 || model.active_room().unwrap().scroll == Scroll::End,
                "{columns}x{rows}"
            );
            model.apply(Input::Resize(rows, columns), NOON);
            screen(&model);
        }
    }
}

#[test]
fn a_small_window_shows_the_end_of_what_was_said() {
    let model = ann(
        30,
        8,
        vec![
            message(1, 2, "first"),
            message(2, 2, "반갑습니다 여러분 오늘 날씨 좋네요"),
        ],
    );
    let lines = screen(&model);
    assert!(
        lines[0].starts_with("#lobby") && lines[0].ends_with("● online"),
        "{lines:?}"
    );
    assert_eq!(lines[4], " 반갑습니다 여러분 오늘 날씨");
    assert_eq!(lines[5], " 좋네요");
    assert_eq!(lines[7], "> /help");
}

#[test]
fn unread_is_counted_live_and_marked_when_seen() {
    let mut model = ann(80, 10, vec![message(1, 2, "one")]);
    model.apply(opened(2, "games", 5, 3, false), NOON);
    assert_eq!(model.room(room(2)).unwrap().unread(), 2);
    model.apply(sent(2, message(6, 2, "more")), NOON);
    model.apply(sent(2, message(6, 2, "more")), NOON);
    assert_eq!(model.room(room(2)).unwrap().unread(), 3);
    assert!(
        shows(&model, "2 #games            3"),
        "{:#?}",
        screen(&model)
    );

    let actions = model.apply(key(KeyCode::Tab), NOON + 2000);
    assert!(
        matches!(actions[..], [Action::History { before: None, .. }]),
        "{actions:?}"
    );
    let messages = (1..=6).map(|seq| message(seq, 2, "text")).collect();
    let actions = model.apply(page(2, messages, true, 0), NOON + 2000);
    assert_eq!(
        actions,
        [Action::MarkRead {
            room: room(2),
            seq: 6
        }]
    );
    assert!(shows(&model, " new "));
    let marked = Reply::Marked {
        room: room(2),
        result: Ok(6),
    };
    assert!(model.apply(Input::Reply(marked), NOON + 2000).is_empty());
    assert_eq!(model.room(room(2)).unwrap().unread(), 0);
}

#[test]
fn nothing_is_marked_unseen() {
    let mut model = ann(80, 10, vec![message(1, 2, "one")]);
    model.apply(Input::Focus(false), NOON);
    assert!(
        model
            .apply(sent(1, message(2, 2, "two")), NOON + 5000)
            .is_empty()
    );
    let actions = model.apply(Input::Focus(true), NOON + 6000);
    assert_eq!(
        actions,
        [Action::MarkRead {
            room: room(1),
            seq: 2
        }]
    );
}

#[test]
fn a_line_stands_before_what_came_while_the_player_looked_away() {
    let mut model = ann(80, 10, vec![message(1, 2, "one")]);
    model.apply(Input::Focus(false), NOON);
    model.apply(Input::Focus(true), NOON);
    model.apply(sent(1, message(2, 2, "two")), NOON);
    assert!(!shows(&model, " new "));
    model.apply(Input::Focus(false), NOON);
    model.apply(sent(1, message(3, 2, "three")), NOON);
    model.apply(Input::Focus(true), NOON);
    let lines = screen(&model);
    let new = lines
        .iter()
        .position(|line| line.contains(" new "))
        .unwrap();
    assert!(lines[new - 1].contains("two") && lines[new + 1].contains("three"));
    line(&mut model, "hi");
    assert!(!shows(&model, " new "));
}

#[test]
fn rooms_are_listed_again_after_a_reconnect() {
    let mut model = ann(80, 10, vec![]);
    assert!(model.apply(Input::Link(Link::Online), NOON).is_empty());
    model.apply(Input::Link(Link::Connecting), NOON);
    assert_eq!(
        model.apply(Input::Link(Link::Online), NOON),
        [Action::ListRooms]
    );
}

#[test]
fn leaving_is_told_once_by_reply_or_event() {
    for event_first in [false, true] {
        let mut model = ann(80, 10, vec![message(1, 2, "one")]);
        let lost = RoomLost {
            room: room(1),
            reason: LostReason::Left,
        };
        let lost = event(ServerEvent::RoomLost(lost));
        let reply = Input::Reply(Reply::Left(room(1)));
        let (first, second) = if event_first {
            (lost, reply)
        } else {
            (reply, lost)
        };
        model.apply(first, NOON);
        model.apply(second, NOON);
        assert!(shows(&model, "You left #lobby."));
        assert!(shows(&model, "You are in no room."));
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let mut model = Model::new(
        Start {
            url: "ws://nowhere".into(),
            ..Start::default()
        },
        (80, 8),
        NOON,
    );
    let why = Some("Connection refused".to_owned());
    model.apply(
        Input::Link(Link::Offline {
            retry_at: None,
            why,
        }),
        NOON,
    );
    assert!(shows(
        &model,
        "ws://nowhere does not answer: Connection refused."
    ));
}

#[test]
fn what_is_written_offline_waits_and_is_confirmed_once() {
    let mut model = ann(80, 12, vec![message(1, 2, "one")]);
    let offline = Link::Offline {
        retry_at: Some(NOON + 3000),
        why: None,
    };
    model.apply(Input::Link(offline), NOON);
    assert!(shows(&model, "reconnecting in 3 s"));
    let actions = line(&mut model, "나중에");
    let [Action::Send { id, .. }] = actions[..] else {
        panic!("{actions:?}");
    };
    assert!(shows(&model, "나중에 (waits)"));
    assert!(shows(&model, "your message waits"));
    assert_eq!(model.unsent(), 1);

    model.apply(Input::Link(Link::Online), NOON);
    model.apply(sent(1, message(2, 1, "나중에")), NOON);
    let times = |model: &Model| {
        screen(model)
            .iter()
            .filter(|line| line.contains("나중에"))
            .count()
    };
    assert_eq!(times(&model), 1);
    let result = Ok(Sent { seq: 2, at: NOON });
    model.apply(
        Input::Reply(Reply::Sent {
            room: room(1),
            id,
            result,
        }),
        NOON,
    );
    model.apply(sent(1, message(2, 1, "나중에")), NOON);
    assert_eq!(times(&model), 1);
    assert!(!shows(&model, "(waits)"));
    assert_eq!(
        (
            model.unsent(),
            model.active_room().unwrap().messages().count()
        ),
        (0, 2)
    );
}

#[test]
fn a_confirmation_may_come_before_its_event() {
    let mut model = ann(80, 12, vec![]);
    let [Action::Send { id, .. }, ..] = line(&mut model, "hi")[..] else {
        panic!("not sent");
    };
    let result = Ok(Sent { seq: 1, at: NOON });
    model.apply(
        Input::Reply(Reply::Sent {
            room: room(1),
            id,
            result,
        }),
        NOON,
    );
    model.apply(sent(1, message(1, 1, "hi")), NOON);
    assert_eq!(model.active_room().unwrap().messages().count(), 1);
    assert_eq!(model.unsent(), 0);
}

#[test]
fn a_refused_message_says_why_and_can_be_sent_again() {
    let mut model = ann(100, 12, vec![]);
    let [Action::Send { id, .. }, ..] = line(&mut model, "buy")[..] else {
        panic!("not sent");
    };
    let result = Err(Fault::of(Code::TextRefused).into());
    model.apply(
        Input::Reply(Reply::Sent {
            room: room(1),
            id,
            result,
        }),
        NOON,
    );
    assert!(shows(
        &model,
        "✗ not sent: the room does not allow these words"
    ));
    assert!(shows(&model, "/retry"));
    assert!(
        matches!(&line(&mut model, "/retry")[..], [Action::Send { text, .. }] if text == "buy")
    );
    assert_eq!(model.unsent(), 1);
    assert!(line(&mut model, "/quit").is_empty());
    assert_eq!(
        model.apply(key(KeyCode::Char('x')), NOON),
        [Action::Typing(room(1))]
    );
    model.apply(key(KeyCode::Backspace), NOON);
    assert!(line(&mut model, "/quit").is_empty());
    let control = |char| Input::Key(KeyEvent::new(KeyCode::Char(char), KeyModifiers::CONTROL));
    assert_eq!(model.apply(control('c'), NOON), [Action::Quit]);
}

#[test]
fn changes_are_made_once_and_in_order() {
    let mut model = ann(80, 14, vec![message(1, 2, "one"), message(2, 2, "two")]);
    let edit = |rev, text: &str| {
        let edit = MessageEdited {
            room: room(1),
            rev,
            seq: 1,
            text: text.to_owned(),
            at: NOON,
        };
        event(ServerEvent::MessageEdited(edit))
    };
    model.apply(edit(1, "ONE"), NOON);
    model.apply(edit(1, "again"), NOON);
    assert!(shows(&model, "ONE (edited)"));
    let react = ReactionChanged {
        room: room(1),
        rev: 2,
        seq: 2,
        user: user(2),
        emoji: "👍".into(),
        on: true,
        count: 2,
    };
    model.apply(event(ServerEvent::ReactionChanged(react)), NOON);
    assert!(shows(&model, "👍 2"));
    let delete = MessageDeleted {
        room: room(1),
        rev: 3,
        seq: 2,
        by: user(2),
        at: NOON,
    };
    model.apply(event(ServerEvent::MessageDeleted(delete)), NOON);
    assert!(shows(&model, "deleted") && !shows(&model, "👍"));
    // A page from before the change does not undo it, and one from after it holds.
    model.apply(
        page(1, vec![message(1, 2, "one"), message(2, 2, "two")], true, 0),
        NOON,
    );
    assert!(shows(&model, "ONE (edited)"));
    model.apply(
        page(1, vec![message(1, 2, "uno"), message(2, 2, "dos")], true, 9),
        NOON,
    );
    model.apply(edit(4, "late"), NOON);
    assert!(shows(&model, "uno") && shows(&model, "dos"));
}

#[test]
fn reading_back_stays_where_it_is_when_more_comes() {
    let messages = (101..=200)
        .map(|seq| message(seq, 2, &format!("text {seq}")))
        .collect();
    let mut model = ann(80, 12, messages);
    let up = model.apply(key(KeyCode::PageUp), NOON);
    assert!(up.is_empty(), "{up:?}");
    let before = screen(&model);
    assert!(before.iter().any(|line| line.contains("End ↓")));
    for seq in 201..=203 {
        model.apply(sent(1, message(seq, 2, &format!("text {seq}"))), NOON);
    }
    let after = screen(&model);
    assert_eq!(before[1..9], after[1..9]);
    assert!(shows(&model, "3 new ↓"), "{after:#?}");
    model.apply(key(KeyCode::End), NOON);
    assert!(shows(&model, "text 203") && !shows(&model, "new ↓"));
    let asked: Vec<Action> = (0..20)
        .flat_map(|_| model.apply(key(KeyCode::PageUp), NOON))
        .collect();
    assert_eq!(
        asked,
        [Action::History {
            room: room(1),
            before: Some(101)
        }]
    );
    assert!(shows(&model, "reading…"));
    model.apply(
        page(
            1,
            (1..=100).map(|seq| message(seq, 2, "old")).collect(),
            false,
            0,
        ),
        NOON,
    );
    assert!(shows(&model, "text 101"));
    for _ in 0..40 {
        model.apply(key(KeyCode::PageUp), NOON);
    }
    assert!(shows(&model, "here begins #lobby"));
    for _ in 0..80 {
        model.apply(key(KeyCode::PageDown), NOON);
    }
    assert_eq!(model.active_room().unwrap().scroll, Scroll::End);
}

#[test]
fn catching_up_counts_down_and_gaps_are_shown() {
    let mut model = ann(90, 12, vec![message(1, 2, "one")]);
    model.apply(Input::Link(Link::CatchingUp), NOON);
    let position = |seq, live| {
        let stream = room(1).to_string();
        event(ServerEvent::StreamPosition(StreamPosition {
            stream,
            seq,
            rev: 0,
            head: 50,
            live,
        }))
    };
    let gap = Gap {
        stream: Stream::Room(room(1)),
        missing: Missing::Messages,
        from: 2,
        to: 9,
    };
    model.apply(event(ServerEvent::Gap(gap)), NOON);
    model.apply(sent(1, message(10, 2, "ten")), NOON);
    model.apply(position(10, false), NOON);
    assert!(shows(&model, "catching up, 40 behind"));
    assert!(shows(&model, "no longer kept: 8 messages"));
    for seq in 11..=50 {
        model.apply(sent(1, message(seq, 2, "x")), NOON);
    }
    model.apply(position(50, true), NOON);
    assert_eq!(model.behind(), 0);
}

#[test]
fn writers_fade() {
    let mut model = ann(80, 10, vec![]);
    let typing = TypingStarted {
        room: room(1),
        user: user(2),
        name: "민준".into(),
    };
    model.apply(event(ServerEvent::TypingStarted(typing.clone())), NOON);
    assert!(shows(&model, "민준 is writing…"));
    model.apply(sent(1, message(1, 2, "hi")), NOON);
    assert!(!shows(&model, "is writing"));
    model.apply(event(ServerEvent::TypingStarted(typing)), NOON);
    model.apply(Input::Tick, NOON + 5001);
    assert!(!shows(&model, "is writing"));
}

#[test]
fn commands_say_what_is_missing() {
    let mut model = ann(
        100,
        12,
        vec![
            message(1, 2, "one"),
            message(2, 1, "two"),
            message(3, 2, "three"),
        ],
    );
    assert!(line(&mut model, "/nonsense").is_empty());
    assert!(shows(&model, "/help"));
    assert!(line(&mut model, "/join").is_empty());
    assert!(shows(&model, "/join needs a word more"));
    assert_eq!(
        line(&mut model, "/edit 2!"),
        [Action::Edit {
            room: room(1),
            seq: 2,
            text: "2!".into()
        }]
    );
    assert_eq!(
        line(&mut model, "/del"),
        [Action::Delete {
            room: room(1),
            seq: 2
        }]
    );
    assert_eq!(line(&mut model, "/dm 민준"), [Action::Direct(user(2))]);
    assert_eq!(
        line(&mut model, "/dm nobody"),
        [Action::DirectByUsername("nobody".into())]
    );
    let react = Action::React {
        room: room(1),
        seq: 3,
        emoji: "👍".into(),
        on: true,
    };
    assert_eq!(line(&mut model, "/react 👍"), [react]);
    assert!(
        matches!(&line(&mut model, "//help")[..], [Action::Send { text, .. }] if text == "/help")
    );
    model.apply(alt(KeyCode::Up), NOON);
    model.apply(alt(KeyCode::Up), NOON);
    assert!(matches!(
        &line(&mut model, "/reply yes")[..],
        [Action::Send {
            reply_to: Some(2),
            ..
        }]
    ));
    assert!(shows(&model, "↳ Ann: two"));
    assert!(line(&mut model, &"가".repeat(1400)).is_empty());
    assert!(shows(&model, "104 bytes too long"));
}

#[test]
fn a_lost_room_is_left_for_its_neighbour() {
    let mut model = ann(80, 10, vec![message(1, 2, "one")]);
    model.apply(opened(2, "games", 0, 0, false), NOON);
    let fault = Fault::of(Code::RoomNotFound);
    let stream = Stream::Room(room(1));
    let actions = model.apply(event(ServerEvent::StreamLost { stream, fault }), NOON);
    assert_eq!(model.active, Some(room(2)));
    assert!(matches!(actions[..], [Action::History { .. }]));
    assert!(shows(&model, "You are no longer in #lobby."));
}
