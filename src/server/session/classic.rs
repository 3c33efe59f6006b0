//! The classic dialect: the bytes of the demo that the protocol comes from, for its clients, which send no line ends.
//! Each read is one command, and replies have no line end either. Errors are not reported.

use std::io::Read as _;
use std::os::fd::AsFd;

use super::input::Input;
use crate::os;
use crate::protocol::NAME_MAX;
use crate::server::ending::EndReason;
use crate::server::speaker::{Outcome, Speaker};

/// Serves commands to the end of the input.
pub(super) fn serve(speaker: &mut Speaker<'_>) -> Outcome {
    let mut buffer = vec![0; speaker.hub.config.limits.max_line];
    let mut input = Input::default();
    let (mut is_first, mut left) = (true, None);
    loop {
        if speaker.hub.around.stop.has_begun() {
            // What comes later is not run.
            let left = left.get_or_insert_with(|| os::unread(speaker.member.outbox.stream().as_fd()));
            if *left == 0 {
                return Err(EndReason::ShuttingDown);
            }
            buffer.truncate(*left);
        }
        let count = input.read(speaker, |mut stream| stream.read(&mut buffer))?;
        left = left.map(|left| left - count);
        if count == 0 {
            return if speaker.hub.around.stop.has_begun() { Err(EndReason::ShuttingDown) } else { Ok(()) };
        }
        if is_first && let Some(line) = first_line(&buffer[..count]) {
            is_first = false;
            EndReason::of_first_line(line).map_or(Ok(()), Err)?;
        }
        let command = without_line_ends(&buffer[..count]);
        if !command.is_empty() {
            speaker.heard.lines += 1;
            run(speaker, &command)?;
        }
        speaker.count();
        speaker.flush()?;
    }
}

/// The first line that is not empty, if its bytes are here.
fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.split(|byte| b"\r\n".contains(byte)).find(|line| !line.is_empty())
}

/// Removes all CRs and LFs.
fn without_line_ends(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect()
}

fn run(speaker: &mut Speaker<'_>, command: &[u8]) -> Outcome {
    let mut parts = command.split(|byte| *byte == b':');
    match (parts.next(), parts.next()) {
        (Some(b"iam"), Some(name)) => {
            speaker.note_name(&short(name));
            let reply = speaker.own_line();
            reply.extend_from_slice(name);
            reply.extend_from_slice(b"has joined");
        }
        (Some(b"msg"), Some(text)) if !text.is_empty() => speaker.own_line().extend_from_slice(text),
        (Some(b"quit"), _) => return Err(EndReason::Quit),
        _ => {}
    }
    Ok(())
}

/// The part of a name that is kept: as many characters as a name may have in the line dialect.
fn short(name: &[u8]) -> String {
    let most = name.len().min(NAME_MAX * 4);
    String::from_utf8_lossy(&name[..most]).chars().take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_what_a_request_line_would_be() {
        assert_eq!(first_line(b"\r\nGET / HTTP/1.1\r\nHost: x"), Some(&b"GET / HTTP/1.1"[..]));
        assert_eq!(first_line(b"\n"), None);
    }

    #[test]
    fn little_is_kept_of_a_long_name() {
        assert_eq!(short("ä".repeat(1000).as_bytes()), "ä".repeat(NAME_MAX));
        assert_eq!(short(&[0xff; 1000]).chars().count(), NAME_MAX);
        assert_eq!(short(b"ada"), "ada");
    }
}
