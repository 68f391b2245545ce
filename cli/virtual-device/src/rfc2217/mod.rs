//! An RFC 2217 server in front of a virtual device: a serial port over TCP, with baud rate and control lines.
//!
//! One client at a time, as with a real port; another one is turned away. There is no log-in: whoever reaches the
//! address can read and write the flash, so it belongs on the loopback interface.

mod port;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use espbroker_flasher::transport::ControlLines;

use crate::chip::Chip;
use crate::device::{Clock, VirtualDevice};
use port::{Action, HOLD, Port};

/// How often the threads look whether they shall end.
const POLL: Duration = Duration::from_millis(20);
/// How long a client that comes while another is just leaving is kept waiting, as between two commands of a script.
const LET_GO: Duration = Duration::from_millis(500);
/// How long a client may take nothing of what waits for it before the connection is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// A running server; dropping it closes the port and the connection.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Where it listens, with the port that the system chose if it was asked to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed already, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

impl VirtualDevice {
    /// Serves the device's serial port at `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// The system's error when it cannot listen there; [`ErrorKind::InvalidInput`] on the simulated clock, which
    /// stands still between a remote client's requests.
    pub fn serve_rfc2217(&self, address: SocketAddr) -> std::io::Result<Served> {
        if self.clock() == Clock::Simulated {
            return Err(ErrorKind::InvalidInput.into());
        }
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let end = Arc::new(AtomicBool::new(false));
        let (device, ends) = (self.clone(), Arc::clone(&end));
        let thread = std::thread::spawn(move || listen(&listener, &device, &ends));
        Ok(Served { address, end, thread: Some(thread) })
    }
}

fn listen(listener: &TcpListener, device: &VirtualDevice, end: &Arc<AtomicBool>) {
    let mut connection: Option<JoinHandle<()>> = None;
    while !end.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                if !is_free(connection.as_ref(), end) {
                    let _ = stream.shutdown(Shutdown::Both);
                    continue;
                }
                let (device, end) = (device.clone(), Arc::clone(end));
                // A connection that fails is over; the client sees that itself.
                connection = Some(std::thread::spawn(move || drop(serve(&stream, &device, &end))));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
    if let Some(thread) = connection {
        let _ = thread.join();
    }
}

/// Whether the connection before is over, or is over within [`LET_GO`].
fn is_free(before: Option<&JoinHandle<()>>, end: &AtomicBool) -> bool {
    let Some(before) = before else { return true };
    let deadline = Instant::now() + LET_GO;
    while !before.is_finished() && Instant::now() < deadline && !end.load(Ordering::Relaxed) {
        std::thread::sleep(POLL);
    }
    before.is_finished()
}

/// Lines that wait for the end of [`HOLD`].
type Later = Mutex<Option<(Instant, ControlLines)>>;

fn serve(stream: &TcpStream, device: &VirtualDevice, end: &AtomicBool) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(POLL))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let port = Port::new();
    let output = Mutex::new(stream.try_clone()?);
    write(&output, &port.greeting())?;
    // The client before may have left another rate behind.
    device.shared().use_chip(|chip| chip.open_port(port.baud()));
    let later = Later::new(None);
    let closed = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !closed.load(Ordering::Relaxed) {
                if to_client(device, &output, &later).is_err() {
                    // The other thread notices by the end of the stream.
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
            }
        });
        let result = to_device(stream, device, end, port, &output, &later);
        closed.store(true, Ordering::Relaxed);
        // Also wakes the other thread, should it be writing.
        let _ = stream.shutdown(Shutdown::Both);
        result
    });
    device.shared().use_chip(Chip::close_port);
    result
}

fn to_device(
    mut stream: &TcpStream,
    device: &VirtualDevice,
    end: &AtomicBool,
    mut port: Port,
    output: &Mutex<TcpStream>,
    later: &Later,
) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    let adapter = device.shared().use_chip(|chip| chip.adapter());
    while !end.load(Ordering::Relaxed) {
        let still_there = device.shared().use_chip(|chip| chip.is_plugged() && chip.adapter() == adapter);
        if !still_there {
            return Ok(());
        }
        let count = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error),
        };
        let mut data = Vec::new();
        for &byte in buffer.get(..count).unwrap_or_default() {
            for action in port.push(byte) {
                if let Action::ToDevice(byte) = action {
                    data.push(byte);
                    continue;
                }
                // What came before a command goes out before it takes effect.
                send(device, &mut data);
                carry_out(action, device, output, later)?;
            }
        }
        send(device, &mut data);
        device.shared().wait_for_line(|| end.load(Ordering::Relaxed));
    }
    Ok(())
}

fn send(device: &VirtualDevice, data: &mut Vec<u8>) {
    if !data.is_empty() {
        device.shared().use_chip(|chip| chip.host_write(data));
        data.clear();
    }
}

fn carry_out(
    action: Action,
    device: &VirtualDevice,
    output: &Mutex<TcpStream>,
    later: &Later,
) -> std::io::Result<()> {
    match action {
        Action::ToDevice(_) => {}
        Action::ToClient(bytes) => write(output, &bytes)?,
        Action::Baud(baud) => device.shared().use_chip(|chip| chip.set_host_baud(baud)),
        Action::DiscardInput => device.shared().use_chip(|chip| chip.discard_received()),
        Action::Lines(lines) => {
            later.lock().unwrap_or_else(PoisonError::into_inner).take();
            device.shared().use_chip(|chip| chip.set_lines(lines));
        }
        Action::LinesLater(lines) => {
            *later.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now() + HOLD, lines));
        }
    }
    Ok(())
}

/// One turn of the thread that waits for the device.
fn to_client(device: &VirtualDevice, output: &Mutex<TcpStream>, later: &Later) -> std::io::Result<()> {
    let mut due = later.lock().unwrap_or_else(PoisonError::into_inner);
    if due.is_some_and(|(at, _)| at <= Instant::now())
        && let Some((_, lines)) = due.take()
    {
        device.shared().use_chip(|chip| chip.set_lines(lines));
    }
    drop(due);
    drop(device.shared().wait_for_bytes(POLL));
    // What is read goes out before the answer to a purge, or the client would take it for newer than that.
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = [0; 1024];
    let (count, is_plugged) =
        device.shared().use_chip(|chip| (chip.host_read(&mut buffer), chip.is_plugged()));
    if let Some(received @ [_, ..]) = buffer.get(..count) {
        return output.write_all(&Port::wrap(received));
    }
    drop(output);
    if !is_plugged {
        // Without an adapter there is nothing to wait for, until the other thread ends the connection.
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn write(output: &Mutex<TcpStream>, bytes: &[u8]) -> std::io::Result<()> {
    output.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
}

#[cfg(test)]
mod tests {
    use espbroker_flasher::protocol::Command;
    use espbroker_flasher::{ConnectOptions, Session, slip, transport};

    use super::*;
    use crate::Options;

    #[test]
    fn the_flashers_own_client_resets_and_identifies_and_a_second_client_is_turned_away() {
        let device = VirtualDevice::new(Options::default()).unwrap();
        let served = device.serve_rfc2217(([127, 0, 0, 1], 0).into()).unwrap();
        let name = format!("rfc2217://{}", served.address());
        let port = transport::open(&name, 115_200).unwrap();
        let mut second = TcpStream::connect(served.address()).unwrap();
        assert_eq!(second.read(&mut [0; 16]).unwrap(), 0);
        let mut ignore = |_| {};
        let mut session = Session::connect(port, ConnectOptions::default(), &mut ignore).unwrap();
        assert_eq!(session.identify().unwrap().flash.capacity, Some(0x40_0000));
        device.unplug();
        assert!(session.identify().is_err());
        drop(session);
        device.plug_in();
        drop(transport::open(&name, 115_200).unwrap());
        // The server may not have noticed yet that the client before has gone.
        drop(transport::open(&name, 115_200).unwrap());
        drop(served);
        assert!(transport::open(&name, 115_200).is_err());
    }

    #[test]
    fn a_client_that_sets_no_rate_has_115200_whatever_the_one_before_it_used() {
        let device = VirtualDevice::new(Options::default()).unwrap();
        let served = device.serve_rfc2217(([127, 0, 0, 1], 0).into()).unwrap();
        let name = format!("rfc2217://{}", served.address());
        let mut ignore = |_| {};
        let port = transport::open(&name, 115_200).unwrap();
        drop(Session::connect(port, ConnectOptions::default(), &mut ignore).unwrap());
        drop(transport::open(&name, 9_600).unwrap());
        let mut client = TcpStream::connect(served.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(&slip::encode(&Command::Sync.to_bytes())).unwrap();
        let mut received: Vec<u8> = Vec::new();
        while !received.windows(3).any(|window| window == [0xC0, 1, 8]) {
            let mut buffer = [0; 256];
            let count = client.read(&mut buffer).unwrap();
            assert!(count > 0, "{received:?}");
            received.extend(&buffer[..count]);
        }
    }

    #[test]
    fn a_client_that_never_reads_does_not_keep_the_server_from_ending() {
        let device = VirtualDevice::new(Options::default()).unwrap();
        let served = device.serve_rfc2217(([127, 0, 0, 1], 0).into()).unwrap();
        let mut client = TcpStream::connect(served.address()).unwrap();
        client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        // "Who are you?" is answered by five times its length.
        let questions = [255, 250, 44, 0, 255, 240].repeat(1000);
        while client.write_all(&questions).is_ok() {}
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(served);
            ended.send(()).unwrap();
        });
        assert_eq!(end.recv_timeout(Duration::from_secs(20)), Ok(()));
    }
}
