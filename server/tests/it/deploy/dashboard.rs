//! The dashboard: what it asks for exists, and Prometheus can read it.

use std::collections::{BTreeMap, HashSet};
use std::process::Command;

use serde_json::Value;

use super::promql::Asked;
use super::text;
use crate::metrics::promtool;

const DASHBOARD: &str = "deploy/grafana/pitturu.json";

/// Rows that an operator looks for.
const ROWS: [&str; 7] = [
    "At a glance",
    "Players and connections",
    "Calls and refusals",
    "Latency",
    "Deliveries and queues",
    "Store",
    "Process",
];

fn dashboard() -> Value {
    serde_json::from_str(&text(DASHBOARD)).unwrap()
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    let found = value.pointer(path).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

fn said<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The expression as Grafana sends it, or the variable that nobody sets.
fn filled_in(expression: &str) -> Result<String, String> {
    let filled = expression
        .replace("$__rate_interval", "5m")
        .replace("$job", "pitturu")
        .replace("$instance", ".+");
    match filled.split_once('$') {
        Some((_, rest)) => Err(format!("nobody sets ${rest}")),
        None => Ok(filled),
    }
}

/// All that is asked for, by where.
fn asked(dashboard: &Value) -> BTreeMap<String, String> {
    let mut asked = BTreeMap::new();
    let mut ask = |place: String, expression: &str| {
        let filled = filled_in(expression).unwrap_or_else(|error| panic!("{place}: {error}"));
        let before = asked.insert(place, filled);
        assert_eq!(before, None, "two panels have one title");
    };
    for panel in list(dashboard, "/panels") {
        for target in list(panel, "/targets") {
            let place = format!("{} {}", said(panel, "title"), said(target, "refId"));
            ask(place, said(target, "expr"));
        }
    }
    for annotation in list(dashboard, "/annotations/list") {
        ask(
            said(annotation, "name").to_owned(),
            said(annotation, "expr"),
        );
    }
    for variable in list(dashboard, "/templating/list") {
        if let Some(query) = said(variable, "definition").strip_prefix("label_values(") {
            let (series, _) = query.rsplit_once(',').unwrap();
            ask(said(variable, "name").to_owned(), series);
        }
    }
    assert!(asked.len() > 40, "{asked:?}");
    asked
}

#[test]
fn panels_ask_for_what_exists() {
    for (place, expression) in asked(&dashboard()) {
        let mistakes = Asked::by(&expression).mistakes();
        assert!(mistakes.is_empty(), "{place}: {mistakes:?}");
    }
    assert_eq!(filled_in("$node").unwrap_err(), "nobody sets $node");
}

#[test]
fn legends_name_labels_that_results_have() {
    let dashboard = dashboard();
    let panels = list(&dashboard, "/panels").iter();
    for target in panels.flat_map(|panel| list(panel, "/targets")) {
        let expression = said(target, "expr");
        let asked = Asked::by(&filled_in(expression).unwrap());
        for part in said(target, "legendFormat").split("{{").skip(1) {
            let (label, _) = part.split_once("}}").unwrap();
            assert!(asked.can_show(label), "{label} of {expression}");
        }
    }
}

#[test]
fn panels_lie_side_by_side_in_their_rows_and_say_what_they_show() {
    let dashboard = dashboard();
    let (mut ids, mut taken, mut rows) = (HashSet::new(), HashSet::new(), Vec::new());
    for panel in list(&dashboard, "/panels") {
        let title = said(panel, "title");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        if said(panel, "type") == "row" {
            rows.push(title);
            continue;
        }
        assert!(said(panel, "description").ends_with('.'), "{title}");
        for target in list(panel, "/targets").iter().chain([panel]) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    assert_eq!(rows, ROWS);
}

#[test]
fn promtool_can_read_what_panels_ask() {
    let Some(promtool) = promtool() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    let judge = |expressions: &[String]| {
        let rules = expressions.iter().enumerate().map(|(number, expression)| {
            serde_json::json!({ "record": format!("panel:{number}"), "expr": expression })
        });
        let rules: Vec<Value> = rules.collect();
        let groups = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] });
        std::fs::write(&file, groups.to_string()).unwrap();
        let check = Command::new(&promtool)
            .args(["check", "rules"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        (check.status.success(), said)
    };
    let expressions: Vec<String> = asked(&dashboard()).into_values().collect();
    let (is_content, said) = judge(&expressions);
    assert!(is_content, "{said}");
    let (is_content, _) = judge(&["sum(rate(pitturu_calls_total))".to_owned()]);
    assert!(!is_content);
}
