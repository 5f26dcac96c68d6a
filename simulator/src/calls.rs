//! The guide's section Conferences: calls that ring, connect and end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::call_log::{CallLog, EndedCall};
use super::check::{DeviceReply, DeviceRequest, Handled, bad, done, not_found, ok};
use super::connection::{CONFERENCE, Connection, PENDING, conference};
use super::dialling::{blast_addresses, dial_fields, self_link};
use super::nameplate::now_ms;
use super::profile::{Feature, Profile};
use super::routes::{Route, RoutedRequest, delete, get, post};
use super::world::World;

pub const ROUTES: &[Route] = &[
    get("conferences", |world, _| ok(&world.calls.list())),
    post("conferences", |world, request| {
        world.calls.dial_one(request)
    }),
    post("conferences/blast", |world, request| {
        world.calls.blast(request)
    }),
    get("conferences/capabilities", |_, _| {
        ok(&json!({
            "canBlastDial": true, "canMakeAudioCall": true, "canMakeVideoCall": true,
        }))
    }),
    post("conferences/callaction", |world, request| {
        world.calls.act(request)
    }),
    get("conferences/<conference>", |world, request| {
        let conference = world.calls.conference(request.segment("conference"));
        ok(&conference.ok_or_else(not_found)?)
    }),
    delete("conferences/<conference>", |world, request| {
        world.calls.end_conference(request.segment("conference"))
    }),
    get("conferences/<conference>/connections", |world, request| {
        world
            .calls
            .connections(request.segment("conference"), request)
    })
    .with_input(),
    post("conferences/<conference>/connections", |world, request| {
        world.calls.has(request.segment("conference"))?;
        world.calls.dial_one(request)
    }),
    get(
        "conferences/<conference>/connections/<connection>",
        |world, request| {
            let full = world.calls.full;
            ok(&connection(world, request)?.describe(full))
        },
    ),
    delete(
        "conferences/<conference>/connections/<connection>",
        |world, request| {
            let id = connection(world, request)?.id.clone();
            world.calls.end(&id)
        },
    ),
    get(
        "conferences/<conference>/connections/<connection>/mediastat",
        |world, request| ok(&json!([connection(world, request)?.media()])),
    ),
    get("conferences/<conference>/terminals", |world, request| {
        of_each(world, request, Connection::terminal)
    }),
    get(
        "conferences/<conference>/terminals/<terminal>",
        |world, request| ok(&terminal(world, request)?.terminal()),
    ),
    delete(
        "conferences/<conference>/terminals/<terminal>",
        |world, request| {
            let id = terminal(world, request)?.id.clone();
            world.calls.end(&id)
        },
    ),
    get("conferences/<conference>/mediastats", |world, request| {
        of_each(world, request, Connection::media)
    }),
    get(
        "conferences/<conference>/mediastats/terminals/<terminal>",
        |world, request| ok(&json!([terminal(world, request)?.media()])),
    ),
    get(
        "conferences/<conference>/termmediastats",
        |world, request| {
            of_each(
                world,
                request,
                |one| json!({"id": one.terminal()["id"], "quality": 100}),
            )
        },
    ),
];

/// The connection that the path names.
fn connection<'a>(
    world: &'a World,
    request: &RoutedRequest<'_>,
) -> Result<&'a Connection, DeviceReply> {
    let conference = request.segment("conference");
    world
        .calls
        .member(conference, request.segment("connection"))
}

/// The connection of the terminal that the path names: `t1` is that of connection `1`.
fn terminal<'a>(
    world: &'a World,
    request: &RoutedRequest<'_>,
) -> Result<&'a Connection, DeviceReply> {
    let conference = request.segment("conference");
    world.calls.has(conference)?;
    let id = request.segment("terminal").strip_prefix('t');
    world.calls.member(conference, id.ok_or_else(not_found)?)
}

/// A list with an entry for each connection of the conference that the path names.
fn of_each(
    world: &World,
    request: &RoutedRequest<'_>,
    describe: impl Fn(&Connection) -> Value,
) -> Handled {
    let members = world.calls.members(request.segment("conference"))?;
    ok(&members.into_iter().map(describe).collect())
}

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

    fn end(&mut self, id: &str) -> Handled {
        self.end_where(|connection| connection.id == id);
        ok(&json!(0))
    }

    fn end_conference(&mut self, id: &str) -> Handled {
        self.has(id)?;
        let pending = id == PENDING;
        self.end_where(|connection| connection.ringing == pending);
        ok(&json!(0))
    }

    /// `GET …/connections?filter=`.
    fn connections(&self, conference: &str, request: &DeviceRequest) -> Handled {
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
        let mine = self.members(conference)?.into_iter().filter(fits);
        ok(&mine.map(|one| one.describe(self.full)).collect())
    }

    fn dial_one(&mut self, request: &DeviceRequest) -> Handled {
        let connection = self.dial(&dial_fields(request)?);
        ok(&self_link(&connection))
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
