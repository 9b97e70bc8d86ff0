//! The user and password in `sasl.jaas.config`, a login as Java's clients write it. Pure: no clock, no IO.

use anyhow::{anyhow, bail};

/// Java's property; librdkafka has `sasl.username` and `sasl.password`.
pub(crate) const JAAS: &str = "sasl.jaas.config";

/// User and password of a login module that has them, as librdkafka's properties. Where the whole text is
/// in quotes, as in an env file, they are removed. An error shows no value.
pub(crate) fn login(text: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let as_it_is = entry(text);
    match unquoted(text) {
        Some(inner) if as_it_is.is_err() => entry(&inner),
        _ => as_it_is,
    }
}

fn entry(text: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let words = words(text);
    let module = words.first().map(|word| word.rsplit('.').next().unwrap_or_default()).unwrap_or_default();
    if !matches!(module, "PlainLoginModule" | "ScramLoginModule") {
        // Any other text here may be the password.
        let named = module.ends_with("LoginModule")
            && module.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'));
        let what = if named { module } else { "the text (not shown, it may contain a password)" };
        bail!("{what} can't be read; PlainLoginModule and ScramLoginModule can");
    }
    let option = |wanted: &str| {
        let found = words.windows(3).find(|three| three[0] == wanted && three[1] == "=");
        found.map(|three| three[2].clone()).ok_or_else(|| anyhow!("{module} without {wanted}=\"…\""))
    };
    Ok(vec![("sasl.username", option("username")?), ("sasl.password", option("password")?)])
}

/// The text inside the one pair of quotes around the whole text. Within double quotes a backslash escapes,
/// as in a shell, unless there are quotes without a backslash.
fn unquoted(text: &str) -> Option<String> {
    let text = text.trim();
    let inner = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))?;
    Some(match <[String; 1]>::try_from(words(text)) {
        Ok([word]) if text.starts_with('"') => word,
        _ => inner.to_owned(),
    })
}

/// The words of a JAAS entry, as Java's tokenizer splits them: `=` and `;` are words, and the text within
/// quotes is one word, in which a backslash begins an escape.
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
    fn a_value_that_is_quoted_as_a_whole_is_what_is_inside() {
        for text in [
            r#"'a.PlainLoginModule required username="u" password="p\"q";'"#,
            r#""a.PlainLoginModule required username=u password='p\"q';""#,
            r#" "a.PlainLoginModule required username=\"u\" password=\"p\\\"q\";" "#,
            r#""a.PlainLoginModule required username="u" password="p\"q";""#,
        ] {
            assert_eq!(read(text), ("u".into(), r#"p"q"#.into()), "{text}");
        }
        // The first word and the last one in quotes of their own.
        assert_eq!(read(r#""PlainLoginModule" required username=u password="p""#).1, "p");
    }

    #[test]
    fn an_error_names_a_login_module_and_nothing_else() {
        let why = |text: &str| login(text).unwrap_err().to_string();
        let named = "Krb5LoginModule can't be read; PlainLoginModule and ScramLoginModule can";
        assert_eq!(why("com.sun.Krb5LoginModule required;"), named);
        assert_eq!(why("'com.sun.Krb5LoginModule required;'"), named);
        for text in
            ["hunter2", "'hunter2", "\"hunter2\"", "password=hunter2;", "a. b password=hunter2 LoginModule'"]
        {
            assert!(why(text).starts_with("the text (not shown"), "{text}: {}", why(text));
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
        fn no_error_shows_the_password(
            before in "(['\"]?[a-z.]{0,4}(Plain|Scram|Krb5|)(LoginModule)?[ ;'\"=\\\\]{0,2}(required)?[ =;]?(username=[\"']?u[\"']?|) ?){0,2}",
            option in "(password)?[ =.]{0,3}['\"]?",
            after in "['\"]?;?[a-z.= ]{0,4}['\"]?",
        ) {
            // Either half of it is no part of any message.
            let password = "hunter2.0x";
            let text = format!("{before}{option}{password}{after}");
            if let Err(e) = login(&text) {
                let shown = e.to_string();
                prop_assert!(!shown.contains("hunter2") && !shown.contains("0x"), "{}: {}", text, shown);
            }
        }

        #[test]
        fn any_password_that_is_quoted_comes_back(password in "[ -~é]{0,20}") {
            let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("a.PlainLoginModule required username=\"u\" password=\"{quoted}\";");
            prop_assert_eq!(read(&text).1, password);
        }
    }
}
