//! Documents as they are kept: a fraction of their text.
//!
//! A room's document is 20 KB of what is much the same in every line, of which the broker has a
//! copy. Owns the packing; whoever sends or compares one unpacks it.

use bytes::Bytes;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;
use serde_json::Value;

/// Quick rather than small: most of what there is to gain is in the repetitions.
const LEVEL: u8 = 1;

/// A packed document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed(Bytes);

impl Compressed {
    /// Packs one.
    pub fn new(document: &Value) -> Self {
        let packed = compress_to_vec(document.to_string().as_bytes(), LEVEL);
        Self(packed.into_boxed_slice().into())
    }

    /// The document.
    pub fn document(&self) -> Value {
        // It was JSON when it was packed.
        serde_json::from_slice(&decompressed(&self.0)).unwrap_or_default()
    }

    /// The bytes to keep.
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

/// The text behind packed bytes.
pub fn decompressed(packed: &[u8]) -> Bytes {
    // Nothing but what was packed here comes here.
    decompress_to_vec(packed).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_comes_back_as_it_was() {
        let line = json!({"platform": "button", "command_topic": "room/1/call/hangup"});
        let document = json!({"components": vec![line; 100], "name": "Großer Saal"});
        let packed = Compressed::new(&document);
        assert_eq!(packed.document(), document);
        assert_eq!(decompressed(&packed.bytes()), document.to_string());
        assert!(packed.bytes().len() < document.to_string().len() / 5);
    }
}
