//! [`Item`]: work to be counted in instructions. 25 clients of five subscriptions to topics of 20 bytes are there in
//! all of it; a 26th, which has none, does what costs.

use espbroker_mqtt::{Delivery, Packet, QoS};

use crate::{
    Failure,
    client::{self, Session},
    heap,
    world::World,
};

/// Clients with subscriptions.
pub(crate) const CLIENTS: usize = 25;
/// Subscriptions of each.
pub(crate) const SUBSCRIPTIONS: usize = 5;
/// Topic of 12 bytes that messages go to.
const TOPIC: &str = "site/all/now";
/// As long, and nobody subscribes to it.
const OTHER_TOPIC: &str = "site/all/nil";
/// With [`TOPIC`] it makes a packet of 40 bytes.
pub(crate) const PAYLOAD: &[u8; 24] = b"{\"power\":1,\"watts\":17.5}";

/// What is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A message of QoS 0 to one subscriber.
    OneMatch,
    /// A message of QoS 0 to all 25.
    AllMatch,
    /// A message of QoS 0 to nobody.
    NoMatch,
    /// A message of QoS 1 to 25 subscribers of QoS 1, all PUBACKs included.
    AllMatchQos1,
    /// CONNECT, SUBSCRIBE of five, DISCONNECT, from the connection's opening to its end.
    Join,
    /// PINGREQ.
    Ping,
}

impl Item {
    const ALL: [Self; 6] =
        [Self::OneMatch, Self::AllMatch, Self::NoMatch, Self::AllMatchQos1, Self::Join, Self::Ping];

    /// The name on the command line.
    const fn name(self) -> &'static str {
        match self {
            Self::OneMatch => "qos0-1-match",
            Self::AllMatch => "qos0-25-matches",
            Self::NoMatch => "qos0-no-match",
            Self::AllMatchQos1 => "qos1-25-matches",
            Self::Join => "join-and-leave",
            Self::Ping => "ping",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|item| item.name() == name)
    }

    /// Clients that subscribe to [`TOPIC`], with their last subscription.
    const fn matches(self) -> usize {
        match self {
            Self::OneMatch => 1,
            Self::AllMatch | Self::AllMatchQos1 => CLIENTS,
            Self::NoMatch | Self::Join | Self::Ping => 0,
        }
    }

    const fn qos(self) -> QoS {
        match self {
            Self::AllMatchQos1 => QoS::AtLeastOnce,
            _ => QoS::AtMostOnce,
        }
    }
}

/// What came of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// Messages that subscribers got.
    pub(crate) deliveries: u64,
    /// Those of them that they acknowledged.
    pub(crate) acknowledged: u64,
    /// Blocks of memory that the broker took.
    pub(crate) allocations: usize,
}

/// Does `item` `count` times.
///
/// # Errors
/// When the broker did not do what was wanted.
pub(crate) fn run(item: Item, count: u16) -> Result<Done, Failure> {
    let mut world = World::new();
    for index in 0..CLIENTS {
        let client = world.join(&client_id(index), Session::Clean)?;
        let mut filters = own_topics(index);
        // In the middle of the clients, so that neither first nor last place counts.
        if item.matches() == CLIENTS || (item.matches() == 1 && index == CLIENTS / 2) {
            filters.pop();
            filters.push(TOPIC.to_owned());
        }
        world.subscribe(client, &filters, item.qos())?;
    }
    let actor = match item {
        Item::Join => CLIENTS,
        _ => world.join(&client_id(CLIENTS), Session::Clean)?,
    };
    let before = heap::allocations();
    for round in 1..=count {
        step(&mut world, item, actor, round)?;
    }
    let allocations = heap::allocations() - before;
    let (deliveries, acknowledged) = world.totals();
    let wanted = u64::from(count) * u64::try_from(item.matches()).unwrap_or(u64::MAX);
    if deliveries != wanted {
        return Err(format!("deliveries other than wanted ({wanted}): {deliveries}"));
    }
    Ok(Done { deliveries, acknowledged, allocations })
}

fn step(world: &mut World, item: Item, actor: usize, round: u16) -> Result<(), Failure> {
    match item {
        Item::Join => {
            let client_id = client_id(CLIENTS);
            if round == 1 {
                world.join(&client_id, Session::Clean)?;
            } else {
                world.join_again(actor, &client_id, Session::Clean)?;
            }
            world.subscribe(actor, &own_topics(CLIENTS), QoS::AtMostOnce)?;
            world.send(actor, &client::packet(&Packet::Disconnect)?)
        }
        Item::Ping => world.send(actor, &client::packet(&Packet::Pingreq)?),
        Item::OneMatch | Item::AllMatch | Item::NoMatch | Item::AllMatchQos1 => {
            let topic = if item.matches() == 0 { OTHER_TOPIC } else { TOPIC };
            let delivery = match item.qos() {
                QoS::AtMostOnce => Delivery::AtMostOnce,
                _ => Delivery::AtLeastOnce { packet_id: client::packet_id(round)?, duplicate: false },
            };
            world.send(actor, &client::publish(topic, PAYLOAD, delivery, false)?)
        }
    }
}

/// The identifier of a client, 9 bytes.
pub(crate) fn client_id(index: usize) -> String {
    format!("client-{index:02}")
}

/// Topics of 20 bytes that only this client subscribes to.
pub(crate) fn own_topics(index: usize) -> Vec<String> {
    (0..SUBSCRIPTIONS).map(|lamp| format!("site/room{index:02}/lamp{lamp}/on")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_is_what_the_figures_are_said_to_be_for() {
        assert!(own_topics(24).iter().all(|topic| topic.len() == 20));
        assert_eq!((TOPIC.len(), OTHER_TOPIC.len()), (12, 12));
        let publish = client::publish(TOPIC, PAYLOAD, Delivery::AtMostOnce, false);
        assert_eq!(publish.map(|packet| packet.len()), Ok(40));
    }

    #[test]
    fn every_item_is_found_by_its_name_and_can_be_done() {
        for item in Item::ALL {
            assert_eq!(Item::named(item.name()), Some(item));
            assert_eq!(run(item, 3).map(|done| done.deliveries), Ok(3 * item.matches() as u64));
        }
    }
}
