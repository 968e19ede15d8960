//! A delivery that posts each token to an address of the operator's, who sends the mail or message.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pitturu_metrics::table;
use pitturu_rules::accounts::Hidden;
use reqwest::{Client, StatusCode, Url};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{ResetDelivery, ResetMessage};

/// Most tokens that wait to be posted. Beyond it a token is dropped and logged, and the player asks again.
pub const HOOK_QUEUE_MAX: usize = 256;

/// Most tokens that are being posted at once: a hook that hangs for one holds the others up no longer.
const POSTS_AT_ONCE: usize = 16;

/// Longest time for one post.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses between the tries.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Where tokens are posted.
#[derive(Clone, Debug)]
pub struct HookConfig {
    /// An `https` address; `http` for one on the same machine or network. It may hold a secret of the operator's.
    pub url: Hidden<String>,
    /// Sent as `Authorization: Bearer …`, so that the other end knows who posts.
    pub bearer: Option<Hidden<String>>,
}

/// Why the delivery can't start.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The address is none.
    #[error("its value is not an http or https address")]
    Url,
    /// The HTTP client can't be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// What is posted, as JSON.
#[derive(Serialize)]
struct Post<'a> {
    event: &'static str,
    user: String,
    username: &'a str,
    email: Option<&'a str>,
    token: &'a str,
    expires_at: u64,
}

/// The queue before the posting task.
#[derive(Clone, Debug)]
pub struct HookDelivery {
    queue: mpsc::Sender<ResetMessage>,
}

impl HookDelivery {
    /// The delivery, and the task that posts, which the caller spawns. The task ends when the last clone is dropped and
    /// the queue is empty.
    ///
    /// # Errors
    /// [`HookError`].
    pub fn new(config: HookConfig) -> Result<(Self, impl Future<Output = ()> + Send), HookError> {
        let url = Url::parse(&config.url.0)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or(HookError::Url)?;
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let (queue, deliveries) = mpsc::channel(HOOK_QUEUE_MAX);
        Ok((Self { queue }, run(client, url, config.bearer, deliveries)))
    }
}

impl ResetDelivery for HookDelivery {
    fn deliver(&self, delivery: ResetMessage) {
        let user = delivery.user;
        if self.queue.try_send(delivery).is_err() {
            table::RESET_TOKENS_DROPPED.increment();
            tracing::warn!(%user, "the queue of reset tokens is full, one was dropped");
        }
    }
}

async fn run(
    client: Client,
    url: Url,
    bearer: Option<Hidden<String>>,
    mut deliveries: mpsc::Receiver<ResetMessage>,
) {
    let hook = Arc::new(Hook {
        client,
        url,
        bearer,
    });
    let mut posts = JoinSet::new();
    while let Some(delivery) = deliveries.recv().await {
        while posts.try_join_next().is_some() {}
        if posts.len() >= POSTS_AT_ONCE {
            posts.join_next().await;
        }
        posts.spawn(Arc::clone(&hook).take(delivery));
    }
    while posts.join_next().await.is_some() {}
}

/// Where tokens are posted.
struct Hook {
    client: Client,
    url: Url,
    bearer: Option<Hidden<String>>,
}

impl Hook {
    /// Posts a token until it is taken, or it makes no sense to go on.
    async fn take(self: Arc<Self>, delivery: ResetMessage) {
        let mut pauses = PAUSES.iter();
        loop {
            let problem = match self.post(&delivery).await {
                Ok(status) if status.is_success() => return,
                Ok(status) if !worth_repeating(status) => {
                    tracing::warn!(user = %delivery.user, %status, "a reset token was refused");
                    return;
                }
                Ok(status) => status.to_string(),
                // Without the address, which may hold a secret of the operator's.
                Err(error) => error.without_url().to_string(),
            };
            let Some(pause) = pauses.next() else {
                table::RESET_TOKENS_DROPPED.increment();
                tracing::warn!(user = %delivery.user, problem, "a reset token was not delivered");
                return;
            };
            tokio::time::sleep(*pause).await;
        }
    }

    async fn post(&self, delivery: &ResetMessage) -> Result<StatusCode, reqwest::Error> {
        let mut request = self.client.post(self.url.clone()).json(&Post {
            event: "password_reset",
            user: delivery.user.to_string(),
            username: &delivery.username,
            email: delivery.email.as_deref(),
            token: &delivery.token.0,
            expires_at: delivery.expires_at,
        });
        if let Some(Hidden(bearer)) = &self.bearer {
            request = request.bearer_auth(bearer);
        }
        Ok(request.send().await?.status())
    }
}

fn worth_repeating(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::ids::UserId;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn delivery() -> ResetMessage {
        ResetMessage {
            user: UserId::from_bytes([1; 10]),
            username: "ana".to_owned(),
            email: Some("a@b.c".to_owned()),
            token: Hidden("pp1.x".to_owned()),
            expires_at: 5,
        }
    }

    /// Answers one connection after the other with these statuses and returns what was asked.
    async fn answer(listener: TcpListener, statuses: &[&str]) -> Vec<String> {
        let mut asked = Vec::new();
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let reply =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(reply.as_bytes()).await.unwrap();
            asked.push(String::from_utf8(request).unwrap());
        }
        asked
    }

    #[tokio::test]
    async fn a_token_is_posted_again_until_it_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/reset", listener.local_addr().unwrap());
        let bearer = Some(Hidden("let me in".to_owned()));
        let (reset_delivery, task) = HookDelivery::new(HookConfig {
            url: Hidden(url),
            bearer,
        })
        .unwrap();
        reset_delivery.deliver(delivery());
        drop(reset_delivery);
        let (asked, ()) = tokio::join!(answer(listener, &["503 Busy", "204 Done"]), task);
        assert_eq!(asked.len(), 2);
        for request in asked {
            assert!(request.starts_with("POST /reset HTTP/1.1\r\n"), "{request}");
            assert!(
                request.contains("authorization: Bearer let me in\r\n"),
                "{request}"
            );
            let body = request.split("\r\n\r\n").nth(1).unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["token"], "pp1.x");
            assert_eq!(body["event"], "password_reset");
            assert_eq!(body["email"], "a@b.c");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (reset_delivery, task) = HookDelivery::new(HookConfig {
            url: Hidden(url),
            bearer: None,
        })
        .unwrap();
        reset_delivery.deliver(delivery());
        drop(reset_delivery);
        let (asked, ()) = tokio::join!(answer(listener, &["403 No"]), task);
        assert_eq!(asked.len(), 1);
    }

    #[tokio::test]
    async fn a_hook_that_hangs_for_some_takes_the_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let config = HookConfig {
            url: Hidden(url),
            bearer: None,
        };
        let (reset_delivery, task) = HookDelivery::new(config).unwrap();
        let task = tokio::spawn(task);
        let tokens: Vec<String> = (0..POSTS_AT_ONCE + 2)
            .map(|n| format!("pp1.{n}."))
            .collect();
        for token in &tokens {
            reset_delivery.deliver(ResetMessage {
                token: Hidden(token.clone()),
                ..delivery()
            });
        }
        let (mut hanging, mut posted) = (Vec::new(), Vec::new());
        while posted.len() < tokens.len() {
            let mut stream = listener.accept().await.unwrap().0;
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let request = String::from_utf8(request).unwrap();
            let token = tokens.iter().find(|token| request.contains(*token));
            assert!(
                !posted.contains(&token),
                "none is tried again before all were"
            );
            posted.push(token);
            // The last one that can be on its way is answered, and so are those that follow.
            if posted.len() < POSTS_AT_ONCE {
                hanging.push(stream);
            } else {
                let taken = b"HTTP/1.1 204 Done\r\nconnection: close\r\n\r\n";
                stream.write_all(taken).await.unwrap();
            }
        }
        drop(hanging);
        task.abort();
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_does_not_wait() {
        let config = HookConfig {
            url: Hidden("http://127.0.0.1:9/".to_owned()),
            bearer: None,
        };
        let (reset_delivery, task) = HookDelivery::new(config).unwrap();
        for _ in 0..HOOK_QUEUE_MAX + 10 {
            reset_delivery.deliver(delivery());
        }
        drop(task);
        reset_delivery.deliver(delivery());
    }

    #[test]
    fn other_addresses_are_refused() {
        for url in ["", "example.com", "ftp://example.com", "file:///etc/passwd"] {
            let config = HookConfig {
                url: Hidden(url.to_owned()),
                bearer: None,
            };
            assert!(!format!("{config:?}").contains("example"));
            let refused = HookDelivery::new(config).map(drop).unwrap_err();
            assert!(matches!(refused, HookError::Url), "{url}");
            assert!(!refused.to_string().contains("example"));
        }
    }
}
