//! Compares what all clients got: one order, nothing lost, doubled or swapped while a connection lasted.

use super::client::Client;
use super::life::{Event, Life, Who};
use crate::common::*;

/// One order of the room, worked out from what each client got.
pub fn one_order(lives: &[&Life]) -> Result<Vec<Event>, String> {
    let (mut next, mut previous) = (HashMap::new(), HashMap::new());
    let mut all = HashSet::new();
    for life in lives {
        let mut own = HashSet::with_capacity(life.events.len());
        for event in &life.events {
            if !own.insert(*event) {
                return Err(format!("{:?} got {event:?} twice", life.who));
            }
        }
        all.extend(own);
        for pair in life.events.windows(2) {
            let (after, before) =
                (*next.entry(pair[0]).or_insert(pair[1]), *previous.entry(pair[1]).or_insert(pair[0]));
            if after != pair[1] || before != pair[0] {
                return Err(format!("{:?} got {pair:?}; others {before:?} and {after:?} beside them", life.who));
            }
        }
    }
    // Somebody was there all the time, so there is one beginning.
    let mut firsts = all.iter().filter(|event| !previous.contains_key(event));
    let (Some(first), None) = (firsts.next(), firsts.next()) else { return Err("the order has gaps".to_owned()) };
    let order: Vec<Event> = std::iter::successors(Some(*first), |event| next.get(event).copied()).collect();
    if order.len() == all.len() { Ok(order) } else { Err("the order goes in a circle".to_owned()) }
}

/// Everybody joined, said what it said in its order, and left if it is gone.
fn check_words(order: &[Event], lives: &[&Life]) -> Result<(), String> {
    let known: HashMap<Who, &Life> = lives.iter().map(|life| (life.who, *life)).collect();
    let mut talking: HashMap<Who, u32> = HashMap::new();
    let (mut left, mut names) = (HashSet::new(), HashMap::new());
    for event in order {
        let is_right = match event {
            Event::Joined(who) => known.contains_key(who) && !left.contains(who) && talking.insert(*who, 0).is_none(),
            Event::Said(who, number) => talking.get_mut(who).is_some_and(|next| {
                *next += 1;
                *next == number + 1 && *next <= known[who].said
            }),
            Event::Renamed(who, number) => {
                talking.contains_key(who) && names.insert(*who, *number).unwrap_or_default() + 1 == *number
            }
            Event::Left(who) => left.insert(*who) && talking.remove(who).is_some(),
        };
        if !is_right {
            return Err(format!("{event:?} is lost, doubled or out of order"));
        }
    }
    for life in lives.iter().filter(|life| life.is_live || life.has_joined) {
        let said = talking.get(&life.who).copied();
        if life.is_live && (said != Some(life.said) || life.events.last() != order.last()) {
            return Err(format!("{:?} has said {} lines, and {said:?} came", life.who, life.said));
        }
        if !life.is_live && !left.contains(&life.who) {
            return Err(format!("{:?} is gone and never left", life.who));
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
                && received.is_sorted_by(|one, other| one < other)
                && confirmed.is_sorted_by(|one, other| one < other);
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

pub fn check(lives: &[&Life]) -> Result<usize, String> {
    let order = one_order(lives)?;
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
    let who = (0, 0);
    let said = |number| Event::Said(who, number);
    let life = |client: u8, events: Vec<Event>| {
        let mut life = Life::new((client, 0), 0);
        (life.is_live, life.said, life.events) = (client == 0, if client == 0 { 3 } else { 0 }, events);
        life
    };
    let whole = || life(0, vec![Event::Joined(who), said(0), said(1), said(2)]);
    let checked = |events| check(&[&whole(), &life(1, events)]);
    assert_eq!(checked(vec![said(1), said(2)]), Ok(4));
    assert_eq!(checked(vec![said(0), said(1)]), Ok(4));
    let wrong =
        [vec![said(0), said(2)], vec![said(0), said(1), said(1)], vec![said(1), said(0)], vec![said(2), said(3)]];
    for events in wrong.into_iter().chain([vec![said(2), said(0)], vec![Event::Left(who), said(2)]]) {
        assert!(checked(events.clone()).is_err(), "{events:?}");
    }
    for events in [vec![said(0), said(1), said(2)], vec![Event::Joined(who), said(0), said(2)]] {
        assert!(check(&[&life(0, events)]).is_err());
    }
    assert!(check(&[&life(0, vec![Event::Joined(who), said(0), said(1)])]).is_err(), "the last");
    let direct = |confirmed: &[u32], received: &[u32]| {
        let mut lives = [whole(), life(1, Vec::new())];
        lives[1].is_live = true;
        lives[0].confirmed.insert((1, 0), confirmed.to_vec());
        lives[1].received.insert(who, received.to_vec());
        check_direct(&[&lives[0], &lives[1]]).is_ok()
    };
    assert!(direct(&[0, 1, 3], &[0, 1, 3]));
    assert!(!direct(&[0, 1], &[0]) && !direct(&[0], &[0, 1]) && !direct(&[0, 1], &[1, 0]) && !direct(&[0, 0], &[0, 0]));
}
