//! Players beside a flood: it goes to the server, or, for comparison, to a socket that throws it away. Server and socket have one half
//! of the cores, players and flood the other, so that nothing differs but what the server makes of the flood.

use std::io;
use std::net::SocketAddr;

use super::{MeasureError, watched};
use crate::cores::Cores;
use crate::flood::{Flood, Flooder, FlooderError, Sent};
use crate::floor::Floor;
use crate::link::Transport;
use crate::probe;
use crate::report::{Figure, Run, Subject};
use crate::run::{RunError, Setting};
use crate::scenarios::Scenario;
use crate::target::Target;

/// Seconds before the load begins and after it ends in which the flood goes on.
const AROUND_SECONDS: u32 = 1;

/// Why there was no flood.
#[derive(Debug, thiserror::Error)]
pub enum FloodError {
    /// Programs can't be pinned to cores.
    #[error("pinning programs to cores: {0}")]
    Cores(io::Error),
    /// The flooder.
    #[error(transparent)]
    Flooder(#[from] FlooderError),
    /// Servers of others are not flooded.
    #[error("scenario flood floods a server that it has started, and no other")]
    NotOurs,
    /// The server did not say where it listens for QUIC.
    #[error("the server has no UDP port to flood")]
    NoPort,
}

/// The scenario and what is sent beside it.
#[derive(Debug)]
pub(super) struct Flooded<'a> {
    scenario: &'a Scenario,
    flood: &'a Flood,
}

impl<'a> Flooded<'a> {
    /// That of this scenario, if it has a flood.
    pub(super) fn of(scenario: &'a Scenario) -> Option<Self> {
        let Scenario::Flood(options) = scenario else {
            return None;
        };
        Some(Self {
            scenario,
            flood: &options.flood,
        })
    }

    /// Runs it. The players' subject is the server each time; as [`Subject::Floor`] the flood goes elsewhere.
    pub(super) async fn run(
        &self,
        setting: &Setting,
        subject: Subject,
        repetition: u32,
    ) -> Result<Run, MeasureError> {
        if setting.running.is_some() {
            return Err(FloodError::NotOurs.into());
        }
        let (of_server, of_load) = Cores::halves().map_err(FloodError::Cores)?;
        let pinned = of_server.pin().map_err(FloodError::Cores)?;
        let server = setting.target(self.scenario, Subject::Server)?;
        let sink = match subject {
            Subject::Server => None,
            Subject::Floor => {
                let sink = Target::floor(Floor::Discard, Transport::Quic, 1);
                Some(sink.map_err(RunError::from)?)
            }
        };
        drop(pinned);
        let _pinned = of_load.pin().map_err(FloodError::Cores)?;
        let to = match &sink {
            Some(sink) => sink.address,
            None => server.target.quic.ok_or(FloodError::NoPort)?,
        };
        let mut run = self
            .flooded(setting, &server.target, to, repetition)
            .await?;
        run.subject = subject;
        Ok(run)
    }

    async fn flooded(
        &self,
        setting: &Setting,
        server: &Target,
        to: SocketAddr,
        repetition: u32,
    ) -> Result<Run, MeasureError> {
        let mut flooder = Flooder::start(to, self.flood).map_err(FloodError::from)?;
        let seconds = setting.warm_up + setting.seconds + 2 * AROUND_SECONDS;
        let mut began = None;
        let begin = || began = Some(flooder.go(seconds));
        let mut run = watched(setting, self.scenario, server, repetition, begin).await?;
        let sent = began.unwrap_or(Ok(())).and_then(|()| flooder.sent());
        let sent = sent.map_err(FloodError::from)?;
        let lost = probe::udp_losses(to.port());
        run.figures.extend(figures(&sent, lost));
        Ok(run)
    }
}

fn figures(sent: &Sent, lost: Option<u64>) -> Vec<Figure> {
    let rate = |count: u64| count as f64 / sent.seconds.max(f64::MIN_POSITIVE);
    let mut figures = vec![figure(
        "flood_rate",
        "first packets of the flood",
        rate(sent.begun),
    )];
    if sent.shown > 0 {
        let title = "handshakes of the flood that have shown their address";
        figures.push(figure("flood_shown_rate", title, rate(sent.shown)));
    }
    if sent.refused > 0 {
        let title = "packets of the flood that the kernel did not send";
        figures.push(figure("flood_refused_rate", title, rate(sent.refused)));
    }
    if let Some(lost) = lost {
        let title = "packets that found the flooded socket's buffer full";
        figures.push(figure("flood_lost_rate", title, rate(lost)));
    }
    figures
}

fn figure(name: &str, title: &str, per_second: f64) -> Figure {
    Figure {
        name: name.to_owned(),
        title: title.to_owned(),
        value: per_second,
        unit: "1/s".to_owned(),
        better: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_told_by_the_second() {
        let sent = Sent {
            begun: 5_000,
            shown: 100,
            refused: 0,
            seconds: 10.0,
        };
        let told: Vec<(String, f64)> = figures(&sent, Some(40))
            .into_iter()
            .map(|figure| (figure.name, figure.value))
            .collect();
        let expected = [
            ("flood_rate", 500.0),
            ("flood_shown_rate", 10.0),
            ("flood_lost_rate", 4.0),
        ];
        assert_eq!(told, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(figures(&Sent::default(), None).len(), 1);
    }
}
