//! What a server is told of the room when it joins. Pure.

use std::time::Duration;

use super::entry::Position;
use super::resp::Value;

/// The room as it was when this server joined.
#[derive(Debug)]
pub(in crate::server) struct Welcome {
    pub(in crate::server) head: Position,
    pub(in crate::server) lease: Duration,
    pub(in crate::server) window: u64,
    pub(in crate::server) longest: usize,
    pub(in crate::server) servers: usize,
    /// Every named client: its name, its server, its number there, and whether it is announced.
    pub(in crate::server) names: Vec<(String, u64, u64, bool)>,
    /// Every served name with one of its clients: the server and its number there.
    pub(in crate::server) served: Vec<(String, u64, u64)>,
    /// Tells this life of the room from others.
    pub(in crate::server) life: String,
    /// How many lines for everyone the room has had.
    pub(in crate::server) lines: u64,
}

impl Welcome {
    /// Reads what the script returns; `None` for anything else.
    pub(super) fn read(answer: Value) -> Option<Welcome> {
        let [head, lease, window, longest, Value::Array(state)] = answer.elements()? else { return None };
        let (mut names, mut served, mut servers, mut life, mut lines) = (Vec::new(), Vec::new(), 0, String::new(), 0);
        for pair in state.chunks_exact(2) {
            let (field, value) = (pair[0].text()?, pair[1].text()?);
            if let Some(name) = field.strip_prefix("n:") {
                let words: Vec<&str> = value.split(' ').collect();
                let [server, client, announced] = words[..] else { return None };
                names.push((name.to_owned(), server.parse().ok()?, client.parse().ok()?, announced == "1"));
            } else if let Some(name) = field.strip_prefix("s:") {
                for one in value.split(' ') {
                    let (server, client) = one.strip_suffix(';')?.split_once(':')?;
                    served.push((name.to_owned(), server.parse().ok()?, client.parse().ok()?));
                }
            } else {
                match field {
                    "servers" => servers = value.split_whitespace().count(),
                    "life" => life = value.to_owned(),
                    "lines" => lines = value.parse().ok()?,
                    _ => {}
                }
            }
        }
        Some(Welcome {
            head: Position::read(head.text()?)?,
            lease: Duration::from_millis(lease.number()?),
            window: window.number()?,
            longest: longest.number()?,
            servers,
            names,
            served,
            life,
            lines,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_read_as_the_script_tells_it() {
        let bytes = |text: &&str| Value::Bytes(text.as_bytes().to_vec());
        let read = |state: &[&str]| {
            let mut values: Vec<Value> = ["12-345", "5000", "4194304", "70000"].iter().map(bytes).collect();
            values.push(Value::Array(state.iter().map(bytes).collect()));
            Welcome::read(Value::Array(values))
        };
        let state = ["servers", "7 9", "life", "7", "lines", "42", "n:I am login!", "7 3 1", "n:b:", "9 1 0", "s:jobs"];
        let welcome = read(&[&state[..], &["7:3; 9:1;", "h:7", "1 12-345 5000 1"]].concat()).unwrap();
        assert_eq!((welcome.head.end, welcome.lease), (345, Duration::from_secs(5)));
        assert_eq!((welcome.window, welcome.longest, welcome.servers), (4_194_304, 70_000, 2));
        assert_eq!(welcome.names, [("I am login!".to_owned(), 7, 3, true), ("b:".to_owned(), 9, 1, false)]);
        assert_eq!(welcome.served, [("jobs".to_owned(), 7, 3), ("jobs".to_owned(), 9, 1)]);
        assert_eq!((&*welcome.life, welcome.lines), ("7", 42));
        for state in [["n:a", "7 1"], ["n:a", "x 1 1"], ["s:a", "7:1"], ["s:a", "7;"], ["lines", "-1"]] {
            assert!(read(&state).is_none(), "{state:?}");
        }
        assert!(Welcome::read(Value::Array(Vec::new())).is_none());
    }
}
