//! Every place where code of the application's runs within the client, or is dropped by it: it may use the client, and it may panic.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::Stream;
use parking_lot::Mutex;
use pitturu_client::types::chat::{MessageSent, TypingStarted};
use pitturu_client::types::system::{Echo, Echoed};
use pitturu_client::{Client, ClientOptions, Events, Problem, ServerEvent, Subscription, UserId};
use pitturu_protocol::{codec, frame};
use tokio::time::timeout;

use crate::options;
use crate::server::{PATIENCE, Peer, ROOM, Said, Server};

/// What foreign code does wherever it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It does all with the client that can be done with it.
    Uses,
    /// It panics.
    Panics,
    /// It panics, and what it carries panics when it is dropped.
    PanicsTwice,
}

const MANNERS: [Manner; 3] = [Manner::Uses, Manner::Panics, Manner::PanicsTwice];

struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        panic!("on purpose, again");
    }
}

/// Foreign code, wherever it runs.
struct Foreign {
    manner: Manner,
    client: Mutex<Option<Client>>,
    ran: AtomicUsize,
    /// What it reads, if it reads.
    events: Mutex<Option<Events>>,
}

impl Foreign {
    fn new(manner: Manner, client: &Client) -> Arc<Self> {
        Arc::new(Self {
            manner,
            client: Mutex::new(Some(client.clone())),
            ran: AtomicUsize::new(0),
            events: Mutex::new(None),
        })
    }

    fn run(&self) {
        self.ran.fetch_add(1, Ordering::SeqCst);
        match self.manner {
            Manner::Panics => panic!("on purpose"),
            Manner::PanicsTwice => std::panic::panic_any(Payload),
            Manner::Uses => {
                if let Some(events) = self.events.lock().as_mut() {
                    while events.try_next().is_some() {}
                }
                let client = self.client.lock().clone();
                if let Some(client) = client {
                    use_all(&client);
                }
            }
        }
    }
}

/// Every function of the client's that anybody may call at any time, but for its end.
fn use_all(client: &Client) {
    drop(client.call(Echo { data: Vec::new() }).send());
    let mut polled = client.call(Echo { data: Vec::new() });
    polled.try_answer();
    drop(polled);
    drop(client.on::<TypingStarted>(|_| ()));
    drop(client.on_any(|_| ()));
    let mut events = client.events();
    events.try_next();
    drop(format!("{events:?} {client:?}"));
    drop(events);
    drop(client.connection().borrow().clone());
    client.identity();
    client.cursors();
    client.stats();
    client.reconnect();
}

/// Runs when it is dropped.
struct Dropped(Arc<Foreign>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.run();
        }
    }
}

/// Runs when it is woken, or when it is dropped without that.
struct Woken {
    foreign: Arc<Foreign>,
    when_dropped: bool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.foreign.run();
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        if self.when_dropped && !std::thread::panicking() {
            self.foreign.run();
        }
    }
}

fn waker(foreign: &Arc<Foreign>, when_dropped: bool) -> Waker {
    Waker::from(Arc::new(Woken {
        foreign: Arc::clone(foreign),
        when_dropped,
    }))
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn poll_events(events: &mut Events, waker: &Waker) {
    let mut cx = Context::from_waker(waker);
    assert_eq!(Pin::new(events).poll_next(&mut cx), Poll::Pending);
}

/// What a place needs: the client, its server, and the foreign code.
struct Scene {
    server: Server,
    peer: Peer,
    client: Client,
    foreign: Arc<Foreign>,
    /// What has to live until the end of the scene.
    kept: Vec<Box<dyn std::any::Any>>,
}

impl Scene {
    /// A call is answered, so the client lives and nobody holds its locks.
    async fn works(&mut self) {
        let client = self.client.clone();
        let echo = tokio::spawn(async move { client.call(Echo { data: vec![7] }).await });
        let reply = Echoed {
            data: vec![7],
            now: 0,
        };
        loop {
            if let Said::Call { call, body, .. } = self.peer.next().await {
                self.peer.reply(call, &reply).await;
                if codec::decode::<Echo>(&body).is_ok_and(|echo| echo.data == [7]) {
                    break;
                }
            }
        }
        assert_eq!(timeout(PATIENCE, echo).await.unwrap().unwrap(), Ok(reply));
    }

    /// Something is told to everybody who listens.
    async fn happens(&mut self) {
        let typing = TypingStarted {
            room: ROOM,
            user: UserId::from_bytes([1; 10]),
            name: "Mina".into(),
        };
        self.peer.say(&frame::event(&typing)).await;
        self.works().await;
    }
}

/// Where foreign code runs, and how it comes to do so. Each has run it when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    CallbackCalled,
    CallbackEnded,
    CallbackEndedByItself,
    CallbackWithSubscription,
    CallbackAtTheClose,
    CallbackAfterTheClose,
    ReaderWoken,
    ReaderWokenAtTheClose,
    ReaderPolledAnew,
    ReaderDropped,
    ReaderDroppedWhileTold,
    CallWoken,
    CallWokenAtTheClose,
    CallWokenWhenTheTaskIsGone,
    CallDropped,
    WatcherWoken,
    WatcherWokenAtTheClose,
    TaskWoken,
}

const PLACES: [Place; 18] = [
    Place::CallbackCalled,
    Place::CallbackEnded,
    Place::CallbackEndedByItself,
    Place::CallbackWithSubscription,
    Place::CallbackAtTheClose,
    Place::CallbackAfterTheClose,
    Place::ReaderWoken,
    Place::ReaderWokenAtTheClose,
    Place::ReaderPolledAnew,
    Place::ReaderDropped,
    Place::ReaderDroppedWhileTold,
    Place::CallWoken,
    Place::CallWokenAtTheClose,
    Place::CallWokenWhenTheTaskIsGone,
    Place::CallDropped,
    Place::WatcherWoken,
    Place::WatcherWokenAtTheClose,
    Place::TaskWoken,
];

/// A callback that owns foreign code, which runs when the callback is dropped.
fn owner(client: &Client, foreign: &Arc<Foreign>) -> Subscription {
    let owned = Dropped(Arc::clone(foreign));
    client.on::<TypingStarted>(move |_| {
        let _keeps = &owned;
    })
}

async fn callbacks(place: Place, scene: &mut Scene) {
    let (client, foreign) = (scene.client.clone(), Arc::clone(&scene.foreign));
    match place {
        Place::CallbackCalled => {
            let called = Arc::clone(&foreign);
            client.on::<TypingStarted>(move |_| called.run()).forever();
            scene.happens().await;
        }
        Place::CallbackEnded => drop(owner(&client, &foreign)),
        Place::CallbackEndedByItself => {
            let itself = Arc::new(Mutex::new(None::<Subscription>));
            let (owned, own) = (Dropped(foreign), Arc::clone(&itself));
            let subscription = client.on::<TypingStarted>(move |_| {
                let _keeps = &owned;
                let own = own.lock().take();
                drop(own);
            });
            *itself.lock() = Some(subscription);
            scene.happens().await;
        }
        Place::CallbackWithSubscription => {
            let inner = owner(&client, &foreign);
            let outer = client.on::<MessageSent>(move |_| {
                let _keeps = &inner;
            });
            drop(outer);
        }
        Place::CallbackAtTheClose => {
            let inner = client.on::<MessageSent>(|_| ());
            let owned = Dropped(foreign);
            let outer = client.on::<TypingStarted>(move |_| {
                let _keeps = (&inner, &owned);
            });
            outer.forever();
            client.close();
        }
        _ => {
            client.close();
            ended(&client).await;
            owner(&client, &foreign).forever();
        }
    }
}

/// Waits until the client's task has ended.
async fn ended(client: &Client) {
    let mut events = client.events();
    timeout(PATIENCE, async { while events.next().await.is_some() {} })
        .await
        .expect("the events end");
}

async fn readers(place: Place, scene: &mut Scene) {
    let (client, foreign) = (scene.client.clone(), Arc::clone(&scene.foreign));
    let mut events = client.events();
    while events.try_next().is_some() {}
    match place {
        Place::ReaderWoken | Place::ReaderWokenAtTheClose => {
            poll_events(&mut events, &waker(&foreign, false));
            *foreign.events.lock() = Some(events);
            if place == Place::ReaderWoken {
                scene.happens().await;
            } else {
                client.close();
            }
        }
        Place::ReaderPolledAnew => {
            poll_events(&mut events, &waker(&foreign, true));
            poll_events(&mut events, Waker::noop());
            scene.kept.push(Box::new(events));
        }
        Place::ReaderDropped => {
            poll_events(&mut events, &waker(&foreign, true));
            drop(events);
        }
        _ => {
            // Many are dropped while events are told, so that some are let go of by whoever tells.
            let (stop, stopped) = mpsc::channel::<()>();
            let (of, other) = (client.clone(), Arc::clone(&foreign));
            let dropping = std::thread::spawn(move || {
                while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    let mut events = of.events();
                    let cx = waker(&other, true);
                    drop(Pin::new(&mut events).poll_next(&mut Context::from_waker(&cx)));
                    drop(events);
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(cx))).ok();
                }
            });
            for _ in 0..20 {
                scene.happens().await;
            }
            drop(stop);
            drop(dropping.join());
        }
    }
}

async fn calls(place: Place, scene: &mut Scene) {
    let (client, foreign) = (scene.client.clone(), Arc::clone(&scene.foreign));
    if place == Place::CallWokenWhenTheTaskIsGone {
        let (client, task) = Client::new(ClientOptions::new("ws://127.0.0.1:9")).unwrap();
        let mut call = Box::pin(client.call(Echo { data: vec![1] }));
        assert!(poll_with(call.as_mut(), &waker(&foreign, false)).is_pending());
        *foreign.client.lock() = Some(client);
        drop(task);
        scene.kept.push(Box::new(call));
        return;
    }
    let mut call = Box::pin(client.call(Echo { data: vec![1] }));
    assert!(poll_with(call.as_mut(), &waker(&foreign, false)).is_pending());
    match place {
        Place::CallWoken => scene.works().await,
        Place::CallWokenAtTheClose => client.close(),
        _ => return drop(call),
    }
    scene.kept.push(Box::new(call));
}

async fn watchers(place: Place, scene: &mut Scene) {
    let (client, foreign) = (scene.client.clone(), Arc::clone(&scene.foreign));
    let mut watched = client.connection();
    watched.mark_unchanged();
    let mut changed = Box::pin(async move { watched.changed().await.is_ok() });
    assert!(poll_with(changed.as_mut(), &waker(&foreign, false)).is_pending());
    scene.kept.push(Box::new(changed));
    if place == Place::WatcherWokenAtTheClose {
        return client.close();
    }
    // The connection goes, and another comes.
    scene.peer.drop_socket().await;
    let (peer, _) = scene.server.welcome().await;
    scene.peer = peer;
}

/// The client's task in an executor that runs something as soon as it is woken.
fn tasks(scene: &mut Scene) {
    let foreign = &scene.foreign;
    let (client, task) = Client::new(ClientOptions::new("ws://127.0.0.1:9")).unwrap();
    *foreign.client.lock() = Some(client.clone());
    let mut running = Box::pin(task.run());
    assert!(poll_with(running.as_mut(), &waker(foreign, false)).is_pending());
    drop(client.call(Echo { data: vec![1] }).send());
    scene.kept.push(Box::new(running));
}

async fn play(place: Place, manner: Manner) {
    let server = Server::start().await;
    let (client, task) = Client::new(options(&server)).unwrap();
    let running = tokio::spawn(task.run());
    let (peer, _) = server.welcome().await;
    timeout(PATIENCE, client.online()).await.unwrap().unwrap();
    let mut scene = Scene {
        foreign: Foreign::new(manner, &client),
        server,
        peer,
        client: client.clone(),
        kept: Vec::new(),
    };
    let mut told = client.events();
    match place {
        Place::CallbackCalled
        | Place::CallbackEnded
        | Place::CallbackEndedByItself
        | Place::CallbackWithSubscription
        | Place::CallbackAtTheClose
        | Place::CallbackAfterTheClose => callbacks(place, &mut scene).await,
        Place::ReaderWoken
        | Place::ReaderWokenAtTheClose
        | Place::ReaderPolledAnew
        | Place::ReaderDropped
        | Place::ReaderDroppedWhileTold => readers(place, &mut scene).await,
        Place::CallWoken
        | Place::CallWokenAtTheClose
        | Place::CallWokenWhenTheTaskIsGone
        | Place::CallDropped => calls(place, &mut scene).await,
        Place::WatcherWoken | Place::WatcherWokenAtTheClose => watchers(place, &mut scene).await,
        Place::TaskWoken => tasks(&mut scene),
    }
    let closes = format!("{place:?}").ends_with("TheClose");
    if !closes {
        scene.works().await;
    }
    if place == Place::CallbackCalled && manner != Manner::Uses {
        let panicked = ServerEvent::Problem(Problem::CallbackPanicked);
        assert!(std::iter::from_fn(|| told.try_next()).any(|event| event == panicked));
    }
    use_all(&client);
    client.close();
    timeout(PATIENCE, running).await.unwrap().unwrap();
    ended(&client).await;
    assert!(scene.foreign.ran.load(Ordering::SeqCst) > 0, "it has run");
}

/// Whoever panics when the network wakes the task does so in the runtime's code.
fn is_ours(place: Place, manner: Manner) -> bool {
    place != Place::TaskWoken || manner == Manner::Uses
}

/// Panics on purpose need not be read.
fn be_quiet() {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let said = panic.payload_as_str().unwrap_or("");
            if !said.starts_with("on purpose") && !panic.payload().is::<Payload>() {
                hook(panic);
            }
        }));
    });
}

#[test]
fn foreign_code_uses_the_client_and_panics_wherever_it_runs_and_all_goes_on() {
    be_quiet();
    let scenes = PLACES.into_iter().flat_map(|place| {
        let ours = MANNERS
            .into_iter()
            .filter(move |manner| is_ours(place, *manner));
        ours.map(move |manner| (place, manner))
    });
    let playing: Vec<_> = scenes
        .map(|(place, manner)| (place, manner, begin(place, manner)))
        .collect();
    let mut ill = Vec::new();
    for (place, manner, finished) in playing {
        if let Err(why) = finished.recv_timeout(PATIENCE) {
            ill.push((place, manner, why));
        }
    }
    assert!(ill.is_empty(), "{ill:#?}");
}

/// Plays it on a thread of its own, which says when it is over. Threads that hang are left behind.
fn begin(place: Place, manner: Manner) -> mpsc::Receiver<()> {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(play(place, manner));
        done.send(()).unwrap();
    });
    finished
}
