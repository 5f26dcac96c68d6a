//! The guide's section Directory: entries, favourites, groups, and searches that take a moment.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::calls::Calls;
use super::check::{DeviceReply, DeviceRequest, Handled, bad, not_found, ok, success};
use super::directory_entry::{entry_fields, page};
use super::routes::{Route, RoutedRequest, delete, get, post, put};

pub const ROUTES: &[Route] = &[
    get("directory/favorites", |world, request| {
        world.directory.favorites(request)
    })
    .with_input(),
    get("directory/global/mtddefaultgroupentry", |_, _| {
        ok(&json!({
            "id": "g0", "serverId": "global", "type": "GROUP", "displayName": "Default",
        }))
    }),
    get("directory/local/server", |_, _| server("local")),
    get("directory/global/server", |_, _| server("global")),
    post("directory/local/entries", |world, request| {
        world.directory.add(entry_fields(request)?);
        Ok(DeviceReply::empty(201))
    }),
    post("directory/queries", |world, request| {
        world.directory.query(request)
    }),
    get("directory/queries/initial", |world, _| {
        Ok(world.directory.start_query(""))
    }),
    get("directory/queries/<query>", |world, request| {
        world.directory.page_of(request, request.segment("query"))
    })
    .with_input(),
    delete("directory/queries/<query>", |world, request| {
        let query = request.segment("query");
        world
            .directory
            .queries
            .remove(query)
            .ok_or_else(not_found)?;
        Ok(DeviceReply::empty(204))
    }),
    put("directory/import", |world, request| {
        world.directory.import(request)
    }),
    get("directory/export", |_, _| {
        let xml = "<?xml version=\"1.0\"?><directory></directory>";
        Ok(DeviceReply::new(200, "application/xml", xml))
    }),
    // Only the local directory can be changed.
    get("directory/local/entries/<entry>", |world, request| {
        ok(&world.directory.entry("local", request.segment("entry"))?)
    }),
    post("directory/local/entries/<entry>", |world, request| {
        world.directory.dial(request, "local", &mut world.calls)
    }),
    put("directory/local/entries/<entry>", |world, request| {
        world.directory.change(request, request.segment("entry"))
    }),
    delete("directory/local/entries/<entry>", |world, request| {
        world.directory.remove(request.segment("entry"))
    }),
    get("directory/<server>/entries/<entry>", |world, request| {
        ok(&world.directory.named_entry(request)?)
    }),
    post("directory/<server>/entries/<entry>", |world, request| {
        let server = request.segment("server");
        world.directory.dial(request, server, &mut world.calls)
    }),
    put(
        "directory/<server>/entries/<entry>/favorite",
        |world, request| world.directory.set_favorite(request),
    ),
    post(
        "directory/<server>/entries/<entry>/favorite",
        |world, request| world.directory.move_favorite(request),
    ),
    post(
        "directory/<server>/entries/<entry>/members",
        |world, request| world.directory.group(request),
    ),
];

const SERVERS: &[&str] = &["local", "global"];

#[derive(Debug)]
struct Query {
    found: Vec<Value>,
    /// At the first request the search is still under way.
    asked: u32,
}

#[derive(Debug)]
pub struct Directory {
    entries: BTreeMap<String, Map<String, Value>>,
    favorites: Vec<String>,
    members: Vec<String>,
    queries: BTreeMap<String, Query>,
    next: u32,
    imported: usize,
}

impl Directory {
    pub fn new() -> Self {
        let mut directory = Self {
            entries: BTreeMap::new(),
            favorites: Vec::new(),
            members: Vec::new(),
            queries: BTreeMap::new(),
            next: 1,
            imported: 0,
        };
        for name in ["Ada Lovelace", "Alan Turing", "Grace Hopper"] {
            let address = name.to_lowercase().replace(' ', ".");
            let fields = json!({
                "type": "SINGLE", "displayName": name, "fullName": name,
                "devices": [{"name": "desk", "addressList": [
                    {"type": "SIP", "number": format!("{address}@example.com")},
                ]}],
            });
            directory.add(fields.as_object().cloned().unwrap_or_default());
        }
        directory.favorites.push("e1".into());
        directory
    }

    pub fn describe(&self) -> Value {
        json!({
            "entries": self.entries.keys().collect::<Vec<_>>(),
            "favorites": self.favorites,
            "members": self.members,
            "queries": self.queries.len(),
            "imported": self.imported,
        })
    }

    fn add(&mut self, fields: Map<String, Value>) -> String {
        let id = format!("e{}", self.next);
        self.next += 1;
        self.entries.insert(id.clone(), fields);
        id
    }

    fn entry(&self, server: &str, id: &str) -> Result<Value, DeviceReply> {
        if !SERVERS.contains(&server) {
            return Err(not_found());
        }
        let mut entry = self.entries.get(id).ok_or_else(not_found)?.clone();
        entry.insert("id".into(), id.into());
        entry.insert("serverId".into(), server.into());
        entry.insert(
            "favorite".into(),
            self.favorites.iter().any(|one| one == id).into(),
        );
        let href = format!("/rest/directory/{server}/entries/{id}");
        entry.insert("link".into(), json!({"rel": "self", "href": href}));
        Ok(Value::Object(entry))
    }

    /// The entry that the path names, at the server that it names.
    fn named_entry(&self, request: &RoutedRequest<'_>) -> Result<Value, DeviceReply> {
        self.entry(request.segment("server"), request.segment("entry"))
    }

    fn favorites(&self, request: &DeviceRequest) -> Handled {
        let entry = |(id, index): (&String, i64)| {
            let mut entry = self.entry("local", id).ok()?;
            entry["index"] = json!(index);
            Some(entry)
        };
        let list: Vec<_> = self.favorites.iter().zip(1..).filter_map(entry).collect();
        page(request, &list, "/rest/directory/favorites")
    }

    fn import(&mut self, request: &DeviceRequest) -> Handled {
        request.no_query()?;
        if !request.body.starts_with(b"<") {
            return Err(bad("the body is not XML"));
        }
        self.imported += 1;
        Ok(DeviceReply::empty(204))
    }

    fn dial(&self, request: &RoutedRequest<'_>, server: &str, calls: &mut Calls) -> Handled {
        let entry = self.entry(server, request.segment("entry"))?;
        let fields = request.object(&["action", "deviceId"])?;
        fields.maybe_text("deviceId")?;
        if fields.text("action")? != "dial" {
            return Err(bad("action is none of its words"));
        }
        let number = &entry["devices"][0]["addressList"][0]["number"];
        calls.dial(number.as_str().unwrap_or("unknown"));
        Ok(DeviceReply::empty(204))
    }

    fn change(&mut self, request: &DeviceRequest, id: &str) -> Handled {
        let fields = entry_fields(request)?;
        let entry = self.entries.get_mut(id).ok_or_else(not_found)?;
        entry.extend(fields);
        Ok(DeviceReply::empty(204))
    }

    fn remove(&mut self, id: &str) -> Handled {
        self.entries.remove(id).ok_or_else(not_found)?;
        self.favorites.retain(|one| one != id);
        Ok(DeviceReply::empty(204))
    }

    fn set_favorite(&mut self, request: &RoutedRequest<'_>) -> Handled {
        self.named_entry(request)?;
        let id = request.segment("entry");
        let favorite = request.object(&["favorite"])?.bool("favorite")?;
        self.favorites.retain(|one| one != id);
        if favorite {
            self.favorites.push(id.to_owned());
        }
        answered(request.segment("server"))
    }

    fn move_favorite(&mut self, request: &RoutedRequest<'_>) -> Handled {
        self.named_entry(request)?;
        let id = request.segment("entry");
        let index = request.object(&["index"])?.integer("index", 1, 1000)?;
        let before = self.favorites.len();
        self.favorites.retain(|one| one != id);
        if self.favorites.len() == before {
            return Err(bad("not a favorite"));
        }
        let place = usize::try_from(index - 1).unwrap_or(0);
        let place = place.min(self.favorites.len());
        self.favorites.insert(place, id.to_owned());
        answered(request.segment("server"))
    }

    fn group(&mut self, request: &RoutedRequest<'_>) -> Handled {
        self.named_entry(request)?;
        let fields = request.object(&["action", "entryId"])?;
        let action = fields.text("action")?;
        match action.as_str() {
            "query" => return Ok(self.start_query("")),
            "add" | "remove" => {
                let member = fields.text("entryId")?;
                self.entry(request.segment("server"), &member)?;
                self.members.retain(|one| *one != member);
                if action == "add" {
                    self.members.push(member);
                }
            }
            _ => return Err(bad("action is none of its words")),
        }
        Ok(DeviceReply::empty(204))
    }

    fn query(&mut self, request: &DeviceRequest) -> Handled {
        let fields = request.object(&[
            "searchString",
            "serverScope",
            "entryScope",
            "groupScope",
            "order",
            "groupID",
        ])?;
        fields.word("serverScope", &["ALL", "LOCAL", "GLOBAL", "FAVORITES"])?;
        fields.word("entryScope", &["SINGLE", "GROUP", "ANY_TIERED", "ANY"])?;
        fields.word("groupScope", &["ONE_LEVEL", "RECURSIVE"])?;
        fields.word("order", &["FIRST_NAME", "LAST_NAME", "DISPLAY_NAME"])?;
        fields.maybe_text("groupID")?;
        let text = fields.maybe_text("searchString")?.unwrap_or_default();
        Ok(self.start_query(&text))
    }

    fn start_query(&mut self, text: &str) -> DeviceReply {
        let text = text.to_lowercase();
        let matching = |id: &&String| {
            let name = self.entries[*id].get("displayName").and_then(Value::as_str);
            name.unwrap_or_default().to_lowercase().contains(&text)
        };
        let ids = self.entries.keys().filter(matching);
        let found = ids.filter_map(|id| self.entry("local", id).ok()).collect();
        let id = format!("q{}", self.next);
        self.next += 1;
        self.queries.insert(id.clone(), Query { found, asked: 0 });
        let reply = DeviceReply::json(&json!({"id": id}));
        DeviceReply {
            status: 201,
            ..reply
        }
    }

    fn page_of(&mut self, request: &DeviceRequest, id: &str) -> Handled {
        let query = self.queries.get_mut(id).ok_or_else(not_found)?;
        query.asked += 1;
        if query.asked == 1 {
            return Ok(DeviceReply::empty(204));
        }
        page(
            request,
            &query.found,
            &format!("/rest/directory/queries/{id}"),
        )
    }
}

fn server(id: &str) -> Handled {
    ok(&json!({
        "id": id, "address": "", "protocol": "LOCAL", "Status": "REGISTERED",
        "presenceServer": {"protocol": "NONE", "Status": "DISABLED"},
        "link": {"rel": "self", "href": format!("/rest/directory/{id}/server")},
    }))
}

/// With 200, the local directory answers with an empty body, the others with `{"success":…}`.
fn answered(server: &str) -> Handled {
    if server == "local" {
        Ok(DeviceReply::empty(200))
    } else {
        success()
    }
}
