//! Tests of the room: what its clients get, and in which order.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::server::client_list::Place;
use crate::server::questions::QuestionId;
use crate::transport::Stream;

const DEADLINE: Duration = Duration::from_secs(30);

/// A room without its writer, and with the clients that a test lets in.
struct Fixture {
    list: Arc<ClientList>,
    room: Arc<Room>,
    counters: Arc<Counters>,
}

struct Client {
    place: Place,
    peer: UnixStream,
    batch: Batch,
}

impl Fixture {
    fn new(limits: &Limits) -> Fixture {
        let counters = Arc::<Counters>::default();
        let list = ClientList::new(limits.max_clients, limits.write_max(true), Arc::clone(&counters));
        let stop = Arc::new(Stop::new(limits));
        let room = Room::new(Arc::clone(&list), Arc::clone(&counters), stop, limits).unwrap();
        Fixture { list, room: Arc::new(room), counters }
    }

    fn join(&self, name: &str) -> Client {
        let (own, peer) = UnixStream::pair().unwrap();
        peer.set_read_timeout(Some(DEADLINE)).unwrap();
        let place = self.list.admit(Stream::Unix(own), "test".to_owned(), true).unwrap();
        let mut client = Client { place, peer, batch: Batch::default() };
        client.batch.headed(Kind::LogIn, &client.place.member, name);
        self.submit(&mut client);
        client
    }

    fn submit(&self, client: &mut Client) -> u64 {
        self.room.submit(&client.place.member, &mut client.batch, false).unwrap()
    }
}

impl Client {
    /// Everything up to a text.
    fn hears(&mut self, wanted: &str) {
        let mut got = vec![0; wanted.len()];
        self.peer.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), wanted);
    }

    fn hears_no_more(&self) {
        self.peer.set_nonblocking(true).unwrap();
        assert_eq!((&self.peer).read(&mut [0; 100]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        self.peer.set_nonblocking(false).unwrap();
    }

    fn line(&mut self, kind: Kind, text: &str) {
        let member = Some(&self.place.member).filter(|_| kind != Kind::Everyone);
        write!(self.batch.line(kind, member), "{text}\r\n").unwrap();
    }

    fn headed(&mut self, kind: Kind, name: &str, text: &str) {
        write!(self.batch.headed(kind, &self.place.member, name), "{text}\r\n").unwrap();
    }
}

#[test]
fn one_batch_keeps_its_order_for_every_client() {
    let fixture = Fixture::new(&Limits::default());
    let mut ada = fixture.join("ada");
    let mut bob = fixture.join("bob");
    ada.hears("ada has joined\r\nbob has joined\r\n");
    bob.hears("bob has joined\r\n");
    ada.line(Kind::Everyone, "1");
    ada.headed(Kind::Direct, "bob", "2");
    ada.headed(Kind::Direct, "nobody", "-");
    ada.line(Kind::Own, "3");
    ada.line(Kind::Everyone, "4");
    ada.headed(Kind::Ask(QuestionId::new("q").unwrap()), "bob", "5");
    ada.headed(Kind::Deaf, "", "deaf");
    ada.line(Kind::Everyone, "6");
    let number = fixture.submit(&mut ada);
    assert!(fixture.room.has_delivered(number));
    ada.hears("1\r\n2\r\nerror: nobody here is called nobody\r\n3\r\n4\r\ndeaf\r\n");
    bob.hears("1\r\n2\r\n4\r\n5\r\n6\r\n");
    ada.hears_no_more();
    bob.batch.headed(Kind::Leave, &bob.place.member, "");
    bob.line(Kind::Everyone, "not for it");
    fixture.submit(&mut bob);
    bob.hears_no_more();
    ada.hears("error: question q: bob has left\r\n");
    assert_eq!(fixture.counters.asked.get(), 1);
}

#[test]
fn a_chunk_of_private_lines_is_one_write_for_each_client() {
    let fixture = Fixture::new(&Limits::default());
    let mut ada = fixture.join("ada");
    ada.hears("ada has joined\r\n");
    for number in 0..100 {
        ada.headed(Kind::Direct, "ada", &number.to_string());
    }
    let before = lock(&fixture.room.delivery).delivery.work;
    fixture.submit(&mut ada);
    let after = lock(&fixture.room.delivery).delivery.work;
    assert!(after.saturating_sub(before) <= 2 * 2048, "more than a write or two: {before} to {after}");
    let wanted: String = (0..100).map(|number| format!("{number}\r\n")).collect();
    ada.hears(&wanted);
}

#[test]
fn a_full_reader_pauses_the_room_until_it_reads_or_is_dropped() {
    let limits = Limits { max_backlog: 1 << 16, stall_timeout: Duration::from_millis(100), ..Limits::default() };
    let fixture = Fixture::new(&limits);
    let writer = std::thread::spawn({
        let room = Arc::clone(&fixture.room);
        move || room.write_what_waits()
    });
    let stuck = fixture.join("stuck");
    let mut ada = fixture.join("ada");
    ada.hears("ada has joined\r\n");
    let text = "x".repeat(998);
    let reading = std::thread::spawn({
        let mut peer = ada.peer.try_clone().unwrap();
        move || {
            let mut seen = Vec::new();
            while !seen.ends_with(b"end\r\n") {
                let mut buffer = [0; 65536];
                let count = peer.read(&mut buffer).unwrap();
                seen.extend_from_slice(&buffer[..count]);
            }
            seen.len()
        }
    });
    for _ in 0..2000 {
        ada.line(Kind::Everyone, &text);
        fixture.submit(&mut ada);
    }
    ada.line(Kind::Everyone, "end");
    let number = fixture.submit(&mut ada);
    fixture.room.wait_until_delivered(number, &ada.place.member).unwrap();
    assert_eq!(reading.join().unwrap(), 2000 * 1000 + "end\r\n".len());
    let began = Instant::now();
    while stuck.place.member.end_reason() != Some(EndReason::TooSlow) {
        assert!(began.elapsed() < DEADLINE, "the reader that has stopped was not dropped");
        std::thread::yield_now();
    }
    assert_eq!((fixture.counters.evicted.get(), ada.place.member.end_reason()), (1, None));
    fixture.room.close();
    writer.join().unwrap();
}
