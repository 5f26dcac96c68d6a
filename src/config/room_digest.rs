//! The digests by which the gateways of a cluster see whether they have the same rooms.

use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Map, Value};

use super::key::{KeyValue, Section, Values};
use super::{Config, Secret};

impl Config {
    /// The id of each room, with a digest of all its settings, passwords too. The digests are made with the cluster's
    /// token, so that nobody without it can try passwords against them.
    pub fn room_digests(&self) -> impl Iterator<Item = (String, u32)> {
        let token = self.cluster.as_ref().map(|cluster| &cluster.token);
        let key = Key::new(HMAC_SHA256, token.map_or("", Secret::expose).as_bytes());
        self.rooms.iter().map(move |(id, room)| {
            let text = serde_json::to_vec(&shown(&room.values())).unwrap_or_default();
            let tag = sign(&key, &text);
            let bytes = tag.as_ref().first_chunk().copied();
            (
                id.to_string(),
                u32::from_be_bytes(bytes.unwrap_or_default()),
            )
        })
    }
}

/// The values with their secrets, in the order of their names.
fn shown(values: &Values) -> Value {
    let value = |value: &KeyValue| match value {
        KeyValue::Plain(value) => value.clone(),
        KeyValue::Secret(secret) => secret.as_ref().map(Secret::expose).into(),
        KeyValue::Table(values) => shown(values),
        KeyValue::Tables(tables) => tables.iter().map(shown).collect(),
        KeyValue::ById(tables) => {
            let tables = tables
                .iter()
                .map(|(id, values)| (id.clone(), shown(values)));
            Value::Object(tables.collect())
        }
    };
    let values = values
        .iter()
        .map(|(name, each)| ((*name).to_owned(), value(each)));
    Value::Object(Map::from_iter(values))
}
