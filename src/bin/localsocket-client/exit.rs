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
    /// Input could not be read, could not be sent, or may not have arrived when a connection was lost.
    pub(crate) input_lost: bool,
    /// `--count` was given and has not been reached.
    pub(crate) count_missing: bool,
}

/// The exit code. Where several fit: 3, 4, 1. (2 is a wrong command line, which does not get here.)
pub(crate) fn code(course: &Course) -> u8 {
    let end = course.end;
    if end == End::Stopped {
        return 0;
    }
    if course.cut {
        return 1;
    }
    if end == End::Refused || course.error && !course.person {
        return 3;
    }
    if course.late || course.count_missing && matches!(end, End::Time | End::Closed | End::Lost) {
        return 4;
    }
    let done = match end {
        End::Count | End::Time | End::Stopped | End::ReaderGone => true,
        // A question that was open is an error; one that could not be put is lost input.
        End::Closed => course.serves || course.finished && !course.input_lost,
        End::Lost | End::Refused | End::Failed => false,
    };
    if done { 0 } else { 1 }
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
            ("waited in vain", Course { end: End::Time, count_missing: true, ..talk }, 4),
            ("waited in vain after an error", Course { end: End::Time, count_missing: true, error: true, ..talk }, 3),
            ("all came, but not enough", Course { count_missing: true, ..talk }, 4),
            ("lost before enough came", Course { end: End::Lost, count_missing: true, ..listen }, 4),
            ("dropped as too slow before enough came", Course { error: true, count_missing: true, ..listen }, 3),
            ("echo mode, where a room is needed", Course { end: End::Failed, ..talk }, 1),
            ("listened to the end", listen, 0),
            ("listened until it was lost", Course { end: End::Lost, ..listen }, 1),
            ("listened, then dropped as too slow", Course { error: true, ..listen }, 3),
            ("listened to a cut end", Course { cut: true, ..listen }, 1),
            ("not enough to count", Course { count_missing: true, ..listen }, 4),
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
