//! One simulated hour of a chip with a bridge to another broker: a crowd that joins, leaves, dies, floods and sends
//! nonsense, and among it faithful clients whose every message of QoS 1 and 2 must arrive.
//!
//! Everything follows from a seed, which is printed; `SOAK_SEED` sets another.

mod crowd;
mod faithful;
mod ledger;
mod random;
mod site;
mod wire;

use espbroker_broker::Settings;

use self::{crowd::Crowd, faithful::Faithful, ledger::Ledger, random::Random, site::Site, wire::Wire};
use crate::heap;

/// Faithful clients of each broker.
const FAITHFUL: [usize; 2] = [6, 3];
/// Clients of the crowd; with the faithful ones 64.
const CROWD: usize = 58;

const HOUR: u64 = 3_600_000;
/// What the crowd does not see of it: then the faithful clients get what is still on its way.
const CALM: u64 = 300_000;

/// The other broker has memory enough.
fn roomy() -> Settings {
    Settings { queue_messages: 10_000, queue_bytes: 1 << 24, ..site::settings() }
}

struct Hour {
    random: Random,
    /// The chip, and the broker at the other end of its bridge.
    sites: [Site; 2],
    faithful: Vec<Faithful>,
    crowd: Crowd,
    wire: Wire,
    ledger: Ledger,
}

impl Hour {
    fn new(seed: u64) -> Self {
        let sites = [Site::chip(), Site::computer(roomy())];
        let faithful = FAITHFUL
            .iter()
            .enumerate()
            .flat_map(|(site, count)| (0..*count).map(move |number| Faithful::new(site, number)));
        Self {
            random: Random::new(seed),
            sites,
            faithful: faithful.collect(),
            crowd: Crowd::new(CROWD),
            wire: Wire::default(),
            ledger: Ledger::default(),
        }
    }

    /// Lets everything that was sent arrive and be answered.
    fn settle(&mut self) {
        loop {
            let Self { random, sites, faithful, wire, ledger, .. } = self;
            let mut moved = wire.carry(sites, ledger, random);
            for client in faithful {
                moved |= client.listen(&mut sites[client.site], ledger, random);
            }
            if !moved {
                return sites.iter_mut().for_each(Site::reap);
            }
        }
    }

    /// Everybody who is to be here is, and nothing is on its way.
    fn is_at_rest(&self) -> bool {
        self.wire.is_up() && self.faithful.iter().all(Faithful::is_at_rest)
    }

    fn pass(&mut self, milliseconds: u64) {
        self.sites.iter_mut().for_each(|site| site.world.pass(milliseconds));
        self.settle();
    }

    /// A while in which the faithful clients live in peace.
    fn rest(&mut self) {
        let Self { random, sites, faithful, wire, ledger, .. } = self;
        wire.mend(sites);
        for client in faithful {
            client.wake(&mut sites[client.site], ledger, random);
        }
        self.settle();
        self.pass(1_000);
    }

    /// A while in which anything may happen.
    fn live(&mut self, since: u64) {
        let Self { random, sites, faithful, crowd, wire, ledger } = self;
        // Five minutes of storm, and five of a normal day.
        let is_storm = (since / CALM).is_multiple_of(2);
        ledger.is_storm = is_storm;
        if !is_storm && crowd.is_large {
            crowd.leave(&mut sites[0]);
        }
        crowd.is_large = is_storm;
        for _ in 0..if is_storm { 6 } else { 1 } {
            crowd.act(&mut sites[0], random);
        }
        wire.live(sites, random);
        for client in faithful {
            client.live(&mut sites[client.site], ledger, random);
        }
        self.settle();
        let pause = self.random.below(500);
        self.pass(u64::try_from(pause).unwrap());
    }

    /// Ends every connection and forgets every session, retained message and bridge.
    fn leave(&mut self) {
        let [here, there] = &mut self.sites;
        self.wire.remove(here, there);
        for client in &mut self.faithful {
            client.forget(if client.site == 0 { &mut *here } else { &mut *there });
        }
        self.crowd.forget(here);
        for site in [here, there] {
            site.reap();
            assert_eq!((site.world.broker.clients(), site.world.links.len()), (0, 0));
            assert_eq!((site.world.broker.sessions_away(), site.world.broker.retained_messages()), (0, 0));
            assert_eq!(site.world.charged, 0);
        }
    }
}

#[test]
fn an_hour_of_everything() {
    let seed = std::env::var("SOAK_SEED").map_or(1, |seed| seed.parse().expect("SOAK_SEED is a number"));
    println!("seed {seed}");
    let mut hour = Hour::new(seed);
    let memory = [0, 1].map(|site: usize| hour.sites[site].world.broker.memory());
    let (held, began) = (heap::held(), hour.sites[0].world.now);
    let since = |hour: &Hour| hour.sites[0].world.now.0 - began.0;

    hour.wire.begin(&mut hour.sites[0]);
    while !hour.is_at_rest() {
        hour.rest();
        assert!(since(&hour) < CALM, "not everybody got in");
    }
    while since(&hour) < HOUR - CALM {
        let since = since(&hour);
        hour.live(since);
    }
    hour.crowd.leave(&mut hour.sites[0]);
    hour.faithful.iter_mut().for_each(Faithful::stop);
    while since(&hour) < HOUR {
        hour.rest();
    }
    assert!(hour.is_at_rest(), "something is still on its way");

    let outcome = hour.ledger.settle(&hour.faithful);
    hour.leave();
    assert_eq!(heap::held(), held, "a leak on the chip");
    for (site, memory) in hour.sites.iter().zip(memory) {
        assert_eq!(site.world.broker.memory(), memory, "a leak");
    }
    let counters = hour.sites[0].world.broker.counters();
    println!("{outcome:?}, {} bytes at most", heap::BUDGET - site::lowest());
    println!("{counters:?}");

    // What was refused is counted, and next to nothing.
    assert_eq!(hour.sites[1].world.broker.counters().messages_dropped, 0);
    assert!(outcome.published > 2_000 && outcome.refused * 2 < outcome.arrived, "{outcome:?}");
    assert!(outcome.refused_in_peace * 10 < outcome.arrived, "{outcome:?}");
    // The hour had everything in it.
    let closed = &counters.closed;
    let ends = [closed.disconnected, closed.network_closed, closed.keep_alive_timeout, closed.taken_over];
    let faults = [closed.malformed, closed.websocket, closed.connect_expected, closed.connect_timeout];
    let limits = [counters.no_memory, closed.no_memory, counters.subscriptions_refused, counters.wills];
    for count in [ends, faults, limits].concat() {
        assert!(count > 10, "{counters:?}");
    }
    assert!(counters.duplicates > 10 && hour.wire.links > 10, "{counters:?}");
}
