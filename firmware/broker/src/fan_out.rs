//! [`FanOut`]: the way of a message to the subscribers that may have it as it is and at once, which nearly all may.

use alloc::boxed::Box;

use espbroker_mqtt::QoS;

use crate::{
    connection::Connection,
    counters::Counters,
    outbox::{Outbox, Wave},
    room::Room,
    routing::{Draft, NoMemory},
    session::Session,
    subscriptions::{Found, HashedTopic},
    table::Table,
    time::Instant,
};

/// A message on its way through the table of connections.
///
/// Nothing in here depends on how access is decided, so that it is compiled once and by itself.
pub(crate) struct FanOut<'a, 'b> {
    pub(crate) connections: &'a mut Table,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) room: &'a mut Room,
    pub(crate) counters: &'a mut Counters,
    pub(crate) draft: &'a mut Draft<'b>,
    pub(crate) qos: QoS,
    pub(crate) now: Instant,
}

impl FanOut<'_, '_> {
    /// Gives it to the connections from the place `first` on. Stops at a subscriber that needs a closer look, and returns
    /// its place and the QoS for it.
    ///
    /// # Errors
    /// There is no memory for the message, which is counted.
    #[inline(never)]
    pub(crate) fn go_on(
        &mut self,
        topic: &HashedTopic<'_>,
        first: usize,
    ) -> Result<Option<(usize, QoS)>, NoMemory> {
        let Self { connections, outbox, room, counters, draft, qos, now } = self;
        let mut wave = outbox.begin_fan_out(draft.length(), *now);
        let mut next = first;
        let met = loop {
            let (passed, found) = run(connections.from(next), outbox, &mut wave, topic, *qos);
            next += passed;
            let Some(connection) = connections.at(next) else { break None };
            let place = next;
            next += 1;
            let Some(session) = connection.session.as_ref() else { continue };
            let granted = if let Found::Granted(granted) = found {
                granted
            } else if let Some(granted) = session.subscriptions.compare(topic) {
                granted
            } else {
                continue;
            };
            let qos = granted.min(*qos);
            let at_once = qos == QoS::AtMostOnce && session.is_idle() && is_ordinary(connection, session);
            if !at_once || !outbox.fan_out(&mut wave, connection) {
                break Some((place, qos));
            }
        };
        if !outbox.has_fanned_out(&wave) {
            return Ok(met);
        }
        match draft.message(room, counters) {
            Ok(message) => outbox.finish_fan_out(&wave, message, counters),
            Err(error) => {
                outbox.give_up_fan_out(&wave, connections);
                return Err(error);
            }
        }
        Ok(met)
    }
}

/// Gives a message to all of these connections for which that is easily told. Returns how many that is, and what was found
/// out of the next.
///
/// Where a message spends most of its time.
#[inline(never)]
fn run(
    connections: &mut [Box<Connection>],
    outbox: &mut Outbox,
    wave: &mut Wave,
    topic: &HashedTopic<'_>,
    qos: QoS,
) -> (usize, Found) {
    for (place, connection) in connections.iter_mut().enumerate() {
        let Some(session) = connection.session.as_ref() else { continue };
        if !session.subscriptions.may_match(topic) {
            continue;
        }
        let found = session.subscriptions.look_up(topic);
        let granted = match found {
            Found::Nothing => continue,
            Found::Granted(granted) => granted,
            Found::Perhaps => return (place, found),
        };
        let at_once = (qos == QoS::AtMostOnce || granted == QoS::AtMostOnce)
            && session.traffic.is_none()
            && is_ordinary(connection, session);
        if !at_once || !outbox.fan_out(wave, connection) {
            return (place, found);
        }
    }
    (connections.len(), Found::Nothing)
}

/// May the client get every message as it is.
#[inline]
fn is_ordinary(connection: &Connection, session: &Session) -> bool {
    session.is_ordinary() && !connection.is_websocket()
}
