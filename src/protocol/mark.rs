//! A place in the order of a room.

use std::fmt;

/// A place in the order of a room: between the line with this number and the next one.
///
/// `Display` writes it as it stands in `at <mark>` and `since:<mark>`, [`Mark::parse`] reads it. A client that knows its
/// mark keeps it up to date by adding 1 for each message and each notice that it hears.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Tells this life of the room from others. A server that starts anew begins another one.
    pub room: Box<str>,
    /// How many lines the room has had.
    pub number: u64,
}

impl Mark {
    /// Reads `<room>.<number>`, as a server writes it.
    ///
    /// ```
    /// use localsocket::protocol::Mark;
    /// let mark = Mark::parse("5f3c.17").unwrap();
    /// assert_eq!((&*mark.room, mark.number), ("5f3c", 17));
    /// assert_eq!(Mark::parse("all"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Mark> {
        let (room, number) = text.split_once('.')?;
        let is_plain = !room.is_empty() && room.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let mark = Mark { room: Box::from(room), number: number.parse().ok()? };
        // One place has one spelling: no sign, no leading zeros.
        (is_plain && mark.to_string() == text).then_some(mark)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.room, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_spelling() {
        for text in ["0.0", "5f3c.17", "a.18446744073709551615"] {
            assert_eq!(Mark::parse(text).map(|mark| mark.to_string()).as_deref(), Some(text));
        }
        for text in
            ["", ".", "all", "5f3c", ".1", "a.", "a.+1", "a.01", "a.-1", "a.1.2", "a b.1", "a.18446744073709551616"]
        {
            assert_eq!(Mark::parse(text), None, "{text:?}");
        }
    }
}
