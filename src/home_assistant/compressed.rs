//! Documents in memory are compressed.
//!
//! A room's document is 37 KB of text, and its lines are much alike. The gateway keeps one for each
//! room, to compare it with the next. Compressed it takes less than a sixth of that.

use bytes::Bytes;
use serde_json::Value;

use crate::deflate;

/// A compressed document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed(Bytes);

impl Compressed {
    /// Compresses a document.
    pub fn new(document: &Value) -> Self {
        let compressed = deflate::compressed(document.to_string().as_bytes());
        Self(compressed.into_boxed_slice().into())
    }

    /// The document.
    pub fn document(&self) -> Value {
        // It was JSON before it was compressed.
        serde_json::from_slice(&decompressed(&self.0)).unwrap_or_default()
    }

    /// The compressed bytes, for [`decompressed`].
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

/// The text of a compressed document.
pub fn decompressed(compressed: &[u8]) -> Bytes {
    // The bytes are always those of a `Compressed`, which can be decompressed.
    deflate::decompressed(compressed).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_comes_back_as_it_was() {
        let line = json!({"platform": "button", "command_topic": "room/1/call/hangup"});
        let document = json!({"components": vec![line; 100], "name": "Großer Saal"});
        let compressed = Compressed::new(&document);
        assert_eq!(compressed.document(), document);
        assert_eq!(decompressed(&compressed.bytes()), document.to_string());
        assert!(compressed.bytes().len() < document.to_string().len() / 5);
    }
}
