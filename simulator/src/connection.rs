//! A connection of a call, and the answers that describe it, its conference and its other end.

use serde_json::{Value, json};
use tokio::time::Instant;

/// The id of the conference that holds all connected calls.
pub const CONFERENCE: &str = "0";
/// The conference id of an incoming call that is not answered yet.
pub const PENDING: &str = "PENDING";
const START_TIME: i64 = 1_572_444_157_000;

#[derive(Debug, Clone)]
pub struct Connection {
    pub id: String,
    pub address: String,
    pub incoming: bool,
    /// Not answered yet.
    pub ringing: bool,
    /// When it is connected.
    pub up_at: Instant,
    /// When it began, in milliseconds since 1970.
    pub started: i64,
}

impl Connection {
    pub fn up(&self) -> bool {
        !self.ringing && self.up_at <= Instant::now()
    }

    /// `full` is with all that was recorded beyond the guide.
    pub fn describe(&self, full: bool) -> Value {
        let state = match (self.ringing, self.up()) {
            (true, _) => "RINGING",
            (false, true) => "CONNECTED",
            (false, false) => "CONNECTING",
        };
        let terminals = if self.ringing && full {
            json!([])
        } else {
            json!([{"href": "/rest/conferences/0/terminals/", "rel": "item"}])
        };
        let mut connection = json!({
            "address": self.address, "answerable": self.ringing, "authState": "NONE",
            "callInfo": "SIP", "callType": "SIP", "canAddVideo": false, "causeCode": 0,
            "duration": 16, "encrypted": true, "groupname": "", "grouptype": "NONE",
            "id": self.id, "incoming": self.incoming, "mediaCount": 0, "mediaType": "AUDIOVIDEO",
            "parentConfId": if self.ringing { PENDING } else { CONFERENCE },
            "percentConnected": if self.up() { 100 } else { 0 }, "rate": 2048, "referredBy": "",
            "startTime": START_TIME, "state": state, "terminals": terminals,
            "type": "ENDPOINT", "videoEscalationState": "NONE",
        });
        if full && !self.ringing {
            connection["terms"] = json!([self.full_terminal()]);
            connection["wakeSubsystems"] = json!(true);
        }
        connection
    }

    /// The terminal at the other end. Its id is "t" and the connection's id.
    pub fn terminal(&self) -> Value {
        json!({
            "address": self.address, "callerID": self.address, "canSupportMediaStatus": false,
            "fullDescription": false, "holdState": "NOTHELD", "id": format!("t{}", self.id),
            "mediaServerType": "MediaUnknown", "muteLocked": false, "muted": false,
            "name": self.address, "parentConfId": CONFERENCE, "parentConnectionId": self.id,
            "streamsState": "AVC", "systemID": "", "termType": "REAL",
        })
    }

    fn full_terminal(&self) -> Value {
        let mut terminal = self.terminal();
        terminal["mediaServerType"] = Value::Null;
        terminal["organizer"] = json!(false);
        terminal
    }

    pub fn media(&self) -> Value {
        json!({
            "connectionID": self.id, "mediaDirection": "TX", "mediaType": "AUDIO", "index": 0,
            "mediaState": "OPENED", "mediaStream": "audioTx", "mediaAlgorithm": "SirenLPR",
            "bitRate": 64, "actualBitRate": 64, "jitter": 0, "latency": 126, "packetLoss": 0,
            "quality": 100, "termId": format!("t{}", self.id),
        })
    }
}

/// A conference with its connections. Only `full` ones can have none.
pub fn conference(id: &str, connections: &[&Connection], full: bool) -> Value {
    let pending = id == PENDING;
    let terminals = connections.iter().map(|one| match (full, pending) {
        (true, true) => None,
        (true, false) => Some(one.full_terminal()),
        (false, _) => Some(one.terminal()),
    });
    let mut conference = json!({
        "capabilities": {"canAddTerminal": true, "canHangupConference": true},
        "connections": connections.iter().map(|one| one.describe(full)).collect::<Vec<_>>(),
        "duration": 16, "holdStartTime": 0, "holdState": "NOTHELD", "id": id,
        "isActive": !pending, "isHolding": false, "isMute": false, "isSvcConference": false,
        "isWaitingInLobby": false, "mediaServerType": "MediaUnknown",
        "startTime": START_TIME,
        "terminals": terminals.flatten().collect::<Vec<_>>(),
    });
    if full {
        conference["capabilities"] = if pending { Value::Null } else { capabilities() };
        conference["mediaServerType"] = Value::Null;
        conference["mediaServerControlEvent"] = Value::Null;
        conference["isLargeConfMode"] = json!(false);
        conference["isPendingConference"] = json!(pending);
        conference["isAVMCUConfernce"] = json!(false);
        conference["totalParticipants"] = json!(0);
    }
    if full && pending {
        conference["startTime"] = Value::Null;
        conference["holdStartTime"] = Value::Null;
        conference["duration"] = json!(0);
    }
    conference
}

/// What can be done with a live conference, as recorded.
fn capabilities() -> Value {
    json!({
        "canAcquireChair": false, "canAcquireFloor": false, "canAddTerminal": true,
        "canAddVideo": false, "canBlastDial": false, "canEscalateCall": false,
        "canGetRoster": false, "canHangupConference": true, "canHoldConference": true,
        "canLeaveConference": true, "canMuteConference": false, "canMuteTerminal": false,
        "canPresent": true, "canRemoveTerminal": true, "canSetFloor": false,
        "canShowCloseWide": false,
    })
}
