//! [`Lookups`]: finds the addresses of hosts on threads of their own, because the system's resolver blocks.
//!
//! There is one thread for each name at a time, however often it is asked for: a resolver without an answer may take
//! longer than the bridge that gives up and asks again.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use mio::Waker;

/// Finds the addresses of a host, best first; may take its time.
pub(crate) type Resolve = fn(&str) -> io::Result<Vec<IpAddr>>;

/// What was found for a host; empty or an error if it has no address.
pub(crate) struct Found {
    pub(crate) host: String,
    pub(crate) addresses: io::Result<Vec<IpAddr>>,
}

/// Names that are being looked up.
pub(crate) struct Lookups {
    resolve: Resolve,
    /// Tells the device's thread that something was found.
    waker: Arc<Waker>,
    going_on: Vec<String>,
    sender: Sender<Found>,
    receiver: Receiver<Found>,
}

impl Lookups {
    pub(crate) fn new(waker: Arc<Waker>, resolve: Resolve) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { resolve, waker, going_on: Vec::new(), sender, receiver }
    }

    /// Begins to look for a host; does nothing if that goes on already. [`Lookups::poll`] has the answer later.
    ///
    /// # Errors
    /// The operating system has no thread left.
    pub(crate) fn begin(&mut self, host: &str) -> io::Result<()> {
        if self.going_on.iter().any(|name| name == host) {
            return Ok(());
        }
        let (resolve, name) = (self.resolve, host.to_owned());
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        thread::Builder::new().name("espbroker name".to_owned()).spawn(move || {
            let addresses = resolve(&name);
            // Either fails only when the device has ended meanwhile.
            let _ = sender.send(Found { host: name, addresses });
            let _ = waker.wake();
        })?;
        self.going_on.push(host.to_owned());
        Ok(())
    }

    /// The next answer.
    pub(crate) fn poll(&mut self) -> Option<Found> {
        if self.going_on.is_empty() {
            return None;
        }
        let found = self.receiver.try_recv().ok()?;
        self.going_on.retain(|name| *name != found.host);
        Some(found)
    }
}

/// Asks the system's resolver.
pub(crate) fn system(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}
