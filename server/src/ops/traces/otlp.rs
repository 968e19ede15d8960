//! Sends traces: gathers some, posts them as protobuf, and tries again what a collector may take later.
//!
//! Nobody waits for it. What does not fit into the queue is dropped where the call ends, and what the collector does not take is
//! dropped here; both are counted, and told once a minute.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use pitturu_metrics::table;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::{TraceConfig, TracesError};
use crate::call_traces::{self, Trace};

mod spans;

use spans::Process;

/// Most traces that have ended and wait to be sent. A trace is about a kilobyte.
const QUEUE_MAX: usize = 2_048;

/// Most traces in one request.
const BATCH_MAX: usize = 256;

/// How long a trace waits for others to go with.
const GATHERED_FOR: Duration = Duration::from_secs(1);

/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses between the tries.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Longest time that the end of the server waits for what is left.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// When a call without an answer has none to come: its connection has gone.
const UNANSWERED_AFTER: Duration = Duration::from_secs(300);

/// How often somebody who reads the log is told that traces are dropped.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Takes another share of the calls from now on. Without a collector there are none.
pub fn set_sampled(share: f64) {
    call_traces::set_share(share);
}

/// Traces while the process runs.
#[derive(Debug)]
pub struct Traces(Option<JoinHandle<()>>);

impl Traces {
    /// Begins to trace, if there is a collector for it.
    ///
    /// # Errors
    /// [`TracesError`].
    pub fn start(config: &TraceConfig) -> Result<Self, TracesError> {
        let Some(endpoint) = &config.endpoint else {
            return Ok(Self(None));
        };
        let collector = Collector {
            client: client(&config.headers)?,
            url: traces_url(endpoint).ok_or(TracesError::Endpoint)?,
            process: Process::new(),
            dropped: Dropped::default(),
        };
        let (to, ended) = mpsc::channel(QUEUE_MAX);
        call_traces::open(to);
        call_traces::set_share(config.sampled);
        Ok(Self(Some(tokio::spawn(collector.run(ended)))))
    }

    /// Traces nothing further, and waits for a moment until what is left is sent.
    pub async fn end(self) {
        let Some(mut sending) = self.0 else {
            return;
        };
        call_traces::shut();
        if timeout(FLUSH_MAX, &mut sending).await.is_err() {
            sending.abort();
            warn!("the last traces are left behind: the collector does not take them in time");
        }
    }
}

fn client(headers: &[(String, String)]) -> Result<Client, TracesError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().map_err(|_| TracesError::Header)?;
        let mut value: HeaderValue = value.parse().map_err(|_| TracesError::Header)?;
        value.set_sensitive(true);
        map.insert(name, value);
    }
    map.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-protobuf"),
    );
    Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .default_headers(map)
        .build()
        .map_err(|error| TracesError::Client(error.to_string()))
}

/// Where traces are posted at a collector with this address.
fn traces_url(endpoint: &str) -> Option<Url> {
    let mut url = Url::parse(endpoint).ok()?;
    if !url.path().ends_with("/v1/traces") {
        let mut path = url.path_segments_mut().ok()?;
        path.pop_if_empty().extend(["v1", "traces"]);
    }
    Some(url)
}

/// What became of a request.
enum Sent {
    Taken,
    /// So many spans were not taken, and why.
    Partly(i64, String),
    /// It is worth another try.
    Later(String),
    Refused(String),
}

struct Collector {
    client: Client,
    url: Url,
    process: Process,
    dropped: Dropped,
}

impl Collector {
    async fn run(mut self, mut ended: mpsc::Receiver<Trace>) {
        let mut batch = Vec::new();
        while gather(&mut ended, &mut batch).await {
            if !batch.is_empty() {
                self.send(std::mem::take(&mut batch), &ended).await;
            }
            self.dropped.tell();
            call_traces::finish_old(UNANSWERED_AFTER);
        }
    }

    async fn send(&mut self, batch: Vec<Trace>, ended: &mpsc::Receiver<Trace>) {
        let traces = batch.len() as u64;
        let request = ExportTraceServiceRequest {
            resource_spans: vec![self.process.spans(batch)],
        };
        let body = bytes::Bytes::from(request.encode_to_vec());
        let mut pauses = PAUSES.iter();
        loop {
            let problem = match self.post(body.clone()).await {
                Sent::Taken => return self.dropped.taken(),
                Sent::Partly(spans, why) => {
                    let dropped = u64::try_from(spans).unwrap_or_default().min(traces);
                    return self.dropped.by_collector(dropped, why);
                }
                Sent::Refused(why) => return self.dropped.by_collector(traces, why),
                Sent::Later(why) => why,
            };
            match pauses.next() {
                // Whoever waits for the end of the server does not wait for a collector that is not there.
                Some(pause) if !ended.is_closed() => tokio::time::sleep(*pause).await,
                _ => return self.dropped.by_collector(traces, problem),
            }
        }
    }

    async fn post(&self, body: bytes::Bytes) -> Sent {
        let answer = self.client.post(self.url.clone()).body(body).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            // Without the address, which may hold a secret of the operator's.
            Err(error) => return Sent::Later(causes(&error.without_url())),
        };
        let status = answer.status();
        if !status.is_success() {
            let why = format!("it answers {status}");
            return match status {
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => Sent::Later(why),
                _ => Sent::Refused(why),
            };
        }
        let body = answer.bytes().await.unwrap_or_default();
        let partly = ExportTraceServiceResponse::decode(body)
            .ok()
            .and_then(|response| response.partial_success)
            .filter(|partly| partly.rejected_spans > 0);
        partly.map_or(Sent::Taken, |partly| {
            Sent::Partly(partly.rejected_spans, partly.error_message)
        })
    }
}

/// Waits for traces, and for a moment for others to go with them. False: there will be none.
async fn gather(ended: &mut mpsc::Receiver<Trace>, batch: &mut Vec<Trace>) -> bool {
    let until = Instant::now() + GATHERED_FOR;
    while batch.len() < BATCH_MAX {
        let room = BATCH_MAX - batch.len();
        match timeout_at(until, ended.recv_many(batch, room)).await {
            // Closed and empty: what was gathered goes first.
            Ok(0) => return !batch.is_empty(),
            Ok(_) => {}
            Err(_) => return true,
        }
    }
    true
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What was dropped, and who was told.
#[derive(Default)]
struct Dropped {
    told: u64,
    told_at: Option<Instant>,
    problem: Option<String>,
}

impl Dropped {
    fn taken(&mut self) {
        if self.problem.take().is_some() {
            info!("the collector takes traces again");
        }
    }

    fn by_collector(&mut self, traces: u64, problem: String) {
        table::TRACES_DROPPED.add(traces);
        self.problem = Some(problem);
    }

    /// Says how many were dropped since it was said last, if there are any and it was long ago.
    fn tell(&mut self) {
        let dropped = table::TRACES_DROPPED.value();
        let is_due = self.told_at.is_none_or(|at| at.elapsed() >= TOLD_EVERY);
        if dropped == self.told || !is_due {
            return;
        }
        let problem = self
            .problem
            .as_deref()
            .unwrap_or("more calls end than are sent");
        warn!(traces = dropped - self.told, problem, "traces were dropped");
        self.told = dropped;
        self.told_at = Some(Instant::now());
    }
}
