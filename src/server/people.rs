//! Who is called what: the named clients of the room, of all servers if several share it.
//!
//! In a room, only delivery changes this, entry by entry, so in a joined room all servers have the same names at the same
//! place of the log. In echo mode sessions do, and several clients may have one name. The lock is innermost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::lock;
use super::room::Who;

/// A named client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: Arc<str>,
    /// The room was told that it has joined, and will be told when it leaves.
    pub(super) announced: bool,
}

#[derive(Debug, Default)]
pub(super) struct People(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    people: BTreeMap<Who, Person>,
    /// The clients with each name; in a room there is one at most.
    names: BTreeMap<Arc<str>, Vec<Who>>,
}

impl People {
    /// The client with a name, the first if there are several.
    pub(super) fn find(&self, name: &str) -> Option<Who> {
        lock(&self.0).names.get(name)?.first().copied()
    }

    pub(super) fn name_of(&self, who: Who) -> Option<Arc<str>> {
        lock(&self.0).people.get(&who).map(|person| Arc::clone(&person.name))
    }

    /// Gives a client a name. Returns what it was before.
    pub(super) fn set(&self, who: Who, person: Person) -> Option<Person> {
        let mut table = lock(&self.0);
        let before = table.remove(who);
        table.names.entry(Arc::clone(&person.name)).or_default().push(who);
        table.people.insert(who, person);
        before
    }

    /// Takes a name, unless another client has it. Returns the name before, and whether the room is told.
    pub(super) fn log_in(&self, who: Who, name: &str, deaf: bool) -> Option<(Option<Arc<str>>, bool)> {
        if self.find(name).is_some_and(|holder| holder != who) {
            return None;
        }
        let before = lock(&self.0).people.get(&who).cloned();
        let announced = before.as_ref().map_or(!deaf, |before| before.announced);
        self.set(who, Person { name: Arc::from(name), announced });
        Some((before.map(|before| before.name), announced))
    }

    /// Forgets a client that has left.
    pub(super) fn remove(&self, who: Who) -> Option<Person> {
        lock(&self.0).remove(who)
    }

    /// The clients of a server, sorted by name.
    pub(super) fn of_server(&self, server: u64) -> Vec<Who> {
        lock(&self.0).names.values().flatten().copied().filter(|who| who.server == server).collect()
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
    fn remove(&mut self, who: Who) -> Option<Person> {
        let person = self.people.remove(&who)?;
        if let Some(clients) = self.names.get_mut(&person.name) {
            clients.retain(|other| *other != who);
            if clients.is_empty() {
                self.names.remove(&person.name);
            }
        }
        Some(person)
    }
}
