//! The UDP socket of QUIC, from the configuration to an open endpoint.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use super::certificates::{Certificates, unusable};
use super::{StartError, part};
use crate::config::Config;
use crate::config::values::{ByteSize, Secret};
use crate::transport::listener::AcceptContext;
use crate::transport::quic::endpoint::{OpenError, QuicEndpoint, QuicSettings, bind};
use crate::transport::tls::ServedCertificate;

/// A socket that has its address, and answers nobody yet. Sessions have to know the address before they begin.
pub(super) struct BoundQuic {
    socket: UdpSocket,
    address: SocketAddr,
    certificate: Arc<ServedCertificate>,
}

impl BoundQuic {
    /// None: the configuration asks for no QUIC.
    pub(super) fn bind(
        config: &Config,
        certificates: &Certificates,
    ) -> Result<Option<Self>, StartError> {
        let listen = &config.listen;
        let Some((address, certificate)) = listen.quic.zip(certificates.for_quic()) else {
            return Ok(None);
        };
        let socket = bind(address).map_err(|source| StartError::Listen {
            key: "listen.quic",
            address,
            source,
        })?;
        Ok(Some(Self {
            address: socket.local_addr().unwrap_or(address),
            socket,
            certificate: Arc::clone(certificate),
        }))
    }

    /// Where it is; a configured port 0 has become a free one.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
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
            OpenError::Tls(error) => unusable(error),
            OpenError::Socket(error) => part("QUIC", &error),
        })
    }
}

fn settings(config: &Config) -> QuicSettings {
    let settings = &config.quic;
    let secret = |set: &Option<Secret>| set.as_ref().map(|secret| secret.reveal().to_owned());
    let window = |size: ByteSize| u32::try_from(size.0).unwrap_or(u32::MAX);
    QuicSettings {
        unvalidated_max: settings.unvalidated_max,
        first_packets_per_second: settings.first_packets_per_second,
        handshake_timeout: settings.handshake_timeout,
        ping: config.heartbeat.ping,
        receive_window: window(settings.receive_window),
        send_window: window(settings.send_window),
        reset_key: secret(&settings.reset_key),
        token_key: secret(&settings.token_key),
    }
}
