//! Which names and question ids are valid. A name is shown to people and separates the parts of lines, so it
//! contains nothing that cannot be seen and nothing that could be taken for another part of a line.

use std::ops::RangeInclusive;

use super::Refusal;

/// The longest name, in characters.
pub const NAME_MAX: usize = 64;

/// The longest question id, in bytes.
pub const QUESTION_ID_MAX: usize = 32;

/// How many questions of one asker can be open at a time.
pub const OPEN_QUESTIONS_MAX: usize = 256;

/// How many answers one client can owe, withdrawn questions included.
pub const OWED_ANSWERS_MAX: usize = 4096;

/// How many names one client can serve.
pub const SERVED_NAMES_MAX: usize = 16;

/// Names that would make messages look like the server's own words.
const RESERVED_NAMES: [&str; 4] = ["error", "who", "stats", "help"];

/// Unicode category Cf (format characters), version 16, and the line and paragraph separators U+2028 and U+2029.
const INVISIBLE: [RangeInclusive<char>; 21] = [
    '\u{ad}'..='\u{ad}',
    '\u{600}'..='\u{605}',
    '\u{61c}'..='\u{61c}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{890}'..='\u{891}',
    '\u{8e2}'..='\u{8e2}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{2064}',
    '\u{2066}'..='\u{206f}',
    '\u{feff}'..='\u{feff}',
    '\u{fff9}'..='\u{fffb}',
    '\u{110bd}'..='\u{110bd}',
    '\u{110cd}'..='\u{110cd}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0001}'..='\u{e0001}',
    '\u{e0020}'..='\u{e007f}',
];

/// Trims a name and checks it.
///
/// ```
/// use localsocket::protocol::{Refusal, check_name};
/// assert_eq!(check_name(" grace hopper "), Ok("grace hopper"));
/// assert_eq!(check_name("ada has left"), Err(Refusal::InvalidName));
/// ```
///
/// # Errors
/// [`Refusal::InvalidName`] unless the name is 1 to [`NAME_MAX`] characters, none of them a control
/// character, an invisible one or one of `:` `,` `>`, does not contain the phrase of a notice, and is not one of
/// `error`, `who`, `stats` and `help`.
pub fn check_name(name: &str) -> Result<&str, Refusal<'_>> {
    let name = name.trim();
    // No character takes more than four bytes, so the characters of a huge name need not be counted.
    let fits = !name.is_empty() && (name.len() <= NAME_MAX || name.chars().take(NAME_MAX + 1).count() <= NAME_MAX);
    let valid = fits && name.chars().all(is_allowed) && !RESERVED_NAMES.contains(&name) && !contains_notice(name);
    if valid { Ok(name) } else { Err(Refusal::InvalidName) }
}

/// Whether a text is a valid name as it stands, without white space around it.
pub(super) fn is_name(name: &str) -> bool {
    check_name(name).is_ok_and(|trimmed| trimmed.len() == name.len())
}

/// Checks the id that an asker gives to a question.
///
/// # Errors
/// [`Refusal::InvalidQuestionId`] unless it is 1 to [`QUESTION_ID_MAX`] of `A-Z a-z 0-9 . _ -`.
pub fn check_question_id(id: &str) -> Result<&str, Refusal<'_>> {
    let fits = (1..=QUESTION_ID_MAX).contains(&id.len());
    let clean = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if fits && clean { Ok(id) } else { Err(Refusal::InvalidQuestionId) }
}

fn is_allowed(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control() && !matches!(c, ':' | ',' | '>');
    }
    !c.is_control() && !is_invisible(c)
}

/// Whether a character shows nothing, or steers how others are shown: Unicode category Cf and the line and paragraph
/// separators. No name contains one; a message can.
pub fn is_invisible(c: char) -> bool {
    !c.is_ascii() && INVISIBLE.iter().any(|range| range.contains(&c))
}

/// Whether the words of a notice are in a name, which would give that notice two readings.
fn contains_notice(name: &str) -> bool {
    let mut before = "";
    name.split(' ').any(|word| {
        let pair = (std::mem::replace(&mut before, word), word);
        matches!(pair, ("has", "joined" | "left") | ("is", "now"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_names_are_trimmed() {
        let longest = "\u{e4}".repeat(NAME_MAX);
        assert_eq!(check_name("\t grace hopper\u{a0}"), Ok("grace hopper"));
        let valid =
            "ada|I am login!|Help|deaf|has leftovers|he has  left|this now|is nowhere|ada ?|\u{1f642}|\u{5d0}\u{628}";
        for name in valid.split('|').chain([&*longest]) {
            assert_eq!(check_name(name), Ok(name));
        }
    }

    #[test]
    fn other_names_are_refused() {
        let too_long = ["x".repeat(NAME_MAX + 1), "\u{e4}".repeat(NAME_MAX + 1), "x".repeat(100_000)];
        let invalid =
            ["", " ", "a:b", "a,b", "a>b", "a\tb", "a\0", "a\u{7f}b", "a\u{85}b", "error", " who ", "stats", "help"];
        let notices = "has joined|has left|is now|x has left|has left x|x is now|is now y|x is now y|is is now|\
                       a has joined b has left";
        let invisible =
            ["a\u{ad}b", "a\u{200b}b", "\u{202e}ada", "a\u{2028}b", "a\u{2029}b", "a\u{2066}b", "\u{feff}a"];
        let all =
            invalid.into_iter().chain(notices.split('|')).chain(invisible).chain(too_long.iter().map(String::as_str));
        for name in all {
            assert_eq!(check_name(name), Err(Refusal::InvalidName), "{name:?}");
        }
        for c in INVISIBLE.iter().cloned().flatten() {
            assert!(check_name(&format!("a{c}b")).is_err(), "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn question_ids_are_short_and_plain() {
        let longest = "x".repeat(QUESTION_ID_MAX);
        for id in ["1", "a.B_c-9", "-", &longest] {
            assert_eq!(check_question_id(id), Ok(id));
        }
        let too_long = "x".repeat(QUESTION_ID_MAX + 1);
        for id in ["", " ", " 1", "a b", "a:b", "\u{e4}", "a/b", "a\n", &too_long] {
            assert_eq!(check_question_id(id), Err(Refusal::InvalidQuestionId), "{id:?}");
        }
    }
}
