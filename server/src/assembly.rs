//! The services over one store: what [`crate::app`] runs behind its connections.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use pitturu_metrics::table;
use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::server::Timing;
use pitturu_protocol::types::chat::Retention;
use pitturu_protocol::types::system::{Goaway, GoawayReason, QuicAddress};
use pitturu_rules::accounts::Hidden;
use pitturu_rules::game_data::{Game, GameData};
use pitturu_rules::rooms::ChatLimits;
use pitturu_rules::word_list::WordList;
use pitturu_store::clock::{Steady, now_ms};
use pitturu_store::embedded::Embedded;
use pitturu_store::embedded::engine::{EngineHealth, EngineOptions, OpenError};
use pitturu_store::master_keys::MasterKeys;
use pitturu_store::{Ports, StoreError};
use tokio::sync::watch;

use crate::app::open_files::OpenFiles;
use crate::app::{Sessions, StartError};
use crate::config::Config;
use crate::config::values::Reason;
use crate::connections::automod::{Rule, Rules};
use crate::connections::link::{Link, Peer};
use crate::io_threads::IoThreads;
use crate::ops::Ops;
use crate::ops::health::Health;
use crate::players::store::PlayerStore;
use crate::random::random_bytes;
use crate::replaceable::Replaceable;
use crate::services::accounts::AccountsConfig;
use crate::services::accounts::lockout::LockoutConfig;
use crate::services::accounts::masters::Masters;
use crate::services::accounts::passwords::PasswordConfig;
use crate::services::accounts::reset_delivery::hook::{HookConfig, HookDelivery};
use crate::services::accounts::reset_delivery::{LogDelivery, ResetDelivery};
use crate::services::accounts::signing::SigningConfig;
use crate::services::accounts::ticks::Ticks;
use crate::services::audit_log::verification::{KnownEntry, Verification};
use crate::services::points::audit::Audit;
use crate::services::{Services, ServicesConfig};
use crate::session::rates::{Allowance, Allowances, Rates};
use crate::session::{self, SessionConfig, SessionContext};

pub mod backups;
mod words;

use words::Words;

/// How often what has run out is cleaned up.
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);

/// How many times as many wrong passwords are free for a name from all networks as from one.
const NAME_TOTAL: u32 = 20;

/// A running server behind its sockets.
#[derive(Clone)]
pub struct Running {
    context: Arc<SessionContext>,
    store: Embedded,
    words: Words,
}

/// What sessions take over of a configuration that was read again.
pub struct Reloaded {
    words: WordList,
    automod: Rules,
    allowances: Allowances,
    session: SessionConfig,
}

impl Sessions for Running {
    type Reloaded = Reloaded;

    fn read_again(&self, config: &Config) -> Result<Reloaded, StartError> {
        let in_use = self.context.config.get();
        Ok(Reloaded {
            words: words::read(config)?,
            automod: automod_rules(config),
            allowances: allowances(config),
            session: SessionConfig {
                timing: in_use.timing,
                close_timeout: in_use.close_timeout,
                ..session_config(config)
            },
        })
    }

    fn take_over(&self, reloaded: Reloaded) {
        self.words.replace(reloaded.words);
        self.context.services.automod.replace(reloaded.automod);
        self.context.rates.replace(&reloaded.allowances);
        self.context.config.replace(reloaded.session);
    }

    fn serve<L: Link>(
        self,
        link: L,
        peer: Peer,
    ) -> impl Future<Output = ()> + Send + use<L> + 'static {
        session::serve(link, peer, self.context)
    }

    fn go_away(&self, spread_ms: u64) {
        let goaway = Goaway {
            reason: GoawayReason::Shutdown,
            reconnect: true,
            within_ms: spread_ms,
        };
        self.context
            .services
            .registry
            .goaway(&goaway, CloseCode::ShuttingDown);
    }

    async fn close(&self) {
        let store = self.store.clone();
        let closed = tokio::task::spawn_blocking(move || store.engine().close()).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the store was not closed in order");
        }
    }
}

/// Opens the store and starts the services.
pub async fn start(
    config: &Config,
    io_threads: &IoThreads,
    ops: &Ops,
    quic: watch::Receiver<Option<QuicAddress>>,
) -> Result<Running, StartError> {
    let store = open_store(config, &ops.health).await?;
    backups::offer(config, &store, &ops.backups);
    let words = Words::open(config)?;
    let services = ServicesConfig {
        shards: shards(config.chat.shards),
        chat: chat_limits(config, &words),
        rooms_per_player_max: config.chat.rooms_per_player_max as usize,
        accounts: accounts_config(config),
        masters: masters(config).await?,
        reset_delivery: reset_delivery(config)?,
        game: Arc::new(game(config)?),
        // The store keeps them for one generation of keys, or nearly two.
        keys_kept_ms: milliseconds(config.store.keys_kept).saturating_mul(2),
    };
    let services = Services::start(Ports::all(store.clone()), io_threads, services, now_ms())
        .await
        .map_err(|error| part("accounts", &error))?;
    services.automod.replace(automod_rules(config));
    let registry = Arc::clone(&services.registry);
    ops.metrics.sample(sampler(&services, store.clone()));
    let context = Arc::new(SessionContext {
        services,
        rates: Rates::new(&allowances(config)),
        config: Replaceable::new(session_config(config)),
        quic,
    });
    tokio::spawn(maintain(Arc::clone(&context)));
    ops.health
        .count("players", move || registry.player_count() as u64);
    Ok(Running {
        context,
        store,
        words,
    })
}

/// What is read when somebody looks at the metrics, rather than counted.
fn sampler(services: &Services, store: Embedded) -> impl Fn() + Send + Sync + 'static {
    let registry = Arc::clone(&services.registry);
    let owners = Arc::clone(&services.owners_gauge);
    move || {
        table::PLAYERS_SIGNED_IN.count(registry.player_count());
        owners();
        let engine = store.engine();
        let (jobs, bytes) = engine.queue_depth();
        table::STORE_QUEUE_JOBS.count(jobs);
        table::STORE_QUEUE_BYTES.count(bytes);
        let is_writable = matches!(engine.health(), EngineHealth::Ok);
        table::STORE_WRITABLE.set(f64::from(u8::from(is_writable)));
    }
}

async fn open_store(config: &Config, health: &Health) -> Result<Embedded, StartError> {
    let opened = open_folder(config).await?;
    let store = opened.map_err(|error| StartError::Store(error.to_string()))?;
    watch(&store, health);
    Ok(store)
}

async fn open_folder(config: &Config) -> Result<Result<Embedded, OpenError>, StartError> {
    let settings = &config.store;
    let options = EngineOptions {
        cache_bytes: settings.cache.bytes() as u64,
        memtable_bytes: settings.memtable.bytes() as u64,
        journal_bytes_max: settings.journal_max.bytes() as u64,
        worker_threads: settings.worker_threads,
        files_kept: OpenFiles::now().kept_by_store(),
        free_bytes_min: settings.free_min.bytes() as u64,
        queue_jobs_max: settings.queue_jobs_max,
        queue_bytes_max: settings.queue_max.bytes(),
        key_generation: settings.keys_kept,
        commit_every: settings.commit_every,
    };
    let dir = settings.dir.to_path_buf();
    tokio::task::spawn_blocking(move || Embedded::open(&dir, options))
        .await
        .map_err(|error| part("the store", &error))
}

/// Lets the store say whether it is ready.
fn watch(store: &Embedded, health: &Health) {
    let engine = store.engine().clone();
    health.probe("store", move || match engine.health() {
        EngineHealth::Ok => Ok(()),
        EngineHealth::Failing { reason, recovers } => Err(if recovers {
            format!("{reason}; goes on by itself when the cause is gone")
        } else {
            format!("{reason}; mend the cause and restart")
        }),
        EngineHealth::Closed => Err("closed".to_owned()),
    });
}

/// Adds up the ledger of points of a server that does not run.
///
/// # Errors
/// [`StartError::Store`]: there is none, it can't be opened, because a server has it open or for another reason, or it can't be read.
pub async fn verify_ledger(config: &Config) -> Result<Audit, StartError> {
    look_at_players(config, async |players| Audit::of_all(players).await).await
}

/// Checks every entry of the audit log of a server that does not run.
///
/// # Errors
/// [`StartError::Store`].
pub async fn verify_audit_log(
    config: &Config,
    known: &[KnownEntry],
) -> Result<Verification, StartError> {
    look_at_players(config, async |players| {
        Verification::of(players, known).await
    })
    .await
}

/// Opens the store of a server that does not run, and looks at the players in it.
async fn look_at_players<T>(
    config: &Config,
    look: impl AsyncFnOnce(&PlayerStore) -> Result<T, StoreError>,
) -> Result<T, StartError> {
    check_there(config)?;
    let store = open_store(config, &Health::new()).await?;
    let players = PlayerStore::new(Ports::all(store.clone()).entities);
    let found = look(&players).await;
    store.engine().close();
    found.map_err(|error| StartError::Store(error.to_string()))
}

/// Refuses a folder without a store. Opening would make one, in which there is nothing wrong, and nothing else either.
fn check_there(config: &Config) -> Result<(), StartError> {
    if Embedded::is_in(&config.store.dir) {
        return Ok(());
    }
    let dir = config.store.dir.display();
    let text = format!("there is no store in {dir}; --data or store.dir names the server's");
    Err(StartError::Store(text))
}

async fn masters(config: &Config) -> Result<Masters, StartError> {
    let path = config.master_file();
    let opened = move || MasterKeys::open(&path, random_bytes(), now_ms());
    let opened = tokio::task::spawn_blocking(opened).await;
    let opened = opened.map_err(|error| part("master keys", &error))?;
    let keys = opened.map_err(|error| StartError::Store(error.to_string()))?;
    Ok(Masters::new(keys))
}

fn accounts_config(config: &Config) -> AccountsConfig {
    let settings = &config.accounts;
    let threads = match settings.bcrypt_threads {
        0 => PasswordConfig::default().threads,
        threads => threads,
    };
    AccountsConfig {
        passwords: PasswordConfig {
            cost: settings.bcrypt_cost,
            threads,
        },
        signing: SigningConfig {
            access_life_ms: milliseconds(settings.access_life),
            key_age_max_ms: milliseconds(settings.key_age_max),
            rotate_at_start: settings.rotate_key,
        },
        deletion_grace_ms: milliseconds(settings.deletion_grace),
        lockout: LockoutConfig {
            name_failures_free: settings.lockout_name_free,
            name_total_free: settings.lockout_name_free.saturating_mul(NAME_TOTAL),
            address_failures_free: settings.lockout_address_free,
            delay_first_ms: milliseconds(settings.lockout_delay_first),
            delay_max_ms: milliseconds(settings.lockout_delay_max),
        },
        refresh_life_ms: milliseconds(settings.refresh_life),
        reset_life_ms: milliseconds(settings.reset_life),
        admins: settings.admins.clone(),
        ticks: Ticks::default(),
    }
}

fn reset_delivery(config: &Config) -> Result<Option<Arc<dyn ResetDelivery>>, StartError> {
    match &config.accounts.reset_hook {
        Some(url) => {
            let bearer = config.accounts.reset_hook_token.as_ref();
            let bearer = bearer.map(|bearer| Hidden(bearer.reveal().to_owned()));
            let hook = HookConfig {
                url: Hidden(url.reveal().to_owned()),
                bearer,
            };
            let (reset_delivery, posting) =
                HookDelivery::new(hook).map_err(|error| StartError::Misconfigured {
                    key: "accounts.reset_hook",
                    reason: error.to_string(),
                })?;
            tokio::spawn(posting);
            Ok(Some(Arc::new(reset_delivery)))
        }
        None if config.dev => Ok(Some(Arc::new(LogDelivery))),
        None => Ok(None),
    }
}

fn chat_limits(config: &Config, words: &Words) -> ChatLimits {
    let retention = Retention {
        age_ms: config.chat.retention_age.map(milliseconds),
        messages: config.chat.retention_messages,
    };
    ChatLimits {
        members_max: config.chat.members_max,
        retention,
        filter: Some(Arc::new(words.clone())),
    }
}

fn game(config: &Config) -> Result<Game, StartError> {
    let Some(path) = &config.game.file else {
        return Ok(Game::default());
    };
    let wrong = |reason: String| StartError::Misconfigured {
        key: "game.file",
        reason: format!("{}: {reason}", path.display()),
    };
    let text = std::fs::read_to_string(&**path).map_err(|error| wrong(error.to_string()))?;
    let data: GameData = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    Game::of(data).map_err(|mistakes| {
        let mistakes = mistakes.iter().map(ToString::to_string);
        wrong(mistakes.collect::<Vec<_>>().join("\n"))
    })
}

fn allowances(config: &Config) -> Allowances {
    let limits = &config.limits;
    Allowances {
        free: Allowance::new(limits.free_per_second, limits.free_burst),
        read: Allowance::new(limits.read_per_second, limits.read_burst),
        write: Allowance::new(limits.write_per_second, limits.write_burst),
        chat: Allowance::new(limits.chat_per_second, limits.chat_burst),
        sign_in: Allowance::new(limits.sign_in_per_second, limits.sign_in_burst),
        service: Allowance::new(limits.service_per_second, limits.service_burst),
    }
}

fn automod_rules(config: &Config) -> Rules {
    let automod = &config.automod;
    let rule = |act, refusals, within, lasts, reason: &Reason| Rule {
        refusals,
        within_ms: milliseconds(within),
        act,
        lasts_ms: milliseconds(lasts),
        reason: reason.as_str().to_owned(),
    };
    let flood = |act| {
        let (refusals, within) = (automod.flood_refusals as usize, automod.flood_within);
        rule(
            act,
            refusals,
            within,
            automod.flood_lasts,
            &automod.flood_reason,
        )
    };
    let filter = |act| {
        let (refusals, within) = (automod.filter_refusals as usize, automod.filter_within);
        rule(
            act,
            refusals,
            within,
            automod.filter_lasts,
            &automod.filter_reason,
        )
    };
    Rules {
        flood: automod.flood_act.map(flood),
        filter: automod.filter_act.map(filter),
    }
}

fn session_config(config: &Config) -> SessionConfig {
    SessionConfig {
        outbox_bytes: config.limits.outbox.bytes(),
        timing: Timing {
            hello_ms: milliseconds(config.heartbeat.hello_timeout),
            ping_ms: milliseconds(config.heartbeat.ping),
        },
        close_timeout: config.heartbeat.close_timeout,
        frames_per_second: config.limits.frames_per_second,
    }
}

/// Cleans up what has run out, until the process ends.
async fn maintain(context: Arc<SessionContext>) {
    let mut tick = tokio::time::interval(MAINTAIN_EVERY);
    loop {
        tick.tick().await;
        context.rates.forget_idle();
        context.services.automod.forget_idle(Steady::now());
        if let Err(error) = context.services.accounts.maintain(now_ms()).await {
            tracing::warn!(%error, "keys and tokens are cleaned up at the next turn");
        }
    }
}

fn shards(configured: usize) -> usize {
    match configured {
        0 => 2 * std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        shards => shards,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn part(part: &'static str, error: &dyn std::error::Error) -> StartError {
    StartError::Part {
        part,
        reason: error.to_string(),
    }
}
