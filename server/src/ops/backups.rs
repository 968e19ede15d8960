//! Backups over the operations port: `POST /backup?name=…` makes one, and is answered when it is verified.
//!
//! The port asks nobody who they are. So only a program of the same machine is listened to, no web page that a browser there shows, and
//! it gives a name, never a path: where backups lie is in the server's configuration.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use http::{Request, StatusCode, header};
use pitturu_store::embedded::engine::is_reserved;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where backups are asked for.
pub const PATH: &str = "/backup";

/// Longest name.
const NAME_CHARS_MAX: usize = 100;

/// Most bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

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
    make: Arc<OnceLock<Box<Make>>>,
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
}

impl Answer {
    fn new(status: StatusCode, text: impl AsRef<str>) -> Self {
        Self {
            status,
            text: format!("{}\n", text.as_ref()),
        }
    }
}

/// Why a running server has made no backup.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It does not answer.
    #[error(
        "the server that uses the store does not answer at {address} (ops.listen): {error}; name its configuration, or stop it and ask again"
    )]
    Unreachable {
        /// Where it was asked.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// It ended, or was cut off.
    #[error(
        "the server at {address} ended or closed the connection before it said what came of the backup: its log says more; see whether it \
         runs, and ask again"
    )]
    CutOff {
        /// Where it was asked.
        address: SocketAddr,
    },
    /// It has made none.
    #[error("{0}")]
    Refused(String),
}

impl Backups {
    /// Has backups made in this way. The first call counts.
    pub fn made_by(&self, make: impl Fn(&str) -> Result<String, NotMade> + Send + Sync + 'static) {
        // There is one store in a process.
        let _ = self.make.set(Box::new(make));
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
        if self.make.get().is_none() {
            return Answer::new(StatusCode::SERVICE_UNAVAILABLE, "the server is starting");
        }
        let (make, name) = (Arc::clone(&self.make), name.to_owned());
        let made = tokio::task::spawn_blocking(move || make.get().map(|make| make(&name)));
        match made.await {
            Ok(Some(Ok(text))) => Answer::new(StatusCode::OK, text),
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

/// Asks the server at this operations port of the same machine for a backup, and waits until it is made. What it is, in one line.
///
/// # Errors
/// [`AskError`].
pub async fn ask(listen: SocketAddr, name: &str) -> Result<String, AskError> {
    let address = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], listen.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST.octets(), listen.port()))
        }
        _ => listen,
    };
    let connected = TcpStream::connect(address).await;
    let tcp = connected.map_err(|error| AskError::Unreachable { address, error })?;
    let answer = exchange(tcp, address, name).await.unwrap_or_default();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Err(AskError::CutOff { address });
    };
    let body = body.trim_end();
    if head.starts_with("HTTP/1.1 200 ") {
        return Ok(body.to_owned());
    }
    let status = head.lines().next().unwrap_or_default();
    Err(AskError::Refused(match body {
        "" => format!("the server at {address} has made no backup: {status}"),
        body => body.to_owned(),
    }))
}

async fn exchange(mut tcp: TcpStream, address: SocketAddr, name: &str) -> std::io::Result<String> {
    let request = format!(
        "POST {PATH}?name={name} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    tcp.take(ANSWER_BYTES_MAX)
        .read_to_string(&mut answer)
        .await?;
    Ok(answer)
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
    async fn a_server_that_ends_meanwhile_is_said_to_have_ended() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for said in ["", "HTTP/1.1 200"] {
            let (asked, ()) = tokio::join!(ask(address, "one"), async {
                let (mut tcp, _) = listener.accept().await.unwrap();
                tcp.write_all(said.as_bytes()).await.unwrap();
            });
            let error = asked.unwrap_err();
            assert!(matches!(error, AskError::CutOff { .. }), "{error}");
        }
        drop(listener);
        let error = ask(address, "one").await.unwrap_err();
        assert!(matches!(error, AskError::Unreachable { .. }), "{error}");
    }

    #[tokio::test]
    async fn who_may_not_ask_is_refused_before_anything_is_made() {
        let backups = Backups::default();
        backups.made_by(|name| match name {
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
        let none = Backups::default();
        let request = Request::builder().uri("/backup?name=a").body(()).unwrap();
        assert_eq!(none.asked_for(&request, true).await.status, 503);
    }
}
