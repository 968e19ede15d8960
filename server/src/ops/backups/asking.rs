//! Asking the server of the same machine for a backup.
//!
//! Nothing comes while it is made, for minutes. So whether anybody still works on it is asked beside it, at `/live`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{PATH, STORE_HEADER};

/// Most bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// How long is waited for a server.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Longest time to connect, and to be answered what is answered at once.
    answer: Duration,
    /// From one question whether it is alive to the next.
    between: Duration,
    /// Longest time without such an answer while it makes a backup.
    silent: Duration,
}

const PATIENCE: Patience = Patience {
    answer: Duration::from_secs(10),
    between: Duration::from_secs(15),
    silent: Duration::from_secs(60),
};

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
    /// It has stopped answering while it made the backup.
    #[error(
        "the server at {address} has answered nothing for {} s, and may have made the backup or make it yet: see whether the server runs, \
         look into backup.folder, and ask again", silent.as_secs()
    )]
    Silent {
        /// Where it was asked.
        address: SocketAddr,
        /// For how long it was silent.
        silent: Duration,
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
    /// It has made one, and does not say of which store.
    #[error(
        "the server at {address} has made a backup and not said of which store, as servers before this version: look whether it is the \
         right one, or start the server again with this version, and ask again"
    )]
    Unnamed {
        /// Where it was asked.
        address: SocketAddr,
    },
    /// It has made none.
    #[error("{0}")]
    Refused(String),
}

/// Asks the server at this operations port of the same machine for a backup of this store, and waits until it is made. What it is, in one
/// line.
///
/// # Errors
/// [`AskError`].
pub async fn ask(listen: SocketAddr, name: &str, store: &str) -> Result<String, AskError> {
    ask_for(PATIENCE, listen, name, store).await
}

async fn ask_for(
    patience: Patience,
    listen: SocketAddr,
    name: &str,
    store: &str,
) -> Result<String, AskError> {
    let address = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, listen.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, listen.port()).into(),
        _ => listen,
    };
    let live = check_live(address, patience.answer).await;
    live.map_err(|error| AskError::Unreachable { address, error })?;
    let headers = format!("{STORE_HEADER}: {store}\r\n");
    let request = request(address, "POST", &format!("{PATH}?name={name}"), &headers);
    let answer = tokio::select! {
        answer = exchange(address, &request) => answer.unwrap_or_default(),
        () = silence(address, patience) => {
            return Err(AskError::Silent { address, silent: patience.silent });
        }
    };
    understood(&answer, address, store)
}

/// What an answer says.
fn understood(answer: &str, address: SocketAddr, store: &str) -> Result<String, AskError> {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Err(AskError::CutOff { address });
    };
    let body = body.trim_end();
    if head.starts_with("HTTP/1.1 200 ") {
        let names_store = |line: &str| {
            let header = line.split_once(": ");
            header.is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case(STORE_HEADER) && value == store
            })
        };
        return match head.lines().any(names_store) {
            true => Ok(body.to_owned()),
            false => Err(AskError::Unnamed { address }),
        };
    }
    let status = head.lines().next().unwrap_or_default();
    Err(AskError::Refused(match body {
        "" => format!("the server at {address} has made no backup: {status}"),
        body => body.to_owned(),
    }))
}

/// Ends when the server has not said for long that it is alive.
async fn silence(address: SocketAddr, patience: Patience) {
    let mut heard = Instant::now();
    while heard.elapsed() < patience.silent {
        sleep(patience.between).await;
        if check_live(address, patience.answer).await.is_ok() {
            heard = Instant::now();
        }
    }
}

async fn check_live(address: SocketAddr, within: Duration) -> std::io::Result<()> {
    let request = request(address, "GET", "/live", "");
    let answer = timeout(within, exchange(address, &request)).await;
    let silent = |_| {
        let text = format!("it has said nothing for {} s", within.as_secs());
        std::io::Error::other(text)
    };
    match answer.map_err(silent)??.starts_with("HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(std::io::Error::other(
            "what answers there is no server that is alive",
        )),
    }
}

fn request(address: SocketAddr, method: &str, path: &str, headers: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

async fn exchange(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut tcp = TcpStream::connect(address).await?;
    tcp.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    tcp.take(ANSWER_BYTES_MAX)
        .read_to_string(&mut answer)
        .await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::*;

    const SHORT: Patience = Patience {
        answer: Duration::from_millis(200),
        between: Duration::from_millis(20),
        silent: Duration::from_millis(400),
    };

    /// Longest time for what takes [`SHORT`], on a busy machine.
    const WITHIN: Duration = Duration::from_secs(20);

    const MADE: &str = "HTTP/1.1 200 OK\r\npitturu-store: fd-17\r\nContent-Length: 4\r\n\r\nmade";

    /// A server that is alive as long as it is told so, and that answers the question for a backup with this after that time.
    async fn server(says: &'static str, after: Duration) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (live, is_live) = watch::channel(true);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut tcp, _)) = listener.accept().await {
                let mut begin = [0; 4];
                if tcp.read_exact(&mut begin).await.is_err() {
                    continue;
                }
                if &begin == b"POST" {
                    tokio::spawn(async move {
                        sleep(after).await;
                        tcp.write_all(says.as_bytes()).await.unwrap();
                        // What it has sent would be lost with what it has not read.
                        let _ = tcp.shutdown().await;
                        let _ = tcp.read_to_end(&mut Vec::new()).await;
                    });
                } else if *is_live.borrow() {
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    tcp.write_all(answer.as_bytes()).await.unwrap();
                    let _ = tcp.shutdown().await;
                    held.push(tcp);
                } else {
                    held.push(tcp);
                }
            }
        });
        (address, live)
    }

    async fn asked(address: SocketAddr) -> Result<String, AskError> {
        let asked = timeout(WITHIN, ask_for(SHORT, address, "one", "fd-17")).await;
        asked.expect("it is not waited for without end")
    }

    #[tokio::test]
    async fn a_server_that_ends_meanwhile_is_said_to_have_ended() {
        for says in ["", "HTTP/1.1 200"] {
            let (address, _live) = server(says, Duration::ZERO).await;
            let error = asked(address).await.unwrap_err();
            assert!(matches!(error, AskError::CutOff { .. }), "{error}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = asked(address).await.unwrap_err();
        assert!(matches!(error, AskError::Unreachable { .. }), "{error}");
    }

    #[tokio::test]
    async fn one_that_says_nothing_is_not_asked_for_a_backup() {
        let (address, live) = server(MADE, Duration::ZERO).await;
        live.send(false).unwrap();
        let error = asked(address).await.unwrap_err();
        assert!(matches!(error, AskError::Unreachable { .. }), "{error}");
        // It takes connections, as far as the system does.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = asked(listener.local_addr().unwrap()).await.unwrap_err();
        assert!(matches!(error, AskError::Unreachable { .. }), "{error}");
    }

    #[tokio::test]
    async fn one_that_falls_silent_meanwhile_is_given_up_and_one_that_takes_long_is_not() {
        let (address, _live) = server(MADE, SHORT.silent * 3).await;
        assert_eq!(asked(address).await.unwrap(), "made");

        let (address, live) = server(MADE, WITHIN * 2).await;
        let falls_silent = async {
            sleep(SHORT.between * 3).await;
            live.send(false).unwrap();
        };
        let (asked, ()) = tokio::join!(asked(address), falls_silent);
        let error = asked.unwrap_err();
        assert!(matches!(error, AskError::Silent { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_backup_of_who_knows_which_store_does_not_count() {
        let older = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmade";
        let others = "HTTP/1.1 200 OK\r\npitturu-store: fd-18\r\nContent-Length: 4\r\n\r\nmade";
        for says in [older, others] {
            let (address, _live) = server(says, Duration::ZERO).await;
            let error = asked(address).await.unwrap_err();
            assert!(matches!(error, AskError::Unnamed { .. }), "{error}");
        }
    }
}
