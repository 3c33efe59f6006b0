//! What sessions and the room share, and the one rule for all that is given to anybody.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::atomic::AtomicU64;
use crate::limits::Limits;
use crate::server::client_list::ClientList;
use crate::server::counters::Counters;
use crate::server::member::{HERE, Member, Who};
use crate::server::people::People;
use crate::server::questions::Questions;
use crate::server::stop::Stop;

/// What sessions and the room share.
#[derive(Debug)]
pub(in crate::server) struct Surroundings {
    pub(in crate::server) list: Arc<ClientList>,
    pub(in crate::server) people: People,
    pub(in crate::server) questions: Questions,
    pub(in crate::server) counters: Arc<Counters>,
    pub(in crate::server) stop: Stop,
    pub(super) max_backlog: usize,
    /// This server as the others call it; [`HERE`] if the room is not joined.
    pub(super) own: AtomicU64,
}

impl Surroundings {
    pub(in crate::server) fn new(limits: &Limits, is_room: bool) -> Surroundings {
        let counters = Arc::<Counters>::default();
        Surroundings {
            list: ClientList::new(limits.max_clients, limits.write_max(is_room), Arc::clone(&counters)),
            people: People::default(),
            questions: Questions::default(),
            counters,
            stop: Stop::new(limits),
            max_backlog: limits.max_backlog,
            own: AtomicU64::new(HERE),
        }
    }

    /// A client of this server that has not ended; `None` for one of another server.
    pub(super) fn member(&self, who: Who) -> Option<Arc<Member>> {
        let member = if who.is_here() { self.list.get(who.client) } else { None };
        member.filter(|member| member.end_reason().is_none())
    }

    /// Whether a direct message can be given to a client, as far as this server knows.
    pub(super) fn is_reachable(&self, who: Who) -> bool {
        !who.is_here() || self.member(who).is_some_and(|member| !member.outbox.is_broken())
    }

    pub(super) fn is_joined(&self) -> bool {
        self.own.load(Ordering::Relaxed) != HERE
    }

    /// Whether a client has room for this many bytes more. At half of its backlog or below it takes a piece of
    /// any length: one longer than the backlog could never be sent otherwise.
    pub(super) fn has_room(&self, member: &Member, length: usize) -> bool {
        let waiting = member.outbox.len();
        waiting + length <= self.max_backlog || waiting <= self.max_backlog / 2
    }

    /// A client that can be given this many bytes; `None` if nothing is to be given to it here. `Err` if it has no room.
    pub(super) fn check(&self, who: Who, length: usize) -> Result<Option<Arc<Member>>, Full> {
        match self.member(who) {
            Some(member) if !self.has_room(&member, length) => Err(Full(vec![member])),
            member => Ok(member),
        }
    }

    /// The client and the number of a question that a head names, as the server with the number `by` has written it.
    pub(super) fn read(&self, words: &str, by: u64) -> Option<(Who, u64)> {
        let mut numbers = words.split(' ').map_while(|word| word.parse().ok());
        let (server, client, number) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let server = match server {
            HERE => by,
            own if own == self.own.load(Ordering::Relaxed) => HERE,
            other => other,
        };
        Some((Who { server, client }, number))
    }
}

/// The clients that have no room for the next entry.
#[derive(Debug)]
pub(super) struct Full(pub(super) Vec<Arc<Member>>);
