//! What was most likely meant by a text that is neither a topic's name nor a pattern. Pure: no clock, no IO.

use regex::Regex;

/// The pattern that was most likely meant by this text, which is neither a name nor a pattern of kq.
pub(super) fn meant(text: &str) -> Option<String> {
    if !text.contains(['*', '+', '?', '|', '(', '[', '{', '\\', '$']) {
        return None;
    }
    let is_glob = text.char_indices().any(|(at, c)| {
        let before = text[..at].chars().next_back();
        c == '*' && before.is_none_or(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '*'))
    });
    let pattern = if is_glob {
        format!("^{}$", text.replace('.', r"\.").replace('*', ".*"))
    } else if text.contains('|') {
        format!("^({text})$")
    } else {
        format!("^{text}")
    };
    Regex::new(&pattern).is_ok().then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_gets_its_anchor_and_a_glob_becomes_an_expression() {
        for (text, pattern) in [
            (".*", "^.*"),
            ("*", "^.*$"),
            ("orders-*", "^orders-.*$"),
            ("eu.orders-*", r"^eu\.orders-.*$"),
            ("orders-.*", "^orders-.*"),
            ("orders|payments", "^(orders|payments)$"),
            (r"orders\.eu", r"^orders\.eu"),
            ("orders$", "^orders$"),
            ("orders[0-9]+", "^orders[0-9]+"),
        ] {
            assert_eq!(meant(text).as_deref(), Some(pattern), "{text}");
        }
        for text in ["a b", "a/b", "", "orders[", "x)("] {
            assert_eq!(meant(text), None, "{text}");
        }
    }
}
