//! The page of all metrics, for people.

use std::fmt::Write;

use pitturu_metrics::description::Description;
use pitturu_metrics::labels::LabelDescription;
use pitturu_metrics::table;

/// What stands ahead of the table.
const INTRODUCTION: &str = "\
# Metrics

Written by `pitturu metrics`; do not edit by hand.

The server shows them at `/metrics` of the operations port (`ops.listen`), in Prometheus' text format:

```yaml
scrape_configs:
  - job_name: pitturu
    static_configs:
      - targets: [\"127.0.0.1:7351\"]
```

A page has some hundred lines at first and a few thousand at most, whatever the number of players: nothing that a client chooses becomes the value of a label. What only grows begins at 0 with the process, so `rate()` and `increase()` see the first refusal as well.

## What to look at first

| look at | what it says |
|---|---|
| `pitturu_ready` | 0: some part of the server can't work, and `/health/detailed` says which and why. While it starts and stops that is as it should be. |
| `sum(rate(pitturu_calls_total{outcome=\"failed\"}[5m])) / sum(rate(pitturu_calls_total[5m]))` | The part of the calls that the server could not carry out: 0 when all is well. `pitturu_faults_total` says by which code: `storage_unavailable` is the disk, `overloaded` a full queue, `internal` a fault of the server, with a line in the log. |
| `histogram_quantile(0.99, sum by (le) (rate(pitturu_store_commit_seconds_bucket[5m])))` | How long the disk takes. Whatever a player changes waits for it, so `pitturu_call_seconds` of every call that writes follows. When it grows, `pitturu_store_queue_jobs` does next, and then calls are refused. |
| `pitturu_connections` beside `rate(pitturu_connections_closed_total[5m])` | Who is there, and why they go: `by_client` is usual, many `heartbeat_missed` and `lost` are the network, `flooding` and `protocol_error` a client that is broken or means harm. Who does not get in at all is in `pitturu_handshakes_refused_total`. |
| `process_open_fds / process_max_fds` | Near 1, nobody else can connect: each connection over TCP is an open file. |

Rules for all of this and more are in [alerts.yml](../deploy/prometheus/alerts.yml), each with a [runbook](runbooks.md), and a dashboard for Grafana in [pitturu.json](../deploy/grafana/pitturu.json).

## All metrics
Of a histogram Prometheus gets `_bucket`, `_sum` and `_count`. A metric that is not there from the start says when it is.
";

/// The page of all metrics.
pub fn markdown() -> String {
    let mut out = String::from(INTRODUCTION);
    for section in table::SECTIONS {
        let title = section.title;
        let _ = write!(
            out,
            "\n### {title}\n\n| metric | kind | counts | labels | meaning |\n|---|---|---|---|---|\n"
        );
        for described in section.metrics.iter().map(|metric| metric.description()) {
            out.push_str(&row(&described));
        }
    }
    out
}

fn row(described: &Description) -> String {
    let line = described.line;
    let labels: Vec<String> = described.labels.iter().map(label).collect();
    format!(
        "| `{}` | {} | {} | {} | {} |\n",
        line.name,
        described.kind.name(),
        line.unit.name(),
        labels.join("; "),
        line.help
    )
}

fn label(label: &LabelDescription) -> String {
    let values = label.about.map_or_else(
        || {
            let values = label.values.iter().map(|value| format!("`{value}`"));
            values.collect::<Vec<_>>().join(", ")
        },
        str::to_owned,
    );
    format!("`{}`: {values}", label.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

    #[test]
    fn the_page_of_metrics_is_fresh() {
        let page = std::fs::read_to_string(format!("{PAGES}/metrics.md")).unwrap_or_default();
        assert!(
            page == markdown(),
            "run: cargo run -p pitturu-server -- metrics > docs/metrics.md"
        );
    }

    /// Words of a page that look like names of metrics, without what a histogram adds to its name.
    fn named(page: &str) -> Vec<&str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = page.split(|c: char| !is_part(c));
        words
            .filter(|word| word.starts_with("pitturu_") || word.starts_with("process_"))
            .map(|word| {
                let ends = ["_bucket", "_sum", "_count"];
                let end = ends.iter().find_map(|end| word.strip_suffix(end));
                end.unwrap_or(word)
            })
            .collect()
    }

    #[test]
    fn documents_name_metrics_that_there_are() {
        let all: Vec<&str> = table::all()
            .map(|metric| metric.description().line.name)
            .collect();
        let mut found = 0;
        for page in std::fs::read_dir(PAGES).unwrap() {
            let path = page.unwrap().path();
            if path.extension().is_none_or(|end| end != "md") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for name in named(&text) {
                // Crates have names like these.
                let is_crate = [
                    "client",
                    "lossy_link",
                    "server",
                    "store",
                    "protocol",
                    "metrics",
                ]
                .contains(&name.trim_start_matches("pitturu_"));
                assert!(
                    all.contains(&name) || is_crate,
                    "{}: {name}",
                    path.display()
                );
                found += usize::from(!is_crate);
            }
        }
        assert!(found > all.len(), "the page of metrics names each");
    }
}
