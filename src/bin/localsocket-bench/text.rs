//! The texts of messages, made and read without formatting: `000000041 000000001234567abcdefg...`, the number of the
//! message, when it was written in nanoseconds, and filler up to the size.

use std::ops::Range;
use std::time::Duration;

const NUMBER: Range<usize> = 0..9;
const TIME: Range<usize> = 10..25;
/// The length of the shortest text.
pub(crate) const SHORTEST: usize = TIME.end;
/// As many messages as have numbers.
pub(crate) const MOST: usize = 999_999_999;

/// One client's texts, one after another.
#[derive(Debug)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    time: Duration,
}

impl Text {
    pub(crate) fn new(size: usize) -> Text {
        let start = *b"000000000 000000000000000";
        let bytes = start.into_iter().chain((b'a'..=b'z').cycle()).take(size).collect();
        Text { bytes, time: Duration::ZERO }
    }

    pub(crate) fn set_time(&mut self, time: Duration) {
        self.time = time;
        write(&mut self.bytes[TIME], time.as_nanos() as u64);
    }

    /// The text with this number and the time that was set last.
    pub(crate) fn numbered(&mut self, number: usize) -> &[u8] {
        write(&mut self.bytes[NUMBER], number as u64);
        &self.bytes
    }

    /// The number and the time in a text, `None` if anything else in it is not as it should be. This is cheap while the
    /// time is that of the text before, as within a batch.
    pub(crate) fn read(&mut self, text: &[u8]) -> Option<(usize, Duration)> {
        let (number, []) = digits(text.get(NUMBER)?)? else { return None };
        if text[NUMBER.end..] != self.bytes[NUMBER.end..] {
            let (time, []) = digits(text.get(TIME)?)? else { return None };
            self.set_time(Duration::from_nanos(time));
        }
        (text[NUMBER.end..] == self.bytes[NUMBER.end..]).then_some((number as usize, self.time))
    }
}

fn write(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The number at the start of `bytes`, of 15 digits at most, and what follows it.
pub(crate) fn digits(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let count = bytes.iter().take(15).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(count);
    (count > 0).then(|| (digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_made_and_no_other_is() {
        for size in [SHORTEST, SHORTEST + 1, 60] {
            let (mut made, mut reader) = (Text::new(size), Text::new(size));
            made.set_time(Duration::from_nanos(1_234_567));
            let text = made.numbered(1010).to_owned();
            assert_eq!((&text[..25], text.len()), (&b"000001010 000000001234567"[..], size));
            assert_eq!(reader.read(&text), Some((1010, Duration::from_nanos(1_234_567))));
            assert_eq!(reader.read(&text[1..]), None);
            for place in 0..size {
                let mut spoiled = text.clone();
                spoiled[place] = b'!';
                assert_eq!(reader.read(&spoiled), None, "{place}");
            }
        }
    }
}
