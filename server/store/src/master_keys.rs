//! The master keys, in a file of their own outside the store: who has a copy of the store can forge nothing without it.
//!
//! The file has one key a line, newest first: when it was made, in milliseconds since 1970, and 64 hexadecimal digits. It is replaced as a whole, so that a
//! crash leaves the old file or the new one. Without the file new keys are made, and what was signed with the lost ones is good no longer.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::auth_keys::Secret;

/// Most keys that are kept: many times more than rotation by age leaves.
const KEYS_MAX: usize = 64;

/// A master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKey {
    /// The key.
    pub secret: Secret,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
}

/// Why the file can't be used. Each text names it and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeysError {
    /// It can't be read or written.
    #[error("the file of master keys {} cannot be used: {source}; it is made where this user may write, and accounts.master_file says where", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("others may read the file of master keys {} (mode {mode:04o}); run: chmod 600 '{}', and have the keys replaced by accounts.rotate_key", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Whoever uses the machine may put another file in its place.
    #[error("anybody may write into {}, where the file of master keys lies (mode {mode:04o}); run: chmod o-w '{}', or name another place by accounts.master_file", folder.display(), folder.display())]
    Replaceable {
        /// The folder.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error("line {line} of the file of master keys {} is none; restore the file, or remove it to sign everybody's connections in anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

/// All master keys, newest first, of which there is at least one, and where they are kept.
#[derive(Clone, Debug)]
pub struct MasterKeys {
    /// None: in memory alone.
    path: Option<PathBuf>,
    keys: Vec<MasterKey>,
}

impl MasterKeys {
    /// Reads the keys, or makes the file with `fresh` as its only one.
    ///
    /// # Errors
    /// [`MasterKeysError`].
    pub fn open(path: &Path, fresh: [u8; 32], now: u64) -> Result<Self, MasterKeysError> {
        check_folder(path)?;
        let keys = match fs::read_to_string(path) {
            Ok(text) => {
                check_mode(path)?;
                parse(path, &text)?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(refused(path, error)),
        };
        let mut opened = Self {
            path: Some(path.to_path_buf()),
            keys,
        };
        if opened.keys.is_empty() {
            opened.add(fresh, now, 0)?;
        }
        Ok(opened)
    }

    /// One key that is written nowhere.
    pub fn in_memory(secret: [u8; 32]) -> Self {
        let secret = Secret(secret);
        let key = MasterKey {
            secret,
            created_at: 0,
        };
        Self {
            path: None,
            keys: vec![key],
        }
    }

    /// The key that is used for what is new.
    pub fn newest(&self) -> &MasterKey {
        &self.keys[0]
    }

    /// All of them, newest first.
    pub fn all(&self) -> impl Iterator<Item = &MasterKey> {
        self.keys.iter()
    }

    /// Makes `fresh` the newest key, durably, and forgets those that were replaced more than `kept_ms` milliseconds ago.
    ///
    /// # Errors
    /// [`MasterKeysError::Io`]: the keys are as they were.
    pub fn add(&mut self, fresh: [u8; 32], now: u64, kept_ms: u64) -> Result<(), MasterKeysError> {
        let mut keys = vec![MasterKey {
            secret: Secret(fresh),
            created_at: now,
        }];
        let mut replaced_at = now;
        for key in &self.keys {
            if replaced_at.saturating_add(kept_ms) > now && keys.len() < KEYS_MAX {
                keys.push(key.clone());
            }
            replaced_at = key.created_at;
        }
        if let Some(path) = &self.path {
            write(path, &keys).map_err(|source| refused(path, source))?;
        }
        self.keys = keys;
        Ok(())
    }
}

/// Refuses a folder in which anybody may replace the file. Where it is sticky, as `/tmp` is, only the owner of a file may.
fn check_folder(path: &Path) -> Result<(), MasterKeysError> {
    const STICKY: u32 = 0o1000;
    const OTHERS_WRITE: u32 = 0o002;
    let folder = folder_of(path);
    // One that is not there is told when the file is made.
    let Ok(metadata) = fs::metadata(folder) else {
        return Ok(());
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS_WRITE == 0 || mode & STICKY != 0 {
        return Ok(());
    }
    Err(MasterKeysError::Replaceable {
        folder: folder.to_path_buf(),
        mode,
    })
}

fn check_mode(path: &Path) -> Result<(), MasterKeysError> {
    let metadata = fs::metadata(path).map_err(|source| refused(path, source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(MasterKeysError::Exposed {
        path: path.to_path_buf(),
        mode,
    })
}

fn parse(path: &Path, text: &str) -> Result<Vec<MasterKey>, MasterKeysError> {
    let lines = text.lines().enumerate();
    lines
        .map(|(number, line)| {
            key(line).ok_or_else(|| MasterKeysError::Damaged {
                path: path.to_path_buf(),
                line: number + 1,
            })
        })
        .collect()
}

fn key(line: &str) -> Option<MasterKey> {
    let (created_at, digits) = line.split_once(' ')?;
    let digits: Vec<u32> = digits
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |sum, digit| sum << 4 | digit))
        .map(u8::try_from)
        .collect::<Result<_, _>>()
        .ok()?;
    let secret = (digits.len() == 64).then_some(bytes)?.try_into().ok()?;
    Some(MasterKey {
        secret: Secret(secret),
        created_at: created_at.parse().ok()?,
    })
}

fn write(path: &Path, keys: &[MasterKey]) -> io::Result<()> {
    let mut text = String::new();
    for key in keys {
        let _ = write!(text, "{} ", key.created_at);
        for byte in key.secret.0 {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let draft = PathBuf::from(draft);
    // What an earlier start has left there may be open to others.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn refused(path: &Path, source: io::Error) -> MasterKeysError {
    MasterKeysError::Io {
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn secrets(keys: &MasterKeys) -> Vec<u8> {
        keys.all().map(|key| key.secret.0[0]).collect()
    }

    #[test]
    fn keys_are_kept_until_nothing_of_theirs_is_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master");
        let mut keys = MasterKeys::open(&path, [1; 32], 1_000).unwrap();
        keys.add([2; 32], 2_000, 500).unwrap();
        assert_eq!(secrets(&keys), [2, 1], "replaced just now");
        let mut keys = MasterKeys::open(&path, [9; 32], 3_000).unwrap();
        assert_eq!(secrets(&keys), [2, 1]);
        assert_eq!(keys.newest().created_at, 2_000);
        keys.add([3; 32], 2_500, 500).unwrap();
        assert_eq!(secrets(&keys), [3, 2], "the first was replaced 500 ms ago");
        assert_eq!(
            secrets(&MasterKeys::open(&path, [9; 32], 0).unwrap()),
            [3, 2]
        );
        for number in 0..=255 {
            keys.add([number; 32], 2_500, 500).unwrap();
        }
        assert_eq!(secrets(&keys).len(), KEYS_MAX);
        assert!(!format!("{keys:?}").contains("255"), "logs don't show them");
    }

    #[test]
    fn the_folder_lets_nobody_else_replace_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("keys");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("master");
        for (mode, may_be) in [
            (0o700, true),
            (0o755, true),
            (0o775, true),
            (0o1777, true),
            (0o777, false),
            (0o702, false),
        ] {
            fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
            let opened = MasterKeys::open(&path, [1; 32], 1_000);
            assert_eq!(opened.is_ok(), may_be, "{mode:o}");
        }
    }

    #[test]
    fn the_file_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master");
        fs::write(dir.path().join("master.draft"), "left").unwrap();
        let mut keys = MasterKeys::open(&path, [1; 32], 1_000).unwrap();
        keys.add([2; 32], 2_000, 500).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        for mode in [0o640, 0o604, 0o620, 0o644, 0o666, 0o777] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let text = MasterKeys::open(&path, [1; 32], 0).unwrap_err().to_string();
            assert!(
                text.contains(&format!("chmod 600 '{}'", path.display())),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master");
        let good = format!("5 {}\n", "ab".repeat(32));
        for bad in [
            "x",
            "5",
            "5 ab",
            &"5 ".repeat(40),
            &good.replace('a', "é"),
            &good.replace('5', "-5"),
        ] {
            MasterKeys::open(&path, [1; 32], 0).unwrap();
            fs::write(&path, format!("{good}{bad}")).unwrap();
            let error = MasterKeys::open(&path, [1; 32], 0).unwrap_err();
            assert!(
                matches!(error, MasterKeysError::Damaged { line: 2, .. }),
                "{bad}"
            );
            fs::remove_file(&path).unwrap();
        }
        let nowhere = dir.path().join("no").join("master");
        let error = MasterKeys::open(&nowhere, [1; 32], 0).unwrap_err();
        assert!(
            error.to_string().contains("accounts.master_file"),
            "{error}"
        );
    }
}
