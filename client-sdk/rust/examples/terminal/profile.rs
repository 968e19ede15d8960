//! Who this terminal is: a player with a secret and a name, kept between runs, and used by one terminal at a time.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;

use crate::secret;

/// Profiles that are tried before it is given up.
const PROFILES_MAX: u32 = 1_000;

/// A player of this terminal's, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) secret: String,
    pub(crate) name: String,
    /// Keeps other terminals from being the same player.
    _lock: Option<File>,
}

impl Profile {
    /// The player whose secret is in this file, also if another terminal is it as well.
    pub(crate) fn of_file<E: Display>(
        file: &Path,
        name: Option<&str>,
        draw: impl Fn() -> Result<String, E>,
    ) -> Result<Self, String> {
        let secret = secret::load_or_draw(file, &draw)?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => kept_name(&file.with_extension("name"), &draw)?,
        };
        Ok(Self {
            secret,
            name,
            _lock: None,
        })
    }
}

/// The profiles for one server.
#[derive(Clone, Copy)]
pub(crate) struct Profiles<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) url: &'a str,
}

impl Profiles<'_> {
    /// This profile, which no other terminal may be using.
    pub(crate) fn open<E: Display>(
        self,
        profile: &str,
        name: Option<&str>,
        draw: impl Fn() -> Result<String, E>,
    ) -> Result<Profile, String> {
        let in_use = || {
            format!(
                "another terminal is using the profile {profile}; name another, or leave it out"
            )
        };
        self.try_open(profile, name, &draw)?.ok_or_else(in_use)
    }

    /// The first profile that no other terminal is using: of those with the name, if one is given.
    pub(crate) fn first_free<E: Display>(
        self,
        name: Option<&str>,
        draw: impl Fn() -> Result<String, E>,
    ) -> Result<Profile, String> {
        for number in 1..=PROFILES_MAX {
            let profile = match (name, number) {
                (Some(name), 1) => name.to_owned(),
                (Some(name), number) => format!("{name}-{number}"),
                (None, number) => format!("guest-{number}"),
            };
            if let Some(profile) = self.try_open(&profile, name, &draw)? {
                return Ok(profile);
            }
        }
        Err("other terminals are using all profiles".to_owned())
    }

    /// Nothing when another terminal is using it.
    fn try_open<E: Display>(
        self,
        profile: &str,
        name: Option<&str>,
        draw: impl Fn() -> Result<String, E>,
    ) -> Result<Option<Profile>, String> {
        let file = secret::path(self.folder, self.url, profile);
        let Some(lock) = try_lock(&file.with_extension("lock"))? else {
            return Ok(None);
        };
        let opened = Profile::of_file(&file, name, draw)?;
        Ok(Some(Profile {
            _lock: Some(lock),
            ..opened
        }))
    }
}

fn try_lock(path: &Path) -> Result<Option<File>, String> {
    let wrong = |error: &dyn Display| format!("cannot lock {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| wrong(&error))?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = options.open(path).map_err(|error| wrong(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(wrong(&error)),
    }
}

/// The name that was drawn for this player, or is drawn now.
fn kept_name<E: Display>(
    path: &Path,
    draw: impl Fn() -> Result<String, E>,
) -> Result<String, String> {
    match fs::read_to_string(path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        _ => {}
    }
    let drawn = draw().map_err(|error| error.to_string())?;
    let name = format!("Guest-{}", drawn.chars().take(6).collect::<String>());
    fs::write(path, format!("{name}\n"))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Secrets that differ from their beginning.
    fn drawing() -> impl Fn() -> Result<String, String> {
        let drawn = Cell::new(0_u128);
        move || {
            drawn.set(drawn.get() + 1);
            Ok(format!("{:032x}", drawn.get() << 104))
        }
    }

    #[test]
    fn two_terminals_at_once_are_two_people_and_the_next_run_is_the_first_again() {
        let folder = std::env::temp_dir().join(format!("pitturu-profiles-{}", std::process::id()));
        let profiles = Profiles {
            folder: &folder,
            url: "ws://localhost:7350",
        };
        let draw = drawing();
        for name in [None, Some("Ann")] {
            let first = profiles.first_free(name, &draw).unwrap();
            let second = profiles.first_free(name, &draw).unwrap();
            assert_ne!(first.secret, second.secret);
            match name {
                Some(name) => assert_eq!((&*first.name, &*second.name), (name, name)),
                None => assert_ne!(first.name, second.name),
            }
            let (secret, shown) = (first.secret.clone(), first.name.clone());
            drop(first);
            let again = profiles.first_free(name, &draw).unwrap();
            assert_eq!((again.secret, again.name), (secret, shown));
        }
        let mina = profiles.open("mina", None, &draw).unwrap();
        assert!(
            profiles
                .open("mina", None, &draw)
                .unwrap_err()
                .contains("mina")
        );
        let secret = mina.secret.clone();
        drop(mina);
        assert_eq!(profiles.open("mina", None, &draw).unwrap().secret, secret);
        fs::remove_dir_all(&folder).unwrap();
    }
}
