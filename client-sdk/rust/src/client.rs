//! The handle that an application holds.

use std::sync::Arc;
use std::time::Duration;

use pitturu_protocol::client::{ClientConnection, Config, Stats};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{Identity, Login, LoginGuest, Logout, Register, SignedIn};
use pitturu_protocol::types::chat::{CreateRoom, EnterRoom, RoomKind, RoomView};
use pitturu_protocol::types::system::Resume;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::call::Call;
use crate::clock::ServerClock;
use crate::error::CallError;
use crate::event::{ConnectionState, ServerEvent, TypedEvent};
use crate::options::{ClientOptions, InvalidOptions};
use crate::shared::Shared;
use crate::subscribers::{Events, Subscription, notify};
use crate::task::Task;
use crate::transport::{TransportStats, Ways};
use crate::transport_choice::{Transport, TransportPreference};

/// A client of one server. Cloning gives another handle to the same client; when the last is dropped, the client ends.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    call_timeout: Duration,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let connection = self.inner.shared.connection.borrow().clone();
        f.debug_struct("Client")
            .field("connection", &connection)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client and spawns its task on the current tokio runtime. Returns at once: connecting goes on in the
    /// background, and calls made meanwhile wait for it. Outside a runtime it is refused with [`InvalidOptions::NoRuntime`].
    pub fn connect(options: ClientOptions) -> Result<Self, InvalidOptions> {
        let runtime = Handle::try_current().map_err(|_| InvalidOptions::NoRuntime)?;
        let (client, task) = Self::new(options)?;
        runtime.spawn(task.run());
        Ok(client)
    }

    /// Makes a client and its task, for applications that spawn tasks in their own way.
    pub fn new(options: ClientOptions) -> Result<(Self, Task), InvalidOptions> {
        let ways = Ways::new(&options)?;
        let back_off = options.back_off.of_client();
        let back_off = back_off.ok_or(InvalidOptions::BackOff(options.back_off))?;
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| InvalidOptions::Random(error.to_string()))?;
        let config = Config {
            sdk: concat!("rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            reads_tokens: options.tokens.is_some(),
            resume: options.resume,
            back_off,
            measures_clock: true,
            ..Config::default()
        };
        let machine = ClientConnection::new(config, u64::from_ne_bytes(seed));
        let shared = Arc::new(Shared::new(machine));
        let task = Task::new(Arc::clone(&shared), ways, options.tokens);
        let inner = Inner {
            shared,
            call_timeout: options.call_timeout,
        };
        Ok((
            Self {
                inner: Arc::new(inner),
            },
            task,
        ))
    }

    /// Makes a call; awaiting it gives the method's reply. It is queued when it is first polled or [sent](Call::send), also
    /// while there is no connection, and repeated after a lost connection until its deadline; a write takes effect once at
    /// most, since its repetitions carry one idempotency key. `Typing` and `SendEphemeral` are for the moment: they neither
    /// wait for a connection nor are repeated, but end with [`Code::Disconnected`](crate::Code::Disconnected). Sends to one
    /// room keep the order in which they were queued. Dropping the call cancels it.
    ///
    /// ```no_run
    /// # async fn example(client: pitturu_client::Client, room: pitturu_client::RoomId) -> Result<(), pitturu_client::CallError> {
    /// use pitturu_client::types::chat::SendMessage;
    ///
    /// let sent = client
    ///     .call(SendMessage { room, text: "hello".into(), data: None, reply_to: None })
    ///     .await?;
    /// println!("message {}", sent.seq);
    /// # Ok(())
    /// # }
    /// ```
    // A request is given away: what it is sent as is all that is needed of it.
    #[allow(clippy::needless_pass_by_value)]
    pub fn call<M: Method>(&self, request: M) -> Call<M> {
        Call::new(
            Arc::clone(&self.inner.shared),
            &request,
            self.inner.call_timeout,
        )
    }

    /// Creates an account and signs in.
    pub async fn register(&self, username: &str, password: &str) -> Result<SignedIn, CallError> {
        self.call(Register {
            username: username.to_owned(),
            password: password.to_owned(),
            name: None,
            email: None,
            device: None,
        })
        .await
    }

    /// Signs in with name and password.
    pub async fn login(&self, username: &str, password: &str) -> Result<SignedIn, CallError> {
        self.call(Login {
            username: username.to_owned(),
            password: password.to_owned(),
            device: None,
            known: None,
        })
        .await
    }

    /// Signs in with this device's secret, which [`new_guest_secret`](crate::new_guest_secret) drew once and the application keeps. A new secret
    /// makes a new account, called `name`.
    pub async fn login_guest(
        &self,
        secret: &str,
        name: Option<&str>,
    ) -> Result<SignedIn, CallError> {
        self.call(LoginGuest {
            secret: secret.to_owned(),
            name: name.map(str::to_owned),
            device: None,
        })
        .await
    }

    /// Signs out: the tokens are void and forgotten, and no room is followed any more.
    pub async fn logout(&self) -> Result<(), CallError> {
        self.call(Logout {}).await.map(|_| ())
    }

    /// Who is or was last signed in; absent when signed out, and before the first welcome.
    pub fn identity(&self) -> Option<Identity> {
        self.inner
            .shared
            .look(|machine| machine.identity().cloned())
    }

    /// Creates a room, and opens it.
    pub async fn create_room(&self, kind: RoomKind, name: &str) -> Result<RoomView, CallError> {
        self.call(CreateRoom {
            kind,
            name: name.to_owned(),
            topic: None,
            slow_mode_ms: None,
            retention: None,
        })
        .await
    }

    /// Enters the public room with this handle, which is made when there is none: everybody who asks for the same handle meets
    /// in one room, whoever comes first.
    pub async fn enter_room(&self, handle: &str) -> Result<RoomView, CallError> {
        self.call(EnterRoom {
            handle: handle.to_owned(),
        })
        .await
    }

    /// Everything that happens from now on, as an async stream; the first who listens gets what came before as well. See
    /// [`Events`] for what a slow reader gets.
    pub fn events(&self) -> Events {
        self.inner.shared.subscribers.events()
    }

    /// Calls `callback` with each event of one kind, on the client's own task: it must not block. It ends when the guard
    /// is dropped. The first callback for a kind gets what came before it, unless [`Client::events`] or [`Client::on_any`] had it.
    /// A callback that panics is told by [`Problem::CallbackPanicked`](crate::Problem::CallbackPanicked).
    ///
    /// ```no_run
    /// # fn example(client: pitturu_client::Client) {
    /// use pitturu_client::{one_line, types::chat::MessageSent};
    ///
    /// let guard = client.on::<MessageSent>(|sent| println!("{}: {}", one_line(&sent.msg.name), one_line(&sent.msg.text)));
    /// # drop(guard);
    /// # }
    /// ```
    pub fn on<E: TypedEvent>(&self, callback: impl Fn(&E) + Send + Sync + 'static) -> Subscription {
        let call = move |event: &ServerEvent| {
            if let Some(event) = E::of(event) {
                callback(event);
            }
        };
        let subscribers = &self.inner.shared.subscribers;
        subscribers.on(Some(E::NUMBER), Box::new(call))
    }

    /// As [`Client::on`], with every event.
    pub fn on_any(&self, callback: impl Fn(&ServerEvent) + Send + Sync + 'static) -> Subscription {
        self.inner.shared.subscribers.on(None, Box::new(callback))
    }

    /// Where the client stands, now and whenever it changes.
    pub fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.inner.shared.connection.subscribe()
    }

    /// Waits until the client is connected and up to date: from then on [`Client::identity`] says whether somebody is signed
    /// in. Fails with [`CallError::Closed`] when the client is closed or the server has sent it away for good, also later.
    pub async fn online(&self) -> Result<(), CallError> {
        let mut connection = self.connection();
        let state = connection
            .wait_for(|state| {
                matches!(
                    state,
                    ConnectionState::Online | ConnectionState::Stopped { .. }
                )
            })
            .await
            .map_err(|_| CallError::Closed)?;
        match &*state {
            ConnectionState::Online => Ok(()),
            _ => Err(CallError::Closed),
        }
    }

    /// Tries to connect at once, instead of at the end of the wait: for when the device has found a network again, or
    /// after the server [stopped](ConnectionState::Stopped) the client. A client that was closed stays so.
    pub fn reconnect(&self) {
        self.inner.shared.drive(|machine, now| {
            machine.start(now);
            machine.retry_now(now);
        });
        notify(&self.inner.shared.work);
    }

    /// The followed streams with their cursors, for [`ClientOptions::resume`] in a later run. What waits in a reader's
    /// queue counts as received.
    pub fn cursors(&self) -> Resume {
        self.inner.shared.look(|machine| machine.cursors())
    }

    /// Counts for diagnosis.
    pub fn stats(&self) -> Stats {
        self.inner.shared.look(|machine| machine.stats())
    }

    /// The server's clock and the time to the server and back, as far as they are known: from soon after the client is online on, measured
    /// again with each ping and on each later connection. For the time that a server's `at` and ticks are in, and for prediction.
    pub fn clock(&self) -> Option<ServerClock> {
        let shared = &self.inner.shared;
        let estimate = shared.look(ClientConnection::clock)?;
        Some(shared.server_clock(estimate))
    }

    /// Sends input to the match in a room, if the client is connected: by datagram where the connection has them and the input fits into
    /// one, otherwise with the messages. `seq` is the game's own count, by which the server drops what is late. It may be lost, so
    /// each input repeats what the one before said, as far as that counts. Servers take input from the release with games on.
    pub fn input(&self, room: RoomId, seq: u64, data: &[u8]) {
        let shared = &self.inner.shared;
        shared.drive(|machine, _| machine.input(room, seq, data));
        notify(&shared.work);
    }

    /// What carries the present connection; nothing while there is none.
    pub fn transport(&self) -> Option<Transport> {
        self.inner.shared.transports().0
    }

    /// Which transports the client has used so far.
    pub fn transport_stats(&self) -> TransportStats {
        self.inner.shared.transports().1
    }

    /// Changes [`ClientOptions::transport`]. A client that is connected moves over at once where it can: its calls and events go on, and
    /// nothing is told of it.
    pub fn prefer_transport(&self, preference: TransportPreference) {
        self.inner.shared.prefer(preference);
        notify(&self.inner.shared.work);
    }

    /// Ends the client for all its handles, at once and for good: whatever it was doing, it will not connect any more. Calls without an answer fail with [`Code::Disconnected`](crate::Code::Disconnected).
    pub fn close(&self) {
        self.inner.shared.close();
    }
}
