//! What a client is to get, and whether what comes is that.

use super::oracle::Oracle;
use crate::common::*;
use Expected::{Any, Line, Mark, Since, Start};

#[derive(Debug)]
pub enum Expected {
    Line(String),
    /// A line that begins so.
    Start(&'static str),
    /// These lines in any order.
    Any(Vec<String>),
    /// The mark behind so many lines.
    Mark(usize),
    /// What a mark brings, or that it brings nothing, when the room has had so many lines.
    Since(String, usize),
}

impl Oracle {
    /// Compares lines as they come with what was expected.
    pub fn check(&mut self, expected: VecDeque<Expected>, mut line: impl FnMut() -> String) {
        for expected in expected {
            match expected {
                Line(wanted) => assert_eq!(line(), wanted),
                Start(wanted) => {
                    let got = line();
                    assert!(got.starts_with(wanted), "{got} instead of {wanted}");
                }
                Any(mut wanted) => {
                    let mut got: Vec<String> = wanted.iter().map(|_| line()).collect();
                    got.sort();
                    wanted.sort();
                    assert_eq!(got, wanted);
                }
                Mark(now) => {
                    let got = line();
                    let (life, number) = got.strip_prefix("at ").and_then(|mark| mark.split_once('.')).unwrap();
                    assert!((self.life.is_empty() || self.life == life) && number.parse() == Ok(now), "{got}: {now}");
                    life.clone_into(&mut self.life);
                }
                Since(mark, now) => {
                    self.check_since(&mark, now, line()).iter().for_each(|old| assert_eq!(&line(), old))
                }
            }
        }
    }

    /// The lines that follow the answer to `since:`.
    fn check_since(&self, mark: &str, now: usize, answer: String) -> &[String] {
        let number = |mark: &str| {
            let number = mark.strip_prefix(&self.life)?.strip_prefix('.')?.parse().ok();
            number.filter(|number| *number <= now)
        };
        let size = |from: usize| self.lines[from..now].iter().map(|line| line.len() + 2).sum::<usize>();
        let Some(from) = answer.strip_prefix("at ").and_then(number) else {
            assert_eq!(answer, format!("error: lines since {mark} are not kept"));
            assert!(number(mark).is_none_or(|from| size(from) > self.history / 2), "{mark} at {now}: not kept");
            assert_ne!(mark, "all");
            return &[];
        };
        assert!(mark == "all" || answer == format!("at {mark}"), "{mark}: {answer}");
        assert!(size(from) <= self.history, "{mark}: {} bytes are kept", size(from));
        assert!(mark != "all" || from == 0 || size(from - 1) > self.history / 2, "all: {from} of {now}");
        &self.lines[from..now]
    }
}
