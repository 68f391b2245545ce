//! [`FanOut`]: the way of a message to the subscribers that may have it as it is and at once, which nearly all may.

use espbroker_mqtt::QoS;

use crate::{
    counters::Counters,
    outbox::Outbox,
    room::Room,
    routing::{Draft, NoMemory},
    subscriptions::HashedTopic,
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
        let mut recipients = 0;
        let mut met = None;
        for (place, connection) in connections.from(first) {
            let Some(session) = connection.session.as_deref() else { continue };
            let Some(granted) = session.subscriptions.matches(topic) else { continue };
            let qos = granted.min(*qos);
            let at_once = qos == QoS::AtMostOnce
                && session.is_ordinary()
                && session.is_idle()
                && connection.websocket.is_none();
            if at_once && outbox.fan_out(connection, draft.message(room, counters)?.length(), *now) {
                recipients += 1;
            } else {
                met = Some((place, qos));
                break;
            }
        }
        if let Some(message) = draft.made.as_ref().filter(|_| recipients > 0) {
            outbox.finish_fan_out(message, recipients, counters, *now);
        }
        Ok(met)
    }
}
