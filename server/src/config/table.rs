//! The one table of configuration keys.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use pitturu_text::username::Username;

use crate::config::collected::Collected;
use crate::config::key::Key;
use crate::config::values::{
    Bearer, ByteSize, FilePath, FolderPath, Headers, HookUrl, LogLevels, Origin, Reason, Secret,
    Share, Value,
};
use crate::connections::address::Shown;
use crate::connections::automod::Act;
use crate::ops::logs::LogFormat;

impl Key {
    /// The key with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

/// A text that is no value of its key.
fn refuse<T>(key: &Key, collected: &Collected, mistakes: &mut Vec<String>) -> Option<T> {
    let (text, source) = collected.of(key);
    let shown = if key.secret { "its value" } else { text };
    mistakes.push(format!(
        "{}: {shown:?} ({source}) is not allowed; it is {}",
        key.name,
        key.allowed()
    ));
    None
}

fn read<T: Value>(key: &Key, collected: &Collected, mistakes: &mut Vec<String>) -> Option<T> {
    T::parse(collected.of(key).0).or_else(|| refuse(key, collected, mistakes))
}

fn read_within<T: Value + PartialOrd>(
    key: &Key,
    collected: &Collected,
    mistakes: &mut Vec<String>,
) -> Option<T> {
    let value: T = read(key, collected, mistakes)?;
    if collected.of(key).0.is_empty() {
        // Not set, where that is allowed.
        return Some(value);
    }
    let (least, greatest) = key.range.expect("the table calls this for ranges only");
    let bound = |text| T::parse(text).expect("the table's ranges are values; a test reads them");
    if value < bound(least) || value > bound(greatest) {
        return refuse(key, collected, mistakes);
    }
    Some(value)
}

macro_rules! range {
    () => {
        None
    };
    ($least:literal, $greatest:literal) => {
        Some(($least, $greatest))
    };
}

macro_rules! reader {
    () => {
        read
    };
    ($least:literal, $greatest:literal) => {
        read_within
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($text:literal) => {
        Some($text)
    };
}

macro_rules! is_secret {
    (secret) => {
        true
    };
    ($($other:ident)?) => {
        false
    };
}

macro_rules! reloads {
    (reloads) => {
        true
    };
    ($($other:ident)?) => {
        false
    };
}

macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])*
        $section:ident: $struct:ident {
            $(
                #[doc = $meaning:literal]
                $key:ident: $type:ty = $default:literal $(dev $dev:literal)?
                $(in $least:literal to $greatest:literal)? $(; $mark:ident)?,
            )*
        }
    )*) => {
        $(
            $(#[doc = $section_doc])*
            #[derive(Clone, Debug)]
            pub struct $struct {
                $(#[doc = $meaning] pub $key: $type,)*
            }
        )*

        /// The configuration in effect.
        #[derive(Clone, Debug)]
        pub struct Config {
            /// Development mode.
            pub dev: bool,
            $($(#[doc = $section_doc])* pub $section: $struct,)*
        }

        /// Every key, in the order of the documentation.
        pub const KEYS: &[Key] = &[$($(Key {
            name: concat!(stringify!($section), ".", stringify!($key)),
            written: <$type as Value>::WRITTEN,
            default: $default,
            dev: optional!($($dev)?),
            range: range!($($least, $greatest)?),
            secret: is_secret!($($mark)?),
            reloads: reloads!($($mark)?),
            meaning: $meaning,
        },)*)*];

        /// Every section with what it is about.
        pub const SECTIONS: &[(&str, &str)] = &[
            $((stringify!($section), concat!($($section_doc),*)),)*
        ];

        impl Config {
            /// Reads all values. None after a mistake, which is appended to `mistakes`.
            pub fn parse(
                collected: &Collected,
                dev: bool,
                mistakes: &mut Vec<String>,
            ) -> Option<Self> {
                let mut keys = KEYS.iter();
                $(
                    let $section = {
                        $(
                            let $key = reader!($($least, $greatest)?)(
                                keys.next().expect("one entry per key"),
                                collected,
                                mistakes,
                            );
                        )*
                        (|| Some($struct { $($key: $key?,)* }))()
                    };
                )*
                Some(Self { dev, $($section: $section?,)* })
            }
        }
    };
}

settings! {
    /// Where players connect.
    listen: Listen {
        /// Address for WebSocket connections without TLS. Beyond this machine only with `listen.plain`, or in development mode.
        ws: SocketAddr = "127.0.0.1:7350",
        /// Lets `listen.ws` be an address that others reach, where passwords and tokens come without TLS: for a proxy in front that does TLS, on a network that is its own.
        plain: bool = "false",
        /// Address for WebSocket connections with TLS. Not set: no TLS here.
        tls: Option<SocketAddr> = "",
        /// Address for QUIC and WebTransport connections, over UDP. Not set: none of them here. The port number of `listen.tls` is the best: clients of a `wss` address try QUIC there before they know better.
        quic: Option<SocketAddr> = "" dev "127.0.0.1:7350",
        /// PEM file with the certificate chain, the server's own first, for TLS and QUIC. Development mode makes up one for each when it is not set.
        cert: Option<FilePath> = ""; reloads,
        /// PEM file with the private key of the certificate.
        key: Option<FilePath> = ""; reloads,
        /// Networks of the proxies in front of `listen.ws` and `listen.tls`, from which whom a connection is from is taken as the proxy says it. Empty: nobody is believed.
        proxies: Vec<IpNet> = ""; reloads,
        /// Whether the proxies say it by a header of the PROXY protocol, version 2, which every connection from `listen.proxies` must then begin with. Otherwise they say it by `Forwarded` or `X-Forwarded-For`.
        proxy_protocol: bool = "false"; reloads,
        /// Web pages that may connect, as `https://host` or `https://host:port`. Empty: pages of the host and port that they connect to; in development mode any page. Programs that send no `Origin` always may.
        origins: Vec<Origin> = ""; reloads,
        /// Most connections at once. Each over TCP is an open file: where the system's limit is too low for so many and what the server itself needs, fewer come in over TCP, and a warning at the start says which limit it takes.
        connections_max: usize = "50000" dev "15000" in "1" to "10000000"; reloads,
        /// Most connections from one address (IPv6: one /64 network) at once.
        connections_per_address_max: usize = "512" dev "15000" in "1" to "10000000"; reloads,
        /// Longest time for TLS and the HTTP upgrade.
        handshake_timeout: Duration = "5s" in "100ms" to "5m",
    }
    /// QUIC connections, where `listen.quic` is set.
    quic: Quic {
        /// Handshakes at a time whose client has not shown that its address is its own. Above it clients have to show that first, which takes them a round trip. 0: always.
        unvalidated_max: usize = "64" in "0" to "1000000",
        /// First packets of handshakes that are looked at per second; as many again of clients that show a token of this server. What is above that is dropped as it comes, and a client that means it sends again: a flood then costs those who play little.
        first_packets_per_second: u32 = "2000" in "10" to "10000000",
        /// Longest time from a client's first packet to its control stream.
        handshake_timeout: Duration = "5s" in "100ms" to "5m",
        /// Most bytes of one connection that are on their way to the server; the client waits with more.
        receive_window: ByteSize = "64KiB" in "16KiB" to "16MiB",
        /// Most bytes of one connection that the client has not confirmed; the rest waits in its outbox.
        send_window: ByteSize = "64KiB" in "16KiB" to "16MiB",
        /// Secret by which clients of a server that was restarted learn at once that their connection is gone. The same for all servers behind one address. Not set: drawn at each start, and they learn it by the silence.
        reset_key: Option<Secret> = ""; secret,
        /// Secret that signs what clients show for their address. The same for all servers behind one address. Not set: drawn at each start.
        token_key: Option<Secret> = ""; secret,
    }
    /// The operations port: whether it lives and is ready, and metrics. Keep it away from players.
    ops: Ops {
        /// Address of `/live`, `/ready`, `/health/detailed` and `/metrics`.
        listen: SocketAddr = "127.0.0.1:7351",
    }
    /// The process.
    server: Server {
        /// Threads that serve connections. 0: one per core.
        threads: usize = "0" in "0" to "1024",
        /// Longest time that a shutdown waits for connections to take what is queued for them.
        shutdown_timeout: Duration = "20s" in "0s" to "1h",
        /// Time over which clients are asked to spread their return after a shutdown.
        shutdown_spread: Duration = "5s" dev "0s" in "0s" to "1h",
    }
    /// The embedded store.
    store: Store {
        /// Folder of the data. One process uses it at a time.
        dir: FolderPath = "/var/lib/pitturu" dev "./var/dev",
        /// Memory for blocks of data that are read often.
        cache: ByteSize = "32MiB" in "1MiB" to "1024GiB",
        /// Memory in which one table gathers writes before it writes a file. Fixed when the folder is created.
        memtable: ByteSize = "16MiB" in "1MiB" to "4GiB",
        /// Journals on disk before tables are made to write their files.
        journal_max: ByteSize = "256MiB" in "64MiB" to "1024GiB",
        /// Threads that write and compact files.
        worker_threads: usize = "2" in "1" to "64",
        /// Free space on the disk below which writes are refused.
        free_min: ByteSize = "256MiB" in "16MiB" to "1024GiB",
        /// Most writes that wait for the disk; more are refused as overloaded.
        queue_jobs_max: usize = "16384" in "16" to "10000000",
        /// Most bytes of writes that wait for the disk.
        queue_max: ByteSize = "32MiB" in "1MiB" to "16GiB",
        /// How long a repetition under the same idempotency key gets the first result, at least.
        keys_kept: Duration = "24h" in "1m" to "365d",
        /// Longest time from one commit to the next while many writes come together; fewer wait less. More saves work, less saves time.
        commit_every: Duration = "14ms" in "0s" to "1s",
    }
    /// Backups of the store.
    backup: Backup {
        /// Folder in which `pitturu backup` makes a folder for each backup, best on another disk. Not set: none are made.
        folder: Option<FolderPath> = "",
    }
    /// Accounts and sign-in.
    accounts: Accounts {
        /// Life of an access token. A connection outlives it only by refreshing.
        access_life: Duration = "15m" in "5s" to "30d",
        /// Life of a refresh token, and so of an unused sign-in.
        refresh_life: Duration = "30d" in "1m" to "3650d",
        /// bcrypt cost of passwords; each step doubles the work.
        bcrypt_cost: u32 = "10" in "4" to "16",
        /// Threads that hash passwords, apart from those that serve. 0: half of the cores.
        bcrypt_threads: usize = "0" in "0" to "64",
        /// User names that get the role admin when they sign in, unless an admin has set their role since.
        admins: Vec<Username> = "",
        /// Address of the operator's that password reset tokens are posted to as JSON. Not set: only admins can issue resets; in development mode they are written to the log.
        reset_hook: Option<HookUrl> = ""; secret,
        /// Sent to the hook as `Authorization: Bearer …`.
        reset_hook_token: Option<Bearer> = ""; secret,
        /// Life of a password reset token.
        reset_life: Duration = "30m" in "1m" to "7d",
        /// How long a player takes the deletion of their account back by signing in. Then everything personal is erased. 0s: at once.
        deletion_grace: Duration = "30d" in "0s" to "365d",
        /// File of the master keys, without which nothing in the store can sign or make a token. Keep it out of backups of the store. Not set: beside `store.dir`, with `.master` added to its name.
        master_file: Option<FilePath> = "",
        /// Age at which the key that signs access tokens and the master key are replaced.
        key_age_max: Duration = "30d" in "1h" to "3650d",
        /// Replaces both at the start, whatever their age. Tokens made before stay good for their time.
        rotate_key: bool = "false",
        /// Wrong passwords for one name from one network (IPv6: one /64) before the first delay; from all networks together twenty times as many.
        lockout_name_free: u32 = "5" in "1" to "1000",
        /// Wrong passwords from one network, for whatever names, before the first delay.
        lockout_address_free: u32 = "50" in "1" to "1000000",
        /// First delay after too many wrong passwords; each further one doubles it.
        lockout_delay_first: Duration = "1s" in "10ms" to "1h",
        /// Longest delay, and the time in which one wrong password is forgotten. A tenth of this for a name from all networks, and for a network.
        lockout_delay_max: Duration = "15m" in "1s" to "30d",
    }
    /// Rooms and messages.
    chat: Chat {
        /// Most members of one room.
        members_max: u32 = "100000" in "2" to "10000000",
        /// Most rooms that one player is a member of.
        rooms_per_player_max: u32 = "500" in "1" to "100000",
        /// Age at which messages are removed, unless the room says otherwise. Not set: never.
        retention_age: Option<Duration> = "" in "1s" to "36500d",
        /// Messages that a room keeps, unless the room says otherwise. Not set: all.
        retention_messages: Option<u64> = "" in "1" to "1000000000",
        /// File with words that messages and the notes of gifts may not contain, one per line. Not set: no filter.
        word_filter: Option<FilePath> = ""; reloads,
        /// Shards that rooms are spread over, and as many for players. 0: two per core.
        shards: usize = "0" in "0" to "4096",
    }
    /// What the server does by itself against players who go too far. Who has a role above a player's is left alone.
    automod: Automod {
        /// What is done to a player whose messages, or other calls that count as chat, were refused too often for their rate. Not set: nothing.
        flood_act: Option<Act> = ""; reloads,
        /// So many refusals are too many. An honest client may send more than its rate at once, and waits as it is told.
        flood_refusals: u32 = "300" in "1" to "10000"; reloads,
        /// Within this time.
        flood_within: Duration = "1m" in "1s" to "1d"; reloads,
        /// How long the act holds.
        flood_lasts: Duration = "10m" in "1s" to "3650d"; reloads,
        /// What the player is told.
        flood_reason: Reason = "You have sent too many messages in a short time."; reloads,
        /// What is done to a player whose texts the word filter has refused too often. Not set: nothing.
        filter_act: Option<Act> = ""; reloads,
        /// So many refusals are too many.
        filter_refusals: u32 = "5" in "1" to "10000"; reloads,
        /// Within this time.
        filter_within: Duration = "10m" in "1s" to "1d"; reloads,
        /// How long the act holds.
        filter_lasts: Duration = "1h" in "1s" to "3650d"; reloads,
        /// What the player is told.
        filter_reason: Reason = "Your messages had words that are not allowed here."; reloads,
    }
    /// The game that runs here.
    game: Game {
        /// File with what the game's team writes about its game, in TOML: leaderboards, items and rewards. Not set: none.
        file: Option<FilePath> = "",
    }
    /// What one connection or player may use.
    limits: Limits {
        /// Bytes that wait for one slow reader before its streams are cut and back-filled later.
        outbox: ByteSize = "256KiB" in "64KiB" to "64MiB"; reloads,
        /// Chat messages, stored or ephemeral, edits and reactions of one player per second.
        chat_per_second: u32 = "10" in "1" to "1000000"; reloads,
        /// Chat messages at once after a pause.
        chat_burst: u32 = "30" in "1" to "1000000"; reloads,
        /// Changes of one player per second.
        write_per_second: u32 = "10" in "1" to "1000000"; reloads,
        /// Changes at once after a pause.
        write_burst: u32 = "50" in "1" to "1000000"; reloads,
        /// Reads of one player per second.
        read_per_second: u32 = "50" in "1" to "1000000"; reloads,
        /// Reads at once after a pause.
        read_burst: u32 = "200" in "1" to "1000000"; reloads,
        /// Reads and changes of one server of the game, or of one admin, per second.
        service_per_second: u32 = "2000" in "1" to "1000000"; reloads,
        /// Reads and changes of a server of the game or an admin at once after a pause.
        service_burst: u32 = "4000" in "1" to "1000000"; reloads,
        /// Sign-ins from one address, or of one player, per second.
        sign_in_per_second: u32 = "5" dev "100" in "1" to "1000000"; reloads,
        /// Sign-ins at once after a pause.
        sign_in_burst: u32 = "50" dev "2000" in "1" to "1000000"; reloads,
        /// Cheap calls of one player per second: echo, typing.
        free_per_second: u32 = "500" in "1" to "1000000"; reloads,
        /// Cheap calls at once after a pause.
        free_burst: u32 = "1000" in "1" to "1000000"; reloads,
        /// Frames of any kind that are read from one connection per second; the rest waits in the network.
        frames_per_second: u32 = "2000" in "10" to "1000000"; reloads,
    }
    /// Signs of life.
    heartbeat: Heartbeat {
        /// Time between two pings of a quiet connection. One that stays silent for twice this is closed.
        ping: Duration = "25s" in "100ms" to "10m",
        /// Longest time from the connection to its hello.
        hello_timeout: Duration = "10s" in "100ms" to "5m",
        /// Longest time that a closed connection may take to confirm.
        close_timeout: Duration = "3s" in "10ms" to "1m",
    }
    /// What is written about the server's work, to standard error.
    log: Log {
        /// Level, or levels by module as in `info,pitturu_server::store=debug`. Modules of the store's libraries begin at `warn`.
        level: LogLevels = "info"; reloads,
        /// Form of the lines.
        format: LogFormat = "json" dev "text",
        /// What is shown of players' addresses: all, the network (of IPv4 the /24, of IPv6 the /64), or nothing.
        addresses: Shown = "network" dev "full"; reloads,
    }
    /// Traces of single calls, for a collector that speaks OTLP over HTTP. Only in a server that is built with the feature `otlp`.
    traces: Traces {
        /// Address of the collector, to which `/v1/traces` is added. Not set: no traces. It is shown: a key belongs into `traces.headers`.
        endpoint: Option<HookUrl> = "",
        /// Share of the calls that are traced, drawn for each call. 0: none.
        sampled: Share = "0.01" in "0" to "1"; reloads,
        /// Headers of each request to the collector, such as one with its key.
        headers: Option<Headers> = ""; secret,
    }
}

#[cfg(test)]
mod tests;
