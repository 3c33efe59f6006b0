//! Which questions that are being answered somebody still waits for. A command whose asker has gone could otherwise write
//! for ever, and keep its place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Entry = (String, String, Arc<AtomicBool>);

/// Questions that are being answered, by asker and id.
#[derive(Debug, Default)]
pub(crate) struct Wanted(Mutex<Vec<Entry>>);

/// One of them, as long as it is being answered.
pub(crate) struct Answering<'a> {
    all: &'a Wanted,
    ended: Arc<AtomicBool>,
}

impl Wanted {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, asker: &str, id: &str) -> Answering<'_> {
        let ended = Arc::new(AtomicBool::new(false));
        self.entries().push((asker.to_owned(), id.to_owned(), Arc::clone(&ended)));
        Answering { all: self, ended }
    }

    /// The server has said that there is no such question any more.
    pub(crate) fn end(&self, asker: &str, id: &str) {
        for (_, _, ended) in self.entries().iter().filter(|entry| entry.0 == asker && entry.1 == id) {
            ended.store(true, Ordering::SeqCst);
        }
    }

    /// All of them have ended with their connection.
    pub(crate) fn end_all(&self) {
        for (_, _, ended) in &*self.entries() {
            ended.store(true, Ordering::SeqCst);
        }
    }
}

impl Answering<'_> {
    pub(crate) fn is_wanted(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.all.entries().retain(|(_, _, ended)| !Arc::ptr_eq(ended, &self.ended));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_wanted_until_it_has_ended() {
        let all = Wanted::default();
        all.end("ada", "1");
        let (one, two) = (all.begin("ada", "1"), all.begin("ada", "2"));
        assert!(one.is_wanted());
        all.end("bob", "1");
        all.end("ada", "1");
        assert!(!one.is_wanted() && two.is_wanted());
        drop(one);
        assert!(all.begin("ada", "1").is_wanted());
        all.end_all();
        assert!(!two.is_wanted());
        drop(two);
        assert!(all.entries().is_empty());
    }
}
