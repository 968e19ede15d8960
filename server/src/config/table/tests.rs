//! The table of keys, and what its keys refuse.

use std::collections::HashSet;

use super::*;
use crate::config::Source;

#[test]
fn names_are_unique() {
    let names: HashSet<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names.len(), KEYS.len());
}

#[test]
fn defaults_lie_in_their_ranges() {
    for dev in [false, true] {
        let mut mistakes = Vec::new();
        let config = Config::parse(&crate::config::sources::defaults(dev), dev, &mut mistakes);
        assert!(config.is_some() && mistakes.is_empty(), "{mistakes:?}");
    }
}

#[test]
fn both_ends_of_a_range_are_values_and_allowed() {
    for key in KEYS {
        let Some((least, greatest)) = key.range else {
            continue;
        };
        for text in [least, greatest] {
            let mut collected = crate::config::sources::defaults(false);
            collected.set(key, text.to_owned(), Source::Flag("--set"));
            let mut mistakes = Vec::new();
            Config::parse(&collected, false, &mut mistakes);
            assert!(mistakes.is_empty(), "{mistakes:?}");
        }
    }
}

/// What no whole number can be.
const NO_NUMBERS: &[&str] = &[
    "",
    " ",
    "many",
    "-1",
    "1.5",
    "1e3",
    "99999999999999999999",
    "5s",
];

/// What no time can be.
const NO_TIMES: &[&str] = &[
    "",
    " ",
    "5",
    "s",
    "-1s",
    "1.5s",
    "5 parsecs",
    "5S",
    "99999999999999999999d",
];

/// What no size can be.
const NO_SIZES: &[&str] = &[
    "",
    " ",
    "64",
    "64K",
    "64kib",
    "-1KiB",
    "1.5MiB",
    "18446744073709551615GiB",
];

/// What no address can be.
const NO_ADDRESSES: &[&str] = &[
    " ",
    "7350",
    ":7350",
    "localhost:7350",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:99999",
    "::1:7350",
    "ws://127.0.0.1:7350",
    "224.0.0.1:7350",
    "255.255.255.255:7350",
    "[ff02::1]:7350",
];

/// What no file can be.
const NO_FILES: &[&str] = &[" ", "/", ".", "..", "/etc/", "/tmp", "a\0b", "a\nb"];

const NO_SECRETS: &[&str] = &[
    " ",
    "short",
    "                                        ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abababababababababababababababababababab",
    "0f1e2d3c4b5a6978 8796a5b4c3d2e1f0",
];

/// Texts that mean nothing to a key, beside those of its type and those beyond its range.
fn meaningless(name: &str) -> &'static [&'static str] {
    match name {
        "listen.ws" | "ops.listen" => &["", "nowhere"],
        "listen.tls" | "listen.quic" => &["none", "off"],
        "listen.proxies" => &[
            "*",
            "any",
            "localhost",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/8,2001:db8::1/32",
            "127.0.0.1:80",
        ],
        "listen.origins" => &[
            "*",
            "null",
            "example.com",
            "https://*.example.com",
            "https://example.com/game",
            "https://a@example.com",
            "https://",
            "https://a.example,b.example",
            "https://example.com:99999",
        ],
        "log.level" => &[
            "",
            "inof",
            "verbose",
            "info,",
            "INFO WARN",
            "5",
            "info,debug",
            "a=b=info",
            "=info",
        ],
        "log.format" => &["", "xml", "JSON", "json,text"],
        "log.addresses" => &["", "all", "Full", "/24"],
        "accounts.admins" => &["a", "two words", "ann,b", "ann;bob", "a@b.example"],
        "accounts.reset_hook" => &[
            " ",
            "mail.example/hook",
            "ftp://mail.example/hook",
            "https://",
            "/hook",
        ],
        "accounts.reset_hook_token" => &[" ", "two words", "gehe\u{ef}m"],
        "automod.flood_act" | "automod.filter_act" => &[" ", "kick", "Mute", "mute,suspend", "off"],
        "automod.flood_reason" | "automod.filter_reason" => &[
            "",
            " ",
            "\u{200b}",
            "a\u{202e}b",
            "a\nb",
            "a\0b",
            "\u{1b}[2J",
        ],
        "traces.endpoint" => &[" ", "127.0.0.1:4318", "grpc://127.0.0.1:4317", "https://"],
        "traces.sampled" => &["", "1%", "half", "NaN", "inf", "-0.1", "1.1"],
        "traces.headers" => &[" ", "x-key", "x-key=", "two words=s3cret-of-mine"],
        "store.dir" => &["", " ", "/dev/null", "/etc/passwd", "a\0b"],
        "backup.folder" => &[" ", "/dev/null", "/etc/passwd", "a\0b"],
        _ => &[],
    }
}

/// The kind: values that are taken and can mean nothing. Each key of the table has some that are refused by its name.
#[test]
fn values_that_mean_nothing_are_refused_with_the_key() {
    for key in KEYS {
        let of_type: &[&str] = match key.written {
            <u64 as Value>::WRITTEN if key.default.is_empty() => &NO_NUMBERS[1..],
            <u64 as Value>::WRITTEN => NO_NUMBERS,
            <Duration as Value>::WRITTEN if key.default.is_empty() => &NO_TIMES[1..],
            <Duration as Value>::WRITTEN => NO_TIMES,
            <ByteSize as Value>::WRITTEN => NO_SIZES,
            <SocketAddr as Value>::WRITTEN => NO_ADDRESSES,
            <FilePath as Value>::WRITTEN => NO_FILES,
            <Secret as Value>::WRITTEN => NO_SECRETS,
            <bool as Value>::WRITTEN => &["", "yes", "1", "on", "True"],
            _ => &[],
        };
        let texts: Vec<&str> = [of_type, meaningless(key.name)].concat();
        assert!(
            !texts.is_empty(),
            "{} takes anything: say what it can't mean",
            key.name
        );
        for text in texts {
            let mistakes = mistakes_of(key, text);
            assert_eq!(mistakes.len(), 1, "{} takes {text:?}", key.name);
            assert!(mistakes[0].starts_with(key.name), "{mistakes:?}");
            assert!(
                !key.secret || text.trim().len() < 9 || !mistakes[0].contains(text.trim()),
                "{mistakes:?}"
            );
        }
    }
}

/// Whatever is counted or timed has bounds, and what lies beyond them is refused.
#[test]
fn whatever_is_counted_has_a_range() {
    let counted = [
        <u64 as Value>::WRITTEN,
        <Duration as Value>::WRITTEN,
        <ByteSize as Value>::WRITTEN,
        <Share as Value>::WRITTEN,
    ];
    for key in KEYS {
        assert_eq!(
            counted.contains(&key.written),
            key.range.is_some(),
            "{}",
            key.name
        );
        let Some((least, greatest)) = key.range else {
            continue;
        };
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).count();
        let number = |text: &str| text[..digits(text)].parse::<u64>().unwrap();
        let above = format!("{}{}", number(greatest) + 1, &greatest[digits(greatest)..]);
        let below = number(least).checked_sub(1);
        let below = below.map(|below| format!("{below}{}", &least[digits(least)..]));
        for beyond in below.iter().chain([&above]) {
            let mistakes = mistakes_of(key, beyond);
            assert_eq!(mistakes.len(), 1, "{} takes {beyond}", key.name);
        }
    }
}

fn mistakes_of(key: &Key, text: &str) -> Vec<String> {
    let mut collected = crate::config::sources::defaults(false);
    collected.set(key, text.to_owned(), Source::Flag("--set"));
    let mut mistakes = Vec::new();
    Config::parse(&collected, false, &mut mistakes);
    mistakes
}
