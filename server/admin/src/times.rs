//! Times as they are typed and shown.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// How long, as in `7days`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span = humantime::parse_duration(text);
        span.map(Self)
            .map_err(|error| format!("{error}; such as 30m, 12h or 7days"))
    }
}

impl Span {
    /// When it is over if it begins now, in milliseconds since 1970.
    pub(crate) fn end(self) -> u64 {
        now_ms().saturating_add(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A moment, as in `2027-01-31T00:00:00Z`, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub u64);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = humantime::parse_rfc3339_weak(text);
        let moment = moment.map_err(|error| format!("{error}; such as 2027-01-31T00:00:00Z"))?;
        since_1970(moment)
            .map(Self)
            .ok_or_else(|| "before 1970".to_owned())
    }
}

/// A moment, for people.
pub(crate) fn shown(ms: u64) -> Option<String> {
    /// The end of the year 9999, which is as far as the text goes.
    const LAST_MS: u64 = 253_402_300_799_000;
    (ms <= LAST_MS).then(|| {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        humantime::format_rfc3339_seconds(moment).to_string()
    })
}

fn now_ms() -> u64 {
    since_1970(SystemTime::now()).unwrap_or_default()
}

fn since_1970(moment: SystemTime) -> Option<u64> {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        assert_eq!(
            "90m".parse::<Span>().unwrap().0,
            Duration::from_secs(90 * 60)
        );
        assert!("soon".parse::<Span>().is_err());
        let Moment(ms) = "2027-01-31T00:00:00Z".parse().unwrap();
        assert_eq!(shown(ms).as_deref(), Some("2027-01-31T00:00:00Z"));
        assert!("1960-01-01T00:00:00Z".parse::<Moment>().is_err());
        assert!("tomorrow".parse::<Moment>().is_err());
        assert_eq!(shown(u64::MAX), None);
    }
}
