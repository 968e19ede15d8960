//! Masks secrets in log lines, whoever wrote them.
//!
//! Masked are the values of fields whose name contains one of `SECRET_NAMES`, as `name=value`, `name: value` or in JSON,
//! and everything that looks like a JWT or a token of the server's own.

use std::borrow::Cow;
use std::ops::Range;

/// Parts of field names whose values stay out of the logs.
const SECRET_NAMES: [&str; 6] = [
    "token",
    "password",
    "secret",
    "authorization",
    "email",
    "cookie",
];

/// Words before the secret in an `Authorization` value.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// Stands for what was masked.
const MASK: &str = "[masked]";

/// Stands for a number or an object in JSON, which has to stay JSON.
const MASK_IN_JSON: &str = "\"[masked]\"";

/// How every JWT begins, with `{"` in base 64, and the tokens that refresh a session and reset a password.
const TOKEN_STARTS: [&str; 3] = ["eyJ", "pr1.", "pp1."];

/// A part of the line that is replaced.
struct Secret {
    place: Range<usize>,
    by: &'static str,
}

/// The line without its secrets.
pub fn mask(line: &str) -> Cow<'_, str> {
    if !is_suspicious(line) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut done = 0;
    while let Some(secret) = next_secret(line, done) {
        out.push_str(&line[done..secret.place.start]);
        out.push_str(secret.by);
        done = secret.place.end;
    }
    out.push_str(&line[done..]);
    Cow::Owned(out)
}

fn is_suspicious(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    TOKEN_STARTS.iter().any(|start| line.contains(start))
        || SECRET_NAMES.iter().any(|name| lower.contains(name))
}

/// The first value from `from` on that has to be masked.
fn next_secret(text: &str, from: usize) -> Option<Secret> {
    text[from..].char_indices().find_map(|(offset, letter)| {
        let at = from + offset;
        let found = match letter {
            '=' | ':' => named_value(text, at),
            'e' | 'p' => token(text, at),
            _ => None,
        };
        found.filter(|secret| !secret.place.is_empty())
    })
}

/// The value after the separator at `at`, if the name before it is a secret's.
fn named_value(text: &str, at: usize) -> Option<Secret> {
    let before = text[..at].trim_end_matches(['"', '\\', ' ']);
    let name_start = before
        .rfind(|letter: char| !letter.is_ascii_alphanumeric() && !"_-.".contains(letter))
        .map_or(0, |separator| separator + 1);
    let name = before.get(name_start..)?.to_ascii_lowercase();
    if !SECRET_NAMES.iter().any(|secret| name.contains(secret)) {
        return None;
    }
    let value = text[at + 1..].trim_start_matches(' ');
    let start = text.len() - value.len();
    for quote in ["\\\"", "\"", "'"] {
        if let Some(quoted) = value.strip_prefix(quote) {
            let start = start + quote.len();
            return masked(text, start..start + end_of_quoted(quoted, quote), MASK);
        }
    }
    let mut end = start + end_of_value(value);
    if SCHEMES.contains(&text[start..end].to_ascii_lowercase().as_str()) {
        let after = text[end..].trim_start_matches(' ');
        end = text.len() - after.len() + end_of_value(after);
    }
    let in_json = before.len() + 1 == at && text[before.len()..].starts_with("\":");
    let by = if in_json { MASK_IN_JSON } else { MASK };
    masked(text, start..end, by)
}

fn masked(text: &str, place: Range<usize>, by: &'static str) -> Option<Secret> {
    (text[place.clone()] != *MASK).then_some(Secret { place, by })
}

fn end_of_quoted(text: &str, quote: &str) -> usize {
    let mut from = 0;
    while let Some(found) = text[from..].find(quote) {
        let at = from + found;
        let backslashes = text[..at].len() - text[..at].trim_end_matches('\\').len();
        if backslashes.is_multiple_of(2) {
            return at;
        }
        from = at + quote.len();
    }
    text.len()
}

/// A word, with everything in its brackets: `Some("x")`, `{..}`.
fn end_of_value(text: &str) -> usize {
    let mut depth = 0u32;
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let after = at + letter.len_utf8();
        let quote = ["\\\"", "\""]
            .into_iter()
            .find(|quote| depth > 0 && text[at..].starts_with(quote));
        if let Some(quote) = quote {
            let inside = at + quote.len();
            let end = inside + end_of_quoted(&text[inside..], quote);
            at = (end + quote.len()).min(text.len());
            continue;
        }
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return at,
            ')' | ']' | '}' if depth == 1 => return after,
            ')' | ']' | '}' => depth -= 1,
            _ if depth > 0 => {}
            _ if letter.is_whitespace() || ",;&\"\\".contains(letter) => return at,
            _ => {}
        }
        at = after;
    }
    text.len()
}

/// Three runs of base 64 joined by points.
/// A JWT, or a refresh or reset token, of three parts each.
fn token(text: &str, at: usize) -> Option<Secret> {
    let token = &text[at..];
    if !TOKEN_STARTS.iter().any(|start| token.starts_with(start)) {
        return None;
    }
    let length = token
        .find(|letter: char| !letter.is_ascii_alphanumeric() && !"_-.".contains(letter))
        .unwrap_or(token.len());
    let parts = token[..length].split('.').filter(|part| part.len() >= 2);
    let place = at..at + length;
    (parts.count() >= 3).then_some(Secret { place, by: MASK })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";

    #[test]
    fn secrets_are_masked() {
        for (line, masked) in [
            (
                r#"{"level":"INFO","token":"abc.def","user":"u"}"#,
                r#"{"level":"INFO","token":"[masked]","user":"u"}"#,
            ),
            (
                r#"{"refresh_token": "a\"b", "n": 1}"#,
                r#"{"refresh_token": "[masked]", "n": 1}"#,
            ),
            (
                r#"{"password":12345,"n":1}"#,
                r#"{"password":"[masked]","n":1}"#,
            ),
            (
                r#"{"tokens":["a","b}"],"secrets":{"x":{"y":"z"}},"n":1}"#,
                r#"{"tokens":"[masked]","secrets":"[masked]","n":1}"#,
            ),
            (
                r#"WARN x: email=Some("a) b@c.d") user=u"#,
                "WARN x: email=[masked] user=u",
            ),
            (
                r#"{"message":"email=Some(\"a@b.c\") left"}"#,
                r#"{"message":"email=[masked] left"}"#,
            ),
            ("INFO x: token=abc user=u", "INFO x: token=[masked] user=u"),
            (
                r#"INFO x: email="a@b.c" user=u"#,
                r#"INFO x: email="[masked]" user=u"#,
            ),
            (
                "got Authorization: Bearer abc.def from x",
                "got Authorization: [masked] from x",
            ),
            (
                r#"{"message":"reset_token=\"abc\" sent"}"#,
                r#"{"message":"reset_token=\"[masked]\" sent"}"#,
            ),
            (
                "url?access_token=abc&x=1 client-secret: 's e c' end",
                "url?access_token=[masked]&x=1 client-secret: '[masked]' end",
            ),
        ] {
            assert_eq!(mask(line), masked);
        }
    }

    #[test]
    fn tokens_are_masked_wherever_they_stand() {
        for own in [
            "pr1.0123456789abcdef.c2VjcmV0",
            "pp1.0123456789abcdef.c2VjcmV0",
        ] {
            let masked = mask(&format!("field: unknown `{own}`, sorry")).into_owned();
            assert_eq!(masked, "field: unknown `[masked]`, sorry");
        }
        assert_eq!(mask("pr1. is no token."), "pr1. is no token.");
        assert_eq!(
            mask(&format!("bad key for {JWT}, sorry")),
            "bad key for [masked], sorry"
        );
        assert_eq!(mask(&format!(r#"{{"x":"{JWT}"}}"#)), r#"{"x":"[masked]"}"#);
        assert_eq!(mask("eyJ is no token."), "eyJ is no token.");
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        for line in [
            "",
            "token expired",
            r#"{"message":"the password was wrong","code":"wrong_credentials"}"#,
            "listening on 127.0.0.1:7350",
            "토큰=값 비밀",
        ] {
            assert_eq!(mask(line), line);
        }
    }

    #[test]
    fn masking_twice_changes_nothing() {
        let once = mask("token=abc password=\"x y\" email: a@b.c").into_owned();
        assert_eq!(mask(&once), once);
        assert!(!once.contains("abc") && !once.contains("x y") && !once.contains("a@b"));
    }
}
