//! The exit code, as a pure function of how things went.

/// How it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// As many lines as `--count` asks for came.
    Count,
    /// The time of `--timeout` was over.
    Time,
    /// A signal asked a service to stop.
    Stopped,
    /// Whoever reads stdout has gone.
    ReaderGone,
    /// Either side ended the connection cleanly, or all questions of `--ask` have had their end.
    #[default]
    Closed,
    /// The connection broke, or could not be made.
    Lost,
    /// The server refused the login, or has not kept the lines of `--since`.
    Refused,
    /// Stdout could not be written to, or the server is in echo mode, which does not have what was asked for.
    Failed,
}

/// How things went.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Course {
    /// `--recv-only`, `--answer`: it goes on until the server ends the connection.
    pub(crate) serves: bool,
    pub(crate) end: End,
    /// The input comes from a person at a terminal.
    pub(crate) person: bool,
    /// An `error: ` line came, or a question was refused or failed.
    pub(crate) error: bool,
    /// A question was not answered in time.
    pub(crate) late: bool,
    /// The connection ended in the middle of a line.
    pub(crate) cut: bool,
    /// All of the input was sent, or it asked for the end with `quit`.
    pub(crate) finished: bool,
    /// Input could not be read, or could not be sent.
    pub(crate) input_lost: bool,
    /// A connection was lost after something was sent, and there is no new one yet.
    pub(crate) sent_in_vain: bool,
    /// The server has said that it stops, and there is no new connection yet.
    pub(crate) server_stopped: bool,
    /// How many lines of `--count` are still to come.
    pub(crate) left: Option<usize>,
}

impl Course {
    /// One of the lines of `--count` has come. `Err` if it was the last.
    pub(crate) fn count(&mut self) -> Result<(), End> {
        let Some(left @ 1..) = &mut self.left else { return Ok(()) };
        *left -= 1;
        if *left == 0 { Err(End::Count) } else { Ok(()) }
    }
}

/// The exit code. Where several fit: 3, 4, 1. (2 is a wrong command line, which does not get here.)
pub(crate) fn code(course: &Course) -> u8 {
    match course.end {
        End::Stopped => 0,
        _ if course.cut => 1,
        End::Refused => 3,
        _ if course.error && !course.person => 3,
        _ if course.server_stopped && !course.serves && !course.person => 3,
        _ if course.late => 4,
        End::Time | End::Closed | End::Lost if course.left > Some(0) => 4,
        End::Count | End::Time | End::ReaderGone => 0,
        // A question that was open is an error; one that could not be put is lost input.
        End::Closed if course.serves || course.finished && !course.input_lost && !course.sent_in_vain => 0,
        End::Closed | End::Lost | End::Failed => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_how_things_went() {
        let talk = Course { finished: true, ..Course::default() };
        let listen = Course { serves: true, ..Course::default() };
        for (what, course, wanted) in [
            ("all sent and answered", talk, 0),
            ("ended by the server first", Course { finished: false, ..talk }, 1),
            ("sent in vain", Course { sent_in_vain: true, ..talk }, 1),
            ("ended by a server that stops", Course { server_stopped: true, ..talk }, 3),
            ("a person's session, ended so", Course { server_stopped: true, person: true, ..talk }, 0),
            ("listened until the server stopped", Course { server_stopped: true, ..listen }, 0),
            ("all of --count came", Course { left: Some(0), ..talk }, 0),
            ("input after quit", Course { input_lost: true, ..talk }, 1),
            ("lost", Course { end: End::Lost, ..talk }, 1),
            ("an error", Course { error: true, ..talk }, 3),
            ("an error, then lost", Course { error: true, end: End::Lost, ..talk }, 3),
            ("an error, then the reader has gone", Course { error: true, end: End::ReaderGone, ..talk }, 3),
            ("a person's error", Course { error: true, person: true, ..talk }, 0),
            ("a person's error, then lost", Course { error: true, person: true, end: End::Lost, ..talk }, 1),
            ("a name refused", Course { end: End::Refused, ..talk }, 3),
            ("a person's name refused", Course { end: End::Refused, person: true, ..talk }, 3),
            ("cut", Course { cut: true, ..talk }, 1),
            ("cut, with an error before", Course { cut: true, error: true, ..talk }, 1),
            ("head -1", Course { end: End::ReaderGone, finished: false, ..talk }, 0),
            ("disk full", Course { end: End::Failed, ..talk }, 1),
            ("counted", Course { end: End::Count, finished: false, ..talk }, 0),
            ("listened long enough", Course { end: End::Time, finished: false, ..talk }, 0),
            ("waited in vain", Course { end: End::Time, left: Some(1), ..talk }, 4),
            ("waited in vain after an error", Course { end: End::Time, left: Some(1), error: true, ..talk }, 3),
            ("all came, but not enough", Course { left: Some(1), ..talk }, 4),
            ("lost before enough came", Course { end: End::Lost, left: Some(1), ..listen }, 4),
            ("dropped as too slow before enough came", Course { error: true, left: Some(1), ..listen }, 3),
            ("echo mode, where a room is needed", Course { end: End::Failed, ..talk }, 1),
            ("listened to the end", listen, 0),
            ("listened until it was lost", Course { end: End::Lost, ..listen }, 1),
            ("listened, then dropped as too slow", Course { error: true, ..listen }, 3),
            ("listened to a cut end", Course { cut: true, ..listen }, 1),
            ("not enough to count", Course { left: Some(1), ..listen }, 4),
            ("a service that was stopped", Course { end: End::Stopped, ..listen }, 0),
            ("the same after an error", Course { end: End::Stopped, error: true, ..listen }, 0),
            ("all answered", talk, 0),
            ("one refused", Course { error: true, ..talk }, 3),
            ("one too late", Course { late: true, ..talk }, 4),
            ("one refused, one too late", Course { error: true, late: true, ..talk }, 3),
            ("a person's question too late", Course { late: true, person: true, ..talk }, 4),
            ("lost while asking", Course { end: End::Lost, ..talk }, 1),
            ("one too late, then lost", Course { late: true, end: End::Lost, ..talk }, 4),
            ("closed while asking", Course { finished: false, ..talk }, 1),
        ] {
            assert_eq!(code(&course), wanted, "{what}");
        }
    }
}
