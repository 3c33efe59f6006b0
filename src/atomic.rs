//! A 64-bit counter that threads share. 32-bit PowerPC, MIPS and older ARM have no such atomic number, so there it is
//! a number under a lock.

#[cfg(target_has_atomic = "64")]
pub(crate) use std::sync::atomic::AtomicU64;

#[cfg(not(target_has_atomic = "64"))]
pub(crate) use locked::AtomicU64;

/// The part of std's `AtomicU64` that this crate uses. Tested everywhere, used where there is no other.
#[cfg(any(test, not(target_has_atomic = "64")))]
#[allow(missing_docs, unreachable_pub)] // as std's, and not used in every build
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

        pub fn store(&self, value: u64, _: Ordering) {
            *self.lock() = value;
        }

        pub fn fetch_add(&self, value: u64, _: Ordering) -> u64 {
            let mut number = self.lock();
            let sum = number.wrapping_add(value);
            std::mem::replace(&mut number, sum)
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
        assert_eq!((number.fetch_add(u64::MAX, SeqCst), number.load(SeqCst)), (1, 0));
        number.store(7, SeqCst);
        assert_eq!(number.load(SeqCst), 7);
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
