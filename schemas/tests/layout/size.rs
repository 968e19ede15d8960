//! No long files, no long functions.

use crate::sources::{Source, Violation};
use crate::tokens::Code;

/// Most lines of a source file, tests aside.
const FILE_LINES_MAX: usize = 500;

/// Most lines of a function, signature and braces included.
const FUNCTION_LINES_MAX: usize = 70;

pub(crate) fn check(source: &Source) -> Vec<Violation> {
    if source.is_test() || source.is_generated() {
        return Vec::new();
    }
    if source.is_rust() {
        // A file that does not parse is reported by the boundaries.
        return Code::parse(&source.text)
            .map(|code| check_rust(source, &code))
            .unwrap_or_default();
    }
    if source.is_script() {
        return check_file(source, source.text.lines().count());
    }
    Vec::new()
}

fn check_rust(source: &Source, code: &Code) -> Vec<Violation> {
    let tested: usize = code
        .test_lines
        .iter()
        .map(|lines| lines.end() + 1 - lines.start())
        .sum();
    let mut violations = check_file(source, source.text.lines().count() - tested);
    for function in code.functions() {
        if function.lines > FUNCTION_LINES_MAX {
            let message = format!(
                "{} has {} lines: at most {FUNCTION_LINES_MAX}",
                function.name, function.lines
            );
            violations.push(Violation::new("size", source, function.line, message));
        }
    }
    violations
}

fn check_file(source: &Source, lines: usize) -> Vec<Violation> {
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let message = format!("{lines} lines: at most {FILE_LINES_MAX}");
    vec![Violation::new("size", source, 0, message)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn long_files_are_found_and_tests_do_not_count() {
        let line = "const A: u8 = 0;\n";
        assert_eq!(found("server/src/a.rs", &line.repeat(500)), 0);
        assert_eq!(found("server/src/a.rs", &line.repeat(501)), 1);
        let tested = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            line.repeat(500),
            line.repeat(9)
        );
        assert_eq!(found("server/src/a.rs", &tested), 0);
        assert_eq!(found("server/tests/a.rs", &line.repeat(501)), 0);
        assert_eq!(
            found("client-sdk/typescript/src/a.ts", &"a;\n".repeat(501)),
            1
        );
    }

    #[test]
    fn long_functions_are_found() {
        let function =
            |lines: usize| format!("impl A {{ fn f() {{\n{}}} }}", "a();\n".repeat(lines));
        assert_eq!(found("server/src/a.rs", &function(68)), 0);
        assert_eq!(found("server/src/a.rs", &function(70)), 1);
    }
}
