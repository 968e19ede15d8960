//! Which series an expression of PromQL asks for, and whether the table of metrics has them. The syntax is promtool's to judge.

use std::collections::BTreeSet;

use pitturu_metrics::description::{Description, Kind, Metric};
use pitturu_metrics::table;

/// Words of the language that are followed by labels in parentheses.
const BEFORE_LABELS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// Other words of the language.
const WORDS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

/// What Prometheus itself notes of each server that it scrapes.
const OF_PROMETHEUS: &str = "up";

/// Labels that Prometheus gives to every series.
const GIVEN: [&str; 2] = ["job", "instance"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A name or a number.
    Word(String),
    /// What stands in quotes.
    Text(String),
    /// Anything else.
    Sign(char),
}

/// What an expression asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Names of metrics, with what each is narrowed down by.
    series: Vec<(String, Vec<Matcher>)>,
    /// Labels that results are grouped by.
    grouped_by: BTreeSet<String>,
}

#[derive(Debug)]
struct Matcher {
    label: String,
    operator: String,
    value: String,
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':' | '.')
}

fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut letters = expression.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' | '\'' => tokens.push(Token::Text(
                letters
                    .by_ref()
                    .take_while(|next| *next != letter)
                    .collect(),
            )),
            _ if is_of_word(letter) => {
                let mut word = letter.to_string();
                while let Some(next) = letters.next_if(|next| is_of_word(*next)) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
            _ if letter.is_whitespace() => {}
            _ => tokens.push(Token::Sign(letter)),
        }
    }
    tokens
}

/// Takes what lies between this sign and that one, which ends it, off the front.
fn enclosed<'a>(rest: &mut &'a [Token], begin: char, end: char) -> &'a [Token] {
    let Some((Token::Sign(first), inner)) = rest.split_first() else {
        return &[];
    };
    if *first != begin {
        return &[];
    }
    let length = inner.iter().position(|token| *token == Token::Sign(end));
    let (inside, behind) = inner.split_at(length.unwrap_or(inner.len()));
    *rest = behind;
    inside
}

fn matchers(inside: &[Token]) -> Vec<Matcher> {
    let comma = Token::Sign(',');
    let parts = inside.split(|token| *token == comma);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| match part {
            [Token::Word(label), operator @ .., Token::Text(value)] => Matcher {
                label: label.clone(),
                operator: operator
                    .iter()
                    .map(|token| match token {
                        Token::Sign(sign) => *sign,
                        Token::Word(_) | Token::Text(_) => '?',
                    })
                    .collect(),
                value: value.clone(),
            },
            _ => panic!("not a matcher: {part:?}"),
        })
        .collect()
}

impl Asked {
    pub(super) fn by(expression: &str) -> Self {
        let tokens = tokens(expression);
        let mut asked = Self::default();
        let mut rest = &tokens[..];
        while let Some((token, behind)) = rest.split_first() {
            rest = behind;
            let Token::Word(word) = token else {
                continue;
            };
            if BEFORE_LABELS.contains(&word.as_str()) {
                let labels = enclosed(&mut rest, '(', ')').iter();
                asked
                    .grouped_by
                    .extend(labels.filter_map(|label| match label {
                        Token::Word(label) => Some(label.clone()),
                        Token::Text(_) | Token::Sign(_) => None,
                    }));
                continue;
            }
            let is_function = match rest.first() {
                Some(Token::Sign('(')) => true,
                Some(Token::Word(next)) => matches!(next.as_str(), "by" | "without"),
                _ => false,
            };
            let is_number = word.starts_with(|first: char| first.is_ascii_digit() || first == '.');
            if !is_function && !is_number && !WORDS.contains(&word.as_str()) {
                let narrowed = matchers(enclosed(&mut rest, '{', '}'));
                asked.series.push((word.clone(), narrowed));
            }
        }
        asked
    }

    /// What there is not in the table of metrics.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut labels: BTreeSet<String> = GIVEN.iter().map(|&label| label.to_owned()).collect();
        for (name, matchers) in &self.series {
            let Some(described) = described(name) else {
                mistakes.push(format!("there is no metric {name}"));
                continue;
            };
            if name.ends_with("_bucket") {
                labels.insert("le".to_owned());
            }
            labels.extend(described.labels.iter().map(|label| label.name.to_owned()));
            for matcher in matchers {
                mistakes.extend(matcher.mistakes(name, &described));
            }
        }
        if self.series.is_empty() {
            mistakes.push("it asks for nothing".to_owned());
        }
        let unknown = self.grouped_by.difference(&labels);
        mistakes.extend(unknown.map(|label| format!("nothing here has a label {label}")));
        mistakes
    }

    /// Whether a result can have this label.
    pub(super) fn can_show(&self, label: &str) -> bool {
        GIVEN.contains(&label) || self.grouped_by.contains(label)
    }
}

impl Matcher {
    fn mistakes(&self, metric: &str, described: &Description) -> Vec<String> {
        let Self {
            label,
            operator,
            value,
        } = self;
        if GIVEN.contains(&label.as_str()) {
            return Vec::new();
        }
        let Some(known) = described.labels.iter().find(|known| known.name == label) else {
            return vec![format!("{metric} has no label {label}")];
        };
        let values: Vec<&str> = match operator.as_str() {
            "=" | "!=" => vec![value],
            "=~" | "!~" => value.split('|').collect(),
            _ => return vec![format!("{metric}: what is {operator}?")],
        };
        let missing = values
            .into_iter()
            .filter(|value| !known.values.contains(value));
        missing
            .map(|value| format!("{label} of {metric} is never {value:?}"))
            .collect()
    }
}

/// What the table says of this name, which may be that of a part of a histogram.
pub(super) fn described(name: &str) -> Option<Description> {
    let find = |name: &str| {
        let mut all = table::all().map(Metric::description);
        all.find(|described| described.line.name == name)
    };
    if name == OF_PROMETHEUS {
        let mut plain = find("pitturu_ready")?;
        plain.labels.clear();
        return Some(plain);
    }
    let is_histogram = |described: &Description| described.kind == Kind::Histogram;
    for end in ["_bucket", "_sum", "_count"] {
        if let Some(whole) = name.strip_suffix(end) {
            return find(whole).filter(is_histogram);
        }
    }
    find(name).filter(|described| !is_histogram(described))
}

#[test]
fn what_does_not_exist_is_found() {
    for (expression, expected) in [
        ("pitturu_redy == 0", "no metric pitturu_redy"),
        ("rate(node_load1[5m])", "no metric node_load1"),
        ("pitturu_ready_count > 0", "no metric pitturu_ready_count"),
        (
            "rate(pitturu_call_seconds[5m])",
            "no metric pitturu_call_seconds",
        ),
        ("pitturu_ready{kind=\"rooms\"}", "has no label kind"),
        ("pitturu_calls_total{outcome=\"late\"}", "never \"late\""),
        (
            "pitturu_calls_total{method=\"SendMesage\"}",
            "never \"SendMesage\"",
        ),
        (
            "pitturu_calls_total{outcome=~\"ok|late\"}",
            "never \"late\"",
        ),
        ("pitturu_calls_total{outcome=~\"f.*\"}", "never \"f.*\""),
        ("sum by (reason) (pitturu_ready)", "label reason"),
        ("sum(pitturu_ready) without (kind)", "label kind"),
        ("sum by (le) (pitturu_ready)", "label le"),
        ("1 + 2", "asks for nothing"),
    ] {
        let mistakes = Asked::by(expression).mistakes();
        assert_eq!(mistakes.len(), 1, "{expression}: {mistakes:?}");
        assert!(mistakes[0].contains(expected), "{expression}: {mistakes:?}");
    }
}

#[test]
fn what_exists_passes() {
    for expression in [
        "up{job=\"pitturu\"} == 0 or absent(up{job=\"pitturu\"})",
        "topk(10, sum by (method, outcome) (rate(pitturu_calls_total{outcome!=\"ok\", instance=~\".+\"}[5m])))",
        "histogram_quantile(0.99, sum by (le) (rate(pitturu_store_commit_seconds_bucket[5m] offset 1d))) > 2.5e-1",
        "pitturu_ready * on (job, instance) group_left (version) pitturu_build_info",
        "sum(rate(pitturu_store_commit_rows_sum[5m])) / sum(rate(pitturu_store_commit_rows_count[5m]))",
    ] {
        let mistakes = Asked::by(expression).mistakes();
        assert!(mistakes.is_empty(), "{expression}: {mistakes:?}");
    }
}
