//! Times as people write them: in seconds, with as many decimals as they need. Without floating-point numbers, whose text
//! takes 30 KB of code. Pure.

use std::fmt;
use std::time::Duration;

/// `Display` writes all decimals that are not 0, or as many as a precision asks for; it never rounds up.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Seconds(pub Duration);

impl Seconds {
    /// Reads digits with at most one point. Decimals beyond nanoseconds are ignored.
    pub(crate) fn parse(text: &str) -> Option<Seconds> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let is_number = text != "." && !text.is_empty();
        if !is_number || !whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let nanoseconds = format!("{decimals:0<9.9}").parse().ok()?;
        Some(Seconds(Duration::new(format!("0{whole}").parse().ok()?, nanoseconds)))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0.as_secs(), self.0.subsec_nanos());
        f.write_str(match f.precision() {
            Some(decimals) => &text[..text.len() - 9_usize.saturating_sub(decimals)],
            None => text.trim_end_matches('0').trim_end_matches('.'),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0.001", 1_000_000),
            ("1.5", 1_500_000_000),
            ("10", 10_000_000_000),
            ("31536000", 31_536_000_000_000_000),
            ("0.123456789", 123_456_789),
        ] {
            let seconds = Seconds(Duration::from_nanos(nanoseconds));
            assert_eq!((seconds.to_string(), Seconds::parse(text)), (text.to_owned(), Some(seconds)));
        }
        for (text, milliseconds) in [(".5", 500), ("5.", 5000), ("007.2500000000001", 7250)] {
            assert_eq!(Seconds::parse(text), Some(Seconds(Duration::from_millis(milliseconds))), "{text}");
        }
        for text in ["", ".", "+1", "-1", "1e3", "inf", "1.2.3", "1,5", " 1", "18446744073709551616"] {
            assert_eq!(Seconds::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_precision_cuts_decimals_off() {
        let shown = |milliseconds| format!("{:.1}", Seconds(Duration::from_millis(milliseconds)));
        assert_eq!([0, 99, 1250, 12_000].map(shown), ["0.0", "0.0", "1.2", "12.0"]);
    }
}
