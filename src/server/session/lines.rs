//! The line dialect: cuts the input into lines and runs them as commands.

use std::io::Read as _;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::input::Input;
use crate::line::{Line, LineReader};
use crate::os;
use crate::protocol::{self, Refusal};
use crate::server::ending::EndReason;
use crate::server::handlers;
use crate::server::speaker::{Outcome, Speaker};
use crate::transport::Stream;

/// Serves lines to the end of the input.
pub(super) fn serve(speaker: &mut Speaker<'_>) -> Outcome {
    let mut lines = Lines {
        reader: LineReader::new(speaker.hub.config.limits.max_line),
        input: Input::default(),
        is_first: true,
        speaker,
    };
    loop {
        lines.run()?;
        let count = lines.speaker.count();
        // Lines that have arrived together are passed on together.
        if !lines.more_has_arrived() {
            lines.speaker.flush()?;
            lines.let_others_run(count);
        }
        if lines.wait_for_more()? {
            continue;
        }
        return lines.run_last();
    }
}

struct Lines<'s, 'h> {
    reader: LineReader,
    input: Input,
    /// Only empty lines have come so far.
    is_first: bool,
    speaker: &'s mut Speaker<'h>,
}

impl Lines<'_, '_> {
    /// Runs all lines that are here.
    fn run(&mut self) -> Outcome {
        while let Some(line) = self.reader.next_line() {
            run_line(self.speaker, line, &mut self.is_first)?;
            if self.speaker.gathered() >= self.speaker.hub.batch {
                self.speaker.flush()?;
            }
        }
        if self.is_first && protocol::is_tls_hello(self.reader.pending()) {
            return Err(EndReason::LooksLikeTls);
        }
        Ok(())
    }

    /// Runs the piece after the last line end as a line.
    fn run_last(&mut self) -> Outcome {
        self.reader.last_line().map_or(Ok(()), |line| run_line(self.speaker, line, &mut self.is_first))
    }

    /// Whether the socket holds more than the last read could take.
    fn more_has_arrived(&self) -> bool {
        self.reader.is_full() && os::unread(self.speaker.member.outbox.stream().as_fd()) > 0
    }

    /// A client that sends several lines at a time is likely to have sent more when other sessions have run. In a
    /// room, delivery gathers them better. A write to a Unix socket hands the core to its reader anyway, and a yield
    /// on top would only bring it back and forth.
    fn let_others_run(&self, count: u64) {
        let Speaker { hub, member, .. } = &self.speaker;
        if count > 1 && hub.room.is_none() && matches!(member.outbox.stream(), Stream::Tcp(_)) {
            hub.yielder.yield_now();
        }
    }

    /// Waits until more has arrived; false at the end of the input.
    fn wait_for_more(&mut self) -> Result<bool, EndReason> {
        if self.speaker.hub.around.stop.has_begun() {
            return Err(self.answer_what_has_arrived());
        }
        let reader = &mut self.reader;
        let count = self.input.read(self.speaker, |mut stream| reader.fill(&mut stream))?;
        if self.speaker.hub.around.stop.has_begun() {
            return Err(self.answer_what_has_arrived());
        }
        Ok(count > 0)
    }

    /// When the server stops: answers the lines that have arrived, and none that come later.
    fn answer_what_has_arrived(&mut self) -> EndReason {
        let member = Arc::clone(&self.speaker.member);
        let stream = member.outbox.stream();
        let mut left = os::unread(stream.as_fd()) as u64;
        loop {
            if let Err(reason) = self.run() {
                return reason;
            }
            match self.reader.fill(&mut { stream }.take(left)) {
                Ok(count) if count > 0 => {
                    left -= count as u64;
                    self.speaker.heard.bytes += count as u64;
                }
                _ => break,
            }
        }
        // Unless the end came right behind what was read, more of a piece of a line may be under way.
        let ended = member.has_ended() && os::unread(stream.as_fd()) == 0;
        let last = if ended { self.run_last() } else { Ok(()) };
        last.err().unwrap_or(EndReason::ShuttingDown)
    }
}

#[inline]
fn run_line(speaker: &mut Speaker<'_>, line: Line<'_>, is_first: &mut bool) -> Outcome {
    if line == Line::Text("") {
        return Ok(());
    }
    speaker.heard.lines += 1;
    let was_first = std::mem::take(is_first);
    if was_first && let Some(reason) = EndReason::of_first_line(line.start()) {
        return Err(reason);
    }
    match line {
        Line::Text(text) => handlers::run(speaker, text)?,
        Line::NotUtf8(_) => speaker.refuse(Refusal::NotUtf8),
        // The rest of it cannot be looked at.
        Line::TooLong(_) if was_first => return Err(EndReason::FirstLineTooLong),
        Line::TooLong(_) => speaker.refuse(Refusal::LineTooLong(speaker.hub.config.limits.max_line)),
    }
    Ok(())
}
