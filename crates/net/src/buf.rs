//! Bytes that wait: for the rest of a head, or for a socket that takes no more just now.

/// A queue of bytes. Empty, it keeps at most [`KEPT`] bytes of memory.
#[derive(Default)]
pub(crate) struct Buf {
    bytes: Vec<u8>,
    at: usize,
}

impl Buf {
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The vector to append to.
    pub fn vec(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub fn append(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    /// Forgets what lies behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.at + len);
    }

    /// Forgets the first `n` bytes.
    pub fn consume(&mut self, n: usize) {
        self.at += n;
        if self.at >= self.bytes.len() {
            self.clear();
        } else if self.at >= KEPT {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.at = 0;
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }
}

/// Bytes of memory that an empty queue keeps.
const KEPT: usize = 20 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_and_memory_is_given_back() {
        let mut b = Buf::default();
        let mut taken = Vec::new();
        for i in 0..200u32 {
            b.append(&i.to_be_bytes().repeat(200));
            let n = b.len().min(777);
            taken.extend_from_slice(&b.as_slice()[..n]);
            b.consume(n);
        }
        taken.extend_from_slice(b.as_slice());
        let expect: Vec<u8> = (0..200u32)
            .flat_map(|i| i.to_be_bytes().repeat(200))
            .collect();
        assert_eq!(taken, expect);
        b.consume(b.len());
        assert!(b.is_empty() && b.bytes.capacity() <= KEPT);
    }
}
