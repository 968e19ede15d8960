//! The UDP socket of QUIC, from the configuration to an open endpoint.

use std::net::{SocketAddr, UdpSocket};

use pitturu_protocol::types::system::QuicAddress;

use super::{StartError, part};
use crate::config::Config;
use crate::config::values::ByteSize;
use crate::transport::listener::AcceptContext;
use crate::transport::quic::endpoint::{OpenError, QuicEndpoint, QuicSettings, bind};
use crate::transport::tls::Certificate;

/// A socket that has its address, and answers nobody yet. Sessions have to know the address before they begin.
pub(super) struct BoundQuic {
    socket: UdpSocket,
    address: SocketAddr,
    certificate: Certificate,
    is_made_up: bool,
}

impl BoundQuic {
    /// None: the configuration asks for no QUIC.
    pub(super) fn bind(config: &Config) -> Result<Option<Self>, StartError> {
        let listen = &config.listen;
        let Some(address) = listen.quic else {
            return Ok(None);
        };
        let (certificate, is_made_up) = match (&listen.cert, &listen.key) {
            (Some(cert), Some(key)) => (Certificate::from_files(cert, key)?, false),
            _ => (Certificate::short_lived()?, true),
        };
        let socket = bind(address).map_err(|source| StartError::Listen {
            key: "listen.quic",
            address,
            source,
        })?;
        Ok(Some(Self {
            address: socket.local_addr().unwrap_or(address),
            socket,
            certificate,
            is_made_up,
        }))
    }

    /// Where it is; a configured port 0 has become a free one.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients are told.
    pub(super) fn told(&self) -> QuicAddress {
        let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        QuicAddress {
            port: self.address.port(),
            certificate_hash: self.is_made_up.then(|| hex(self.certificate.hash())),
        }
    }

    pub(super) fn open(
        self,
        config: &Config,
        context: &AcceptContext,
    ) -> Result<QuicEndpoint, StartError> {
        let settings = settings(config);
        QuicEndpoint::open(
            self.socket,
            &self.certificate,
            &settings,
            &context.io_threads,
        )
        .map_err(|error| match error {
            OpenError::Tls(error) => error.into(),
            OpenError::Socket(error) => part("QUIC", &error),
        })
    }
}

fn settings(config: &Config) -> QuicSettings {
    let settings = &config.quic;
    let window = |size: ByteSize| u32::try_from(size.0).unwrap_or(u32::MAX);
    QuicSettings {
        unvalidated_max: settings.unvalidated_max,
        handshake_timeout: settings.handshake_timeout,
        ping: config.heartbeat.ping,
        receive_window: window(settings.receive_window),
        send_window: window(settings.send_window),
        reset_key: settings.reset_key.clone(),
        token_key: settings.token_key.clone(),
    }
}
