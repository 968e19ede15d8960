//! Lines of a page for Prometheus.

use std::fmt::{Display, Write};

use crate::description::{Kind, Line};

/// A label and its value.
pub(crate) type Pair<'a> = (&'a str, &'a str);

/// What goes ahead of the samples of a metric.
pub(crate) fn head(page: &mut String, line: &Line, kind: Kind) {
    let Line { name, help, .. } = line;
    let kind = kind.name();
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One sample. Values of labels are names, in which nothing has to be escaped.
pub(crate) fn sample(
    page: &mut String,
    name: &str,
    suffix: &str,
    labels: &[Pair<'_>],
    value: &impl Display,
) {
    let _ = write!(page, "{name}{suffix}");
    for (place, (label, text)) in labels.iter().enumerate() {
        let before = if place == 0 { '{' } else { ',' };
        let _ = write!(page, "{before}{label}=\"{text}\"");
    }
    if !labels.is_empty() {
        page.push('}');
    }
    let _ = writeln!(page, " {value}");
}
