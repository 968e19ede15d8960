//! What the link has to know of packets, and the one that it makes itself.

use std::net::Ipv4Addr;

/// Bytes of an IPv4 header without options.
const HEADER_BYTES: usize = 20;

/// Bytes of an ICMP message before the packet that it is about.
const ICMP_BYTES: usize = 8;

/// What an ICMP message repeats of the packet that it is about, behind its header: the ports.
const REPEATED_BYTES: usize = 8;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UDP over IPv4.
    Udp,
    /// TCP over IPv4.
    Tcp,
    /// Anything else.
    Other,
}

/// What a packet carries.
pub fn kind(packet: &[u8]) -> Kind {
    match header(packet) {
        Some((header, _)) if header[9] == UDP => Kind::Udp,
        Some((header, _)) if header[9] == TCP => Kind::Tcp,
        _ => Kind::Other,
    }
}

/// "Port unreachable", from where this packet was meant to go to where it comes from. None for what is no IPv4, and for all parts
/// of a packet but its first one, of which nobody would know what they were.
pub fn port_unreachable(packet: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = header(packet)?;
    let is_first_part = (u16::from_be_bytes([header[6], header[7]]) & 0x1fff) == 0;
    if !is_first_part {
        return None;
    }
    let repeated = &rest[..rest.len().min(REPEATED_BYTES)];
    let length = HEADER_BYTES + ICMP_BYTES + header.len() + repeated.len();
    let mut answer = Vec::with_capacity(length);
    answer.extend_from_slice(&[0x45, 0]);
    let length = u16::try_from(length).expect("two headers are short");
    answer.extend_from_slice(&length.to_be_bytes());
    // No identification, not to be cut, 64 hops.
    answer.extend_from_slice(&[0, 0, 0x40, 0, 64, ICMP, 0, 0]);
    answer.extend_from_slice(&header[16..20]);
    answer.extend_from_slice(&header[12..16]);
    let sum = checksum(&answer);
    answer[10..12].copy_from_slice(&sum.to_be_bytes());
    // Destination unreachable: port.
    answer.extend_from_slice(&[3, 3, 0, 0, 0, 0, 0, 0]);
    answer.extend_from_slice(header);
    answer.extend_from_slice(repeated);
    let sum = checksum(&answer[HEADER_BYTES..]);
    answer[HEADER_BYTES + 2..HEADER_BYTES + 4].copy_from_slice(&sum.to_be_bytes());
    Some(answer)
}

/// Where an IPv4 packet comes from and goes to.
pub fn addresses(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (header, _) = header(packet)?;
    let address = |at: usize| {
        let bytes: [u8; 4] = header[at..at + 4].try_into().expect("four bytes");
        Ipv4Addr::from(bytes)
    };
    Some((address(12), address(16)))
}

/// The header of an IPv4 packet, with its options, and what follows.
fn header(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *packet.first()?;
    let length = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || length < HEADER_BYTES {
        return None;
    }
    packet.split_at_checked(length)
}

/// The checksum of the internet, RFC 1071, over bytes in which it is zero.
fn checksum(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks(2).map(|pair| {
        let second = pair.get(1).copied().unwrap_or_default();
        u32::from(u16::from_be_bytes([pair[0], second]))
    });
    let mut sum: u32 = pairs.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded above")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071, and an IPv4 header that is known to be right.
    #[test]
    fn checksums_are_those_of_the_internet() {
        assert_eq!(checksum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
            0xc7,
        ];
        assert_eq!(checksum(&header), 0xb861);
    }

    fn udp(options: usize) -> Vec<u8> {
        let words = u8::try_from(5 + options).unwrap();
        let mut packet = vec![0x40 | words, 0, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0];
        packet.extend_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
        packet.extend(vec![1; options * 4]);
        packet.extend_from_slice(&[0x30, 0x39, 0x1c, 0xb6, 0, 12, 0, 0, 1, 2, 3, 4]);
        packet
    }

    #[test]
    fn kinds_are_read_from_the_header() {
        for (protocol, expected) in [
            (UDP, Kind::Udp),
            (TCP, Kind::Tcp),
            (ICMP, Kind::Other),
            (0, Kind::Other),
        ] {
            let mut packet = udp(0);
            packet[9] = protocol;
            assert_eq!(kind(&packet), expected);
        }
        let whole = udp(2);
        for length in 0..28 {
            assert_eq!(kind(&whole[..length]), Kind::Other, "{length}");
            assert_eq!(port_unreachable(&whole[..length]), None, "{length}");
        }
        assert_eq!(kind(&[0x60; 40]), Kind::Other);
        assert_eq!(kind(&[0x41; 40]), Kind::Other);
    }

    #[test]
    fn a_refusal_goes_back_and_repeats_the_ports() {
        for options in [0, 3] {
            let packet = udp(options);
            let answer = port_unreachable(&packet).unwrap();
            let (from, to) = addresses(&packet).unwrap();
            assert_eq!(addresses(&answer), Some((to, from)));
            let length = u16::from_be_bytes([answer[2], answer[3]]);
            assert_eq!(usize::from(length), answer.len());
            assert_eq!(checksum(&answer[..20]), 0);
            assert_eq!(checksum(&answer[20..]), 0);
            assert_eq!(answer[20..22], [3, 3]);
            assert_eq!(answer[28..], packet[..packet.len() - 4]);
        }
        let mut later_part = udp(0);
        later_part[7] = 1;
        assert_eq!(port_unreachable(&later_part), None);
    }
}
