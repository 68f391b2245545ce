//! [`VirtualTransport`]: the flasher's port to a virtual device in the same process.

use std::sync::Arc;
use std::time::Duration;

use espbroker_flasher::transport::{ControlLines, Transport, TransportError};

use crate::chip::Adapter;
use crate::device::Shared;

const NAME: &str = "virtual ESP8266";

/// An open port; closing it changes nothing on the device.
#[derive(Debug)]
pub struct VirtualTransport {
    shared: Arc<Shared>,
    baud: u32,
    adapter: Adapter,
}

impl VirtualTransport {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let adapter = shared.use_chip(|chip| chip.adapter());
        Self { shared, baud: 115_200, adapter }
    }

    /// Fails if the adapter was pulled at any time since the port was opened, or was not there then.
    fn check(&self) -> Result<(), TransportError> {
        let now = self.shared.use_chip(|chip| chip.adapter());
        if now == self.adapter && matches!(now, Adapter::Plugged(_)) {
            return Ok(());
        }
        Err(TransportError::Gone { port: NAME.to_owned() })
    }

    /// Another port of the same device may have left its own rate behind.
    fn apply_baud(&self) {
        self.shared.use_chip(|chip| chip.set_host_baud(self.baud));
    }
}

impl Transport for VirtualTransport {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.check()?;
        self.apply_baud();
        self.shared.use_chip(|chip| chip.host_write(bytes));
        self.check()
    }

    fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, TransportError> {
        self.check()?;
        self.apply_baud();
        let count = self.shared.wait_for_bytes(timeout).host_read(buffer);
        if count == 0 {
            self.check()?;
        }
        Ok(count)
    }

    fn set_lines(&mut self, lines: ControlLines) -> Result<(), TransportError> {
        self.check()?;
        self.shared.use_chip(|chip| chip.set_lines(lines));
        Ok(())
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), TransportError> {
        self.check()?;
        let left = self.shared.use_chip(|chip| chip.host_write_done_at().saturating_sub(chip.now()));
        if !left.is_zero() {
            self.shared.pass(left);
        }
        self.baud = baud;
        self.apply_baud();
        Ok(())
    }

    fn baud(&self) -> u32 {
        self.baud
    }

    fn discard_input(&mut self) -> Result<(), TransportError> {
        self.check()?;
        self.shared.use_chip(|chip| chip.discard_received());
        Ok(())
    }

    fn now(&self) -> Duration {
        self.shared.use_chip(|chip| chip.now())
    }

    fn sleep(&mut self, duration: Duration) {
        self.shared.pass(duration);
    }

    fn name(&self) -> &str {
        NAME
    }
}
