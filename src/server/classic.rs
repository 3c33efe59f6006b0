//! The classic dialect: the bytes of the demo that the protocol comes from, for its clients, which send no
//! line ends. What one read returns is one command, and replies have no end either. Errors are not told.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::ending::EndReason;
use super::session::{Outcome, Session};
use crate::os;
use crate::protocol;

/// Serves commands to the end of the input.
pub(super) fn serve(session: &mut Session<'_>) -> Outcome {
    let mut buffer = vec![0; session.hub.config.limits.max_line];
    let mut first = true;
    loop {
        if session.hub.is_stopping() && os::unread(session.client.outbox.stream().as_fd()) == 0 {
            return Err(EndReason::ShuttingDown);
        }
        let count = session.read(|mut stream| {
            loop {
                match stream.read(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        })?;
        if count == 0 {
            return if session.hub.is_stopping() { Err(EndReason::ShuttingDown) } else { Ok(()) };
        }
        if std::mem::take(&mut first) && protocol::is_http_request(&buffer[..count]) {
            return Err(EndReason::LooksLikeHttp);
        }
        let command: Vec<u8> = buffer[..count].iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
        if !command.is_empty() {
            session.count_command();
            run(session, &command)?;
        }
        session.count();
        session.flush()?;
    }
}

fn run(session: &mut Session<'_>, command: &[u8]) -> Outcome {
    let mut parts = command.split(|byte| *byte == b':');
    match (parts.next(), parts.next()) {
        (Some(b"iam"), Some(name)) => {
            session.note_name(&Arc::from(String::from_utf8_lossy(name)));
            session.gather_for(false)?.extend_from_slice(&[name, b"has joined"].concat());
        }
        (Some(b"msg"), Some(text)) if !text.is_empty() => session.gather_for(false)?.extend_from_slice(text),
        (Some(b"quit"), _) => return Err(EndReason::Quit),
        _ => {}
    }
    Ok(())
}
