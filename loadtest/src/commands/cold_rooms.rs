//! Rooms that were made, forgotten by a stop, and found again: two runs on one installation.

use super::watched;
use crate::report::{Better, Figure, Run, number};
use crate::run::{RunError, Setting};
use crate::scenarios::{Scenario, Stage};
use crate::tally::Op;

/// The two plays of the scenario.
#[derive(Debug)]
pub(super) struct Stages {
    build: Scenario,
    make_use: Scenario,
    /// Rooms that exist from the one to the other.
    rooms: u64,
}

impl Stages {
    /// Those of this scenario, if it has two.
    pub(super) fn of(scenario: &Scenario) -> Option<Self> {
        let Scenario::ColdRooms(options) = scenario else {
            return None;
        };
        let at = |stage| {
            let mut options = options.clone();
            options.stage = stage;
            Scenario::ColdRooms(options)
        };
        Some(Self {
            build: at(Stage::Build),
            make_use: at(Stage::Use),
            rooms: options.rooms,
        })
    }

    /// Makes the rooms, starts the server again, and makes use of some.
    pub(super) async fn run(
        &self,
        setting: &Setting,
        repetition: u32,
    ) -> Result<Vec<Run>, RunError> {
        if setting.running.is_some() {
            return Err(RunError::NotOurs(self.build.name()));
        }
        let installation = setting.install(&self.build)?;
        let server = installation.start()?;
        // The rooms are made before the load, which is none.
        let short = Setting {
            warm_up: 0,
            seconds: 1,
            ..setting.clone()
        };
        let mut built = watched(&short, &self.build, &server, repetition, || {}).await?;
        built.figures.extend(after_building(&built));
        server.stop();

        let server = installation.start()?;
        let mut used = watched(setting, &self.make_use, &server, repetition, || {}).await?;
        let starts = used.figures.iter_mut();
        for start in starts.filter(|figure| figure.name == "started_in") {
            start.title = format!("time to start with {} rooms", number::count(self.rooms));
        }
        used.figures.extend(after_start(&used));
        Ok(vec![built, used])
    }
}

fn after_building(run: &Run) -> Option<Figure> {
    let server = run.server.as_ref()?;
    Some(figure(
        "memory_after_building",
        "server memory when the last room was made",
        number::float(server.memory_bytes),
    ))
}

/// What the server held before the first player came back, and what each room that is used added.
fn after_start(run: &Run) -> Vec<Figure> {
    let Some(server) = &run.server else {
        return Vec::new();
    };
    let mut figures = vec![figure(
        "memory_at_rest",
        "server memory after the start, before the players came",
        number::float(server.memory_before_bytes),
    )];
    let opened = run.operation(Op::Open.name()).map(|open| open.done);
    if let Some(opened) = opened.filter(|&opened| opened > 0) {
        let grown = server
            .memory_bytes
            .saturating_sub(server.memory_before_bytes);
        figures.push(figure(
            "memory_per_active_room",
            "server memory per room in use, with its owner's connection",
            number::float(grown) / number::float(opened),
        ));
    }
    figures
}

fn figure(name: &str, title: &str, bytes: f64) -> Figure {
    Figure {
        name: name.to_owned(),
        title: title.to_owned(),
        value: bytes,
        unit: "bytes".to_owned(),
        better: Some(Better::Lower),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Subject, sample};

    #[test]
    fn memory_is_shared_out_among_the_rooms_that_are_used() {
        let mut run = sample::run(Subject::Server, 1, 1.0);
        let server = run.server.as_mut().unwrap();
        server.memory_before_bytes = 1_000;
        server.memory_bytes = 9_000;
        run.operations = vec![sample::operation("open", None, 40, 1.0)];
        run.operations[0].done = 40;
        let figures = after_start(&run);
        let found: Vec<_> = figures
            .iter()
            .map(|figure| (figure.name.as_str(), figure.value))
            .collect();
        assert_eq!(
            found,
            [
                ("memory_at_rest", 1_000.0),
                ("memory_per_active_room", 200.0)
            ]
        );
        assert_eq!(after_building(&run).unwrap().value, 9_000.0);
        run.operations.clear();
        assert_eq!(after_start(&run).len(), 1);
        run.server = None;
        assert!(after_start(&run).is_empty() && after_building(&run).is_none());
    }
}
