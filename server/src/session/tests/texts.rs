//! Every text field of every method, with honest and hostile Unicode: taken and kept in the form of `docs/text.md`, or
//! refused by the field and the rule.

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::methods::{Access, METHODS};
use pitturu_protocol::types::accounts::{ChangePassword, Login, LoginGuest, Register};
use pitturu_protocol::types::chat::{
    BanMember, CreateRoom, KickMember, ListBans, ListRooms, React, ReadHistory, RoomKind, RoomView,
    SearchRooms, SendMessage, UpdateRoom,
};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_protocol::types::presence::{GetPresence, SetPresence, Status};
use pitturu_protocol::types::profile::{FindPlayer, GetProfile, UpdateProfile};
use pitturu_protocol::types::system::Resume;
use pitturu_text::fields::TEXTS;
use pitturu_text::kind::Kind;
use serde_json::{Value, json};

use super::world::{Client, Raw, World};
use crate::connections::link::memory::Options;

/// Texts that no field of one line takes, with the rule that each breaks.
const NOT_A_LINE: &[(&str, &str)] = &[
    ("one\ntwo", "line_break"),
    ("one\u{85}two", "line_break"),
    ("one\u{2028}two", "line_break"),
    ("one\u{2029}two", "line_break"),
    ("nul\0nul\0nul", "control"),
    ("\u{1b}[2Jescape", "control"),
    ("c1 \u{9b}31m", "control"),
    ("tab\ttab\ttab", "control"),
    ("over\u{202e}ride", "direction"),
    ("iso\u{2066}late\u{2069}", "direction"),
    ("zero\u{200b}width", "invisible"),
    ("mark\u{200e}left", "invisible"),
    ("order\u{feff}mark", "invisible"),
    ("soft\u{ad}hyphen", "invisible"),
    ("joiner\u{200d}only", "invisible"),
    ("tag\u{e0041}\u{e007f}ged", "invisible"),
    ("selector\u{fe0f}", "invisible"),
    (
        "\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}",
        "invisible",
    ),
    ("un\u{378}assigned", "unassigned"),
    ("pri\u{e000}vate", "private_use"),
    ("non\u{fdd0}character", "noncharacter"),
    ("non\u{10ffff}character", "noncharacter"),
];

/// Texts that a name must not be beside those.
const NOT_A_NAME: &[(&str, &str)] = &[
    ("", "blank"),
    ("  \u{3000}", "blank"),
    ("\u{301}mark", "marks"),
    (
        "z\u{351}\u{351}\u{351}\u{351}\u{351}\u{351}\u{351}\u{351}\u{351}algo",
        "marks",
    ),
];

const NOT_A_NOTE: &[(&str, &str)] = &[
    ("nul\0", "control"),
    ("\u{1b}[2J", "control"),
    ("c1 \u{9b}31m", "control"),
    ("over\u{202e}ride", "direction"),
    ("non\u{fffe}character", "noncharacter"),
    ("order\u{feff}mark", "invisible"),
    ("\u{301}mark", "marks"),
];

const NOT_A_USERNAME: &[(&str, &str)] = &[
    ("", "short"),
    ("ab", "short"),
    ("...", "form"),
    ("two words", "character"),
    ("nul\0", "character"),
    ("line\u{2028}", "character"),
    ("zero\u{200b}width", "invisible"),
    ("over\u{202e}ride", "invisible"),
    ("un\u{378}assigned", "character"),
    ("pri\u{e000}vate", "character"),
    ("👍👍👍", "character"),
    ("\u{301}mark", "marks"),
];

const NOT_A_REACTION: &[(&str, &str)] = &[
    ("", "form"),
    ("\0", "form"),
    (" ", "form"),
    ("👍👍", "form"),
    ("👍 ", "form"),
    ("<b>", "form"),
    ("party", "form"),
    (":Party:", "form"),
    ("🏽", "form"),
    ("1", "form"),
];

const NOT_A_TAG: &[(&str, &str)] = &[("한국어", "form"), ("e", "form"), ("en\0", "form")];

const NOT_AN_EMAIL: &[(&str, &str)] = &[
    ("nobody", "form"),
    ("a b@c.de", "form"),
    ("a\r\nbcc:x@y.zz", "line_break"),
    ("a\u{200b}@b.cd", "invisible"),
];

const NOT_A_QUERY: &[(&str, &str)] = &[
    ("", "short"),
    ("nul\0", "control"),
    ("one\ntwo", "line_break"),
    ("non\u{fffe}character", "noncharacter"),
];

/// What each kind refuses, beside what is too long.
fn hostile(kind: Kind) -> Vec<(&'static str, &'static str)> {
    let lists: &[&[(&str, &str)]] = match kind {
        Kind::DisplayName | Kind::RoomName => &[NOT_A_LINE, NOT_A_NAME],
        Kind::Device | Kind::Reference | Kind::Address | Kind::NewPassword | Kind::Secret => {
            &[NOT_A_LINE]
        }
        Kind::Note => &[NOT_A_NOTE],
        Kind::Username => &[NOT_A_USERNAME],
        Kind::Reaction => &[NOT_A_REACTION],
        Kind::Language => &[NOT_A_TAG],
        Kind::Email => &[NOT_AN_EMAIL],
        Kind::Query => &[NOT_A_QUERY],
        Kind::Message
        | Kind::Metadata
        | Kind::ClaimedUsername
        | Kind::ClaimedPassword
        | Kind::Issued => &[],
    };
    lists.concat()
}

/// Whether a text of 5,000 letters is refused as too long, and not by whoever reads it.
fn is_bounded(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::ClaimedUsername | Kind::ClaimedPassword | Kind::Issued | Kind::Reaction
    )
}

/// A good request of every method that has texts.
fn request(method: &str, room: RoomId, user: UserId) -> Value {
    match method {
        "Register" => json!({"username": "somebody", "password": "long enough"}),
        "Login" => json!({"username": "somebody", "password": "long enough"}),
        "LoginGuest" => json!({"secret": "0123456789abcdef"}),
        "RefreshTokens" => json!({"refresh": "none"}),
        "Authenticate" => json!({"access": "none"}),
        "UpgradeGuest" => json!({"username": "somebody", "password": "long enough"}),
        "ChangePassword" => json!({"old": "long enough", "new": "longer than that"}),
        "DeleteAccount" => json!({"password": "long enough"}),
        "ExportPlayer" => json!({}),
        "FindPlayers" => json!({"name": "a"}),
        "RequestPasswordReset" => json!({"username": "somebody"}),
        "ResetPassword" => json!({"token": "none", "password": "long enough"}),
        "FindPlayer" => json!({"username": "somebody"}),
        "UpdateProfile" => json!({}),
        "SetPresence" => json!({"status": "online"}),
        "CreateRoom" => json!({"kind": "private", "name": "a room"}),
        "EnterRoom" => json!({"handle": "a room"}),
        "ListRooms" => json!({}),
        "SearchRooms" => json!({"query": "room"}),
        "KickMember" | "BanMember" => json!({"room": room, "user": user}),
        "UpdateRoom" => json!({"room": room}),
        "SendMessage" | "SendEphemeral" => json!({"room": room, "text": ""}),
        "EditMessage" => json!({"room": room, "seq": 1, "text": ""}),
        "SpendPoints" => json!({"amount": 1}),
        "GivePoints" => json!({"user": user, "amount": 1}),
        "GrantPoints" | "DeductPoints" => json!({"user": user, "amount": 1, "note": "why"}),
        "RefundPoints" => json!({"user": user, "movement": 1, "note": "why"}),
        "ExpirePoints" => json!({"user": user, "amount": 1}),
        "SetPointsAside" => json!({"user": user, "amount": 1, "until": 1}),
        "ListBoards" | "ListPlaces" => json!({}),
        "ListTopScores" | "ListScoresAround" | "ListFriendScores" | "GetScore" | "ListSeasons"
        | "FollowBoard" | "UnfollowBoard" => json!({"board": "none"}),
        "SubmitScore" => json!({"board": "none", "user": user, "score": 1}),
        "RemoveScore" => json!({"board": "none", "user": user, "note": ""}),
        "ListItems" | "ListInventory" | "ListItemChanges" => json!({}),
        "BuyItem" => json!({"item": "hat", "count": 1, "price": 3}),
        "UseItem" => json!({"item": "potion", "count": 1}),
        "GrantItem" | "TakeItem" => json!({"user": user, "item": "hat", "count": 1, "note": "why"}),
        "RecordPlay" => json!({"user": user, "game": "chess", "outcome": "won"}),
        "React" => json!({"room": room, "seq": 1, "emoji": "👍", "on": true}),
        "ReportMessage" => json!({"room": room, "seq": 1, "reason": "spam"}),
        "ReportPlayer" => json!({"user": user, "reason": "spam"}),
        "SettleReport" => json!({"number": 1, "outcome": "acted"}),
        "SuspendPlayer" | "MutePlayer" | "ResetProfile" | "DeletePlayer" => {
            json!({"user": user, "reason": "why"})
        }
        other => panic!("{other} has texts and is not tried here"),
    }
}

struct Scene {
    world: World,
    owner: Client,
    admin: Client,
    member: Client,
    users: [UserId; 2],
    room: RoomId,
    calls: u32,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let (mut owner, one) = world.guest("owner", Options::default()).await;
        let (mut member, two) = world.guest("member", Options::default()).await;
        let room = owner.create_room().await;
        member.join(room).await;
        let (admin, _) = world.registered("root").await;
        Self {
            world,
            owner,
            admin,
            member,
            users: [one, two].map(|who| who.identity.user),
            room,
            calls: 0,
        }
    }

    /// Calls a method with this text in this field.
    async fn put(&mut self, method: &str, field: &str, text: &str) -> Result<Vec<u8>, Fault> {
        let mut body = request(method, self.room, self.users[1]);
        body[field] = json!(text);
        let info = METHODS.iter().find(|info| info.name == method);
        let raw = Raw {
            method: info.expect("a method").number,
            body: codec::encode(&body),
        };
        self.calls += 1;
        let key = format!("call {}", self.calls);
        let caller = match info.map(|info| info.access) {
            Some(Access::Moderator | Access::Service | Access::Admin) => &mut self.admin,
            _ => &mut self.owner,
        };
        caller.call_raw(&raw, &key).await
    }

    async fn create(&mut self, kind: RoomKind, name: &str, topic: Option<&str>) -> RoomView {
        let request = CreateRoom {
            kind,
            name: name.to_owned(),
            topic: topic.map(str::to_owned),
            slow_mode_ms: None,
            retention: None,
        };
        self.owner.call(&request).await.expect(name)
    }

    async fn search(&mut self, query: &str) -> Vec<String> {
        let request = SearchRooms {
            query: query.to_owned(),
            after: None,
            limit: None,
        };
        let found = self.owner.call(&request).await.expect(query).rooms;
        found.into_iter().map(|room| room.name).collect()
    }
}

#[tokio::test]
async fn every_text_field_refuses_what_its_kind_refuses() {
    let mut scene = Scene::new().await;
    let long = "x".repeat(5_000);
    let mut tried = 0;
    for texts in TEXTS {
        for &(field, kind) in texts.fields {
            let mut hostile = hostile(kind);
            if is_bounded(kind) {
                hostile.push((&long, "long"));
            }
            for (text, rule) in hostile {
                let answer = scene.put(texts.method, field, text).await;
                let place = format!("{}.{field} {text:?}", texts.method);
                let fault = answer.expect_err(&place);
                assert_eq!(fault.code, Code::InvalidArgument, "{place}");
                assert_eq!(fault.field.as_deref(), Some(field), "{place}");
                assert_eq!(fault.rule.as_deref(), Some(rule), "{place}");
                tried += 1;
            }
        }
    }
    assert!(tried > 300, "{tried}");
}

/// Honest names, as they are written and as they are kept.
const NAMES: &[(&str, &str)] = &[
    ("  a  b\u{3000}c ", "a b c"),
    ("\u{1100}\u{1175}\u{11b7}\u{110e}\u{1165}\u{11af}", "김철"),
    ("Zoe\u{308}", "Zoë"),
    ("नमस्ते", "नमस्ते"),
    ("สวัสดี", "สวัสดี"),
    ("İstanbul ısı", "İstanbul ısı"),
    ("ΣΊΣΥΦΟΣ Straße", "ΣΊΣΥΦΟΣ Straße"),
    ("می\u{200c}خواهم", "می\u{200c}خواهم"),
    ("👩🏽‍❤️‍💋‍👨🏿 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️", "👩🏽‍❤️‍💋‍👨🏿 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️"),
];

#[tokio::test]
async fn names_and_notes_come_back_in_their_form() {
    let mut scene = Scene::new().await;
    for &(text, kept) in NAMES {
        let view = scene.create(RoomKind::Private, text, Some(text)).await;
        assert_eq!(view.info.name, kept);
        let update = UpdateProfile {
            name: Some(text.to_owned()),
            bio: Some(format!("{text}\r\n{text}")),
            ..UpdateProfile::default()
        };
        let profile = scene.owner.call(&update).await.expect(text);
        assert_eq!(profile.name, kept);
        assert_eq!(
            scene.owner.call(&GetProfile { user: None }).await,
            Ok(profile.clone())
        );
        let lines = profile.bio.expect("a bio");
        assert!(lines.contains('\n') && !lines.contains('\r'));
        let guest = LoginGuest {
            secret: format!("{text:-<32}"),
            name: Some(text.to_owned()),
            device: Some(text.to_owned()),
        };
        let mut newcomer = scene.world.greeted(Options::default()).await;
        newcomer.call(&guest).await.expect(text);
        let profile = newcomer.call(&GetProfile { user: None }).await.expect(text);
        assert_eq!(profile.name, kept);
    }
}

#[tokio::test]
async fn topics_reasons_and_notes_are_kept_composed_and_empty_ones_not_at_all() {
    let mut scene = Scene::new().await;
    let [_, member] = scene.users;
    for (text, kept) in [
        (
            "e\u{301}\r\n\u{2067}שלום\u{2069}\u{2028}ok",
            Some("é\n\u{2067}שלום\u{2069}\nok"),
        ),
        (
            "\u{378} next year's emoji",
            Some("\u{378} next year's emoji"),
        ),
        ("\u{200b}\u{3164} ", None),
        ("", None),
    ] {
        let (text, kept) = (Some(text.to_owned()), kept.map(str::to_owned));
        let view = scene
            .create(RoomKind::Private, "a room", text.as_deref())
            .await;
        assert_eq!(view.info.topic, kept);
        let room = view.info.room;
        let topic = UpdateRoom {
            room,
            name: None,
            topic: text.clone(),
            slow_mode_ms: None,
            retention: None,
        };
        assert_eq!(scene.owner.call(&topic).await.unwrap().topic, kept);
        let ban = BanMember {
            room,
            user: member,
            until: None,
            reason: text.clone(),
        };
        scene.owner.call(&ban).await.unwrap();
        let bans = ListBans {
            room,
            after: None,
            limit: None,
        };
        let bans = scene.owner.call(&bans).await.unwrap().bans;
        assert_eq!(bans[0].reason, kept);
        let presence = SetPresence {
            status: Status::Busy,
            note: text,
        };
        scene.member.call(&presence).await.unwrap();
        let seen = GetPresence {
            users: vec![member],
        };
        let seen = scene.owner.call(&seen).await.unwrap().presences;
        assert_eq!(seen[0].note, kept);
    }
}

#[tokio::test]
async fn the_reason_of_a_kick_reaches_the_inbox_composed() {
    let mut scene = Scene::new().await;
    let [_, user] = scene.users;
    let kick = KickMember {
        room: scene.room,
        user,
        reason: Some("de\u{301}sole\u{301}\r\n!".to_owned()),
    };
    scene.owner.call(&kick).await.unwrap();
    let resume = Resume {
        epoch: None,
        inbox: Some(0),
        rooms: Vec::new(),
    };
    scene.member.begin(&resume).await;
    let added: InboxAdded = scene.member.event().await;
    let InboxEntry::RoomKicked { reason, .. } = added.entry else {
        panic!("no kick but {:?}", added.entry);
    };
    assert_eq!(reason.as_deref(), Some("désolé\n!"));
}

#[tokio::test]
async fn a_password_is_the_same_however_it_was_typed() {
    let mut scene = Scene::new().await;
    let typed = [
        ("passwo\u{308}rt\u{a0}1", "passwört 1"),
        (
            "\u{1107}\u{1175}\u{1106}\u{1175}\u{11af}\u{1107}\u{1165}\u{11ab}\u{1112}\u{1169} 1234",
            "비밀번호 1234",
        ),
    ];
    for (number, (one, other)) in typed.into_iter().enumerate() {
        let username = format!("Zoe\u{308}{number}");
        let register = Register {
            username: username.clone(),
            password: one.to_owned(),
            name: None,
            email: None,
            device: None,
        };
        let mut client = scene.world.greeted(Options::default()).await;
        client.call(&register).await.expect("an account");
        let login = |password: &str| Login {
            username: format!("ZOË{number}"),
            password: password.to_owned(),
            device: None,
            known: None,
        };
        for password in [one, other] {
            let mut client = scene.world.greeted(Options::default()).await;
            client
                .call(&login(password))
                .await
                .expect("the right password");
        }
        let change = ChangePassword {
            old: other.to_owned(),
            new: format!("new {one}"),
        };
        client.call(&change).await.expect("the right password");
        let mut again = scene.world.greeted(Options::default()).await;
        let changed = login(&format!("new {other}"));
        again.call(&changed).await.expect("the new password");
        let find = FindPlayer { username };
        let found = scene.owner.call(&find).await.expect("a player");
        assert_eq!(
            found.username.as_deref(),
            Some(format!("Zoë{number}").as_str())
        );
    }
}

#[tokio::test]
async fn a_reaction_is_one_however_it_was_typed() {
    let mut scene = Scene::new().await;
    let room = scene.room;
    let message = SendMessage {
        room,
        text: "kept as e\u{301}\0".to_owned(),
        data: None,
        reply_to: None,
    };
    let seq = scene.owner.call(&message).await.unwrap().seq;
    let react = |emoji: &str, on| React {
        room,
        seq,
        emoji: emoji.to_owned(),
        on,
    };
    for (one, other) in [("❤", "❤\u{fe0f}"), ("👩🏽‍❤‍💋‍👨🏿", "👩🏽‍❤️‍💋‍👨🏿"), (":party:", ":party:")]
    {
        assert_eq!(scene.owner.call(&react(one, true)).await.unwrap().count, 1);
        assert_eq!(
            scene.member.call(&react(other, true)).await.unwrap().count,
            2
        );
        assert_eq!(
            scene.owner.call(&react(other, true)).await.unwrap().rev,
            None
        );
    }
    assert_eq!(
        scene
            .owner
            .call(&react("❤\u{fe0e}", false))
            .await
            .unwrap()
            .count,
        1
    );
    let history = ReadHistory {
        room,
        from: None,
        limit: None,
    };
    let read = scene.owner.call(&history).await.unwrap().messages;
    assert_eq!(
        read[0].text, message.text,
        "messages are kept byte for byte"
    );
    let shown: Vec<&str> = read[0]
        .reactions
        .iter()
        .map(|reaction| reaction.emoji.as_str())
        .collect();
    assert_eq!(shown, ["❤\u{fe0f}", "👩🏽‍❤️‍💋‍👨🏿", ":party:"]);
}

#[tokio::test]
async fn rooms_are_found_by_whole_words_and_their_beginnings() {
    let mut scene = Scene::new().await;
    for name in [
        "Straße nach Köln",
        "길드 모집",
        "नमस्ते दुनिया",
        "Boss-Raid 2",
        "สวัสดีชาวโลก",
        "東京都",
        "🎮 ❤️",
        "ΣΊΣΥΦΟΣ",
    ] {
        scene.create(RoomKind::Public, name, None).await;
    }
    for (query, found) in [
        ("STRASSE", Some("Straße nach Köln")),
        ("strasse ko\u{308}", Some("Straße nach Köln")),
        ("raße", None),
        ("öln", None),
        ("\u{1100}\u{1175}\u{11af}", Some("길드 모집")),
        ("드", None),
        ("नमस्", Some("नमस्ते दुनिया")),
        ("ते", None),
        ("raid", Some("Boss-Raid 2")),
        ("boss-ra", Some("Boss-Raid 2")),
        ("aid", None),
        ("ชาวโลก", Some("สวัสดีชาวโลก")),
        ("ชาโลก", None),
        ("京都", Some("東京都")),
        ("都京", None),
        ("❤", Some("🎮 ❤️")),
        ("σίσυφος", Some("ΣΊΣΥΦΟΣ")),
        ("lo\u{200b}bby", Some("Lobby")),
    ] {
        let expected: Vec<&str> = found.into_iter().collect();
        assert_eq!(scene.search(query).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn rooms_are_listed_without_regard_to_case_and_accents() {
    let mut scene = Scene::new().await;
    let order = [
        "Apfel",
        "äpfel",
        "Äpfel 2",
        "Birne",
        "Éclair",
        "zoo",
        "Ωmega",
        "яблоко",
        "길드",
        "한국",
    ];
    for name in order.iter().rev() {
        scene.create(RoomKind::Public, name, None).await;
    }
    // The longest that a name becomes by folding: its place in the list is still taken back.
    scene.create(RoomKind::Public, &"ﷺ".repeat(64), None).await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let request = ListRooms {
            after,
            limit: Some(1),
        };
        let page = scene.owner.call(&request).await.expect("a page");
        seen.extend(page.rooms.into_iter().map(|room| room.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.retain(|name| order.contains(&name.as_str()));
    assert_eq!(seen, order);
}
