//! What has come and was not given out yet, in order. Pure.
//!
//! It is bounded: of lines that nobody receives, the oldest are dropped, and the stream tells where. Questions and what else
//! happens are never dropped.

use std::collections::VecDeque;

use super::options::Incoming;
use crate::protocol::Event;

/// What the lines may take that wait to be received, in bytes.
const LINES_MAX: usize = 16 << 20;

/// How long lines that are given together grow, in bytes.
const TOGETHER: usize = 64 << 10;

/// What a line takes beside its text: the entry, and what the allocator adds.
const LINE_COST: usize = size_of::<(Moment, Incoming)>() + 16;

/// When something came: on which connection, and after how many answers to pings of the library.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) connection: u64,
    pub(super) pongs: u64,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// See [`ClientOptions::together`](super::ClientOptions::together).
    together: bool,
    entries: VecDeque<(Moment, Incoming)>,
    /// What the lines among them take.
    bytes: usize,
    /// How many there ever were.
    pushed: u64,
    /// That of what comes next.
    pub(super) now: Moment,
    /// The connection over which came what was taken last.
    pub(super) given: u64,
}

impl Inbox {
    pub(super) fn new(together: bool) -> Inbox {
        Inbox { together, ..Inbox::default() }
    }

    pub(super) fn push(&mut self, incoming: Incoming) {
        self.bytes += cost(&incoming);
        self.pushed += 1;
        self.entries.push_back((self.now, incoming));
    }

    /// Adds a line without a mark to the last one, if that came with it and is not long.
    pub(super) fn append(&mut self, line: &str) -> bool {
        match self.entries.back_mut() {
            Some((moment, Incoming::Line { text, mark: None }))
                if self.together && *moment == self.now && text.len() < TOGETHER =>
            {
                text.push('\n');
                text.push_str(line);
                self.bytes += 1 + line.len();
                true
            }
            _ => false,
        }
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Incoming> {
        let oldest = self.entries.pop_front();
        self.give(oldest)
    }

    /// Takes what fits of those that a search has not seen yet, which begins with 0.
    pub(super) fn find(&mut self, seen: &mut u64, mut fits: impl FnMut(&Incoming) -> bool) -> Option<Incoming> {
        let new = self.pushed - std::mem::replace(seen, self.pushed);
        let length = self.entries.len();
        let mut new = length.saturating_sub(new as usize)..length;
        let found = new.find(|index| fits(&self.entries[*index].1))?;
        let found = self.entries.remove(found);
        self.give(found)
    }

    /// Takes the line that came at a certain moment and fits best; of several, the last.
    pub(super) fn take_best<Fit: Ord>(&mut self, moment: Moment, fit: impl Fn(&str) -> Option<Fit>) -> Option<String> {
        let fit = |(index, entry): (usize, &(Moment, Incoming))| match entry {
            (then, Incoming::Line { text, .. }) if *then == moment => Some((fit(text)?, index)),
            _ => None,
        };
        let (_, index) = self.entries.iter().enumerate().filter_map(fit).max()?;
        let best = self.entries.remove(index);
        let Incoming::Line { text, .. } = self.give(best)? else { return None };
        Some(text)
    }

    /// Whether a line is here.
    pub(super) fn contains(&self, line: &str) -> bool {
        self.entries.iter().any(|(_, incoming)| matches!(incoming, Incoming::Line { text, .. } if text == line))
    }

    /// Whether more can come without anything being dropped.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < LINES_MAX
    }

    /// Drops the oldest lines that are too much. To be called before more is read, since what has just come is on its
    /// way to the caller.
    pub(super) fn make_room(&mut self) {
        while self.bytes > LINES_MAX {
            let Some(oldest) = self.entries.iter().position(|(_, incoming)| can_go(incoming)) else { return };
            self.bytes -= cost(&self.entries[oldest].1);
            if oldest > 0 && matches!(self.entries[oldest - 1].1, Incoming::Missed(_)) {
                self.entries.remove(oldest);
            } else {
                let why = format!("more than {LINES_MAX} bytes waited to be received");
                self.entries[oldest].1 = Incoming::Missed(why);
            }
        }
    }

    /// Notes that one is given out.
    fn give(&mut self, entry: Option<(Moment, Incoming)>) -> Option<Incoming> {
        let (moment, incoming) = entry?;
        self.bytes -= cost(&incoming);
        self.given = moment.connection;
        Some(incoming)
    }
}

/// Somebody waits for the answer to a question. How many there can be is bounded by the server.
fn can_go(incoming: &Incoming) -> bool {
    matches!(incoming, Incoming::Line { text, .. } if !matches!(Event::parse(text), Event::Question { .. }))
}

fn cost(incoming: &Incoming) -> usize {
    match incoming {
        Incoming::Line { text, .. } => text.len() + LINE_COST,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Incoming {
        Incoming::Line { text: text.to_owned(), mark: None }
    }

    /// What is there, in short.
    fn rest(inbox: &mut Inbox) -> Vec<String> {
        let short = |incoming| match incoming {
            Incoming::Line { text, .. } => text.chars().take(12).collect(),
            Incoming::Missed(_) => "missed".to_owned(),
            _ => "event".to_owned(),
        };
        std::iter::from_fn(|| inbox.pop()).map(short).collect()
    }

    #[test]
    fn of_what_is_too_much_the_oldest_lines_go_and_nothing_else() {
        let mut inbox = Inbox::default();
        let long = "x".repeat(LINES_MAX / 2);
        for text in ["first", "second", &format!("ada ?> 1: {long}"), "third"] {
            inbox.push(line(text));
        }
        inbox.push(Incoming::Connected);
        let (mut seen, mut looked_at) = (0, Vec::new());
        assert!(inbox.find(&mut seen, |_| false).is_none());
        inbox.make_room();
        inbox.push(line(&format!("bob: {long}")));
        inbox.push(line("last"));
        inbox.make_room();
        // A search that has begun goes on with what is new.
        inbox.find(&mut seen, |new| {
            looked_at.push(cost(new));
            false
        });
        assert_eq!(looked_at.len(), 2);
        assert_eq!(rest(&mut inbox), ["missed", "ada ?> 1: xx", "missed", "event", "missed", "last"]);
        assert_eq!((inbox.bytes, inbox.has_room()), (0, true));
    }

    #[test]
    fn a_search_takes_what_fits_and_keeps_the_rest() {
        let mut inbox = Inbox::default();
        ["a", "b", "a"].iter().for_each(|text| inbox.push(line(text)));
        let is = |wanted: &'static str| move |incoming: &Incoming| matches!(incoming, Incoming::Line { text, .. } if text == wanted);
        let mut seen = 0;
        assert!(inbox.find(&mut seen, is("c")).is_none());
        inbox.push(line("c"));
        assert!(inbox.find(&mut seen, is("c")).is_some() && inbox.find(&mut 0, is("b")).is_some());
        assert!(inbox.contains("a") && !inbox.contains("b"));
        assert_eq!(rest(&mut inbox), ["a", "a"]);
    }

    #[test]
    fn only_lines_that_came_together_become_one_and_only_if_that_is_wanted() {
        let mut inbox = Inbox::new(true);
        assert!(!inbox.append("a"));
        inbox.push(line("a"));
        assert!(inbox.append("b") && inbox.append(""));
        inbox.now.pongs = 1;
        assert!(!inbox.append("c"));
        inbox.push(Incoming::Connected);
        assert!(!inbox.append("c"));
        inbox.push(line(&"x".repeat(TOGETHER)));
        assert!(!inbox.append("c"));
        assert_eq!(rest(&mut inbox), ["a\nb\n", "event", "xxxxxxxxxxxx"]);
        assert_eq!(inbox.bytes, 0);
        let mut inbox = Inbox::new(false);
        inbox.push(line("a"));
        assert!(!inbox.append("b"));
    }

    #[test]
    fn the_best_line_of_one_moment_is_taken_and_of_several_the_last() {
        let mut inbox = Inbox::default();
        for (pongs, text) in [(1, "9"), (2, "3"), (2, "x"), (2, "3"), (2, "1"), (3, "9")] {
            inbox.now.pongs = pongs;
            inbox.push(line(text));
        }
        let moment = Moment { connection: 0, pongs: 2 };
        assert_eq!(inbox.take_best(moment, |text| text.parse::<u8>().ok()).as_deref(), Some("3"));
        assert_eq!(inbox.take_best(moment, |text| (text == "9").then_some(())), None);
        assert_eq!(rest(&mut inbox), ["9", "3", "x", "1", "9"]);
    }
}
