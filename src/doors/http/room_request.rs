//! What a request below `/room/<room>/` asks for, as the catalogue sees it.
//!
//! Pure: reads the topic and its catalogue entry, sends nothing.

use crate::catalogue::{AnswerKind, CATALOGUE, Payload, Route};
use crate::topics::{RoomTopics, decode_level, encode_level};

/// A topic of a room, with its entry in the catalogue if it is a command or query.
#[derive(Debug)]
pub struct RoomRequest<'a> {
    /// The room's id, whether or not it exists.
    pub room: &'a str,
    /// The topic below it, its levels encoded as the client sent them.
    pub topic: &'a str,
    /// The command or query of this topic.
    pub route: Option<&'static Route>,
}

impl<'a> RoomRequest<'a> {
    /// The request for a topic below a room.
    pub fn new(room: &'a str, topic: &'a str) -> Self {
        Self {
            room,
            topic,
            route: CATALOGUE.route(topic).ok().map(|(route, _)| route),
        }
    }

    /// The topic of the state, its levels encoded as the gateway encodes them; `None` if they cannot
    /// be decoded. Empty levels mean nothing: reading harms nobody.
    pub fn state_topic(&self) -> Option<String> {
        let level = |level| decode_level(level).ok().map(|level| encode_level(&level));
        let levels = self.topic.split('/').filter(|level| !level.is_empty());
        let levels: Option<Vec<String>> = levels.map(level).collect();
        Some(RoomTopics::new(self.room).below(&levels?.join("/")))
    }

    /// Whether the answer is a file.
    pub fn downloads_file(&self) -> bool {
        self.route
            .is_some_and(|route| matches!(route.command().answer, AnswerKind::File(_)))
    }

    /// Whether the payload is a file.
    pub fn uploads_file(&self) -> bool {
        self.route
            .is_some_and(|route| matches!(route.command().payload, Payload::Bytes { .. }))
    }

    /// Whether a payload means something.
    pub fn takes_payload(&self) -> bool {
        self.route
            .is_none_or(|route| !matches!(route.command().payload, Payload::None))
    }

    /// The methods that can be sent, as `Allow` names them.
    pub fn methods(&self) -> &'static str {
        match self.route {
            Some(_) if self.only_reads() => "GET, POST",
            Some(_) => "POST",
            None => "GET",
        }
    }

    /// For an unknown topic: what is probably wrong with its spelling.
    pub fn spelling_hint(&self) -> String {
        let is_known = |topic: &str| CATALOGUE.is_command(topic) || CATALOGUE.is_published(topic);
        let lower = self.topic.to_ascii_lowercase();
        let slashes = lower.replace("%2f", "/");
        if slashes != lower && is_known(&slashes) {
            return format!("; the slashes between levels are not encoded: {slashes}");
        }
        if lower != self.topic && is_known(&lower) {
            return format!("; topics are in lower case: {lower}");
        }
        String::new()
    }

    /// For a state: the command that sets it, if there is one.
    pub fn set_hint(&self) -> String {
        let set = format!("{}/set", self.topic);
        if CATALOGUE.is_command(&set) {
            format!("; POST it to {set} to change it")
        } else {
            String::new()
        }
    }

    /// Whether it may be sent with GET: it changes nothing, and its name says so.
    pub fn only_reads(&self) -> bool {
        self.route.is_some_and(|route| {
            let named = route.topic.ends_with("/get") || self.downloads_file();
            named && route.only_reads()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(topic: &str) -> RoomRequest<'_> {
        RoomRequest::new("1", topic)
    }

    #[test]
    fn a_get_never_changes_anything() {
        for reads in [
            "system/logs/get",
            "directory/export",
            "audio/volume/get",
            "camera/snapshot/near/get",
            "calendar/meetings/get",
        ] {
            assert!(request(reads).only_reads(), "{reads}");
        }
        for changes in [
            "audio/volume/set",
            "collaboration/content/saving/set",
            "collaboration/content/save",
            "directory/query/create",
            "system/reboot",
            "directory/import",
            "nonsense",
        ] {
            assert!(!request(changes).only_reads(), "{changes}");
        }
        assert!(request("directory/import").uploads_file());
        assert!(request("system/logs/get").downloads_file());
    }

    #[test]
    fn what_was_probably_meant_is_said() {
        for (topic, wanted) in [
            ("Audio/Volume", "in lower case: audio/volume"),
            ("AUDIO/VOLUME/SET", "in lower case: audio/volume/set"),
            ("audio%2Fvolume", "not encoded: audio/volume"),
            ("Audio%2fVolume%2fset", "not encoded: audio/volume/set"),
        ] {
            assert!(request(topic).spelling_hint().ends_with(wanted), "{topic}");
        }
        for topic in ["nonsense", "NONSENSE", "non%2Fsense"] {
            assert_eq!(request(topic).spelling_hint(), "", "{topic}");
        }
        assert!(
            request("audio/volume")
                .set_hint()
                .contains("audio/volume/set")
        );
        assert_eq!(request("audio/microphones").set_hint(), "");
    }

    #[test]
    fn methods_are_those_of_the_catalogue() {
        for (topic, methods) in [
            ("audio/volume/set", "POST"),
            ("audio/volume/get", "GET, POST"),
            ("system/logs/get", "GET, POST"),
            ("audio/volume", "GET"),
        ] {
            assert_eq!(request(topic).methods(), methods, "{topic}");
        }
        assert!(request("audio/volume/set").takes_payload());
        assert!(!request("camera/preset/3/activate").takes_payload());
    }

    #[test]
    fn levels_are_found_however_they_are_encoded() {
        let state = |topic| request(topic).state_topic();
        assert_eq!(state("a/b%2Fc"), Some("room/1/a/b%2Fc".into()));
        assert_eq!(state("a/%62"), Some("room/1/a/b".into()));
        assert_eq!(state("a//b/"), Some("room/1/a/b".into()));
        assert_eq!(state("a/%2e%2e/b"), None);
    }
}
