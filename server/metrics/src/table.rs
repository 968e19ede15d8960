//! Every metric. `docs/metrics.md` is written from this table: `pitturu metrics > docs/metrics.md`.
//!
//! To add one: a line here, and whoever counts names it. Prometheus' rules for names are kept: `pitturu_` in front, base units
//! and what is counted at the end, `_total` behind what only grows, nothing abbreviated.

use pitturu_protocol::codes::Code;
use pitturu_protocol::types::points::PointsAccount;

use crate::counter::{Counter, Reading};
use crate::description::{Begins, Line, Metric, Unit};
use crate::gauge::{Gauge, Level};
use crate::histogram::Histogram;
use crate::labels::{
    CallClass, CalledMethod, ConnectionEnd, DeliveryClass, EntityKind, HandshakeRefusal, Lasting,
    Offence, Outcome, SignInWay, Transport, Version,
};
use crate::timings::{CountOf, Timings};

/// Metrics that belong together.
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// Its lines.
    pub metrics: &'static [&'static dyn Metric],
}

macro_rules! table {
    ($($title:literal {
        $($metric:ident: $type:ty = $name:literal, $unit:expr, $begins:ident, $help:literal $(, $of:expr)?;)*
    })*) => {
        $($(
            #[doc = $help]
            pub static $metric: $type = <$type>::new(
                Line { name: $name, unit: $unit, begins: Begins::$begins, help: $help },
                $($of)?
            );
        )*)*

        /// The whole table, in the order in which people read it.
        pub static SECTIONS: &[Section] = &[
            $(Section { title: $title, metrics: &[$(&$metric,)*] },)*
        ];
    };
}

table! {
    "The server" {
        BUILD_INFO: Gauge<Version> = "pitturu_build_info", Unit::Yes, AtStart,
            "The version that runs: always 1.";
        READY: Gauge = "pitturu_ready", Unit::Yes, AtStart,
            "Whether every part is ready, as /ready says it.";
    }
    "Connections" {
        CONNECTIONS: Level = "pitturu_connections", Unit::Count("connections"), AtStart,
            "Connections that have shaken hands and are open.";
        PLAYERS_SIGNED_IN: Gauge = "pitturu_players_signed_in", Unit::Count("players"), AtStart,
            "Players who are signed in, on however many connections.";
        CONNECTIONS_OPENED: Counter<Transport> = "pitturu_connections_opened_total", Unit::Count("connections"), AtStart,
            "Connections that have shaken hands.";
        CONNECTIONS_CLOSED: Counter<ConnectionEnd> = "pitturu_connections_closed_total", Unit::Count("connections"), AtStart,
            "Connections that have ended: the close code by which the server ended them, or who else did.";
        HANDSHAKES_REFUSED: Counter<(Transport, HandshakeRefusal)> = "pitturu_handshakes_refused_total", Unit::Count("handshakes"), AtStart,
            "Handshakes that led to no connection.";
        ACCEPT_ERRORS: Counter = "pitturu_accept_errors_total", Unit::Count("errors"), AtStart,
            "Times the server could not accept a TCP connection, for want of open files or memory.";
        QUIC_RETRIES: Counter = "pitturu_quic_retries_total", Unit::Count("handshakes"), AtStart,
            "Handshakes of QUIC whose client was asked to show that its address is its own.";
        QUIC_FIRST_PACKETS_DROPPED: Counter = "pitturu_quic_first_packets_dropped_total", Unit::Count("packets"), AtStart,
            "First packets of QUIC that came faster than quic.first_packets_per_second and were dropped.";
        DATAGRAMS_DROPPED: Counter<Transport> = "pitturu_datagrams_dropped_total", Unit::Count("datagrams"), AtStart,
            "Datagrams to clients that were longer than the path takes and were dropped.";
    }
    "Calls" {
        CALLS: CountOf<(CalledMethod, Outcome)> = "pitturu_calls_total", Unit::Count("calls"), AtStart,
            "Calls that were answered: refused is what the server would not do, failed what it could not do.", &CALL_SECONDS;
        CALL_SECONDS: Timings<(CalledMethod, Outcome)> = "pitturu_call_seconds", Unit::Seconds, Later,
            "Time from when a call was read to its answer; a method is shown after its first call.";
        FAULTS: Counter<(CallClass, Code)> = "pitturu_faults_total", Unit::Count("calls"), AtStart,
            "Calls that were answered with a fault, by the limit that they count against and the fault's code.";
        TRACES_DROPPED: Counter = "pitturu_traces_dropped_total", Unit::Count("traces"), AtStart,
            "Traces of calls that came to nothing: too many had no answer or waited to be sent, or the collector did not take them.";
    }
    "Sign-in" {
        SIGN_INS: Counter<(SignInWay, Outcome)> = "pitturu_sign_ins_total", Unit::Count("sign-ins"), AtStart,
            "Sign-ins that were looked at; those beyond the rate limit are not, and count as faults of class sign_in.";
        WRONG_PASSWORDS: Counter = "pitturu_wrong_passwords_total", Unit::Count("passwords"), AtStart,
            "Wrong passwords, whether or not the name exists.";
        LOCKOUTS: Counter = "pitturu_lockouts_total", Unit::Count("sign-ins"), AtStart,
            "Sign-ins that were refused because too many wrong passwords came before them.";
        PASSWORDS_REFUSED: Counter = "pitturu_passwords_refused_total", Unit::Count("passwords"), AtStart,
            "Passwords that were not looked at because too many waited for the threads that check them.";
        RESET_TOKENS_DROPPED: Counter = "pitturu_reset_tokens_dropped_total", Unit::Count("tokens"), AtStart,
            "Tokens for a new password that did not reach accounts.reset_hook.";
    }
    "Moderation" {
        ACTS_BY_RULE: Counter<Offence> = "pitturu_acts_by_rule_total", Unit::Count("acts"), AtStart,
            "Players whom the server has muted or suspended by itself, by the rule that they broke.";
    }
    "Messages" {
        MESSAGES: Counter<Lasting> = "pitturu_messages_total", Unit::Count("messages"), AtStart,
            "Messages that rooms have accepted: stored ones once they are on disk.";
        DELIVERIES: Counter<DeliveryClass> = "pitturu_deliveries_total", Unit::Count("events"), AtStart,
            "Events handed to connections as they happened, counted for each connection, by what a slow reader loses of them.";
        DELIVERIES_DROPPED: Counter = "pitturu_deliveries_dropped_total", Unit::Count("events"), AtStart,
            "Events of class volatile that a slow reader did not get.";
        STREAMS_CUT: Counter = "pitturu_streams_cut_total", Unit::Count("streams"), AtStart,
            "Times a reader was too slow for a room, so that the rest is read from the store for it.";
        BACKFILLED_ENTRIES: Counter = "pitturu_backfilled_entries_total", Unit::Count("entries"), AtStart,
            "Entries of rooms and inboxes that were read from the store for clients that came back or were slow.";
        PRESENCE_EVENTS: Counter = "pitturu_presence_events_total", Unit::Count("events"), AtStart,
            "Those of the deliveries that say who is there.";
        RANK_EVENTS: Counter = "pitturu_rank_events_total", Unit::Count("events"), AtStart,
            "Those of the deliveries that say which place a follower of a leaderboard has.";
    }
    "Entities" {
        ENTITIES_LIVE: Level<EntityKind> = "pitturu_entities_live", Unit::Count("entities"), AtStart,
            "Entities in memory; counted every five seconds.";
        ENTITY_RELOADS: Counter<EntityKind> = "pitturu_entity_reloads_total", Unit::Count("entities"), AtStart,
            "Times an entity was read again because a write of it had failed.";
        OWNERS_WAITING: Gauge<EntityKind> = "pitturu_owners_waiting", Unit::Count("commands and reports"), AtStart,
            "What waits in the mailboxes of the owners of entities.";
        SIGNALS_WAITING: Level = "pitturu_signals_waiting", Unit::Count("signals"), AtStart,
            "Signals that entities in memory have decided and do not know to be applied.";
        SIGNALS_SENT: Counter = "pitturu_signals_sent_total", Unit::Count("signals"), AtStart,
            "Signals from one entity to another, repetitions included.";
        BOARD_SCORES_DROPPED: Counter = "pitturu_board_scores_dropped_total", Unit::Count("scores"), AtStart,
            "Scores that came with a reward and that their leaderboard did not take.";
    }
    "Points" {
        POINTS_DEBITS: Gauge<PointsAccount> = "pitturu_points_debits", Unit::Count("points"), Later,
            "Debits of an account over all players, when the books were last added up; first a minute after the start.";
        POINTS_CREDITS: Gauge<PointsAccount> = "pitturu_points_credits", Unit::Count("points"), Later,
            "Credits of an account over all players, when the books were last added up; first a minute after the start.";
        POINTS_FAULTS: Gauge = "pitturu_points_faults", Unit::Count("faults"), Later,
            "What did not add up in the books; first a minute after the start, and other than 0 is a fault of the server or the disk.";
    }
    "The store" {
        STORE_WRITABLE: Gauge = "pitturu_store_writable", Unit::Yes, AtStart,
            "Whether the store can write.";
        STORE_COMMIT_SECONDS: Histogram = "pitturu_store_commit_seconds", Unit::Seconds, AtStart,
            "Time of a commit, from when it is handed over until it is synced to disk.";
        STORE_COMMIT_ROWS: Histogram = "pitturu_store_commit_rows", Unit::Count("rows"), AtStart,
            "Rows that a commit has written.";
        STORE_COMMITTED_BYTES: Counter = "pitturu_store_committed_bytes_total", Unit::Bytes, AtStart,
            "Keys and values that commits have written.";
        STORE_QUEUE_JOBS: Gauge = "pitturu_store_queue_jobs", Unit::Count("writes"), AtStart,
            "Writes that wait for a commit.";
        STORE_QUEUE_BYTES: Gauge = "pitturu_store_queue_bytes", Unit::Bytes, AtStart,
            "Memory that the writes hold which wait for a commit.";
        STORE_REFUSED: Counter = "pitturu_store_refused_total", Unit::Count("writes"), AtStart,
            "Writes that were refused because the queue was full.";
        STORE_FAILURES: Counter = "pitturu_store_failures_total", Unit::Count("failures"), AtStart,
            "Times the store became unable to write.";
        BACKUP_MADE: Gauge = "pitturu_backup_timestamp_seconds", Unit::Seconds, Later,
            "The moment of the last backup that this process has made, in seconds since 1970.";
        BACKUPS_FAILED: Counter = "pitturu_backups_failed_total", Unit::Count("backups"), AtStart,
            "Backups that were asked for and came to nothing, but for those that were refused for their name or because one was being made.";
        STORE_FREE_BYTES: Gauge = "pitturu_store_free_bytes", Unit::Bytes, AtStart,
            "Free space where the store lies, looked at every second while it writes.";
    }
    "The process" {
        PROCESS_CPU_SECONDS: Reading = "process_cpu_seconds_total", Unit::Seconds, AtStart,
            "Processor time of the process, user and system.";
        PROCESS_START_TIME: Gauge = "process_start_time_seconds", Unit::Seconds, AtStart,
            "When the process began, in seconds since 1970.";
        PROCESS_RESIDENT_MEMORY: Gauge = "process_resident_memory_bytes", Unit::Bytes, AtStart,
            "Memory that the process occupies.";
        PROCESS_VIRTUAL_MEMORY: Gauge = "process_virtual_memory_bytes", Unit::Bytes, AtStart,
            "Memory that the process has asked for.";
        PROCESS_OPEN_FILES: Gauge = "process_open_fds", Unit::Count("files"), AtStart,
            "Open files and sockets.";
        PROCESS_MAX_FILES: Gauge = "process_max_fds", Unit::Count("files"), AtStart,
            "Most open files and sockets that the process may have.";
        PROCESS_THREADS: Gauge = "process_threads", Unit::Count("threads"), AtStart,
            "Threads of the process.";
    }
}

/// Every metric.
pub fn all() -> impl Iterator<Item = &'static dyn Metric> {
    SECTIONS.iter().flat_map(|section| section.metrics).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::description::Kind;

    /// Names of whole units, as they stand at the end of a metric's name.
    fn unit_in(name: &str) -> Option<Unit> {
        match name.trim_end_matches("_total").rsplit('_').next() {
            Some("seconds") => Some(Unit::Seconds),
            Some("bytes") => Some(Unit::Bytes),
            _ => None,
        }
    }

    #[test]
    fn names_keep_the_rules_of_prometheus() {
        let mut names = HashSet::new();
        for described in all().map(Metric::description) {
            let name = described.line.name;
            assert!(names.insert(name), "{name} is there twice");
            let fits = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.chars().all(fits), "{name}");
            let is_ours = name.starts_with("pitturu_") || name.starts_with("process_");
            assert!(is_ours, "{name}");
            let only_grows = described.kind == Kind::Counter;
            assert_eq!(name.ends_with("_total"), only_grows, "{name}");
            let unit = match described.line.unit {
                unit @ (Unit::Seconds | Unit::Bytes) => Some(unit),
                Unit::Count(_) | Unit::Yes => None,
            };
            assert_eq!(unit_in(name), unit, "{name}");
            let of_histograms = ["_count", "_sum", "_bucket"];
            assert!(
                !of_histograms.iter().any(|end| name.ends_with(end)),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_said_of_a_metric_is_one_sentence_of_plain_text() {
        for described in all().map(Metric::description) {
            let Line {
                name, help, unit, ..
            } = described.line;
            assert!(
                help.ends_with('.') && !help.contains(". "),
                "{name}: {help}"
            );
            // They would have to be escaped on the page, or break the table of the document.
            assert!(!help.contains(['\\', '\n', '|', '"']), "{name}: {help}");
            assert!(!unit.name().is_empty(), "{name}");
            for label in described.labels {
                assert!(!label.values.is_empty(), "{name} {}", label.name);
                let different: HashSet<_> = label.values.iter().collect();
                assert_eq!(different.len(), label.values.len(), "{name} {}", label.name);
                let is_plain = |value: &&str| !value.contains(['\\', '\n', '"']);
                assert!(label.values.iter().all(is_plain), "{name} {}", label.name);
            }
        }
    }

    #[test]
    fn what_only_grows_is_shown_from_the_start() {
        for described in all().map(Metric::description) {
            let begins = described.line.begins;
            let is_there = described.kind != Kind::Counter || begins == Begins::AtStart;
            assert!(is_there, "{}", described.line.name);
        }
    }
}
