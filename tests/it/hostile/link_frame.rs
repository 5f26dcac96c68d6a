//! Messages that other gateways of a cluster send over the link, at both of its ends: a message about a room
//! reaches that room and no other, and every command has one answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use poly2mqtt::cluster::link::{
    ClusterLinks, Holder, HolderChanges, LinkFrame, LinkSettings, Member, MemberDoor,
    MemberMessage, RoomHolders, WantedRooms,
};
use poly2mqtt::command::{
    CommandAuthority, DoorKind, Failure, Reply, Submission, Submit, Success, Transfer,
};
use poly2mqtt::state::{Change, RoomStatus, StateStore, StateValue, Subscriber};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::Instant;

/// The room of this gateway, that of the member whose messages are read, and that of a third one.
const OWN: &str = "1";
const THEIRS: &str = "2";
const OTHER: &str = "3";
/// Commands that the member has not answered.
const SENT: usize = 2;
const LONGEST_AGE: Duration = Duration::from_secs(24 * 3600);

thread_local! {
    // Nothing but time is waited for, so the clock may run ahead.
    static RUNTIME: Runtime = runtime();
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

/// The first byte says what the rest is: a message, a head with the body after the first line break, or the
/// header of a request that fetches a file.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    match first % 3 {
        0 => message(&Bytes::copy_from_slice(rest)),
        1 => {
            let mut parts = rest.splitn(2, |byte| *byte == b'\n');
            let (head, body) = (parts.next().unwrap(), parts.next().unwrap_or_default());
            let length = u32::try_from(head.len()).unwrap().to_be_bytes();
            message(&[&length, head, body].concat().into());
        }
        _ => RUNTIME.with(|runtime| runtime.block_on(file(rest))),
    }
}

fn message(bytes: &Bytes) {
    let frame = LinkFrame::decode(bytes.clone());
    match &frame {
        Ok(frame) => {
            assert_eq!(LinkFrame::decode(frame.encode()).as_ref(), Ok(frame));
            in_range(&bytes[4..bytes.len() - frame.body.len()]);
        }
        Err(error) => assert!(error.to_string().len() < 100),
    }
    let (is_command, reaches_own) = match frame {
        Ok(frame) => command_of(&head_of(&frame.encode())),
        Err(_) => (false, false),
    };
    let submitted = RUNTIME.with(|runtime| runtime.block_on(at_the_owner(bytes, is_command)));
    assert_eq!(submitted, usize::from(reaches_own));
    drop(at_the_other_end(bytes));
}

/// Whether it is a command, and one of the own room.
fn command_of(head: &Value) -> (bool, bool) {
    let room = head.pointer("/command/command/room");
    let room = room.and_then(Value::as_str);
    (room.is_some(), room == Some(OWN))
}

fn head_of(encoded: &[u8]) -> Value {
    let length = u32::from_be_bytes(*encoded.first_chunk().unwrap()) as usize;
    serde_json::from_slice(&encoded[4..4 + length]).unwrap()
}

/// A head that was taken has no number that does not fit.
fn in_range(head: &[u8]) {
    // Fields that are not known are passed over, whatever they hold.
    let head: Value = serde_json::from_slice(head).unwrap_or_default();
    for (at, largest) in [
        ("/command/id", u64::MAX),
        ("/command/command/age_ms", u64::MAX),
        ("/command/command/expires_ms", u64::MAX),
        ("/command/command/refused/status", u16::MAX.into()),
        ("/result/id", u64::MAX),
        ("/result/outcome/result/Ok/status", u16::MAX.into()),
        ("/result/outcome/result/Ok/answer_bytes", u64::MAX),
        ("/result/outcome/result/Err/status", u16::MAX.into()),
        ("/not_here", u64::MAX),
        ("/watch/number", u64::MAX),
        ("/all_sent/number", u64::MAX),
        ("/piece/of", u64::MAX),
        ("/taken", u32::MAX.into()),
    ] {
        let number = head.pointer(at).filter(|number| !number.is_null());
        let fits = |number: &Value| number.as_u64().is_some_and(|it| it <= largest);
        assert!(number.is_none_or(fits), "{at}: {head}");
    }
}

/// Says who has which room.
#[derive(Debug)]
struct Holders(watch::Sender<()>);

impl RoomHolders for Holders {
    fn holder(&self, room: &str) -> Holder {
        match room {
            OWN => Holder::Me,
            THEIRS => Holder::Member(member("b")),
            OTHER => Holder::Member(member("c")),
            _ => Holder::NotShared,
        }
    }

    fn changed_since(&self, look: u64) -> HolderChanges {
        HolderChanges {
            look: look + 1,
            rooms: [OWN, THEIRS, OTHER].map(Arc::from).into(),
            are_all: true,
        }
    }

    fn members(&self) -> Vec<Member> {
        vec![member("b"), member("c")]
    }

    fn changed(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

fn member(name: &str) -> Member {
    Member {
        name: name.into(),
        advertise: Arc::new("http://192.0.2.2:8080".parse().unwrap()),
    }
}

/// Stands for the rooms.
#[derive(Default)]
struct Rooms(AtomicUsize);

impl Submit for Rooms {
    fn submit(&self, submission: Submission) {
        let now = Instant::now();
        assert_eq!(&*submission.room, OWN);
        assert!(submission.received <= now && now - submission.received <= LONGEST_AGE);
        assert!(submission.expires.is_none_or(|expires| expires >= now));
        self.0.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8_lossy(&submission.payload).into_owned();
        let reply = submission.reply;
        reply.answer(Ok(Success::new(200, text.into())));
    }

    fn refuse(&self, _: DoorKind, reply: Reply, _: &Bytes, failure: Failure) {
        assert_eq!(&**reply.room(), OWN);
        self.0.fetch_add(1, Ordering::Relaxed);
        reply.answer(Err(failure));
    }
}

fn settings() -> LinkSettings {
    LinkSettings {
        name: "a".into(),
        advertise: "http://192.0.2.1:8080".into(),
        token: "a long random text".into(),
        tls: None,
    }
}

fn store() -> Arc<StateStore> {
    let store = StateStore::new();
    for room in [OWN, THEIRS, OTHER] {
        store.set(&format!("room/{room}/availability"), StateValue::text("x"));
        store.set(&format!("room/{room}/audio/volume"), StateValue::text("5"));
    }
    store
}

fn door(rooms: &Arc<Rooms>) -> Arc<MemberDoor> {
    let holders = Arc::new(Holders(watch::Sender::new(())));
    let rooms = rooms.clone();
    MemberDoor::new(&settings(), store(), rooms, holders, Arc::default())
}

/// The message comes from a member to the owner of a room. Returns how many commands reached it.
async fn at_the_owner(bytes: &Bytes, is_command: bool) -> usize {
    let rooms = Arc::<Rooms>::default();
    let mut sent = Vec::<Bytes>::new();
    let source = stream::iter([MemberMessage::Ping, MemberMessage::Frame(bytes.clone())]);
    // It ends by its silence.
    let source = source.chain(stream::pending());
    door(&rooms).serve(source, &mut sent, true).await;
    let mut answers = 0;
    for bytes in sent {
        assert!(LinkFrame::decode(bytes.clone()).is_ok());
        let head = head_of(&bytes);
        answers += usize::from(head.get("result").or(head.get("not_here")).is_some());
        let topic = head.pointer("/state/topic").or(head.get("event"));
        let topic = topic.and_then(Value::as_str);
        assert!(topic.is_none_or(|topic| topic.starts_with("room/1/")));
    }
    assert_eq!(answers, usize::from(is_command));
    rooms.0.load(Ordering::Relaxed)
}

async fn file(head: &[u8]) {
    let rooms = Arc::<Rooms>::default();
    let answered = door(&rooms).file(head, Bytes::new(), None).await;
    assert!(rooms.0.load(Ordering::Relaxed) <= usize::from(answered.is_ok()));
}

/// What is told of states.
struct Told;

impl Subscriber for Told {
    fn state_changed(&self, topic: &Arc<str>, _: Change) {
        assert!(topic.starts_with("room/2/"), "{topic}");
    }

    fn event(&self, topic: &Arc<str>, _: &Bytes) {
        assert!(topic.starts_with("room/2/"), "{topic}");
    }

    fn room_changed(&self, _: &str, _: Option<RoomStatus>) {}
}

/// The message comes from the owner of [`THEIRS`], which has commands of it and was asked for its states. Returns one
/// of them.
fn at_the_other_end(bytes: &Bytes) -> Option<StateValue> {
    // The tasks that open the links never run.
    let runtime = runtime();
    let entered = runtime.enter();
    let holders = Arc::new(Holders(watch::Sender::new(())));
    let (rooms, own) = (Arc::<Rooms>::default(), store());
    let links = ClusterLinks::start(settings(), holders, &own, rooms.clone(), Arc::default());
    let elsewhere = links.elsewhere.clone();
    let wanted = elsewhere.want(WantedRooms::All);
    let values = || -> BTreeMap<_, _> {
        let topics = elsewhere.topics_below("").into_iter();
        let others = topics.filter(|topic| !topic.starts_with("room/2/"));
        others
            .map(|topic| (topic.clone(), elsewhere.get(&topic)))
            .collect()
    };
    let before = values();
    let told: Arc<dyn Subscriber> = Arc::new(Told);
    let told_weak: Weak<dyn Subscriber> = Arc::downgrade(&told);
    elsewhere.subscribe(told_weak);
    let answers = Arc::new(AtomicUsize::new(0));
    let commands = (0..SENT).map(|_| command(&answers)).collect();
    let taken = links.receive_bytes(member("b"), commands, bytes.clone());
    assert!(taken.is_err() || LinkFrame::decode(bytes.clone()).is_ok());
    assert!(answers.load(Ordering::Relaxed) <= 1);
    assert_eq!(values(), before);
    assert_eq!(rooms.0.load(Ordering::Relaxed), 0);
    let volume = elsewhere.get("room/2/audio/volume");
    drop(wanted);
    drop((links, entered));
    drop(elsewhere);
    drop(runtime);
    assert_eq!(answers.load(Ordering::Relaxed), SENT);
    volume
}

fn command(answers: &Arc<AtomicUsize>) -> Submission {
    let answers = answers.clone();
    let reply = Reply::new(THEIRS.into(), "audio/mute", move |outcome| {
        assert_eq!((&*outcome.room, &*outcome.command), (THEIRS, "audio/mute"));
        answers.fetch_add(1, Ordering::Relaxed);
    });
    Submission {
        room: THEIRS.into(),
        command: "audio/mute".into(),
        payload: Bytes::new(),
        expires: None,
        received: Instant::now(),
        authority: CommandAuthority::Ordinary,
        door: DoorKind::Http,
        transfer: Transfer::None,
        reply,
    }
}

#[cfg(test)]
#[test]
fn a_state_of_its_room_is_taken() {
    let head = br#"{"state":{"topic":"room/2/audio/volume","content_type":null,"cleared":false}}"#;
    let length = u32::try_from(head.len()).unwrap().to_be_bytes();
    let bytes = [&length[..], head, b"41"].concat().into();
    assert_eq!(at_the_other_end(&bytes), Some(StateValue::text("41")));
}
