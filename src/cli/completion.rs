//! Completions for shells, made from a program's table: `Program::completion`. A value named PATH completes to
//! files, COMMAND to commands, `one|two` to its words; any other value to nothing.

use std::fmt::Write as _;

use super::table::{Opt, Program};

/// A shell that completes command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// GNU bash, with or without the bash-completion package.
    Bash,
    /// zsh; the file belongs into a folder of `$fpath` as `_<program>`.
    Zsh,
    /// fish; the file belongs into `completions` as `<program>.fish`.
    Fish,
}

/// What an option's value is completed to.
enum Values {
    None,
    Files,
    Commands,
    Words(Vec<&'static str>),
    Anything,
}

impl Opt {
    fn values(&self) -> Values {
        match self.value {
            None => Values::None,
            Some("PATH") => Values::Files,
            Some("COMMAND") => Values::Commands,
            Some(words) if words.contains('|') => Values::Words(words.split('|').collect()),
            Some(_) => Values::Anything,
        }
    }

    /// As it is typed: the letter, if there is one, and the word.
    fn spellings(&self) -> Vec<String> {
        let short = self.short.map(|short| format!("-{short}"));
        short.into_iter().chain([format!("--{}", self.long)]).collect()
    }
}

impl Program {
    /// What a shell needs to complete this program's command line.
    pub fn completion(&self, shell: Shell) -> String {
        match shell {
            Shell::Bash => self.bash(),
            Shell::Zsh => self.zsh(),
            Shell::Fish => self.fish(),
        }
    }

    fn bash(&self) -> String {
        let function = format!("_{}", self.name.replace('-', "_"));
        let mut cases = String::new();
        for option in self.options() {
            let action = match option.values() {
                Values::None => continue,
                Values::Files => {
                    "compopt -o filenames 2>/dev/null\n            words=$(compgen -f -- \"$word\")".to_owned()
                }
                Values::Commands => "words=$(compgen -c -- \"$word\")".to_owned(),
                Values::Words(words) => format!("words=$(compgen -W '{}' -- \"$word\")", words.join(" ")),
                Values::Anything => ":".to_owned(),
            };
            let _ = write!(cases, "        {})\n            {action}\n            ;;\n", option.spellings().join("|"));
        }
        let all: Vec<String> = self.options().flat_map(Opt::spellings).collect();
        format!(
            "# bash completion for {name}. Made from the table of options. Do not edit.\n\
             {function}() {{\n\
             \x20   local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=\n\
             \x20   # --option=value comes as three words.\n\
             \x20   if [[ $word == = ]]; then\n\
             \x20       word=\n\
             \x20   elif [[ $before == = ]]; then\n\
             \x20       before=${{COMP_WORDS[COMP_CWORD-2]}}\n\
             \x20   fi\n\
             \x20   case $before in\n\
             {cases}\
             \x20       *)\n\
             \x20           words=$(compgen -W '{all}' -- \"$word\")\n\
             \x20           ;;\n\
             \x20   esac\n\
             \x20   COMPREPLY=()\n\
             \x20   [[ -z $words ]] || mapfile -t COMPREPLY <<<\"$words\"\n\
             }}\n\
             complete -F {function} {name}\n",
            name = self.name,
            all = all.join(" ")
        )
    }

    fn zsh(&self) -> String {
        let mut specs = String::new();
        for option in self.options() {
            let spellings = option.spellings();
            // An option that may be repeated is not told apart here; typing it twice does no harm.
            let meaning = in_single_quotes(&escaped(option.meaning, &['[', ']', ':', '\\']));
            let value = match option.values() {
                Values::None => String::new(),
                Values::Files => ":file:_files".to_owned(),
                Values::Commands => ":command:_cmdstring".to_owned(),
                Values::Words(words) => format!(":word:({})", words.join(" ")),
                Values::Anything => format!(":{}:", option.value.unwrap_or_default()),
            };
            for spelling in &spellings {
                let joined = match option.value {
                    Some(_) if spelling.starts_with("--") => "=",
                    Some(_) => "+",
                    None => "",
                };
                let _ = writeln!(specs, "    '{spelling}{joined}[{meaning}]{value}' \\");
            }
        }
        let operands = match self.operands {
            "" => String::new(),
            operands => format!("    '*:{}:'\n", escaped(operands, &['[', ']', ':', '\\'])),
        };
        let specs = if operands.is_empty() { specs.trim_end_matches(" \\\n").to_owned() + "\n" } else { specs };
        format!(
            "#compdef {}\n# Made from the table of options. Do not edit.\n_arguments -s -S \\\n{specs}{operands}",
            self.name
        )
    }

    fn fish(&self) -> String {
        let name = self.name;
        let mut text = format!("# Made from the table of options. Do not edit.\ncomplete -c {name} -f\n");
        for option in self.options() {
            let short = option.short.map_or(String::new(), |short| format!(" -s {short}"));
            let value = match option.values() {
                Values::None => String::new(),
                Values::Files => " -r -F".to_owned(),
                Values::Commands => " -x -a '(__fish_complete_command)'".to_owned(),
                Values::Words(words) => format!(" -x -a '{}'", words.join(" ")),
                Values::Anything => " -x".to_owned(),
            };
            let meaning = escaped(option.meaning, &['\\', '\'']);
            let _ = writeln!(text, "complete -c {name}{short} -l {}{value} -d '{meaning}'", option.long);
        }
        text
    }
}

/// A backslash before each of these characters.
fn escaped(text: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A quote within single quotes, as POSIX shells have it.
fn in_single_quotes(text: &str) -> String {
    text.replace('\'', r"'\''")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::super::table::tests::PROGRAM;
    use super::*;

    /// Runs a shell with a script; `None` if there is no such shell here.
    fn shell(name: &str, arguments: &[&str]) -> Option<String> {
        let output = match Command::new(name).args(arguments).stdin(Stdio::null()).output() {
            Ok(output) => output,
            Err(_) => {
                eprintln!("SKIPPED: there is no {name}");
                return None;
            }
        };
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && errors.is_empty(), "{name}: {out}{errors}");
        Some(out.into_owned())
    }

    #[test]
    fn each_shell_finds_no_mistake_in_its_file() {
        for (name, kind) in [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)] {
            let path = std::env::temp_dir().join(format!("localsocket-completion-{}-{name}", std::process::id()));
            std::fs::write(&path, PROGRAM.completion(kind)).unwrap();
            shell(name, &["-n", path.to_str().unwrap()]);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn bash_completes_options_and_their_values() {
        let script = PROGRAM.completion(Shell::Bash);
        for (words, wanted) in [
            ("program --n", "--number"),
            ("program -", "-n --number --mode --file -q --quiet -h --help -V --version"),
            ("program --mode t", "two"),
            ("program --mode = o", "one"),
            ("program --mode =", "one two"),
            ("program --file /dev/nul", "/dev/null"),
            ("program -n ", ""),
            ("program --num", "--number"),
        ] {
            let count = words.split(' ').count();
            let call = format!(
                "{script}\nIFS=' ' read -ra COMP_WORDS <<<'{words}'; COMP_CWORD={}; compopt() {{ :; }}; _program; \
                 echo \"${{COMPREPLY[*]}}\"",
                count - 1
            );
            if let Some(found) = shell("bash", &["--norc", "-c", &call]) {
                assert_eq!(found.trim_end(), wanted, "{words}");
            }
        }
    }

    #[test]
    fn fish_completes_options_and_their_values() {
        let script = PROGRAM.completion(Shell::Fish);
        for (line, wanted) in [("program --n", "--number\ta number\n"), ("program --mode t", "two\t")] {
            if let Some(found) = shell("fish", &["--no-config", "-c", &format!("{script}\ncomplete -C '{line}'")]) {
                assert!(found.starts_with(wanted), "{line}: {found:?}");
            }
        }
    }

    #[test]
    fn zsh_is_told_every_option_with_its_meaning() {
        let script = PROGRAM.completion(Shell::Zsh);
        assert!(script.starts_with("#compdef program\n"), "{script}");
        for spec in [
            "    '-n+[a number]:N:' \\\n",
            "    '--mode=[it'\\''s \\[a\\] choice\\: of words]:word:(one two)' \\\n",
            "    '--file=[a file]:file:_files' \\\n",
            "    '-q[say less]' \\\n",
        ] {
            assert!(script.contains(spec), "no {spec:?} in\n{script}");
        }
        assert!(script.ends_with("    '*:\\[WORD\\]...:'\n"), "{script}");
        assert!(
            Program { operands: "", ..PROGRAM }
                .completion(Shell::Zsh)
                .ends_with("    '--version[print the version and exit]'\n")
        );
    }
}
