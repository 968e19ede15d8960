//! The PROXY protocol, version 2: a header that a proxy sends before anything else, with the address that it has accepted the
//! connection from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, version and command, family, and the length of the rest.
const FIXED_BYTES: usize = 16;

/// Longest rest in bytes: the addresses, and what proxies tell of TLS.
const REST_BYTES_MAX: usize = 4 * 1024;

/// Bytes of two paths of UNIX sockets.
const UNIX_BYTES: usize = 216;

/// Why a connection does not go on.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// It does not begin with a header of the PROXY protocol, version 2, or with one that can't be followed.
    #[error("no PROXY header of version 2: {0}")]
    Malformed(&'static str),
    /// It broke, or ended before its first byte.
    #[error(transparent)]
    Io(#[from] io::Error),
}

use HeaderError::Malformed;

/// Reads the header and not a byte more. None: the proxy speaks for itself, or for somebody without an address. The caller bounds the
/// time.
///
/// # Errors
/// See [`HeaderError`].
pub async fn read_header(
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<Option<IpAddr>, HeaderError> {
    let mut fixed = [0; FIXED_BYTES];
    let mut filled = 0;
    while filled < FIXED_BYTES {
        let count = reader.read(&mut fixed[filled..]).await?;
        filled += count;
        match (count, filled) {
            (0, 0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            (0, _) => return Err(Malformed("it ends early")),
            _ => {}
        }
        // Whoever speaks something else may wait for an answer before sending more.
        let came = filled.min(SIGNATURE.len());
        if fixed[..came] != SIGNATURE[..came] {
            return Err(Malformed("another beginning"));
        }
    }
    let [.., command, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > REST_BYTES_MAX {
        return Err(Malformed("it is too long"));
    }
    let mut rest = vec![0; length];
    match reader.read_exact(&mut rest).await {
        Ok(_) => address(command, family, &rest),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Malformed("it ends early"))
        }
        Err(error) => Err(error.into()),
    }
}

fn address(command: u8, family: u8, rest: &[u8]) -> Result<Option<IpAddr>, HeaderError> {
    match command {
        // LOCAL: the proxy asks whether the server is there. What else it says has no meaning.
        0x20 => return Ok(None),
        // PROXY.
        0x21 => {}
        _ => return Err(Malformed("another version or command")),
    }
    // Behind the addresses come extensions, of which none is needed.
    match family {
        // Unknown to the proxy, such as a connection through a pipe.
        0x00 => Ok(None),
        0x11 => match rest.first_chunk::<12>() {
            Some([a, b, c, d, ..]) => Ok(Some(Ipv4Addr::new(*a, *b, *c, *d).into())),
            None => Err(Malformed("shorter than its addresses")),
        },
        0x21 => match (rest.first_chunk::<16>(), rest.len() >= 36) {
            (Some(source), true) => Ok(Some(IpAddr::V6(Ipv6Addr::from(*source)).to_canonical())),
            _ => Err(Malformed("shorter than its addresses")),
        },
        // From a socket of the proxy's own machine.
        0x31 if rest.len() >= UNIX_BYTES => Ok(None),
        0x31 => Err(Malformed("shorter than its addresses")),
        0x12 | 0x22 | 0x32 => Err(Malformed("it is about datagrams")),
        _ => Err(Malformed("another family of addresses")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn header(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn whole(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        header(command, family, u16::try_from(rest.len()).unwrap(), rest)
    }

    fn v4() -> Vec<u8> {
        whole(
            0x21,
            0x11,
            &[203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 187],
        )
    }

    fn v6(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        let rest = [&source.octets()[..], &[1; 16], &[0x12, 0x67, 1, 187]].concat();
        whole(0x21, 0x21, &rest)
    }

    /// The verdict, and what was left in the stream.
    async fn read(bytes: &[u8]) -> (Result<Option<IpAddr>, HeaderError>, Vec<u8>) {
        let mut reader = bytes;
        let read = read_header(&mut reader).await;
        (read, reader.to_vec())
    }

    #[tokio::test]
    async fn a_header_is_read_and_nothing_behind_it() {
        let extended = |mut header: Vec<u8>| {
            let extension = [0x03, 0, 4, 1, 2, 3, 4];
            header.extend(extension);
            header[15] += u8::try_from(extension.len()).unwrap();
            header
        };
        for (bytes, expected) in [
            (v4(), Some("203.0.113.7")),
            (extended(v4()), Some("203.0.113.7")),
            (v6("2001:db8::7"), Some("2001:db8::7")),
            (extended(v6("2001:db8::7")), Some("2001:db8::7")),
            (v6("::ffff:203.0.113.7"), Some("203.0.113.7")),
            (whole(0x20, 0x00, &[]), None),
            (whole(0x20, 0x11, &v4()[16..]), None),
            (whole(0x20, 0xff, &[7; 30]), None),
            (whole(0x21, 0x00, &[]), None),
            (whole(0x21, 0x00, &[7; 30]), None),
            (whole(0x21, 0x31, &[0; 216]), None),
            (whole(0x20, 0x00, &[0; REST_BYTES_MAX]), None),
        ] {
            let (read, left) = read(&[&bytes[..], b"GET /"].concat()).await;
            let expected: Option<IpAddr> = expected.map(|text| text.parse().unwrap());
            assert_eq!(read.unwrap(), expected, "{bytes:?}");
            assert_eq!(left, b"GET /");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let longest = u16::try_from(REST_BYTES_MAX).unwrap();
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n".to_vec(),
            b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
            b"X".to_vec(),
            whole(0x11, 0x11, &[0; 12]),
            whole(0x31, 0x11, &[0; 12]),
            whole(0x22, 0x11, &[0; 12]),
            whole(0x2f, 0x11, &[0; 12]),
            whole(0x21, 0x11, &[0; 11]),
            whole(0x21, 0x11, &[]),
            whole(0x21, 0x21, &[0; 35]),
            whole(0x21, 0x21, &[0; 12]),
            whole(0x21, 0x31, &[0; 215]),
            whole(0x21, 0x12, &[0; 12]),
            whole(0x21, 0x22, &[0; 36]),
            whole(0x21, 0x32, &[0; 216]),
            whole(0x21, 0x10, &[0; 12]),
            whole(0x21, 0x41, &[0; 216]),
            header(0x21, 0x11, 13, &[0; 12]),
            header(0x21, 0x11, longest + 1, &[0; 8192]),
            header(0x20, 0x00, u16::MAX, &[0; 70_000]),
        ] {
            let (read, _) = read(&bytes).await;
            let short = &bytes[..bytes.len().min(20)];
            assert!(matches!(read, Err(Malformed(_))), "{short:?}: {read:?}");
        }
    }

    #[tokio::test]
    async fn a_header_that_ends_early_is_refused_wherever_it_ends() {
        for whole in [v4(), v6("2001:db8::7"), whole(0x20, 0x00, &[1])] {
            for end in 1..whole.len() {
                let (read, _) = read(&whole[..end]).await;
                assert!(matches!(read, Err(Malformed(_))), "{end}: {read:?}");
            }
        }
        let (read, _) = read(b"").await;
        assert!(matches!(read, Err(HeaderError::Io(_))), "{read:?}");
    }

    #[tokio::test]
    async fn another_beginning_is_refused_before_a_whole_header_has_come() {
        let (mut proxy, mut server) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut proxy, b"HELO")
            .await
            .unwrap();
        let read = read_header(&mut server).await;
        assert!(matches!(read, Err(Malformed(_))), "{read:?}");
        drop(proxy);
    }

    #[tokio::test]
    async fn a_header_may_come_byte_by_byte() {
        let (mut proxy, mut server) = tokio::io::duplex(1);
        let sending =
            tokio::spawn(
                async move { tokio::io::AsyncWriteExt::write_all(&mut proxy, &v4()).await },
            );
        let read = read_header(&mut server).await.unwrap();
        assert_eq!(read, Some("203.0.113.7".parse().unwrap()));
        sending.await.unwrap().unwrap();
    }

    proptest! {
        #[test]
        fn no_bytes_panic(command: u8, family: u8, length: u16, rest in any::<Vec<u8>>()) {
            let bytes = header(command, family, length, &rest);
            let mut reader = &bytes[..];
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            drop(runtime.block_on(read_header(&mut reader)));
        }
    }
}
