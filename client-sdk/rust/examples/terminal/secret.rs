//! The secret by which the server knows this player again, in a file that only they can read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the secret of this player on this server is kept.
pub(crate) fn path(folder: &Path, url: &str, name: &str) -> PathBuf {
    let server = url.split_once("://").map_or(url, |(_, server)| server);
    folder
        .join("pitturu")
        .join(format!("{}@{}.secret", plain(name), plain(server)))
}

/// The name as part of a file's name: different names stay different.
fn plain(name: &str) -> String {
    let mut out = String::new();
    for char in name.chars() {
        match char {
            '-' | '_' => out.push(char),
            char if char.is_alphanumeric() => out.push(char),
            other => out.push_str(&format!("%{:x}", u32::from(other))),
        }
    }
    out
}

/// The secret in this file, or the one that `draw` gives, which is written there first.
pub(crate) fn load_or_draw<E>(
    path: &Path,
    draw: impl FnOnce() -> Result<String, E>,
) -> Result<String, String>
where
    E: std::fmt::Display,
{
    match fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 16 => return Ok(text.trim().to_owned()),
        Ok(_) => {
            return Err(format!(
                "{} holds no secret; delete it, or name another file with --state",
                path.display()
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot("read", path, &error)),
    }
    let secret = draw().map_err(|error| error.to_string())?;
    write(path, &secret).map_err(|error| cannot("write", path, &error))?;
    Ok(secret)
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> String {
    format!(
        "cannot {what} {}: {error}; name another file with --state",
        path.display()
    )
}

fn write(path: &Path, secret: &str) -> io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_player_of_each_server_has_a_file() {
        let of = |url, name| path(Path::new("c"), url, name).display().to_string();
        assert_eq!(
            of("ws://localhost:7350", "Ann"),
            "c/pitturu/Ann@localhost%3a7350.secret"
        );
        assert_ne!(of("ws://a", "a b"), of("ws://a", "a_b"));
        assert!(!of("ws://a/../..", "../x").contains(".."));
    }

    #[test]
    fn the_secret_is_drawn_once() {
        let folder = std::env::temp_dir().join(format!("pitturu-secret-{}", std::process::id()));
        let file = folder.join("deep").join("ann");
        let draw = |secret: &str| Ok::<_, String>(secret.to_owned());
        let first = load_or_draw(&file, || draw("0123456789abcdef")).unwrap();
        assert_eq!(load_or_draw(&file, || draw("another")).unwrap(), first);
        fs::write(&file, "short").unwrap();
        assert!(
            load_or_draw(&file, || draw("x"))
                .unwrap_err()
                .contains("--state")
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
