//! The thread that follows the log: reads entry by entry, checks that none is missing, and gives this server's clients
//! what each means for them. While it waits for a slow reader, the position that it reports stays where it is, and the
//! log cannot grow beyond its window: so the slowest reader of all servers holds back all senders.

use std::mem;

use super::delivery::Delivery;
use super::engine::Engine;
use super::entry::{Entry, Item, Position};
use super::failure::JoinError;
use super::shared::{Fault, Shared, State};

const UNREADABLE: &str = "the log holds an entry that no server of this version writes";
const MISSING: &str = "lines are missing in the log";
const EXPIRED: &str = "this server was not heard for its lease, and was taken for dead";
const FOREIGN: &str = "the log holds other lines under this server's name than it has said";

/// The link that the follower is in.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link {
    membership: u64,
    number: u64,
}

impl Link {
    fn of(state: &State) -> Link {
        Link { membership: state.membership, number: state.link }
    }
}

/// Follows link after link until the server stops.
pub(super) fn run(shared: &Shared) {
    let mut last = Link { membership: 0, number: 0 };
    while let Some(link) = next_link(shared, last) {
        last = link;
        if let Err(error) = follow(shared, link) {
            shared.report(link.membership, link.number, Fault::Link(error));
        }
    }
}

fn next_link(shared: &Shared, last: Link) -> Option<Link> {
    let mut state = shared.lock();
    state.is_following = false;
    state.follower_stream = None;
    shared.wake_others(&state);
    loop {
        if state.stopping {
            return None;
        }
        let link = Link::of(&state);
        if link.number != 0 && link != last {
            state.is_following = true;
            return Some(link);
        }
        state = shared.wait_for_change(state, None);
    }
}

fn follow(shared: &Shared, link: Link) -> Result<(), JoinError> {
    let mut engine = Engine::connect(&shared.join, &shared.settings)?;
    let block = shared.settings.block;
    engine.start_reading(block)?;
    {
        let mut state = shared.lock();
        if Link::of(&state) != link {
            return Ok(());
        }
        state.follower_stream = Some(engine.stream().clone());
    }
    let mut goes_on = true;
    while goes_on {
        let (position, longest) = {
            let state = shared.lock();
            if Link::of(&state) != link || state.stopping {
                return Ok(());
            }
            (state.position, state.longest)
        };
        engine.read_log(position, block, longest, |position, header, data| {
            goes_on = match take(shared, link, position, header, data) {
                Ok(goes_on) => goes_on,
                Err(why) => {
                    shared.report(link.membership, link.number, Fault::Membership(why));
                    false
                }
            };
            goes_on
        })?;
    }
    Ok(())
}

/// Gives one entry to this server's clients. False if the link is over.
fn take(shared: &Shared, link: Link, position: Position, header: &[u8], data: &[u8]) -> Result<bool, &'static str> {
    let mut deliveries = Vec::new();
    let mut state = shared.lock();
    if Link::of(&state) != link {
        return Ok(false);
    }
    if !position.follows(state.position, data.len()) {
        return Err(MISSING);
    }
    let entry = Entry::read(header, data).map_err(|_| UNREADABLE)?;
    let is_own = apply(&mut state, entry, &mut deliveries)?;
    drop(state);
    loop {
        if !deliveries.is_empty() {
            shared.local.deliver(&deliveries);
            deliveries.clear();
        }
        let mut state = shared.lock();
        if state.membership != link.membership {
            return Ok(false);
        }
        if is_own {
            let State { outgoing, replica, .. } = &mut *state;
            // Words that were added meanwhile.
            for (_, words) in outgoing.take_own_words() {
                replica.own_words(words, &mut deliveries);
            }
            if !deliveries.is_empty() {
                continue;
            }
            outgoing.pop();
        }
        state.position = position;
        if position.end.saturating_sub(state.reported.end) >= state.window / 8 {
            shared.wake_speaker(&state);
        }
        shared.wake_others(&state);
        return Ok(true);
    }
}

/// Applies an entry here. Returns whether it is one of this server's own.
fn apply<'a>(state: &mut State, entry: Entry<'a>, out: &mut Vec<Delivery<'a>>) -> Result<bool, &'static str> {
    let own = state.server.clone();
    let State { outgoing, replica, .. } = state;
    match entry {
        Entry::Said { server, number, items } => {
            let is_own = *server == *own;
            let mut words = Default::default();
            if is_own {
                outgoing.see(number).map_err(|_| FOREIGN)?;
                words = outgoing.take_own_words();
            }
            let mut rest = items;
            while !rest.is_empty() {
                let offset = items.len() - rest.len();
                while words.front().is_some_and(|(before, _)| *before <= offset) {
                    words.pop_front().into_iter().for_each(|(_, words)| replica.own_words(words, out));
                }
                let item = Item::take(&mut rest).map_err(|_| UNREADABLE)?;
                replica.said(server, item, out);
            }
            mem::take(&mut words).into_iter().for_each(|(_, words)| replica.own_words(words, out));
            Ok(is_own)
        }
        Entry::Named { server, number, client, deaf, old, new } => {
            let is_own = *server == *own;
            if is_own {
                outgoing.see(number).map_err(|_| FOREIGN)?;
            }
            replica.named(server, (client, deaf), old, new, out);
            Ok(is_own)
        }
        Entry::Gone { server } if *server == *own => Err(EXPIRED),
        Entry::Gone { server } => {
            replica.gone(server, out);
            Ok(false)
        }
    }
}
