//! The work, and its count.

use alloc::{format, string::String, vec::Vec};
use core::fmt::Write as _;

use espbroker_broker::{
    Anonymous, Broker, ConnectionId, Input, Instant, NoAccounts, Output, Settings, Transport,
};
use espbroker_lx106_runtime::qemu::{Console, cycles};
use espbroker_mqtt::{
    Connect, Delivery, Packet, PacketId, Protocol, Publish, QoS, Subscribe, Subscription, SubscriptionList,
    TopicFilter, TopicName,
};

const CLIENTS: u16 = 25;
const SUBSCRIPTIONS: usize = 5;
const TOPIC: &str = "site/all/now";
const PAYLOAD: &[u8; 24] = b"{\"power\":1,\"watts\":17.5}";
const RUNS: [u16; 2] = [1_000, 2_000];
/// Exit code when the broker did not do the work.
const EXIT_WRONG: u32 = 1;

/// A broker, and what the network has taken since that was last reported.
struct World {
    broker: Broker<NoAccounts>,
    taken: Vec<(ConnectionId, usize)>,
    /// Bytes that the network has taken in all.
    total: usize,
    now: u64,
}

impl World {
    fn new() -> Self {
        let settings = Settings { anonymous: Anonymous::Allowed, ..Settings::default() };
        Self { broker: Broker::new(settings, NoAccounts), taken: Vec::new(), total: 0, now: 0 }
    }

    fn join(&mut self, client: u16) -> Option<()> {
        let input = Input::Accepted { connection: ConnectionId(client), transport: Transport::Tcp };
        self.broker.handle(input, Instant(self.now));
        let client_id = format!("client-{client:02}");
        self.send(
            client,
            &encoded(&Packet::Connect(Connect {
                protocol: Protocol::Mqtt311,
                bridge: false,
                client_id: &client_id,
                clean_session: true,
                keep_alive: 60,
                will: None,
                user_name: None,
                password: None,
            }))?,
        );
        Some(())
    }

    fn subscribe(&mut self, client: u16, filters: &[String]) -> Option<()> {
        let subscriptions: Vec<_> = filters
            .iter()
            .filter_map(|filter| {
                Some(Subscription { filter: TopicFilter::new(filter).ok()?, qos: QoS::AtMostOnce })
            })
            .collect();
        let subscriptions = SubscriptionList::new(&subscriptions);
        let packet_id = PacketId::new(1)?;
        self.send(client, &encoded(&Packet::Subscribe(Subscribe { packet_id, subscriptions }))?);
        Some(())
    }

    /// A client's bytes arrive, one millisecond after what came before; the network takes and acknowledges at once.
    fn send(&mut self, client: u16, bytes: &[u8]) {
        self.now += 1;
        let now = Instant(self.now);
        if self.broker.poll_at().is_some_and(|due| due <= now) {
            self.broker.handle(Input::Tick, now);
        }
        self.broker.handle(Input::Received { connection: ConnectionId(client), bytes }, now);
        loop {
            while let Some(output) = self.broker.poll_output() {
                if let Output::Send { connection, bytes } = &output {
                    self.taken.push((*connection, bytes.len()));
                }
            }
            if self.taken.is_empty() {
                return;
            }
            for (connection, bytes) in self.taken.drain(..) {
                self.total += bytes;
                self.broker.handle(Input::Sent { connection, bytes }, now);
            }
        }
    }
}

fn encoded(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes).ok()?;
    Some(bytes)
}

/// Routes so many messages to so many subscribers; returns the cycles, or nothing if they did not arrive.
fn run(matches: u16, messages: u16) -> Option<u32> {
    let mut world = World::new();
    for client in 0..CLIENTS {
        world.join(client)?;
        let mut filters: Vec<_> =
            (0..SUBSCRIPTIONS).map(|lamp| format!("site/room{client:02}/lamp{lamp}/on")).collect();
        // In the middle of the clients, so that neither first nor last place counts.
        if matches == CLIENTS || client == CLIENTS / 2 {
            filters.pop();
            filters.push(String::from(TOPIC));
        }
        world.subscribe(client, &filters)?;
    }
    world.join(CLIENTS)?;
    let message = encoded(&Packet::Publish(Publish {
        topic: TopicName::new(TOPIC).ok()?,
        payload: PAYLOAD,
        retain: false,
        delivery: Delivery::AtMostOnce,
    }))?;
    let before = (world.total, cycles());
    for _ in 0..messages {
        world.send(CLIENTS, &message);
    }
    let spent = cycles().wrapping_sub(before.1);
    let wanted = usize::from(matches) * usize::from(messages) * message.len();
    (world.total - before.0 == wanted).then_some(spent)
}

/// The program; start-up calls it.
#[unsafe(no_mangle)]
extern "C" fn lx106_main() -> u32 {
    for matches in [1, CLIENTS] {
        for messages in RUNS {
            let Some(spent) = run(matches, messages) else { return EXIT_WRONG };
            if writeln!(Console, "{matches} {messages} {spent}").is_err() {
                return EXIT_WRONG;
            }
        }
    }
    0
}
