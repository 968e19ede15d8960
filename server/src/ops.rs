//! The operator's side: a port of its own for health and metrics, and the logs.
//!
//! `GET /live` answers 200 as long as the process does anything; `/ready` answers 200 when every part is ready, else 503, and so does
//! `/health`, the name that the back end before this one had for it; `/health/detailed` says which part is not and why; `/metrics` is
//! for Prometheus. `POST /backup` makes a backup, for whoever asks from the same machine.

pub mod backups;
pub mod health;
pub mod logs;
pub mod mask;
pub mod metrics;
pub mod traces;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pitturu_metrics::table;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::log_lines::ACCEPTS_FAILED;
use crate::ops::backups::Backups;
use crate::ops::health::Health;
use crate::ops::metrics::Metrics;

/// Most connections of operators at once. For a further one the oldest has to go: whoever asks has an answer within milliseconds, and
/// whoever sends or reads nothing holds up no probe.
const CONNECTIONS_MAX: usize = 16;

/// Longest time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an accept that found no file descriptor or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the operations port shows.
#[derive(Debug)]
pub struct Ops {
    /// Readiness.
    pub health: Health,
    /// Counters.
    pub metrics: Metrics,
    /// What makes backups.
    pub backups: Backups,
}

impl Ops {
    /// No parts yet; the metrics say whether all are ready.
    pub fn new(metrics: Metrics) -> Self {
        let health = Health::new();
        metrics.sample({
            let health = health.clone();
            move || table::READY.set(f64::from(u8::from(health.is_ready())))
        });
        Self {
            health,
            metrics,
            backups: Backups::default(),
        }
    }
}

/// Listens at `address`.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Connections that are being answered, the oldest first.
#[derive(Default)]
struct Answering(VecDeque<Held>);

struct Held {
    task: AbortHandle,
    /// A backup is being made for it, which takes a while.
    waits_for_backup: Arc<AtomicBool>,
}

impl Answering {
    fn add(&mut self, held: Held) {
        self.0.retain(|held| !held.task.is_finished());
        if self.0.len() >= CONNECTIONS_MAX {
            let may_go = |held: &Held| !held.waits_for_backup.load(Ordering::Relaxed);
            let oldest = self.0.iter().position(may_go).unwrap_or(0);
            if let Some(oldest) = self.0.remove(oldest) {
                oldest.task.abort();
            }
        }
        self.0.push_back(held);
    }
}

/// Answers until `stop` turns true.
pub async fn serve(listener: TcpListener, ops: Arc<Ops>, mut stop: watch::Receiver<bool>) {
    let mut answering = Answering::default();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Some(tcp) = accepted else {
            continue;
        };
        let waits_for_backup = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(answer(tcp, Arc::clone(&ops), Arc::clone(&waits_for_backup)));
        answering.add(Held {
            task: task.abort_handle(),
            waits_for_backup,
        });
    }
}

async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((tcp, _)) => Some(tcp),
        Err(error) => {
            if ACCEPTS_FAILED.admit() {
                warn!(%error, "the operations port can't accept for the moment");
            }
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn answer(tcp: TcpStream, ops: Arc<Ops>, waits_for_backup: Arc<AtomicBool>) {
    let is_here = backups::is_of_this_machine(&tcp);
    let service = service_fn(move |request: Request<Incoming>| {
        let (ops, waits_for_backup) = (Arc::clone(&ops), Arc::clone(&waits_for_backup));
        async move {
            let (method, path) = (request.method(), request.uri().path());
            let response = match path {
                backups::PATH if method == Method::POST => {
                    waits_for_backup.store(is_here, Ordering::Relaxed);
                    let answer = ops.backups.asked_for(&request, is_here).await;
                    waits_for_backup.store(false, Ordering::Relaxed);
                    let mut response = text(answer.status, "text/plain", answer.text);
                    let store = answer.store.and_then(|store| store.try_into().ok());
                    if let Some(store) = store {
                        response.headers_mut().insert(backups::STORE_HEADER, store);
                    }
                    response
                }
                _ => respond(&ops, method, path),
            };
            Ok::<_, Infallible>(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(tcp), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "a request to the operations port broke off");
    }
}

fn respond(ops: &Ops, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "use GET\n");
    }
    match path {
        "/live" => text(StatusCode::OK, "text/plain", "live\n"),
        "/ready" | "/health" => match ops.health.is_ready() {
            true => text(StatusCode::OK, "text/plain", "ready\n"),
            false => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "not ready\n"),
        },
        "/health/detailed" => {
            let detail = ops.health.detailed();
            let status = match detail.ready {
                true => StatusCode::OK,
                false => StatusCode::SERVICE_UNAVAILABLE,
            };
            let body = serde_json::to_string(&detail).expect("the detail is plain data");
            text(status, "application/json", body)
        }
        "/metrics" => text(
            StatusCode::OK,
            "text/plain; version=0.0.4",
            ops.metrics.render(),
        ),
        #[cfg(feature = "chaos")]
        path if path.starts_with("/chaos/") => {
            let answer = pitturu_store::fail_points::control(&path["/chaos/".len()..]);
            text(StatusCode::OK, "text/plain", answer)
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there is /live, /ready, /health/detailed and /metrics\n",
        ),
    }
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header(header::CACHE_CONTROL, "no-store")
        .body(Full::new(body.into()))
        .expect("the parts are constants")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: ops\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        tcp.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test]
    async fn health_follows_the_parts_and_metrics_are_shown() {
        let ops = Arc::new(Ops::new(Metrics::for_tests()));
        let health = ops.health.clone();
        let store = health.latch("store");
        health.probe("disk", || Err("no space left".to_owned()));
        health.count("connections", || 3);
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, ops, stopped));

        let expect = async |path: &str, status: &str| {
            let answer = get(address, path).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{path}: {answer}"
            );
        };
        for (path, status) in [("/live", "200"), ("/ready", "503"), ("/health", "503")] {
            expect(path, status).await;
        }
        let detail = get(address, "/health/detailed").await;
        for part in [
            "\"store\"",
            "no space left",
            "\"connections\":3",
            "\"version\"",
        ] {
            assert!(detail.contains(part), "{part} is missing in {detail}");
        }
        store.ready();
        health.probe("disk", || Ok(()));
        for path in ["/live", "/ready", "/health"] {
            expect(path, "200").await;
        }
        store.not_ready("shutting down");
        for (path, status) in [("/live", "200"), ("/ready", "503"), ("/health", "503")] {
            expect(path, status).await;
        }

        let metrics = get(address, "/metrics").await;
        assert!(
            metrics.contains("process_resident_memory_bytes "),
            "{metrics}"
        );
        assert!(get(address, "/nothing").await.starts_with("HTTP/1.1 404"));
        stop.send(true).unwrap();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn who_sends_nothing_or_reads_nothing_holds_up_no_probe() {
        let ops = Arc::new(Ops::new(Metrics::for_tests()));
        ops.health.latch("store").ready();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(serve(listener, ops, stopped));
        let mut held = Vec::new();
        for sends in [
            &b""[..],
            b"GET /metr",
            b"GET /metrics HTTP/1.1\r\nHost: ops\r\n\r\n",
        ] {
            for _ in 0..CONNECTIONS_MAX {
                let mut tcp = TcpStream::connect(address).await.unwrap();
                tcp.write_all(sends).await.unwrap();
                held.push(tcp);
            }
            let answer = timeout(HEAD_TIMEOUT / 2, get(address, "/ready")).await;
            let answer = answer.expect("it waits for nobody");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        // The oldest has gone.
        let read = timeout(HEAD_TIMEOUT / 2, held[0].read_u8()).await;
        assert!(read.is_ok_and(|read| read.is_err()));
    }
}
