//! Adds a room to the text of a configuration file. Everything else of the text stays as it is, with its
//! comments and its order.
//!
//! Pure: reads and writes no file.

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, value};

use super::{Fingerprint, RoomId, Secret};

/// The start of a file that holds nothing yet.
const NEW_FILE_HEAD: &str = "\
#:schema ./poly2mqtt.schema.json
# poly2mqtt. `poly2mqtt check` checks this file, `poly2mqtt check --connect` tries the devices too.
# The embedded MQTT broker is at 127.0.0.1:1883, the dashboard at http://127.0.0.1:8080/; both can be
# changed here: [mqtt] url, [http] listen. Editors that know the first line need the schema beside this file:
# `poly2mqtt schema > poly2mqtt.schema.json`.

";

/// A room whose device was tried.
#[derive(Debug, Clone)]
pub struct NewRoom {
    /// The id in topics.
    pub id: RoomId,
    /// For people.
    pub name: Option<String>,
    /// `https://HOST` or `https://HOST:PORT`, as the configuration takes it.
    pub url: String,
    /// Who logs in; `None` for the default.
    pub user: Option<String>,
    /// The password.
    pub password: Secret,
    /// The certificate that is pinned.
    pub certificate: Fingerprint,
}

impl NewRoom {
    /// Key and value, in the order of the file.
    fn keys(&self) -> impl Iterator<Item = (&'static str, String)> {
        let keys = [
            ("name", self.name.clone()),
            ("url", Some(self.url.clone())),
            ("user", self.user.clone()),
            ("password", Some(self.password.expose().to_owned())),
            ("certificate", Some(self.certificate.to_string())),
        ];
        let given = |(key, text): (&'static str, Option<String>)| Some((key, text?));
        keys.into_iter().filter_map(given)
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        for (key, text) in self.keys() {
            table.insert(key, value(text));
        }
        table
    }

    fn inline_table(&self) -> InlineTable {
        self.keys().collect()
    }
}

/// The text with the room added.
///
/// # Errors
/// The text is not TOML, has the room already, or `rooms` is no table.
pub fn with_room(text: &str, room: &NewRoom) -> Result<String, String> {
    // The message of the parser would show the line, which may hold a password.
    let document = text.parse::<DocumentMut>();
    let mut document = document.map_err(|_| "the file is not TOML".to_owned())?;
    let is_empty = text.trim().is_empty();
    let root = document.as_table_mut();
    if !root.contains_key("rooms") {
        let mut rooms = Table::new();
        // Without a line `[rooms]` of its own.
        rooms.set_implicit(true);
        root.insert("rooms", Item::Table(rooms));
    }
    let id = room.id.to_string();
    let no_table = || "rooms is not a table".to_owned();
    let rooms = root.get_mut("rooms").ok_or_else(no_table)?;
    if rooms
        .as_table_like()
        .is_some_and(|rooms| rooms.contains_key(&id))
    {
        return Err(format!("there is a room {id} already"));
    }
    match rooms {
        Item::Table(rooms) => {
            rooms.insert(&id, Item::Table(room.table()));
        }
        rooms => {
            let rooms: &mut dyn TableLike = rooms.as_table_like_mut().ok_or_else(no_table)?;
            rooms.insert(&id, value(room.inline_table()));
        }
    }
    let written = document.to_string();
    Ok(if is_empty {
        format!("{NEW_FILE_HEAD}{}", written.trim_start())
    } else {
        written
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;

    fn room(id: &str) -> NewRoom {
        NewRoom {
            id: RoomId::new(id).unwrap(),
            name: Some("Großer \"Saal\"".to_owned()),
            url: "https://192.0.2.9".to_owned(),
            user: None,
            password: Secret::new("a\"b\\c"),
            certificate: Fingerprint([0xab; 32]),
        }
    }

    /// However the file is written: every line stays, and the room is read back.
    #[test]
    fn the_rest_of_the_file_stays_as_it_is() {
        let one =
            "url = \"https://192.0.2.1\"\npassword = \"x\" # a comment\ncertificate='system'\n";
        for text in [
            String::new(),
            "# only a comment\n".to_owned(),
            format!("[rooms.1]\n{one}"),
            format!("[rooms]\n[rooms.1]\n{one}# the end\n"),
            format!("# first\n[rooms.1] # here\n{one}\n[http]\nlisten = \"off\"\n# last\n"),
            "rooms.1 = {url=\"https://192.0.2.1\", password=\"x\", certificate=\"system\"}\n".to_owned(),
            "[rooms]\n1 = {url=\"https://192.0.2.1\", password=\"x\", certificate=\"system\"}\n".to_owned(),
            "rooms = {1 = {url=\"https://192.0.2.1\", password=\"x\", certificate=\"system\"}}\n".to_owned(),
            "rooms.1.url=\"https://192.0.2.1\"\nrooms.1.password=\"x\"\nrooms.1.certificate=\"system\"\n"
                .to_owned(),
            "[mqtt]\nurl = \"off\"\n\n# the rooms follow\n".to_owned(),
        ] {
            let written = with_room(&text, &room("saal")).unwrap();
            for line in text.lines().filter(|line| !line.starts_with("rooms = {")) {
                assert!(written.lines().any(|kept| kept == line), "{line}\n{written}");
            }
            let loaded = read("f.toml".to_owned(), &written, []).unwrap_or_else(|error| {
                panic!("{error}\n{written}");
            });
            let id = RoomId::new("saal").unwrap();
            let added = &loaded.config.rooms[&id];
            assert_eq!(added.name.as_deref(), Some("Großer \"Saal\""), "{written}");
            assert_eq!(added.password.expose(), "a\"b\\c");
            assert_eq!(added.url.as_str(), "https://192.0.2.9/");
            let others = text.contains("192.0.2.1");
            assert_eq!(loaded.config.rooms.len(), 1 + usize::from(others), "{written}");
            // The next one is added as well.
            let again = with_room(&written, &room("2")).unwrap();
            assert!(read("f.toml".to_owned(), &again, []).is_ok(), "{again}");
        }
    }

    #[test]
    fn what_cannot_be_added_is_said_without_the_text() {
        for (text, wanted) in [
            ("password = \"canary", "not TOML"),
            ("rooms = 7\n", "not a table"),
            ("[rooms.saal]\nurl = \"x\"\n", "a room saal already"),
            ("rooms = {saal = {url = \"x\"}}\n", "a room saal already"),
        ] {
            let error = with_room(text, &room("saal")).unwrap_err();
            assert!(
                error.contains(wanted) && !error.contains("canary"),
                "{error}"
            );
        }
    }
}
