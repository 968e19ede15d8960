//! Answers as text for people, or as JSON for programs.

use std::io::{self, Write};

use pitturu_client::one_line;
use pitturu_text::plain::plain;
use serde_json::{Map, Value};

use crate::times;

/// Prints an answer. An empty one is `done`.
pub(crate) fn print(out: &mut impl Write, answer: &Value, is_json: bool) -> io::Result<()> {
    if is_json {
        // It means the same: such characters are found in strings alone.
        return writeln!(out, "{}", plain(&format!("{answer:#}"), true, false));
    }
    let lines = match answer {
        Value::Object(fields) if !fields.is_empty() => object(fields),
        Value::Array(rows) => table(rows),
        _ => vec!["done".to_owned()],
    };
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// A line for each field; lists of objects as tables behind them.
fn object(fields: &Map<String, Value>) -> Vec<String> {
    let flat = flattened(fields);
    let width = flat.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut lines: Vec<String> = flat
        .iter()
        .map(|(name, text)| format!("{name:<width$}  {text}").trim_end().to_owned())
        .collect();
    for (name, value) in fields {
        if let Value::Array(rows) = value {
            lines.push(String::new());
            lines.push(format!("{name} ({})", rows.len()));
            lines.extend(table(rows).into_iter().map(|line| format!("  {line}")));
        }
    }
    lines
}

/// Where the column of a field stands: what tells rows apart first, who and what next, digests last.
fn place_of(field: &str) -> usize {
    const FIRST: [&str; 8] = ["number", "seq", "at", "act", "by", "user", "room", "name"];
    const LAST: [&str; 4] = ["salt", "details", "previous", "digest"];
    let name = field.rsplit('.').next().unwrap_or(field);
    let first = FIRST.iter().position(|known| *known == name);
    let last = LAST.iter().position(|known| *known == name);
    let last = last.map(|place| FIRST.len() + 1 + place);
    first.or(last).unwrap_or(FIRST.len())
}

/// A column for each field that any of them has.
fn table(rows: &[Value]) -> Vec<String> {
    let rows: Vec<Vec<(String, String)>> = rows
        .iter()
        .map(|row| match row {
            Value::Object(fields) => flattened(fields),
            other => vec![(String::new(), cell("", other))],
        })
        .collect();
    let mut columns: Vec<(&str, usize)> = Vec::new();
    for (name, text) in rows.iter().flatten() {
        let width = text.chars().count().max(name.chars().count());
        match columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, widest)) => *widest = width.max(*widest),
            None => columns.push((name, width)),
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    columns.sort_by_key(|(name, _)| (place_of(name), *name));
    let line = |texts: &dyn Fn(&str) -> String| {
        let cells = columns
            .iter()
            .map(|(name, width)| format!("{:<width$}", texts(name)));
        let cells: Vec<String> = cells.collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&|name: &str| name.to_owned())];
    lines.extend(rows.iter().map(|row| {
        line(&|name: &str| {
            let found = row.iter().find(|(known, _)| known == name);
            found.map(|(_, text)| text.clone()).unwrap_or_default()
        })
    }));
    lines
}

/// The fields that are no lists, those of inner objects under both names.
fn flattened(fields: &Map<String, Value>) -> Vec<(String, String)> {
    let mut flat = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Object(inner) => flat.extend(
                flattened(inner)
                    .into_iter()
                    .map(|(inner, text)| (format!("{name}.{inner}"), text)),
            ),
            Value::Array(_) => {}
            value => flat.push((name.clone(), cell(name, value))),
        }
    }
    flat
}

/// A single value. What strangers wrote may not move the cursor or change colours.
fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => one_line(text),
        Value::Number(number) => {
            let is_time = name == "at" || name == "until" || name.ends_with("_at");
            let shown = number
                .as_u64()
                .filter(|ms| is_time && *ms > 0)
                .and_then(times::shown);
            shown.unwrap_or_else(|| number.to_string())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(answer: &Value) -> String {
        let mut out = Vec::new();
        print(&mut out, answer, false).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn answers_are_lines_and_lists_are_tables() {
        let answer = json!({
            "role": "player",
            "profile": {"user": "0123456789abcdef", "name": "Mi\u{1b}[31mna"},
            "sessions": [
                {"session": "a", "device": "phone", "used_at": 1_800_000_000_000_u64},
                {"session": "second", "used_at": 1_800_000_001_000_u64},
            ],
        });
        let shown = text(&answer);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(shown.contains("role"), "{shown}");
        assert!(shown.contains("profile.user  0123456789abcdef"), "{shown}");
        assert!(shown.contains("sessions (2)"), "{shown}");
        let row = shown.lines().find(|line| line.contains("second")).unwrap();
        assert!(row.contains("2027-01-15T08:00:01Z"), "{row}");
        assert_eq!(text(&json!({})), "done\n");
    }

    #[test]
    fn entries_of_the_audit_log_begin_with_what_is_looked_for_and_end_with_digests() {
        let record = json!({
            "digest": "d1",
            "details": {"reason": "spam", "salt": "s", "address": "192.0.2.1"},
            "entry": {"number": 7, "previous": "d0", "at": 1_800_000_000_000_u64,
                "act": "suspended", "by": "staff", "user": "player", "details": "d2"},
        });
        let shown = text(&json!({"entries": [record]}));
        let columns = shown.lines().nth(2).unwrap().split_whitespace();
        let columns: Vec<&str> = columns.collect();
        let expected = [
            "entry.number",
            "entry.at",
            "entry.act",
            "entry.by",
            "entry.user",
            "details.address",
            "details.reason",
            "details.salt",
            "entry.details",
            "entry.previous",
            "digest",
        ];
        assert_eq!(columns, expected);
    }

    #[test]
    fn json_is_what_the_server_said() {
        let answer = json!({"at": 5, "name": "\u{1b}"});
        let mut out = Vec::new();
        print(&mut out, &answer, true).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), answer);
    }

    #[test]
    fn json_commands_no_terminal_and_turns_no_writing_around() {
        let ranges = [
            0..0x20,
            0x7f..0xa0,
            0x61c..0x61d,
            0x200e..0x2010,
            0x2028..0x202f,
            0x2066..0x206a,
        ];
        let bad: String = ranges
            .into_iter()
            .flatten()
            .filter_map(char::from_u32)
            .collect();
        let answer =
            json!({"text": format!("a{bad}b \u{1f468}\u{200d}\u{1f469} é"), bad.as_str(): [bad]});
        let mut out = Vec::new();
        print(&mut out, &answer, true).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), answer);
        let shown = String::from_utf8(out).unwrap();
        let left: Vec<char> = shown
            .chars()
            .filter(|&char| char != '\n' && bad.contains(char))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(shown.contains("\u{1f468}\u{200d}\u{1f469} é"), "{shown}");
        assert!(
            shown.contains("\\u009b") && shown.contains("\\u202e"),
            "{shown}"
        );
    }
}
