//! The names of all servers' clients, as they are at one place in the log. Pure.
//!
//! Every server keeps this copy, changed by nothing but entries in their order, so at one place in the log all copies
//! are equal. For the table of questions each named client has a number: this server's own clients have theirs, those
//! of other servers get one from [`OTHERS`] on.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use super::entry::NotAnEntry;

/// The first number of other servers' clients.
const OTHERS: u64 = 1 << 63;

/// The client that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) server: Arc<str>,
    pub(super) client: u64,
    /// It logged in deaf, so it is not announced.
    pub(super) deaf: bool,
}

impl FromStr for Holder {
    type Err = NotAnEntry;

    fn from_str(text: &str) -> Result<Holder, NotAnEntry> {
        let words: Vec<&str> = text.split(' ').collect();
        let [server, client, deaf] = words[..] else { return Err(NotAnEntry) };
        Ok(Holder { server: Arc::from(server), client: client.parse().map_err(|_| NotAnEntry)?, deaf: deaf == "1" })
    }
}

/// A named client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: Arc<str>,
    /// Its number in the table of questions.
    pub(super) number: u64,
    pub(super) deaf: bool,
}

impl Named {
    /// The client, if it is one of this server's.
    pub(super) fn own(&self) -> Option<u64> {
        own_client(self.number)
    }
}

/// The client behind a number, if it is one of this server's.
pub(super) fn own_client(number: u64) -> Option<u64> {
    (number < OTHERS).then_some(number)
}

#[derive(Debug, Default)]
pub(super) struct Names {
    own: Arc<str>,
    by_name: BTreeMap<Arc<str>, (Arc<str>, u64)>,
    by_server: HashMap<Arc<str>, HashMap<u64, Named>>,
    given: u64,
}

impl Names {
    pub(super) fn new(own: &Arc<str>, holders: BTreeMap<Arc<str>, Holder>) -> Names {
        let mut names = Names { own: Arc::clone(own), ..Names::default() };
        for (name, Holder { server, client, deaf }) in holders {
            names.set(&server, client, deaf, None, Some(&name));
        }
        names
    }

    /// Whether this is the server that keeps this copy.
    pub(super) fn is_own(&self, server: &str) -> bool {
        *server == *self.own
    }

    /// The client with this name.
    pub(super) fn find(&self, name: &str) -> Option<&Named> {
        let (server, client) = self.by_name.get(name)?;
        self.client(server, *client)
    }

    pub(super) fn client(&self, server: &str, client: u64) -> Option<&Named> {
        self.by_server.get(server)?.get(&client)
    }

    /// Notes that a client has a new name, or has left (`new` is `None`). Returns its entry; if it has left, the last
    /// one.
    pub(super) fn set(
        &mut self,
        server: &str,
        client: u64,
        deaf: bool,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Option<Named> {
        if let Some(old) = old {
            self.by_name.remove(old);
        }
        let Some(new) = new else {
            let clients = self.by_server.get_mut(server)?;
            let gone = clients.remove(&client);
            if clients.is_empty() {
                self.by_server.remove(server);
            }
            return gone;
        };
        let (server, name): (Arc<str>, Arc<str>) = (Arc::from(server), Arc::from(new));
        self.by_name.insert(Arc::clone(&name), (Arc::clone(&server), client));
        let is_own = self.is_own(&server);
        let given = &mut self.given;
        let named = self.by_server.entry(server).or_default().entry(client).or_insert_with(|| {
            *given += u64::from(!is_own);
            Named { name: Arc::clone(&name), number: if is_own { client } else { OTHERS + *given }, deaf }
        });
        named.name = name;
        named.deaf = deaf;
        Some(named.clone())
    }

    /// Forgets all clients of a server. Returns them, sorted by name.
    pub(super) fn remove_server(&mut self, server: &str) -> Vec<Named> {
        let mut gone: Vec<Named> = self.by_server.remove(server).unwrap_or_default().into_values().collect();
        gone.sort_by(|one, other| one.name.cmp(&other.name));
        for named in &gone {
            self.by_name.remove(&named.name);
        }
        gone
    }

    /// All names, sorted.
    pub(super) fn all(&self) -> Vec<String> {
        self.by_name.keys().map(|name| name.to_string()).collect()
    }

    /// Appends all names, sorted, with `, ` between them.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        for (index, name) in self.by_name.keys().enumerate() {
            out.extend_from_slice(if index == 0 { b"" } else { b", " });
            out.extend_from_slice(name.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let holder = |server: &str, client, deaf| Holder { server: Arc::from(server), client, deaf };
        let holders = [("ada", holder("A", 1, false)), ("zoe", holder("B", 1, true)), ("Bob", holder("B", 2, false))];
        Names::new(&Arc::from("A"), holders.into_iter().map(|(name, holder)| (Arc::from(name), holder)).collect())
    }

    fn shown(names: &Names) -> String {
        let mut out = Vec::new();
        names.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_found_and_sorted_by_bytes() {
        let names = names();
        assert_eq!(shown(&names), "Bob, ada, zoe");
        assert_eq!(names.find("ada").unwrap().own(), Some(1));
        assert_eq!(names.find("Bob").unwrap().own(), None);
        assert!(names.find("zoe").unwrap().deaf);
        assert!(names.find("bob").is_none() && names.client("B", 3).is_none());
        assert_eq!(shown(&Names::default()), "");
    }

    #[test]
    fn a_renamed_client_keeps_its_number_and_one_that_goes_is_forgotten() {
        let mut names = names();
        let before = names.find("Bob").unwrap().number;
        assert_eq!(names.set("B", 2, false, Some("Bob"), Some("bob")).unwrap().number, before);
        assert!(names.find("Bob").is_none());
        assert_eq!(names.client("B", 2).unwrap().name, Arc::from("bob"));
        assert_eq!(&*names.set("B", 2, false, Some("bob"), None).unwrap().name, "bob");
        assert_eq!(shown(&names), "ada, zoe");
        // A later client has a number of its own.
        assert_ne!(names.set("C", 2, false, None, Some("bob")).unwrap().number, before);
        // The name it has already.
        names.set("C", 2, false, Some("bob"), Some("bob"));
        assert_eq!(shown(&names), "ada, bob, zoe");
    }

    #[test]
    fn a_server_goes_with_all_its_clients() {
        let mut names = names();
        let gone: Vec<_> = names.remove_server("B").into_iter().map(|named| (named.name, named.deaf)).collect();
        assert_eq!(gone, [(Arc::from("Bob"), false), (Arc::from("zoe"), true)]);
        assert_eq!(shown(&names), "ada");
        assert!(names.remove_server("B").is_empty());
    }

    #[test]
    fn holders_are_read_as_the_script_writes_them() {
        assert_eq!("A 7 1".parse(), Ok(Holder { server: Arc::from("A"), client: 7, deaf: true }));
        for text in ["", "A 7", "A x 0", "A 7 1 1"] {
            assert!(text.parse::<Holder>().is_err(), "{text}");
        }
    }
}
