//! Backups over the operations port: `POST /backup?name=…` makes one, and is answered when it is verified.
//!
//! The port asks nobody who they are. So only a program of the same machine is listened to, no web page that a browser there shows, and
//! it gives a name, never a path: where backups lie is in the server's configuration. It may name the store that it means, by
//! [`STORE_HEADER`], and then a server that runs on another one refuses.
//!
//! - `asking`: the other side, in the process of `pitturu backup`.

mod asking;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use http::{HeaderValue, Request, StatusCode, header};
use pitturu_store::embedded::engine::is_reserved;
use tokio::net::TcpStream;

pub use self::asking::{AskError, ask};

/// Where backups are asked for.
pub const PATH: &str = "/backup";

/// The header of a question and of its answer that says which store is meant, as
/// [`StoreId`](pitturu_store::embedded::engine::StoreId) is written.
pub const STORE_HEADER: &str = "pitturu-store";

/// Longest name.
const NAME_CHARS_MAX: usize = 100;

/// Makes a backup of this name and says in one line what it is, or why there is none. It may take minutes.
type Make = dyn Fn(&str) -> Result<String, NotMade> + Send + Sync;

/// Why a server has made no backup, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotMade {
    /// There is one of that name, or another is being made.
    Refused(String),
    /// It could not.
    Failed(String),
}

/// What makes backups, once there is a store. Cheap to clone.
#[derive(Clone, Default)]
pub struct Backups {
    of: Arc<OnceLock<(Store, Box<Make>)>>,
}

/// The store of a server, for whoever asks for a backup.
#[derive(Clone, Debug)]
pub struct Store {
    /// What [`STORE_HEADER`] says of it.
    pub id: String,
    /// Where it is, for people to read.
    pub place: String,
}

impl std::fmt::Debug for Backups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backups")
    }
}

/// What is answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// One line.
    pub(super) text: String,
    /// The store of which a backup was made.
    pub(super) store: Option<String>,
}

impl Answer {
    fn new(status: StatusCode, text: impl AsRef<str>) -> Self {
        Self {
            status,
            text: format!("{}\n", text.as_ref()),
            store: None,
        }
    }
}

impl Backups {
    /// Has backups of this store made in this way. The first call counts.
    pub fn made_by(
        &self,
        store: Store,
        make: impl Fn(&str) -> Result<String, NotMade> + Send + Sync + 'static,
    ) {
        // There is one store in a process.
        let _ = self.of.set((store, Box::new(make)));
    }

    pub(super) async fn asked_for<B>(&self, request: &Request<B>, is_here: bool) -> Answer {
        if !is_here || request.headers().contains_key(header::ORIGIN) {
            let text = "backups are made for programs of the server's own machine";
            return Answer::new(StatusCode::FORBIDDEN, text);
        }
        let query = request.uri().query().unwrap_or_default();
        let name = query.strip_prefix("name=").unwrap_or_default();
        if !is_name(name) {
            return Answer::new(StatusCode::BAD_REQUEST, ALLOWED);
        }
        let Some((store, _)) = self.of.get() else {
            return Answer::new(StatusCode::SERVICE_UNAVAILABLE, "the server is starting");
        };
        let is_other = |meant: &HeaderValue| meant.as_bytes() != store.id.as_bytes();
        if request.headers().get(STORE_HEADER).is_some_and(is_other) {
            let text = format!(
                "the server that was asked runs on another store, in {}, and has made no backup: ops.listen has to be the address of the \
                 server that uses store.dir, so name its configuration (--config), or stop it and ask again",
                store.place
            );
            return Answer::new(StatusCode::CONFLICT, text);
        }
        let (of, name) = (Arc::clone(&self.of), name.to_owned());
        let made = tokio::task::spawn_blocking(move || of.get().map(|(_, make)| make(&name)));
        match made.await {
            Ok(Some(Ok(text))) => Answer {
                store: Some(store.id.clone()),
                ..Answer::new(StatusCode::OK, text)
            },
            Ok(Some(Err(NotMade::Refused(text)))) => Answer::new(StatusCode::CONFLICT, text),
            Ok(Some(Err(NotMade::Failed(text)))) => {
                Answer::new(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
            _ => Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "the backup broke off"),
        }
    }
}

/// What a name is.
pub const ALLOWED: &str = "a backup needs a name of 1 to 100 letters, digits, '.', '-' and '_', which begins with a letter or a digit and \
                           does not end in .pitturu-part";

/// Whether a backup may be called so: one folder below another, and nothing else.
pub fn is_name(name: &str) -> bool {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(is_allowed)
        && !is_reserved(name)
}

/// Whether the peer is a program of this machine: it comes from an address that is the machine's own.
pub(super) fn is_of_this_machine(tcp: &TcpStream) -> bool {
    let ip = |address: SocketAddr| address.ip().to_canonical();
    match (tcp.peer_addr().map(ip), tcp.local_addr().map(ip)) {
        (Ok(peer), Ok(local)) => peer.is_loopback() || peer == local,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_folder() {
        for name in [
            "a",
            "20261129T233000Z",
            "before-0.2.0",
            "x_1",
            &"n".repeat(100),
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "../a",
            "-a",
            "a b",
            "ä",
            "a%2fb",
            "one.pitturu-part",
            "one.Pitturu-Part",
            &"n".repeat(101),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[tokio::test]
    async fn who_may_not_ask_is_refused_before_anything_is_made() {
        let backups = Backups::default();
        let store = Store {
            id: "fd-17".to_owned(),
            place: "/var/lib/pitturu".to_owned(),
        };
        backups.made_by(store, |name| match name {
            "full" => Err(NotMade::Failed("the disk is full".to_owned())),
            "twice" => Err(NotMade::Refused("twice is there already".to_owned())),
            name => Ok(format!("{name} was made")),
        });
        let ask = async |query: &str, origin: Option<&str>, is_here| {
            let mut request = Request::builder().uri(format!("{PATH}{query}"));
            if let Some(origin) = origin {
                request = request.header(header::ORIGIN, origin);
            }
            let answer = backups.asked_for(&request.body(()).unwrap(), is_here).await;
            (answer.status.as_u16(), answer.text)
        };
        assert_eq!(
            ask("?name=a", None, true).await,
            (200, "a was made\n".to_owned())
        );
        assert_eq!(
            ask("?name=full", None, true).await,
            (500, "the disk is full\n".to_owned())
        );
        assert_eq!(
            ask("?name=twice", None, true).await,
            (409, "twice is there already\n".to_owned())
        );
        assert_eq!(ask("?name=a", None, false).await.0, 403);
        assert_eq!(
            ask("?name=a", Some("https://game.example"), true).await.0,
            403
        );
        for query in ["", "?name=", "?name=../a", "?path=/etc", "?name=%2e%2e"] {
            assert_eq!(ask(query, None, true).await.0, 400, "{query}");
        }
        for (store, status) in [("fd-17", 200), ("fd-18", 409), ("", 409)] {
            let request = Request::builder().uri("/backup?name=a");
            let request = request.header(STORE_HEADER, store).body(()).unwrap();
            let answer = backups.asked_for(&request, true).await;
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
            assert_eq!(answer.store.is_some(), status == 200);
            assert!(status == 200 || answer.text.contains("/var/lib/pitturu"));
        }
        let none = Backups::default();
        let request = Request::builder().uri("/backup?name=a").body(()).unwrap();
        assert_eq!(none.asked_for(&request, true).await.status, 503);
    }
}
