//! Randomness that a replay repeats: SHA-256 of the run's seed, a purpose and a counter. Unlike a
//! library's generator it is the same in every release, and a suspended run may outlive releases.

use std::convert::Infallible;

use rand_core::TryRng;
use sha2::{Digest, Sha256};

/// An endless stream of bytes for one purpose.
pub(crate) struct Stream {
    base: Sha256,
    counter: u64,
    block: [u8; 32],
    taken: usize,
}

impl Stream {
    pub(crate) fn new(seed: &[u8; 32], purpose: &str) -> Self {
        Self {
            base: Sha256::new()
                .chain_update(seed)
                .chain_update(purpose.as_bytes())
                .chain_update([0]),
            counter: 0,
            block: [0; 32],
            taken: 32,
        }
    }

    fn byte(&mut self) -> u8 {
        if self.taken == self.block.len() {
            let hash = self.base.clone().chain_update(self.counter.to_le_bytes());
            self.block = hash.finalize().into();
            self.counter += 1;
            self.taken = 0;
        }
        let byte = self.block.get(self.taken).copied().unwrap_or_default();
        self.taken += 1;
        byte
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }
}

/// One number for one purpose.
pub(crate) fn number(seed: &[u8; 32], purpose: &str) -> u128 {
    u128::from_le_bytes(Stream::new(seed, purpose).bytes())
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        for byte in target {
            *byte = self.byte();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_its_seed_and_purpose() {
        let take = |seed, purpose| Stream::new(&[seed; 32], purpose).bytes::<80>();
        assert_eq!(take(1, "a"), take(1, "a"));
        assert_ne!(take(1, "a"), take(2, "a"));
        assert_ne!(take(1, "a"), take(1, "b"));
        let bytes = take(1, "a");
        assert_ne!(bytes[..32], bytes[32..64]);
    }

    #[test]
    fn the_algorithm_is_the_same_in_every_release() {
        // sha256(0 × 32, "secure", 0, 0 as u64), first eight bytes.
        let mut stream = Stream::new(&[0; 32], "secure");
        let expected: [u8; 32] = Sha256::digest([&[0; 32][..], b"secure", &[0; 9]].concat()).into();
        assert_eq!(stream.bytes::<32>(), expected);
    }
}
