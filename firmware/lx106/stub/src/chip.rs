//! [`Chip`]: what the stub needs of the chip below it.

/// Bytes that the flash controller's buffer W0-W15 holds.
pub const FIFO: usize = 64;

/// One command to the flash: command byte, then up to three address bytes, then data in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The flash's own command byte.
    pub command: u8,
    /// 24 bits, if the command has an address.
    pub address: Option<u32>,
    /// Bytes that follow, from the buffer; at most [`FIFO`].
    pub send: usize,
    /// Bytes that the flash answers, into the buffer; at most [`FIFO`], and 0 where [`send`](Self::send) is not.
    pub receive: usize,
}

/// A chip, or a model of one.
pub trait Chip {
    /// An MD5 that has begun.
    type Digest;

    /// Puts a byte into the transmit queue; waits until it has room.
    fn send(&mut self, byte: u8);

    /// Waits until all bytes have left.
    fn drain(&mut self);

    /// The UART's clock divider.
    fn divider(&mut self) -> u32;

    /// Sets the UART's clock divider; bytes that are under way may be lost.
    fn set_divider(&mut self, divider: u32);

    /// Reads the word at an address, which is a multiple of 4.
    fn read_word(&mut self, address: u32) -> u32;

    /// Writes the word at an address, which is a multiple of 4.
    fn write_word(&mut self, address: u32, value: u32);

    /// Waits at least so many microseconds.
    fn delay(&mut self, microseconds: u32);

    /// The CPU's cycle counter.
    fn cycles(&mut self) -> u32;

    /// Connects the flash controller to its pins.
    fn attach_flash(&mut self);

    /// Sends one command to the flash and waits until its bits are through, not until the flash is ready again.
    /// The first byte is the lowest byte of the first word.
    fn transfer(&mut self, transfer: Transfer, buffer: &mut [u32]);

    /// Begins an MD5.
    fn digest(&mut self) -> Self::Digest;

    /// Adds the first `length` bytes of the buffer to an MD5.
    fn update(&mut self, digest: &mut Self::Digest, buffer: &[u32; FIFO / 4], length: usize);

    /// Ends an MD5.
    fn finish(&mut self, digest: &mut Self::Digest) -> [u8; 16];
}
