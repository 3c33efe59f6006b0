//! Standard streams that another program may have left non-blocking: a terminal or a pipe is shared with all
//! that have it open, and so is its `O_NONBLOCK`.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use crate::os::{self, Wait};

/// Reads and writes like the stream inside, but waits where that says `EAGAIN`, and starts again after `EINTR`.
/// Blocking streams are not affected.
#[derive(Debug)]
pub struct Patient<T>(pub T);

impl<T: AsFd> Patient<T> {
    fn retry<R>(
        &mut self,
        wait_for: impl Fn(&T) -> Wait,
        mut action: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            match action(&mut self.0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => os::poll(&mut [wait_for(&self.0)], None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl<T: AsFd + Read> Read for Patient<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(|stream| Wait::readable(stream.as_fd()), |stream| stream.read(buffer))
    }
}

impl<T: AsFd + Write> Write for Patient<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.retry(|stream| Wait::writable(stream.as_fd()), |stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.retry(|stream| Wait::writable(stream.as_fd()), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    #[test]
    fn a_stream_that_was_left_non_blocking_loses_nothing() {
        let (here, there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        there.set_nonblocking(true).unwrap();
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let reading = thread::spawn(move || {
            let mut received = Vec::new();
            Patient(there).read_to_end(&mut received).map(|_| received)
        });
        let mut writer = Patient(here);
        writer.write_all(&sent).unwrap();
        writer.flush().unwrap();
        drop(writer);
        assert!(reading.join().unwrap().unwrap() == expected, "not what was sent");
    }
}
