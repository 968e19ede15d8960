//! The types of configuration values and how they are written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::ops::logs::LogFormat;

/// A type that a key can have.
pub trait Value: Sized {
    /// How the type is written, for documents and refusals.
    const WRITTEN: &'static str;

    /// Reads the text. None if it is not written like this.
    fn parse(text: &str) -> Option<Self>;
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
    SocketAddr, "an address with port, such as `0.0.0.0:7350` or `[::]:7350`";
}

impl Value for String {
    const WRITTEN: &'static str = "text";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Value for PathBuf {
    const WRITTEN: &'static str = "a path";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }
}

impl Value for Vec<String> {
    const WRITTEN: &'static str = "a list, in TOML `[\"a\", \"b\"]`, elsewhere `a,b`";

    fn parse(text: &str) -> Option<Self> {
        let items = text.split(',').map(str::trim);
        Some(
            items
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }
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
        assert_eq!(Vec::<String>::parse(""), Some(vec![]));
        assert_eq!(
            Vec::<String>::parse(" a, b,,c "),
            Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
        );
    }

    #[test]
    fn nothing_is_an_option() {
        assert_eq!(Option::<u64>::parse(""), Some(None));
        assert_eq!(Option::<u64>::parse("7"), Some(Some(7)));
        assert_eq!(Option::<u64>::parse("x"), None);
    }
}
