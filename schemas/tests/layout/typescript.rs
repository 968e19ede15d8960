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
    let script = Script::read(&source.text);
    for (index, line) in script.code.lines().enumerate() {
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

/// A file without its comments, its quoted texts apart.
pub(crate) struct Script {
    /// The same lines, with comments and the insides of quotes blanked. What stands between back-ticks is blanked
    /// whole, `${…}` included.
    code: String,
    /// Where in the code each quoted text begins, and the text.
    texts: Vec<(usize, String)>,
}

impl Script {
    pub(crate) fn read(text: &str) -> Self {
        let mut code = String::with_capacity(text.len());
        let mut texts = Vec::new();
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
                    let start = code.len();
                    code.push(quote);
                    let mut quoted = String::new();
                    while let Some(letter) = letters.next() {
                        match letter {
                            '\\' => drop(letters.next()),
                            '\n' => code.push('\n'),
                            _ => {}
                        }
                        if letter == quote || (letter == '\n' && quote != '`') {
                            break;
                        }
                        quoted.push(letter);
                    }
                    code.push(quote);
                    texts.push((start, quoted));
                }
                _ => code.push(letter),
            }
        }
        Self { code, texts }
    }

    /// What the file imports and passes on, types too, each with its line.
    pub(crate) fn imports(&self) -> impl Iterator<Item = (usize, &str)> {
        self.texts.iter().filter_map(|(start, text)| {
            let before = &self.code[..*start];
            let line = before.matches('\n').count() + 1;
            let before = before.trim_end();
            let called = before.strip_suffix('(').map(str::trim_end);
            let imported = ends_with_word(before, "from") || ends_with_word(before, "import");
            let imported = imported || called.is_some_and(|code| ends_with_word(code, "import"));
            imported.then_some((line, text.as_str()))
        })
    }
}

fn ends_with_word(code: &str, word: &str) -> bool {
    code.strip_suffix(word)
        .is_some_and(|before| !before.ends_with(|letter: char| letter.is_alphanumeric()))
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
    fn imports_are_found_in_every_form() {
        let text = "\
            import type { A } from './a.js';\n\
            import {\n  b,\n} from \"./b.js\";\n\
            export * from './c.js'; // from './no.js'\n\
            import './d.js';\n\
            type E = import('./e.js').E; const f = await import( './f.js' );\n\
            const no = platform + './no.js'; copy_from('./no.js'); reform './no.js';\n\
            /* import './no.js' */ const text = `import './no.js'`;\n";
        let script = Script::read(text);
        let found: Vec<(usize, &str)> = script.imports().collect();
        assert_eq!(
            found,
            [
                (1, "./a.js"),
                (4, "./b.js"),
                (5, "./c.js"),
                (6, "./d.js"),
                (7, "./e.js"),
                (7, "./f.js"),
            ]
        );
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
