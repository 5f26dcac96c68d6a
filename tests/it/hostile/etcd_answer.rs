//! What etcd answers, and the records that other gateways have written there: they are read or refused, and no
//! secret is in a message.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use poly2mqtt::cluster::{
    ClusterSessions, Entry, Etcd, EtcdSettings, MemberRecord, Owner, Read, RegistryError,
    RoomsDocument, Shard, Table, Transaction, TransactionReply, Write, shard_of,
};
use poly2mqtt::config::{self, RoomConfig, Secret};
use poly2mqtt::device::SessionStore;
use poly2mqtt::visible::is_invisible;
use serde_json::{Value, json};

const STATUSES: [u16; 6] = [200, 400, 401, 403, 404, 503];
const PASSWORD: &str = "the password at etcd";
const PREFIX: &str = "/poly2mqtt";
const ROOM: &str = "1";
const FILE: &str = "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://192.0.2.1\"\nuser = \"admin\"\npassword = \"4\"\n";
const TOKEN: &str = "the token of the cluster";
/// What is sealed in the seeds. Nobody can seal another text without the token.
const SEALED: &str = r#"[{"id":"PO+1/Y4","token":"xsrf-1","state":{"role":"ADMIN"}}]"#;

struct Fixture {
    etcd: Arc<Etcd>,
    config: RoomConfig,
}

thread_local! {
    static FIXTURE: Fixture = {
        let settings = EtcdSettings {
            endpoints: vec!["http://etcd.invalid:2379".into()],
            login: Some(("gateway".into(), Secret::new(PASSWORD))),
            authorities: None,
        };
        let mut rooms = config::read("file".into(), FILE, []).unwrap().config.rooms;
        Fixture {
            etcd: Arc::new(Etcd::new(settings).unwrap()),
            config: (*rooms.pop_first().unwrap().1).clone(),
        }
    };
}

/// The first byte says what it is, the second the status of the answer.
pub fn run(data: &[u8]) {
    let [kind, status, rest @ ..] = data else {
        return;
    };
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    let status = StatusCode::from_u16(status).unwrap();
    FIXTURE.with(|Fixture { etcd, config }| match kind % 5 {
        0 => transaction(etcd, status, rest),
        1 => log_in(etcd, status, rest),
        2 => how_it_is(etcd, status, rest),
        3 => record(&String::from_utf8_lossy(rest)),
        _ => drop(sealed(etcd, config, &String::from_utf8_lossy(rest))),
    });
}

fn asked() -> Transaction {
    Transaction {
        conditions: Vec::new(),
        writes: vec![Write::Put("x/m".into(), "hi".into())],
        reads: vec![
            Read::Prefix("x/".into()),
            Read::Revision("x/m".into()),
            Read::Newer("x/m".into(), 5),
        ],
    }
}

fn transaction(etcd: &Etcd, status: StatusCode, answer: &[u8]) {
    let reply = match etcd.take_reply(&asked(), status, answer) {
        Ok(reply) => reply,
        Err(error) => return refused(&error, answer),
    };
    assert_eq!(status, StatusCode::OK);
    assert_eq!(reply.reads.len(), asked().reads.len());
    let read: Value = serde_json::from_slice(answer).unwrap();
    for field in ["revision", "cluster_id"] {
        assert!(is_number(&read["header"][field]), "{read}");
    }
    let again = written(&reply);
    let again = etcd.take_reply(&asked(), status, again.to_string().as_bytes());
    assert_eq!(again.as_ref(), Ok(&reply));
    for entry in reply.reads.iter().flatten() {
        record(&entry.value);
    }
}

/// Whole and not negative, as digits or as a number, and of 64 bits.
fn is_number(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()
        }
        other => other.is_u64(),
    }
}

/// As etcd would answer.
fn written(reply: &TransactionReply) -> Value {
    let entry = |entry: &Entry| {
        json!({
            "key": STANDARD.encode(&entry.key),
            "value": STANDARD.encode(&entry.value),
            "create_revision": entry.created.to_string(),
            "mod_revision": entry.modified.to_string(),
        })
    };
    let mut responses = Vec::new();
    if reply.swapped {
        responses.push(json!({"response_put": {}}));
    }
    for entries in &reply.reads {
        let found: Vec<Value> = entries.iter().map(entry).collect();
        responses.push(json!({"response_range": {"kvs": found}}));
    }
    let header = json!({"cluster_id": "7", "revision": reply.revision.to_string()});
    json!({"header": header, "succeeded": reply.swapped, "responses": responses})
}

fn log_in(etcd: &Etcd, status: StatusCode, answer: &[u8]) {
    match etcd.take_token(status, answer) {
        Ok(token) => {
            assert!(token.is_sensitive());
            assert_eq!(format!("{token:?}"), "Sensitive");
        }
        Err(error) => refused(&error, answer),
    }
}

fn how_it_is(etcd: &Etcd, status: StatusCode, answer: &[u8]) {
    match etcd.take_status(status, answer) {
        Ok(read) => {
            assert_eq!(status, StatusCode::OK);
            shown(&read.version, 80);
            read.errors.iter().for_each(|error| shown(error, 80));
        }
        Err(error) => refused(&error, answer),
    }
}

/// What is said of an answer that is refused. etcd's own words are shown; a token is not one of them.
fn refused(error: &RegistryError, answer: &[u8]) {
    let text = error.to_string();
    shown(&text, 300);
    let read: Value = serde_json::from_slice(answer).unwrap_or_default();
    let words = ["message", "error"].map(|field| read.get(field).and_then(Value::as_str));
    let visible = |text: &str| -> String {
        let visible = text.chars().filter(|c| !is_invisible(*c));
        visible.collect()
    };
    let words = words.map(|words| visible(words.unwrap_or_default()));
    let token = read.get("token").and_then(Value::as_str);
    let token = token.filter(|token| token.len() > 20);
    for secret in token.into_iter().chain([PASSWORD]) {
        let said = words.iter().any(|words| words.contains(secret));
        assert!(said || !text.contains(secret), "{text}");
    }
}

fn shown(text: &str, longest: usize) {
    assert!(text.chars().count() <= longest, "{text}");
    assert!(!text.chars().any(is_invisible), "{text:?}");
}

/// A value of any key.
fn record(text: &str) {
    if let Some(table) = Table::parse(text) {
        let written = table.to_text();
        assert_eq!(Table::parse(&written), Some(table.clone()));
        // Fields that are not known are passed over, whatever they hold.
        let Ok(read) = serde_json::from_str::<Value>(text) else {
            return;
        };
        let again: Value = serde_json::from_str(&written).unwrap();
        // A list of the values is read too.
        let field = |name: &str, at: usize| read.get(name).or(read.get(at)).unwrap();
        let shards = field("shards", 1).as_str().unwrap().to_ascii_lowercase();
        assert_eq!(again["shards"], shards);
        assert_eq!(again["owners"], *field("owners", 0));
        for shard in Shard::all() {
            let at = shard.index() * 2;
            let is_owned = &shards[at..at + 2] != "--";
            assert_eq!(table.owner(shard).is_some(), is_owned, "{shard}");
        }
    }
    if let Some(owner) = Owner::parse(text) {
        assert_eq!(owner.to_string(), text);
    }
    if let Some(record) = MemberRecord::parse(text) {
        assert_eq!(MemberRecord::parse(&record.to_text()), Some(record));
    }
    if let Some(rooms) = RoomsDocument::parse(text) {
        assert_eq!(
            RoomsDocument::parse(&rooms.to_text()).as_ref(),
            Some(&rooms)
        );
        for shard in Shard::all() {
            rooms.shards.get(shard);
        }
        let named = rooms.named.by_shard();
        for (shard, names) in named {
            assert!(names.keys().all(|name| shard_of(name) == shard));
        }
        rooms.named.digest();
    }
}

/// The text is the sealed session of a room. Without a task, nothing is written. Whether it was opened.
fn sealed(etcd: &Arc<Etcd>, config: &RoomConfig, text: &str) -> bool {
    let mut is_opened = false;
    let (sessions, _task) =
        ClusterSessions::start(etcd.clone(), PREFIX, Secret::new(TOKEN), Arc::default());
    let shard = shard_of(ROOM);
    let entry = |room: &str| Entry {
        key: format!("{PREFIX}/sessions/{shard}/{room}"),
        value: text.into(),
        created: 1,
        modified: 1,
    };
    for (key, is_its_own) in [(ROOM, true), ("2", false)] {
        let reply = TransactionReply {
            swapped: false,
            revision: 1,
            reads: vec![vec![entry(key)]],
        };
        let store = sessions.take_reply(&ROOM.into(), config, &reply);
        let SessionStore::Shared(shared) = &store else {
            unreachable!("it is kept in the cluster");
        };
        let kept = shared.load();
        assert!(kept.text.is_empty() || is_its_own && kept.text == SEALED.as_bytes());
        is_opened |= !kept.text.is_empty();
        for session in SessionStore::read(&kept.text) {
            assert!(session.headers().cookie.is_sensitive());
        }
        let debug = format!("{sessions:?} {store:?} {kept:?}");
        assert!(
            !debug.contains("xsrf-1") && !debug.contains("PO+1"),
            "{debug}"
        );
    }
    is_opened
}

#[cfg(test)]
#[test]
fn the_sealed_seed_is_opened_and_the_changed_one_is_not() {
    let seed = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/etcd_answer/");
        String::from_utf8(std::fs::read(format!("{folder}{name}")).unwrap()).unwrap()
    };
    FIXTURE.with(|Fixture { etcd, config }| {
        assert!(sealed(etcd, config, &seed("sealed")[2..]));
        assert!(!sealed(etcd, config, &seed("sealed-changed")[2..]));
    });
}
