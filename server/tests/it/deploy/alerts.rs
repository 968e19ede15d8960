//! Alerts: what they ask for exists, each is explained by a runbook, and each speaks and keeps silent when it should.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_yaml_ng::Value;

use super::promql::{Asked, described};
use super::{in_repository, text};
use crate::metrics::promtool;

const RULES: &str = "deploy/prometheus/alerts.yml";
const TESTS: &str = "deploy/prometheus/alerts.test.yml";
const RUNBOOKS: &str = "docs/runbooks.md";

/// What each part of the runbooks says.
const PARTS: [&str; 4] = [
    "**Means**: ",
    "**Players notice**: ",
    "**Look at**: ",
    "**Do**: ",
];

fn yaml(path: &str) -> Value {
    serde_yaml_ng::from_str(&text(path)).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_sequence().map_or(&[], Vec::as_slice)
}

fn said<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} of {value:?}"))
}

/// The rules, by name.
fn alerts(rules: &Value) -> BTreeMap<&str, &Value> {
    let groups = list(rules, "groups").iter();
    let alerts: Vec<&Value> = groups.flat_map(|group| list(group, "rules")).collect();
    let by_name: BTreeMap<&str, &Value> = alerts
        .iter()
        .map(|alert| (said(alert, "alert"), *alert))
        .collect();
    assert_eq!(by_name.len(), alerts.len(), "two alerts have one name");
    assert!(by_name.len() > 10, "{by_name:?}");
    by_name
}

/// Parts of the runbooks, by their headings.
fn runbooks(page: &str) -> BTreeMap<&str, &str> {
    let parts = page.split("\n## ").skip(1);
    parts.map(|part| part.split_once('\n').unwrap()).collect()
}

#[test]
fn alerts_ask_for_what_exists_and_lead_to_their_runbooks() {
    let (rules, page) = (yaml(RULES), text(RUNBOOKS));
    let (alerts, runbooks) = (alerts(&rules), runbooks(&page));
    for (name, alert) in &alerts {
        let mistakes = Asked::by(said(alert, "expr")).mistakes();
        assert!(mistakes.is_empty(), "{name}: {mistakes:?}");
        let severity = said(&alert["labels"], "severity");
        assert!(matches!(severity, "page" | "ticket"), "{name}: {severity}");
        let about = &alert["annotations"];
        assert!(!said(about, "summary").is_empty(), "{name}");
        let link = format!("{RUNBOOKS}#{}", name.to_ascii_lowercase());
        assert_eq!(said(about, "runbook_url"), link, "{name}");
        let runbook = runbooks.get(name).copied().unwrap_or_default();
        for part in PARTS {
            assert_eq!(runbook.matches(part).count(), 1, "{name}: {part}");
        }
    }
    let explained: BTreeSet<&&str> = runbooks.keys().collect();
    assert_eq!(
        explained,
        alerts.keys().collect(),
        "a runbook without alert"
    );
}

#[test]
fn each_alert_is_tried_on_both_sides() {
    let (rules, tests) = (yaml(RULES), yaml(TESTS));
    let mut speaks = BTreeSet::new();
    let mut is_silent = BTreeSet::new();
    let groups = list(&tests, "tests").iter();
    for case in groups.flat_map(|group| list(group, "alert_rule_test")) {
        let name = said(case, "alertname");
        match list(case, "exp_alerts") {
            [] => is_silent.insert(name),
            _ => speaks.insert(name),
        };
    }
    let all: BTreeSet<&str> = alerts(&rules).into_keys().collect();
    assert_eq!(speaks, all);
    assert_eq!(is_silent, all);
}

#[test]
fn pages_for_operators_name_metrics_that_exist() {
    for page in [RUNBOOKS, "docs/deployment.md"] {
        let text = text(page);
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let named = words.filter(|word| {
            word.starts_with("pitturu_") || word.starts_with("process_") && word.len() > 8
        });
        for name in named {
            // Of a histogram the page may mean the whole.
            let whole = format!("{name}_sum");
            let is_there = described(name).or_else(|| described(&whole)).is_some();
            assert!(is_there, "{page}: {name}");
        }
    }
}

/// Whether promtool is content, and all that it said.
fn judged(promtool: &str, what: [&str; 2], file: &Path) -> (bool, String) {
    let output = Command::new(promtool)
        .args(what)
        .arg(file)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

#[test]
fn promtool_takes_the_rules_and_their_tests_hold() {
    let Some(promtool) = promtool() else {
        return;
    };
    let rules = in_repository(RULES);
    let (is_content, said) = judged(&promtool, ["check", "rules"], &rules);
    assert!(is_content, "{said}");
    let (is_content, said) = judged(&promtool, ["test", "rules"], &in_repository(TESTS));
    assert!(is_content, "{said}");
}

#[test]
fn promtool_notices_each_alert_that_never_or_always_speaks() {
    let Some(promtool) = promtool() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let tests = folder.path().join("alerts.test.yml");
    std::fs::copy(in_repository(TESTS), &tests).unwrap();
    for expression in ["vector(1) > 2", "vector(1)"] {
        let mut rules = yaml(RULES);
        let groups = rules["groups"].as_sequence_mut().unwrap().iter_mut();
        for alert in groups.flat_map(|group| group["rules"].as_sequence_mut().unwrap()) {
            let alert = alert.as_mapping_mut().unwrap();
            alert.insert("expr".into(), expression.into());
            alert.remove("for");
        }
        let changed = serde_yaml_ng::to_string(&rules).unwrap();
        std::fs::write(folder.path().join("alerts.yml"), changed).unwrap();
        let (is_content, said) = judged(&promtool, ["test", "rules"], &tests);
        assert!(!is_content, "{said}");
        for name in alerts(&rules).keys() {
            let failed = format!("alertname: {name},");
            assert!(said.contains(&failed), "{expression}: {name}\n{said}");
        }
    }
}
