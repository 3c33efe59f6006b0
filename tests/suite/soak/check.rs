//! Compares what all clients got: one order, nothing lost, doubled or swapped while a connection lasted.

use super::client::Client;
use super::life::{Life, Told, Who};
use crate::common::*;

/// One order of the room, worked out from what each client got.
fn one_order(lives: &[&Life]) -> Result<Vec<Told>, String> {
    let (mut next, mut previous, mut all) = (HashMap::new(), HashMap::new(), HashSet::new());
    for Life { who, heard, .. } in lives {
        let own: HashSet<Told> = heard.iter().copied().collect();
        if own.len() < heard.len() {
            return Err(format!("{who:?} got something twice"));
        }
        all.extend(own);
        for pair in heard.windows(2) {
            let (after, before) =
                (*next.entry(pair[0]).or_insert(pair[1]), *previous.entry(pair[1]).or_insert(pair[0]));
            if after != pair[1] || before != pair[0] {
                return Err(format!("{who:?} got {pair:?}; others {before:?} and {after:?} beside them"));
            }
        }
    }
    // Some clients stay, and two servers are never disturbed at a time, so somebody was there all the time.
    let firsts: Vec<Told> = all.iter().filter(|told| !previous.contains_key(told)).copied().collect();
    let [first] = firsts[..] else { return Err(format!("the order has gaps: nothing comes before {firsts:?}")) };
    let order: Vec<Told> = std::iter::successors(Some(first), |told| next.get(told).copied()).collect();
    if order.len() == all.len() { Ok(order) } else { Err("the order goes in a circle".to_owned()) }
}

/// Each line has the number that the marks give it, so nothing is missing that nobody has heard.
fn check_marks(order: &[Told], lives: &[&Life]) -> Result<(), String> {
    let places: HashMap<Told, u64> = order.iter().copied().zip(1..).collect();
    for life in lives {
        let Some(((first, _), told)) = life.stretch().zip(life.heard.first()) else { continue };
        if places[told] != first {
            return Err(format!("{:?} counts {told:?} as line {first}, and it is line {}", life.who, places[told]));
        }
    }
    Ok(())
}

/// Everybody joined, said what it said in its order, and left if it is gone.
fn check_words(order: &[Told], lives: &[&Life]) -> Result<(), String> {
    let known: HashMap<Who, &Life> = lives.iter().map(|life| (life.who, *life)).collect();
    let mut talking: HashMap<Who, u32> = HashMap::new();
    let (mut left, mut names) = (HashSet::new(), HashMap::new());
    for told in order {
        let is_right = match told {
            Told::Joined(who) => known.contains_key(who) && !left.contains(who) && talking.insert(*who, 0).is_none(),
            Told::Said(who, number) => talking.get_mut(who).is_some_and(|next| {
                *next += 1;
                *next == number + 1 && *next <= known[who].said
            }),
            Told::Renamed(who, number) => {
                talking.contains_key(who) && names.insert(*who, *number).unwrap_or_default() + 1 == *number
            }
            Told::Left(who) => left.insert(*who) && talking.remove(who).is_some(),
        };
        if !is_right {
            return Err(format!("{told:?} is lost, doubled or out of order"));
        }
    }
    for life in lives {
        let said = talking.get(&life.who).copied();
        let is_right = match life.is_live {
            true => said == Some(life.said) && life.heard.last() == order.last(),
            false => !life.has_joined || left.contains(&life.who),
        };
        if !is_right {
            return Err(format!("{:?} has said {} lines, and {said:?} came, or it never left", life.who, life.said));
        }
    }
    Ok(())
}

/// What was confirmed was given to its receiver, in its order, unless one of the two was gone.
fn check_direct(lives: &[&Life]) -> Result<(), String> {
    let none = Vec::new();
    for sender in lives {
        for receiver in lives {
            let confirmed = sender.confirmed.get(&receiver.who).unwrap_or(&none);
            let received = receiver.received.get(&sender.who).unwrap_or(&none);
            let common = confirmed.len().min(received.len());
            let is_right = confirmed[..common] == received[..common]
                && (!receiver.is_live || received.len() >= confirmed.len())
                && (!sender.is_live || confirmed.len() >= received.len())
                && [received, confirmed].iter().all(|numbers| numbers.is_sorted_by(|one, other| one < other));
            if !is_right {
                let who = (sender.who, receiver.who);
                return Err(format!("to: {who:?}: confirmed {confirmed:?}, received {received:?}"));
            }
        }
        let is_live = |who: &&Who| lives.iter().any(|life| life.who == **who && life.is_live);
        if let Some(asker) = sender.gone.iter().find(is_live) {
            return Err(format!("{:?} could not answer {asker:?}, which is there", sender.who));
        }
    }
    Ok(())
}

/// How many lines there were.
pub fn check(lives: &[&Life]) -> Result<usize, String> {
    let order = one_order(lives)?;
    check_marks(&order, lives)?;
    check_words(&order, lives)?;
    check_direct(lives)?;
    Ok(order.len())
}

/// Reads all lives of all clients.
pub fn with_lives<T>(clients: &[Client], read: impl FnOnce(&[&Life]) -> T) -> T {
    let locks: Vec<_> = clients.iter().map(|client| client.lives.lock().unwrap()).collect();
    let lives: Vec<&Life> = locks.iter().flat_map(|lives| lives.iter()).collect();
    read(&lives)
}

#[test]
fn a_lost_a_doubled_and_a_swapped_line_are_found() {
    use Told::{Joined, Left, Said};
    const ADA: Who = (0, 0);
    let said = |numbers: &[u32]| numbers.iter().map(|number| Said(ADA, *number)).collect::<Vec<_>>();
    let all = [vec![Joined(ADA)], said(&[0, 1, 2])].concat();
    // One that talks, and another one that has heard something.
    let lives = |talker: &[Told], other: &[Told]| {
        let mut lives = [talker, other].map(|heard| Life { heard: heard.to_vec(), ..Life::default() });
        (lives[0].is_live, lives[0].said, lives[1].who) = (true, 3, (1, 0));
        lives
    };
    let is_right = |talker: &[Told], other: &[Told]| check(&lives(talker, other).each_ref()).is_ok();
    assert!(is_right(&all, &said(&[1, 2])) && is_right(&all, &said(&[0, 1])));
    for wrong in [&[0, 2][..], &[0, 1, 1], &[1, 0], &[2, 3], &[2, 0]] {
        assert!(!is_right(&all, &said(wrong)), "{wrong:?}");
    }
    for (talker, other) in
        [(&all[..], &[Left(ADA), all[3]][..]), (&all[1..], &[]), (&[all[0], all[1], all[3]], &[]), (&all[..3], &[])]
    {
        assert!(!is_right(talker, other), "{talker:?} {other:?}");
    }
    let direct = |confirmed: &[u32], received: &[u32]| {
        let mut lives = lives(&all, &[]);
        lives[1].is_live = true;
        lives[0].confirmed.insert((1, 0), confirmed.to_vec());
        lives[1].received.insert(ADA, received.to_vec());
        check_direct(&lives.each_ref()).is_ok()
    };
    assert!(direct(&[0, 1, 3], &[0, 1, 3]));
    assert!(!direct(&[0, 1], &[0]) && !direct(&[0], &[0, 1]) && !direct(&[0, 1], &[1, 0]) && !direct(&[0, 0], &[0, 0]));
}
