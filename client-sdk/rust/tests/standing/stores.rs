//! Token stores that fail, panic, hang, give garbage, or are shared with other programs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pitturu_client::types::accounts::{LoginGuest, Logout, RefreshTokens};
use pitturu_client::types::system::{Done, Echo, Echoed};
use pitturu_client::{
    Client, ConnectionState, Events, FileTokens, MemoryTokens, Problem, ServerEvent, TokenStore,
    TokenStoreError, Tokens,
};
use tokio::time::timeout;

use crate::server::{PATIENCE, Peer, Server, signed_in, welcome};
use crate::{options, tokens};

/// What a store does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ill {
    Fails,
    Panics,
    Hangs,
    Garbage,
    /// What its panic carries panics when it is dropped.
    PanicsTwice,
    /// Its error panics when it is shown.
    CanNotBeShown,
    /// Its error panics when it is dropped.
    CanNotBeDropped,
}

const ILLS: [Ill; 7] = [
    Ill::Fails,
    Ill::Panics,
    Ill::Hangs,
    Ill::Garbage,
    Ill::PanicsTwice,
    Ill::CanNotBeShown,
    Ill::CanNotBeDropped,
];

#[derive(Debug)]
struct NotShown;

impl std::fmt::Display for NotShown {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("on purpose")
    }
}

impl std::error::Error for NotShown {}

#[derive(Debug)]
struct NotDropped;

impl Drop for NotDropped {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

impl std::fmt::Display for NotDropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not to be dropped")
    }
}

impl std::error::Error for NotDropped {}

/// A store that does one thing wrong in the functions that are named.
struct IllStore {
    ill: Ill,
    loads: bool,
    saves: bool,
}

fn suffer(ill: Ill) -> Result<Tokens, TokenStoreError> {
    match ill {
        Ill::Fails => Err("on purpose".into()),
        Ill::Panics => panic!("on purpose"),
        Ill::Hangs => loop {
            std::thread::park();
        },
        Ill::PanicsTwice => std::panic::panic_any(NotDropped),
        Ill::CanNotBeShown => Err(NotShown.into()),
        Ill::CanNotBeDropped => Err(NotDropped.into()),
        Ill::Garbage => Ok(Tokens {
            access: Some("\0 no token\n".into()),
            refresh: Some(String::new()),
        }),
    }
}

impl TokenStore for IllStore {
    fn load(&self) -> Result<Tokens, TokenStoreError> {
        if self.loads {
            suffer(self.ill)
        } else {
            Ok(Tokens::default())
        }
    }

    fn save(&self, _: &Tokens) -> Result<(), TokenStoreError> {
        if self.saves {
            suffer(self.ill).map(drop)
        } else {
            Ok(())
        }
    }
}

async fn problem(events: &mut Events) -> Problem {
    let found = async {
        loop {
            let event = events.next().await.expect("the client lives");
            if let ServerEvent::Problem(problem) = event {
                return problem;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("it is told")
}

/// Messages go on: a call is answered.
async fn works(client: &Client, peer: &mut Peer) {
    let echo = client.call(Echo { data: vec![7] }).send();
    let (call, _, _) = peer.call::<Echo>().await;
    let reply = Echoed {
        data: vec![7],
        now: 0,
    };
    peer.reply(call, &reply).await;
    assert_eq!(timeout(PATIENCE, echo).await.unwrap(), Ok(reply));
}

fn guest(client: &Client) -> impl Future<Output = ()> + use<> {
    let client = client.clone();
    let login = tokio::spawn(async move { client.login_guest("0123456789abcdef", None).await });
    async move {
        timeout(PATIENCE, login)
            .await
            .expect("it ends")
            .unwrap()
            .expect("it works");
    }
}

#[tokio::test]
async fn a_store_that_can_not_load_is_told_and_the_client_begins_without() {
    for ill in ILLS {
        let server = Server::start().await;
        let store = IllStore {
            ill,
            loads: true,
            saves: false,
        };
        let client = Client::connect(options(&server).tokens(store)).unwrap();
        let mut events = client.events();
        let (mut peer, token) = server.welcome().await;
        assert_eq!(token, None, "{ill:?}");
        assert!(
            matches!(problem(&mut events).await, Problem::TokensNotLoaded { .. }),
            "{ill:?}"
        );
        timeout(PATIENCE, client.online()).await.unwrap().unwrap();
        works(&client, &mut peer).await;
        let signing_in = guest(&client);
        let (call, _, _) = peer.call::<LoginGuest>().await;
        peer.reply(call, &signed_in(1)).await;
        signing_in.await;
        works(&client, &mut peer).await;
        assert_eq!(*client.connection().borrow(), ConnectionState::Online);
    }
}

#[tokio::test]
async fn a_store_that_can_not_save_is_told_and_messages_go_on() {
    for ill in ILLS.into_iter().filter(|ill| *ill != Ill::Garbage) {
        let server = Server::start().await;
        let store = IllStore {
            ill,
            loads: false,
            saves: true,
        };
        let client = Client::connect(options(&server).tokens(store)).unwrap();
        let mut events = client.events();
        let (mut peer, _) = server.welcome().await;
        let signing_in = guest(&client);
        let (call, _, _) = peer.call::<LoginGuest>().await;
        peer.reply(call, &signed_in(1)).await;
        // Before the sign-in has ended, and so before the store has been given up.
        works(&client, &mut peer).await;
        assert!(
            matches!(problem(&mut events).await, Problem::TokensNotSaved { .. }),
            "{ill:?}"
        );
        signing_in.await;
        assert!(client.identity().is_some());
        works(&client, &mut peer).await;
        assert_eq!(*client.connection().borrow(), ConnectionState::Online);
        client.close();
        assert_eq!(peer.closed().await, Some(1000));
    }
}

/// A store that does one thing wrong once, in its `alone` as well, and panics when it is dropped.
struct IllOnce {
    ill: Ill,
    alone: bool,
    kept: Arc<Mutex<Tokens>>,
    suffered: AtomicBool,
}

impl IllOnce {
    fn suffers(&self) -> bool {
        !self.suffered.swap(true, Ordering::AcqRel)
    }
}

impl TokenStore for IllOnce {
    fn load(&self) -> Result<Tokens, TokenStoreError> {
        Ok(self.kept.lock().clone())
    }

    fn save(&self, tokens: &Tokens) -> Result<(), TokenStoreError> {
        if *tokens != Tokens::default() && !self.alone && self.suffers() {
            return suffer(self.ill).map(drop);
        }
        *self.kept.lock() = tokens.clone();
        Ok(())
    }

    fn alone(&self, work: &mut dyn FnMut()) -> Result<(), TokenStoreError> {
        if self.alone && *self.kept.lock() == tokens(1) && self.suffers() {
            work();
            return suffer(self.ill).map(drop);
        }
        work();
        Ok(())
    }
}

impl Drop for IllOnce {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[tokio::test]
async fn a_store_that_panicked_with_whatever_it_had_is_asked_again() {
    for ill in ILLS {
        for alone in [false, true] {
            // Who hangs is not asked again, and what is kept is not garbage.
            if matches!(ill, Ill::Hangs | Ill::Garbage) {
                continue;
            }
            let server = Server::start().await;
            let kept = Arc::new(Mutex::new(if alone {
                tokens(1)
            } else {
                Tokens::default()
            }));
            let store = IllOnce {
                ill,
                alone,
                kept: Arc::clone(&kept),
                suffered: AtomicBool::new(false),
            };
            let (client, task) = Client::new(options(&server).tokens(store)).unwrap();
            let running = tokio::spawn(task.run());
            let mut events = client.events();
            let (mut peer, _) = server.welcome().await;
            for generation in [1, 2] {
                let signing_in = guest(&client);
                let (call, _, _) = peer.call::<LoginGuest>().await;
                peer.reply(call, &signed_in(generation)).await;
                signing_in.await;
            }
            let told = problem(&mut events).await;
            assert!(
                matches!(
                    told,
                    Problem::TokensNotSaved { .. } | Problem::TokensNotLoaded { .. }
                ),
                "{ill:?} {told:?}"
            );
            assert_eq!(*kept.lock(), tokens(2), "{ill:?} {alone}");
            works(&client, &mut peer).await;
            client.close();
            drop(peer);
            timeout(PATIENCE, running).await.unwrap().unwrap();
        }
    }
}

/// A store in memory that says how often it was looked at, and whether it can be used.
#[derive(Default)]
struct Shared {
    kept: Mutex<Tokens>,
    broken: AtomicBool,
}

impl TokenStore for Shared {
    fn load(&self) -> Result<Tokens, TokenStoreError> {
        if self.broken.load(Ordering::Acquire) {
            return Err("on purpose".into());
        }
        Ok(self.kept.lock().clone())
    }

    fn save(&self, tokens: &Tokens) -> Result<(), TokenStoreError> {
        if self.broken.load(Ordering::Acquire) {
            return Err("on purpose".into());
        }
        *self.kept.lock() = tokens.clone();
        Ok(())
    }
}

/// A client that was signed in with the tokens of generation 1, and whose access token is refused by now.
async fn woken(
    server: &Server,
    store: &Arc<Shared>,
    meanwhile: impl FnOnce(),
) -> (Client, Peer, RefreshTokens) {
    *store.kept.lock() = tokens(1);
    let client = Client::connect(options(server).tokens(Arc::clone(store))).unwrap();
    let (peer, token) = server.welcome().await;
    assert_eq!(token.as_deref(), Some("access 1"));
    timeout(PATIENCE, client.online()).await.unwrap().unwrap();
    meanwhile();
    peer.close(4200).await;
    let mut peer = server.accept().await;
    assert_eq!(peer.hello().await, None);
    peer.say(&welcome(false, None)).await;
    let (call, request, _) = peer.call::<RefreshTokens>().await;
    let answer = RefreshTokens {
        refresh: request.refresh,
    };
    let number = answer
        .refresh
        .trim_start_matches("refresh ")
        .parse()
        .unwrap_or(0);
    peer.reply(call, &signed_in(number + 1)).await;
    timeout(PATIENCE, client.online()).await.unwrap().unwrap();
    (client, peer, answer)
}

#[tokio::test]
async fn a_client_that_slept_uses_the_refresh_token_that_another_has_put_there() {
    let server = Server::start().await;
    let store = Arc::new(Shared::default());
    let change = || *store.kept.lock() = tokens(40);
    let (_client, _peer, used) = woken(&server, &store, change).await;
    assert_eq!(used.refresh, "refresh 40");
}

#[tokio::test]
async fn what_others_did_not_put_there_does_not_replace_what_the_client_holds() {
    let cleared: fn(&Shared) = |store| *store.kept.lock() = Tokens::default();
    let broken: fn(&Shared) = |store| store.broken.store(true, Ordering::Release);
    let garbage: fn(&Shared) = |store| store.kept.lock().refresh = Some("\u{7}".into());
    let nothing: fn(&Shared) = |_| {};
    for (what, meanwhile) in [
        ("nothing happened", nothing),
        ("signed out elsewhere", cleared),
        ("broken", broken),
        ("garbage", garbage),
    ] {
        let server = Server::start().await;
        let store = Arc::new(Shared::default());
        let (_client, _peer, used) = woken(&server, &store, || meanwhile(&store)).await;
        assert_eq!(used.refresh, "refresh 1", "{what}");
    }
}

#[tokio::test]
async fn a_token_that_could_not_be_saved_is_not_given_up_for_the_older_one_in_the_store() {
    let server = Server::start().await;
    let store = Arc::new(Shared::default());
    let broken = || store.broken.store(true, Ordering::Release);
    let (_client, peer, used) = woken(&server, &store, broken).await;
    assert_eq!(used.refresh, "refresh 1");
    store.broken.store(false, Ordering::Release);
    assert_eq!(*store.kept.lock(), tokens(1), "the newer one was not kept");
    peer.close(4200).await;
    let mut peer = server.accept().await;
    peer.hello().await;
    peer.say(&welcome(false, None)).await;
    let (_, request, _) = peer.call::<RefreshTokens>().await;
    assert_eq!(request.refresh, "refresh 2", "the one that is not used up");
}

async fn log_out(client: &Client, peer: &mut Peer) {
    let logout = client.call(Logout {}).send();
    let (call, _, _) = peer.call::<Logout>().await;
    peer.reply(call, &Done {}).await;
    timeout(PATIENCE, logout).await.unwrap().unwrap();
}

#[tokio::test]
async fn signing_out_clears_what_is_ones_own_and_nothing_else() {
    for (found, left) in [
        (tokens(2), Tokens::default()),
        (tokens(40), tokens(40)),
        (Tokens::default(), Tokens::default()),
    ] {
        let server = Server::start().await;
        let store = Arc::new(Shared::default());
        let (client, mut peer, _) = woken(&server, &store, || {}).await;
        while *store.kept.lock() != tokens(2) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        *store.kept.lock() = found;
        log_out(&client, &mut peer).await;
        assert_eq!(*store.kept.lock(), left);
    }
}

#[tokio::test]
async fn an_answer_of_a_sign_in_comes_after_its_tokens_are_kept() {
    struct Late(MemoryTokens);
    impl TokenStore for Late {
        fn load(&self) -> Result<Tokens, TokenStoreError> {
            self.0.load()
        }
        fn save(&self, tokens: &Tokens) -> Result<(), TokenStoreError> {
            std::thread::sleep(Duration::from_millis(200));
            self.0.save(tokens)
        }
    }
    let server = Server::start().await;
    let store = Arc::new(Late(MemoryTokens::default()));
    let client = Client::connect(options(&server).tokens(Arc::clone(&store))).unwrap();
    let (mut peer, _) = server.welcome().await;
    let signing_in = guest(&client);
    let (call, _, _) = peer.call::<LoginGuest>().await;
    peer.reply(call, &signed_in(3)).await;
    signing_in.await;
    assert_eq!(store.load().unwrap(), tokens(3));
}

#[tokio::test]
async fn a_file_keeps_a_player_signed_in_for_the_next_run() {
    let folder = std::env::temp_dir().join(format!("pitturu-store-{}", std::process::id()));
    let file = || FileTokens::new(folder.join("tokens"));
    let server = Server::start().await;
    let client = Client::connect(options(&server).tokens(file())).unwrap();
    let (mut peer, _) = server.welcome().await;
    let signing_in = guest(&client);
    let (call, _, _) = peer.call::<LoginGuest>().await;
    peer.reply(call, &signed_in(1)).await;
    signing_in.await;
    drop((client, peer));

    let client = Client::connect(options(&server).tokens(file())).unwrap();
    let (mut peer, token) = server.welcome().await;
    assert_eq!(token.as_deref(), Some("access 1"));
    timeout(PATIENCE, client.online()).await.unwrap().unwrap();
    log_out(&client, &mut peer).await;
    assert_eq!(file().load().unwrap(), Tokens::default());
    std::fs::remove_dir_all(&folder).unwrap();
}
