//! Values for tests that go over many: random, and the same in every run.

use super::check_name;

/// Pieces that names and texts are made of: what separates the parts of lines, and what looks like it.
const PIECES: &str = "a|Z|7| |  |x y|\u{e4}|\u{1f642}|\t|\u{a0}|.|_|-|?|=|+|!|:|,|>| > | ?> | => |: |error|error: |who|is| is now |\
    is now| has left|has joined|question | of |nobody here is called |name | is taken|\u{200b}";

/// A small pseudo-random generator (xorshift64*).
pub(super) struct Generator(u64, Vec<&'static str>);

impl Generator {
    pub(super) fn new(seed: u64) -> Generator {
        Generator(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, PIECES.split('|').collect())
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    /// Any text of one line.
    pub(super) fn text(&mut self) -> String {
        let count = self.below(9);
        let piece = |_| {
            let index = self.below(self.1.len());
            self.1[index]
        };
        (0..count).map(piece).collect()
    }

    /// A valid name.
    pub(super) fn name(&mut self) -> String {
        loop {
            let text = self.text();
            if let Ok(name) = check_name(&text) {
                return name.to_owned();
            }
        }
    }

    /// A valid question id.
    pub(super) fn question_id(&mut self) -> String {
        let characters = b"ABCXYZabcxyz0123456789._-";
        (0..1 + self.below(32)).map(|_| char::from(characters[self.below(characters.len())])).collect()
    }
}
