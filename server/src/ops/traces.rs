//! Traces of calls, for a collector that speaks OTLP over HTTP. What is noted of a call is in `call_traces.rs`.

#[cfg(not(feature = "otlp"))]
mod left_out;
#[cfg(feature = "otlp")]
mod otlp;

#[cfg(not(feature = "otlp"))]
pub use left_out::{Traces, set_sampled};
#[cfg(feature = "otlp")]
pub use otlp::{Traces, set_sampled};

/// What is traced, and where it goes.
#[derive(Clone, Debug)]
pub struct TraceConfig {
    /// Address of the collector. Absent: nothing is traced.
    pub endpoint: Option<String>,
    /// Names and values of headers of each request. They may be secret.
    pub headers: Vec<(String, String)>,
    /// Share of the calls, from 0 to 1.
    pub sampled: f64,
}

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The address is none.
    #[error("traces.endpoint is not an http or https address")]
    Endpoint,
    /// A header is none.
    #[error("traces.headers has a header that can't be sent")]
    Header,
    /// The HTTP client can't be set up.
    #[error("the HTTP client can't be set up: {0}")]
    Client(String),
}
