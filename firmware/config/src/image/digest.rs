//! The SHA-256 of an image that cannot contain its own: the digest and the CRC behind it count as zeros.

use sha2::{Digest, Sha256};

use super::{CRC, DESCRIPTOR_LENGTH, DIGEST};

/// Digest of a whole image whose descriptor begins at `descriptor_offset`.
pub fn digest(image: &[u8], descriptor_offset: usize) -> [u8; 32] {
    let mut stream = DigestStream::new(descriptor_offset);
    stream.update(image);
    stream.finish()
}

/// The digest of an image that comes in pieces of any length, from its first byte on.
#[derive(Clone)]
pub struct DigestStream {
    hasher: Sha256,
    position: usize,
    descriptor_offset: usize,
}

impl DigestStream {
    /// Begins a digest of the image whose descriptor begins at `descriptor_offset`.
    pub fn new(descriptor_offset: usize) -> Self {
        Self { hasher: Sha256::new(), position: 0, descriptor_offset }
    }

    /// Takes the next bytes of the image.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let run = self.run();
            let (now, later) = bytes.split_at(run.length.min(bytes.len()));
            match run.counts {
                Counts::AsIs => self.hasher.update(now),
                Counts::AsZeros => now.iter().for_each(|_| self.hasher.update([0])),
            }
            self.position += now.len();
            bytes = later;
        }
    }

    /// The digest of all bytes taken.
    pub fn finish(self) -> [u8; 32] {
        self.hasher.finalize().into()
    }

    /// The bytes from the position on that count in the same way.
    fn run(&self) -> Run {
        const DIGEST_END: usize = DIGEST + 32;
        let Some(inside) = self.position.checked_sub(self.descriptor_offset) else {
            return Run { length: self.descriptor_offset - self.position, counts: Counts::AsIs };
        };
        let (end, counts) = match inside {
            ..DIGEST => (DIGEST, Counts::AsIs),
            DIGEST..DIGEST_END => (DIGEST_END, Counts::AsZeros),
            DIGEST_END..CRC => (CRC, Counts::AsIs),
            CRC..DESCRIPTOR_LENGTH => (DESCRIPTOR_LENGTH, Counts::AsZeros),
            DESCRIPTOR_LENGTH.. => (usize::MAX, Counts::AsIs),
        };
        Run { length: end - inside, counts }
    }
}

struct Run {
    length: usize,
    counts: Counts,
}

#[derive(Clone, Copy)]
enum Counts {
    AsIs,
    AsZeros,
}
