//! Numbers for people: three digits that mean something, thousands with commas, units that fit.

/// Stands for a number that is not there or is none.
pub const NONE: &str = "–";

/// `50000` as `50,000`.
#[must_use]
pub fn count(value: u64) -> String {
    commas(&value.to_string())
}

/// A number without unit, with three digits or all before the point: `49,987`, `312`, `1.25`, `0.034`.
#[must_use]
pub fn plain(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let size = value.abs();
    if size >= 99.95 {
        return commas(&format!("{value:.0}"));
    }
    if size > 0.0 && size < 0.000_1 {
        return format!("{value:.1e}");
    }
    three_digits(value)
}

/// Milliseconds in the unit that fits: `7.31 µs`, `12.4 ms`, `1.52 s`.
#[must_use]
pub fn milliseconds(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        "0 ms".to_owned()
    } else if size < 0.000_999_5 {
        format!("{} ns", three_digits(value * 1e6))
    } else if size < 0.999_5 {
        format!("{} µs", three_digits(value * 1e3))
    } else if size < 999.5 {
        format!("{} ms", three_digits(value))
    } else {
        format!("{} s", plain(value / 1e3))
    }
}

/// Bytes in binary units: `812 B`, `1.2 GiB`.
#[must_use]
pub fn bytes(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let mut value = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value.abs() < 999.5 {
            return format!("{} {unit}", three_digits(value));
        }
        value /= 1024.0;
    }
    format!("{} TiB", plain(value))
}

/// A share as per cent: `0.134` as `13.4%`.
#[must_use]
pub fn percent(share: f64) -> String {
    if !share.is_finite() {
        return NONE.to_owned();
    }
    let rounded = format!("{:.1}", share * 100.0);
    format!("{}%", without_zeros(&rounded))
}

/// A ratio: `2.31×`.
#[must_use]
pub fn times(ratio: f64) -> String {
    if ratio.is_finite() {
        format!("{}×", plain(ratio))
    } else {
        NONE.to_owned()
    }
}

/// A figure with its unit. Times and bytes change into the unit that fits; others keep theirs.
#[must_use]
pub fn with_unit(value: f64, unit: &str) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    match unit {
        "ns" => milliseconds(value / 1e6),
        "µs" | "us" => milliseconds(value / 1e3),
        "ms" => milliseconds(value),
        "s" => milliseconds(value * 1e3),
        "bytes" | "B" => bytes(value),
        "bytes/s" => format!("{}/s", bytes(value)),
        "1/s" => format!("{}/s", plain(value)),
        "%" => format!("{}%", plain(value)),
        "" => plain(value),
        unit => format!("{} {unit}", plain(value)),
    }
}

/// A count of bytes or milliseconds as a number to calculate with; exact below 2^53.
#[must_use]
pub fn float(value: u64) -> f64 {
    value as f64
}

fn three_digits(value: f64) -> String {
    let size = value.abs();
    let decimals = if size >= 99.95 || size == 0.0 {
        0
    } else if size >= 9.995 {
        1
    } else if size >= 0.995 {
        2
    } else if size >= 0.099_95 {
        3
    } else if size >= 0.009_995 {
        4
    } else {
        5
    };
    without_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

fn commas(digits: &str) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    let mut written = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_commas() {
        for (value, written) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (50_000, "50,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(value), written);
        }
    }

    #[test]
    fn numbers_keep_three_digits() {
        for (value, written) in [
            (0.0, "0"),
            (49_987.4, "49,987"),
            (312.4, "312"),
            (99.96, "100"),
            (1.25, "1.25"),
            (1.999, "2"),
            (0.034, "0.034"),
            (0.000_01, "1.0e-5"),
            (-1_500.0, "-1,500"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(plain(value), written);
        }
    }

    #[test]
    fn times_take_the_unit_that_fits() {
        for (value, written) in [
            (0.0, "0 ms"),
            (0.000_25, "250 ns"),
            (0.007_31, "7.31 µs"),
            (0.999_4, "999 µs"),
            (0.999_6, "1 ms"),
            (12.44, "12.4 ms"),
            (999.6, "1 s"),
            (1_520.0, "1.52 s"),
            (125_000.0, "125 s"),
            (-3.0, "-3 ms"),
        ] {
            assert_eq!(milliseconds(value), written);
        }
    }

    #[test]
    fn bytes_are_binary() {
        for (value, written) in [
            (0.0, "0 B"),
            (812.0, "812 B"),
            (1_000.0, "0.977 KiB"),
            (1_024.0, "1 KiB"),
            (1_288_490_188.8, "1.2 GiB"),
            (2_199_023_255_552.0, "2 TiB"),
        ] {
            assert_eq!(bytes(value), written);
        }
    }

    #[test]
    fn figures_carry_their_unit() {
        for (value, unit, written) in [
            (7.31, "µs", "7.31 µs"),
            (0.5, "s", "500 ms"),
            (7_000.0, "bytes", "6.84 KiB"),
            (50_000.0, "1/s", "50,000/s"),
            (1.5, "cores", "1.5 cores"),
            (3.0, "", "3"),
            (f64::NAN, "cores", "–"),
        ] {
            assert_eq!(with_unit(value, unit), written);
        }
        assert_eq!(percent(0.134), "13.4%");
        assert_eq!(percent(-0.1), "-10%");
        assert_eq!(times(2.314), "2.31×");
    }
}
