//! What moves: outputs, openings, bytes on the wires, and time.

use std::collections::VecDeque;

use espbroker_broker::{Broker, ConnectionId, Input, Instant, OpenFailure, Output};
use espbroker_mqtt::FixedHeader;

use super::{
    Door, Kind, Lan, STORM, Taste,
    wires::{End, Item},
};
use crate::script::Users;

impl Lan {
    /// Tells a broker something, and does what it says.
    pub(crate) fn tell(&mut self, host: usize, input: Input<'_>) {
        let now = self.now;
        self.broker(host).handle(input, now);
        self.collect(host);
    }

    pub(super) fn collect(&mut self, host: usize) {
        while let Some(output) = self.broker(host).poll_output() {
            match output {
                Output::Send { connection, bytes } => {
                    let wire = self.wire_of(host, connection).expect("sent over a connection that is gone");
                    self.put(wire, End::Host(host, connection), bytes.to_vec());
                    let now = self.now;
                    self.broker(host).handle(Input::Sent { connection, bytes: bytes.len() }, now);
                }
                Output::Close { connection, reason } => {
                    self.hosts[host].closed.push(reason);
                    let wire = self.wire_of(host, connection).expect("closed twice");
                    let at = self.now.after(self.latency);
                    let wire = &mut self.wires[wire];
                    let place = usize::from(wire.ends[0] == End::Host(host, connection));
                    wire.on_its_way[1 - place] = VecDeque::new();
                    wire.on_its_way[place].push_back((at, Item::End));
                    // The number is free for another connection.
                    wire.ends[1 - place] = End::Host(host, ConnectionId(0));
                }
                Output::Open { bridge, host: name, port } => {
                    assert_eq!(port, 1883);
                    assert!(!self.openings.iter().any(|(who, which, _)| (*who, *which) == (host, bridge)));
                    let now = self.now;
                    self.hosts[host].opens.push((bridge, now));
                    self.openings.push((host, bridge, name));
                }
                Output::Abandon { bridge } => {
                    self.hosts[host].abandoned += 1;
                    self.openings.retain(|(who, which, _)| (*who, *which) != (host, bridge));
                }
                Output::Bridge { state, .. } => self.hosts[host].news.push(state),
            }
        }
    }

    /// Moves everything that is due, until nothing is.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        assert!(self.run(STORM), "a storm");
    }

    /// Moves everything that is due; `false` when it does not come to an end.
    pub(crate) fn run(&mut self, deliveries: usize) -> bool {
        for _ in 0..deliveries {
            if !self.open_next() && !self.deliver_next() {
                return true;
            }
        }
        false
    }

    /// Answers the first opening that gets an answer.
    fn open_next(&mut self) -> bool {
        for place in 0..self.openings.len() {
            let (from, bridge, ref name) = self.openings[place];
            let to = self.hosts.iter().position(|host| *host.name == **name);
            let answer = match to.map(|to| (to, self.hosts[to].door)) {
                None => Err(OpenFailure::NameNotFound),
                Some((_, Door::Silent)) => continue,
                Some((_, Door::Fails(reason))) => Err(reason),
                Some((to, Door::Open)) => Ok(to),
            };
            self.openings.remove(place);
            match answer {
                Err(reason) => self.tell(from, Input::OpenFailed { bridge, reason }),
                Ok(to) => {
                    self.last_connection += 1;
                    let connection = ConnectionId(self.last_connection);
                    self.wire(End::Host(from, connection), to);
                    self.tell(from, Input::Opened { bridge, connection });
                }
            }
            return true;
        }
        false
    }

    fn deliver_next(&mut self) -> bool {
        let now = self.now;
        let due =
            |queue: &VecDeque<(Instant, Item)>| queue.front().map(|(at, _)| *at).filter(|at| *at <= now);
        let ways = (0..self.wires.len()).flat_map(|wire| [(wire, 0), (wire, 1)]);
        // What waits longest comes first; of equals, the older wire.
        let next = ways
            .filter_map(|(wire, to)| due(&self.wires[wire].on_its_way[to]).map(|at| (at, wire, to)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, index, to)) = next else { return false };
        let piece = self.piece;
        let wire = &mut self.wires[index];
        match wire.on_its_way[to].pop_front() {
            Some((_, Item::End)) => {
                let end = wire.ends[to];
                wire.is_open = false;
                wire.on_its_way = Default::default();
                if let End::Host(host, connection) = end
                    && matches!(self.hosts[host].kind, Kind::Broker(_))
                {
                    self.tell(host, Input::Closed { connection });
                }
            }
            Some((_, Item::Bytes(mut bytes))) => {
                // What is to be tasted comes in one piece.
                let piece = if wire.taste == Taste::Takes { piece } else { usize::MAX };
                let limit = piece.min(wire.cut_after.unwrap_or(usize::MAX));
                if bytes.len() > limit {
                    let rest = bytes.split_off(limit);
                    wire.on_its_way[to].push_front((at, Item::Bytes(rest)));
                }
                let cut = wire.cut_after.as_mut().map(|left| {
                    *left -= bytes.len();
                    *left == 0
                });
                self.arrive(index, to, bytes);
                if cut == Some(true) {
                    self.lose(index);
                }
            }
            None => {}
        }
        true
    }

    fn arrive(&mut self, index: usize, to: usize, mut bytes: Vec<u8>) {
        let wire = &mut self.wires[index];
        let taste = std::mem::replace(&mut wire.taste, Taste::Takes);
        match wire.ends[to] {
            End::Client(client) => self.client_received(client, &bytes),
            End::Host(host, connection) => {
                if to == 1 && taste != Taste::Takes {
                    // A CONNECT is handed out in one piece: header, name of the protocol, level.
                    let level = usize::from(
                        FixedHeader::parse(&bytes).unwrap().map_or(0, |header| header.header_length),
                    ) + 6;
                    let is_private = bytes.get(level).is_some_and(|level| level & 0x80 != 0);
                    match taste {
                        Taste::Refuses | Taste::Closes if is_private => {
                            let from = wire.ends[1];
                            if taste == Taste::Refuses {
                                self.put(index, from, b"\x20\x02\x00\x01".to_vec());
                            }
                            let at = self.now.after(self.latency);
                            self.wires[index].on_its_way[0].push_back((at, Item::End));
                            self.wires[index].ends[1] = End::Host(host, ConnectionId(0));
                            return self.tell_closed(host, connection);
                        }
                        Taste::Ignores if is_private => bytes[level] &= 0x7f,
                        _ => {}
                    }
                }
                match &mut self.hosts[host].kind {
                    Kind::Server(received) => received.extend(bytes),
                    Kind::Broker(_) => self.tell(host, Input::Received { connection, bytes: &bytes }),
                }
            }
        }
    }

    fn tell_closed(&mut self, host: usize, connection: ConnectionId) {
        if matches!(self.hosts[host].kind, Kind::Broker(_)) {
            self.tell(host, Input::Closed { connection });
        }
    }

    /// Lets time pass, with a tick whenever a broker asks for one, and deliveries when they are due.
    #[track_caller]
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        let end = self.now.after(milliseconds);
        let mut still = 0;
        self.settle();
        while let Some(next) = self.next_at().filter(|next| *next <= end) {
            still = if next > self.now { 0 } else { still + 1 };
            assert!(still < 1000, "a deadline that does not move");
            self.now = self.now.max(next);
            for host in 0..self.hosts.len() {
                let now = self.now;
                let is_due = |broker: &Broker<Users>| broker.poll_at().is_some_and(|at| at <= now);
                if matches!(&self.hosts[host].kind, Kind::Broker(broker) if is_due(broker)) {
                    self.tell(host, Input::Tick);
                }
            }
            self.settle();
        }
        self.now = end;
    }

    fn next_at(&self) -> Option<Instant> {
        let deadlines = self.hosts.iter().filter_map(|host| match &host.kind {
            Kind::Broker(broker) => broker.poll_at(),
            Kind::Server(_) => None,
        });
        let arrivals = self.wires.iter().flat_map(|wire| &wire.on_its_way).filter_map(VecDeque::front);
        deadlines.chain(arrivals.map(|(at, _)| *at)).min()
    }
}
