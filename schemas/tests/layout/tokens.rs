//! Rust code as tokens: comments and text can't deceive a rule, and macro bodies are looked into.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A file's tokens, without its `#[cfg(test)]` items.
pub(crate) struct Code {
    tokens: Vec<TokenTree>,
    /// Lines of the items that were left out.
    pub(crate) test_lines: Vec<RangeInclusive<usize>>,
    /// Modules among them that lie in files of their own.
    pub(crate) test_modules: Vec<String>,
}

/// A path that the code names, such as `std::env::var`. `use` lists are spelled out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

impl Code {
    /// Reads a file. The error names the line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let stream: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| {
            format!("line {}: {error}", error.span().start().line)
        })?;
        let mut tests = Vec::new();
        let tokens = without_tests(stream, &mut tests);
        Ok(Self {
            tokens,
            test_lines: tests.iter().map(|item| item.lines.clone()).collect(),
            test_modules: tests.into_iter().filter_map(|item| item.module).collect(),
        })
    }

    /// Every path of two or more segments, and single names that `use` brings in.
    pub(crate) fn paths(&self) -> Vec<NamedPath> {
        let mut found = Vec::new();
        find_paths(&self.tokens, &mut found);
        found
    }

    /// Every function with a body, nested ones too.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        find_functions(&self.tokens, &mut found);
        found
    }

    /// Lines on which these tokens stand in a row, brackets aside.
    pub(crate) fn lines_of(&self, row: &[&str]) -> Vec<usize> {
        let mut flat = Vec::new();
        flatten(&self.tokens, &mut flat);
        flat.windows(row.len())
            .filter(|window| window.iter().map(|(text, _)| text).eq(row))
            .map(|window| window[0].1)
            .collect()
    }
}

fn is_punct(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

fn line_of(token: &TokenTree) -> usize {
    token.span().start().line
}

/// `cfg(test)` and `cfg(all(test, …))`.
fn is_test_attribute(group: &Group) -> bool {
    let text = group.stream().to_string().replace(' ', "");
    group.delimiter() == Delimiter::Bracket
        && (text == "cfg(test)" || text.starts_with("cfg(all(test,"))
}

/// A `#[cfg(test)]` item.
struct TestItem {
    lines: RangeInclusive<usize>,
    /// The name of a module without a body.
    module: Option<String>,
}

fn without_tests(stream: TokenStream, left_out: &mut Vec<TestItem>) -> Vec<TokenTree> {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut kept = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        if let (true, Some(TokenTree::Group(group))) =
            (is_punct(tokens.get(index), '#'), tokens.get(index + 1))
            && is_test_attribute(group)
        {
            let end = item_end(&tokens, index + 2);
            left_out.push(TestItem {
                lines: line_of(&tokens[index])..=tokens[end].span().end().line,
                module: module_declared(&tokens[index..=end]),
            });
            index = end + 1;
            continue;
        }
        kept.push(match &tokens[index] {
            TokenTree::Group(group) => {
                let inner = without_tests(group.stream(), left_out);
                let mut copy = Group::new(group.delimiter(), inner.into_iter().collect());
                copy.set_span(group.span());
                TokenTree::Group(copy)
            }
            other => other.clone(),
        });
        index += 1;
    }
    kept
}

/// `name` of an item that ends with `mod name;`.
fn module_declared(item: &[TokenTree]) -> Option<String> {
    match item {
        [.., keyword, TokenTree::Ident(name), end]
            if is_word(Some(keyword), "mod") && is_punct(Some(end), ';') =>
        {
            Some(name.to_string())
        }
        _ => None,
    }
}

/// Index of the last token of the item that begins at `start`: its body, or its semicolon.
fn item_end(tokens: &[TokenTree], start: usize) -> usize {
    let mut ends_with_semicolon = false;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token {
            TokenTree::Ident(word) if word == "use" || word == "const" || word == "static" => {
                ends_with_semicolon = true;
            }
            TokenTree::Ident(word) if word == "fn" => ends_with_semicolon = false,
            TokenTree::Punct(punct) if punct.as_char() == ';' => return index,
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Brace && !ends_with_semicolon =>
            {
                return index;
            }
            _ => {}
        }
    }
    tokens.len() - 1
}

fn find_paths(tokens: &[TokenTree], found: &mut Vec<NamedPath>) {
    let mut index = 0;
    while index < tokens.len() {
        let imported = index > 0
            && (is_word(tokens.get(index - 1), "use") || is_word(tokens.get(index - 1), "crate"));
        match &tokens[index] {
            TokenTree::Ident(word) if word == "use" => {
                index = skip_colons(tokens, index + 1);
                if let Some(TokenTree::Group(group)) = tokens.get(index) {
                    spell_out(&[], group, found);
                    index += 1;
                } else {
                    index = read_path(tokens, index, &[], true, found);
                }
            }
            TokenTree::Ident(_) => index = read_path(tokens, index, &[], imported, found),
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                find_paths(&inner, found);
                index += 1;
            }
            _ => index += 1,
        }
    }
}

fn skip_colons(tokens: &[TokenTree], index: usize) -> usize {
    if is_punct(tokens.get(index), ':') && is_punct(tokens.get(index + 1), ':') {
        index + 2
    } else {
        index
    }
}

/// Reads the path that begins at `start` and returns the index after it.
fn read_path(
    tokens: &[TokenTree],
    start: usize,
    before: &[String],
    keep_single: bool,
    found: &mut Vec<NamedPath>,
) -> usize {
    let Some(first) = tokens.get(start) else {
        return start;
    };
    let line = line_of(first);
    let mut segments = before.to_vec();
    let mut index = start;
    while let Some(TokenTree::Ident(word)) = tokens.get(index) {
        if word != "self" || segments.is_empty() {
            segments.push(word.to_string());
        }
        let after = skip_colons(tokens, index + 1);
        if after == index + 1 {
            index = after;
            break;
        }
        index = after;
        if let Some(TokenTree::Group(group)) = tokens.get(index)
            && group.delimiter() == Delimiter::Brace
        {
            spell_out(&segments, group, found);
            return index + 1;
        }
    }
    if segments.len() > 1 || (keep_single && !segments.is_empty()) {
        found.push(NamedPath { segments, line });
    }
    index.max(start + 1)
}

/// The members of a `use` list.
fn spell_out(before: &[String], group: &Group, found: &mut Vec<NamedPath>) {
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    for member in tokens.split(|token| is_punct(Some(token), ',')) {
        read_path(member, skip_colons(member, 0), before, true, found);
    }
}

fn find_functions(tokens: &[TokenTree], found: &mut Vec<Function>) {
    for (index, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            find_functions(&inner, found);
        }
        if !is_word(Some(token), "fn") {
            continue;
        }
        let Some(TokenTree::Ident(name)) = tokens.get(index + 1) else {
            continue;
        };
        let body = tokens[index..].iter().find(|token| {
            is_punct(Some(token), ';')
                || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
        });
        if let Some(TokenTree::Group(body)) = body {
            let line = line_of(token);
            found.push(Function {
                name: name.to_string(),
                line,
                lines: body.span_close().end().line + 1 - line,
            });
        }
    }
}

fn flatten(tokens: &[TokenTree], flat: &mut Vec<(String, usize)>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                flatten(&inner, flat);
            }
            other => flat.push((other.to_string(), line_of(other))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let code = Code::parse(text).expect("the sample is Rust");
        code.paths()
            .iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn use_lists_are_spelled_out() {
        assert_eq!(
            paths("use std::{env, fs::{self, File}, io};"),
            ["std::env", "std::fs", "std::fs::File", "std::io"]
        );
        assert_eq!(paths("use tokio;"), ["tokio"]);
        assert_eq!(paths("use tokio as t;"), ["tokio"]);
        assert_eq!(paths("use {::tokio, rand};"), ["tokio", "rand"]);
        assert_eq!(paths("extern crate tokio;"), ["tokio"]);
        assert_eq!(paths("pub(crate) use ::tokio::*;"), ["tokio"]);
    }

    #[test]
    fn paths_are_found_in_expressions_types_and_macros() {
        assert_eq!(
            paths("fn f() { g(std::env::var(NAME)); }"),
            ["std::env::var"]
        );
        assert_eq!(
            paths("struct S(Vec<tokio::task::Id>);"),
            ["tokio::task::Id"]
        );
        assert_eq!(paths("m! { a => std::fs::read(x) }"), ["std::fs::read"]);
    }

    #[test]
    fn comments_text_and_tests_are_not_code() {
        assert!(paths("// std::env\n/// std::env::var\nfn f() { \"std::env\"; }").is_empty());
        assert!(paths("#[cfg(test)] mod tests { use tokio::net; }").is_empty());
        assert!(paths("#[cfg(test)] use tokio::{net, io};").is_empty());
        assert_eq!(
            paths("#[cfg(test)] mod t; use a::b;"),
            ["a::b"],
            "what follows a test item stays"
        );
    }

    #[test]
    fn test_modules_in_files_are_named() {
        let text = "#[cfg(test)]\npub(crate) mod a;\nmod b;\n#[cfg(test)] mod c {}";
        let code = Code::parse(text).expect("the sample is Rust");
        assert_eq!(code.test_modules, ["a"]);
    }

    #[test]
    fn functions_are_measured_with_signature_and_braces() {
        let code = Code::parse("impl A {\n fn f(\n  x: u8,\n ) {\n }\n}\nfn g();")
            .expect("the sample is Rust");
        assert_eq!(
            code.functions(),
            [Function {
                name: "f".into(),
                line: 2,
                lines: 4
            }]
        );
    }
}
