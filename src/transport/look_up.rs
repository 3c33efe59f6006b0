//! Host names to addresses, within a time limit.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The distinct addresses of a host, in the order of the name service, with `port` each. There is at least one.
///
/// A name service can take as long as it likes, and the C library's look-up cannot be interrupted. So a name is looked
/// up in a thread of its own, which is left running when the time is over; the C library ends it sooner or later.
///
/// # Errors
/// `TimedOut` when the time is over, else the name service's answer.
pub(super) fn look_up(host: &str, port: u16, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    let host = host.to_owned();
    in_time(timeout, move || distinct((host.as_str(), port).to_socket_addrs()?)).map_err(|error| match error.kind() {
        ErrorKind::TimedOut => io::Error::new(ErrorKind::TimedOut, "the name service did not answer in time"),
        _ => error,
    })
}

fn distinct(found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let mut all = Vec::new();
    for one in found {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    if all.is_empty() {
        return Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
    }
    Ok(all)
}

/// Does something that cannot be interrupted in a thread of its own, which is left running when the time is over.
///
/// # Errors
/// `TimedOut` when the time is over, else what it reports.
pub(super) fn in_time<T: Send + 'static>(
    timeout: Duration,
    ask: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let place = Arc::new((Mutex::new(None), Condvar::new()));
    let asking = Arc::clone(&place);
    let thread = thread::Builder::new().name("in-time".to_owned()).spawn(move || {
        let answer = ask();
        *asking.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        asking.1.notify_one();
    });
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
    fn an_ip_address_is_taken_as_it_is() {
        for host in ["127.0.0.1", "::1"] {
            let wanted = vec![SocketAddr::new(host.parse().unwrap(), 80)];
            assert_eq!(look_up(host, 80, Duration::ZERO).unwrap(), wanted);
        }
    }

    #[test]
    fn each_address_comes_once_and_none_is_an_error() {
        let [one, two] = ["127.0.0.1:1", "[::1]:1"].map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(distinct([one, two, one].into_iter()).unwrap(), [one, two]);
        assert_eq!(distinct([].into_iter()).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_silent_name_service_is_not_waited_for() {
        let (end, wait) = mpsc::channel::<()>();
        let error = in_time(Duration::from_millis(20), move || Ok(wait.recv())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(end);
        assert_eq!(in_time(Duration::from_secs(10), || Ok(1)).unwrap(), 1);
    }
}
