//! Wires between the hosts, and servers that the test plays.

use std::collections::VecDeque;

use espbroker_broker::{ConnectionId, Input, Instant, Transport};

use super::{Kind, Lan, Taste, packets};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Host(usize, ConnectionId),
    Client(usize),
}

pub(super) struct Wire {
    pub(super) ends: [End; 2],
    /// What is on its way to each end, and when it is there.
    pub(super) on_its_way: [VecDeque<(Instant, Item)>; 2],
    pub(super) is_open: bool,
    /// Bytes vanish and nobody is told.
    pub(super) is_dead: bool,
    /// Bytes after which the link is lost.
    pub(super) cut_after: Option<usize>,
    pub(super) taste: Taste,
}

pub(super) enum Item {
    Bytes(Vec<u8>),
    End,
}

impl Lan {
    pub(super) fn wire(&mut self, from: End, to: usize) -> usize {
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        self.wires.push(Wire {
            ends: [from, End::Host(to, connection)],
            on_its_way: Default::default(),
            is_open: true,
            is_dead: false,
            cut_after: None,
            taste: self.hosts[to].taste,
        });
        match &mut self.hosts[to].kind {
            Kind::Broker(_) => {
                let transport = Transport::Tcp;
                self.tell(to, Input::Accepted { connection, transport });
            }
            Kind::Server(received) => received.clear(),
        }
        self.wires.len() - 1
    }

    pub(super) fn put(&mut self, wire: usize, from: End, bytes: Vec<u8>) {
        let at = self.now.after(self.latency);
        let wire = &mut self.wires[wire];
        let to = usize::from(wire.ends[0] == from);
        if wire.is_open && !wire.is_dead {
            wire.on_its_way[to].push_back((at, Item::Bytes(bytes)));
        }
    }

    pub(super) fn wire_of(&self, host: usize, connection: ConnectionId) -> Option<usize> {
        self.wires.iter().position(|wire| wire.is_open && wire.ends.contains(&End::Host(host, connection)))
    }

    /// The open wire between two hosts, opened by the first.
    pub(crate) fn link(&self, from: usize, to: usize) -> Option<usize> {
        self.wires.iter().rposition(|wire| {
            let ends = wire.ends.map(|end| match end {
                End::Host(host, _) => Some(host),
                End::Client(_) => None,
            });
            wire.is_open && ends == [Some(from), Some(to)]
        })
    }

    /// Both ends learn at once that the wire is cut; what was on its way is lost.
    pub(crate) fn lose(&mut self, wire: usize) {
        if !std::mem::replace(&mut self.wires[wire].is_open, false) {
            return;
        }
        self.wires[wire].on_its_way = Default::default();
        for end in self.wires[wire].ends {
            if let End::Host(host, connection) = end
                && matches!(self.hosts[host].kind, Kind::Broker(_))
            {
                self.tell(host, Input::Closed { connection });
            }
        }
    }

    /// Cuts the link that the first host has opened to the second.
    #[track_caller]
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.lose(self.link(from, to).expect("no link"));
        self.settle();
    }

    /// Cuts that link when so many more bytes have arrived.
    pub(crate) fn cut_after(&mut self, from: usize, to: usize, bytes: usize) {
        if let Some(wire) = self.link(from, to) {
            self.wires[wire].cut_after = Some(bytes);
        }
    }

    /// Takes [`Self::cut_after`] back.
    pub(crate) fn cut_never(&mut self, wire: usize) {
        self.wires[wire].cut_after = None;
    }

    /// Nothing arrives any more over that link, and nobody is told.
    pub(crate) fn kill(&mut self, from: usize, to: usize) {
        let wire = self.link(from, to).expect("no link");
        self.wires[wire].is_dead = true;
        self.wires[wire].on_its_way = Default::default();
    }

    /// The packets that came over the server's last connection since the last look.
    pub(crate) fn received(&mut self, server: usize) -> Vec<Vec<u8>> {
        match &mut self.hosts[server].kind {
            Kind::Server(received) => packets(received),
            Kind::Broker(_) => panic!("not a server"),
        }
    }

    /// Sends bytes over the server's last connection.
    pub(crate) fn answer_bytes(&mut self, server: usize, bytes: &[u8]) {
        let (wire, end) = self.server_end(server);
        self.put(wire, end, bytes.to_vec());
        self.settle();
    }

    /// Is the server's last connection open.
    pub(crate) fn is_connected(&self, server: usize) -> bool {
        self.wires
            .iter()
            .any(|wire| wire.is_open && matches!(wire.ends[1], End::Host(host, _) if host == server))
    }

    /// Closes the server's last connection.
    pub(crate) fn hang_up(&mut self, server: usize) {
        let (wire, _) = self.server_end(server);
        self.lose(wire);
        self.settle();
    }

    fn server_end(&self, server: usize) -> (usize, End) {
        let is_of = |wire: &Wire| matches!(wire.ends[1], End::Host(host, _) if host == server);
        let wire = self.wires.iter().rposition(is_of).expect("no connection");
        (wire, self.wires[wire].ends[1])
    }
}
