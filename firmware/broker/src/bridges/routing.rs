//! The way of messages over bridges: in, under the topic that they have here, and out, under the one they have there.

use alloc::string::String;

use espbroker_mqtt::{Publish, QoS, TopicName};

use crate::{
    access::Access,
    bridge::{
        echo::{Echo, Verdict},
        link::Event,
        topics::Mapped,
    },
    bridges::{Bridge, Bridges},
    broker::Broker,
    counters::{add, increment},
    event::BridgeId,
    message::Message,
    room::Need,
    routing::{NoMemory, Origin, Post},
    time::Instant,
    traffic::{Retain, Waiting},
};

impl Bridges {
    /// Where a retained message goes when the link of a bridge comes up, and with which QoS at most.
    ///
    /// Those that go both ways are left out: nobody knows which side has the newer one, and the other broker sends its own
    /// because of the subscription.
    pub(crate) fn retained_out<'a>(&'a self, id: BridgeId, message: &'a Message) -> Option<Mapped<'a>> {
        let bridge = self.list.get(usize::from(id.0))?;
        let topic = TopicName::new(core::str::from_utf8(message.topic()).ok()?).ok()?;
        bridge.map.outgoing(topic).filter(|mapped| !bridge.map.comes_back(mapped.topic().as_bytes()))
    }

    /// A message is handed out for the other broker, under its topic there.
    pub(crate) fn note_handed_out(&mut self, id: BridgeId, message: &Message, now: Instant) {
        let Some(bridge) = self.get_mut(id) else { return };
        if let Some(echo) = bridge.echo.as_deref_mut()
            && bridge.map.comes_back(message.topic())
        {
            echo.sent(message, now);
        }
    }

    /// A retained message as it goes out over a bridge.
    pub(crate) fn carry_out(&self, id: BridgeId, message: &Message, qos: QoS) -> Option<Waiting> {
        let mapped = self.retained_out(id, message)?;
        let bridge = self.list.get(usize::from(id.0))?;
        let topic = mapped.topic();
        let message = Message::new(TopicName::new(&topic).ok()?, message.payload())?;
        Some(Waiting { message, qos: qos.min(mapped.qos), retain: bridge.retain_out(Retain::Retained) })
    }
}

impl Bridge {
    /// RETAIN of a message on its way out.
    pub(super) const fn retain_out(&self, retain: Retain) -> Retain {
        if self.settings.outgoing_retain { retain } else { Retain::Live }
    }
}

impl<A: Access> Broker<A> {
    /// Publishes here what came from the other broker.
    ///
    /// # Errors
    /// There was no memory for it.
    pub(crate) fn bridge_publish(
        &mut self,
        id: BridgeId,
        publish: &Publish<'_>,
        now: Instant,
    ) -> Result<(), NoMemory> {
        let Some(bridge) = self.bridges.list.get_mut(usize::from(id.0)) else { return Ok(()) };
        let judge = |echo: &mut Echo| echo.judge(publish.topic.as_str().as_bytes(), publish.payload, now);
        let verdict = bridge.echo.as_deref_mut().map_or(Verdict::New, judge);
        if verdict != Verdict::New {
            increment(&mut self.counters.bridge_echoes);
            if verdict == Verdict::FoundOut {
                self.bridge_event(id, Event::FoundOut, now);
            }
            return Ok(());
        }
        let Some(mapped) = bridge.map.incoming(publish.topic) else { return Ok(()) };
        // Of the topic there is a copy meanwhile.
        if !self.room.take(mapped.length(), Need::Service) {
            add(&mut self.counters.messages_dropped, 1);
            return Err(NoMemory);
        }
        let (topic, qos) = (String::from(mapped.topic()), mapped.qos);
        let Ok(topic) = TopicName::new(&topic) else { return Ok(()) };
        if !Message::fits(topic, publish.payload) {
            // Because of its new topic. It would come again over every link if it were not acknowledged.
            increment(&mut self.counters.messages_too_long);
            return Ok(());
        }
        let retain = if publish.retain { Retain::Retained } else { Retain::Live };
        let qos = publish.delivery.qos().min(qos);
        self.route(topic, publish.payload, qos, retain, Origin::Bridge(id), now)
    }

    /// Gives a message to the bridges whose maps send it out, but not back to where it came from. Returns whether any
    /// took it.
    pub(crate) fn route_out(
        &mut self,
        topic: TopicName<'_>,
        payload: &[u8],
        qos: QoS,
        retain: Retain,
        origin: Origin,
        now: Instant,
    ) -> bool {
        let mut taken = false;
        let Self { bridges, connections, outbox, room, counters, settings, .. } = self;
        for (bridge, id) in bridges.list.iter_mut().zip((0..=u8::MAX).map(BridgeId)) {
            if origin == Origin::Bridge(id) {
                continue;
            }
            let Some(mapped) = bridge.map.outgoing(topic) else { continue };
            let qos = qos.min(mapped.qos);
            let waits = bridge.session.is_some();
            if waits && (qos == QoS::AtMostOnce || bridge.settings.clean_session) {
                add(&mut counters.messages_dropped, 1);
                continue;
            }
            let remote = mapped.topic_within(room);
            let topic = remote.as_deref().and_then(|remote| TopicName::new(remote).ok());
            let message = topic.and_then(|topic| Message::within(room, topic, payload));
            let Some(message) = message else {
                add(&mut counters.messages_dropped, 1);
                continue;
            };
            let retain = bridge.retain_out(retain);
            taken = true;
            let mut post = Post { outbox, room, counters, settings };
            if let Some(session) = bridge.session.as_mut() {
                post.queue(session, Waiting { message, qos, retain });
            } else if let Some(connection) =
                bridge.connection.and_then(|connection| connections.get_mut(connection))
            {
                match connection.session.as_mut() {
                    // Its echo is noted when it is handed out from there.
                    Some(session) if bridge.echo.is_some() => {
                        post.queue(session, Waiting { message, qos, retain });
                        post.outbox.backlog = true;
                    }
                    _ => post.deliver(connection, &message, qos, retain, now),
                }
            }
        }
        taken
    }
}
