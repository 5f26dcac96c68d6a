//! The guide's section Conferences: calls that ring, connect and end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::check::{
    DeviceReply, DeviceRequest, Fields, Handled, bad, done, not_allowed, not_found, ok,
};

const DIAL_TYPES: &[&str] = &[
    "LOOPBACK",
    "AUTO",
    "VIDEO",
    "VOICE",
    "H320",
    "H323",
    "SIP",
    "GATEWAY",
    "POTS",
    "ISDN_VOICE",
    "SIP_SPEAKERPHONE",
    "POTS_SPEAKERPHONE",
    "VOICE_H323",
    "VOICE_SIP",
    "VOICE_GATEWAY",
];
/// The id of the conference that holds all connected calls.
const CONFERENCE: &str = "0";
/// The conference id of an incoming call that is not answered yet.
const PENDING: &str = "PENDING";

#[derive(Debug, Clone)]
struct Connection {
    id: String,
    address: String,
    incoming: bool,
    /// Not answered yet.
    ringing: bool,
    /// When it is connected.
    up_at: Instant,
}

impl Connection {
    fn up(&self) -> bool {
        !self.ringing && self.up_at <= Instant::now()
    }

    fn describe(&self) -> Value {
        let state = match (self.ringing, self.up()) {
            (true, _) => "RINGING",
            (false, true) => "CONNECTED",
            (false, false) => "CONNECTING",
        };
        json!({
            "address": self.address, "answerable": self.ringing, "authState": "NONE",
            "callInfo": "SIP", "callType": "SIP", "canAddVideo": false, "causeCode": 0,
            "duration": 16, "encrypted": true, "groupname": "", "grouptype": "NONE",
            "id": self.id, "incoming": self.incoming, "mediaCount": 0, "mediaType": "AUDIOVIDEO",
            "parentConfId": if self.ringing { PENDING } else { CONFERENCE },
            "percentConnected": if self.up() { 100 } else { 0 }, "rate": 2048, "referredBy": "",
            "startTime": 1_572_444_157_000_i64, "state": state,
            "terminals": [{"href": "/rest/conferences/0/terminals/", "rel": "item"}],
            "type": "ENDPOINT", "videoEscalationState": "NONE",
        })
    }

    /// The terminal at the other end. Its id is "t" and the connection's id.
    fn terminal(&self) -> Value {
        json!({
            "address": self.address, "callerID": self.address, "canSupportMediaStatus": false,
            "fullDescription": false, "holdState": "NOTHELD", "id": format!("t{}", self.id),
            "mediaServerType": "MediaUnknown", "muteLocked": false, "muted": false,
            "name": self.address, "parentConfId": CONFERENCE, "parentConnectionId": self.id,
            "streamsState": "AVC", "systemID": "", "termType": "REAL",
        })
    }

    fn media(&self) -> Value {
        json!({
            "connectionID": self.id, "mediaDirection": "TX", "mediaType": "AUDIO", "index": 0,
            "mediaState": "OPENED", "mediaStream": "audioTx", "mediaAlgorithm": "SirenLPR",
            "bitRate": 64, "actualBitRate": 64, "jitter": 0, "latency": 126, "packetLoss": 0,
            "quality": 100, "termId": format!("t{}", self.id),
        })
    }
}

#[derive(Debug)]
pub struct Calls {
    setup: Duration,
    connections: Vec<Connection>,
    next: u32,
    /// Every address that was dialled.
    pub dialled: Vec<String>,
}

impl Calls {
    pub fn new(setup: Duration) -> Self {
        Self {
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
        self.connections.clear();
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
        Some(json!({
            "capabilities": {"canAddTerminal": true, "canHangupConference": true},
            "connections": mine.iter().map(|one| one.describe()).collect::<Vec<_>>(),
            "duration": 16, "holdStartTime": 0, "holdState": "NOTHELD", "id": id,
            "isActive": !pending, "isHolding": false, "isMute": false, "isSvcConference": false,
            "isWaitingInLobby": false, "mediaServerType": "MediaUnknown",
            "startTime": 1_572_444_157_000_i64,
            "terminals": mine.iter().map(|one| one.terminal()).collect::<Vec<_>>(),
        }))
    }

    /// The answer to `GET /rest/conferences`.
    pub fn list(&self) -> Value {
        let all = [CONFERENCE, PENDING];
        all.into_iter()
            .filter_map(|id| self.conference(id))
            .collect()
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
        self.connections.retain(|connection| connection.id != id);
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
                self.connections
                    .retain(|connection| connection.ringing != pending);
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
                ok(&mine.map(Connection::describe).collect())
            }
            ([id, "connections"], "POST") => {
                self.members(id)?;
                let address = dial_fields(request)?;
                let connection = self.dial(&address);
                ok(&self_link(&connection))
            }
            ([id, "connections", connection], "GET") => {
                ok(&self.member(id, connection)?.describe())
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
        let fields = request.object(&["endPointList", "password"])?;
        fields.maybe_text("password")?;
        let list = fields.0.get("endPointList").and_then(Value::as_array);
        let missing = || DeviceReply::reason(415, "endPointList is missing");
        let mut dialled = Vec::new();
        for end_point in list.filter(|list| !list.is_empty()).ok_or_else(missing)? {
            let addresses = end_point["addresses"].as_array().ok_or_else(missing)?;
            for address in addresses {
                let object = address.as_object().ok_or_else(missing)?;
                let known = ["address", "rate", "dialType"];
                if object.keys().any(|name| !known.contains(&name.as_str())) {
                    return Err(bad("unknown field in endPointList"));
                }
                dialled.push(checked_address(&Fields(object.clone()))?);
            }
        }
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
            _ => self.connections.retain(|one| one.id != id),
        }
        done()
    }
}

fn checked_address(fields: &Fields) -> Result<String, DeviceReply> {
    fields.word("dialType", DIAL_TYPES)?;
    if fields.has("rate") {
        fields.integer("rate", 0, 100_000)?;
    }
    fields.text("address")
}

fn dial_fields(request: &DeviceRequest) -> Result<String, DeviceReply> {
    let fields = request.object(&["address", "rate", "dialType", "password"])?;
    fields.maybe_text("password")?;
    checked_address(&fields)
}

fn self_link(connection: &str) -> Value {
    let href = format!("/rest/conferences/{CONFERENCE}/connections/{connection}");
    json!([{"rel": "self", "href": href}])
}
