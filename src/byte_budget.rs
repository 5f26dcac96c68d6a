//! A bound for bytes that wait for somebody slow.
//!
//! The bytes themselves carry their part of it, wherever they go: in a queue, in flight, or in a frame of which a part
//! is sent. It comes back when the last of them is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// How many bytes may wait, and how many do. A clone is the same budget.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    most: usize,
    waiting: Arc<AtomicUsize>,
}

impl ByteBudget {
    /// Nothing waits yet.
    pub fn new(most: usize) -> Self {
        let waiting = Arc::default();
        Self { most, waiting }
    }

    /// The same bytes, which count until the last of them is dropped; `None` if there would be too many.
    pub fn counted(&self, bytes: Bytes) -> Option<Bytes> {
        let size = bytes.len();
        let before = self.waiting.fetch_add(size, Ordering::Relaxed);
        // Gives them back if they are too many.
        let count = Count {
            size,
            waiting: self.waiting.clone(),
        };
        (before + size <= self.most).then(|| holding(bytes, count))
    }

    /// How many bytes wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

struct Count {
    size: usize,
    waiting: Arc<AtomicUsize>,
}

impl Drop for Count {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// The same bytes, with something that is dropped together with the last of them.
pub fn holding<T: Send + 'static>(bytes: Bytes, held: T) -> Bytes {
    struct Holder<T> {
        bytes: Bytes,
        _held: T,
    }
    impl<T> AsRef<[u8]> for Holder<T> {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Holder { bytes, _held: held })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_until_the_last_of_them_is_gone() {
        let budget = ByteBudget::new(150);
        let file = Bytes::from(vec![b'x'; 100]);
        let mut counted = budget.counted(file.clone()).unwrap();
        assert_eq!(counted, file);
        assert!(budget.counted(file.clone()).is_none());
        assert_eq!(budget.waiting(), 100);
        let start = counted.split_to(10);
        drop(counted);
        assert!(budget.counted(file.clone()).is_none());
        drop(start);
        assert_eq!(budget.waiting(), 0);
        assert!(budget.counted(file).is_some());
    }
}
