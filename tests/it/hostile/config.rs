//! Configurations: any text is read or refused.

use poly2mqtt::config;

/// The whole of it is the file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Files that it names would be opened.
    if text.contains("_file") || text.contains("\\u") || text.contains("\\U") {
        return;
    }
    match config::read("file".into(), text, []) {
        Ok(loaded) => {
            for (id, room) in &loaded.config.rooms {
                assert_eq!(room.url.scheme(), "https", "{id:?}");
                assert_eq!(room.url.path(), "/");
            }
            assert!(!loaded.config.mqtt.topic_prefix.contains(['+', '#', '\0']));
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
}
