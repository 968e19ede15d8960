//! Secrets of the operator's. None of them shows what it holds.

use std::collections::HashSet;
use std::fmt;

use http::{HeaderName, HeaderValue, Uri};

use super::Value;

/// Fewest characters of a secret.
const CHARS_MIN: usize = 32;

/// Fewest different characters among them. Random hexadecimal digits have twice as many.
const DIFFERENT_CHARS_MIN: usize = 8;

/// A secret that keys are made of.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A secret that is sent as `Authorization: Bearer …`.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(String);

/// An address of the operator's that is posted to. Its path or query may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct HookUrl(String);

/// Headers of requests that the server makes. Mostly one of them is a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Headers(String);

impl Headers {
    /// Name and value of each.
    pub fn each(&self) -> impl Iterator<Item = (&str, &str)> {
        headers(&self.0)
    }
}

fn headers(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let each = text.split(',').map(|header| header.split_once('='));
    each.map(|header| header.map_or(("", ""), |(name, value)| (name.trim(), value.trim())))
}

impl Value for Headers {
    const WRITTEN: &'static str = "headers as `name=value`, several with commas between them";

    fn parse(text: &str) -> Option<Self> {
        let are_headers = headers(text).all(|(name, value)| {
            !value.is_empty()
                && name.parse::<HeaderName>().is_ok()
                && value.parse::<HeaderValue>().is_ok()
        });
        are_headers.then(|| Self(text.to_owned()))
    }
}

impl Value for Secret {
    const WRITTEN: &'static str = "a secret of at least 32 characters, at least 8 of them different and no blanks, such as `openssl rand -hex 32` prints";

    fn parse(text: &str) -> Option<Self> {
        let different: HashSet<char> = text.chars().collect();
        let is_secret = text.chars().count() >= CHARS_MIN
            && different.len() >= DIFFERENT_CHARS_MIN
            && !text.contains(|char: char| char.is_whitespace() || char.is_control());
        is_secret.then(|| Self(text.to_owned()))
    }
}

impl Value for Bearer {
    const WRITTEN: &'static str = "letters, digits and signs of ASCII without blanks";

    fn parse(text: &str) -> Option<Self> {
        let is_sendable = !text.is_empty() && text.chars().all(|char| char.is_ascii_graphic());
        is_sendable.then(|| Self(text.to_owned()))
    }
}

impl Value for HookUrl {
    const WRITTEN: &'static str = "an `https://` address, or an `http://` one";

    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        (is_http && has_host).then(|| Self(text.to_owned()))
    }
}

macro_rules! hidden {
    ($($type:ident)*) => {
        $(
            impl $type {
                /// The secret itself.
                pub fn reveal(&self) -> &str {
                    &self.0
                }
            }

            impl fmt::Debug for $type {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(concat!(stringify!($type), "(hidden)"))
                }
            }
        )*
    };
}

hidden!(Secret Bearer Headers HookUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_guessed_is_no_secret() {
        let hex = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
        assert_eq!(Secret::parse(hex).unwrap().reveal(), hex);
        // Characters count, not bytes.
        let korean: String = "가나다라마바사아".chars().cycle().take(32).collect();
        assert!(Secret::parse(&korean).is_some());
        assert!(Secret::parse(&korean[..90]).is_none(), "30 characters");
        for text in [
            &hex[1..],
            &" ".repeat(64),
            &"a".repeat(64),
            &"abcdefg".repeat(10),
            &format!("{hex} {hex}"),
            &format!("{hex}\n"),
        ] {
            assert!(Secret::parse(text).is_none(), "{text:?}");
        }
        let shown = format!("{:?}", Secret::parse(hex));
        assert!(!shown.contains(hex), "{shown}");
    }

    #[test]
    fn hooks_are_web_addresses() {
        for text in [
            "https://mail.example/hook?key=1",
            "http://127.0.0.1:9/x",
            "http://[::1]:9/",
        ] {
            assert!(HookUrl::parse(text).is_some(), "{text}");
        }
        for text in [
            "mail.example/hook",
            "ftp://mail.example",
            "https://",
            "https:///hook",
            "/hook",
            " ",
        ] {
            assert!(HookUrl::parse(text).is_none(), "{text}");
        }
        let two = Headers::parse("x-key=s3cret=, x-team = a").unwrap();
        let two: Vec<_> = two.each().collect();
        assert_eq!(two, [("x-key", "s3cret="), ("x-team", "a")]);
        for text in ["", "x-key", "x-key=", "=a", "x key=a", "x-key=a,"] {
            assert!(Headers::parse(text).is_none(), "{text:?}");
        }
        assert!(Bearer::parse("s3cret-Token/=").is_some());
        for text in ["", " ", "two words", "gehe\u{ef}m", "line\n"] {
            assert!(Bearer::parse(text).is_none(), "{text:?}");
        }
    }
}
