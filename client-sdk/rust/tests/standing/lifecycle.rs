//! The table of the client's life in its documentation, state by state and call by call.

use std::sync::mpsc;
use std::time::Duration;

use futures_util::FutureExt;
use pitturu_client::types::accounts::GetAccount;
use pitturu_client::types::system::{Echo, Echoed};
use pitturu_client::{
    CallError, Client, ClientOptions, Code, ConnectionState, InvalidOptions, Refused, Task,
    TokenStore, TokenStoreError, Tokens,
};
use tokio::time::timeout;

use crate::server::{PATIENCE, Peer, ROOM, Server};
use crate::{options, tokens};

/// Where a client may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NeverRun,
    Loading,
    Connecting,
    Handshaking,
    Online,
    Reconnecting,
    StoppedByServer,
    Closed,
    ClosedWhileLoading,
    ClosedWhileConnecting,
    ClosedBeforeRunning,
    TaskDropped,
}

use State::*;

const STATES: [State; 12] = [
    NeverRun,
    Loading,
    Connecting,
    Handshaking,
    Online,
    Reconnecting,
    StoppedByServer,
    Closed,
    ClosedWhileLoading,
    ClosedWhileConnecting,
    ClosedBeforeRunning,
    TaskDropped,
];

impl State {
    /// Whether the client will do nothing any more.
    fn is_over(self) -> bool {
        matches!(
            self,
            Closed | ClosedWhileLoading | ClosedWhileConnecting | ClosedBeforeRunning | TaskDropped
        )
    }
}

/// A store whose `load` waits until the test lets it go on.
struct Slow(parking_lot::Mutex<mpsc::Receiver<()>>);

impl TokenStore for Slow {
    fn load(&self) -> Result<Tokens, TokenStoreError> {
        // Ends with the sender.
        self.0.lock().recv().ok();
        Ok(tokens(1))
    }

    fn save(&self, _: &Tokens) -> Result<(), TokenStoreError> {
        Ok(())
    }
}

/// A client in a state, and all that keeps it there.
struct World {
    client: Client,
    server: Server,
    peer: Option<Peer>,
    _task: Option<Task>,
    release: Option<mpsc::Sender<()>>,
}

async fn reach(client: &Client, what: fn(&ConnectionState) -> bool) {
    let mut connection = client.connection();
    let reached = timeout(PATIENCE, connection.wait_for(what)).await;
    reached.expect("the state comes").expect("the client lives");
}

async fn world(state: State) -> World {
    let server = Server::start().await;
    let (release, released) = mpsc::channel();
    let mut release = Some(release);
    let mut peer = None;
    let mut left = None;
    let slow = Slow(parking_lot::Mutex::new(released));
    let (client, task) = match state {
        Loading | ClosedWhileLoading => Client::new(options(&server).tokens(slow)),
        _ => {
            release = None;
            Client::new(options(&server))
        }
    }
    .unwrap();
    match state {
        NeverRun => left = Some(task),
        ClosedBeforeRunning => {
            client.close();
            left = Some(task);
        }
        TaskDropped => drop(task),
        _ => drop(tokio::spawn(task.run())),
    }
    match state {
        NeverRun | ClosedBeforeRunning | TaskDropped => {}
        Loading | ClosedWhileLoading | Connecting | ClosedWhileConnecting => {
            reach(&client, |state| *state == ConnectionState::Connecting).await;
        }
        Handshaking => {
            let mut greeted = server.accept().await;
            greeted.hello().await;
            peer = Some(greeted);
        }
        Online | Closed | Reconnecting | StoppedByServer => {
            let (welcomed, _) = server.welcome().await;
            reach(&client, |state| *state == ConnectionState::Online).await;
            peer = Some(welcomed);
        }
    }
    match state {
        Closed | ClosedWhileLoading | ClosedWhileConnecting => client.close(),
        Reconnecting => {
            peer = None;
            reach(&client, |state| *state != ConnectionState::Online).await;
        }
        StoppedByServer => {
            peer.take().unwrap().close(4300).await;
            reach(&client, |state| {
                matches!(state, ConnectionState::Stopped { .. })
            })
            .await;
        }
        _ => {}
    }
    World {
        client,
        server,
        peer,
        _task: left,
        release,
    }
}

/// What a call comes to at once.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// It has not ended, and waits.
    Waits,
    Answered,
    Fault(Code),
    Refused(Refused),
    Closed,
}

fn outcome<T>(polled: Option<Result<T, CallError>>) -> Outcome {
    match polled {
        None => Outcome::Waits,
        Some(Ok(_)) => Outcome::Answered,
        Some(Err(CallError::Fault(fault))) => Outcome::Fault(fault.code),
        Some(Err(CallError::NotTaken(refused))) => Outcome::Refused(refused),
        Some(Err(CallError::Closed)) => Outcome::Closed,
        Some(Err(error)) => panic!("{error}"),
    }
}

/// What a call comes to within a moment. `Waits` only if it is still under way then.
async fn soon<T>(call: impl Future<Output = Result<T, CallError>>) -> Outcome {
    outcome(timeout(Duration::from_millis(150), call).await.ok())
}

fn expected(state: State, needs_player: bool, momentary: bool) -> Outcome {
    match state {
        _ if state.is_over() => Outcome::Closed,
        StoppedByServer => Outcome::Refused(Refused::Stopped),
        // Nobody knows yet whether somebody is signed in.
        Loading if momentary => Outcome::Fault(Code::Disconnected),
        Loading => Outcome::Waits,
        _ if needs_player => Outcome::Fault(Code::Unauthenticated),
        _ => Outcome::Waits,
    }
}

#[tokio::test]
async fn calls_do_in_each_state_what_the_table_says() {
    for state in STATES {
        let World { client, .. } = &world(state).await;
        let echo = soon(client.call(Echo { data: vec![1] })).await;
        assert_eq!(echo, expected(state, false, false), "Echo {state:?}");
        let account = soon(client.call(GetAccount {})).await;
        let what = expected(state, true, false);
        assert_eq!(account, what, "GetAccount {state:?}");
        let typing = soon(client.room(ROOM).typing()).await;
        assert_eq!(typing, expected(state, true, true), "Typing {state:?}");
        // What is refused is refused without the task.
        let polled = client.call(GetAccount {}).try_answer();
        let what = expected(state, true, false);
        assert_eq!(outcome(polled), what, "try_answer {state:?}");
        let login = soon(client.login("mina", "a password")).await;
        assert_eq!(login, expected(state, false, false), "Login {state:?}");
        let logout = soon(client.logout()).await;
        assert_ne!(logout, Outcome::Answered, "Logout {state:?}");
    }
}

#[tokio::test]
async fn the_state_that_is_told_is_the_state_that_was_decided() {
    for state in STATES {
        let World { client, .. } = &world(state).await;
        let told = client.connection().borrow().clone();
        let fits = match state {
            NeverRun => {
                told == ConnectionState::Offline {
                    retry_at: None,
                    why: None,
                }
            }
            Loading | Connecting | Handshaking => told == ConnectionState::Connecting,
            Online => told == ConnectionState::Online,
            Reconnecting => matches!(
                told,
                ConnectionState::Offline { .. } | ConnectionState::Connecting
            ),
            StoppedByServer => told == ConnectionState::Stopped { code: Some(4300) },
            _ => told == ConnectionState::Stopped { code: None },
        };
        assert!(fits, "{told:?} when {state:?}");
        client.close();
        assert_eq!(
            *client.connection().borrow(),
            ConnectionState::Stopped { code: None },
            "closed when {state:?}"
        );
    }
}

#[tokio::test]
async fn online_waits_while_there_is_hope_and_ends_when_there_is_none() {
    for state in STATES {
        let world = world(state).await;
        let client = &world.client;
        let online = soon(client.online()).await;
        let what = match state {
            Online => Outcome::Answered,
            _ if state.is_over() || state == StoppedByServer => Outcome::Closed,
            _ => Outcome::Waits,
        };
        // A link that was cut comes back, if the server takes it: nobody does here.
        assert_eq!(online, what, "{state:?}");
        let waiting = {
            let client = client.clone();
            tokio::spawn(async move { client.online().await })
        };
        tokio::task::yield_now().await;
        client.close();
        let ended = timeout(PATIENCE, waiting).await.unwrap().unwrap();
        assert!(
            state == Online || ended == Err(CallError::Closed),
            "{state:?}"
        );
        assert_eq!(client.online().await, Err(CallError::Closed), "{state:?}");
    }
}

#[tokio::test]
async fn what_only_looks_never_fails_and_events_end_with_the_client() {
    for state in STATES {
        let World {
            client, release, ..
        } = &mut world(state).await;
        assert_eq!(client.identity(), None, "{state:?}");
        assert_eq!(client.cursors().rooms, [], "{state:?}");
        client.stats();
        let guard = client.on_any(|_| {});
        let mut events = client.events();
        client.reconnect();
        drop(release.take());
        client.close();
        client.close();
        client.reconnect();
        if matches!(state, NeverRun | ClosedBeforeRunning) {
            continue;
        }
        let ended = async { while events.next().await.is_some() {} };
        let ended = timeout(PATIENCE, ended).await;
        assert!(ended.is_ok(), "events of {state:?} end");
        let mut late = client.events();
        let next = timeout(PATIENCE, async { while late.next().await.is_some() {} });
        assert!(
            next.await.is_ok(),
            "events of {state:?} that begin late end"
        );
        drop(guard);
    }
}

#[tokio::test]
async fn a_closed_client_does_nothing_more() {
    for state in STATES {
        let mut world = world(state).await;
        world.client.close();
        drop(world.release.take());
        drop(world.peer.take());
        world.client.reconnect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        // A socket that was being opened may have reached the listener; nobody says hello on it.
        while let Some(mut late) = world.server.try_accept().await {
            assert_eq!(late.try_hello().await, None, "hello after {state:?}");
        }
        assert_eq!(
            *world.client.connection().borrow(),
            ConnectionState::Stopped { code: None },
            "{state:?}"
        );
    }
}

#[tokio::test]
async fn connect_and_close_in_one_breath_ends_with_a_typed_error() {
    let server = Server::start().await;
    let client = Client::connect(options(&server)).unwrap();
    client.close();
    assert_eq!(client.online().now_or_never(), Some(Err(CallError::Closed)));
}

#[tokio::test]
async fn a_client_whose_server_sent_it_away_comes_back_when_asked_to() {
    let world = world(StoppedByServer).await;
    world.client.reconnect();
    let (mut peer, _) = world.server.welcome().await;
    world.client.online().await.unwrap();
    let echo = world.client.call(Echo { data: vec![1] }).send();
    let (call, echoed, _) = peer.call::<Echo>().await;
    let reply = Echoed {
        data: echoed.data,
        now: 1,
    };
    peer.reply(call, &reply).await;
    assert_eq!(echo.await, Ok(reply));
}

#[test]
fn without_a_runtime_it_says_so_instead_of_panicking() {
    let options = || ClientOptions::new("ws://127.0.0.1:1");
    let refused = Client::connect(options()).unwrap_err();
    assert_eq!(refused, InvalidOptions::NoRuntime);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let client = Client::connect(options()).unwrap();
    assert_eq!(
        outcome(client.call(GetAccount {}).try_answer()),
        Outcome::Fault(Code::Unauthenticated)
    );
}

#[tokio::test]
async fn deadlines_of_any_length_are_kept() {
    let World { client, .. } = &world(Online).await;
    let at_once = client
        .call(Echo { data: Vec::new() })
        .with_deadline(Duration::ZERO);
    let ended = timeout(PATIENCE, at_once).await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Some(Code::Deadline));
    for long in [
        Duration::from_millis(1 << 31),
        Duration::from_millis((1 << 31) + 1),
        Duration::from_millis(u64::MAX),
        Duration::MAX,
    ] {
        let mut call = client.call(Echo { data: Vec::new() }).with_deadline(long);
        assert_eq!(outcome(call.try_answer()), Outcome::Waits, "{long:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(outcome(call.try_answer()), Outcome::Waits, "{long:?}");
    }
    // The clock and the connection still work.
    let short = client
        .call(Echo { data: Vec::new() })
        .with_deadline(Duration::from_millis(10));
    let ended = timeout(PATIENCE, short).await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Some(Code::Deadline));
}
