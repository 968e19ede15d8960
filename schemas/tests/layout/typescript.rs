//! TypeScript stays typed: no `any`, no switched-off checks.

use crate::sources::{Source, Violation};

/// Comments that switch a check off.
const SWITCHES: &[&str] = &["@ts-ignore", "@ts-nocheck", "eslint-disable"];

pub(crate) fn check(source: &Source) -> Vec<Violation> {
    if !source.is_script() {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for switch in SWITCHES.iter().filter(|switch| line.contains(**switch)) {
            let message = format!("{switch}: correct the code instead");
            violations.push(Violation::new("typescript", source, index + 1, message));
        }
    }
    let code = without_comments_and_text(&source.text);
    for (index, line) in code.lines().enumerate() {
        if names_any(line) {
            let message = "any: use unknown and narrow it, or a type of its own";
            violations.push(Violation::new("typescript", source, index + 1, message));
        }
    }
    violations
}

/// Whether `any` stands as a type: `Promise.any(…)` and `{ any: 1 }` do not count.
fn names_any(line: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    line.match_indices("any").any(|(start, word)| {
        let before = line[..start].trim_end();
        let after = line[start + word.len()..].trim_start();
        let whole =
            !line[..start].ends_with(is_part) && !line[start + word.len()..].starts_with(is_part);
        whole && !before.ends_with('.') && !after.starts_with(['(', ':', '?'])
    })
}

/// The same lines, with comments and the insides of quotes blanked. What stands between back-ticks is blanked
/// whole, `${…}` included.
fn without_comments_and_text(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('/', Some('/')) => while letters.next_if(|&letter| letter != '\n').is_some() {},
            ('/', Some('*')) => {
                let mut before = ' ';
                for letter in letters.by_ref().skip(1) {
                    if letter == '\n' {
                        code.push('\n');
                    }
                    if before == '*' && letter == '/' {
                        break;
                    }
                    before = letter;
                }
            }
            (quote @ ('"' | '\'' | '`'), _) => {
                code.push(quote);
                while let Some(letter) = letters.next() {
                    match letter {
                        '\\' => drop(letters.next()),
                        '\n' => code.push('\n'),
                        _ => {}
                    }
                    if letter == quote || (letter == '\n' && quote != '`') {
                        break;
                    }
                }
                code.push(quote);
            }
            _ => code.push(letter),
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        check(&Source::new("client-sdk/typescript/src/a.ts", text)).len()
    }

    #[test]
    fn any_is_found_as_a_type() {
        for text in [
            "let a: any;",
            "f(a as any)",
            "const m: Map<string, any> = b",
            "type T = any | string",
            "function f(a: any[]) {}",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
    }

    #[test]
    fn any_is_a_word_elsewhere() {
        for text in [
            "// any of them\n/* any\n any */",
            "const company = many",
            "throw new Error('any of \\'any\\'')",
            "await Promise.any(all)",
            "const a = `any ${b}`",
            "signals.any",
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
    }

    #[test]
    fn switched_off_checks_are_found_with_their_line() {
        for switch in SWITCHES {
            let text = format!("a\n// {switch}\nb");
            let found = check(&Source::new("client-sdk/typescript/src/a.ts", &text));
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].line, 2);
        }
        assert_eq!(found("const a = 1 // eslint"), 0);
    }
}
