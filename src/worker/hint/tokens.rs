//! The words and operators of a shell script, as far as its loops and redirections need them. Pure: no clock, no IO.

/// A part of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word as it is written, quotes and expansions in it.
    Word(String),
    /// `;`, `&`, a newline.
    Separator,
    /// `|`, `|&`
    Pipe,
    And,
    Or,
    Open,
    /// `>(`: what is in it reads what others write to it.
    OpenReader,
    Close,
    /// An operator that begins with `<`, of this descriptor; the word of where from follows.
    From(u32),
    /// An operator that begins with `>`.
    To,
}

/// The tokens of a script: comments and the text of here-documents are left out.
pub(super) fn tokens(script: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: script, tokens: Vec::new(), documents: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer<'a> {
    rest: &'a str,
    tokens: Vec<Token>,
    /// The words that end the here-documents whose text begins at the next line.
    documents: Vec<String>,
}

/// Operators, longer ones first.
const OPERATORS: [(&str, Token); 14] = [
    ("||", Token::Or),
    ("|&", Token::Pipe),
    ("|", Token::Pipe),
    ("&&", Token::And),
    ("&>", Token::To),
    ("&", Token::Separator),
    (";", Token::Separator),
    (">(", Token::OpenReader),
    ("<(", Token::Open),
    ("(", Token::Open),
    (")", Token::Close),
    (">&", Token::To),
    (">", Token::To),
    ("\n", Token::Separator),
];

impl Lexer<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        if let Some(after) = rest.strip_prefix("\\\n").or_else(|| rest.strip_prefix([' ', '\t', '\r'])) {
            self.rest = after;
        } else if rest.starts_with('#') {
            self.rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if let Some(after) = rest.strip_prefix("((") {
            self.rest = after.find("))").map_or("", |end| &after[end + 2..]);
            self.tokens.push(Token::Word("((".into()));
        } else if rest.starts_with('<') && !rest.starts_with("<(") {
            self.redirection(0);
        } else if let Some((text, token)) = OPERATORS.iter().find(|(text, _)| rest.starts_with(text)) {
            self.rest = &rest[text.len()..];
            self.tokens.push(token.clone());
            if *text == "\n" {
                self.skip_documents();
            }
        } else {
            self.word();
        }
    }

    /// An operator that begins with `<`.
    fn redirection(&mut self, descriptor: u32) {
        let rest = self.rest;
        let operator = ["<<<", "<<-", "<<", "<&", "<>", "<"].into_iter().find(|op| rest.starts_with(op));
        let operator = operator.unwrap_or("<");
        self.rest = &rest[operator.len()..];
        self.tokens.push(Token::From(descriptor));
        if matches!(operator, "<<" | "<<-") {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
            let start = self.tokens.len();
            self.word();
            if let Some(Token::Word(end)) = self.tokens.get(start) {
                self.documents.push(end.replace(['\'', '"', '\\'], ""));
            }
        }
    }

    /// Leaves out the here-documents that begin here.
    fn skip_documents(&mut self) {
        for end in std::mem::take(&mut self.documents) {
            while !self.rest.is_empty() {
                let (line, after) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
                self.rest = after;
                if line.trim_start_matches('\t') == end {
                    break;
                }
            }
        }
    }

    /// A word, or the number before a redirection. A substitution outside of quotes is made of tokens too.
    fn word(&mut self) {
        let rest = self.rest;
        let mut end = 0;
        while let Some(c) = rest[end..].chars().next() {
            let at = &rest[end..];
            end += match c {
                '\\' => at.chars().take(2).map(char::len_utf8).sum(),
                '\'' => quoted(at, |rest| rest.find('\'')),
                '"' => quoted(at, end_of_double),
                '`' => quoted(at, |rest| rest.find('`')),
                '$' if at.starts_with("$((") => at.find("))").map_or(at.len(), |end| end + 2),
                '$' if at.starts_with("${") => at.find('}').map_or(at.len(), |end| end + 1),
                '$' if at.starts_with("$(") => {
                    // The word before it ends here; what is in it are commands.
                    self.push(&rest[..end]);
                    self.tokens.push(Token::Open);
                    self.rest = &at[2..];
                    return;
                }
                c if c.is_whitespace() || "|&;()<>".contains(c) => break,
                c => c.len_utf8(),
            };
        }
        self.rest = &rest[end..];
        let word = &rest[..end];
        let descriptor = word.parse().ok().filter(|_| self.rest.starts_with(['<', '>']));
        match descriptor {
            Some(descriptor) if self.rest.starts_with('<') => self.redirection(descriptor),
            Some(_) => {}
            None if end == 0 => self.rest = rest.get(1..).unwrap_or_default(),
            None => self.push(word),
        }
    }

    fn push(&mut self, word: &str) {
        if !word.is_empty() {
            self.tokens.push(Token::Word(word.to_owned()));
        }
    }
}

/// The length of what stands in quotes; to the end where they are not closed.
fn quoted(text: &str, close: impl Fn(&str) -> Option<usize>) -> usize {
    close(&text[1..]).map_or(text.len(), |end| end + 2)
}

/// Where the double quotes end whose text this is.
fn end_of_double(text: &str) -> Option<usize> {
    let (mut is_escaped, mut depth) = (false, 0usize);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '(' if depth > 0 || before == '$' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            '"' if depth == 0 => return Some(at),
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(script: &str) -> Vec<String> {
        let words = tokens(script).into_iter().filter_map(|token| match token {
            Token::Word(word) => Some(word),
            _ => None,
        });
        words.collect()
    }

    #[test]
    fn words_keep_their_quotes_and_comments_are_left_out() {
        assert_eq!(
            words("echo 'a # b' \"c \\\" d\" e\\ f # while read"),
            ["echo", "'a # b'", "\"c \\\" d\"", "e\\ f"]
        );
        assert_eq!(words("a#b $# ${#c} `x y`"), ["a#b", "$#", "${#c}", "`x y`"]);
        assert_eq!(words("x=\"$(cat \"a b\" | tr a b)\" y"), ["x=\"$(cat \"a b\" | tr a b)\"", "y"]);
        assert_eq!(words("a \\\n b\r\n"), ["a", "b"]);
    }

    #[test]
    fn operators_are_told_apart() {
        use Token::{And, Close, From, Open, OpenReader, Or, Pipe, Separator, To};
        let word = |text: &str| Token::Word(text.into());
        assert_eq!(
            tokens("a|b||c&&d&e;f\n(g)<h 3<i >(j) 2>&1"),
            [
                word("a"),
                Pipe,
                word("b"),
                Or,
                word("c"),
                And,
                word("d"),
                Separator,
                word("e"),
                Separator,
                word("f"),
                Separator,
                Open,
                word("g"),
                Close,
                From(0),
                word("h"),
                From(3),
                word("i"),
                OpenReader,
                word("j"),
                Close,
                To,
                word("1")
            ]
        );
        assert_eq!(tokens("x=$(a)"), [word("x="), Open, word("a"), Close]);
        assert_eq!(tokens("$((1<<2)) ((i<3))"), [word("$((1<<2))"), word("((")]);
    }

    #[test]
    fn the_text_of_a_here_document_is_left_out() {
        assert_eq!(words("cat <<EOF <<-'B' x\na b\nEOF\n\tc\n\tB\nd"), ["cat", "EOF", "'B'", "x", "d"]);
        assert_eq!(words("cat <<<'a b' c"), ["cat", "'a b'", "c"]);
        assert_eq!(words("cat <<EOF\nnever ends"), ["cat", "EOF"]);
    }

    proptest! {
        #[test]
        fn any_text_has_tokens(text in "([a-z \\n'\"`$(){}<>|&;#\\\\0-9é]|while|read|do|done){0,40}") {
            let _ = tokens(&text);
        }
    }
}
