//! A chat client for the terminal, on the Rust SDK.
//!
//! ```text
//! cargo run -p pitturu-client --example terminal -- ws://127.0.0.1:7350 --name Ann --room lobby
//! ```
//!
//! `model` holds all state and decides, `transcript`, `layout` and `view` draw it, `calls` talks to the server. This
//! file waits for what happens next.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange, Event,
    EventStream,
};
use crossterm::execute;
use futures_util::StreamExt;
use pitturu_client::{Client, ClientOptions, ConnectionState, Events, new_guest_secret};
use ratatui::DefaultTerminal;
use tokio::sync::{mpsc, watch};

mod advice;
mod calls;
mod clock;
mod editor;
mod layout;
mod model;
mod profile;
mod secret;
mod text;
mod transcript;
mod view;

use calls::Calls;
use clock::Clock;
use model::{Action, Input, Link, Model, Reply, Start};
use profile::{Profile, Profiles};

/// Answers that wait for the screen.
const REPLIES_MAX: usize = 256;

/// What has happened is taken in up to this many at a time before the screen is drawn.
const INPUTS_PER_DRAW: usize = 512;

/// How often time passes on the screen.
const TICK: Duration = Duration::from_millis(250);

/// Chats in the terminal.
#[derive(Parser)]
#[command(name = "terminal")]
struct Arguments {
    /// Address of the server
    #[arg(default_value = "ws://127.0.0.1:7350")]
    url: String,
    /// Name of a new player; drawn when absent
    #[arg(long)]
    name: Option<String>,
    /// Who to be: each profile is a player of its own, and is the same one in the next run. When absent, the first that no other
    /// terminal is using: those of the name, if one is given
    #[arg(long, conflicts_with = "state")]
    profile: Option<String>,
    /// Public room to enter, made if there is none; `lobby` for those who are in no room
    #[arg(long)]
    room: Option<String>,
    /// File of the secret by which the server knows you again; one per profile and server in the configuration folder
    /// when absent
    #[arg(long)]
    state: Option<PathBuf>,
    /// Offset of the clock from universal time, such as +09:00; the system's when absent
    #[arg(long, value_parser = |text: &str| Clock::parse(text).ok_or("write it as +09:00"))]
    utc_offset: Option<Clock>,
    #[arg(long, hide = true, env = "XDG_CONFIG_HOME")]
    config_folder: Option<PathBuf>,
    #[arg(long, hide = true, env = "APPDATA")]
    app_data: Option<PathBuf>,
    #[arg(long, hide = true, env = "HOME")]
    home: Option<PathBuf>,
}

impl Arguments {
    fn who(&self) -> Result<Profile, String> {
        let name = self.name.as_deref();
        if let Some(file) = &self.state {
            return Profile::of_file(file, name, new_guest_secret);
        }
        let folder = self
            .config_folder
            .clone()
            .filter(|folder| folder.is_absolute())
            .or_else(|| self.app_data.clone())
            .or_else(|| self.home.as_ref().map(|home| home.join(".config")))
            .ok_or("there is no configuration folder; name a file with --state")?;
        let profiles = Profiles {
            folder: &folder,
            url: &self.url,
        };
        match &self.profile {
            Some(profile) => profiles.open(profile, name, new_guest_secret),
            None => profiles.first_free(name, new_guest_secret),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("terminal: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err("this program draws on a terminal; run it in one".to_owned());
    }
    let who = arguments.who()?;
    let options = ClientOptions::new(arguments.url.clone());
    let client = Client::connect(options).map_err(|error| error.to_string())?;
    let start = Start {
        clock: arguments.utc_offset.unwrap_or_else(system_clock),
        url: arguments.url,
        name: who.name.clone(),
        room: arguments.room,
    };
    let mut terminal = ratatui::try_init().map_err(|error| error.to_string())?;
    // Not every terminal knows these; without them pasting and focus are only less exact.
    let _ = execute!(std::io::stdout(), EnableBracketedPaste, EnableFocusChange);
    let outcome = Screen::new(&client, start, who.secret.clone(), &mut terminal)
        .run(&mut terminal)
        .await;
    let _ = execute!(std::io::stdout(), DisableBracketedPaste, DisableFocusChange);
    ratatui::restore();
    client.close();
    outcome.map_err(|error| error.to_string())
}

/// What the wall clock shows, as the system's `date` says; universal time where there is none.
fn system_clock() -> Clock {
    let date = Command::new("date").arg("+%z").output().ok();
    date.and_then(|date| Clock::parse(&String::from_utf8_lossy(&date.stdout)))
        .unwrap_or_default()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

struct Screen {
    model: Model,
    calls: Calls,
    events: Events,
    connection: watch::Receiver<ConnectionState>,
    replies: mpsc::Receiver<Reply>,
    keys: EventStream,
    redraw: bool,
}

impl Screen {
    fn new(client: &Client, start: Start, secret: String, terminal: &mut DefaultTerminal) -> Self {
        let size = terminal
            .size()
            .map_or((80, 24), |size| (size.width, size.height));
        let (to, replies) = mpsc::channel(REPLIES_MAX);
        let calls = Calls {
            client: client.clone(),
            secret,
            name: start.name.clone(),
            replies: to,
        };
        Self {
            model: Model::new(start, size, now()),
            events: client.events(),
            connection: client.connection(),
            calls,
            replies,
            keys: EventStream::new(),
            redraw: false,
        }
    }

    async fn run(&mut self, terminal: &mut DefaultTerminal) -> std::io::Result<()> {
        self.calls.start(Action::SignIn);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut stop = std::pin::pin!(stopped());
        loop {
            if std::mem::take(&mut self.redraw) {
                terminal.clear()?;
            }
            terminal.draw(|frame| {
                let area = frame.area();
                self.model.size = (area.width, area.height);
                if let Some(cursor) = view::draw(&self.model, frame.buffer_mut()) {
                    frame.set_cursor_position(cursor);
                }
            })?;
            let input = tokio::select! {
                key = self.keys.next() => match key {
                    Some(key) => from_terminal(key?),
                    None => return Ok(()),
                },
                event = self.events.next() => match event {
                    Some(event) => Some(Input::Server(Box::new(event))),
                    None => return Ok(()),
                },
                changed = self.connection.changed() => match changed {
                    Ok(()) => Some(Input::Link(self.link())),
                    Err(_) => return Ok(()),
                },
                Some(reply) = self.replies.recv() => Some(Input::Reply(reply)),
                _ = tick.tick() => Some(Input::Tick),
                () = &mut stop => return Ok(()),
            };
            if !self.take(input) {
                return Ok(());
            }
        }
    }

    /// Gives the model what has happened, and all else that waits. Returns whether to go on.
    fn take(&mut self, input: Option<Input>) -> bool {
        let mut next = input;
        for _ in 0..INPUTS_PER_DRAW {
            let Some(input) = next.take() else {
                break;
            };
            for action in self.model.apply(input, now()) {
                match action {
                    Action::Quit => return false,
                    Action::Redraw => self.redraw = true,
                    action => self.calls.start(action),
                }
            }
            next = match self.events.try_next() {
                Some(event) => Some(Input::Server(Box::new(event))),
                None => self.replies.try_recv().ok().map(Input::Reply),
            };
        }
        match next {
            Some(left) => {
                for action in self.model.apply(left, now()) {
                    self.calls.start(action);
                }
                true
            }
            None => true,
        }
    }

    /// Where the client stands, on the clock of the model.
    fn link(&mut self) -> Link {
        match &*self.connection.borrow_and_update() {
            ConnectionState::Offline { retry_at, why } => Link::Offline {
                retry_at: retry_at.map(|at| {
                    let left = at.saturating_duration_since(Instant::now()).as_millis();
                    now().saturating_add(u64::try_from(left).unwrap_or(u64::MAX))
                }),
                why: why.as_deref().map(reason),
            },
            ConnectionState::Connecting => Link::Connecting,
            ConnectionState::CatchingUp => Link::CatchingUp,
            ConnectionState::Online => Link::Online,
            ConnectionState::Stopped { code } => Link::Stopped { code: *code },
        }
    }
}

/// Why there is no connection, without the number that the system has for it.
fn reason(why: &str) -> String {
    let why = why.split_once(" (os error").map_or(why, |(why, _)| why);
    text::clean_line(why)
}

fn from_terminal(event: Event) -> Option<Input> {
    Some(match event {
        Event::Key(key) => Input::Key(key),
        Event::Paste(text) => Input::Paste(text),
        Event::Resize(columns, rows) => Input::Resize(columns, rows),
        Event::FocusGained => Input::Focus(true),
        Event::FocusLost => Input::Focus(false),
        Event::Mouse(_) => return None,
    })
}

/// Waits until the system asks the program to end, so that the terminal is left as it was.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let both = (
            signal(SignalKind::terminate()),
            signal(SignalKind::hangup()),
        );
        if let (Ok(mut terminate), Ok(mut hangup)) = both {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            return;
        }
    }
    std::future::pending().await
}
