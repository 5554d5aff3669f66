//! A vector in chunks: it grows without moving what is there, so that a thread with a hundred
//! thousand connections never stops to copy them, and leaves no old copy behind in the allocator.

use std::ops::{Index, IndexMut};

/// A growing list, indexed as a vector is.
pub(crate) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Chunks<T> {
    pub fn new() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, item: T) {
        if self.len.is_multiple_of(SIZE) {
            self.chunks.push(Vec::with_capacity(SIZE));
        }
        self.chunks[self.len / SIZE].push(item);
        self.len += 1;
    }

    pub fn get(&self, i: usize) -> Option<&T> {
        self.chunks.get(i / SIZE)?.get(i % SIZE)
    }

    pub fn get_mut(&mut self, i: usize) -> Option<&mut T> {
        self.chunks.get_mut(i / SIZE)?.get_mut(i % SIZE)
    }
}

impl<T> Index<usize> for Chunks<T> {
    type Output = T;
    fn index(&self, i: usize) -> &T {
        &self.chunks[i / SIZE][i % SIZE]
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    fn index_mut(&mut self, i: usize) -> &mut T {
        &mut self.chunks[i / SIZE][i % SIZE]
    }
}

/// Items of one chunk.
const SIZE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_where_they_are() {
        let mut all = Chunks::new();
        all.push(0);
        let first = &raw const all[0];
        for i in 1..10_000 {
            all.push(i);
        }
        assert_eq!(&raw const all[0], first);
        assert!((0..10_000).all(|i| all[i] == i && all.get(i) == Some(&i)));
        assert_eq!((all.len(), all.get(10_000)), (10_000, None));
        *all.get_mut(9_999).expect("the last") = 7;
        assert_eq!(all[9_999], 7);
    }
}
