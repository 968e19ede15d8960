//! TLS of floors, as the server has it.

use std::io;
use std::sync::Arc;

use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::certificate;

/// For WebSocket.
pub(super) fn of_websocket() -> io::Result<Arc<ServerConfig>> {
    Ok(Arc::new(config(rustls::DEFAULT_VERSIONS, b"http/1.1")?))
}

/// These versions of TLS for one application protocol, with a new certificate.
pub(super) fn config(
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[u8],
) -> io::Result<ServerConfig> {
    let made = certificate::make().map_err(io::Error::other)?;
    let key = made.signing_key.serialize_der();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.into()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key).into(),
        )
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}
