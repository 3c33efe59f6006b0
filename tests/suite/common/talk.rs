//! Transcripts: what several clients send and hear, played one part after the other.

use super::*;

/// Clients of some servers, each known by the word that transcripts have for it.
pub struct Talk {
    addresses: Vec<Address>,
    peers: BTreeMap<String, Peer>,
}

impl Talk {
    pub fn new(address: &Address) -> Talk {
        Talk::on(&[address])
    }

    /// `ada@1` is a client of the second server; once it is there, `ada` will do.
    pub fn on(servers: &[&Address]) -> Talk {
        Talk { addresses: servers.iter().copied().cloned().collect(), peers: BTreeMap::new() }
    }

    /// The client of this name, which connects if it is not there yet.
    #[track_caller]
    pub fn peer(&mut self, name: &str) -> &mut Peer {
        let (name, server) = name.split_once('@').unwrap_or((name, "0"));
        let address = &self.addresses[server.parse::<usize>().unwrap()];
        self.peers.entry(name.to_owned()).or_insert_with(|| Peer::connect(address))
    }

    /// Plays a transcript, whose parts are two spaces or a line apart: `ada> a line` is sent, `ada,bob< a line` is what both
    /// hear next; `a|b` are two lines, and `~` is a blank that would not be seen. `ada joins`, `ada joins deaf`; `ada pings`,
    /// and has heard all; `ada ends` its input, `ada quits` and is ended, `ada is ended`; `ada goes` closes the connection.
    #[track_caller]
    pub fn play(&mut self, transcript: &str) {
        for part in transcript.split("  ").flat_map(str::lines).map(str::trim).filter(|part| !part.is_empty()) {
            let (names, what) = part.split_once(' ').unwrap_or((part, ""));
            let lines = || what.split('|').map(|line| line.replace('~', " "));
            for name in names.trim_end_matches(['<', '>']).split(',') {
                let peer = self.peer(name);
                let named = name.split('@').next().unwrap();
                match (names.chars().last(), what) {
                    (Some('>'), _) => peer.send(lines().map(|line| line + "\n").collect::<String>()),
                    (Some('<'), _) => lines().for_each(|line| peer.expect(&line)),
                    (_, "joins") => lines_of(peer, &format!("iam:{named}"), &format!("{named} has joined")),
                    (_, "joins deaf") => {
                        lines_of(peer, &format!("deaf\niam:{named}"), &format!("deaf\n{named} has joined"))
                    }
                    (_, "pings") => peer.ping(),
                    (_, "ends") => peer.end_input(),
                    (_, "quits") => {
                        peer.send("quit\n");
                        peer.expect_end();
                        self.peers.remove(named);
                    }
                    (_, "is ended") => {
                        peer.expect_end();
                        self.peers.remove(named);
                    }
                    (_, "goes") => drop(self.peers.remove(named)),
                    _ => panic!("not a part of a transcript: {part}"),
                }
            }
        }
    }
}

#[track_caller]
fn lines_of(peer: &mut Peer, sent: &str, heard: &str) {
    peer.send(format!("{sent}\n"));
    heard.lines().for_each(|line| peer.expect(line));
}

/// Plays a transcript with a server over each transport.
#[track_caller]
pub fn play_on_each_transport(config: &Config, transcript: &str) {
    on_each_transport(config, |_, address| Talk::new(address).play(transcript));
}
