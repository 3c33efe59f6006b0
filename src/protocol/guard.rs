//! How a client that speaks HTTP or TLS is recognised by the first bytes that it sends. Nothing that follows them
//! may be run: a web page or a proxy must not be able to send commands to a local port.

/// The request methods of RFC 9110, section 9, and PATCH of RFC 5789.
const HTTP_METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];

/// Whether a client's first line is an HTTP request line. Bytes after the first LF are not looked at.
///
/// It is one if it starts with a known method and white space, or if it is three words of which the first
/// contains no colon and the third starts with `HTTP/`. Upper and lower case are the same here.
pub(crate) fn is_http_request(line: &[u8]) -> bool {
    let mut request = RequestLine::default();
    request.read(line.split(|byte| *byte == b'\n').next().unwrap_or_default());
    request.is_http()
}

/// Decides the same about a line that is too long to be kept, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct RequestLine {
    words: usize,
    in_word: bool,
    /// The line began with white space, so its first word is no method.
    indented: bool,
    /// The start of the current word, and how long the word is.
    start: [u8; 8],
    length: usize,
    method_known: bool,
    colon: bool,
    version: bool,
}

impl RequestLine {
    /// Reads the next bytes of the line.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if byte.is_ascii_whitespace() {
                self.end_word();
                self.indented |= self.words == 0;
                continue;
            }
            if !std::mem::replace(&mut self.in_word, true) {
                self.words += 1;
                self.length = 0;
            }
            if let Some(place) = self.start.get_mut(self.length) {
                *place = byte.to_ascii_uppercase();
            }
            self.length += 1;
            self.colon |= self.words == 1 && *byte == b':';
            self.version |= self.words == 3 && self.length == 5 && self.start.starts_with(b"HTTP/");
        }
    }

    fn end_word(&mut self) {
        if std::mem::take(&mut self.in_word) && self.words == 1 && !self.indented {
            let word = self.start.get(..self.length).unwrap_or_default();
            self.method_known = HTTP_METHODS.contains(&word);
        }
    }

    /// Whether the line, as far as it was read, is a request line.
    pub(crate) fn is_http(&self) -> bool {
        self.method_known || self.words == 3 && !self.colon && self.version
    }

    /// Whether that can still change.
    pub(crate) fn may_become_http(&self) -> bool {
        self.words <= 3 && !self.colon
    }
}

/// Whether the first bytes that a client sends are the start of a TLS handshake. Two bytes are enough to tell.
pub(crate) fn is_tls_hello(bytes: &[u8]) -> bool {
    // A record of type handshake (22), of any TLS version, all of which start with 3.
    bytes.starts_with(&[0x16, 0x03])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_read_in_pieces_is_judged_like_the_whole() {
        for line in ["FOO /x HTTP/1.1\r", "GET /", "GETS /", "a b c d", "a:b c HTTP/1", " GET /", "x y HTTP", ""] {
            for size in 1..5 {
                let mut request = RequestLine::default();
                line.as_bytes().chunks(size).for_each(|piece| request.read(piece));
                assert_eq!(request.is_http(), is_http_request(line.as_bytes()), "{line:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_request_line_is_known_by_its_form() {
        for line in [
            "GET / HTTP/1.1",
            "get / http/1.1\r",
            "POST\t/x",
            "PATCH ",
            "Trace x y z",
            "DELETE /a b c HTTP/1.1",
            "PRI * HTTP/2.0",
            "propfind /x http/1.1",
            "  FOO   /x\tHTTP/",
            "PURGE /x HTTP/1.1\r\nHost: localhost\r\n",
        ] {
            assert!(is_http_request(line.as_bytes()), "{line:?}");
        }
        for line in [
            "",
            "GET",
            "GETS /",
            "GET:x",
            "msg:GET / HTTP/1.1",
            "msg:look at HTTP/1.1",
            "PROPFIND /x",
            "PROPFIND /x HTTP",
            "PRI * HTTP/2.0 x",
            "x HTTP/1.1",
            "iam:ada\nGET / HTTP/1.1",
            "ping",
        ] {
            assert!(!is_http_request(line.as_bytes()), "{line:?}");
        }
        assert!(is_http_request(b"GET /\xff") && is_http_request(b"FOO /\xff HTTP/1.0"));
    }

    #[test]
    fn a_tls_hello_is_known_by_two_bytes() {
        for (bytes, is_one) in [
            (&b"\x16\x03\x01\x02\0"[..], true),
            (b"\x16\x03", true),
            (b"\x16", false),
            (b"", false),
            (b"\x16\x02", false),
            (b"a\x16\x03", false),
        ] {
            assert_eq!(is_tls_hello(bytes), is_one, "{bytes:?}");
        }
    }
}
