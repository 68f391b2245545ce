use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream as Client},
    time::Duration,
};

use espbroker_node::Bytes;
use mio::{Events, Poll};

use super::*;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Fixture {
    poll: Poll,
    sockets: Sockets<Bytes>,
}

impl Fixture {
    fn new() -> Self {
        let poll = Poll::new().unwrap();
        let sockets = Sockets::new(poll.registry().try_clone().unwrap(), LOCALHOST);
        Self { poll, sockets }
    }

    fn turn(&mut self) {
        let mut events = Events::with_capacity(8);
        self.poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
        events.iter().for_each(|event| self.sockets.mark(event));
    }

    fn client(&mut self, service: Service) -> (Client, ConnectionId) {
        let port = self.sockets.listen(service, 0).unwrap();
        let client = Client::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        loop {
            if let Some((id, accepted)) = self.sockets.accept() {
                assert_eq!(accepted, service);
                return (client, id);
            }
            self.turn();
        }
    }

    /// Everything up to the end of the stream.
    fn received(&mut self) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), [0; 2048]);
        loop {
            match self.sockets.receive(&mut buffer) {
                Some((_, Received::Bytes(length))) => all.extend_from_slice(&buffer[..length]),
                Some((_, Received::Closed)) => return all,
                None if self.sockets.readable() > 0 => {}
                None => self.turn(),
            }
        }
    }
}

/// Whether a client that has sent `bytes`, or as much of them as the network takes, is reset by the close.
fn is_reset_after(bytes: &[u8]) -> bool {
    let mut fixture = Fixture::new();
    let (mut client, id) = fixture.client(Service::Mqtt);
    client.set_nonblocking(true).unwrap();
    let mut rest = bytes;
    while let Ok(length @ 1..) = client.write(rest) {
        rest = &rest[length..];
    }
    fixture.sockets.close(id);
    client.write(b"x").is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
}

#[test]
fn what_a_client_still_sends_is_read_away_up_to_a_bound() {
    assert!(!is_reset_after(&[0; 10_000]), "an answer could be lost");
    assert!(is_reset_after(&vec![0; 4 << 20]), "a flood is not read to its end");
}

#[test]
fn each_service_has_its_port_and_closing_one_leaves_the_other() {
    let mut fixture = Fixture::new();
    let (_plain, first) = fixture.client(Service::Mqtt);
    let (_browser, second) = fixture.client(Service::WebSocket);
    assert_ne!(first, second);
    fixture.sockets.stop_listening(Service::Mqtt);
    fixture.client(Service::WebSocket);
    assert_eq!(fixture.sockets.listeners.len(), 1);
}

#[test]
fn the_parts_of_many_packets_leave_in_order_and_are_counted_whole() {
    let mut fixture = Fixture::new();
    let (mut client, id) = fixture.client(Service::Mqtt);
    // More than one call takes, in parts of every length from nothing to 2,000.
    let parts: Vec<Vec<u8>> =
        (0..2000).zip((b'a'..=b'z').cycle()).map(|(length, letter)| vec![letter; length]).collect();
    let all = parts.concat();
    let expected = all.clone();
    let reader = std::thread::spawn(move || {
        let mut found = vec![0; expected.len()];
        client.read_exact(&mut found).unwrap();
        assert!(found == expected);
    });
    for part in parts {
        fixture.sockets.send(id, Bytes::from(std::rc::Rc::from(part)));
    }
    let mut sent = 0;
    while sent < all.len() {
        match fixture.sockets.flush() {
            Some((_, length)) => sent += length,
            None => fixture.turn(),
        }
    }
    assert_eq!(sent, all.len());
    assert!(!fixture.sockets.connections[&id].can_send());
    reader.join().unwrap();
}

#[test]
fn what_a_client_sent_before_it_went_is_read_although_nothing_can_be_sent_to_it_any_more() {
    let mut fixture = Fixture::new();
    let (mut client, id) = fixture.client(Service::Mqtt);
    let bytes = |length| Bytes::from(std::rc::Rc::from(vec![b'x'; length]));
    fixture.sockets.send(id, bytes(1));
    assert_eq!(fixture.sockets.flush(), Some((id, 1)));
    client.write_all(b"last words").unwrap();
    // Closed over the unread byte, which resets the connection.
    drop(client);
    while !fixture.sockets.connections[&id].is_broken() {
        fixture.sockets.send(id, bytes(1));
        while fixture.sockets.flush().is_some() {}
    }
    assert_eq!(fixture.received(), b"last words");
    assert!(!fixture.sockets.contains(id) && fixture.sockets.connections.is_empty());
    fixture.sockets.send(id, bytes(1));
    assert_eq!(fixture.sockets.flush(), None);
}
