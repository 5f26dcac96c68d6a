//! The guide's section Conferences: calls that ring, connect and end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::call_log::{CallLog, EndedCall};
use super::check::{DeviceReply, DeviceRequest, Handled, bad, done, not_allowed, not_found, ok};
use super::connection::{CONFERENCE, Connection, PENDING, conference};
use super::dialling::{blast_addresses, dial_fields, self_link};
use super::nameplate::now_ms;
use super::profile::{Feature, Profile};

#[derive(Debug)]
pub struct Calls {
    /// Whether answers are as full as the recorded ones.
    full: bool,
    setup: Duration,
    connections: Vec<Connection>,
    next: u32,
    /// Every address that was dialled.
    pub dialled: Vec<String>,
    pub log: CallLog,
}

impl Calls {
    pub fn new(profile: Profile, setup: Duration) -> Self {
        Self {
            full: profile.has(Feature::FullConferences),
            log: CallLog::new(),
            setup,
            connections: Vec::new(),
            next: 1,
            dialled: Vec::new(),
        }
    }

    fn add(&mut self, address: &str, incoming: bool) -> String {
        let id = self.next.to_string();
        self.next += 1;
        self.connections.push(Connection {
            id: id.clone(),
            address: address.to_owned(),
            incoming,
            ringing: incoming,
            up_at: Instant::now() + if incoming { Duration::ZERO } else { self.setup },
            started: now_ms(),
        });
        id
    }

    pub fn dial(&mut self, address: &str) -> String {
        self.dialled.push(address.to_owned());
        self.add(address, false)
    }

    pub fn ring(&mut self, from: &str) -> String {
        self.add(from, true)
    }

    pub fn answer_any(&mut self) {
        for connection in &mut self.connections {
            connection.ringing = false;
        }
    }

    pub fn end_all(&mut self) {
        self.end_where(|_| true);
    }

    /// Ends connections and notes them in the call log.
    fn end_where(&mut self, ends: impl Fn(&Connection) -> bool) {
        let (ended, remain) = self.connections.drain(..).partition(|one| ends(one));
        self.connections = remain;
        let ended: Vec<Connection> = ended;
        for connection in ended {
            self.log.add(EndedCall {
                connected: connection.up(),
                address: connection.address,
                incoming: connection.incoming,
                started: connection.started,
                ended: now_ms(),
            });
        }
    }

    /// Whether there is a call, connected or being dialled.
    pub fn up(&self) -> bool {
        self.connections
            .iter()
            .any(|connection| !connection.ringing)
    }

    fn conference(&self, id: &str) -> Option<Value> {
        let pending = id == PENDING;
        let mine: Vec<_> = self
            .connections
            .iter()
            .filter(|connection| connection.ringing == pending)
            .collect();
        if mine.is_empty() || (id != CONFERENCE && !pending) {
            return None;
        }
        Some(conference(id, &mine, self.full))
    }

    /// The answer to `GET /rest/conferences`.
    pub fn list(&self) -> Value {
        let live = self.conference(CONFERENCE);
        let mut pending = self.conference(PENDING);
        // As recorded: an entry without connections stands beside a live call.
        if pending.is_none() && live.is_some() && self.full {
            pending = Some(conference(PENDING, &[], true));
        }
        live.into_iter().chain(pending).collect()
    }

    /// Refuses a conference that does not exist.
    pub fn has(&self, conference: &str) -> Result<(), DeviceReply> {
        self.members(conference).map(|_| ())
    }

    fn members(&self, conference: &str) -> Result<Vec<&Connection>, DeviceReply> {
        self.conference(conference).ok_or_else(not_found)?;
        let pending = conference == PENDING;
        let mine = self.connections.iter().filter(|one| one.ringing == pending);
        Ok(mine.collect())
    }

    fn member(&self, conference: &str, id: &str) -> Result<&Connection, DeviceReply> {
        let mut mine = self.members(conference)?.into_iter();
        mine.find(|one| one.id == id).ok_or_else(not_found)
    }

    fn terminal(&self, conference: &str, id: &str) -> Result<&Connection, DeviceReply> {
        self.member(conference, id.strip_prefix('t').ok_or_else(not_found)?)
    }

    fn end(&mut self, id: &str) -> Handled {
        self.end_where(|connection| connection.id == id);
        ok(&json!(0))
    }

    pub fn handle(&mut self, request: &DeviceRequest, path: &[&str]) -> Handled {
        let method = request.method.as_str();
        if method == "GET" && path.last() != Some(&"connections") {
            request.plain()?;
        }
        if method == "DELETE" {
            request.plain()?;
        }
        match (path, method) {
            ([], "GET") => ok(&self.list()),
            ([], "POST") => {
                let address = dial_fields(request)?;
                let connection = self.dial(&address);
                ok(&self_link(&connection))
            }
            (["blast"], "POST") => self.blast(request),
            (["capabilities"], "GET") => ok(&json!({
                "canBlastDial": true, "canMakeAudioCall": true, "canMakeVideoCall": true,
            })),
            (["callaction"], "POST") => self.act(request),
            ([id], "GET") => ok(&self.conference(id).ok_or_else(not_found)?),
            ([id], "DELETE") => {
                self.members(id)?;
                let pending = *id == PENDING;
                self.end_where(|connection| connection.ringing == pending);
                ok(&json!(0))
            }
            ([id, "connections"], "GET") => {
                request.only(&["filter"])?;
                let filters = ["ALL", "ACTIVE", "ANSWERABLE", "INCOMING", "PENDING"];
                let filter = request.param("filter");
                if filter.is_some_and(|filter| !filters.contains(&filter)) {
                    return Err(bad("filter is none of its words"));
                }
                let fits = |one: &&Connection| match filter {
                    Some("ACTIVE") => one.up(),
                    Some("ANSWERABLE" | "PENDING") => one.ringing,
                    Some("INCOMING") => one.incoming,
                    _ => true,
                };
                let mine = self.members(id)?.into_iter().filter(fits);
                ok(&mine.map(|one| one.describe(self.full)).collect())
            }
            ([id, "connections"], "POST") => {
                self.members(id)?;
                let address = dial_fields(request)?;
                let connection = self.dial(&address);
                ok(&self_link(&connection))
            }
            ([id, "connections", connection], "GET") => {
                ok(&self.member(id, connection)?.describe(self.full))
            }
            ([id, "connections", connection], "DELETE") => {
                let connection = self.member(id, connection)?.id.clone();
                self.end(&connection)
            }
            ([id, "connections", connection, "mediastat"], "GET") => {
                ok(&json!([self.member(id, connection)?.media()]))
            }
            ([id, "terminals"], "GET") => ok(&self
                .members(id)?
                .into_iter()
                .map(Connection::terminal)
                .collect()),
            ([id, "terminals", terminal], "GET") => ok(&self.terminal(id, terminal)?.terminal()),
            ([id, "terminals", terminal], "DELETE") => {
                let connection = self.terminal(id, terminal)?.id.clone();
                self.end(&connection)
            }
            ([id, "mediastats"], "GET") => ok(&self
                .members(id)?
                .into_iter()
                .map(Connection::media)
                .collect()),
            ([id, "mediastats", "terminals", terminal], "GET") => {
                ok(&json!([self.terminal(id, terminal)?.media()]))
            }
            ([id, "termmediastats"], "GET") => {
                let quality =
                    |one: &Connection| json!({"id": one.terminal()["id"], "quality": 100});
                ok(&self.members(id)?.into_iter().map(quality).collect())
            }
            (
                []
                | [_]
                | [
                    _,
                    "connections" | "terminals" | "mediastats" | "termmediastats",
                ]
                | [_, "connections" | "terminals", _]
                | [_, "connections", _, "mediastat"]
                | [_, "mediastats", "terminals", _],
                _,
            ) => not_allowed(),
            _ => Err(not_found()),
        }
    }

    fn blast(&mut self, request: &DeviceRequest) -> Handled {
        let dialled = blast_addresses(request)?;
        let ids: Vec<_> = dialled.iter().map(|address| self.dial(address)).collect();
        ok(&self_link(ids.first().map_or("0", String::as_str))[0])
    }

    /// Answers, ignores or hangs up one connection. The guide does not have this; devices do.
    fn act(&mut self, request: &DeviceRequest) -> Handled {
        let fields = request.object(&["id", "callActionType"])?;
        let id = fields.text("id")?;
        fields.text("callActionType")?;
        let action = fields.word("callActionType", &["ANSWER", "IGNORE", "HANGUP"])?;
        let mut connections = self.connections.iter_mut();
        let connection = connections.find(|one| one.id == id).ok_or_else(not_found)?;
        match action.as_deref() {
            Some("ANSWER") if connection.ringing => {
                connection.ringing = false;
                connection.up_at = Instant::now();
            }
            Some("ANSWER") => return Err(bad("the connection does not ring")),
            Some("IGNORE") if !connection.ringing => {
                return Err(bad("the connection does not ring"));
            }
            _ => self.end_where(|one| one.id == id),
        }
        done()
    }
}
