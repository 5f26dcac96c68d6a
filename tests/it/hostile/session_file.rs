//! The file in which a room's sessions outlive a gateway that was killed: with any
//! content, the sessions read from it can be sent to a device and are never shown.

use poly2mqtt::device::SessionStore;

/// The whole of it is the file.
pub fn run(data: &[u8]) {
    for session in SessionStore::read(data) {
        for value in std::iter::once(&session.headers().cookie).chain(&session.headers().token) {
            assert!(value.is_sensitive());
            assert!(!value.as_bytes().contains(&b'\n'));
        }
        assert!(!format!("{session:?}").contains("state"));
        let again = serde_json::Value::from(vec![session.to_json()]).to_string();
        assert_eq!(SessionStore::read(again.as_bytes()).len(), 1, "{again}");
    }
}
