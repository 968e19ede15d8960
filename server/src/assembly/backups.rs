//! Backups of the store, of a server that runs or does not, and the way back.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pitturu_metrics::table;
use pitturu_store::clock::now_ms;
use pitturu_store::embedded::Embedded;
use pitturu_store::embedded::engine::{
    Backup, BackupError, OpenError, StoreId, restore as restore_store,
};
use tracing::{info, warn};

use super::{check_there, open_folder};
use crate::app::StartError;
use crate::config::{Config, is_below, plain};
use crate::ops::backups::{ALLOWED, Backups, NotMade, Store, ask, is_name};

/// The key of the configuration that says where backups lie.
const FOLDER: &str = "backup.folder";

const NOWHERE: &str = "it is not set, so there is nowhere to put a backup: name a folder in the server's configuration, best on another \
                       disk, and start the server again";

/// Makes backups of this store for whoever asks for them at the operations port.
pub(super) fn offer(config: &Config, store: &Embedded, backups: &Backups) {
    let of = Store {
        id: store.engine().id().to_string(),
        place: plain(&config.store.dir).display().to_string(),
    };
    let (folder, store) = (folder(config), store.clone());
    backups.made_by(of, move |name| {
        let made = make(&store, folder.as_deref(), name);
        made.map(|backup| described(&backup))
            .map_err(|error| match error {
                MakeError::Store(why) if why.is_refusal() => NotMade::Refused(why.to_string()),
                error => NotMade::Failed(StartError::from(error).to_string()),
            })
    });
}

/// Makes a backup: the server that uses the store does so, or this process where none runs. What it is, for people to read.
///
/// # Errors
/// [`StartError::Store`]: there is none, or it could not be copied. [`StartError::Misconfigured`]: there is nowhere to put it.
pub async fn back_up(config: &Config, name: Option<String>) -> Result<String, StartError> {
    let name = name.unwrap_or_else(|| time_of(now_ms()).replace(['-', ':'], ""));
    if !is_name(&name) {
        return Err(StartError::Store(ALLOWED.to_owned()));
    }
    check_there(config)?;
    let store = match open_folder(config).await? {
        Ok(store) => store,
        Err(OpenError::Locked { .. }) => {
            let store = store_meant(config)?.to_string();
            let asked = ask(config.ops.listen, &name, &store).await;
            return asked.map_err(|error| StartError::Store(error.to_string()));
        }
        Err(error) => return Err(StartError::Store(error.to_string())),
    };
    let folder = folder(config);
    let made = tokio::task::spawn_blocking(move || {
        let made = make(&store, folder.as_deref(), &name);
        store.engine().close();
        made
    });
    let made = made
        .await
        .map_err(|error| super::part("the backup", &error))?;
    made.map(|backup| described(&backup))
        .map_err(StartError::from)
}

/// Which store the configuration names, which another process uses.
fn store_meant(config: &Config) -> Result<StoreId, StartError> {
    let dir = &config.store.dir;
    StoreId::of(dir).map_err(|error| {
        let text = format!(
            "the lock of the store in {} can't be read: {error}; see to the disk, and ask again",
            dir.display()
        );
        StartError::Store(text)
    })
}

/// Makes the store of the configuration out of a backup. What it is, for people to read.
///
/// # Errors
/// [`StartError::Store`] says what to do. [`StartError::Misconfigured`]: backup and store lie in each other.
pub fn restore(config: &Config, from: &Path) -> Result<String, StartError> {
    let dir = &config.store.dir;
    check_apart(dir, from)?;
    let restored = restore_store(from, dir, config.store.free_min.bytes() as u64)
        .map_err(|error| StartError::Store(error.to_string()))?;
    let masters = config.master_file();
    let keys = match masters.exists() {
        true => String::new(),
        false => format!(
            "\nthere are no master keys at {}: put the old ones there before the start, or every session has to refresh its tokens",
            masters.display()
        ),
    };
    Ok(format!("restored to {}{keys}", described(&restored)))
}

/// A backup is only read: nothing is written into it, and it is no part of a store.
fn check_apart(dir: &Path, from: &Path) -> Result<(), StartError> {
    let relation = if is_below(dir, from) {
        "lies in the backup"
    } else if is_below(from, dir) {
        "has the backup in it"
    } else {
        return Ok(());
    };
    Err(StartError::Misconfigured {
        key: "store.dir",
        reason: format!(
            "{} {relation} {}, which is only read: name a folder apart from it (--data FOLDER, and then store.dir)",
            dir.display(),
            from.display()
        ),
    })
}

fn folder(config: &Config) -> Option<PathBuf> {
    config
        .backup
        .folder
        .as_ref()
        .map(|folder| folder.to_path_buf())
}

/// Why a store was not copied.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error("{NOWHERE}")]
    Nowhere,
    #[error(transparent)]
    Store(#[from] BackupError),
}

impl From<MakeError> for StartError {
    fn from(error: MakeError) -> Self {
        match error {
            MakeError::Nowhere => Self::Misconfigured {
                key: FOLDER,
                reason: NOWHERE.to_owned(),
            },
            MakeError::Store(error) => Self::Store(error.to_string()),
        }
    }
}

fn make(store: &Embedded, folder: Option<&Path>, name: &str) -> Result<Backup, MakeError> {
    let Some(folder) = folder else {
        return Err(MakeError::Nowhere);
    };
    match store.engine().backup(&folder.join(name)) {
        Ok(backup) => {
            #[expect(clippy::cast_precision_loss, reason = "gauges are approximate")]
            table::BACKUP_MADE.set(backup.moment as f64 / 1_000.0);
            info!(dir = %backup.dir.display(), rows = backup.rows, bytes = backup.bytes, "backup made");
            Ok(backup)
        }
        Err(error) => {
            // An alert stands on it: a second backup of one name is nobody's trouble.
            if !error.is_refusal() {
                table::BACKUPS_FAILED.increment();
            }
            warn!(%error, "no backup was made");
            Err(error.into())
        }
    }
}

fn described(backup: &Backup) -> String {
    format!(
        "{}: the store as of {} (commit {}), {} tables with {} rows of {} bytes, verified",
        backup.dir.display(),
        time_of(backup.moment),
        backup.commit,
        backup.tables,
        backup.rows,
        backup.bytes
    )
}

fn time_of(ms: u64) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    humantime::format_rfc3339_seconds(at).to_string()
}
