//! The SDK against servers played by hand: connections dropped in the middle of calls, answers that come twice or late,
//! tokens that are refused, readers that do not keep up.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "fake/server.rs"]
#[allow(
    dead_code,
    reason = "shared with the other tests of servers played by hand"
)]
mod server;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pitturu_client::types::accounts::{GetAccount, LoginGuest, Logout, RefreshTokens};
use pitturu_client::types::chat::{
    EphemeralSent, JoinRoom, MessageSent, OpenRoom, SendEphemeral, SendMessage, Sent, TypingStarted,
};
use pitturu_client::types::system::{Done, Echo, Echoed, Resume, Resumed, ResumedRoom, RoomCursor};
use pitturu_client::{
    BackOff, CallError, Client, ClientOptions, Code, ConnectionState, EVENTS_QUEUED_MAX, Events,
    Fault, InvalidOptions, MemoryTokens, Refused, Retry, ServerEvent, TokenStore, Tokens, UserId,
};
use pitturu_protocol::frame::{self, ServerFrame};
use tokio::time::timeout;

use server::{PATIENCE, Peer, ROOM, Said, Server, message, signed_in, view, welcome};

fn options(server: &Server) -> ClientOptions {
    ClientOptions::new(server.url())
        .resume(Resume::default())
        .back_off(BackOff {
            base_ms: 10,
            cap_ms: 50,
        })
}

fn player(server: &Server) -> ClientOptions {
    options(server).tokens(MemoryTokens::new(Tokens {
        access: Some("access 1".into()),
        refresh: Some("refresh 1".into()),
    }))
}

/// A client in the room, whose newest message is `head`.
async fn in_room(server: &Server, head: u64) -> (Client, Peer) {
    let client = Client::connect(player(server)).unwrap();
    let (mut peer, _) = server.welcome().await;
    let join = tokio::spawn(client.room(ROOM).join());
    let (call, _, _) = peer.call::<JoinRoom>().await;
    peer.reply(call, &view(head, 0)).await;
    join.await.unwrap().unwrap();
    (client, peer)
}

async fn next(events: &mut Events) -> ServerEvent {
    timeout(PATIENCE, events.next())
        .await
        .expect("an event")
        .expect("the client lives")
}

async fn next_message(events: &mut Events) -> u64 {
    loop {
        if let ServerEvent::MessageSent(sent) = next(events).await {
            return sent.msg.seq;
        }
    }
}

fn sent(seq: u64) -> Sent {
    Sent { seq, at: 0 }
}

#[tokio::test]
async fn calls_made_before_there_is_a_server_wait_for_it() {
    let server = Server::start().await;
    let client = Client::connect(options(&server)).unwrap();
    let echo = tokio::spawn(client.call(Echo { data: vec![1, 2] }));
    server.refuse().await;
    let mut peer = server.accept().await;
    assert_eq!(peer.hello().await, None);
    let (call, echoed, key) = peer.call::<Echo>().await;
    assert_eq!((echoed.data, key), (vec![1, 2], None));
    peer.say(&welcome(false, None)).await;
    let reply = Echoed {
        data: vec![1, 2],
        now: 7,
    };
    peer.reply(call, &reply).await;
    assert_eq!(echo.await.unwrap(), Ok(reply));
    timeout(PATIENCE, client.online()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_whose_connection_is_dropped_is_repeated_under_its_key() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server, 0).await;
    let send = tokio::spawn(client.room(ROOM).send("hello"));
    let (_, request, key) = peer.call::<SendMessage>().await;
    assert_eq!(request.text, "hello");
    drop(peer);
    let (mut peer, token) = server.welcome().await;
    assert_eq!(token.as_deref(), Some("access 1"));
    let (call, resume, _) = peer.call::<Resume>().await;
    assert_eq!(
        resume.rooms,
        [RoomCursor {
            room: ROOM,
            seq: 0,
            rev: 0
        }]
    );
    let resumed = Resumed {
        inbox: 0,
        rooms: vec![ResumedRoom {
            room: ROOM,
            view: Some(view(1, 0)),
            fault: None,
        }],
    };
    peer.reply(call, &resumed).await;
    let (call, again, same_key) = peer.call::<SendMessage>().await;
    assert_eq!((again.text, same_key), (request.text, key.clone()));
    assert!(key.is_some());
    peer.reply(call, &sent(1)).await;
    peer.reply(call, &sent(99)).await;
    assert_eq!(send.await.unwrap(), Ok(sent(1)));
}

#[tokio::test]
async fn a_drawn_key_is_new_and_a_given_one_may_not_be() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server, 7).await;
    let room = client.room(ROOM);
    let _drawn = room.send("a").send();
    let (_, _, key, head) = peer.attempt::<SendMessage>().await;
    assert!(key.is_some());
    assert_eq!(head, Some(7));
    let _given = room.send("b").with_key("of an earlier run").send();
    let (_, _, key, head) = peer.attempt::<SendMessage>().await;
    assert_eq!((key.as_deref(), head), (Some("of an earlier run"), None));
    drop(peer);
    let (mut peer, _) = server.welcome().await;
    peer.call::<Resume>().await;
    for _ in 0..2 {
        let (_, _, key, head) = peer.attempt::<SendMessage>().await;
        assert!(key.is_some());
        assert_eq!(head, None);
    }
}

#[tokio::test]
async fn what_is_said_for_the_moment_is_not_kept_for_another_connection() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server, 0).await;
    let room = client.room(ROOM);
    let said = room.send_ephemeral("o/").send();
    let (call, request, key) = peer.call::<SendEphemeral>().await;
    assert_eq!(
        (request.room, request.text.as_str(), key),
        (ROOM, "o/", None)
    );
    peer.reply(call, &Done {}).await;
    assert_eq!(said.await, Ok(Done {}));

    let lost = room.send_ephemeral("lost").send();
    peer.call::<SendEphemeral>().await;
    drop(peer);
    let error = timeout(PATIENCE, lost).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(Code::Disconnected));

    let nowhere = Client::connect(player(&server)).unwrap();
    let offline = nowhere.room(ROOM).send_ephemeral("offline");
    let error = timeout(PATIENCE, offline).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(Code::Disconnected));
}

#[tokio::test]
async fn every_write_has_a_key_of_its_own() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server, 0).await;
    let room = client.room(ROOM);
    let (_a, _b) = (room.send("a").send(), room.send("b").send());
    let (_, a, first) = peer.call::<SendMessage>().await;
    let (_, b, second) = peer.call::<SendMessage>().await;
    assert_eq!((a.text.as_str(), b.text.as_str()), ("a", "b"));
    assert!(first.is_some() && second.is_some() && first != second);
}

#[tokio::test]
async fn a_call_that_was_too_late_says_why_there_was_no_connection() {
    let message = |error: CallError| match error {
        CallError::Fault(fault) if fault.code == Code::Deadline => fault.message,
        other => panic!("{other:?}"),
    };
    let late = async |client: &Client| {
        let echo = client.call(Echo { data: Vec::new() });
        echo.with_deadline(Duration::from_millis(300)).await
    };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let client = Client::connect(ClientOptions::new(url)).unwrap();
    let never = message(late(&client).await.unwrap_err());
    assert!(
        never.starts_with("No answer came in time; never connected: Connection refused"),
        "{never}"
    );

    let server = Server::start().await;
    let client = Client::connect(player(&server)).unwrap();
    let (peer, _) = server.welcome().await;
    client.online().await.unwrap();
    drop(server);
    peer.close(4101).await;
    let lost = message(late(&client).await.unwrap_err());
    assert!(
        lost.starts_with("No answer came in time; not connected: "),
        "{lost}"
    );
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_and_a_late_one_ends_with_its_deadline() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server, 0).await;
    let call = client.room(ROOM).send("never mind").send();
    let (number, _, _) = peer.call::<SendMessage>().await;
    drop(call);
    assert_eq!(peer.next().await, Said::Cancel(number));

    let late = client
        .call(GetAccount {})
        .with_deadline(Duration::from_millis(50));
    let error = timeout(PATIENCE, late).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(Code::Deadline));
    assert_eq!(error.retry(), Retry::Later);
}

#[tokio::test]
async fn faults_say_whether_to_retry() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server, 0).await;
    let send = tokio::spawn(client.room(ROOM).send("spam"));
    let (call, _, _) = peer.call::<SendMessage>().await;
    peer.fault(call, Fault::of(Code::SlowMode).retry_after_ms(5_000))
        .await;
    let error = send.await.unwrap().unwrap_err();
    assert_eq!(
        (error.retry(), error.retry_after_ms()),
        (Retry::Later, Some(5_000))
    );

    let send = tokio::spawn(client.room(ROOM).send("fast"));
    let (call, _, key) = peer.call::<SendMessage>().await;
    peer.fault(call, Fault::of(Code::RateLimited).retry_after_ms(10))
        .await;
    let (call, _, same_key) = peer.call::<SendMessage>().await;
    assert_eq!(key, same_key);
    peer.reply(call, &sent(1)).await;
    assert_eq!(send.await.unwrap(), Ok(sent(1)));
}

#[tokio::test]
async fn signing_in_keeps_tokens_and_signing_out_forgets_them() {
    let server = Server::start().await;
    let tokens = Arc::new(MemoryTokens::default());
    let client = Client::connect(options(&server).tokens(Arc::clone(&tokens))).unwrap();
    let (mut peer, token) = server.welcome().await;
    assert_eq!(token, None);
    let early = client.call(GetAccount {}).await.unwrap_err();
    assert_eq!(
        (early.code(), early.retry()),
        (Some(Code::Unauthenticated), Retry::AfterSignIn)
    );
    let login = {
        let client = client.clone();
        tokio::spawn(async move { client.login_guest("0123456789abcdef", Some("Mina")).await })
    };
    let (call, request, key) = peer.call::<LoginGuest>().await;
    assert_eq!(request.name.as_deref(), Some("Mina"));
    assert!(key.is_some());
    let account = client.call(GetAccount {}).send();
    peer.reply(call, &signed_in(1)).await;
    login.await.unwrap().unwrap();
    assert_eq!(tokens.load().unwrap().refresh.as_deref(), Some("refresh 1"));
    assert_eq!(client.identity().unwrap().user, UserId::from_bytes([1; 10]));
    let (call, _, _) = peer.call::<GetAccount>().await;
    peer.fault(call, Fault::of(Code::NotFound)).await;
    assert_eq!(account.await.unwrap_err().code(), Some(Code::NotFound));

    let logout = {
        let client = client.clone();
        tokio::spawn(async move { client.logout().await })
    };
    let (call, _, _) = peer.call::<Logout>().await;
    peer.reply(call, &Done {}).await;
    logout.await.unwrap().unwrap();
    assert_eq!(tokens.load().unwrap(), Tokens::default());
    assert_eq!(client.identity(), None);
}

#[tokio::test]
async fn a_refused_token_is_renewed_without_the_application() {
    let server = Server::start().await;
    let client = Client::connect(player(&server)).unwrap();
    let account = tokio::spawn(client.call(GetAccount {}));
    let mut peer = server.accept().await;
    assert_eq!(peer.hello().await.as_deref(), Some("access 1"));
    let (early, _, _) = peer.call::<GetAccount>().await;
    peer.say(&welcome(false, Some(Code::TokenExpired))).await;
    peer.fault(early, Fault::of(Code::Unauthenticated)).await;
    let (call, request, key) = peer.call::<RefreshTokens>().await;
    assert_eq!(request.refresh, "refresh 1");
    assert!(key.is_some());
    drop(peer);

    let mut peer = server.accept().await;
    assert_eq!(peer.hello().await, None);
    let (again, request, same_key) = peer.call::<RefreshTokens>().await;
    assert_eq!((request.refresh.as_str(), &same_key), ("refresh 1", &key));
    let _ = call;
    peer.say(&welcome(false, None)).await;
    peer.reply(again, &signed_in(2)).await;
    let (call, _, _) = peer.call::<GetAccount>().await;
    peer.fault(call, Fault::of(Code::NotFound)).await;
    assert_eq!(
        account.await.unwrap().unwrap_err().code(),
        Some(Code::NotFound)
    );
}

#[tokio::test]
async fn a_refresh_token_that_is_refused_signs_out() {
    let server = Server::start().await;
    let client = Client::connect(player(&server)).unwrap();
    let mut events = client.events();
    let mut peer = server.accept().await;
    peer.hello().await;
    peer.say(&welcome(false, Some(Code::TokenExpired))).await;
    let (call, _, _) = peer.call::<RefreshTokens>().await;
    peer.fault(call, Fault::of(Code::TokenInvalid)).await;
    loop {
        if let ServerEvent::SignedOut(Some(fault)) = next(&mut events).await {
            assert_eq!(fault.code, Code::TokenInvalid);
            break;
        }
    }
}

#[tokio::test]
async fn events_come_as_a_stream_and_as_callbacks_in_order_and_once() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server, 5).await;
    let mut events = client.events();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let guard = {
        let heard = Arc::clone(&heard);
        client.on::<MessageSent>(move |sent| heard.lock().unwrap().push(sent.msg.seq))
    };
    let typing = frame::event(&TypingStarted {
        room: ROOM,
        user: UserId::from_bytes([1; 10]),
        name: "Mina".into(),
    });
    let said = frame::event(&EphemeralSent {
        room: ROOM,
        from: UserId::from_bytes([1; 10]),
        name: "Mina".into(),
        text: "o/".into(),
        at: 1,
    });
    for frame in [message(5), message(6), typing, said, message(6), message(7)] {
        peer.say(&frame).await;
    }
    assert_eq!(next_message(&mut events).await, 6);
    assert!(matches!(
        next(&mut events).await,
        ServerEvent::TypingStarted(_)
    ));
    let said = next(&mut events).await;
    assert_eq!(said.room(), Some(ROOM));
    assert!(matches!(said, ServerEvent::EphemeralSent(said) if said.text == "o/"));
    assert_eq!(next_message(&mut events).await, 7);
    assert_eq!(*heard.lock().unwrap(), [6, 7]);
    drop(guard);
    peer.say(&message(8)).await;
    assert_eq!(next_message(&mut events).await, 8);
    assert_eq!(*heard.lock().unwrap(), [6, 7]);
}

#[tokio::test]
async fn a_reader_that_does_not_keep_up_loses_nothing_and_calls_are_answered() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server, 0).await;
    let mut events = client.events();
    let total = 3 * EVENTS_QUEUED_MAX as u64;
    for seq in 1..=total {
        peer.say(&message(seq)).await;
    }
    // The reader reads nothing, and yet the call is answered: the reply is not behind the events.
    let echo = tokio::spawn(client.call(Echo { data: vec![1] }));
    let (call, _, _) = peer.call::<Echo>().await;
    peer.reply(
        call,
        &Echoed {
            data: vec![1],
            now: 0,
        },
    )
    .await;
    echo.await.unwrap().unwrap();
    assert!(client.stats().cuts > 0);

    let mut seen = 0;
    let reader = async {
        while seen < total {
            seen += 1;
            assert_eq!(next_message(&mut events).await, seen);
        }
    };
    let server = async {
        loop {
            let (call, open, _) = peer.call::<OpenRoom>().await;
            let from = open.seq.unwrap();
            // A few events were waiting from before the reader was there.
            assert!(from + 8 >= EVENTS_QUEUED_MAX as u64);
            peer.reply(call, &view(total, 0)).await;
            for seq in from + 1..=total {
                peer.say(&message(seq)).await;
            }
        }
    };
    tokio::select! {
        () = reader => {}
        () = server => {}
    }
    assert_eq!(client.stats().holes, 0);
}

#[tokio::test]
async fn the_connection_tells_where_it_stands() {
    let server = Server::start().await;
    let client = Client::connect(options(&server)).unwrap();
    let mut connection = client.connection();
    let mut is = async |what: fn(&ConnectionState) -> bool| {
        timeout(PATIENCE, connection.wait_for(what))
            .await
            .unwrap()
            .unwrap()
            .clone()
    };
    is(|state| *state == ConnectionState::Connecting).await;
    let (peer, _) = server.welcome().await;
    is(|state| *state == ConnectionState::Online).await;
    drop(peer);
    is(|state| {
        matches!(
            state,
            ConnectionState::Offline {
                retry_at: Some(_),
                why: Some(_)
            }
        )
    })
    .await;
    let (peer, _) = server.welcome().await;
    is(|state| *state == ConnectionState::Online).await;
    peer.close(4300).await;
    is(|state| *state == ConnectionState::Stopped { code: Some(4300) }).await;
    let refused = client.call(GetAccount {}).await;
    assert_eq!(refused, Err(CallError::NotTaken(Refused::Stopped)));
    assert_eq!(client.online().await, Err(CallError::Closed));
    client.reconnect();
    let (_peer, _) = server.welcome().await;
    is(|state| *state == ConnectionState::Online).await;
}

#[tokio::test]
async fn pings_are_answered() {
    let server = Server::start().await;
    let _client = Client::connect(options(&server)).unwrap();
    let (mut peer, _) = server.welcome().await;
    peer.say(&ServerFrame::Ping { nonce: 5, now: 0 }.encode())
        .await;
    assert_eq!(peer.next().await, Said::Pong(5));
}

#[tokio::test]
async fn a_closed_client_says_goodbye_and_ends_its_calls_and_events() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server, 0).await;
    let mut events = client.events();
    let send = tokio::spawn(client.room(ROOM).send("hello"));
    peer.call::<SendMessage>().await;
    client.close();
    assert_eq!(peer.closed().await, Some(1000));
    assert_eq!(
        send.await.unwrap().unwrap_err().code(),
        Some(Code::Disconnected)
    );
    while timeout(PATIENCE, events.next()).await.unwrap().is_some() {}
    assert_eq!(client.call(GetAccount {}).await, Err(CallError::Closed));
}

#[tokio::test]
async fn a_client_ends_with_its_last_handle() {
    let server = Server::start().await;
    let client = Client::connect(options(&server)).unwrap();
    let mut events = client.events();
    let (peer, _) = server.welcome().await;
    let room = client.room(ROOM);
    drop(client);
    drop(room);
    assert_eq!(peer.closed().await, Some(1000));
    while timeout(PATIENCE, events.next()).await.unwrap().is_some() {}
}

#[tokio::test]
async fn options_that_can_not_work_are_refused() {
    let url = |url: &str| Client::new(ClientOptions::new(url)).err();
    for wrong in [
        "",
        "localhost:7350",
        "http://localhost",
        "ws://",
        "wss:///path",
    ] {
        assert_eq!(
            url(wrong),
            Some(InvalidOptions::Url(wrong.into())),
            "{wrong}"
        );
    }
    for right in [
        "ws://localhost:7350",
        "wss://play.example.com",
        "ws://[::1]:7350/chat",
    ] {
        assert_eq!(url(right), None, "{right}");
    }
    let options = ClientOptions::new("wss://localhost").trust_pem("not a certificate");
    assert!(matches!(
        Client::new(options),
        Err(InvalidOptions::Certificate(_))
    ));
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_trusted_when_it_is_given() {
    let server = Server::start().await;
    let (acceptor, pem) = server::certified();
    let url = server.url().replace("ws://127.0.0.1", "wss://localhost");
    let options = |url: &str| {
        ClientOptions::new(url).back_off(BackOff {
            base_ms: 10,
            cap_ms: 50,
        })
    };
    let stranger = Client::connect(options(&url)).unwrap();
    assert!(server.accept_tls(&acceptor).await.is_err());
    stranger.close();
    let client = Client::connect(options(&url).trust_pem(pem)).unwrap();
    let mut peer = loop {
        // The stranger may have been on its way once more.
        if let Ok(peer) = server.accept_tls(&acceptor).await {
            break peer;
        }
    };
    assert_eq!(peer.hello().await, None);
    peer.say(&welcome(false, None)).await;
    timeout(PATIENCE, client.online()).await.unwrap().unwrap();
}
