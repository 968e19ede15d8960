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
    /// The modules with a body, `mod name { … }`, around it in its file, from outside to inside.
    pub(crate) inside: Vec<String>,
    /// The name that `use` gives to what the path names: `*` for all that is in it. Absent where it is not brought in.
    pub(crate) brought_in_as: Option<String>,
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
        let mut paths = Paths::default();
        paths.find(&self.tokens);
        paths.found
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

/// Collects paths.
#[derive(Default)]
struct Paths {
    /// The modules around what is read.
    inside: Vec<String>,
    found: Vec<NamedPath>,
}

impl Paths {
    fn find(&mut self, tokens: &[TokenTree]) {
        let mut index = 0;
        while index < tokens.len() {
            let brought_in = index > 0
                && (is_word(tokens.get(index - 1), "use")
                    || is_word(tokens.get(index - 1), "crate"));
            match &tokens[index] {
                TokenTree::Ident(word) if word == "use" => {
                    index = skip_colons(tokens, index + 1);
                    if let Some(TokenTree::Group(group)) = tokens.get(index) {
                        self.spell_out(&[], group);
                        index += 1;
                    } else {
                        index = self.read(tokens, index, &[], true);
                    }
                }
                TokenTree::Ident(word) if word == "mod" => index = self.enter(tokens, index),
                TokenTree::Ident(_) => index = self.read(tokens, index, &[], brought_in),
                TokenTree::Group(group) => {
                    self.find(&tokens_of(group));
                    index += 1;
                }
                TokenTree::Literal(literal) => {
                    let line = line_of(&tokens[index]);
                    if let Some(segments) = path_in_text(&literal.to_string()) {
                        self.add(segments, line, None);
                    }
                    index += 1;
                }
                TokenTree::Punct(_) => index += 1,
            }
        }
    }

    /// Reads the module declared at `start` and returns the index after it.
    fn enter(&mut self, tokens: &[TokenTree], start: usize) -> usize {
        if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
            (tokens.get(start + 1), tokens.get(start + 2))
        {
            self.inside.push(name.to_string());
            self.find(&tokens_of(body));
            self.inside.pop();
            return start + 3;
        }
        start + 1
    }

    /// Reads the path that begins at `start` and returns the index after it.
    fn read(
        &mut self,
        tokens: &[TokenTree],
        start: usize,
        before: &[String],
        brought_in: bool,
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
                self.spell_out(&segments, group);
                return index + 1;
            }
        }
        if segments.len() > 1 || (brought_in && !segments.is_empty()) {
            let name = match (tokens.get(index), tokens.get(index + 1)) {
                (star, _) if is_punct(star, '*') => Some("*".to_owned()),
                (word, Some(TokenTree::Ident(name))) if is_word(word, "as") => {
                    Some(name.to_string())
                }
                _ => segments.last().cloned(),
            };
            self.add(segments, line, name.filter(|_| brought_in));
        }
        index.max(start + 1)
    }

    /// The members of a `use` list.
    fn spell_out(&mut self, before: &[String], group: &Group) {
        for member in tokens_of(group).split(|token| is_punct(Some(token), ',')) {
            self.read(member, skip_colons(member, 0), before, true);
        }
    }

    fn add(&mut self, segments: Vec<String>, line: usize, brought_in_as: Option<String>) {
        self.found.push(NamedPath {
            segments,
            line,
            inside: self.inside.clone(),
            brought_in_as,
        });
    }
}

fn tokens_of(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn skip_colons(tokens: &[TokenTree], index: usize) -> usize {
    if is_punct(tokens.get(index), ':') && is_punct(tokens.get(index + 1), ':') {
        index + 2
    } else {
        index
    }
}

/// The path of a text that is nothing but a path of this crate, as attributes take it: `"crate::wire::as_text"`.
fn path_in_text(literal: &str) -> Option<Vec<String>> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let segments: Vec<String> = text.split("::").map(str::to_owned).collect();
    let is_name = |name: &String| {
        !name.is_empty()
            && name
                .chars()
                .all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    let begins_here = matches!(&*segments[0], "crate" | "self" | "super");
    (begins_here && segments.len() > 1 && segments.iter().all(is_name)).then_some(segments)
}

fn find_functions(tokens: &[TokenTree], found: &mut Vec<Function>) {
    for (index, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            find_functions(&tokens_of(group), found);
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
                flatten(&tokens_of(group), flat);
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
    fn paths_of_this_crate_are_found_in_the_text_of_attributes() {
        assert_eq!(
            paths("#[serde(with = \"crate::wire::as_text\")] struct S;"),
            ["crate::wire::as_text"]
        );
        for text in [
            "f(\"crate::\")",
            "f(\"crate\")",
            "f(\"see crate::wire\")",
            "f(\"std::env\")",
        ] {
            assert!(paths(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn paths_know_their_place_and_what_they_bring_in() {
        let text = "use a::{b, c as d, e::{self, *}};\nmod m { mod n { use super::x; } fn f() { g::h as u8; } }";
        let code = Code::parse(text).expect("the sample is Rust");
        let found: Vec<(String, String, Option<String>)> = code
            .paths()
            .into_iter()
            .map(|path| {
                (
                    path.inside.join("::"),
                    path.segments.join("::"),
                    path.brought_in_as,
                )
            })
            .collect();
        let expected = [
            ("", "a::b", Some("b")),
            ("", "a::c", Some("d")),
            ("", "a::e", Some("e")),
            ("", "a::e", Some("*")),
            ("m::n", "super::x", Some("x")),
            ("m", "g::h", None),
        ]
        .map(|(inside, path, name)| (inside.to_owned(), path.to_owned(), name.map(str::to_owned)));
        assert_eq!(found, expected);
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
