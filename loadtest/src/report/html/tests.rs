use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

use super::*;
use crate::report::{Check, Instant, Second, Step, Subject, sample};

/// Whether the page is well-formed, and whether every number of its drawings is one.
fn with_parsed(report: &Report, look: impl FnOnce(&Document<'_>)) {
    let page = page(report);
    for word in [
        "NaN", "inf\"", "inf ", "http:", "https:", "src=", "@import", "url(",
    ] {
        assert!(!page.contains(word), "{word} in the page");
    }
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(&page, options)
        .unwrap_or_else(|error| panic!("{error}\n{page}"));
    for node in document.descendants() {
        for name in ["x", "y", "width", "height", "cx", "cy"] {
            if let Some(number) = node.attribute(name).filter(|_| !node.has_tag_name("meta")) {
                let number: f64 = number.parse().unwrap();
                assert!((-1.0..=500.0).contains(&number), "{name}={number}");
            }
        }
    }
    look(&document);
}

fn texts(document: &Document<'_>, tag: &str) -> Vec<String> {
    let nodes = document.descendants().filter(|node| node.has_tag_name(tag));
    nodes.map(text_of).collect()
}

fn text_of(node: Node<'_, '_>) -> String {
    node.descendants()
        .filter_map(|node| node.text().filter(|_| node.is_text()))
        .collect()
}

fn single(run: Run) -> Report {
    Report {
        runs: vec![run],
        ..sample::empty()
    }
}

#[test]
fn the_page_tells_everything() {
    let report = sample::report();
    with_parsed(&report, |document| {
        assert_eq!(texts(document, "h2"), ["Server over floor", "fanout"]);
        let parts = texts(document, "h3");
        assert_eq!(parts.len(), 4);
        assert!(
            parts.contains(&"floor, repetition 2".to_owned()),
            "{parts:?}"
        );
        assert!(texts(document, "pre").contains(&report.command));
        let charts = texts(document, "figcaption");
        for chart in [
            "deliver: latency by percentile",
            "deliver: p99 per second",
            "deliver: latency over time",
            "deliver: per second",
            "deliveries per second",
            "processor in cores",
            "resident memory",
        ] {
            assert!(
                charts.iter().any(|title| title == chart),
                "{chart} in {charts:?}"
            );
        }
        let cells = texts(document, "td");
        for cell in ["7.31 µs", "2,999,220", "2.44×", "18.6 ms"] {
            assert!(cells.iter().any(|text| text == cell), "{cell} in {cells:?}");
        }
        let items = texts(document, "li");
        assert!(
            items.iter().any(|item| item.contains("98% of its core")),
            "{items:?}"
        );
    });
}

#[test]
fn every_line_of_a_chart_is_in_its_legend() {
    with_parsed(&sample::report(), |document| {
        let charts = document
            .descendants()
            .filter(|node| node.has_tag_name("figure"));
        for chart in charts {
            let count = |parent: &str| {
                let nodes = chart.descendants().filter(|node| {
                    let class = node.attribute("class").unwrap_or_default();
                    node.has_tag_name("path") && class.starts_with("line ")
                });
                nodes
                    .filter(|node| node.parent().unwrap().attribute("class") == Some(parent))
                    .count()
            };
            let all = chart
                .descendants()
                .filter(|node| {
                    node.attribute("class")
                        .is_some_and(|class| class.starts_with("line "))
                })
                .count();
            assert_eq!(all, 2 * count("key"), "{}", text_of(chart));
        }
    });
}

#[test]
fn text_from_the_report_stays_text() {
    let evil = "<script>alert(\"1\")</script>&'\u{1b}";
    let mut report = sample::report();
    report.command = evil.into();
    report.began = evil.into();
    report.host.processor = evil.into();
    report.ratios[0].scenario = evil.into();
    report.ratios[0].unit = evil.into();
    report.capacity = Some(Capacity {
        parameter: evil.into(),
        objective: evil.into(),
        held_at: None,
        broke_at: None,
        reason: evil.into(),
        steps: vec![Step {
            value: 1.0,
            held: true,
            detail: evil.into(),
        }],
    });
    for run in &mut report.runs {
        run.scenario = evil.into();
        run.parameters = vec![(evil.into(), evil.into())];
        run.settings = vec![evil.into()];
        run.operations[1].name = evil.into();
        run.operations[1].errors = BTreeMap::from([(evil.into(), 1)]);
        run.counts.insert(evil.into(), 1);
        run.figures[0].title = evil.into();
        run.figures[0].unit = evil.into();
        run.checks[0].title = evil.into();
        run.checks[0].detail = evil.into();
        run.warnings = vec![evil.into()];
        for second in &mut run.timeline {
            second
                .operations
                .insert(evil.into(), second.operations["send"]);
        }
    }
    with_parsed(&report, |document| {
        let scripts = texts(document, "script");
        assert_eq!(scripts, [PRINT]);
        let shown = evil.replace('\u{1b}', "\u{FFFD}");
        assert!(texts(document, "pre").contains(&shown));
        assert!(texts(document, "td").contains(&shown));
        assert!(texts(document, "h2").contains(&shown));
    });
}

#[test]
fn nothing_measured_is_said() {
    with_parsed(&sample::empty(), |document| {
        assert!(texts(document, "p").contains(&"Nothing was measured.".to_owned()));
        assert!(texts(document, "figure").is_empty());
    });
    with_parsed(&single(sample::bare_run()), |document| {
        assert_eq!(texts(document, "h2"), ["idle"]);
        assert!(texts(document, "figure").is_empty());
    });
}

#[test]
fn one_second_is_drawn_as_dots() {
    let mut run = sample::bare_run();
    run.operations = vec![sample::operation("send", Some(1.0), 1, 2.0)];
    run.timeline = vec![Second {
        operations: BTreeMap::from([(
            "send".to_owned(),
            Instant {
                done: 1,
                errors: 0,
                p50_ms: 2.0,
                p99_ms: 2.0,
                max_ms: 2.0,
            },
        )]),
        ..Second::default()
    }];
    with_parsed(&single(run), |document| {
        let dots = document
            .descendants()
            .filter(|node| node.has_tag_name("circle"));
        assert!(dots.count() >= 3);
    });
}

#[test]
fn seconds_without_samples_break_the_line() {
    let mut run = sample::run(Subject::Server, 1, 1.0);
    run.timeline[30].operations.clear();
    with_parsed(&single(run), |document| {
        let broken = document.descendants().filter(|node| {
            node.attribute("class") == Some("line p50")
                && node
                    .attribute("d")
                    .is_some_and(|path| path.matches('M').count() == 2)
        });
        assert_eq!(broken.count(), 2, "send and deliver");
    });
}

#[test]
fn numbers_that_are_none_do_not_reach_the_page() {
    let mut report = sample::report();
    let run = &mut report.runs[0];
    run.seconds = 0.0;
    run.figures[0].value = f64::NAN;
    run.operations[1].latency.curve = vec![(f64::NAN, f64::INFINITY), (50.0, 0.0), (200.0, -3.0)];
    run.operations[1].achieved_per_second = f64::INFINITY;
    run.timeline[3].server_cores = Some(f64::NAN);
    run.timeline[4].generator_cores = f64::INFINITY;
    report.ratios[0].floor = 0.0;
    report.ratios[0].ratio = f64::INFINITY;
    with_parsed(&report, |_| {});
}

#[test]
fn a_broken_check_is_seen_at_once() {
    let mut report = sample::report();
    report.runs[2].checks.push(Check {
        title: "nothing twice".into(),
        held: false,
        detail: "2 twice".into(),
    });
    with_parsed(&report, |document| {
        let tile = document
            .descendants()
            .find(|node| node.attribute("class") == Some("tile bad"));
        assert_eq!(text_of(tile.unwrap()), "1 of 5checks BROKEN");
    });
}
