//! How a client that speaks HTTP or TLS is recognised by the first bytes that it sends. Nothing that follows them
//! may be run: a web page or a proxy must not be able to send commands to a local port.

/// The request methods of RFC 9110, section 9, and PATCH of RFC 5789.
const HTTP_METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];

/// Whether a client's first line is an HTTP request line. Of a line that is too long, its start is enough.
///
/// It is one if it starts with a known method and white space, or if it is three words of which the first
/// contains no colon and the third starts with `HTTP/`. Upper and lower case are the same here.
pub(crate) fn is_http_request(line: &[u8]) -> bool {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let method = line.iter().position(u8::is_ascii_whitespace).map(|end| &line[..end]);
    if method.is_some_and(|word| HTTP_METHODS.iter().any(|method| method.eq_ignore_ascii_case(word))) {
        return true;
    }
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    match [words.next(), words.next(), words.next(), words.next()] {
        [Some(first), Some(_), Some(third), None] => {
            !first.contains(&b':') && third.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"HTTP/"))
        }
        _ => false,
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
    fn a_request_line_is_known_by_its_form() {
        let all = "GET / HTTP/1.1|get / http/1.1\r|POST\t/x|PATCH |Trace x y z|DELETE /a b c HTTP/1.1|\
                   PRI * HTTP/2.0|propfind /x http/1.1|  FOO   /x\tHTTP/|\
                   PURGE /x HTTP/1.1\r\nHost: localhost\r\n";
        for line in all.split('|') {
            assert!(is_http_request(line.as_bytes()), "{line:?}");
        }
        let all = "GET|GETS /|GET:x|msg:GET / HTTP/1.1|msg:look at HTTP/1.1|PROPFIND /x|PROPFIND /x HTTP|\
                   PRI * HTTP/2.0 x|x HTTP/1.1|iam:ada\nGET / HTTP/1.1|ping";
        for line in all.split('|') {
            assert!(!is_http_request(line.as_bytes()), "{line:?}");
        }
        assert!(is_http_request(b"GET /\xff") && is_http_request(b"FOO /\xff HTTP/1.0"));
    }

    #[test]
    fn a_tls_hello_is_known_by_two_bytes() {
        assert!([&b"\x16\x03\x01\x02\0"[..], b"\x16\x03"].into_iter().all(is_tls_hello));
        assert!(![&b"\x16"[..], b"", b"\x16\x02", b"a\x16\x03"].into_iter().any(is_tls_hello));
    }
}
