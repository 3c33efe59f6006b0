//! The names that the engine has given to this server's clients, as far as its answers are known. Pure.
//!
//! A change of a name is sent with the name before it, which is looked up here when the change is sent for the first
//! time. Knows nothing of the log and of other servers' clients: `names` has the names of all clients, as they are at
//! one place in the log.

use std::collections::HashMap;
use std::sync::Arc;

use super::piece::Content;

#[derive(Debug, Default)]
pub(super) struct Called {
    /// By client: its name, and whether it logged in deaf.
    names: HashMap<u64, (Arc<str>, bool)>,
}

impl Called {
    /// Fills in the name before a change, unless it was filled in before. Returns false if there is nothing to say: a
    /// client without a name leaves.
    pub(super) fn complete(&self, content: &mut Content) -> bool {
        let Content::Name { client, new, old, deaf } = content else { return true };
        if old.is_none() {
            let before = self.names.get(client);
            *old = Some(before.map(|(name, _)| Arc::clone(name)));
            // Whether it is announced was decided when it logged in.
            *deaf = before.map_or(*deaf, |(_, deaf)| *deaf);
        }
        new.is_some() || old.as_ref().is_some_and(Option::is_some)
    }

    /// Notes that the engine has confirmed this.
    pub(super) fn confirm(&mut self, content: &Content) {
        match content {
            Content::Name { client, deaf, new: Some(new), .. } => {
                self.names.insert(*client, (Arc::clone(new), *deaf));
            }
            Content::Name { client, new: None, .. } => {
                self.names.remove(client);
            }
            Content::Items(_) => {}
        }
    }

    /// Notes that the engine has refused this change: its client is called as before. Returns the client.
    pub(super) fn refuse(&mut self, content: &Content) -> Option<u64> {
        let Content::Name { client, old, deaf, .. } = content else { return None };
        // An engine that has lost what it had confirmed can refuse a name that was given before.
        match old.clone().flatten() {
            Some(before) => drop(self.names.insert(*client, (before, *deaf))),
            None => drop(self.names.remove(client)),
        }
        Some(*client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(deaf: bool, new: Option<&str>) -> Content {
        Content::Name { client: 7, deaf, new: new.map(Arc::from), old: None }
    }

    fn shown(content: &Content) -> String {
        let Content::Name { deaf, new, old, .. } = content else { panic!("{content:?}") };
        let old = old.clone().flatten();
        format!("{deaf} {}:{}", old.as_deref().unwrap_or(""), new.as_deref().unwrap_or(""))
    }

    #[test]
    fn a_change_is_completed_with_the_name_before_it_once() {
        let mut called = Called::default();
        let mut first = change(true, Some("ada"));
        assert!(called.complete(&mut first));
        assert_eq!(shown(&first), "true :ada");
        called.confirm(&first);
        let mut second = change(false, Some("bob"));
        assert!(called.complete(&mut second));
        assert_eq!(shown(&second), "true ada:bob", "it logged in deaf");
        called.confirm(&second);
        // Sent again after a break, it is what it was.
        assert!(called.complete(&mut second));
        assert_eq!(shown(&second), "true ada:bob");
    }

    #[test]
    fn after_a_refusal_a_client_is_called_as_before() {
        let mut called = Called::default();
        let mut taken = change(false, Some("ada"));
        called.complete(&mut taken);
        assert_eq!(called.refuse(&taken), Some(7));
        assert!(!called.complete(&mut change(false, None)), "it has no name, so its leaving is not said");
        let mut given = change(false, Some("bob"));
        called.complete(&mut given);
        called.confirm(&given);
        let mut taken = change(false, Some("ada"));
        called.complete(&mut taken);
        called.refuse(&taken);
        let mut leaves = change(false, None);
        assert!(called.complete(&mut leaves));
        assert_eq!(shown(&leaves), "false bob:");
        called.confirm(&leaves);
        assert!(!called.complete(&mut change(false, None)), "it has left already");
    }
}
