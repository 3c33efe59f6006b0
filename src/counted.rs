//! Numbers in front of a noun, for log lines and messages: `1 client`, `2 clients`. Knows only nouns whose plural ends in
//! an added `s`. Not for lines on the wire, whose texts are fixed.

use std::fmt;

/// `Display` is the number and the noun, which is given in the singular.
#[derive(Debug, Clone, Copy)]
pub struct Counted<N>(pub N, pub &'static str);

impl<N: fmt::Display + PartialEq + From<u8>> fmt::Display for Counted<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counted(number, noun) = self;
        let ending = if *number == N::from(1) { "" } else { "s" };
        write!(f, "{number} {noun}{ending}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        for (number, wanted) in [(0_usize, "0 clients"), (1, "1 client"), (2, "2 clients"), (11, "11 clients")] {
            assert_eq!(Counted(number, "client").to_string(), wanted);
        }
        assert_eq!(Counted(1_u64, "line").to_string(), "1 line");
    }
}
