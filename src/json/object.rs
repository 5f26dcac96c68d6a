//! Writes JSON objects, some of whose members are JSON text already.

use serde::Serialize;

use super::JsonText;

/// A JSON object that is being written.
#[derive(Debug)]
pub struct JsonObject(Vec<u8>);

impl JsonObject {
    /// One without members.
    pub fn new() -> Self {
        Self(Vec::with_capacity(128))
    }

    /// Adds a member. `name` needs no escapes.
    pub fn member(mut self, name: &str, value: &impl Serialize) -> Self {
        self.name(name);
        let start = self.0.len();
        // Only maps with string keys are written, which cannot fail.
        if serde_json::to_writer(&mut self.0, value).is_err() {
            self.0.truncate(start);
            self.0.extend_from_slice(b"null");
        }
        self
    }

    /// Adds a member whose value goes out as it came in.
    pub fn exact(self, name: &str, value: &JsonText) -> Self {
        self.object(name, value.as_str().as_bytes())
    }

    /// Adds a member that was written by [`Self::finish`].
    pub fn object(mut self, name: &str, json: &[u8]) -> Self {
        self.name(name);
        self.0.extend_from_slice(json);
        self
    }

    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// The object's text.
    pub fn finish(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}

impl Default for JsonObject {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_stand_in_order_and_exact_ones_as_they_came() {
        assert_eq!(JsonObject::new().finish(), b"{}");
        let id = JsonText::member("{\"id\": 1.0 }", "id").unwrap();
        let inner = JsonObject::new().exact("id", &id).finish();
        let outer = JsonObject::new()
            .member("a", &json!(["\"", null]))
            .object("b", &inner)
            .finish();
        assert_eq!(outer, br#"{"a":["\"",null],"b":{"id":1.0}}"#);
    }
}
