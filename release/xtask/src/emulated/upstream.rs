//! [`Upstream`]: the broker at the other end of the board's bridge, whose links can be cut.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use espbroker_mqtt::{Connack, ConnectReturnCode, Delivery, FixedHeader, Packet, ReturnCodes, Suback};

use crate::process::Failure;

/// Longest wait for the bridge: a lost attempt takes it 10 s, and then it pauses for one.
const PATIENCE: Duration = Duration::from_secs(15);

/// Takes everything that a bridge sends.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Bridges that were let in.
    connected: u32,
    /// Topics of what they sent.
    topics: Vec<String>,
    links: Vec<TcpStream>,
}

impl Upstream {
    /// Opens a port.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub(crate) fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&shared);
                // A link that breaks is what this is for.
                thread::spawn(move || drop(serve(stream, &seen)));
            }
        });
        Ok(Self { port, seen })
    }

    fn wait(&self, what: &str, holds: impl Fn(&Seen) -> bool) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        while !holds(&self.seen.lock().unwrap_or_else(PoisonError::into_inner)) {
            if Instant::now() > end {
                return Err(format!("the bridge does not {what}").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Cuts every link, and waits until the bridge is back.
    ///
    /// # Errors
    ///
    /// When it does not come back.
    pub(crate) fn cut(&self) -> Result<(), Failure> {
        let before = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for link in seen.links.drain(..) {
                // One that is gone is cut.
                let _ = link.shutdown(Shutdown::Both);
            }
            seen.connected
        };
        self.wait("connect again", |seen| seen.connected > before)
    }

    /// Waits until the bridge is there.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub(crate) fn connected(&self) -> Result<(), Failure> {
        self.wait("connect", |seen| seen.connected > 0)
    }

    /// Waits for a message to this topic.
    ///
    /// # Errors
    ///
    /// When none comes.
    pub(crate) fn takes(&self, topic: &str) -> Result<(), Failure> {
        self.wait("bring the message", |seen| seen.topics.iter().any(|seen| seen == topic))
    }
}

/// Answers a bridge until its link breaks.
fn serve(mut stream: TcpStream, seen: &Mutex<Seen>) -> Result<(), Failure> {
    let mut incoming = Vec::new();
    let link = stream.try_clone()?;
    seen.lock().unwrap_or_else(PoisonError::into_inner).links.push(link);
    let mut piece = [0; 2048];
    loop {
        let length = match stream.read(&mut piece)? {
            0 => return Ok(()),
            length => length,
        };
        incoming.extend(piece.get(..length).unwrap_or_default());
        while let Some(header) = FixedHeader::parse(&incoming)?
            && let length = usize::try_from(header.packet_length())?
            && incoming.len() >= length
        {
            let packet: Vec<u8> = incoming.drain(..length).collect();
            let mut answers = Vec::new();
            answer(&Packet::decode(&packet)?, seen, &mut answers)?;
            stream.write_all(&answers)?;
        }
    }
}

fn answer(packet: &Packet<'_>, seen: &Mutex<Seen>, answers: &mut Vec<u8>) -> Result<(), Failure> {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match packet {
        Packet::Connect(_) => {
            seen.connected += 1;
            let return_code = ConnectReturnCode::Accepted;
            Packet::Connack(Connack { session_present: false, return_code }).encode(answers)?;
        }
        Packet::Subscribe(subscribe) => {
            let granted: Vec<u8> = subscribe.subscriptions.iter().map(|asked| asked.qos.number()).collect();
            let return_codes = ReturnCodes::new(&granted)?;
            Packet::Suback(Suback { packet_id: subscribe.packet_id, return_codes }).encode(answers)?;
        }
        Packet::Publish(publish) => {
            seen.topics.push(publish.topic.as_str().to_owned());
            match publish.delivery {
                Delivery::AtMostOnce => {}
                Delivery::AtLeastOnce { packet_id, .. } => Packet::Puback(packet_id).encode(answers)?,
                Delivery::ExactlyOnce { packet_id, .. } => Packet::Pubrec(packet_id).encode(answers)?,
            }
        }
        Packet::Pubrel(packet_id) => Packet::Pubcomp(*packet_id).encode(answers)?,
        Packet::Pingreq => Packet::Pingresp.encode(answers)?,
        _ => {}
    }
    Ok(())
}
