//! Rooms that exist: made, then found again by a server that was started on their data.

use super::watched;
use crate::probe::{Probe, Sample};
use crate::report::{Better, Figure, Run};
use crate::run::{RunError, Setting};
use crate::scenarios::{ColdRooms, Scenario, Stage};

/// Makes the rooms, starts the server again, and uses some of them: two runs.
pub(super) async fn run(
    setting: &Setting,
    options: &ColdRooms,
    repetition: u32,
) -> Result<Vec<Run>, RunError> {
    let stage = |stage| {
        Scenario::ColdRooms(ColdRooms {
            stage,
            ..options.clone()
        })
    };
    let (build, reuse) = (stage(Stage::Build), stage(Stage::Use));
    if setting.running.is_some() {
        return Err(RunError::NotOurs(build.name()));
    }
    let installation = setting.install(&build)?;
    let target = installation.start()?;
    let empty = target.probe.and_then(Probe::sample).unwrap_or_default();
    let built = watched(setting, &build, &target, repetition).await?;
    target.stop();
    let target = installation.start()?;
    let rested = target.probe.and_then(Probe::sample).unwrap_or_default();
    let mut used = watched(setting, &reuse, &target, repetition).await?;
    let seconds = target.started_in.map(|time| time.as_secs_f64());
    used.figures
        .extend(figures(options, seconds, empty, rested));
    target.stop();
    Ok(vec![built, used])
}

fn figures(
    options: &ColdRooms,
    started_in: Option<f64>,
    empty: Sample,
    rested: Sample,
) -> Vec<Figure> {
    let grown = rested.memory_bytes.saturating_sub(empty.memory_bytes) as f64;
    let figure = |name: &str, title: &str, value: f64, unit: &str| Figure {
        name: name.to_owned(),
        title: title.to_owned(),
        value,
        unit: unit.to_owned(),
        better: Some(Better::Lower),
    };
    let mut figures = vec![
        figure(
            "memory_after_start",
            "server memory after the start, all rooms at rest",
            rested.memory_bytes as f64,
            "bytes",
        ),
        figure(
            "memory_per_room_at_rest",
            "the same per room, beyond an empty server",
            grown / options.rooms as f64,
            "bytes",
        ),
    ];
    if let Some(seconds) = started_in {
        let title = "time to start with all rooms on disk";
        figures.push(figure("started_with_rooms_in", title, seconds, "s"));
    }
    figures
}
