//! Who is called what and serves what: the named clients of the room, of all servers if several share it.
//!
//! In a room, delivery changes this, entry by entry, so in a joined room all servers have the same names at the same
//! place of the log; joining sets it, and a cut-off clears it. In echo mode sessions do, and several clients may have one name. The lock is innermost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::lock;
use super::member::Who;
use crate::protocol::{Refusal, SERVED_NAMES_MAX};

/// A named client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: Arc<str>,
    /// The room was told that it has joined, and will be told when it leaves.
    pub(super) announced: bool,
    /// When it was asked last, counted in questions of all; 0 if it never was.
    pub(super) asked: u64,
}

#[derive(Debug, Default)]
pub(super) struct People(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    people: BTreeMap<Who, Person>,
    /// The clients with each name; in a room there is one at most.
    names: BTreeMap<Arc<str>, Vec<Who>>,
    /// The clients that serve each name. No client has such a name.
    served: BTreeMap<Arc<str>, Vec<Who>>,
    /// How many questions have been put.
    asked: u64,
}

impl People {
    /// The client with a name, the first if there are several.
    pub(super) fn find(&self, name: &str) -> Option<Who> {
        lock(&self.0).names.get(name)?.first().copied()
    }

    pub(super) fn name_of(&self, who: Who) -> Option<Arc<str>> {
        self.get(who).map(|person| person.name)
    }

    pub(super) fn get(&self, who: Who) -> Option<Person> {
        lock(&self.0).people.get(&who).cloned()
    }

    /// Whether a client cannot take a name, because another one has it or somebody serves it.
    pub(super) fn is_taken(&self, name: &str, for_whom: Who) -> bool {
        let table = lock(&self.0);
        let holder = table.names.get(name).and_then(|clients| clients.first());
        holder.is_some_and(|holder| *holder != for_whom) || table.served.contains_key(name)
    }

    /// Gives a client a name.
    pub(super) fn set(&self, who: Who, person: Person) {
        let mut table = lock(&self.0);
        table.unname(who);
        // Not by an entry, which takes more of the stack of a session; an idle client keeps that.
        match table.names.get_mut(&person.name) {
            Some(clients) => clients.push(who),
            None => drop(table.names.insert(Arc::clone(&person.name), vec![who])),
        }
        table.people.insert(who, person);
    }

    /// Forgets a client that has left.
    pub(super) fn remove(&self, who: Who) {
        let mut table = lock(&self.0);
        table.unname(who);
        table.served.retain(|_, clients| {
            clients.retain(|client| *client != who);
            !clients.is_empty()
        });
    }

    /// Lets a client answer questions put to a name.
    pub(super) fn serve<'n>(&self, who: Who, name: &'n str) -> Result<(), Refusal<'n>> {
        let mut table = lock(&self.0);
        if table.names.contains_key(name) {
            return Err(Refusal::NameTaken(name));
        }
        if table.served.get(name).is_some_and(|clients| clients.contains(&who)) {
            return Ok(());
        }
        if table.served.values().filter(|clients| clients.contains(&who)).count() >= SERVED_NAMES_MAX {
            return Err(Refusal::TooManyServed(SERVED_NAMES_MAX));
        }
        table.served.entry(Arc::from(name)).or_default().push(who);
        Ok(())
    }

    /// The clients that serve a name, and when each was asked last.
    pub(super) fn serving(&self, name: &str) -> Vec<(Who, u64)> {
        let table = lock(&self.0);
        let asked = |who: &Who| (*who, table.people.get(who).map_or(0, |person| person.asked));
        table.served.get(name).into_iter().flatten().map(asked).collect()
    }

    /// The names of the clients that serve a name, sorted.
    pub(super) fn names_serving(&self, name: &str) -> Vec<Arc<str>> {
        let serving = self.serving(name);
        let mut names: Vec<Arc<str>> = serving.into_iter().filter_map(|(who, _)| self.name_of(who)).collect();
        names.sort_unstable();
        names
    }

    /// Notes that a question is put to a client, if anybody serves a name.
    pub(super) fn note_asked(&self, who: Who) {
        let mut table = lock(&self.0);
        if table.served.is_empty() {
            return;
        }
        table.asked += 1;
        let now = table.asked;
        if let Some(person) = table.people.get_mut(&who) {
            person.asked = now;
        }
    }

    /// The clients of a server, sorted by name.
    pub(super) fn of_server(&self, server: u64) -> Vec<Who> {
        lock(&self.0).names.values().flatten().copied().filter(|who| who.server == server).collect()
    }

    /// How many clients have a name.
    pub(super) fn len(&self) -> usize {
        lock(&self.0).people.len()
    }

    /// All names, sorted; a name of several clients appears once for each.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        let table = lock(&self.0);
        table.names.iter().flat_map(|(name, all)| all.iter().map(|_| Arc::clone(name))).collect()
    }

    pub(super) fn clear(&self) {
        *lock(&self.0) = Table::default();
    }
}

impl Table {
    fn unname(&mut self, who: Who) {
        let Some(person) = self.people.remove(&who) else { return };
        if let Some(clients) = self.names.get_mut(&person.name) {
            clients.retain(|other| *other != who);
            if clients.is_empty() {
                self.names.remove(&person.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(client: u64) -> Who {
        Who { server: super::super::member::HERE, client }
    }

    fn set(people: &People, client: u64, name: &str) {
        people.set(who(client), Person { name: Arc::from(name), announced: true, asked: 0 });
    }

    #[test]
    fn those_that_serve_are_known_with_the_time_when_they_were_asked() {
        let people = People::default();
        for (client, name) in [(1, "c"), (2, "b"), (3, "a")] {
            set(&people, client, name);
            people.serve(who(client), "jobs").unwrap();
        }
        assert_eq!(people.serving("jobs"), [1, 2, 3].map(|client| (who(client), 0)));
        [1, 3, 1].into_iter().for_each(|client| people.note_asked(who(client)));
        assert_eq!(people.serving("jobs"), [(1, 3), (2, 0), (3, 2)].map(|(client, asked)| (who(client), asked)));
        let names: Vec<String> = people.names_serving("jobs").iter().map(|name| name.to_string()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(people.serving("other").is_empty());
    }
}
