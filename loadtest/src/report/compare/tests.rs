use super::*;
use crate::report::{Check, sample};

/// A report of one server run with one figure.
fn figure(value: f64) -> Report {
    let mut run = sample::bare_run();
    run.figures = vec![sample::figure("cost", "cost", value, "µs")];
    Report {
        runs: vec![run],
        ..sample::empty()
    }
}

/// A report of one server run with one operation of that many samples and that median.
fn latency(samples: u32, p50_ms: f64) -> Report {
    let mut run = sample::bare_run();
    run.operations = vec![sample::operation("send", None, samples, p50_ms)];
    Report {
        runs: vec![run],
        ..sample::empty()
    }
}

fn defaults(before: &Report, after: &Report) -> Comparison {
    compare(before, after, &Budgets::default())
}

fn verdict(found: &Comparison, name: &str) -> Verdict {
    let row = found.rows.iter().find(|row| row.name == name);
    row.unwrap_or_else(|| panic!("no row {name} in {found:#?}"))
        .verdict
}

fn held(held: bool) -> Vec<Check> {
    vec![Check {
        title: "nothing lost".into(),
        held,
        detail: "3 missing".into(),
    }]
}

#[test]
fn a_report_equals_itself() {
    let report = sample::report();
    let found = defaults(&report, &report);
    assert!(!found.regressed);
    assert!(
        found.rows.iter().all(|row| row.change == 0.0),
        "{:#?}",
        found.rows
    );
    assert!(found.only_before.is_empty() && found.only_after.is_empty());
}

#[test]
fn the_budget_itself_is_within_the_budget() {
    for (after, expected) in [
        (110.0, Verdict::Same),
        (110.01, Verdict::Worse),
        (90.0, Verdict::Same),
        (89.99, Verdict::Better),
    ] {
        let found = defaults(&figure(100.0), &figure(after));
        assert_eq!(verdict(&found, "cost"), expected, "{after}");
        assert_eq!(found.regressed, expected == Verdict::Worse, "{after}");
    }
}

#[test]
fn rates_are_better_when_higher() {
    let rate = |value: f64| {
        let mut report = figure(value);
        report.runs[0].figures[0].better = Some(Better::Higher);
        report
    };
    for (after, expected) in [
        (89.0, Verdict::Worse),
        (90.0, Verdict::Same),
        (111.0, Verdict::Better),
    ] {
        let found = defaults(&rate(100.0), &rate(after));
        assert_eq!(verdict(&found, "cost"), expected, "{after}");
    }
}

#[test]
fn something_from_nothing_is_worse() {
    let found = defaults(&figure(0.0), &figure(1.0));
    assert_eq!(verdict(&found, "cost"), Verdict::Worse);
    assert!(found.text(false).contains("from 0"));
    assert_eq!(
        verdict(&defaults(&figure(0.0), &figure(0.0)), "cost"),
        Verdict::Same
    );
}

#[test]
fn figures_without_direction_are_not_compared() {
    let mut before = figure(1.0);
    before.runs[0].figures[0].better = None;
    assert!(defaults(&before, &before).rows.is_empty());
}

#[test]
fn small_and_rare_latencies_are_noise() {
    for (samples, before, after, expected) in [
        (1_000, 10.0, 12.5, Verdict::Same),
        (1_000, 10.0, 12.6, Verdict::Worse),
        (1_000, 10.0, 7.4, Verdict::Better),
        (1_000, 0.1, 0.29, Verdict::Noise),
        (1_000, 0.1, 0.31, Verdict::Worse),
        (50, 10.0, 20.0, Verdict::Worse),
        (49, 10.0, 20.0, Verdict::Noise),
    ] {
        let found = defaults(&latency(samples, before), &latency(samples, after));
        assert_eq!(
            verdict(&found, "send_p50"),
            expected,
            "{samples} {before} {after}"
        );
    }
}

#[test]
fn an_operation_that_stopped_is_told_by_its_rate() {
    let found = defaults(&latency(10_000, 2.0), &latency(3, 2.0));
    assert_eq!(verdict(&found, "send_achieved"), Verdict::Worse);
    let found = defaults(&latency(40, 2.0), &latency(3, 2.0));
    assert_eq!(verdict(&found, "send_achieved"), Verdict::Noise);
    let found = defaults(&latency(10_000, 2.0), &latency(0, 0.0));
    assert!(found.regressed);
    assert_eq!(found.only_before.len(), 2, "{:?}", found.only_before);
}

#[test]
fn budgets_by_name_go_before_those_by_kind() {
    let with = |texts: &[&str]| Budgets::with(texts.iter().map(|text| text.parse().unwrap()));
    let found =
        |budgets: &[&str]| compare(&latency(100, 10.0), &latency(100, 14.0), &with(budgets));
    for (budgets, expected) in [
        (&["p50=40%"][..], Verdict::Same),
        (&["p50=39%"], Verdict::Worse),
        (&["p50=39%", "send_p50=41%"], Verdict::Same),
        (&["p99=50%"], Verdict::Worse),
    ] {
        assert_eq!(
            verdict(&found(budgets), "send_p50"),
            expected,
            "{budgets:?}"
        );
    }
    let unheard = found(&["pp99=1%"]);
    assert_eq!(
        unheard.notes,
        ["the budget of pp99 concerns no number here"]
    );
}

#[test]
fn texts_that_are_no_budgets_say_why() {
    assert_eq!(
        "p99=30%".parse(),
        Ok(Budget {
            name: "p99".into(),
            share: 0.3
        })
    );
    type Why = fn(String) -> InvalidBudget;
    let cases: [(&str, Why); 7] = [
        ("p99", InvalidBudget::NoEquals),
        ("=3%", InvalidBudget::NoName),
        ("p99=30", InvalidBudget::NoPercent),
        ("p99=%", InvalidBudget::NoNumber),
        ("p99=-1%", InvalidBudget::NoNumber),
        ("p99=inf%", InvalidBudget::NoNumber),
        ("p99=x%", InvalidBudget::NoNumber),
    ];
    for (text, why) in cases {
        assert_eq!(text.parse::<Budget>(), Err(why(text.to_owned())));
    }
}

#[test]
fn a_check_that_broke_is_a_regression() {
    let report = |checks: Vec<Check>| {
        let mut report = figure(1.0);
        report.runs[0].checks = checks;
        report
    };
    for (before, after, regressed) in [
        (held(true), held(true), false),
        (held(true), held(false), true),
        (held(false), held(false), false),
        (held(false), held(true), false),
        (Vec::new(), held(false), false),
    ] {
        let found = defaults(&report(before.clone()), &report(after.clone()));
        assert_eq!(found.regressed, regressed, "{before:?} {after:?}");
        assert_eq!(
            found.broken.len(),
            usize::from(after.iter().any(|check| !check.held))
        );
    }
    let found = defaults(&report(held(true)), &report(Vec::new()));
    assert_eq!(found.only_before, ["idle server: check that nothing lost"]);
}

#[test]
fn one_broken_repetition_breaks_the_check() {
    let mut before = figure(1.0);
    before.runs[0].checks = held(true);
    let mut after = before.clone();
    after.runs.push(after.runs[0].clone());
    after.runs[1].checks = held(false);
    assert!(defaults(&before, &after).regressed);
}

#[test]
fn runs_and_figures_of_one_report_are_listed() {
    let before = sample::report();
    let mut after = before.clone();
    after.runs.retain(|run| run.subject == Subject::Server);
    for run in &mut after.runs {
        run.figures[0].name = "renamed".into();
    }
    let found = defaults(&before, &after);
    let server = "fanout server, players=1000 rate=500";
    assert_eq!(
        found.only_before,
        [
            format!("{server}: cpu_per_delivery"),
            "fanout floor, players=1000 rate=500".to_owned()
        ]
    );
    assert_eq!(found.only_after, [format!("{server}: renamed")]);
    assert!(!found.regressed);
    assert!(
        found.rows.iter().all(|row| row.unit != "×"),
        "only one has a floor"
    );
}

/// A server of `cost` beside a floor of `floor`.
fn beside(cost: f64, floor: f64) -> Report {
    Report {
        runs: vec![
            sample::run(Subject::Server, 1, cost),
            sample::run(Subject::Floor, 1, floor),
        ],
        ..sample::empty()
    }
}

#[test]
fn a_slower_machine_is_no_regression_beside_its_floor() {
    let found = defaults(&beside(1.0, 0.4), &beside(2.0, 0.8));
    assert!(!found.regressed, "{}", found.text(false));
    assert!(found.text(false).contains("are multiples of the floor"));
    assert_eq!(verdict(&found, "cpu_per_delivery"), Verdict::Same);

    let found = defaults(&beside(1.0, 0.4), &beside(1.0, 0.2));
    assert!(
        found.regressed,
        "the machine is faster and the server is not"
    );
    assert_eq!(verdict(&found, "deliver_p99"), Verdict::Worse);
}

#[test]
fn a_floor_of_zero_leaves_the_absolute_number() {
    let mut before = beside(1.0, 1.0);
    before.runs[1].figures[0].value = 0.0;
    let found = defaults(&before, &before);
    let row = found.rows.iter().find(|row| row.name == "cpu_per_delivery");
    assert_eq!(row.unwrap().unit, "µs");
}

#[test]
fn medians_outvote_one_bad_repetition() {
    let mut before = figure(100.0);
    before.runs = vec![before.runs[0].clone(); 3];
    let mut after = before.clone();
    after.runs[1].figures[0].value = 900.0;
    assert!(!defaults(&before, &after).regressed);
    after.runs[2].figures[0].value = 900.0;
    assert!(defaults(&before, &after).regressed);
}

#[test]
fn the_text_begins_with_the_verdict_and_fits() {
    let found = defaults(&beside(1.0, 0.4), &beside(1.5, 0.4));
    let text = found.text(false);
    assert!(text.starts_with("REGRESSED: "), "{text}");
    assert!(text.contains("  cpu_per_delivery"), "{text}");
    assert!(text.contains("+50%     10%"), "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let nothing = defaults(&sample::empty(), &sample::empty());
    assert_eq!(nothing.text(false), "nothing to compare\n");
}

#[test]
fn another_machine_is_noted() {
    let before = figure(1.0);
    let mut after = figure(1.0);
    after.host.cores = 99;
    let notes = defaults(&before, &after).notes;
    assert!(notes[0].contains("99 cores of Example"), "{notes:?}");
}
