//! A file of `src/` as the layout's test reads it: its tokens without comments, strings and tests, and the paths in them. Pure: no clock, no IO.

use std::collections::{BTreeMap, BTreeSet};

/// A module's path below the crate's root; the root's own is empty.
pub(super) type Module = Vec<String>;

/// One source file.
pub(super) struct Source {
    /// From the repository's root: `src/kafka/mod.rs`.
    pub file: String,
    pub module: Module,
    pub lines: usize,
    /// The lines that begin with `//!`, joined.
    pub docs: String,
    pub tokens: Vec<Token>,
}

/// A word, `::`, or one other character of the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub text: String,
    pub line: usize,
}

/// A path in the code, as it is written: `std::fs::read`, or one of those of `use std::{fs, io}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub segments: Vec<String>,
    pub line: usize,
    /// The inline modules around it.
    inside: Module,
    /// The name that `use` gives it here.
    name: Option<String>,
}

impl Source {
    pub(super) fn new(file: &str, text: &str) -> Self {
        let inner: Vec<_> = file.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
        let module = match inner[..] {
            ["lib"] => Vec::new(),
            [ref folders @ .., "mod"] => folders.iter().map(ToString::to_string).collect(),
            _ => inner.iter().map(ToString::to_string).collect(),
        };
        let docs: Vec<_> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let tokens = without_tests(&tokens(&without_text(text)));
        Self { file: file.to_owned(), module, lines: text.lines().count(), docs: docs.join("\n"), tokens }
    }

    /// Whether all of it is unit tests: `tests.rs` beside the code.
    pub(super) fn is_tests(&self) -> bool {
        self.module.last().is_some_and(|name| name == "tests")
    }

    /// All paths of two segments or more, and all that `use` names.
    pub(super) fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        let mut inside: Vec<(String, usize)> = Vec::new();
        let (mut depth, mut at) = (0, 0);
        while at < self.tokens.len() {
            match self.text(at) {
                "mod" if self.text(at + 2) == "{" => inside.push((self.text(at + 1).to_owned(), depth)),
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    inside.pop_if(|(_, outer)| *outer == depth);
                }
                word if is_word(word) && self.text(at + 1) == "::" && !self.is_inner(at) => {
                    let inside: Module = inside.iter().map(|(name, _)| name.clone()).collect();
                    let is_use = at > 0 && self.text(at - 1) == "use";
                    at = self.tree(at, &Vec::new(), &inside, is_use, &mut paths);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        paths
    }

    /// The modules of this crate that the paths name, with the line: each as long as it is written.
    pub(super) fn uses(&self, modules: &BTreeSet<Module>) -> Vec<(Module, usize)> {
        let paths = self.paths();
        let mut names: BTreeMap<&str, Module> = BTreeMap::new();
        for path in &paths {
            if let (Some(name), Some(full)) = (&path.name, self.full(path, modules, &BTreeMap::new()))
                && modules.contains(&full)
            {
                names.insert(name, full);
            }
        }
        let longest = |mut full: Module| {
            while !modules.contains(&full) {
                full.pop();
            }
            full
        };
        paths
            .iter()
            .filter_map(|path| Some((longest(self.full(path, modules, &names)?), path.line)))
            .collect()
    }

    /// The path from the crate's root, unless it leads to another crate.
    fn full(
        &self,
        path: &Path,
        modules: &BTreeSet<Module>,
        names: &BTreeMap<&str, Module>,
    ) -> Option<Module> {
        let mut full = [&self.module[..], &path.inside].concat();
        let mut rest = &path.segments[..];
        match rest[0].as_str() {
            "crate" => {
                full.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {}
            name => {
                let child = [&full[..], &rest[..1]].concat();
                if !modules.contains(&child) {
                    full.clone_from(names.get(name)?);
                    rest = &rest[1..];
                }
            }
        }
        for segment in rest {
            if segment == "super" {
                full.pop();
            } else {
                full.push(segment.clone());
            }
        }
        Some(full)
    }

    /// One path, or the tree of a `use`, that begins here; gives where it ends.
    fn tree(
        &self,
        mut at: usize,
        before: &[String],
        inside: &Module,
        is_use: bool,
        paths: &mut Vec<Path>,
    ) -> usize {
        let line = self.tokens[at].line;
        let mut segments = before.to_vec();
        loop {
            match self.text(at) {
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        let end = self.tree(at, &segments, inside, is_use, paths);
                        at = end + usize::from(end == at || self.text(end) == ",");
                    }
                    return at + 1;
                }
                "*" => at += 1,
                "self" if !segments.is_empty() => at += 1,
                word if is_word(word) => {
                    segments.push(word.to_owned());
                    at += 1;
                }
                // `::<` of a generic function, or what a macro's rule has there.
                _ => break,
            }
            if self.text(at) != "::" {
                break;
            }
            at += 1;
        }
        let renamed = is_use && self.text(at) == "as";
        let name = if renamed { Some(self.text(at + 1).to_owned()) } else { segments.last().cloned() };
        let name = name.filter(|_| is_use);
        paths.push(Path { segments, line, inside: inside.clone(), name });
        at + if renamed { 2 } else { 0 }
    }

    /// Whether the token goes on with something before it: `a::b`, `a.b`.
    fn is_inner(&self, at: usize) -> bool {
        at > 0 && matches!(self.text(at - 1), "::" | ".")
    }

    /// The token's text, empty past the end.
    pub(super) fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The code with spaces instead of comments, and of what is between quotes.
fn without_text(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_text(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|&c| if c == '\n' { c } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins here ends; `at` itself where none does.
fn end_of_text(chars: &[char], at: usize) -> usize {
    let get = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let find = |from: usize, found: &dyn Fn(usize) -> bool| {
        (from..chars.len()).find(|&at| found(at)).unwrap_or(chars.len())
    };
    let quoted = |from: usize, quote: char| {
        let mut at = from;
        while at < chars.len() && get(at) != quote {
            at += if get(at) == '\\' { 2 } else { 1 };
        }
        (at + 1).min(chars.len())
    };
    let is_raw = || {
        let before = if at == 0 { '\0' } else { get(at - 1) };
        !(before.is_alphanumeric() || before == '_')
            || (before == 'b' && (at < 2 || !get(at - 2).is_alphanumeric()))
    };
    match (get(at), get(at + 1)) {
        ('/', '/') => find(at, &|at| get(at) == '\n'),
        ('/', '*') => {
            let (mut depth, mut at) = (1, at + 2);
            while at < chars.len() && depth > 0 {
                match (get(at), get(at + 1)) {
                    ('/', '*') => (depth, at) = (depth + 1, at + 2),
                    ('*', '/') => (depth, at) = (depth - 1, at + 2),
                    _ => at += 1,
                }
            }
            at
        }
        ('"', _) => quoted(at + 1, '"'),
        ('\'', '\\') => quoted(at + 1, '\''),
        // Else it is a lifetime.
        ('\'', _) if get(at + 2) == '\'' => at + 3,
        ('r', '"' | '#') if is_raw() => {
            let open = find(at + 1, &|at| get(at) != '#');
            let hashes = open - at - 1;
            if get(open) != '"' {
                return at;
            }
            let closes = |at: usize| get(at) == '"' && (1..=hashes).all(|n| get(at + n) == '#');
            (find(open + 1, &closes) + hashes + 1).min(chars.len())
        }
        _ => at,
    }
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let end = match first {
                first if word(first) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                first => first.len_utf8(),
            };
            tokens.push(Token { text: rest[..end].to_owned(), line });
            rest = rest[end..].trim_start();
        }
    }
    tokens
}

/// The tokens without the items under `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is_test = |rest: &[Token]| {
        rest.len() >= TEST.len() && rest.iter().zip(TEST).all(|(token, text)| token.text == text)
    };
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_test(&tokens[at..]) {
            at = end_of_item(tokens, at + TEST.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Where the item that begins here ends: at its `;`, or with its braces where it has some.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    let (mut depth, mut braces_end_it) = (0, true);
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text.as_str() {
            "use" | "static" | "type" if depth == 0 => braces_end_it = false,
            "const" if depth == 0 => braces_end_it = tokens.get(at).is_some_and(|next| next.text == "fn"),
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 && braces_end_it {
                    break;
                }
            }
            ";" if depth == 0 => break,
            _ => {}
        }
    }
    at
}
