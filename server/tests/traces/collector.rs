//! A collector: it takes what is posted to it, or fails in one way, and keeps what it has got.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// Longest time until a trace has come that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    /// It takes everything.
    Ok,
    /// With this status.
    Status(u16),
    /// Never.
    Never,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A trace as it was sent: the call, and its steps.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) call: Span,
    pub(crate) steps: Vec<Span>,
}

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Collector {
    pub(crate) fn start(answers: Answers) -> Self {
        Self::at("127.0.0.1:0", answers)
    }

    /// Listens at this address.
    pub(crate) fn at(address: &str, answers: Answers) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let posted = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&posted);
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(tcp, answers, &kept));
            }
        });
        Self { address, posted }
    }

    /// All requests that have come.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    /// All exports that have come.
    pub(crate) fn exports(&self) -> Vec<ExportTraceServiceRequest> {
        let posted = self.posted();
        let exports = posted
            .iter()
            .map(|posted| ExportTraceServiceRequest::decode(&posted.body[..]));
        exports.map(|export| export.expect("it is OTLP")).collect()
    }

    /// All traces that have come.
    pub(crate) fn traces(&self) -> Vec<Trace> {
        let exports = self.exports();
        let spans: Vec<Span> = exports
            .into_iter()
            .flat_map(|export| export.resource_spans)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect();
        let calls = spans.iter().filter(|span| span.parent_span_id.is_empty());
        let steps_of = |call: &Span| {
            let steps = spans
                .iter()
                .filter(|span| span.trace_id == call.trace_id && !span.parent_span_id.is_empty());
            steps.cloned().collect()
        };
        calls
            .map(|call| Trace {
                call: call.clone(),
                steps: steps_of(call),
            })
            .collect()
    }

    /// The only trace of a method, when it has come.
    pub(crate) fn trace_of(&self, method: &str) -> Trace {
        let began = Instant::now();
        loop {
            let mut traces = self.traces();
            traces.retain(|trace| trace.call.name == method);
            match &traces[..] {
                [trace] => return trace.clone(),
                [] => assert!(began.elapsed() < PATIENCE, "no trace of {method}"),
                more => panic!("{more:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Trace {
    /// The names of the steps, in their order in time.
    pub(crate) fn steps(&self) -> Vec<&str> {
        let mut steps: Vec<&Span> = self.steps.iter().collect();
        steps.sort_by_key(|step| step.start_time_unix_nano);
        steps.into_iter().map(|step| &step.name[..]).collect()
    }

    /// The first step of this name.
    pub(crate) fn step(&self, name: &str) -> &Span {
        let found = self.steps.iter().find(|step| step.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.steps()))
    }
}

/// An attribute as text; a number as its digits.
pub(crate) fn said(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|found| found.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

/// How long a span took.
pub(crate) fn took(span: &Span) -> Duration {
    Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano)
}

fn serve(tcp: TcpStream, answers: Answers, kept: &Mutex<Vec<Posted>>) {
    let mut reading = BufReader::new(tcp.try_clone().unwrap());
    let mut writing = tcp;
    while let Some(posted) = read(&mut reading) {
        kept.lock().unwrap().push(posted);
        let status = match answers {
            Answers::Ok => 200,
            Answers::Status(status) => status,
            Answers::Never => {
                std::thread::sleep(Duration::from_secs(120));
                return;
            }
        };
        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
        if writing.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reading: &mut impl BufRead) -> Option<Posted> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reading.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let (_, length) = lower.split_once("content-length:")?;
    let length = length.lines().next()?.trim().parse().ok()?;
    let mut body = vec![0; length];
    reading.read_exact(&mut body).ok()?;
    Some(Posted { head, body })
}
