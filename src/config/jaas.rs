//! A login as Java's clients have it, `sasl.jaas.config`: user and password of it. Pure: no clock, no IO.

use anyhow::{anyhow, bail};

/// Java's property; librdkafka has `sasl.username` and `sasl.password`.
pub const JAAS: &str = "sasl.jaas.config";

/// User and password of a login module that has them, as librdkafka's properties. An error shows no value.
pub fn login(text: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let words = words(text);
    let module = words.first().map(|word| word.rsplit('.').next().unwrap_or_default()).unwrap_or_default();
    if !matches!(module, "PlainLoginModule" | "ScramLoginModule") {
        bail!("of {module} nothing can be taken; PlainLoginModule and ScramLoginModule can be read");
    }
    let option = |wanted: &str| {
        let found = words.windows(3).find(|three| three[0] == wanted && three[1] == "=");
        found.map(|three| three[2].clone()).ok_or_else(|| anyhow!("{module} without {wanted}=\"…\""))
    };
    Ok(vec![("sasl.username", option("username")?), ("sasl.password", option("password")?)])
}

/// The words of a JAAS entry, as Java's tokenizer parts them: `=` and `;` stand for themselves, and
/// within quotes everything is the word, where a backslash begins an escape.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '=' | ';' => words.push(c.to_string()),
            quote @ ('"' | '\'') => {
                let mut word = String::new();
                while let Some(c) = chars.next().filter(|c| *c != quote) {
                    match c {
                        '\\' => word.extend(chars.next().map(|c| match c {
                            'n' => '\n',
                            'r' => '\r',
                            't' => '\t',
                            c => c,
                        })),
                        c => word.push(c),
                    }
                }
                words.push(word);
            }
            c => {
                let mut word = c.to_string();
                let plain = |c: &char| !c.is_whitespace() && !matches!(c, '=' | ';' | '"' | '\'');
                while let Some(c) = chars.next_if(plain) {
                    word.push(c);
                }
                words.push(word);
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (String, String) {
        let mut login = login(text).unwrap().into_iter().map(|(_, value)| value);
        (login.next().unwrap(), login.next().unwrap())
    }

    #[test]
    fn a_value_stands_in_quotes_or_without_with_blanks_around_the_equals_sign_or_none() {
        for (text, password) in [
            (r#"a.PlainLoginModule required username="u" password="p";"#, "p"),
            ("a.PlainLoginModule required username=u password=p;", "p"),
            ("a.PlainLoginModule required username = 'u' password =\"p\" ;", "p"),
            (
                r#"ScramLoginModule required password="username=\"x\"; \\" username="u";"#,
                r#"username="x"; \"#,
            ),
            (r#"ScramLoginModule required username="u" tokenauth="true" password="=";"#, "="),
        ] {
            assert_eq!(read(text), ("u".into(), password.into()), "{text}");
        }
    }

    #[test]
    fn a_module_without_user_and_password_is_an_error_that_shows_none() {
        for text in [
            "a.Krb5LoginModule required;",
            "",
            "=",
            "PlainLoginModule",
            "PlainLoginModule required username=u password=hunter2x; pass",
        ] {
            if let Err(e) = login(text) {
                assert!(!e.to_string().contains("hunter2"), "{e}");
            }
        }
        assert!(login("a.PlainLoginModule required username=u password").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), likely in "[A-Za-z=;\"'\\\\ ]{0,40}") {
            let _ = login(&text);
            let _ = words(&likely);
        }

        #[test]
        fn any_password_that_is_quoted_comes_back(password in "[ -~é]{0,20}") {
            let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("a.PlainLoginModule required username=\"u\" password=\"{quoted}\";");
            prop_assert_eq!(read(&text).1, password);
        }
    }
}
