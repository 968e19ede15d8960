//! Tokens in a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{TokenStore, TokenStoreError, Tokens};

/// Keeps tokens in a file that only its owner can read (on Unix), and that several processes may share.
///
/// The file is replaced as a whole, so that a program that ends meanwhile leaves the old or the new tokens. Beside it lies
/// a file with the ending `.lock`, which is locked while tokens are exchanged.
#[derive(Clone, Debug)]
pub struct FileTokens {
    path: PathBuf,
}

impl FileTokens {
    /// Tokens in this file. It and its folder are made when there are tokens to keep.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    }

    fn make_folder(&self) -> io::Result<()> {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => fs::create_dir_all(folder),
            _ => Ok(()),
        }
    }
}

impl TokenStore for FileTokens {
    fn load(&self) -> Result<Tokens, TokenStoreError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => parse(&text).ok_or_else(|| "the file holds no tokens".into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Tokens::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn save(&self, tokens: &Tokens) -> Result<(), TokenStoreError> {
        if *tokens == Tokens::default() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            };
        }
        self.make_folder()?;
        let new = self.beside(".new");
        write_private(&new, &text(tokens))?;
        fs::rename(&new, &self.path)?;
        Ok(())
    }

    fn alone(&self, work: &mut dyn FnMut()) -> Result<(), TokenStoreError> {
        self.make_folder()?;
        let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(self.beside(".lock"))?;
        lock.lock()?;
        work();
        Ok(())
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let options = &mut OpenOptions::new();
    let mut file: File = private(options.write(true).create(true).truncate(true)).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn text(tokens: &Tokens) -> String {
    let line = |name: &str, token: &Option<String>| match token {
        Some(token) => format!("{name} {token}\n"),
        None => String::new(),
    };
    line("access", &tokens.access) + &line("refresh", &tokens.refresh)
}

fn parse(text: &str) -> Option<Tokens> {
    let mut tokens = Tokens::default();
    for line in text.lines() {
        match line.split_once(' ')? {
            ("access", token) => tokens.access = Some(token.to_owned()),
            ("refresh", token) => tokens.refresh = Some(token.to_owned()),
            _ => return None,
        }
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(number: u32) -> Tokens {
        Tokens {
            access: Some(format!("access-{number}")),
            refresh: Some(format!("refresh-{number}")),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_what_is_cleared_is_gone() {
        let folder = std::env::temp_dir().join(format!("pitturu-tokens-{}", std::process::id()));
        let store = FileTokens::new(folder.join("deep").join("tokens"));
        assert_eq!(store.load().unwrap(), Tokens::default());
        store.save(&tokens(1)).unwrap();
        assert_eq!(store.load().unwrap(), tokens(1));
        let mut locked = false;
        store.alone(&mut || locked = true).unwrap();
        assert!(locked);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&store.path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        store.save(&Tokens::default()).unwrap();
        store.save(&Tokens::default()).unwrap();
        assert!(!store.path.exists());
        fs::write(&store.path, "not tokens").unwrap();
        assert!(store.load().is_err());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_lock_keeps_others_out() {
        let folder = std::env::temp_dir().join(format!("pitturu-lock-{}", std::process::id()));
        let store = FileTokens::new(folder.join("tokens"));
        let count = Mutex::new((0, 0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let other = FileTokens::new(folder.join("tokens"));
                    let mut work = || {
                        count.lock().0 += 1;
                        std::thread::yield_now();
                        let mut count = count.lock();
                        count.1 = count.1.max(count.0);
                        count.0 -= 1;
                    };
                    other.alone(&mut work).unwrap();
                });
            }
        });
        assert_eq!(count.lock().1, 1, "one at a time");
        drop(store);
        fs::remove_dir_all(&folder).unwrap();
    }

    use parking_lot::Mutex;
}
