//! Documents in memory.
//!
//! A room's document is 37 KB of text, and the gateway keeps one for each room, to compare it with the
//! next and to publish it again. Nearly always it follows from the room's facts alone. Then the facts are kept,
//! and the document is made again when it is needed. Only a document that also has something of an earlier
//! one, or not everything, is kept itself. Either is compressed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::facts::RoomFacts;
use super::{Namespace, room_document};
use crate::deflate;

/// What a document is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DocumentSource {
    /// A room's facts, and the names that the gateway has in Home Assistant.
    Room(Namespace, Box<RoomFacts>),
    /// The document itself.
    Document(Value),
}

impl DocumentSource {
    /// The document.
    pub fn document(&self) -> Value {
        match self {
            Self::Room(namespace, facts) => room_document(namespace, facts).value(),
            Self::Document(document) => document.clone(),
        }
    }
}

/// A document that is kept: its source, compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDocument(Bytes);

impl KeptDocument {
    /// Keeps the document that is made from this.
    pub fn new(source: &DocumentSource) -> Self {
        // This fails only for maps whose keys are not text, and it has none.
        let source = serde_json::to_vec(source).unwrap_or_default();
        Self(deflate::compressed(&source).into_boxed_slice().into())
    }

    /// The document.
    pub fn document(&self) -> Value {
        document_of(&self.0)
    }

    /// The kept bytes, for [`document_text`].
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

/// The text of the document that is kept as these bytes.
pub fn document_text(kept: &[u8]) -> Bytes {
    document_of(kept).to_string().into()
}

/// The bytes are always those of a `KeptDocument`, which can be read again.
fn document_of(kept: &[u8]) -> Value {
    let source = serde_json::from_slice(&deflate::decompressed(kept));
    source.map_or(Value::Null, |source: DocumentSource| source.document())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{PresetNames, SelectOption, operations};
    use serde_json::json;

    #[test]
    fn a_document_comes_back_as_it_was() {
        let line = json!({"platform": "button", "command_topic": "room/1/call/hangup", "qos": 1});
        let document = json!({"z": vec![line; 100], "name": "Großer Saal", "a": [1.50, null]});
        let kept = KeptDocument::new(&DocumentSource::Document(document.clone()));
        assert_eq!(kept.document(), document);
        assert_eq!(document_text(&kept.bytes()), document.to_string());
        assert!(kept.bytes().len() < document.to_string().len() / 5);
    }

    /// Every fact is there: names, presets, cameras, panels, states.
    #[test]
    fn a_room_is_kept_as_its_facts_and_gives_the_same_document() {
        let option = SelectOption {
            keys: vec!["1".into()],
            name: "A \"quoted\" caf\u{e9}".into(),
        };
        let mut preset_names = PresetNames::default();
        preset_names.insert(2, "Whole \\ table".into()).unwrap();
        let states = operations().flat_map(|operation| operation.states);
        let states = states.map(|state| state.topic.as_str().to_owned());
        let facts = RoomFacts {
            id: "1".into(),
            name: Some("Großer Saal".into()),
            url: "https://192.0.2.1/".into(),
            allow: ["system/reboot".to_owned()].into(),
            online: true,
            model: Some("StudioX50".into()),
            serial: Some("8G1".into()),
            firmware: None,
            states: states.collect(),
            stored: [1, 2].into(),
            preset_names,
            panels: [("8L1".to_owned(), "Poly TC8".to_owned())].into(),
            options: [("people_source".to_owned(), vec![option])].into(),
        };
        let namespace = Namespace {
            topic_prefix: "av".into(),
            discovery_prefix: "homeassistant".into(),
        };
        let document = room_document(&namespace, &facts).value();
        let source = DocumentSource::Room(namespace, Box::new(facts));
        let kept = KeptDocument::new(&source);
        assert_eq!(kept.document(), document);
        let text = document.to_string();
        assert_eq!(document_text(&kept.bytes()), text);
        let (kept, whole) = (
            kept.bytes().len(),
            deflate::compressed(text.as_bytes()).len(),
        );
        assert!(kept < whole / 4, "{kept} bytes, as a document {whole}");
    }
}
