//! Whether a shell script loses a last line without a newline: a `while read` on its own stdin does. Pure: no clock,
//! no IO.
//!
//! `read` fails at the end of the input even where it has read something, so that the loop's body is not run for it.
//! A script that is understood wrongly costs a note too few or too many, and nothing else.

use super::tokens::{Token, tokens};

/// Whether a `while … read` of this script reads the script's own stdin, and leaves out a last line that no newline
/// ends.
pub(super) fn leaves_out_the_last_line(script: &str) -> bool {
    let tokens = tokens(script);
    let mut reader = Reader { tokens: &tokens, at: 0, open: vec![Compound::new(Kind::Script)] };
    while reader.at < tokens.len() && !reader.turn() {}
    reader.open.iter().any(|compound| compound.loses && !compound.is_fed)
}

/// A command that holds others.
#[derive(Debug)]
struct Compound {
    kind: Kind,
    /// Its stdin is a pipe.
    is_fed: bool,
    /// A loop in it leaves out the last line of the stdin that both have.
    loses: bool,
    /// The name, where it is the body of a function.
    name: Option<String>,
    /// Of a `while` whose condition reads: the variable.
    reads: Option<String>,
    /// The part between `while` and `do`.
    is_condition: bool,
    /// A condition that cares for the last line, or reads something other than stdin.
    is_safe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Script,
    While,
    /// Another loop.
    Loop,
    If,
    Case,
    Brace,
    Paren,
}

impl Compound {
    fn new(kind: Kind) -> Self {
        let is_condition = kind == Kind::While;
        Self { kind, is_fed: false, loses: false, name: None, reads: None, is_condition, is_safe: false }
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    /// The compounds around the present token, the script first.
    open: Vec<Compound>,
}

impl Reader<'_> {
    /// Takes one token; true where nothing after it can matter.
    fn turn(&mut self) -> bool {
        let tokens = self.tokens;
        let token = &tokens[self.at];
        let starts = self.starts_a_command();
        self.at += 1;
        match token {
            Token::Word(word) if starts => return self.first_word(word),
            Token::Open => self.enter(Kind::Paren),
            Token::OpenReader => {
                self.enter(Kind::Paren);
                self.innermost().is_fed = true;
            }
            Token::Close => self.leave(&[Kind::Paren]),
            Token::Or | Token::From(0) if self.innermost().is_condition => self.innermost().is_safe = true,
            _ => {}
        }
        false
    }

    fn first_word(&mut self, word: &str) -> bool {
        match word {
            "while" => self.enter(Kind::While),
            "until" | "for" | "select" => self.enter(Kind::Loop),
            "if" => self.enter(Kind::If),
            "case" => self.enter(Kind::Case),
            "{" => self.enter(Kind::Brace),
            "do" => self.innermost().is_condition = false,
            "done" => self.leave(&[Kind::While, Kind::Loop]),
            "fi" => self.leave(&[Kind::If]),
            "esac" => self.leave(&[Kind::Case]),
            "}" => self.leave(&[Kind::Brace]),
            "read" if self.innermost().is_condition => self.read(),
            // From here on, stdin is something else.
            "exec" => return self.redirects_stdin(self.at),
            _ => {}
        }
        false
    }

    fn innermost(&mut self) -> &mut Compound {
        self.open.last_mut().expect("the script")
    }

    /// The token before the present one, line ends after a pipe left out.
    fn before(&self) -> Option<&Token> {
        let mut before = self.tokens[..self.at].iter().rev().peekable();
        while before.peek() == Some(&&Token::Separator) {
            let is_after_pipe =
                before.clone().find(|token| **token != Token::Separator) == Some(&Token::Pipe);
            if !is_after_pipe {
                break;
            }
            before.next();
        }
        before.next()
    }

    /// Whether a command may start at the present token: assignments before it do not count.
    fn starts_a_command(&self) -> bool {
        const OPENERS: [&str; 12] =
            ["while", "until", "if", "elif", "then", "else", "do", "{", "!", "time", "builtin", "command"];
        let is_assignment = |token: &&Token| matches!(token, Token::Word(word) if is_assignment(word));
        match self.tokens[..self.at].iter().rev().find(|token| !is_assignment(token)) {
            Some(Token::Word(word)) => OPENERS.contains(&word.as_str()),
            Some(Token::From(_) | Token::To) => false,
            None | Some(_) => true,
        }
    }

    fn enter(&mut self, kind: Kind) {
        self.at -= 1;
        let is_fed = self.before() == Some(&Token::Pipe);
        let name = if kind == Kind::Brace { self.name_of_function() } else { None };
        self.at += 1;
        self.open.push(Compound { is_fed, name, ..Compound::new(kind) });
    }

    /// The name before `{`, in `name() {` and `function name {`.
    fn name_of_function(&self) -> Option<String> {
        let mut before = self.tokens[..self.at].iter().rev().filter(|token| **token != Token::Separator);
        let name = match before.next()? {
            Token::Close if before.next() == Some(&Token::Open) => before.next()?,
            word @ Token::Word(_) if before.next() == Some(&Token::Word("function".into())) => word,
            _ => return None,
        };
        match name {
            Token::Word(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// The end of the innermost compound of one of these kinds: of those within it, none was understood.
    fn leave(&mut self, kinds: &[Kind]) {
        let Some(from) = self.open.iter().rposition(|compound| kinds.contains(&compound.kind)) else {
            return;
        };
        let is_redirected = self.redirects_stdin(self.at);
        let mut loses = false;
        for compound in self.open.split_off(from).into_iter().rev() {
            loses |= compound.loses || self.loses_by_itself(&compound);
            loses &= !compound.is_fed && !compound.name.as_deref().is_some_and(|name| self.is_fed(name));
        }
        self.innermost().loses |= loses && !is_redirected;
    }

    /// Whether a loop that ends here leaves out the last line.
    fn loses_by_itself(&self, compound: &Compound) -> bool {
        let Some(variable) = &compound.reads else { return false };
        !compound.is_safe && !self.is_looked_at_later(variable)
    }

    /// Whether `-n "$variable"` stands behind the loop, as in `[ -n "$line" ] && handle "$line"`.
    fn is_looked_at_later(&self, variable: &str) -> bool {
        let names = |word: &str| {
            let word = word.trim_start_matches(['"', '$', '{']);
            word.strip_prefix(variable)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        self.tokens[self.at..].windows(2).any(|pair| match pair {
            [Token::Word(flag), Token::Word(word)] => flag == "-n" && word.contains('$') && names(word),
            _ => false,
        })
    }

    /// Whether a function of this name is called with another stdin somewhere.
    fn is_fed(&self, name: &str) -> bool {
        let is_piped =
            |at: usize| Reader { tokens: self.tokens, at, open: Vec::new() }.before() == Some(&Token::Pipe);
        let is_call = |at: &usize| matches!(&self.tokens[*at], Token::Word(word) if word == name);
        (0..self.tokens.len()).filter(is_call).any(|at| is_piped(at) || self.redirects_stdin(at + 1))
    }

    /// Whether the command whose words go on at this token has its stdin from elsewhere.
    fn redirects_stdin(&self, at: usize) -> bool {
        let mut depth = 0;
        for (at, token) in self.tokens.iter().enumerate().skip(at) {
            match token {
                Token::Open | Token::OpenReader => depth += 1,
                Token::Close | Token::Separator | Token::Pipe | Token::And | Token::Or if depth == 0 => {
                    return false;
                }
                Token::Close => depth -= 1,
                Token::From(0) if depth == 0 => {
                    // As in `"${1:-/dev/stdin}"` too.
                    let is_stdin =
                        |word: &str| word.contains("/dev/stdin") || word.contains("/dev/fd/0") || word == "0";
                    let leads_back =
                        matches!(self.tokens.get(at + 1), Some(Token::Word(word)) if is_stdin(word));
                    if !leads_back {
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    }

    /// `read` in a loop's condition.
    fn read(&mut self) {
        let mut words = self.tokens[self.at..].iter().map_while(|token| match token {
            Token::Word(word) => Some(word.as_str()),
            _ => None,
        });
        let (mut variable, mut is_other) = ("REPLY", false);
        while let Some(word) = words.next() {
            match word.strip_prefix('-').filter(|flags| !flags.is_empty()) {
                // Another descriptor or delimiter, or a number of characters.
                Some(flags) if flags.contains(['u', 'd', 'n', 'N', 'k']) => is_other = true,
                // An array's name is the variable.
                Some(flags) if flags.ends_with(['p', 't', 'i']) => {
                    words.next();
                }
                Some(_) => {}
                None => {
                    variable = word;
                    break;
                }
            }
        }
        let variable = variable.to_owned();
        let innermost = self.innermost();
        innermost.is_safe |= is_other;
        innermost.reads.get_or_insert(variable);
    }
}

fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '+')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_loop_that_reads_stdin_line_by_line_leaves_out_the_last() {
        for script in [
            "while read line; do echo $line; done",
            "while read -r line\ndo\n  echo \"$line\"\ndone",
            "while IFS= read -r line; do :; done",
            "while IFS=, read -r id name rest; do :; done > out",
            "while IFS=$'\\t' read -ra fields; do :; done | sort",
            "while read; do echo $REPLY; done",
            "while read -p '> ' line; do :; done",
            "set -euo pipefail\nwhile read -r line; do\n  curl -d \"$line\" x || exit 75\ndone",
            "# cat x | y\nwhile read -r line; do echo \"$line\" | jq .; done",
            "echo start | tee log; while read -r line; do :; done",
            "n=0; while read -r line; do n=$((n + 1)); done; echo $n",
            "while read -r a && read -r b; do :; done",
            "while builtin read -r line; do :; done",
            "if true; then while read -r line; do :; done; fi",
            "case $1 in a) while read -r line; do :; done ;; esac",
            "main() {\n  while read -r line; do :; done\n}\nmain \"$@\"",
            "function main { while read -r line; do :; done; }; main",
            "{ while read -r line; do :; done; } > out",
            "(while read -r line; do :; done)",
            "x=$(while read -r line; do echo $line; done)",
            "while read -r line; do for f in a b; do cat < \"$f\"; done; done",
            "for i in 1; do while read -r line; do :; done; done",
            "while read -r line; do :; done 3< other",
            "while read -r line; do :; done < /dev/stdin",
            "while read -r line; do :; done <&0",
            "while read -r line; do :; done < \"${1:-/dev/stdin}\"",
            "cat <<EOF\nx | y\nEOF\nwhile read -r line; do :; done",
            "while read -r line; do :; done < file\nwhile read -r line; do :; done",
            "while true; do sleep 1; break; done; while read -r line; do :; done",
            "while read -r line; do while read -r other; do :; done < file; done",
            "exec 2> log; while read -r line; do :; done",
            "while read -r line; do [ -n \"$line\" ] || continue; done",
            "while \\\n  read -r line; do :; done",
            "#!/bin/sh\r\nwhile read -r line; do\r\n:\r\ndone\r\n",
        ] {
            assert!(leaves_out_the_last_line(script), "{script}");
        }
    }

    #[test]
    fn what_reads_something_else_or_cares_for_the_last_line_does_not() {
        for script in [
            "",
            "cat",
            "read -r line; echo \"$line\"",
            "line=$(cat); echo \"$line\"",
            "while IFS= read -r line || [ -n \"$line\" ]; do :; done",
            "while IFS= read -r line || [[ -n $line ]]; do :; done",
            "while read -r line || test -n \"$line\"; do :; done",
            "while read -r line; do h \"$line\"; done; [ -n \"$line\" ] && h \"$line\"",
            "while read -r line; do h \"$line\"; done\nif [[ -n ${line} ]]; then h \"$line\"; fi",
            "cat | while read -r line; do :; done",
            "jq -r '.[]' | while read -r line; do :; done",
            "jq -r '.[]' |\n  while read -r line; do :; done",
            "jq . |& while read -r line; do :; done",
            "jq . | { read -r head; while read -r line; do :; done; }",
            "jq . | (while read -r line; do :; done)",
            "jq . | if true; then while read -r line; do :; done; fi",
            "each() { while read -r line; do :; done; }; jq . | each",
            "each() { while read -r line; do :; done; }; each < file",
            "while read -r line; do :; done < file",
            "while read -r line; do :; done <file 2>/dev/null",
            "while read -r line; do :; done 2>/dev/null 0< file",
            "while read -r line; do :; done <<< \"$text\"",
            "while read -r line; do :; done < <(jq .)",
            "while read -r line; do :; done <<EOF\nx\nEOF",
            "{ while read -r line; do :; done; } < file",
            "for i in 1; do while read -r line; do :; done; done < file",
            "while read -r line <&3; do :; done 3< file",
            "while read -r -u 3 line; do :; done 3< file",
            "while read -r -d '' line; do :; done",
            "while read -n 1 c; do :; done",
            "exec < file; while read -r line; do :; done",
            "tee >(while read -r line; do :; done)",
            "# while read -r line; do :; done",
            "echo 'while read -r line; do :; done'",
            "echo while read -r line; do",
            "cat <<EOF\nwhile read -r line; do :; done\nEOF",
            "while true; do read -r line || break; done",
            "while sleep 1; do read_it; done",
            "while ready; do :; done",
            "for word in while read; do :; done",
            "grep while read done",
            "while read -r line; do :",
        ] {
            assert!(!leaves_out_the_last_line(script), "{script}");
        }
    }

    proptest! {
        #[test]
        fn any_script_is_looked_at(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "while", "read", "do", "done", "|", "||", "<", "<<", "E", "\n", ";", "(", ")", "{", "}", "if", "fi",
                    "case", "esac", "f()", "exec", "$(", "\"", "'", "x=1", "-n", "$line", "((", "é",
                ]),
                0..60,
            ),
        ) {
            let _ = leaves_out_the_last_line(&words.join(" "));
            let _ = leaves_out_the_last_line(&words.concat());
        }

        #[test]
        fn what_stands_around_a_loop_does_not_hide_it(
            before in "(echo [a-z]{1,5}; |[a-z]{1,3}=1\n|# [a-z|<]{0,9}\n|cat < f; |: \\| : ; ){0,4}",
            after in "(; echo [a-z]{1,5}|\necho|; cat < f){0,3}",
        ) {
            let script = format!("{before}while read -r line; do :; done{after}");
            prop_assert!(leaves_out_the_last_line(&script), "{}", script);
        }
    }
}
