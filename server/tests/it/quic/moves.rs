//! Clients that find the better way, lose it, and are moved from one to the other while they chat.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pitturu_client::types::accounts::GetAccount;
use pitturu_client::types::chat::SendEphemeral;
use pitturu_client::{
    BackOff, Client, ClientOptions, ConnectionState, RoomId, ServerEvent, Subscription, Transport,
    TransportPreference, new_guest_secret,
};
use tokio::time::timeout;

use super::QUIC;
use super::raw::PATIENCE;
use super::relay::Relay;
use crate::launch::Server;

const BACK_OFF: BackOff = BackOff {
    base_ms: 50,
    cap_ms: 200,
};

/// A server with TLS and QUIC on one port, and the certificate in PEM.
pub(super) fn one_port(folder: &Path, at: &str, more: &[&str]) -> (Server, SocketAddr, String) {
    let names = [at, "127.0.0.2"].map(str::to_owned).to_vec();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = free_port();
    let settings = [
        format!("listen.tls={at}:{port}"),
        format!("listen.quic={at}:{port}"),
        format!("listen.cert={}", cert.display()),
        format!("listen.key={}", key.display()),
    ];
    let settings: Vec<&str> = settings
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    let server = Server::start(&settings);
    let address = server.tls.unwrap();
    assert_eq!(server.quic.unwrap().port(), address.port());
    (server, address, made.cert.pem())
}

/// Free for TCP and UDP, here and at the relay's address.
fn free_port() -> u16 {
    for _ in 0..100 {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let is_free = std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok()
            && std::net::UdpSocket::bind(("127.0.0.2", port)).is_ok()
            && std::net::TcpListener::bind(("127.0.0.2", port)).is_ok();
        if is_free {
            return port;
        }
    }
    panic!("no port is free for TCP and UDP");
}

pub(super) async fn signed_in(options: ClientOptions, name: &str) -> Client {
    let client = Client::connect(options.back_off(BACK_OFF)).unwrap();
    let secret = new_guest_secret().unwrap();
    client.login_guest(&secret, Some(name)).await.unwrap();
    client.online().await.unwrap();
    client
}

pub(super) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

/// Longer than a client tries to open one way.
const ASKS_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Moves the client to that transport, if it is not on it.
///
/// An attempt that does not open within seconds, as on a machine that stands still, has the client leave that way alone for minutes,
/// unless it is asked again. So a test that rests on a way asks for it here, also where the client would take it by itself.
pub(super) async fn move_to(client: &Client, to: Transport) {
    let preference = match to {
        Transport::WebSocket => TransportPreference::WebSocket,
        Transport::Quic => TransportPreference::Quic,
    };
    let mut asked: Option<Instant> = None;
    until("no flip", || {
        if client.transport() == Some(to) {
            return true;
        }
        if asked.is_none_or(|at| at.elapsed() > ASKS_AGAIN_AFTER) {
            client.prefer_transport(preference);
            asked = Some(Instant::now());
        }
        false
    })
    .await;
}

/// What an application hears of a client: everything but what it should not.
pub(super) struct Heard {
    pub(super) messages: Arc<Mutex<Vec<String>>>,
    pub(super) moments: Arc<Mutex<Vec<String>>>,
    /// States of the connection, and what else is no chat.
    pub(super) other: Arc<Mutex<Vec<String>>>,
    _guard: Subscription,
}

impl Heard {
    pub(super) fn by(client: &Client) -> Self {
        let (messages, moments, other) = (Arc::default(), Arc::default(), Arc::default());
        let guard = client.on_any({
            let (messages, moments, other) = (
                Arc::clone(&messages),
                Arc::clone(&moments),
                Arc::clone(&other),
            );
            move |event| {
                let messages: &Mutex<Vec<String>> = &messages;
                let moments: &Mutex<Vec<String>> = &moments;
                let other: &Mutex<Vec<String>> = &other;
                match event {
                    ServerEvent::MessageSent(sent) => messages.lock().push(sent.msg.text.clone()),
                    ServerEvent::EphemeralSent(said) => moments.lock().push(said.text.clone()),
                    ServerEvent::Connection(state) => other.lock().push(format!("{state:?}")),
                    ServerEvent::Gap(_)
                    | ServerEvent::StreamLost { .. }
                    | ServerEvent::SignedIn(_)
                    | ServerEvent::SignedOut(_)
                    | ServerEvent::Problem(_) => other.lock().push(format!("{event:?}")),
                    _ => {}
                }
            }
        });
        Self {
            messages,
            moments,
            other,
            _guard: guard,
        }
    }
}

impl Heard {
    /// What came before somebody listened is handed to the first who does, which ends with the client online.
    pub(super) async fn forget_the_past(&self) {
        let is_over = || {
            self.other
                .lock()
                .last()
                .is_some_and(|last| last == "Online")
        };
        until("nothing of the past", is_over).await;
        self.other.lock().clear();
    }
}

/// What may become of what is said for the moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Moments {
    /// It arrives.
    Arrive,
    /// It is lost with a way that is cut, or its answer is: nobody repeats it.
    MayBeLost,
}

/// Sends, says for the moment and reads without a pause until it is told to stop. Returns how much was sent.
pub(super) async fn chatter(
    client: Client,
    room: RoomId,
    name: &'static str,
    moments: Moments,
    stop: Arc<AtomicBool>,
) -> u32 {
    let mut sent = 0;
    while !stop.load(Ordering::SeqCst) {
        let room = client.room(room);
        let first = room.send(format!("{name} {sent}")).send();
        let second = room.send(format!("{name} {}", sent + 1)).send();
        let said = client.call(SendEphemeral {
            room: room.id(),
            text: format!("{name} {sent}"),
        });
        let (first, second, said, account) =
            tokio::join!(first, second, said, client.call(GetAccount {}));
        first.unwrap();
        second.unwrap();
        assert!(moments == Moments::MayBeLost || said.is_ok(), "{said:?}");
        account.unwrap();
        sent += 2;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sent
}

/// Fast enough for [`chatter`].
pub(super) const NO_LIMITS: [&str; 4] = [
    "limits.chat_per_second=1000",
    "limits.chat_burst=1000",
    "limits.read_per_second=1000",
    "limits.read_burst=1000",
];

/// Everything that was said was heard, once, and messages in order.
pub(super) fn check_moved(heard: &Heard, sent: [(&str, u32); 2], moments: Moments) {
    let messages = heard.messages.lock();
    for (name, sent) in sent {
        let of: Vec<&String> = messages
            .iter()
            .filter(|text| text.starts_with(name))
            .collect();
        let expected: Vec<String> = (0..sent).map(|number| format!("{name} {number}")).collect();
        assert!(
            of.len() == expected.len() && of.iter().zip(&expected).all(|(a, b)| **a == *b),
            "{name}: {of:?}"
        );
        let said_for_the_moment = heard.moments.lock();
        let mut of: Vec<&String> = said_for_the_moment
            .iter()
            .filter(|text| text.starts_with(name))
            .collect();
        of.sort();
        let mut said: Vec<&String> = expected.iter().step_by(2).collect();
        said.sort();
        if moments == Moments::MayBeLost {
            said.retain(|text| of.contains(text));
        }
        assert!(
            of == said,
            "{name}, for the moment: {:?} missing of {sent}, {} heard",
            said.iter()
                .filter(|text| !of.contains(text))
                .collect::<Vec<_>>(),
            of.len()
        );
    }
    assert_eq!(*heard.other.lock(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_websocket_finds_quic_and_nobody_notices() {
    let server = Server::start(&[QUIC]);
    let client = signed_in(ClientOptions::new(format!("ws://{}", server.ws)), "moves").await;
    assert_eq!(client.transport(), Some(Transport::WebSocket));
    let room = client.enter_room("lobby").await.unwrap().info.room;
    client.online().await.unwrap();
    let heard = Heard::by(&client);
    heard.forget_the_past().await;
    until("the client stays on WebSocket", || {
        client.transport() == Some(Transport::Quic)
    })
    .await;
    // Both ends read one clock here.
    until("the clock is unknown", || client.clock().is_some()).await;
    let (clock, here) = (client.clock().unwrap(), std::time::SystemTime::now());
    let here = here
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let difference = i128::from(clock.now()) - i128::try_from(here).unwrap();
    let uncertain = i128::try_from(clock.round_trip().as_millis()).unwrap() / 2 + 20;
    assert!(
        difference.abs() <= uncertain,
        "{difference} ms of {clock:?}"
    );
    client.room(room).send("over QUIC").await.unwrap();
    until("no message", || heard.messages.lock().len() == 1).await;
    assert_eq!(*heard.other.lock(), [] as [String; 0]);
    let stats = client.transport_stats();
    assert_eq!(
        (stats.websocket_opened, stats.quic_opened, stats.quic_failed),
        (1, 1, 0)
    );
    assert_eq!(client.stats().handovers, 1);
    // The one before is closed, and not counted for ever.
    until("two connections are there", || {
        server
            .ops_page("/health/detailed")
            .contains("\"connections\":1")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flips_under_chat_and_calls_lose_nothing_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, address, pem) = one_port(folder.path(), "127.0.0.1", &NO_LIMITS);
    let options = || ClientOptions::new(format!("wss://{address}")).trust_pem(pem.clone());
    let flips = signed_in(options(), "flips").await;
    let stays = signed_in(options().transport(TransportPreference::WebSocket), "stays").await;
    move_to(&flips, Transport::Quic).await;
    let before = flips.stats().handovers;
    assert_eq!(stays.transport(), Some(Transport::WebSocket));
    let room = flips.enter_room("lobby").await.unwrap().info.room;
    stays.enter_room("lobby").await.unwrap();
    flips.online().await.unwrap();
    let heard = [Heard::by(&flips), Heard::by(&stays)];
    for heard in &heard {
        heard.forget_the_past().await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let chatters = [(flips.clone(), "flips"), (stays.clone(), "stays")].map(|(client, name)| {
        tokio::spawn(chatter(
            client,
            room,
            name,
            Moments::Arrive,
            Arc::clone(&stop),
        ))
    });
    for flip in 0..12 {
        let to = match flip % 2 {
            0 => Transport::WebSocket,
            _ => Transport::Quic,
        };
        move_to(&flips, to).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let [one, other] = chatters;
    let sent = [
        ("flips", one.await.unwrap()),
        ("stays", other.await.unwrap()),
    ];
    let total = usize::try_from(sent[0].1 + sent[1].1).unwrap();
    for heard in &heard {
        until("not everything came", || {
            heard.messages.lock().len() >= total
        })
        .await;
        // What is for the moment was on its way before the answers.
        tokio::time::sleep(Duration::from_millis(500)).await;
        check_moved(heard, sent, Moments::Arrive);
    }
    assert_eq!(flips.stats().handovers - before, 12);
    assert_eq!(flips.stats().holes + flips.stats().unreadable, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_is_cut_without_a_goodbye_is_left_for_the_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let (server, address, pem) = one_port(folder.path(), "127.0.0.1", &NO_LIMITS);
    let relay = Relay::to(address).await;
    let options = ClientOptions::new(format!("wss://{}", relay.address)).trust_pem(pem);
    let client = signed_in(options, "cut").await;
    move_to(&client, Transport::Quic).await;
    client.prefer_transport(TransportPreference::Auto);
    let failed = client.transport_stats().quic_failed;
    let other = signed_in(ClientOptions::new(format!("ws://{}", server.ws)), "other").await;
    let room = client.enter_room("lobby").await.unwrap().info.room;
    other.enter_room("lobby").await.unwrap();
    client.online().await.unwrap();
    let heard = Heard::by(&client);
    heard.forget_the_past().await;
    relay.drop_udp(true);
    // The server owes an answer, and nothing comes: after a few seconds the other way is tried.
    let sent = client.room(room).send("during").send();
    other.room(room).send("missed").await.unwrap();
    timeout(PATIENCE, sent).await.unwrap().unwrap();
    assert_eq!(client.transport(), Some(Transport::WebSocket));
    until("not everything came", || heard.messages.lock().len() == 2).await;
    assert_eq!(*heard.other.lock(), [] as [String; 0]);
    // QUIC is left alone after that, though it would open again.
    relay.drop_udp(false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(client.transport(), Some(Transport::WebSocket));
    assert_eq!(client.transport_stats().quic_failed, failed + 1);
    // Unless it is asked for; and then WebSocket is what is left when it is cut.
    move_to(&client, Transport::Quic).await;
    move_to(&client, Transport::WebSocket).await;
    client.prefer_transport(TransportPreference::Auto);
    client.room(room).send("again").await.unwrap();
    assert_eq!(*heard.other.lock(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_udp_is_blocked_websocket_serves_and_that_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, address, pem) = one_port(folder.path(), "127.0.0.1", &[]);
    let relay = Relay::to(address).await;
    relay.drop_udp(true);
    let options = || ClientOptions::new(format!("wss://{}", relay.address)).trust_pem(pem.clone());
    let first = signed_in(options(), "first").await;
    assert_eq!(first.transport(), Some(Transport::WebSocket));
    assert!(relay.udp_packets() > 0, "QUIC was tried");
    until("it is tried for ever", || {
        first.transport_stats().quic_failed == 1
    })
    .await;
    let tried = relay.udp_packets();
    let second = signed_in(options(), "second").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(
        relay.udp_packets(),
        tried,
        "what is known is not tried again"
    );
    assert_eq!(second.transport_stats().quic_failed, 0);
    let mut states = second.connection();
    assert_eq!(*states.borrow_and_update(), ConnectionState::Online);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tcp_is_blocked_quic_serves() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, address, pem) = one_port(folder.path(), "127.0.0.1", &[]);
    let relay = Relay::to(address).await;
    relay.drop_tcp(true);
    let options = ClientOptions::new(format!("wss://{}", relay.address)).trust_pem(pem);
    let client = signed_in(options, "quic").await;
    assert_eq!(client.transport(), Some(Transport::Quic));
    // What does not open is no loss, and is not tried again at once.
    relay.refuse_tcp();
    let before = relay.tcp_connections();
    client.prefer_transport(TransportPreference::WebSocket);
    until("WebSocket is not tried", || {
        relay.tcp_connections() > before
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(relay.tcp_connections(), before + 1);
    client.call(GetAccount {}).await.unwrap();
    assert_eq!(client.transport(), Some(Transport::Quic));
}
