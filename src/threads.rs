//! Starts threads with a small stack, and gives a time limit to what has none of its own.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::limits::STACK_SIZE;

/// The stack of a thread that runs what others have written, such as a name service's modules.
const FOREIGN_STACK_SIZE: usize = 2 * 1024 * 1024;

/// Starts a thread with a small stack.
///
/// # Errors
/// The system has no more threads.
pub fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    spawn(name, STACK_SIZE, Box::new(work))
}

/// Each function that is given to std makes 2 KB of code, a box does not.
fn spawn(name: &str, stack: usize, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).stack_size(stack).spawn(work)
}

/// Does something that cannot be interrupted in a thread of its own, which is left running when the time is over.
///
/// # Errors
/// `TimedOut` when the time is over, else what it reports.
pub fn in_time<T: Send + 'static>(
    timeout: Duration,
    ask: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let place = Arc::new((Mutex::new(None), Condvar::new()));
    let asking = Arc::clone(&place);
    let work = move || {
        let answer = ask();
        *asking.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        asking.1.notify_one();
    };
    let thread = spawn("in-time", FOREIGN_STACK_SIZE, Box::new(work));
    thread.map_err(|error| io::Error::new(error.kind(), format!("cannot start a thread: {error}")))?;
    let answer = place.0.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = place.1.wait_timeout_while(answer, timeout, |answer| answer.is_none());
    waited.unwrap_or_else(PoisonError::into_inner).0.take().unwrap_or_else(|| Err(ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_takes_longer_is_not_waited_for() {
        let (end, wait) = mpsc::channel::<()>();
        let error = in_time(Duration::from_millis(20), move || Ok(wait.recv())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(end);
        assert_eq!(in_time(Duration::from_secs(10), || Ok(1)).unwrap(), 1);
    }
}
