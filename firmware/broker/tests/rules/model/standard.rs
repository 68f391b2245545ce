//! What MQTT 3.1.1 says, in the simplest words: sessions, routing, retained messages, wills.
//!
//! Where the standard leaves a choice, the broker's is named.

use std::collections::{BTreeMap, BTreeSet};

/// An application message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: u8,
}

/// A message as it is published.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) text: Text,
    pub(super) retain: bool,
}

/// A message of QoS 1 or 2 that a session was handed and that is not acknowledged.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) id: u16,
    pub(super) text: Text,
    pub(super) retain: bool,
    /// PUBREC came.
    pub(super) is_received: bool,
    /// It is to be sent again over the present connection.
    pub(super) is_due: bool,
    /// Its place among all that the session was handed.
    pub(super) number: usize,
}

/// A retained message for a new subscription.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    filter: String,
    granted: u8,
    text: Text,
}

#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) is_connected: bool,
    pub(super) is_persistent: bool,
    filters: BTreeMap<String, u8>,
    /// Routed and not handed out, in their order.
    pub(super) due: Vec<Text>,
    /// Retained messages for new subscriptions, not handed out.
    pub(super) shown: Vec<Shown>,
    pub(super) in_flight: Vec<InFlight>,
    /// Identifiers of QoS 2 messages that the client has not released.
    unreleased: BTreeSet<u16>,
    /// Messages of QoS 1 and 2 handed out so far.
    pub(super) count: usize,
}

#[derive(Debug, Default)]
pub(super) struct Standard {
    pub(super) sessions: BTreeMap<u16, Session>,
    /// In the order in which they were set.
    pub(super) retained: Vec<Text>,
    wills: BTreeMap<u16, Published>,
}

fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let (filter, topic): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), topic.split('/').collect());
    match filter.strip_suffix(&["#"]) {
        Some(head) => topic.len() >= head.len() && levels_match(head, &topic),
        None => topic.len() == filter.len() && levels_match(&filter, &topic),
    }
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    filter.iter().zip(topic).all(|(filter, level)| *filter == "+" || filter == level)
}

impl Standard {
    /// CONNECT; whether a session goes on. Another connection of the same client has ended before.
    pub(super) fn connect(&mut self, client: u16, clean: bool, will: Option<Published>) -> bool {
        if clean {
            self.sessions.remove(&client);
        }
        let present = self.sessions.contains_key(&client);
        let session = self.sessions.entry(client).or_default();
        session.is_connected = true;
        session.is_persistent = !clean;
        session.in_flight.iter_mut().for_each(|message| message.is_due = true);
        self.wills.remove(&client);
        self.wills.extend(will.map(|will| (client, will)));
        present
    }

    /// DISCONNECT.
    pub(super) fn disconnect(&mut self, client: u16) {
        self.wills.remove(&client);
        self.lose(client);
    }

    /// The connection ends in any other way.
    pub(super) fn lose(&mut self, client: u16) {
        if let Some(session) = self.sessions.get_mut(&client) {
            session.is_connected = false;
            // What is of QoS 0 goes with the connection.
            session.due.retain(|text| text.qos > 0);
            session.shown.retain(|shown| shown.granted > 0);
            if !session.is_persistent {
                self.sessions.remove(&client);
            }
        }
        if let Some(will) = self.wills.remove(&client) {
            self.publish(&will);
        }
    }

    pub(super) fn is_connected(&self, client: u16) -> bool {
        self.sessions.get(&client).is_some_and(|session| session.is_connected)
    }

    pub(super) fn subscribe(&mut self, client: u16, filters: &[(String, u8)]) {
        let session = self.sessions.get_mut(&client).unwrap();
        for (filter, granted) in filters {
            session.filters.insert(filter.clone(), *granted);
            session.shown.retain(|shown| shown.filter != *filter);
            for text in self.retained.iter().filter(|text| matches(filter, &text.topic)) {
                let text = Text { qos: text.qos.min(*granted), ..text.clone() };
                session.shown.push(Shown { filter: filter.clone(), granted: *granted, text });
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, client: u16, filters: &[String]) {
        let session = self.sessions.get_mut(&client).unwrap();
        for filter in filters {
            session.filters.remove(filter);
            session.shown.retain(|shown| shown.filter != *filter);
        }
    }

    /// A PUBLISH from a client. One of QoS 2 is published when it comes for the first time (§4.3.3, method B).
    pub(super) fn receive(&mut self, client: u16, id: u16, message: &Published) {
        let session = self.sessions.get_mut(&client).unwrap();
        if message.text.qos < 2 || session.unreleased.insert(id) {
            self.publish(message);
        }
    }

    /// PUBREL from a client.
    pub(super) fn release(&mut self, client: u16, id: u16) {
        self.sessions.get_mut(&client).unwrap().unreleased.remove(&id);
    }

    fn publish(&mut self, message: &Published) {
        let text = &message.text;
        if text.topic.starts_with('$') {
            // The server's own topics; ours ignores what clients publish there.
            return;
        }
        if message.retain {
            self.retained.retain(|kept| kept.topic != text.topic);
            if !text.payload.is_empty() {
                self.retained.push(text.clone());
            }
            // Nothing outdated is shown after this.
            for session in self.sessions.values_mut() {
                session.shown.retain(|shown| shown.text.topic != text.topic);
            }
        }
        for session in self.sessions.values_mut() {
            let granted = session.filters.iter().filter(|(filter, _)| matches(filter, &text.topic));
            // One message at the highest QoS of those subscribed (§3.3.5).
            let Some(granted) = granted.map(|(_, qos)| *qos).max() else { continue };
            let text = Text { qos: text.qos.min(granted), ..text.clone() };
            if session.is_connected || text.qos > 0 {
                session.due.push(text);
            }
        }
    }
}

impl Session {
    /// The broker hands out a PUBLISH for the first time.
    pub(super) fn hand_out(&mut self, text: &Text, retain: bool) {
        if retain {
            let place = self.shown.iter().position(|shown| shown.text == *text);
            self.shown.remove(place.unwrap_or_else(|| panic!("shown {text:?} of {:?}", self.shown)));
        } else {
            // §4.6: in the order in which they came, for each QoS.
            let place = self.due.iter().position(|due| due.qos == text.qos);
            let place = place.unwrap_or_else(|| panic!("nobody sent {text:?}"));
            assert_eq!(self.due.remove(place), *text, "out of order");
        }
    }

    /// PUBACK or PUBCOMP from the client.
    pub(super) fn finish(&mut self, id: u16) {
        self.in_flight.retain(|message| message.id != id);
    }

    /// PUBREC from the client.
    pub(super) fn received(&mut self, id: u16) {
        self.in_flight.iter_mut().filter(|message| message.id == id).for_each(|message| {
            message.is_received = true;
        });
    }
}
