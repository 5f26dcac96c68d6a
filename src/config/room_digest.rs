//! The digests by which the gateways of a cluster see whether they have the same rooms.

use std::collections::BTreeMap;

use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Map, Value};

use super::key::{KeyValue, Section, Values};
use super::{Config, Secret};

/// What the gateways of a cluster compare of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomDigest {
    /// Of all its settings, passwords too.
    pub settings: u32,
    /// Of its device's address.
    pub device: u32,
}

impl Config {
    /// The settings that all gateways of a cluster must have alike, by their keys. With another token a gateway can
    /// pass nothing on to the others, and with another prefix clients do not find the rooms that it has.
    pub fn shared_settings(&self) -> BTreeMap<String, String> {
        let token = self.cluster.as_ref().map(|cluster| &cluster.token);
        let key = Key::new(HMAC_SHA256, token.map_or("", Secret::expose).as_bytes());
        let settings = [
            (
                "cluster.token",
                format!("{:08x}", short_tag(&key, b"cluster.token")),
            ),
            ("mqtt.topic_prefix", self.mqtt.topic_prefix.clone()),
        ];
        settings.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// The id of each room, with its digests. They are made with the cluster's token, so that nobody without it can try
    /// passwords against them.
    pub fn room_digests(&self) -> impl Iterator<Item = (String, RoomDigest)> {
        let token = self.cluster.as_ref().map(|cluster| &cluster.token);
        let key = Key::new(HMAC_SHA256, token.map_or("", Secret::expose).as_bytes());
        self.rooms.iter().map(move |(id, room)| {
            let settings = serde_json::to_vec(&shown(&room.values())).unwrap_or_default();
            let digest = RoomDigest {
                settings: short_tag(&key, &settings),
                device: short_tag(&key, room.url.as_str().as_bytes()),
            };
            (id.to_string(), digest)
        })
    }
}

fn short_tag(key: &Key, text: &[u8]) -> u32 {
    let tag = sign(key, text);
    let bytes = tag.as_ref().first_chunk().copied();
    u32::from_be_bytes(bytes.unwrap_or_default())
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
