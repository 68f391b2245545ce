//! Where the broker is between bridges, it looks whether they lead round in a circle.

use alloc::boxed::Box;

use espbroker_mqtt::TopicName;

use crate::{
    access::Access,
    bridge::circle::{Circle, Passage},
    broker::Broker,
    counters::increment,
    routing::Origin,
    time::Instant,
};

impl<A: Access> Broker<A> {
    /// A link to another broker is up or down, here or at the other end. With fewer than two there is no circle.
    pub(crate) fn watch_circles(&mut self) {
        let own = self.bridges.list.iter().filter(|bridge| bridge.is_up()).count();
        let sessions = self.connections.iter().filter_map(|connection| connection.session.as_ref());
        let links = own + sessions.filter(|session| session.is_bridge).count();
        if links < 2 {
            self.bridges.circle = None;
        } else if self.bridges.circle.is_none() {
            self.bridges.circle = Some(Box::new(Circle::new()));
        }
    }

    /// How far a message goes that has come over `origin`.
    pub(crate) fn passage(
        &mut self,
        topic: TopicName<'_>,
        payload: &[u8],
        origin: Origin,
        now: Instant,
    ) -> Passage {
        if self.bridges.circle.is_none() || self.link(origin) == Origin::Here {
            return Passage::GoesOn;
        }
        let message = (topic.as_str().as_bytes(), payload);
        let judge = |circle: &mut Circle| circle.judge(message, origin, now);
        let passage = self.bridges.circle.as_deref_mut().map_or(Passage::GoesOn, judge);
        if passage != Passage::GoesOn {
            increment(&mut self.counters.bridge_circles);
        }
        passage
    }

    /// A message was passed on to another broker.
    pub(crate) fn passed_on(&mut self, topic: TopicName<'_>, payload: &[u8], origin: Origin, now: Instant) {
        let link = self.link(origin);
        if let Some(circle) = self.bridges.circle.as_deref_mut() {
            circle.passed_on((topic.as_str().as_bytes(), payload), link, now);
        }
    }

    /// The link that a message came over; [`Origin::Here`] for one that did not come from another broker.
    fn link(&self, origin: Origin) -> Origin {
        match origin {
            Origin::Client(id) => {
                let session = self.connections.get(id).and_then(|connection| connection.session.as_ref());
                if session.is_some_and(|session| session.is_bridge) { origin } else { Origin::Here }
            }
            Origin::Here | Origin::Bridge(_) => origin,
        }
    }
}
