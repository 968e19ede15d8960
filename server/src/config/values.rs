//! The types of configuration values and how they are written.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::uri::Authority;
use ipnet::IpNet;
use pitturu_text::kind::Kind;
use pitturu_text::username::Username;

use crate::connections::address::Shown;
use crate::connections::automod::Act;
use crate::ops::logs::LogFormat;

mod paths;
mod secrets;

pub use paths::{FilePath, FolderPath};
pub use secrets::{Bearer, Headers, HookUrl, Secret};

/// A type that a key can have.
pub trait Value: Sized {
    /// How the type is written, for documents and refusals.
    const WRITTEN: &'static str;

    /// Reads the text. None if it is not written like this.
    fn parse(text: &str) -> Option<Self>;
}

/// Whose pages may connect, as browsers say it: `scheme://host`, and the port where it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// In lower case, as a browser's header has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Origin {
    const WRITTEN: &'static str = "an origin such as `https://example.org` or `https://example.org:8443`, without a path or a `*`";

    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char));
        let authority: Authority = rest.strip_suffix('/').unwrap_or(rest).parse().ok()?;
        let host = authority.host();
        // Browsers send no name of a user and write other scripts in ASCII. What `*` might mean is not guessed at.
        let is_host = !host.is_empty() && !authority.as_str().contains(['@', '*']);
        if !is_scheme || !is_host {
            return None;
        }
        // What the library takes for no port, such as one that is too large, stands there all the same.
        let port = match authority.as_str().strip_prefix(host)? {
            "" => None,
            port => Some(port.strip_prefix(':')?.parse::<u16>().ok()?),
        };
        let port = match (scheme, port) {
            (_, None) | ("http", Some(80)) | ("https", Some(443)) => String::new(),
            (_, Some(port)) => format!(":{port}"),
        };
        Some(Self(format!("{scheme}://{host}{port}")))
    }
}

/// How much is logged: a level, and levels of modules that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevels(String);

impl LogLevels {
    /// As a filter of directives.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Levels of logs, from none to all.
const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Value for LogLevels {
    const WRITTEN: &'static str = "`off`, `error`, `warn`, `info`, `debug` or `trace`, or levels by module as in `info,pitturu_server::store=debug`";

    fn parse(text: &str) -> Option<Self> {
        let mut of_all = None;
        let mut of_modules = Vec::new();
        for item in text.split(',').map(str::trim) {
            let (module, level) = match item.rsplit_once('=') {
                Some((module, level)) => (Some(module.trim()), level.trim()),
                None => (None, item),
            };
            let level = level.to_ascii_lowercase();
            if !LOG_LEVELS.contains(&level.as_str()) {
                return None;
            }
            match module {
                Some(module) if is_module(module) => of_modules.push(format!("{module}={level}")),
                None if of_all.is_none() => of_all = Some(level),
                _ => return None,
            }
        }
        // Who names modules alone wants the others as they are.
        let of_all = of_all.unwrap_or_else(|| "info".to_owned());
        Some(Self([vec![of_all], of_modules].concat().join(",")))
    }
}

fn is_module(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || "_-".contains(char))
    };
    name.split("::").all(is_part)
}

macro_rules! from_str {
    ($($type:ty, $written:literal;)*) => {
        $(impl Value for $type {
            const WRITTEN: &'static str = $written;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        })*
    };
}

from_str! {
    bool, "`true` or `false`";
    u32, "a whole number";
    u64, "a whole number";
    usize, "a whole number";
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl Value for Share {
    const WRITTEN: &'static str = "a number such as `0.01`";

    fn parse(text: &str) -> Option<Self> {
        let share: f64 = text.parse().ok()?;
        share.is_finite().then_some(Self(share))
    }
}

impl Value for SocketAddr {
    const WRITTEN: &'static str =
        "an address with port, such as `127.0.0.1:7350`, `0.0.0.0:7350` or `[::]:7350`";

    fn parse(text: &str) -> Option<Self> {
        let address: Self = text.parse().ok()?;
        let is_of_many = match address.ip().to_canonical() {
            IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_multicast(),
        };
        (!is_of_many).then_some(address)
    }
}

impl Value for IpNet {
    const WRITTEN: &'static str =
        "a network such as `10.0.0.0/8`, `2001:db8::/32`, or an address for itself alone";

    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(address.to_canonical().into());
        }
        let network: Self = text.parse().ok()?;
        // Which of the two was meant can't be known: the address, or the network around it.
        let is_whole = network == network.trunc();
        // Addresses are compared as IPv4 where they are.
        let is_mapped = matches!(network.addr(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        (is_whole && !is_mapped).then_some(network)
    }
}

impl Value for Username {
    const WRITTEN: &'static str = "a user name of 3 to 32 letters, digits, `_`, `-` or `.`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

macro_rules! lists {
    ($($type:ty, $written:literal;)*) => {
        $(impl Value for Vec<$type> {
            const WRITTEN: &'static str = concat!($written, ", in TOML `[\"a\", \"b\"]`, elsewhere `a,b`");

            fn parse(text: &str) -> Option<Self> {
                let items = text.split(',').map(str::trim);
                items
                    .filter(|item| !item.is_empty())
                    .map(<$type as Value>::parse)
                    .collect()
            }
        })*
    };
}

lists! {
    Origin, "a list of origins such as `https://example.org` or `https://example.org:8443`, without a path or a `*`";
    IpNet, "a list of networks such as `10.0.0.0/8` or `2001:db8::/32`, or addresses for themselves alone";
    Username, "a list of user names of 3 to 32 letters, digits, `_`, `-` or `.`";
}

/// Not set is written as empty text.
impl<T: Value> Value for Option<T> {
    const WRITTEN: &'static str = T::WRITTEN;

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        T::parse(text).map(Some)
    }
}

impl Value for Duration {
    const WRITTEN: &'static str = "a time such as `500ms`, `5s`, `15m`, `12h` or `30d`";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = number_and_unit(text)?;
        let ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number.checked_mul(ms).map(Self::from_millis)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The number as memory sizes have it.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Value for ByteSize {
    const WRITTEN: &'static str = "a size such as `512B`, `64KiB`, `16MiB` or `2GiB`";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = number_and_unit(text)?;
        let factor = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(factor).map(Self)
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

impl Value for Shown {
    const WRITTEN: &'static str = "`full`, `network` or `none`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "full" => Some(Self::Full),
            "network" => Some(Self::Network),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

impl Value for Act {
    const WRITTEN: &'static str = "`mute` or `suspend`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "mute" => Some(Self::Mute),
            "suspend" => Some(Self::Suspend),
            _ => None,
        }
    }
}

/// Words for a player about what was done to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// As they are shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Reason {
    const WRITTEN: &'static str = "a text of 1 to 512 bytes on one line";

    fn parse(text: &str) -> Option<Self> {
        // As the reason of one of the staff, on one line.
        let mut settled = text.to_owned();
        Kind::Note.settle(&mut settled).ok()?;
        let is_shown = !settled.is_empty() && !settled.contains(char::is_control);
        is_shown.then_some(Self(settled))
    }
}

impl Value for LogFormat {
    const WRITTEN: &'static str = "`json` or `text`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_need_their_unit() {
        for (text, ms) in [
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("15m", Some(900_000)),
            ("30d", Some(2_592_000_000)),
            ("2 h", Some(7_200_000)),
            ("15", None),
            ("", None),
            ("m", None),
            ("-1s", None),
            ("1.5s", None),
            ("99999999999999999999d", None),
            ("9999999999999999999d", None),
        ] {
            assert_eq!(
                Duration::parse(text),
                ms.map(Duration::from_millis),
                "{text}"
            );
        }
        for (text, bytes) in [
            ("512B", Some(512)),
            ("64KiB", Some(65536)),
            ("2GiB", Some(2 << 30)),
            ("64K", None),
            ("64kib", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(ByteSize::parse(text), bytes.map(ByteSize), "{text}");
        }
    }

    #[test]
    fn lists_are_split_at_commas() {
        let names = |text| {
            let list = Vec::<Username>::parse(text)?;
            Some(list.into_iter().map(|name| name.shown).collect::<Vec<_>>())
        };
        assert_eq!(names(""), Some(vec![]));
        assert_eq!(
            names(" ann, bob,,Cid "),
            Some(vec!["ann".to_owned(), "bob".to_owned(), "Cid".to_owned()])
        );
        assert_eq!(names("ann,b"), None);
    }

    #[test]
    fn origins_are_what_a_browser_sends() {
        for (text, origin) in [
            ("https://example.org", "https://example.org"),
            ("HTTPS://Example.org/", "https://example.org"),
            ("https://example.org:443", "https://example.org"),
            ("http://example.org:80", "http://example.org"),
            ("https://example.org:8443", "https://example.org:8443"),
            ("https://example.org:80", "https://example.org:80"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            let parsed = Origin::parse(text);
            assert_eq!(parsed.as_ref().map(Origin::as_str), Some(origin), "{text}");
        }
        for text in [
            "",
            "*",
            "null",
            "example.org",
            "https://",
            "https://*",
            "https://*.example.org",
            "https://example.org/game",
            "https://example.org?x",
            "https://user@example.org",
            "https://example.org:",
            "https://example.org:x",
            "https://example.org:99999",
            "https://m\u{fc}nchen.de",
            "://example.org",
            "1s://example.org",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
        let list = Vec::<Origin>::parse("https://a.example, https://b.example,");
        assert_eq!(list.map(|list| list.len()), Some(2));
        assert_eq!(Vec::<Origin>::parse("https://a.example,b.example"), None);
    }

    #[test]
    fn networks_are_whole() {
        for (text, network) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("::/0", "::/0"),
        ] {
            let parsed = IpNet::parse(text).map(|network| network.to_string());
            assert_eq!(parsed.as_deref(), Some(network), "{text}");
        }
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "10.0.0/24",
            "2001:db8::1/32",
            "::ffff:10.0.0.0/104",
            "localhost",
            "10.0.0.0-10.0.0.9",
            "*",
        ] {
            assert_eq!(IpNet::parse(text), None, "{text}");
        }
        let list = Vec::<IpNet>::parse("10.0.0.0/8, ::1");
        assert_eq!(list.map(|list| list.len()), Some(2));
        assert_eq!(Vec::<IpNet>::parse("10.0.0.0/8,all"), None);
    }

    #[test]
    fn levels_are_known_words() {
        for (text, filter) in [
            ("info", "info"),
            ("Warn", "warn"),
            ("off", "off"),
            (
                "pitturu_server::store=debug",
                "info,pitturu_server::store=debug",
            ),
            (" fjall=TRACE , error", "error,fjall=trace"),
        ] {
            let parsed = LogLevels::parse(text);
            assert_eq!(
                parsed.as_ref().map(LogLevels::as_str),
                Some(filter),
                "{text}"
            );
        }
        for text in [
            "",
            "inof",
            "verbose",
            "info,",
            "info,debug",
            "=debug",
            "a=",
            "a=5",
            "a b=info",
            "a:b=info",
            "a[span]=info",
            "a=info=debug",
        ] {
            assert_eq!(LogLevels::parse(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_is_an_option() {
        assert_eq!(Option::<u64>::parse(""), Some(None));
        assert_eq!(Option::<u64>::parse("7"), Some(Some(7)));
        assert_eq!(Option::<u64>::parse("x"), None);
    }
}
