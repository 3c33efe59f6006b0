//! Options that cannot be used together, and options that need another one.

use localsocket::programs::cli::{Arguments, UsageError};

/// Options of which only one can be given. `LINE` stands for operands.
const CONFLICTS: [(&str, &[&str]); 7] = [
    ("ping", &["recv-only", "ask", "answer", "text", "to", "verbatim", "LINE"]),
    ("recv-only", &["ask", "answer", "text", "to", "verbatim", "LINE"]),
    ("answer", &["ask", "text", "to", "verbatim", "LINE"]),
    ("ask", &["text", "to", "verbatim", "count"]),
    ("text", &["verbatim"]),
    ("to", &["verbatim"]),
    ("jobs", &["ask"]),
];

/// Options that mean something only with another one.
const NEEDED: [(&str, &str); 2] = [("answer", "name"), ("jobs", "answer")];

/// # Errors
/// The first two that conflict.
pub(crate) fn check(arguments: &Arguments) -> Result<(), UsageError> {
    let shown = |option: &str| if option == "LINE" { "a LINE argument".to_owned() } else { format!("--{option}") };
    let has = |option: &str| if option == "LINE" { !arguments.operands.is_empty() } else { arguments.has(option) };
    for (option, others) in CONFLICTS {
        if let (true, Some(other)) = (has(option), others.iter().find(|other| has(other))) {
            let (option, other) = (shown(option), shown(other));
            return Err(UsageError(format!("{option} and {other} cannot be used together")));
        }
    }
    match NEEDED.iter().find(|(option, needed)| has(option) && !has(needed)) {
        Some((option, needed)) => Err(UsageError(format!("{} needs {} too", shown(option), shown(needed)))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::PROGRAM;

    fn refused(words: &[&str]) -> String {
        check(&PROGRAM.parse(words.iter().map(Into::into)).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn conflicts_name_the_two_options() {
        let mut pairs = 0;
        for (option, others) in CONFLICTS {
            for other in others {
                let words = |option: &str| -> Vec<String> {
                    let takes_value = PROGRAM.options.iter().any(|known| known.long == option && known.value.is_some());
                    match option {
                        "LINE" => vec!["hello".to_owned()],
                        "jobs" | "count" => vec![format!("--{option}"), "2".to_owned()],
                        _ if takes_value => vec![format!("--{option}"), "bob".to_owned()],
                        _ => vec![format!("--{option}")],
                    }
                };
                let words = [words(option), words(other), vec!["--name".to_owned(), "ada".to_owned()]].concat();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let other = if *other == "LINE" { "a LINE argument".to_owned() } else { format!("--{other}") };
                let wanted = format!("--{option} and {other} cannot be used together");
                assert_eq!(refused(&words), wanted);
                pairs += 1;
            }
        }
        assert!(pairs > 20);
        assert_eq!(refused(&["--answer", "cat"]), "--answer needs --name too");
        assert_eq!(refused(&["--jobs", "2"]), "--jobs needs --answer too");
    }
}
