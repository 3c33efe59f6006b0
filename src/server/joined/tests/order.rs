//! What servers have shown must be one order, and nothing may be missing in it or stand in it twice, up to a cut-off.
//!
//! A run is what all clients of one server got from joining to a cut-off, or to the end of the test. What is checked:
//! - In each run, the lines of one life of a sender follow each other, and the sender's own server shows them from the
//!   first one on. All that was said in a life that nobody cut off is there; of another life, nothing that was not said.
//! - Runs that nobody cut off end with the same line, and the shorter is the end of the longer.
//! - Runs that have a line in common are equal from there on, until one of them ends. They may part only where the engine
//!   has lost lines, once for each loss, and only if one of the two was cut off: so nobody is shown two histories.

use std::collections::{HashMap, HashSet};

/// What one server's clients saw and its sender said.
#[derive(Debug, Default, Clone)]
pub(super) struct Record {
    /// The sender at this server; its lines are `{name}{life}: {number} …`.
    pub(super) sender: String,
    pub(super) runs: Vec<Vec<String>>,
    /// The life in which each of them began. Another life in it is one that was over, and came to clients who were just
    /// there and were cut off at once.
    pub(super) begins: Vec<u64>,
    /// The last run ended with a cut-off too.
    pub(super) was_cut_off: bool,
    /// How many lines the sender has said in each life.
    pub(super) said: HashMap<u64, u64>,
    /// The life that goes on at the end.
    pub(super) life: u64,
}

impl Record {
    fn live_run(&self) -> Option<&Vec<String>> {
        self.runs.last().filter(|_| !self.was_cut_off)
    }
}

/// Who said a line, in which life, with which number. `None` for a notice.
fn parse(line: &str) -> Option<(&str, u64, u64)> {
    let (sender, rest) = line.split_once(": ")?;
    let (name, life) = sender.split_at(1);
    Some((name, life.parse().ok()?, rest.split(' ').next()?.parse().ok()?))
}

/// Checks what servers have shown. `losses` is how many times the engine may have come back with less than it had given
/// away.
pub(super) fn check(servers: &[Record], losses: usize) -> Result<(), String> {
    for record in servers {
        for (run, begins) in record.runs.iter().zip(&record.begins) {
            check_run(servers, record, run, *begins)?;
        }
        check_live(record)?;
    }
    check_ends(servers)?;
    check_orders(servers, losses)
}

fn check_run(servers: &[Record], record: &Record, run: &[String], begins: u64) -> Result<(), String> {
    let (mut last, mut own_life) = (HashMap::new(), None);
    let mut notices = HashSet::new();
    for line in run {
        let Some((name, life, number)) = parse(line) else {
            if !notices.insert(line) {
                return Err(format!("a notice stands twice: {line}"));
            }
            continue;
        };
        let said = servers.iter().find(|one| one.sender == name).and_then(|one| one.said.get(&life));
        if said.is_none_or(|said| number >= *said) {
            return Err(format!("nobody has said {line}"));
        }
        let is_own = name == record.sender;
        if is_own && *own_life.get_or_insert(life) != life {
            return Err(format!("a sender outlives the cut-off of its server: {line}"));
        }
        let wanted =
            last.insert((name, life), number).map(|before: u64| before + 1).or((is_own && life == begins).then_some(0));
        if wanted.is_some_and(|wanted| number != wanted) {
            return Err(format!("lost, doubled or out of order: {line}, where {} should stand", wanted.unwrap_or(0)));
        }
    }
    Ok(())
}

/// All that was said in the life that goes on has been shown.
fn check_live(record: &Record) -> Result<(), String> {
    let said = record.said.get(&record.life).copied().unwrap_or(0);
    let of_life =
        |line: &&String| parse(line).is_some_and(|(name, life, _)| (name, life) == (&record.sender, record.life));
    let shown = record.live_run().map_or(0, |run| run.iter().filter(of_life).count() as u64);
    if shown == said {
        return Ok(());
    }
    Err(format!("{}{}: said {said} lines, and {shown} are shown", record.sender, record.life))
}

fn check_ends(servers: &[Record]) -> Result<(), String> {
    let Some(longest) = servers.iter().filter_map(Record::live_run).max_by_key(|run| run.len()) else { return Ok(()) };
    for run in servers.iter().filter_map(Record::live_run) {
        if let Some((one, other)) = run.iter().rev().zip(longest.iter().rev()).find(|(one, other)| one != other) {
            return Err(format!("two orders without a cut-off: {one} and {other}"));
        }
    }
    Ok(())
}

fn check_orders(servers: &[Record], losses: usize) -> Result<(), String> {
    let mut runs: Vec<(&[String], bool)> = servers
        .iter()
        .flat_map(|record| {
            let is_live = |index| !record.was_cut_off && index + 1 == record.runs.len();
            record.runs.iter().enumerate().map(move |(index, run)| (&run[..], is_live(index)))
        })
        .filter(|(run, _)| !run.is_empty())
        .collect();
    runs.sort_by_key(|(run, _)| std::cmp::Reverse(run.len()));
    let mut kept: Vec<(&[String], bool, HashMap<&str, usize>)> = Vec::new();
    let mut parted = HashSet::new();
    'runs: for (run, is_live) in runs {
        if losses > 0 {
            // A stretch of a longer run says nothing new. It may begin with a line that was said again after a loss, and
            // would seem to part from those who have seen it before.
            let is_within = |longer: &[String], at: usize| longer[at..].starts_with(run);
            if kept.iter().any(|(longer, _, places)| places.get(&*run[0]).is_some_and(|at| is_within(longer, *at))) {
                continue 'runs;
            }
        }
        for (longer, longer_is_live, places) in &kept {
            let mut common = run.iter().enumerate().filter_map(|(at, line)| Some((*places.get(&**line)?, at)));
            let Some((in_longer, in_run)) = common.next() else { continue };
            let pairs = || longer[in_longer..].iter().zip(&run[in_run..]);
            if let Some(at) = pairs().position(|(one, other)| one != other) {
                let (one, other) = (&longer[in_longer + at - 1..], &run[in_run + at - 1..]);
                parted.insert(&one[0]);
                if (is_live && *longer_is_live) || parted.len() > losses {
                    return Err(format!("two orders after {}: {} and {}", one[0], one[1], other[1]));
                }
            }
            // Without a loss nothing comes at another place, nor from different lines to the same.
            if losses == 0 && (in_longer.min(in_run) > 0 || common.count() + 1 != pairs().count()) {
                return Err(format!("two orders before or after {}", run[in_run]));
            }
        }
        let places = run.iter().enumerate().map(|(at, line)| (&**line, at)).collect();
        kept.push((run, is_live, places));
    }
    Ok(())
}

/// Runs made by hand, each with one thing wrong.
mod tests {
    use super::*;

    fn run(lines: &str) -> Vec<String> {
        lines.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace(':', ": ")).collect()
    }

    /// Of each server what its sender has said in its lives, `!` in front if the last one was cut off, and its runs.
    fn checked(losses: usize, servers: &[(&[u64], &[&str])]) -> Result<(), String> {
        let records: Vec<Record> = servers
            .iter()
            .zip('a'..)
            .map(|((said, runs), name)| Record {
                sender: name.to_string(),
                was_cut_off: runs.last().is_some_and(|run| run.ends_with('!')),
                begins: (0..runs.len() as u64).collect(),
                runs: runs.iter().map(|lines| run(lines.trim_end_matches('!'))).collect(),
                said: said.iter().copied().enumerate().map(|(life, said)| (life as u64, said)).collect(),
                life: said.len() as u64 - 1,
            })
            .collect();
        check(&records, losses)
    }

    #[track_caller]
    fn fails(losses: usize, servers: &[(&[u64], &[&str])], why: &str) {
        let error = checked(losses, servers).expect_err("nothing was found");
        assert!(error.contains(why), "{error}");
    }

    const WHOLE: &str = "a0:0 b0:0 a0:1 b0:1 a0:2";

    #[test]
    fn one_order_passes_with_those_who_came_later_or_were_cut_off() {
        assert_eq!(checked(0, &[(&[3], &[WHOLE]), (&[2], &[WHOLE])]), Ok(()));
        assert_eq!(checked(0, &[(&[3], &[WHOLE]), (&[2], &[WHOLE]), (&[0], &["a0:1 b0:1 a0:2"])]), Ok(()));
        // One that was cut off has missed the middle, and what it said last is lost with it.
        assert_eq!(
            checked(0, &[(&[3], &["a0:0 b0:0 a0:1 b1:0 a0:2"]), (&[4, 1], &["a0:0 b0:0", "b1:0 a0:2"])]),
            Ok(())
        );
        // What it said last can still come, as long as it is in order.
        assert_eq!(checked(0, &[(&[1], &["b0:0 a0:0 b0:1"]), (&[2, 0], &["b0:0!"])]), Ok(()));
        // Nobody was there in between.
        assert_eq!(checked(0, &[(&[2, 1], &["a0:0", "a1:0"]), (&[1, 1], &["a0:0 b0:0", "b1:0 a1:0"])]), Ok(()));
    }

    #[test]
    fn a_line_that_one_or_all_have_lost_is_found() {
        fails(0, &[(&[3], &[WHOLE]), (&[2], &["a0:0 b0:0 b0:1 a0:2"])], "a0: 2");
        fails(0, &[(&[3], &["a0:0 a0:2"]), (&[0], &["a0:0 a0:2"])], "a0: 2");
        // The first, the last, and all of them.
        fails(0, &[(&[3], &["a0:1 a0:2"])], "a0: 1");
        fails(0, &[(&[3], &["a0:0 a0:1"])], "said 3 lines, and 2 are shown");
        fails(0, &[(&[3], &[])], "said 3 lines, and 0 are shown");
        // The sender sees it, another that was there all the time does not.
        fails(0, &[(&[2], &["a0:0 b0:0 a0:1"]), (&[1], &["a0:0 b0:0"])], "two orders without a cut-off");
        fails(0, &[(&[1], &["b0:0 a0:0 b0:1"]), (&[2], &["b0:0 b0:1"])], "two orders");
        // The same before a cut-off.
        fails(0, &[(&[1], &["b0:0 a0:0 b0:1"]), (&[2, 0], &["b0:0 b0:1!"])], "two orders after b0: 0");
        fails(0, &[(&[1, 0], &["b0:0 a0:0 b0:1", ""]), (&[2, 0], &["b0:0 b0:1", ""])], "two orders after b0: 0");
        // The first of a run that was cut off: its sender was there before it.
        fails(0, &[(&[2, 0], &["a0:1!"])], "a0: 1");
        // Two that have both lost the beginning of what the other knows.
        fails(0, &[(&[0, 2], &["b0:0 a1:0 a1:1"]), (&[1, 0], &["c0:0 a1:0 a1:1"]), (&[1], &["c0:0"])], "b0: 0");
    }

    #[test]
    fn a_line_that_stands_twice_is_found() {
        fails(0, &[(&[2], &["a0:0 a0:0 a0:1"])], "a0: 0");
        fails(0, &[(&[2], &["a0:0 a0:1 a0:0"])], "a0: 0");
        fails(0, &[(&[2], &["a0:0 a0:1"]), (&[0], &["a0:0 a0:1 a0:1"])], "a0: 1");
        fails(0, &[(&[1], &["a0:0 ada_has_left ada_has_left"])], "stands twice");
        // Said again to those who stayed, after its sender was cut off and had said it under another number.
        fails(0, &[(&[1], &["b0:0 b0:1 a0:0 b0:1"]), (&[2, 0], &["b0:0 b0:1!"])], "b0: 1");
    }

    #[test]
    fn lines_that_are_swapped_are_found() {
        fails(0, &[(&[2], &["a0:1 a0:0"])], "a0: 1");
        fails(0, &[(&[1], &["a0:0 b0:0"]), (&[1], &["b0:0 a0:0"])], "two orders");
        fails(0, &[(&[2], &["a0:0 b0:0 a0:1"]), (&[1, 0], &["b0:0 a0:0 a0:1!"])], "two orders");
        fails(0, &[(&[1, 1], &["a0:0 b0:0", "a1:0"]), (&[1], &["b0:0 a0:0 a1:0"])], "two orders");
    }

    #[test]
    fn what_nobody_said_or_a_dead_sender_said_is_found() {
        fails(0, &[(&[1], &["a0:0 a0:1"])], "nobody has said");
        fails(0, &[(&[1], &["a0:0 c0:0"])], "nobody has said");
        fails(0, &[(&[1, 1], &["a0:0 a1:0"])], "outlives");
    }

    #[test]
    fn orders_part_only_where_the_engine_has_lost_lines_and_only_with_a_cut_off() {
        // `b` was shown what the engine has lost; `a` says again what it had said.
        let parted: &[(&[u64], &[&str])] =
            &[(&[2], &["a0:0 a0:1 b1:0"]), (&[2, 1], &["a0:0 b0:0 a0:1 b0:1", "a0:1 b1:0"])];
        assert_eq!(checked(1, parted), Ok(()));
        fails(0, parted, "two orders after a0: 0");
        // Both go on after it.
        fails(1, &[(&[2], &["a0:0 a0:1"]), (&[1], &["a0:0 b0:0 a0:1"])], "two orders");
        // They part twice, and the engine has lost lines once.
        let twice: &[(&[u64], &[&str])] = &[(&[3], &["a0:0 a0:1 a0:2"]), (&[1, 1, 0], &["a0:0 b0:0", "a0:1 b1:0!"])];
        fails(1, twice, "two orders");
        assert_eq!(checked(2, twice), Ok(()));
        // What is lost and told is no reason to lose anything of those who stay.
        fails(1, &[(&[3], &["a0:0 a0:2"]), (&[1, 0], &["a0:0 b0:0!"])], "a0: 2");
    }
}
