//! Traces as OpenTelemetry has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use pitturu_metrics::labels::{EntityKind, Outcome};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::MethodInfo;

use crate::call_traces::{Noted, Trace};
use crate::random::random_bytes;

/// Name of the protocol in `rpc.system`, and of the service.
const NAME: &str = "pitturu";

/// What all spans of this process have in common.
pub(super) struct Process {
    resource: Resource,
}

impl Process {
    pub(super) fn new() -> Self {
        let instance = u64::from_be_bytes(random_bytes());
        let attributes = vec![
            text("service.name", NAME),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", format!("{instance:016x}")),
        ];
        Self {
            resource: Resource {
                attributes,
                ..Resource::default()
            },
        }
    }

    /// The spans of these traces.
    pub(super) fn spans(&self, traces: Vec<Trace>) -> ResourceSpans {
        let scope = InstrumentationScope {
            name: NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_spans = ScopeSpans {
            scope: Some(scope),
            spans: traces.into_iter().flat_map(spans_of).collect(),
            ..ScopeSpans::default()
        };
        ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![scope_spans],
            ..ResourceSpans::default()
        }
    }
}

/// The call, and its steps below it.
fn spans_of(trace: Trace) -> Vec<Span> {
    let id = random_bytes::<16>().to_vec();
    let call = Span {
        trace_id: id.clone(),
        span_id: random_bytes::<8>().to_vec(),
        name: method(&trace).to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: nanos(trace.began, Duration::ZERO),
        end_time_unix_nano: nanos(trace.began, trace.took),
        attributes: attributes(&trace),
        status: Some(status(&trace)),
        ..Span::default()
    };
    let step = |step: Noted| Span {
        trace_id: id.clone(),
        span_id: random_bytes::<8>().to_vec(),
        parent_span_id: call.span_id.clone(),
        name: step.name.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanos(trace.began, step.from),
        end_time_unix_nano: nanos(trace.began, step.to),
        attributes: attributes_of(&step),
        ..Span::default()
    };
    let steps: Vec<Span> = trace.steps.into_iter().map(step).collect();
    [vec![call], steps].concat()
}

fn method(trace: &Trace) -> &'static str {
    MethodInfo::of(trace.read.method).map_or("unknown", |method| method.name)
}

fn attributes(trace: &Trace) -> Vec<KeyValue> {
    let read = &trace.read;
    let mut attributes = vec![
        text("rpc.system", NAME),
        text("rpc.method", method(trace)),
        text("pitturu.connection", read.conn.to_string()),
        number("pitturu.call", read.call.into()),
        text("pitturu.outcome", outcome(trace)),
    ];
    attributes.extend(read.user.map(|user| text("user.id", user.to_string())));
    attributes.extend(trace.fault.map(|code| text("error.type", code.name())));
    if trace.left_out > 0 {
        attributes.push(number("pitturu.steps_left_out", trace.left_out.into()));
    }
    attributes
}

/// As metrics show it, or that nobody was there to hear it.
fn outcome(trace: &Trace) -> &'static str {
    match trace.fault {
        _ if !trace.is_answered => "unanswered",
        None => Outcome::Ok.name(),
        Some(code) => Outcome::of(code).name(),
    }
}

/// What the server could not do is an error; what it would not do is none of the server's.
fn status(trace: &Trace) -> Status {
    let failed = trace.fault.map(Outcome::of) == Some(Outcome::Failed);
    Status {
        code: match failed {
            true => StatusCode::Error.into(),
            false => StatusCode::Unset.into(),
        },
        ..Status::default()
    }
}

fn attributes_of(step: &Noted) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    if let Some((kind, id)) = step.of {
        attributes.push(text("pitturu.entity", kind.name()));
        if kind == EntityKind::Rooms {
            attributes.push(text("pitturu.room", RoomId::from_bytes(id).to_string()));
        }
    }
    if let Some(followers) = step.followers {
        let followers = i64::try_from(followers).unwrap_or(i64::MAX);
        attributes.push(number("pitturu.followers", followers));
    }
    attributes
}

fn nanos(began: SystemTime, after: Duration) -> u64 {
    let since = began.duration_since(UNIX_EPOCH).unwrap_or_default() + after;
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
