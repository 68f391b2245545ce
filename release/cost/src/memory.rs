//! What the broker holds, in bytes: differences between a broker with something and the same broker without it.

use espbroker_broker::Output;
use espbroker_mqtt::{Delivery, QoS};

use crate::{
    Failure,
    client::{self, Session},
    heap::{self, Held},
    work::{CLIENTS, PAYLOAD, SUBSCRIPTIONS, client_id, own_topics},
    world::World,
};

/// Messages in the rows about messages.
const MESSAGES: usize = 20;

/// A moment's state.
#[derive(Clone, Copy)]
struct State {
    held: Held,
    /// What the broker says of itself.
    accounted: usize,
}

impl State {
    fn of(world: &World) -> Self {
        Self { held: heap::held(), accounted: world.broker.memory() }
    }
}

/// Prints a line for each row: name, units, then for all units together bytes, bytes with the chip's overhead, blocks,
/// and [`espbroker_broker::Broker::memory`].
///
/// # Errors
/// When the broker did not do what was wanted.
pub(crate) fn run() -> Result<(), Failure> {
    let world = World::new();
    let empty = State::of(&world);
    print("output-size", 1, size_of::<Output>(), size_of::<Output>(), 0, size_of::<Output>());
    let size = size_of_val(&world.broker);
    print("broker-size", 1, size, size, 0, size);
    let accounted = empty.accounted.saturating_sub(size);
    print("broker-heap", 1, empty.held.bytes, empty.held.chip_bytes, empty.held.blocks, accounted);
    drop(world);
    if heap::held() != Held::default() {
        return Err(format!("a broker that is gone holds {:?}", heap::held()));
    }
    clients()?;
    retained()?;
    away(1)?;
    away(2)
}

/// Idle clients, without and with subscriptions.
fn clients() -> Result<(), Failure> {
    let mut world = World::new();
    let empty = State::of(&world);
    for index in 0..CLIENTS {
        world.join(&client_id(index), Session::Clean)?;
    }
    let joined = State::of(&world);
    difference("idle-client", CLIENTS, empty, joined);
    for index in 0..CLIENTS {
        world.subscribe(index, &own_topics(index), QoS::AtMostOnce)?;
    }
    let subscribed = State::of(&world);
    difference("idle-client-5-subscriptions", CLIENTS, empty, subscribed);
    difference("subscription", CLIENTS * SUBSCRIPTIONS, joined, subscribed);
    leave(&mut world)?;
    for index in 0..CLIENTS {
        world.join_again(index, &client_id(index), Session::Clean)?;
        world.subscribe(index, &unlike_topics(index), QoS::AtMostOnce)?;
    }
    difference("idle-client-5-unlike-subscriptions", CLIENTS, empty, State::of(&world));
    leave(&mut world)?;
    for index in 0..CLIENTS {
        world.join_again(index, &client_id(index), Session::Clean)?;
        world.subscribe(index, &shared_topics(), QoS::AtMostOnce)?;
    }
    difference("idle-client-5-shared-subscriptions", CLIENTS, empty, State::of(&world));
    leave(&mut world)?;
    difference("after-all-clients-left", 1, empty, State::of(&world));
    Ok(())
}

/// All clients leave.
fn leave(world: &mut World) -> Result<(), Failure> {
    for client in 0..CLIENTS {
        world.cut(client)?;
    }
    Ok(())
}

/// Topics of 20 bytes that only this client subscribes to, and that have nothing in common.
fn unlike_topics(index: usize) -> Vec<String> {
    (0..SUBSCRIPTIONS).map(|lamp| format!("{lamp}/on/lights/room/{index:02}x")).collect()
}

/// Topics of 20 bytes for everybody.
fn shared_topics() -> Vec<String> {
    (0..SUBSCRIPTIONS).map(|lamp| format!("site/common/lamp{lamp}/on")).collect()
}

/// Retained messages.
fn retained() -> Result<(), Failure> {
    let mut world = World::new();
    let publisher = world.join(&client_id(0), Session::Clean)?;
    let before = State::of(&world);
    for topic in topics() {
        world.send(publisher, &client::publish(&topic, PAYLOAD, Delivery::AtMostOnce, true)?)?;
    }
    if world.broker.retained_messages() != MESSAGES {
        return Err(format!("retained messages kept: {}", world.broker.retained_messages()));
    }
    difference("retained-message", MESSAGES, before, State::of(&world));
    Ok(())
}

/// Sessions of clients that are away, and what waits for them. Prints nothing if the broker keeps no sessions.
fn away(sessions: usize) -> Result<(), Failure> {
    let mut world = World::new();
    let publisher = world.join(&client_id(0), Session::Clean)?;
    let before = State::of(&world);
    let places = 1..=sessions;
    for place in places.clone() {
        world.join(&client_id(place), Session::Kept)?;
        let mut filters = own_topics(place);
        filters.pop();
        filters.push(ALL_TOPICS.to_owned());
        world.subscribe(place, &filters, QoS::AtLeastOnce)?;
        world.cut(place)?;
    }
    let away = State::of(&world);
    for (packet_id, topic) in (1..).zip(topics()) {
        let delivery = Delivery::AtLeastOnce { packet_id: client::packet_id(packet_id)?, duplicate: false };
        world.send(publisher, &client::publish(&topic, PAYLOAD, delivery, false)?)?;
    }
    let queued = State::of(&world);
    for place in places {
        world.join_again(place, &client_id(place), Session::Kept)?;
        let client = world.client(place)?;
        if client.sessions_present == 0 {
            return Ok(());
        }
        if usize::try_from(client.deliveries) != Ok(MESSAGES) {
            return Err(format!("queued messages delivered: {} of {MESSAGES}", client.deliveries));
        }
    }
    if sessions == 1 {
        difference("away-session-5-subscriptions", 1, before, away);
        difference("queued-message", MESSAGES, away, queued);
    } else {
        difference("queued-message-2-sessions", MESSAGES, away, queued);
    }
    Ok(())
}

/// Matches what [`topics`] gives; 14 bytes.
const ALL_TOPICS: &str = "site/+/lamp/on";

/// Topics of 20 bytes.
fn topics() -> impl Iterator<Item = String> {
    (0..MESSAGES).map(|room| format!("site/rm{room:05}/lamp/on"))
}

fn difference(name: &str, units: usize, before: State, after: State) {
    print(
        name,
        units,
        after.held.bytes.saturating_sub(before.held.bytes),
        after.held.chip_bytes.saturating_sub(before.held.chip_bytes),
        after.held.blocks.saturating_sub(before.held.blocks),
        after.accounted.saturating_sub(before.accounted),
    );
}

fn print(name: &str, units: usize, bytes: usize, chip_bytes: usize, blocks: usize, accounted: usize) {
    println!("{name} {units} {bytes} {chip_bytes} {blocks} {accounted}");
}
