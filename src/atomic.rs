//! A 64-bit counter that threads share. 32-bit PowerPC, MIPS and older ARM have no such atomic number, so there it is
//! a number under a lock.

#[cfg(target_has_atomic = "64")]
pub use std::sync::atomic::AtomicU64;

#[cfg(not(target_has_atomic = "64"))]
pub use locked::AtomicU64;

/// The part of std's `AtomicU64` that this crate uses. Tested everywhere, used where there is no other.
#[cfg(any(test, not(target_has_atomic = "64")))]
#[allow(dead_code, missing_docs, unreachable_pub)] // as std's, and not used in every build
mod locked {
    use std::sync::atomic::Ordering;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// The order of memory accesses that a lock gives is the strictest there is.
    #[derive(Debug, Default)]
    pub struct AtomicU64(Mutex<u64>);

    impl AtomicU64 {
        pub const fn new(value: u64) -> AtomicU64 {
            AtomicU64(Mutex::new(value))
        }

        fn lock(&self) -> MutexGuard<'_, u64> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub fn load(&self, _: Ordering) -> u64 {
            *self.lock()
        }

        pub fn store(&self, value: u64, order: Ordering) {
            self.swap(value, order);
        }

        pub fn swap(&self, value: u64, _: Ordering) -> u64 {
            std::mem::replace(&mut self.lock(), value)
        }

        pub fn fetch_add(&self, value: u64, _: Ordering) -> u64 {
            let mut number = self.lock();
            let sum = number.wrapping_add(value);
            std::mem::replace(&mut number, sum)
        }

        pub fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
            self.fetch_add(value.wrapping_neg(), order)
        }

        pub fn fetch_max(&self, value: u64, _: Ordering) -> u64 {
            let mut number = self.lock();
            let larger = value.max(*number);
            std::mem::replace(&mut number, larger)
        }

        pub fn fetch_update(
            &self,
            _: Ordering,
            _: Ordering,
            mut change: impl FnMut(u64) -> Option<u64>,
        ) -> Result<u64, u64> {
            let mut number = self.lock();
            match change(*number) {
                Some(changed) => Ok(std::mem::replace(&mut number, changed)),
                None => Err(*number),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;
    use std::thread;

    use super::locked::AtomicU64;

    #[test]
    fn the_locked_number_counts_as_the_atomic_one_does() {
        let number = AtomicU64::new(1);
        assert_eq!(number.fetch_add(u64::MAX, SeqCst), 1);
        assert_eq!(number.fetch_sub(1, SeqCst), 0);
        assert_eq!(number.swap(5, SeqCst), u64::MAX);
        assert_eq!(number.fetch_max(3, SeqCst), 5);
        assert_eq!(number.fetch_max(7, SeqCst), 5);
        assert_eq!(number.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(7)), Ok(7));
        assert_eq!(number.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(7)), Err(0));
        number.store(0, SeqCst);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        number.fetch_add(1, SeqCst);
                    }
                });
            }
        });
        assert_eq!(number.load(SeqCst), 4000);
    }
}
