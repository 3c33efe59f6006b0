//! The texts that go to the server, made and recognised without formatting: a counter in decimal digits, in
//! room work the time of sending, then filler up to the size.
//!
//! `000000041 client-7 abcdefg...` in echo and ask work, `000000041 000000001234567 abc...` in room work. A text
//! shorter than the counter is the last digits of it, so texts near each other always differ. Knows no sockets.

use std::ops::Range;
use std::time::Duration;

/// Enough digits for the most messages that a run can have.
pub(crate) const COUNTER: usize = 9;
/// Where the time stands: nanoseconds in 15 digits, which is eleven days.
const STAMP: Range<usize> = COUNTER + 1..COUNTER + 16;
/// The shortest text with a counter and a time.
pub(crate) const STAMPED_MIN: usize = STAMP.end;

/// One sender's texts, one after another.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    text: Vec<u8>,
    counter: usize,
    /// The time in the text, if it is stamped.
    stamp: Duration,
}

impl Texts {
    /// Texts of `size` bytes. `mark` distinguishes them from those of other clients.
    pub(crate) fn new(mark: &str, size: usize) -> Texts {
        let counter = COUNTER.min(size);
        let start = "0".repeat(counter) + " " + mark + " ";
        let text = start.bytes().chain((b'a'..=b'z').cycle()).take(size).collect();
        Texts { text, counter, stamp: Duration::ZERO }
    }

    /// Texts of `size` bytes, at least [`STAMPED_MIN`], that contain a time.
    pub(crate) fn stamped(size: usize) -> Texts {
        Texts::new(&"0".repeat(STAMP.len()), size)
    }

    pub(crate) fn current(&self) -> &[u8] {
        &self.text
    }

    /// Continues with the next text.
    pub(crate) fn advance(&mut self) {
        count_up(&mut self.text[..self.counter]);
    }

    /// The text with this counter, which becomes the current one.
    pub(crate) fn with_counter(&mut self, counter: &[u8; COUNTER]) -> &[u8] {
        self.text[..self.counter].copy_from_slice(&counter[COUNTER - self.counter..]);
        &self.text
    }

    /// Puts a time into the texts from now on.
    pub(crate) fn stamp(&mut self, time: Duration) {
        self.stamp = time;
        let mut rest = time.as_nanos();
        for digit in self.text[STAMP].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }

    /// The time in `text`, if it is the stamped text with this counter. This is cheap while the time is that of the
    /// text before, as within a batch.
    pub(crate) fn recognise(&mut self, text: &[u8], counter: &[u8; COUNTER]) -> Option<Duration> {
        self.text[..COUNTER].copy_from_slice(counter);
        if text == self.text {
            return Some(self.stamp);
        }
        let digits = text.get(STAMP).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        let nanos = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        self.stamp = Duration::from_nanos(nanos);
        self.text[STAMP].copy_from_slice(digits);
        (text == self.text).then_some(self.stamp)
    }
}

/// Adds one to a number in decimal digits; after the last one comes 0.
pub(crate) fn count_up(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(texts: &Texts) -> &str {
        std::str::from_utf8(texts.current()).unwrap()
    }

    #[test]
    fn texts_have_their_size_and_differ_from_the_ones_near_them() {
        for size in 1..100 {
            let mut texts = Texts::new("client-7", size);
            for _ in 0..25 {
                let before = texts.clone();
                texts.advance();
                assert_eq!(texts.current().len(), size);
                assert_ne!(texts.current(), before.current());
            }
        }
    }

    #[test]
    fn a_text_can_be_made_from_its_counter() {
        for size in [1, 8, 9, 10, 40] {
            let (mut counted, mut made) = (Texts::new("client-7", size), Texts::new("client-7", size));
            let mut counter = [b'0'; COUNTER];
            for _ in 0..25 {
                assert_eq!(made.with_counter(&counter), counted.current());
                counted.advance();
                count_up(&mut counter);
            }
        }
    }

    #[test]
    fn the_counter_carries_and_wraps() {
        let mut texts = Texts::new("client-7", 30);
        assert_eq!(show(&texts), "000000000 client-7 abcdefghijk");
        for _ in 0..1010 {
            texts.advance();
        }
        assert_eq!(show(&texts), "000001010 client-7 abcdefghijk");
        let mut digits = *b"199";
        count_up(&mut digits);
        assert_eq!(&digits, b"200");
        let mut digits = *b"99";
        count_up(&mut digits);
        assert_eq!(&digits, b"00");
    }

    #[test]
    fn a_stamped_text_is_recognised_with_its_time_and_none_other_is() {
        for size in [STAMPED_MIN, STAMPED_MIN + 1, 60] {
            let mut receiver = Texts::stamped(size);
            let mut sender = Texts::stamped(size);
            sender.advance();
            sender.stamp(Duration::from_nanos(1_234_567));
            let text = sender.current().to_owned();
            let time = Duration::from_nanos(1_234_567);
            assert_eq!(receiver.recognise(&text, b"000000001"), Some(time));
            assert_eq!(receiver.recognise(&text, b"000000002"), None);
            assert_eq!(receiver.recognise(&text[1..], b"000000001"), None);
            assert_eq!(receiver.recognise(b"", b"000000001"), None);
            for place in 0..size {
                let mut spoiled = text.clone();
                spoiled[place] = b'!';
                assert_eq!(receiver.recognise(&spoiled, b"000000001"), None, "{place}");
                assert_eq!(receiver.recognise(&text, b"000000001"), Some(time), "after {place}");
            }
        }
    }
}
