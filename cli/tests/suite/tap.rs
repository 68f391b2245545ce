//! Somebody on the way between this computer and a device: passes connections on, keeps what was sent, cuts, holds back.
//!
//! That is done to the administration's frames, a request and its reply for each connection; MQTT passes as it is.

use std::{
    io::{Read, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::common::PATIENCE;

/// Bytes of a request from which on it is a write: one that reads or asks for the state is shorter.
const WRITE: usize = 80;

/// Where a connection is cut that carries a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    BeforeRequest,
    InRequest,
    BeforeReply,
    InReply,
}

#[derive(Clone, Copy)]
enum Mischief {
    None,
    /// This many connections, beginning with that of the first write.
    Cut(Cut, usize),
    /// The first write waits.
    Hold,
}

pub(crate) struct Tap {
    pub(crate) port: u16,
    device: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    sent: Mutex<Vec<Vec<u8>>>,
    met: AtomicUsize,
    released: AtomicBool,
}

impl Tap {
    /// Passes everything on to the device on this port.
    pub(crate) fn start(device: u16) -> Self {
        Self::with(device, Mischief::None)
    }

    /// Cuts the connection of the first write, and this many in all.
    pub(crate) fn cutting(device: u16, cut: Cut, times: usize) -> Self {
        Self::with(device, Mischief::Cut(cut, times))
    }

    /// Holds the first write back until it is released.
    pub(crate) fn holding(device: u16) -> Self {
        Self::with(device, Mischief::Hold)
    }

    fn with(device: u16, mischief: Mischief) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || {
                    // A connection that breaks is what this is for.
                    let _ = pass(client, device, mischief, &shared);
                });
            }
        });
        Self { port, device, shared }
    }

    /// The requests that have passed.
    pub(crate) fn sent(&self) -> Vec<Vec<u8>> {
        self.shared.sent.lock().unwrap().clone()
    }

    /// Sends a request to the device once more, and takes what it answers.
    pub(crate) fn send(&self, request: &[u8]) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.device)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        frame(&mut stream).unwrap();
    }

    /// Waits until the first write has come.
    pub(crate) fn wait_until_held(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.shared.met.load(Ordering::SeqCst) == 0 {
            assert!(Instant::now() < deadline, "nothing was written");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets the first write through.
    pub(crate) fn release(&self) {
        self.shared.released.store(true, Ordering::SeqCst);
    }
}

fn pass(mut client: TcpStream, device: u16, mischief: Mischief, shared: &Shared) -> std::io::Result<()> {
    let mut first = [0];
    client.peek(&mut first)?;
    if first != *b"E" {
        return splice(&client, device);
    }
    let request = frame(&mut client)?;
    shared.sent.lock().unwrap().push(request.clone());
    let met = match mischief {
        Mischief::None => 0,
        _ if request.len() < WRITE && shared.met.load(Ordering::SeqCst) == 0 => 0,
        _ => shared.met.fetch_add(1, Ordering::SeqCst) + 1,
    };
    let cut = match mischief {
        Mischief::Cut(cut, times) if met > 0 && met <= times => Some(cut),
        _ => None,
    };
    if matches!(mischief, Mischief::Hold) && met == 1 {
        while !shared.released.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
    }
    if cut == Some(Cut::BeforeRequest) {
        return client.shutdown(Shutdown::Both);
    }
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, device))?;
    if cut == Some(Cut::InRequest) {
        stream.write_all(&request[..request.len() / 2])?;
        return client.shutdown(Shutdown::Both);
    }
    stream.write_all(&request)?;
    let reply = frame(&mut stream)?;
    match cut {
        Some(Cut::BeforeReply) => {}
        Some(_) => client.write_all(&reply[..reply.len() / 2])?,
        None => client.write_all(&reply)?,
    }
    client.shutdown(Shutdown::Both)
}

/// Passes everything on, in both directions.
fn splice(client: &TcpStream, device: u16) -> std::io::Result<()> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, device))?;
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            // Whoever has ended, the other one shall know.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        })
    };
    copy(client.try_clone()?, stream.try_clone()?);
    copy(stream, client.try_clone()?);
    Ok(())
}

/// A whole frame: a header of 8 bytes, whose last two say how many follow.
fn frame(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; 8];
    stream.read_exact(&mut frame)?;
    let length = usize::from(u16::from_le_bytes([frame[6], frame[7]]));
    frame.resize(8 + length, 0);
    stream.read_exact(&mut frame[8..])?;
    Ok(frame)
}
