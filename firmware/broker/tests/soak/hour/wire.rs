//! [`Wire`]: the way between the chip's bridge and the other broker, which breaks.

use espbroker_broker::{
    BridgeId, BridgeSettings, BridgeState, BridgeTopic, ConnectionId, Direction, Input, OpenFailure,
    Transport,
};
use espbroker_mqtt::QoS;

use super::{ledger::Ledger, random::Random, site::Site};
use crate::{
    heap,
    world::{Said, Unit},
};

const BRIDGE: BridgeId = BridgeId(0);

/// Client identifier of the bridge.
const NAME: &str = "bridge";

#[derive(Default)]
pub(super) struct Wire {
    /// The bridge waits for its connection.
    is_opening: bool,
    /// Numbers of the connection here and there.
    ends: Option<[u16; 2]>,
    /// The other broker has answered the CONNECT.
    is_greeted: bool,
    /// Nothing comes through, and nobody is told.
    is_dead: bool,
    /// Connections that were made.
    pub(super) links: u32,
}

impl Wire {
    pub(super) fn begin(&mut self, here: &mut Site) {
        set_bridges(here, true);
    }

    /// Is there a way on which nothing is.
    pub(super) fn is_up(&self) -> bool {
        self.ends.is_some() && !self.is_dead
    }

    /// Moves what is on its way; whether there was anything.
    pub(super) fn carry(&mut self, sites: &mut [Site; 2], ledger: &mut Ledger, random: &mut Random) -> bool {
        for said in sites[0].world.said() {
            match said {
                Said::Open(_) => self.is_opening = true,
                Said::Abandon(_) => self.is_opening = false,
                Said::News(_, state) => {
                    self.is_greeted = matches!(state, BridgeState::Connected { .. });
                    // Without the bridge bit messages come back, and some of them unrecognised.
                    assert_ne!(state, BridgeState::Connected { private: false });
                }
                Said::Handed(..) | Said::Closed(..) => {}
            }
        }
        sites[1].world.said();
        let Some(ends) = self.ends.filter(|_| !self.is_dead) else { return false };
        let mut moved = false;
        for (from, to) in [(0, 1), (1, 0)] {
            for unit in sites[from].world.arrived(ends[from]) {
                let Unit::Packet(packet) = unit else { panic!("{unit:?} from a broker") };
                moved = true;
                let cut = random.below(packet.len());
                ledger.watch(&mut sites[to], &packet, |site| {
                    for piece in [&packet[..cut], &packet[cut..]] {
                        if site.is_open(ends[to]) {
                            site.world.bytes(ends[to], piece);
                        }
                    }
                });
            }
        }
        if !sites[0].is_open(ends[0]) || !sites[1].is_open(ends[1]) {
            self.cut(sites);
        }
        moved
    }

    /// Answers the bridge, or breaks its connection.
    pub(super) fn live(&mut self, sites: &mut [Site; 2], random: &mut Random) {
        if self.is_opening && random.one_in(4) {
            let reasons = [OpenFailure::Refused, OpenFailure::NameNotFound, OpenFailure::TimedOut];
            match reasons.get(random.below(12)) {
                Some(reason) => {
                    self.is_opening = false;
                    let input = Input::OpenFailed { bridge: BRIDGE, reason: *reason };
                    sites[0].world.handle(input);
                }
                None => self.open(sites),
            }
        }
        // Without an answer to its CONNECT the bridge would go on without the bridge bit.
        if let Some(ends) = self.ends
            && self.is_greeted
            && random.one_in(200)
        {
            match random.below(4) {
                0 => self.cut(sites),
                // Both find out by themselves.
                1 => self.is_dead = true,
                // The one end knows, and the other when the next connection takes over.
                2 => sites[0].world.lose(ends[0]),
                _ => {
                    // What is behind this was never sent.
                    let [here, there] = sites;
                    here.world.arrived(ends[0]);
                    there.world.arrived(ends[1]);
                    self.cut(sites);
                }
            }
        }
        if self.ends.is_some_and(|[here, _]| !sites[0].is_open(here)) {
            self.ends = None;
            self.is_dead = false;
        }
    }

    /// Makes a way that stays.
    pub(super) fn mend(&mut self, sites: &mut [Site; 2]) {
        if self.is_dead {
            self.cut(sites);
        }
        if self.is_opening {
            self.open(sites);
        }
    }

    fn open(&mut self, sites: &mut [Site; 2]) {
        self.is_opening = false;
        self.is_dead = false;
        self.links += 1;
        let [here, there] = sites;
        let ends = [here.number(), there.open(Transport::Tcp)];
        self.ends = Some(ends);
        here.world.link(ends[0], Transport::Tcp);
        here.world.handle(Input::Opened { bridge: BRIDGE, connection: ConnectionId(ends[0]) });
    }

    fn cut(&mut self, sites: &mut [Site; 2]) {
        let ends = self.ends.take();
        for (site, end) in sites.iter_mut().zip(ends.into_iter().flatten()) {
            site.world.lose(end);
        }
        self.is_dead = false;
    }

    /// Ends the bridge, and what the other broker has kept for it.
    pub(super) fn remove(&mut self, here: &mut Site, there: &mut Site) {
        set_bridges(here, false);
        if let Some([end, other]) = self.ends.take() {
            assert!(!here.is_open(end), "a bridge that is no more has a connection");
            here.world.lose(end);
            there.world.lose(other);
        }
        // The bridge's state is kept there, for the bridge alone to clear.
        there.forget(NAME, Some("$SYS/broker/connection/bridge/state"));
    }
}

fn set_bridges(here: &mut Site, any: bool) {
    let now = here.world.now;
    heap::count(&mut || here.world.broker.set_bridges(if any { vec![bridge()] } else { vec![] }, now));
    here.world.carry_out();
}

fn bridge() -> BridgeSettings {
    let line = |pattern: &str, direction| BridgeTopic {
        pattern: pattern.into(),
        direction,
        qos: QoS::ExactlyOnce,
        local_prefix: "".into(),
        remote_prefix: "".into(),
    };
    let topics =
        vec![line("up/#", Direction::Out), line("down/#", Direction::In), line("both/#", Direction::Both)];
    BridgeSettings { keep_alive: 20, restart_cap: 10, topics, ..BridgeSettings::new("there", "there", NAME) }
}
