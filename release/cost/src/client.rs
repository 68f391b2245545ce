//! [`Client`]: the other end of one connection; it reads what it is sent and answers as the standard asks.

use espbroker_mqtt::{
    Connack, Connect, ConnectReturnCode, Delivery, FixedHeader, Packet, PacketId, Protocol, Publish, QoS,
    Subscribe, Subscription, SubscriptionList, TopicFilter, TopicName,
};

use crate::Failure;

/// Seconds; longer than any run.
const KEEP_ALIVE: u16 = 60;

/// A client that has counted what it got.
#[derive(Debug, Default)]
pub(crate) struct Client {
    unread: Vec<u8>,
    /// Messages received.
    pub(crate) deliveries: u64,
    /// Messages of QoS 1 and 2 acknowledged.
    pub(crate) acknowledged: u64,
    /// CONNACK with session present.
    pub(crate) sessions_present: u64,
}

impl Client {
    /// Takes bytes of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Reads whole packets and returns the answers to them, one after the other.
    pub(crate) fn read(&mut self) -> Result<Vec<u8>, Failure> {
        let mut answers = Vec::new();
        let mut rest = self.unread.as_slice();
        while let Some(length) = packet_length(rest)?
            && let Some((packet, after)) = rest.split_at_checked(length)
        {
            rest = after;
            match Packet::decode(packet).map_err(|malformed| format!("the broker sent {malformed}"))? {
                Packet::Publish(publish) => {
                    self.deliveries += 1;
                    let answer = match publish.delivery {
                        Delivery::AtMostOnce => None,
                        Delivery::AtLeastOnce { packet_id, .. } => Some(Packet::Puback(packet_id)),
                        Delivery::ExactlyOnce { packet_id, .. } => Some(Packet::Pubrec(packet_id)),
                    };
                    if let Some(answer) = answer {
                        self.acknowledged += 1;
                        encode(&answer, &mut answers)?;
                    }
                }
                Packet::Pubrel(packet_id) => encode(&Packet::Pubcomp(packet_id), &mut answers)?,
                Packet::Pubrec(packet_id) => encode(&Packet::Pubrel(packet_id), &mut answers)?,
                Packet::Connack(Connack { session_present, return_code: ConnectReturnCode::Accepted }) => {
                    self.sessions_present += u64::from(session_present);
                }
                Packet::Connack(refused) => return Err(format!("refused: {refused:?}")),
                Packet::Suback(_) | Packet::Puback(_) | Packet::Pubcomp(_) | Packet::Pingresp => {}
                packet => return Err(format!("the broker sent {packet:?}")),
            }
        }
        let read = self.unread.len() - rest.len();
        self.unread.drain(..read);
        Ok(answers)
    }
}

/// Bytes of the packet that begins here; `None` while that cannot be known.
fn packet_length(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    let header = FixedHeader::parse(bytes).map_err(|malformed| format!("the broker sent {malformed}"))?;
    Ok(header.and_then(|header| usize::try_from(header.packet_length()).ok()))
}

fn encode(packet: &Packet<'_>, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    packet.encode(bytes).map_err(|error| format!("{error}: {packet:?}"))
}

/// One packet.
pub(crate) fn packet(packet: &Packet<'_>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    encode(packet, &mut bytes)?;
    Ok(bytes)
}

/// CONNECT.
pub(crate) fn connect(client_id: &str, session: Session) -> Result<Vec<u8>, Failure> {
    packet(&Packet::Connect(Connect {
        protocol: Protocol::Mqtt311,
        client_id,
        clean_session: session == Session::Clean,
        bridge: false,
        keep_alive: KEEP_ALIVE,
        will: None,
        user_name: None,
        password: None,
    }))
}

/// Whether the session outlives the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// It does not.
    Clean,
    /// It does.
    Kept,
}

/// SUBSCRIBE.
pub(crate) fn subscribe(filters: &[String], qos: QoS) -> Result<Vec<u8>, Failure> {
    let subscriptions = filters.iter().map(|filter| {
        let filter = TopicFilter::new(filter).map_err(|error| format!("{error}: {filter}"))?;
        Ok(Subscription { filter, qos })
    });
    let subscriptions: Vec<_> = subscriptions.collect::<Result<_, Failure>>()?;
    let subscriptions = SubscriptionList::new(&subscriptions);
    packet(&Packet::Subscribe(Subscribe { packet_id: packet_id(1)?, subscriptions }))
}

/// PUBLISH.
pub(crate) fn publish(
    topic: &str,
    payload: &[u8],
    delivery: Delivery,
    retain: bool,
) -> Result<Vec<u8>, Failure> {
    let topic = TopicName::new(topic).map_err(|error| format!("{error}: {topic}"))?;
    packet(&Packet::Publish(Publish { topic, payload, retain, delivery }))
}

/// 1-65,535.
pub(crate) fn packet_id(value: u16) -> Result<PacketId, Failure> {
    PacketId::new(value).ok_or_else(|| "packet identifier 0".to_owned())
}
