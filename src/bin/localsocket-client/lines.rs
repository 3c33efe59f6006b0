//! The output of a command, cut into lines as it comes. Pure; memory is bounded by a line.

/// The longest line of an answer; the server's limit is far lower unless somebody raised it.
const LINE_MAX: usize = 64 * 1024 * 1024;

/// Output as it comes, cut into lines; CR LF counts as LF. The last complete line is held back, for it may be the
/// last of all.
#[derive(Default)]
pub(crate) struct Lines {
    /// The last complete line, and what has come of the next.
    complete: Option<String>,
    piece: Vec<u8>,
    /// The last line with something in it, for those who ask.
    not_empty: Option<String>,
}

impl Lines {
    pub(crate) fn add(&mut self, mut bytes: &[u8], mut part: impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.piece.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.end_line(&mut part);
        }
        if !bytes.is_empty() {
            self.piece.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, part: &mut impl FnMut(&str)) {
        let piece = std::mem::take(&mut self.piece);
        let line = piece.strip_suffix(b"\r").unwrap_or(&piece);
        let line = String::from_utf8_lossy(line).into_owned();
        if !line.trim().is_empty() {
            self.not_empty = Some(line.clone());
        }
        if let Some(before) = self.complete.replace(line) {
            part(&before);
        }
    }

    pub(crate) fn is_too_long(&self) -> bool {
        self.piece.len() > LINE_MAX
    }

    /// The last line of all, whether or not it has an end; empty if there is none.
    pub(crate) fn last(mut self, part: &mut impl FnMut(&str)) -> String {
        if !self.piece.is_empty() {
            self.end_line(part);
        }
        self.complete.unwrap_or_default()
    }

    pub(crate) fn last_not_empty(mut self) -> Option<String> {
        if !self.piece.is_empty() {
            self.end_line(&mut |_| ());
        }
        self.not_empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_the_output_is_cut() {
        for (output, parts, last, not_empty) in [
            ("", [].as_slice(), "", None),
            ("a", &[], "a", Some("a")),
            ("a\n", &[], "a", Some("a")),
            ("\n", &[], "", None),
            ("a\r\nb\rc\n\nd", &["a", "b\rc", ""], "d", Some("d")),
            ("a\n \n\r\n", &["a", " "], "", Some("a")),
        ] {
            for size in [1, 2, 3, 100] {
                let (mut lines, mut found) = (Lines::default(), Vec::new());
                let mut again = Lines::default();
                for piece in output.as_bytes().chunks(size) {
                    lines.add(piece, |part| found.push(part.to_owned()));
                    again.add(piece, |_| ());
                }
                let end = lines.last(&mut |part: &str| found.push(part.to_owned()));
                assert_eq!((&*found, &*end), (&*parts.iter().map(ToString::to_string).collect::<Vec<_>>(), last));
                assert_eq!(again.last_not_empty().as_deref(), not_empty, "{output:?}");
            }
        }
    }
}
