//! How large the documents for other programs may be, as far as the broker has shown.
//!
//! Pure: learns from what the broker took and refused. A refusal lowers the limit of its own topic.
//! Others are lowered only when the broker said that the size is why, and never below what it has
//! taken.

use std::collections::BTreeMap;

/// A document below this size is not blamed when a connection ends.
const SMALLEST_SUSPECT: usize = 4096;

/// Topic and header of a document's packet take less, in bytes.
pub const DOCUMENT_HEADER: usize = 128;

/// The largest documents that the broker takes, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentLimits {
    largest: usize,
    /// Less, at these topics.
    of_topics: BTreeMap<String, usize>,
    /// What was acknowledged at a topic at most.
    taken: BTreeMap<String, usize>,
}

impl DocumentLimits {
    /// The same limit at every topic.
    pub fn new(largest: usize) -> Self {
        Self {
            largest,
            of_topics: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    /// A new connection, to a broker that announces this limit. What it refused before is tried again.
    pub fn connected(&mut self, largest: usize) {
        self.largest = largest;
        self.of_topics.clear();
    }

    /// The limit of every topic that has none of its own.
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// The topics with a limit of their own.
    pub fn of_topics(&self) -> impl Iterator<Item = (&str, usize)> {
        let limits = self.of_topics.iter();
        limits.map(|(topic, limit)| (&**topic, *limit))
    }

    /// A document was acknowledged.
    pub fn taken(&mut self, topic: &str, size: usize) {
        let taken = self.taken.entry(topic.to_owned()).or_default();
        *taken = size.max(*taken);
    }

    /// A document is too large. The limit is not known, so the next try is a quarter smaller.
    pub fn too_large(&mut self, topic: &str, size: usize) {
        self.taken.retain(|_, taken| *taken < size);
        self.largest = self.largest.min(size.saturating_sub(1));
        self.lower(topic, size / 4 * 3);
    }

    /// A document ended the connection, and its size may be why. Each try can cost connections, so the
    /// next is half as large.
    pub fn perhaps_too_large(&mut self, topic: &str, size: usize) {
        let was_taken = self.taken.get(topic).is_some_and(|taken| *taken >= size);
        if size > SMALLEST_SUSPECT && !was_taken {
            self.lower(topic, size / 2);
        }
    }

    fn lower(&mut self, topic: &str, limit: usize) {
        let taken = self.taken.get(topic).copied().unwrap_or_default();
        let known = self.of_topics.entry(topic.to_owned()).or_insert(usize::MAX);
        *known = limit.max(taken).min(*known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(limits: &DocumentLimits, topic: &str) -> usize {
        let own = limits.of_topics().find(|(name, _)| *name == topic);
        own.map_or(usize::MAX, |(_, limit)| limit)
            .min(limits.largest())
    }

    #[test]
    fn a_document_that_is_too_large_lowers_its_own_limit_and_leaves_what_was_taken() {
        let mut limits = DocumentLimits::new(100_000);
        limits.taken("b", 19_000);
        limits.too_large("a", 21_000);
        assert_eq!(limit(&limits, "a"), 15_750);
        // Nobody has more than that, and what is smaller stays whole.
        assert_eq!(limit(&limits, "b"), 20_999);
        limits.taken("a", 15_000);
        limits.too_large("a", 15_700);
        assert_eq!(limit(&limits, "a"), 15_000);
        limits.connected(100_000);
        assert_eq!(limit(&limits, "a"), 100_000);
    }

    #[test]
    fn an_end_without_a_reason_lowers_one_limit_while_size_can_be_why() {
        let mut limits = DocumentLimits::new(100_000);
        let mut size = 20_000;
        for next in [10_000, 5000, 2500, 2500] {
            limits.perhaps_too_large("a", size);
            assert_eq!(limit(&limits, "a"), next);
            size = next;
        }
        assert_eq!(limit(&limits, "b"), 100_000);
        limits.taken("b", 9000);
        limits.perhaps_too_large("b", 9000);
        assert_eq!(limit(&limits, "b"), 100_000);
    }
}
