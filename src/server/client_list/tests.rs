//! Tests of the client list.

use std::time::Duration;

use super::*;

fn list(max_clients: usize) -> Arc<ClientList> {
    ClientList::new(max_clients, 1 << 16, Arc::default())
}

fn admit(list: &Arc<ClientList>, hears: bool) -> Place {
    let (own, peer) = Stream::pair().unwrap();
    // Nobody reads, but the connection must not be broken.
    std::mem::forget(peer);
    list.admit(own, "test".to_owned(), hears).unwrap()
}

fn name(name: &str) -> Arc<str> {
    Arc::from(name)
}

#[test]
fn a_full_list_refuses_until_a_place_is_freed() {
    let list = list(1);
    let first = admit(&list, true);
    let refused = admit(&list, true);
    assert_eq!(refused.member.end_reason(), Some(EndReason::ServerFull));
    assert_eq!(list.len(), 1);
    first.leave();
    assert_eq!(list.len(), 1);
    assert_eq!(admit(&list, true).member.end_reason(), Some(EndReason::ServerFull));
    first.free();
    assert_eq!(list.len(), 0);
    assert_eq!(admit(&list, true).member.end_reason(), None);
    assert_eq!(list.ended(), 2);
}

#[test]
fn a_place_is_given_back_once_however_it_is_dropped() {
    let list = list(3);
    let (sudden, left, freed) = (admit(&list, true), admit(&list, true), admit(&list, true));
    left.leave();
    freed.leave();
    freed.free();
    freed.free();
    assert_eq!(list.len(), 2);
    for place in [sudden, left, freed] {
        drop(place);
    }
    assert_eq!(list.len(), 0);
    assert_eq!(list.ended(), 3);
}

#[test]
fn a_name_is_free_when_its_leave_is_delivered_and_not_before() {
    let list = list(9);
    let (ada, bob) = (admit(&list, true), admit(&list, true));
    assert_eq!(list.rename(&ada.member, name("ada"), true), Ok(Renamed { old: None, announce: true }));
    assert_eq!(list.rename(&bob.member, name("ada"), true), Err(NameTaken));
    assert_eq!(list.rename(&ada.member, name("ada"), true), Ok(Renamed { old: Some(name("ada")), announce: true }));
    assert!(list.find("ada").is_some());
    ada.leave();
    drop(ada.member.clone());
    assert!(list.find("ada").is_none(), "a client that has left cannot be written to");
    assert_eq!(list.rename(&bob.member, name("ada"), true), Err(NameTaken));
    assert_eq!(list.remove(&ada.member), Some(Departed { name: name("ada"), announce: true }));
    assert_eq!(list.rename(&bob.member, name("ada"), true), Ok(Renamed { old: None, announce: true }));
    assert_eq!(list.names(), ["ada"]);
}

#[test]
fn a_deaf_client_is_announced_only_if_it_had_joined_before() {
    let list = list(9);
    let (before, after) = (admit(&list, true), admit(&list, true));
    let rename = |place: &Place, to| list.rename(&place.member, name(to), true).map(|renamed| renamed.announce);
    assert_eq!(rename(&before, "before"), Ok(true));
    list.set_deaf(&before.member);
    list.set_deaf(&after.member);
    assert_eq!(rename(&after, "after"), Ok(false));
    assert_eq!((rename(&before, "b"), rename(&after, "a")), (Ok(true), Ok(false)));
    assert_eq!(list.listeners().len(), 0);
    assert!(list.remove(&before.member).is_some_and(|departed| departed.announce));
    assert!(list.remove(&after.member).is_some_and(|departed| !departed.announce));
}

#[test]
fn listeners_are_those_that_hear_the_room() {
    let list = list(9);
    let (hears, waits) = (admit(&list, true), admit(&list, false));
    assert_eq!(list.listeners().len(), 1);
    list.set_hears(&waits.member, true);
    assert_eq!(list.listeners().len(), 2);
    drop(hears);
    assert_eq!(list.listeners().len(), 1);
}

#[test]
fn silence_comes_when_the_last_talker_has_no_more_to_say() {
    let list = list(9);
    let (one, other, waits) = (admit(&list, true), admit(&list, true), admit(&list, false));
    list.close();
    let soon = || Instant::now() + Duration::from_millis(1);
    list.wait_for_silence(&one.member, soon());
    assert_eq!(lock(&list.state).talking, 1);
    list.let_talk(&waits.member);
    other.leave();
    drop(waits);
    list.wait_for_silence(&one.member, Instant::now() + Duration::from_secs(3600));
    assert_eq!(lock(&list.state).talking, 0);
}
