//! `Forwarded` (RFC 7239) and `X-Forwarded-For`: who passed a request on, each hop written by the one after it.
//!
//! What a hop wrote is believed if that hop is a proxy of ours, so the lists are walked from their ends. The head of a request, and so
//! the length of both, is bounded by [`HEAD_BYTES_MAX`](crate::transport::handshake).

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;

/// Whom a request is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The address.
    pub(super) address: IpAddr,
    /// The two headers name different ones: one of them is not the proxy's, and nobody knows which. The address is the proxy's own.
    pub(super) is_disputed: bool,
}

/// Reads whom the request is from that `proxy` has passed on.
pub(super) fn read(headers: &HeaderMap, proxy: IpAddr, is_proxy: impl Fn(IpAddr) -> bool) -> Told {
    let walk = |hops: Vec<Option<IpAddr>>| {
        (!hops.is_empty()).then(|| first_of_others(&hops, proxy, &is_proxy))
    };
    let forwarded = walk(hops(headers, "forwarded", hops_of_forwarded));
    let x_forwarded_for = walk(hops(headers, "x-forwarded-for", hops_of_x_forwarded_for));
    match (forwarded, x_forwarded_for) {
        // A proxy that writes one of the two passes the other on as the client sent it.
        (Some(one), Some(other)) if one != other => Told {
            address: proxy,
            is_disputed: true,
        },
        (one, other) => Told {
            address: one.or(other).unwrap_or(proxy),
            is_disputed: false,
        },
    }
}

/// From the end to the first address that is no proxy's. Where a hop can't be read, the one that wrote it is as far as anything is
/// known.
fn first_of_others(
    hops: &[Option<IpAddr>],
    proxy: IpAddr,
    is_proxy: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut known = proxy;
    for hop in hops.iter().rev() {
        let Some(address) = *hop else {
            return known;
        };
        known = address;
        if !is_proxy(address) {
            return known;
        }
    }
    known
}

/// All hops of a header, which may come in several lines. None: one that can't be read.
fn hops(
    headers: &HeaderMap,
    name: &str,
    of_line: fn(&str) -> Option<Vec<Option<IpAddr>>>,
) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|line| {
            let hops = line.to_str().ok().and_then(of_line);
            // Where the parts of a line begin and end is not known: it tells nothing.
            hops.unwrap_or_else(|| vec![None])
        })
        .collect()
}

fn hops_of_x_forwarded_for(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let hops = line.split(',').map(str::trim);
    let hops = hops.filter(|hop| !hop.is_empty());
    Some(hops.map(address_of).collect())
}

/// None: a quote that does not end, or text around one. A client could hide what proxies wrote behind it.
fn hops_of_forwarded(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut hops = Vec::new();
    for element in split(line, ',')? {
        if element.trim().is_empty() {
            continue;
        }
        let mut nodes = Vec::new();
        for pair in split(element, ';')? {
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (name.trim(), unquoted(value.trim())?),
                None => (pair.trim(), ""),
            };
            if name.contains('"') {
                return None;
            }
            if name.eq_ignore_ascii_case("for") {
                nodes.push(value);
            }
        }
        hops.push(match nodes.as_slice() {
            [node] => address_of(node),
            _ => None,
        });
    }
    Some(hops)
}

/// The parts between separators that are not in quotes. None: a quote does not end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut begin, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if char == separator && !is_quoted => {
                parts.push(&text[begin..at]);
                begin = at + char.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!is_quoted).then_some(parts)
}

/// A value without the quotes around it. None: there are quotes elsewhere. No address needs an escape, so what has one is none.
fn unquoted(value: &str) -> Option<&str> {
    let inner = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => value,
    };
    let mut is_escaped = false;
    for char in inner.chars() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return None,
            _ => {}
        }
    }
    Some(inner)
}

/// `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`, with or without a port. Others, `unknown` and made-up names among them, are none.
fn address_of(node: &str) -> Option<IpAddr> {
    let address = match node.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            if !port.is_empty() && !port.starts_with(':') {
                return None;
            }
            IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
        }
        None => match node.split_once(':') {
            Some((address, port)) if !port.contains(':') => address.parse().ok()?,
            _ => node.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::{any, proptest};

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// All of 10.0.0.0/8 are proxies.
    fn is_proxy(address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10)
    }

    fn told(lines: &[(&str, &str)]) -> Told {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        read(&headers, ip(PROXY), is_proxy)
    }

    fn check(name: &str, lines: &[&str], expected: &str) {
        let lines: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
        let told = told(&lines);
        assert_eq!(told.address, ip(expected), "{lines:?}");
        assert!(!told.is_disputed, "{lines:?}");
    }

    #[test]
    fn x_forwarded_for_is_walked_from_its_end() {
        for (lines, expected) in [
            (&["203.0.113.7"][..], "203.0.113.7"),
            (&[" 203.0.113.7 "], "203.0.113.7"),
            (&["203.0.113.7:4711"], "203.0.113.7"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["::ffff:203.0.113.7"], "203.0.113.7"),
            // What the client itself has sent stands to the left, and is not looked at.
            (&["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
            (&["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
            (&["6.6.6.6, 203.0.113.7, 10.0.0.3, 10.0.0.2"], "203.0.113.7"),
            (&["6.6.6.6, 203.0.113.7", "10.0.0.3"], "203.0.113.7"),
            (&["nonsense, 203.0.113.7"], "203.0.113.7"),
            // All of them are proxies: the farthest is who asked.
            (&["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
            // Known is the proxy that wrote what can't be read.
            (&["203.0.113.7, nonsense"], PROXY),
            (&["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["203.0.113.999"], PROXY),
            (&["203.0.113.7:x:y"], PROXY),
            (&["[2001:db8::7"], PROXY),
            (&["[2001:db8::7]x"], PROXY),
            (&["[203.0.113.7]"], PROXY),
            (&["fe80::1%eth0"], PROXY),
            (&["203.0.113.7, \u{fc}"], PROXY),
            (&[""], PROXY),
            (&[","], PROXY),
            (&[",203.0.113.7,"], "203.0.113.7"),
        ] {
            check("x-forwarded-for", lines, expected);
        }
    }

    #[test]
    fn forwarded_is_read_as_the_rfc_writes_it() {
        for (lines, expected) in [
            (&["for=203.0.113.7"][..], "203.0.113.7"),
            (&["For=\"203.0.113.7:4711\""], "203.0.113.7"),
            (&["for=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
            (&["for=\"[2001:db8:cafe::17]:_port\""], "2001:db8:cafe::17"),
            (
                &["for=203.0.113.7;proto=https;by=10.0.0.1;host=\"a;b,c\""],
                "203.0.113.7",
            ),
            (&["by=10.0.0.1 ; FOR = 203.0.113.7 ;"], "203.0.113.7"),
            (&["for=6.6.6.6, for=203.0.113.7"], "203.0.113.7"),
            (
                &["for=6.6.6.6", "for=203.0.113.7, for=10.0.0.2"],
                "203.0.113.7",
            ),
            (&["for=6.6.6.6,, for=203.0.113.7,"], "203.0.113.7"),
            (&["x=\"\\\"\", for=203.0.113.7"], "203.0.113.7"),
            (&["for=unknown"], PROXY),
            (&["for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&["for=203.0.113.7, proto=https"], PROXY),
            (&["for=203.0.113.7;for=203.0.113.8"], PROXY),
            (&["for"], PROXY),
            (&["for="], PROXY),
            (&["=203.0.113.7"], PROXY),
            (&["203.0.113.7"], PROXY),
            (&["for=\"203.0.113.7\\\""], PROXY),
            (&["for=\"203.0.113\\.7\""], PROXY),
        ] {
            check("forwarded", lines, expected);
        }
    }

    #[test]
    fn a_quote_of_the_client_does_not_hide_what_a_proxy_wrote() {
        for of_client in [
            "for=6.6.6.6;x=\"",
            "for=6.6.6.6;x=\"\\",
            "for=6.6.6.6;\"",
            "for=6.6.6.6;x=\"\"y=\"",
            "for=6.6.6.6, for=\"",
            "for=6.6.6.6;x=a\"",
        ] {
            for of_proxies in [
                "for=203.0.113.7",
                "for=\"[2001:db8::7]\"",
                "for=\"203.0.113.7\";proto=\"http\"",
                "for=\"203.0.113.7\", for=\"10.0.0.2\"",
            ] {
                check("forwarded", &[&format!("{of_client}, {of_proxies}")], PROXY);
            }
        }
    }

    #[test]
    fn of_two_headers_that_disagree_neither_is_believed() {
        let one = ("forwarded", "for=203.0.113.7");
        let told_by = |other: (&str, &str)| {
            let told = told(&[one, other]);
            (told.address, told.is_disputed)
        };
        let agreed = (ip("203.0.113.7"), false);
        let disputed = (ip(PROXY), true);
        assert_eq!(told_by(("x-forwarded-for", "6.6.6.6, 203.0.113.7")), agreed);
        assert_eq!(told_by(("x-forwarded-for", "6.6.6.6")), disputed);
        assert_eq!(told_by(("x-forwarded-for", "nonsense")), disputed);
        assert_eq!(
            told_by(("x-forwarded-for", ",")),
            agreed,
            "no address at all"
        );
        assert_eq!(told_by(("x-real-ip", "6.6.6.6")), agreed);
    }

    #[test]
    fn without_a_header_the_proxy_is_who_asks() {
        let expected = Told {
            address: ip(PROXY),
            is_disputed: false,
        };
        assert_eq!(told(&[]), expected);
    }

    proptest! {
        /// Whatever comes before, what our proxy wrote in a line of its own is what is believed.
        #[test]
        fn a_line_of_the_proxy_stands(before in any::<Vec<u8>>(), is_forwarded: bool) {
            let (name, line) = if is_forwarded {
                ("forwarded", "for=203.0.113.7")
            } else {
                ("x-forwarded-for", "203.0.113.7")
            };
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&before) {
                headers.append(name, value);
            }
            headers.append(name, HeaderValue::from_static(line));
            let told = read(&headers, ip(PROXY), is_proxy);
            assert_eq!(told.address, ip("203.0.113.7"));
        }

        /// A line that client and proxy share leads to the client, or no farther than the proxy.
        #[test]
        fn a_shared_line_names_nobody_else(before in "[ -~]{0,40}", quoted: bool) {
            let own = if quoted { "for=\"203.0.113.7\"" } else { "for=203.0.113.7" };
            let mut headers = HeaderMap::new();
            headers.append("forwarded", HeaderValue::try_from(format!("{before}, {own}")).unwrap());
            let told = read(&headers, ip(PROXY), is_proxy);
            assert!([ip("203.0.113.7"), ip(PROXY)].contains(&told.address), "{before}");
        }
    }
}
