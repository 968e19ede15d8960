//! Who may name what: each outside thing is known in one place.

use crate::sources::{Source, Violation};
use crate::tokens::{Code, NamedPath};

/// A set of paths that only some files may name.
struct Boundary {
    /// What the rule protects; ends up in the message.
    reason: &'static str,
    /// Files that the rule looks at: folders or files, as beginnings of paths.
    scope: &'static [&'static str],
    /// Files in the scope that may name the paths.
    allowed: &'static [&'static str],
    /// The paths.
    banned: &'static [&'static str],
}

const BOUNDARIES: &[Boundary] = &[
    Boundary {
        reason: "the protocol has no runtime, sockets, clock, files, environment or randomness: they are arguments",
        scope: &["protocol/src/"],
        allowed: &[],
        banned: &[
            "tokio",
            "futures_util",
            "async_trait",
            "std::net",
            "std::time::Instant",
            "std::time::SystemTime",
            "std::env",
            "std::fs",
            "std::process",
            "std::thread",
            "rand",
            "getrandom",
        ],
    },
    Boundary {
        reason: "only transport knows the wire's libraries",
        scope: &["server/src/"],
        allowed: &["server/src/transport"],
        banned: &[
            "tokio_tungstenite",
            "tungstenite",
            "quinn",
            "quinn_proto",
            "web_transport_proto",
        ],
    },
    Boundary {
        reason: "the generator's players speak through link, and only floors are served by the libraries compared with",
        scope: &["loadtest/src/"],
        allowed: &["loadtest/src/link", "loadtest/src/floor"],
        banned: &[
            "tokio_tungstenite",
            "tungstenite",
            "quinn",
            "rustls",
            "tokio_rustls",
            "web_transport_proto",
        ],
    },
    Boundary {
        reason: "only store knows its drivers",
        scope: &["server/"],
        allowed: &["server/store/"],
        banned: &["fjall", "scylla"],
    },
    Boundary {
        reason: "every metric is a line of the table in server/metrics, and whoever counts names that line",
        scope: &["server/"],
        allowed: &["server/metrics/"],
        banned: &["metrics"],
    },
    Boundary {
        reason: "only ops writes the page for Prometheus",
        scope: &["server/"],
        allowed: &["server/src/ops"],
        banned: &["metrics_exporter_prometheus"],
    },
    Boundary {
        reason: "only bus knows Redis",
        scope: &["server/src/"],
        allowed: &["server/src/bus"],
        banned: &["redis"],
    },
    Boundary {
        reason: "locks are parking_lot's: a thread that panics poisons nothing, so nobody has to say what to do then",
        scope: &[
            "server/",
            "client-sdk/rust/src/",
            "loadtest/src/",
            "testing/",
        ],
        allowed: &[],
        banned: &[
            "std::sync::Mutex",
            "std::sync::RwLock",
            "std::sync::Condvar",
        ],
    },
    Boundary {
        reason: "what fan-out and owners are made of is swapped by the model tests, so they take it from crate::sync",
        scope: &["server/src/connections/", "server/src/owners/"],
        allowed: &[],
        banned: &[
            "parking_lot",
            "std::sync::atomic::AtomicBool",
            "tokio::sync::Notify",
        ],
    },
    Boundary {
        reason: "only the reset_delivery and traces make HTTP requests",
        scope: &["server/"],
        allowed: &[
            "server/src/services/accounts/reset_delivery",
            "server/src/ops/traces",
        ],
        banned: &["reqwest"],
    },
    Boundary {
        reason: "only ops knows OpenTelemetry: what is noted of a call is plain data",
        scope: &["server/"],
        allowed: &["server/src/ops/traces"],
        banned: &["opentelemetry_proto", "prost"],
    },
    Boundary {
        reason: "only transport knows TLS",
        scope: &["server/"],
        allowed: &["server/src/transport"],
        banned: &["rustls", "tokio_rustls", "rcgen", "ring"],
    },
    Boundary {
        reason: "only transport/quic speaks QUIC: what it shares with WebSocket lies beside both",
        scope: &["server/src/transport"],
        allowed: &["server/src/transport/quic"],
        banned: &["quinn", "quinn_proto", "web_transport_proto"],
    },
    Boundary {
        reason: "the SDK knows its ways to a server in one place each",
        scope: &["client-sdk/rust/src/"],
        allowed: &["client-sdk/rust/src/transport"],
        banned: &["tokio_tungstenite", "quinn", "rustls", "ring"],
    },
    Boundary {
        reason: "only transport/quic of the SDK speaks QUIC",
        scope: &["client-sdk/rust/src/transport"],
        allowed: &["client-sdk/rust/src/transport/quic"],
        banned: &["quinn"],
    },
    Boundary {
        reason: "secrets are hashed and signed in one place each",
        scope: &["server/"],
        allowed: &["server/src/services/accounts"],
        banned: &["bcrypt", "jsonwebtoken", "hmac"],
    },
    Boundary {
        reason: "only http and ops serve HTTP",
        scope: &["server/src/"],
        allowed: &["server/src/http", "server/src/ops"],
        banned: &["hyper", "hyper_util", "http_body_util"],
    },
    Boundary {
        reason: "only config reads the environment",
        scope: &["server/src/"],
        allowed: &["server/src/config"],
        banned: &["std::env"],
    },
    Boundary {
        reason: "rules are pure and synchronous: owners and services carry their effects out",
        scope: &[RULES],
        allowed: &[],
        banned: &[
            "tokio",
            "futures_util",
            "async_trait",
            "std::env",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "getrandom",
            "parking_lot",
        ],
    },
];

const RULES: &str = "server/rules/src/";

/// What serves a connection whatever carries it.
const ANY_TRANSPORT: &[&str] = &["server/src/session", "server/src/connections"];

pub(crate) fn check(source: &Source) -> Vec<Violation> {
    if !source.is_rust() || source.is_test() {
        return Vec::new();
    }
    let code = match Code::parse(&source.text) {
        Ok(code) => code,
        Err(error) => return vec![Violation::new("boundaries", source, 0, error)],
    };
    let mut violations = Vec::new();
    let paths = code.paths();
    for boundary in BOUNDARIES {
        if !begins(source, boundary.scope) || begins(source, boundary.allowed) {
            continue;
        }
        for path in &paths {
            if let Some(banned) = boundary.banned.iter().find(|banned| names(path, banned)) {
                let message = format!("names {banned}: {}", boundary.reason);
                violations.push(Violation::new("boundaries", source, path.line, message));
            }
        }
    }
    if source.path.starts_with(RULES) {
        for word in ["async", "await"] {
            for line in code.lines_of(&[word]) {
                let message = format!("{word}: rules are synchronous");
                violations.push(Violation::new("boundaries", source, line, message));
            }
        }
    }
    if begins(source, ANY_TRANSPORT) {
        violations.extend(check_transport(source, &code));
    }
    violations
}

/// Looks at names, text and comments alike: what a reader would take for a rule of every transport.
fn check_transport(source: &Source, code: &Code) -> Vec<Violation> {
    let says = |line: &str| line.to_ascii_lowercase().contains("websocket");
    let is_test = |line: usize| code.test_lines.iter().any(|lines| lines.contains(&line));
    let lines = (1..).zip(source.text.lines());
    lines
        .filter(|&(line, text)| says(text) && !is_test(line))
        .map(|(line, _)| {
            let message = "says WebSocket: sessions and connections know no transport, so say it in transport/";
            Violation::new("boundaries", source, line, message)
        })
        .collect()
}

/// `server/src/store` stands for `store.rs` and for everything in `store/`.
fn begins(source: &Source, places: &[&str]) -> bool {
    places.iter().any(|place| {
        source.path.strip_prefix(place).is_some_and(|rest| {
            place.ends_with('/') || rest.starts_with('/') || rest.starts_with(".rs")
        })
    })
}

/// Whether the path lies in what is banned, or brings in a module around it.
fn names(path: &NamedPath, banned: &str) -> bool {
    let mut pairs = path.segments.iter().zip(banned.split("::"));
    pairs.all(|(segment, banned)| segment == banned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn the_protocol_may_not_touch_the_world() {
        for text in [
            "use tokio::sync::mpsc;",
            "use std::{fmt, net::TcpStream};",
            "use std::time::{Duration, Instant};",
            "use std::time;",
            "fn now() -> u64 { std::time::SystemTime::now(); 0 }",
            "m!(std::env::var(\"A\"));",
            "use std::fs::File;",
            "use rand::Rng;",
            "use getrandom as g;",
            "use std as s;",
        ] {
            assert_eq!(found("protocol/src/any.rs", text), 1, "{text}");
        }
        assert_eq!(found("protocol/src/any.rs", "use std::time::Duration;"), 0);
        assert_eq!(found("protocol/tests/any.rs", "use std::fs;"), 0);
        assert_eq!(found("server/src/any.rs", "use tokio::sync::mpsc;"), 0);
    }

    #[test]
    fn each_library_of_the_server_has_one_place() {
        for (text, place) in [
            ("use tokio_tungstenite::tungstenite;", "transport/ws"),
            ("use quinn::Endpoint;", "transport/quic/endpoint"),
            ("use redis::aio;", "bus/redis"),
            ("use hyper::server;", "ops/http"),
            ("use hyper_util::rt;", "http/redirects"),
            ("fn f() { std::env::vars(); }", "config/environment"),
        ] {
            assert_eq!(found(&format!("server/src/{place}.rs"), text), 0, "{text}");
            assert_eq!(found("server/src/session/driver.rs", text), 1, "{text}");
            assert_eq!(found("server/src/storefront.rs", text), 1, "{text}");
            let (folder, _) = place.rsplit_once('/').expect("each place lies in a folder");
            assert_eq!(found(&format!("server/src/{folder}.rs"), text), 0, "{text}");
        }
    }

    #[test]
    fn each_transport_is_spoken_in_one_place() {
        for (path, text, count) in [
            ("server/src/transport/quic/link.rs", "use quinn::VarInt;", 0),
            (
                "server/src/transport/quic/endpoint.rs",
                "use ring::hmac;",
                0,
            ),
            ("server/src/transport/listener.rs", "use quinn::VarInt;", 1),
            ("server/src/app/quic.rs", "use quinn::VarInt;", 1),
            ("server/src/app/quic.rs", "use ring::digest;", 1),
            (
                "client-sdk/rust/src/transport/quic.rs",
                "use quinn::VarInt;",
                0,
            ),
            (
                "client-sdk/rust/src/transport/tls.rs",
                "use ring::digest;",
                0,
            ),
            (
                "client-sdk/rust/src/transport/tls.rs",
                "use quinn::VarInt;",
                1,
            ),
            ("client-sdk/rust/src/task.rs", "use quinn::VarInt;", 1),
            (
                "client-sdk/rust/src/options.rs",
                "use rustls::ClientConfig;",
                1,
            ),
        ] {
            assert_eq!(found(path, text), count, "{path}: {text}");
        }
    }

    #[test]
    fn locks_come_from_one_place() {
        for (path, text, count) in [
            (
                "server/src/services/profile.rs",
                "use std::sync::{Arc, Mutex};",
                1,
            ),
            ("server/store/src/queue.rs", "use std::sync::Condvar;", 1),
            (
                "client-sdk/rust/src/task.rs",
                "fn f(l: &std::sync::RwLock<u8>) {}",
                1,
            ),
            (
                "server/src/services/profile.rs",
                "use parking_lot::Mutex;",
                0,
            ),
            (
                "server/src/owners/executor.rs",
                "use parking_lot::Mutex;",
                1,
            ),
            (
                "server/src/connections/outbox.rs",
                "use tokio::sync::Notify;",
                1,
            ),
            (
                "server/src/owners/executor.rs",
                "use crate::sync::Mutex;",
                0,
            ),
            (
                "server/src/services/profile/tests.rs",
                "use std::sync::Mutex;",
                0,
            ),
        ] {
            assert_eq!(found(path, text), count, "{path}: {text}");
        }
    }

    #[test]
    fn each_secret_and_request_has_one_place() {
        for (text, place) in [
            (
                "use reqwest::Client;",
                "services/accounts/reset_delivery/hook",
            ),
            ("use tokio_rustls::TlsAcceptor;", "transport/tls"),
            ("use bcrypt::hash;", "services/accounts/passwords"),
            ("use jsonwebtoken::encode;", "services/accounts/signing"),
        ] {
            assert_eq!(found(&format!("server/src/{place}.rs"), text), 0, "{text}");
            assert_eq!(found("server/src/chat/directory.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn only_the_store_knows_its_drivers() {
        for text in ["use fjall::Keyspace;", "use scylla::client;"] {
            assert_eq!(found("server/store/src/embedded.rs", text), 0, "{text}");
            for path in ["server/src/chat.rs", "server/rules/src/rooms.rs"] {
                assert_eq!(found(path, text), 1, "{path}: {text}");
            }
        }
    }

    #[test]
    fn nobody_counts_what_the_table_does_not_have() {
        for text in [
            "use metrics::counter;",
            "fn f() { metrics::counter!(\"late\").increment(1); }",
            "fn f() { metrics::gauge!(\"late\", \"of\" => name).set(1.0); }",
            "fn f() { metrics::with_recorder(|recorder| {}); }",
        ] {
            assert_eq!(found("server/metrics/src/counter.rs", text), 0, "{text}");
            for path in ["src/chat.rs", "src/ops/metrics.rs", "store/src/embedded.rs"] {
                assert_eq!(found(&format!("server/{path}"), text), 1, "{path}: {text}");
            }
        }
        let text = "use metrics_exporter_prometheus::PrometheusBuilder;";
        assert_eq!(found("server/src/ops/metrics.rs", text), 0);
        assert_eq!(found("server/src/connections/calls.rs", text), 1);
        let text = "use pitturu_metrics::table; use crate::ops::metrics::Metrics;";
        assert_eq!(found("server/src/app.rs", text), 0);
    }

    #[test]
    fn the_generator_knows_the_wire_in_one_place() {
        for text in [
            "use tokio_tungstenite::tungstenite;",
            "use quinn::Endpoint;",
            "use tokio_rustls::TlsConnector;",
            "use web_transport_proto::Capsule;",
        ] {
            for place in ["link", "link/handshake", "floor", "floor/echo"] {
                assert_eq!(found(&format!("loadtest/src/{place}.rs"), text), 0);
            }
            for place in ["player", "player/inbox", "scenarios/echo", "links"] {
                assert_eq!(found(&format!("loadtest/src/{place}.rs"), text), 1);
            }
        }
    }

    #[test]
    fn rules_may_not_wait_or_look_at_the_clock() {
        let path = "server/rules/src/rooms/send.rs";
        assert_eq!(found(path, "async fn f() {}"), 1);
        assert_eq!(found(path, "fn f() { async { g.await }; }"), 2);
        assert_eq!(found(path, "use tokio::sync::mpsc;"), 1);
        assert_eq!(found(path, "use std::time::SystemTime;"), 1);
        assert_eq!(found(path, "use std::sync::{Arc, Mutex};"), 1);
        assert_eq!(
            found("server/src/services/profile.rs", "async fn f() {}"),
            0
        );
    }

    #[test]
    fn sessions_and_connections_know_no_transport() {
        for text in [
            "struct WebSocketLink;",
            "fn on_websocket() {}",
            "const WEBSOCKET: u16 = 1;",
            "/// Close code of the WebSocket.\nconst CLOSE: u16 = 1;",
            "//! Links, such as a websocket.",
            "// A WebSocket has none.",
            "const LABEL: &str = \"websocket\";",
        ] {
            for path in ["session", "session/driver", "connections/outbox/direct"] {
                let path = format!("server/src/{path}.rs");
                assert_eq!(found(&path, text), 1, "{path}: {text}");
            }
            assert_eq!(found("server/src/transport/ws.rs", text), 0, "{text}");
            assert_eq!(found("server/src/session/tests.rs", text), 0, "{text}");
            let tested = format!("#[cfg(test)]\nmod tests {{\n{text}\nfn f() {{}}\n}}\n");
            if !text.starts_with("//!") {
                assert_eq!(
                    found("server/src/connections/link.rs", &tested),
                    0,
                    "{text}"
                );
            }
        }
        let violations = check(&Source::new(
            "server/src/session/driver.rs",
            "const A: u8 = 0;\n// WebSocket\n",
        ));
        assert_eq!(violations[0].line, 2);
    }

    #[test]
    fn a_file_that_is_not_rust_is_an_error() {
        assert_eq!(found("server/src/any.rs", "fn f( {"), 1);
    }
}
