//! What the broker sends: Home Assistant's start, and documents of this and other gateways.
//!
//! Owns which documents of an earlier run are cleared, and which are only counted. Decides on no document of a room
//! that is configured: the announcer does.

use std::hash::{BuildHasher, RandomState};

use serde_json::Value;
use tokio::time::Instant;

use super::Task;
use crate::gateway_id::MessageOwner;
use crate::home_assistant::announcer::{Author, DocumentAction};
use crate::home_assistant::inbound::InboundMessage;
use crate::home_assistant::is_document_of;

/// At most this many devices of old versions are counted: any client can publish documents.
const COUNTED_DEVICES: usize = 4096;

impl Task {
    pub(super) async fn receive(&mut self, message: &InboundMessage) {
        if message.topic == self.status_topic {
            if message.payload == "online" {
                let chance = RandomState::new().hash_one(0) % 1000;
                self.announcer
                    .home_assistant_started(Instant::now(), chance as f64 / 1000.0);
            }
            return;
        }
        let Some(device) = self.namespace.device(&message.topic) else {
            return;
        };
        if self.links.sharing.is_some() {
            if !self.announcer.knows(device) {
                // It may have come a moment ago.
                self.take_sharing().await;
            }
            if !self.announcer.knows(device) {
                return;
            }
        }
        let document: Option<Value> = if message.payload.is_empty() {
            None
        } else {
            Some(serde_json::from_slice(&message.payload).unwrap_or_default())
        };
        let author = match (message.owner, &document) {
            (MessageOwner::AnotherGateway, _) => Author::AnotherGateway,
            (MessageOwner::ThisGateway, Some(document)) if self.is_below_own_prefix(document) => {
                Author::ThisGateway
            }
            _ => Author::Unknown,
        };
        self.leftovers.remove(device);
        let is_unmarked = |document: &Value| {
            message.owner == MessageOwner::Unknown && self.is_below_own_prefix(document)
        };
        let is_news = !self.known.contains_key(device)
            && !*self.links.may_clear.borrow()
            && self.unmarked.len() < COUNTED_DEVICES;
        if is_news && document.as_ref().is_some_and(is_unmarked) {
            self.unmarked.insert(device.to_owned());
        }
        let now = Instant::now();
        let action = self.announcer.received(device, document, author, now);
        match action {
            Some(DocumentAction::Clear(device)) if author == Author::ThisGateway => {
                self.leftovers.insert(device);
            }
            Some(action) => self.perform(action),
            None => {}
        }
    }

    pub(super) fn has_leftovers(&self) -> bool {
        !self.leftovers.is_empty() || !self.unmarked.is_empty()
    }

    /// Clears the documents of devices that an earlier run had and this one does not have, and tells
    /// of those that nobody has marked.
    pub(super) fn clear_leftovers(&mut self) {
        self.unmarked.remove(&self.namespace.gateway());
        let unmarked = std::mem::take(&mut self.unmarked);
        if !unmarked.is_empty() {
            self.links
                .telemetry
                .unmarked_documents_found(unmarked.len());
        }
        for device in std::mem::take(&mut self.leftovers) {
            if !self.known.contains_key(&device) {
                self.perform(DocumentAction::Clear(device));
            }
        }
    }

    /// Whether the document names this gateway's availability. With another prefix before it, it is
    /// of another gateway whose ids only begin alike.
    fn is_below_own_prefix(&self, document: &Value) -> bool {
        is_document_of(document, &self.namespace.prefix())
    }
}
