//! The manual page of a program, made from its table: `Program::manual`. Writes the `man` macros of roff, which
//! every `man` reads.

use std::fmt::Write as _;

use super::table::{Opt, Program};

impl Program {
    /// The manual page, section 1.
    pub fn manual(&self) -> String {
        let name = plain(self.name);
        let mut page = format!(
            ".\\\" Made from the table of options. Do not edit.\n\
             .TH {} 1 \"\" \"localsocket {}\" \"User Commands\"\n\
             .SH NAME\n{name} \\- {}\n\
             .SH SYNOPSIS\n.B {name}\n[\\fIOPTIONS\\fR]",
            name.to_uppercase(),
            env!("CARGO_PKG_VERSION"),
            plain(self.summary)
        );
        if !self.operands.is_empty() {
            let _ = write!(page, "\n{}", plain(self.operands));
        }
        page.push_str("\n.SH DESCRIPTION\n");
        add_paragraphs(&mut page, self.about);
        if !self.notes.is_empty() {
            page.push_str(".PP\n");
            add_paragraphs(&mut page, self.notes);
        }
        page.push_str(".SH OPTIONS\n");
        for option in self.options() {
            add_option(&mut page, option);
        }
        for section in self.sections {
            let _ = writeln!(page, ".SH {}", plain(section.title));
            add_paragraphs(&mut page, section.text);
            add_terms(&mut page, section.terms);
        }
        for (title, terms) in [("EXIT STATUS", self.exit_codes), ("ENVIRONMENT", self.environment)] {
            if !terms.is_empty() {
                let _ = writeln!(page, ".SH {title}");
                add_terms(&mut page, terms);
            }
        }
        if !self.examples.is_empty() {
            page.push_str(".SH EXAMPLES\n");
            add_terms(&mut page, self.examples);
        }
        if !self.see_also.is_empty() {
            page.push_str(".SH SEE ALSO\n");
            let pages: Vec<String> = self.see_also.iter().map(|page| reference(page)).collect();
            let _ = writeln!(page, "{}", pages.join(",\n"));
        }
        page
    }
}

fn add_option(page: &mut String, option: &Opt) {
    page.push_str(".TP\n");
    if let Some(short) = option.short {
        let _ = write!(page, "\\fB\\-{short}\\fR, ");
    }
    let _ = write!(page, "\\fB\\-\\-{}\\fR", plain(option.long));
    if let Some(value) = option.value {
        let _ = write!(page, " \\fI{}\\fR", plain(value));
    }
    let _ = write!(page, "\n{}", start_of_line(&emphasised(option.meaning)));
    if !option.default.is_empty() {
        let _ = write!(page, " [default: {}]", plain(option.default));
    }
    page.push('\n');
}

fn add_paragraphs(page: &mut String, text: &str) {
    for line in text.lines() {
        match line.trim() {
            "" => page.push_str(".PP\n"),
            line => {
                let _ = writeln!(page, "{}", start_of_line(&emphasised(line)));
            }
        }
    }
}

fn add_terms(page: &mut String, terms: &[(&str, &str)]) {
    for (term, meaning) in terms {
        let _ = writeln!(page, ".TP\n\\fB{}\\fR", plain(term));
        add_paragraphs(page, meaning);
    }
}

/// `name(1)` as pages refer to each other.
fn reference(page: &str) -> String {
    match page.split_once('(') {
        Some((name, section)) => format!(".BR {} ({}", plain(name), plain(section)),
        None => format!(".B {}", plain(page)),
    }
}

/// Text in which nothing is a macro or an escape; a dash is one that can be copied, as are quotes.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            c => out.push(c),
        }
    }
    out
}

/// The same, with options in bold. A hyphen between letters stays one.
fn emphasised(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("--") {
        let end = rest[start..].find(|c| !is_part(c)).map_or(rest.len(), |end| start + end);
        let is_option = end > start + 2 && !rest[..start].ends_with(is_part);
        out.push_str(&plain(&rest[..start]));
        let word = plain(&rest[start..end]);
        if is_option {
            let _ = write!(out, "\\fB{word}\\fR");
        } else {
            out.push_str(&word);
        }
        rest = &rest[end..];
    }
    out + &plain(rest)
}

/// A line that starts with a dot would be a macro. (A quote does not start one: it is an escape by now.)
fn start_of_line(text: &str) -> String {
    if text.starts_with('.') { format!("\\&{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::table::Section;
    use super::super::table::tests::PROGRAM;
    use super::*;

    const FULL: Program = Program {
        notes: "See --number.\n\n.A dot and 'quotes' and a\\b.",
        exit_codes: &[("0", "done")],
        environment: &[("NO_COLOR", "no colours")],
        sections: &[Section { title: "FILES", text: "None.", terms: &[("/dev/null", "nothing")] }],
        see_also: &["cat(1)", "sh(1)"],
        ..PROGRAM
    };

    #[test]
    fn the_page_has_every_section_and_option() {
        let page = FULL.manual();
        for part in [
            ".SH NAME\nprogram \\- test\n",
            "\n.TP\n\\fB\\-n\\fR, \\fB\\-\\-number\\fR \\fIN\\fR\na number [default: 1]\n",
            "\n.SH FILES\nNone.\n.TP\n\\fB/dev/null\\fR\nnothing\n",
            "\n.SH EXIT STATUS\n.TP\n\\fB0\\fR\ndone\n",
            "\n.SH EXAMPLES\n.TP\n\\fBprogram \\-n \\(aq2\\(aq .\\fR\n\\&.does what \\fB\\-\\-number\\fR says\n",
            "\n.SH SEE ALSO\n.BR cat (1),\n.BR sh (1)\n",
        ] {
            assert!(page.contains(part), "no {part:?} in\n{page}");
        }
    }

    #[test]
    fn no_text_becomes_a_macro_or_an_escape() {
        assert!(
            FULL.manual().contains("\nSee \\fB\\-\\-number\\fR.\n.PP\n\\&.A dot and \\(aqquotes\\(aq and a\\eb.\n")
        );
        assert_eq!(emphasised("a -- b --x--y, pre--fix"), "a \\-\\- b \\fB\\-\\-x\\-\\-y\\fR, pre\\-\\-fix");
    }
}
