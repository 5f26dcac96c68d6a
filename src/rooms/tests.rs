//! Commands that are answered at once, whatever the state of their room.

use std::sync::mpsc;
use std::time::Duration;

use futures_util::FutureExt;

use bytes::Bytes;

use super::*;
use crate::command::{
    CommandAuthority, DoorKind, ErrorCode, Failure, Outcome, Reply, Submission, Submit, Transfer,
};
use crate::device::{DeviceFence, KeptSessions, SessionStore, SharedSessions};

const CONFIG: &str = "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://127.0.0.1:1\"\n\
                      password = \"456\"\ncertificate = \"insecure\"\n";
const PAYLOAD: &[u8] = b"{\"volume\":\"loud\",\"request_id\":1.50}";

/// Room 1 runs and room 2 is being started; there is no other.
async fn rooms() -> Arc<Rooms> {
    let timings = DeviceTimings::default();
    let rooms = Rooms::new(StateStore::new(), timings, Arc::default(), None, None);
    let read = |text: &str| config::read("file".into(), text, []).unwrap().config;
    rooms.apply(&read(CONFIG)).await.unwrap();
    rooms.expect(&read(&CONFIG.replace("rooms.1", "rooms.2")));
    rooms
}

/// Sends a command to a room, or refuses it. Returns the outcome, and whether no lock of the rooms was
/// held when it was given.
fn answer(rooms: &Arc<Rooms>, room: &str, refuses: bool) -> (Outcome, bool) {
    let (sender, answers) = mpsc::channel();
    let seen = rooms.clone();
    let reply = Reply::new(room.into(), "audio/volume/set", move |outcome| {
        let is_free = seen.rooms.try_write().is_some() && seen.not_running.try_lock().is_some();
        sender.send((outcome, is_free)).unwrap();
    });
    let payload = Bytes::from_static(PAYLOAD);
    if refuses {
        let failure = Failure::new(ErrorCode::Busy, "busy");
        rooms.refuse(DoorKind::Tcp, reply, &payload, failure);
    } else {
        rooms.submit(Submission {
            room: room.into(),
            command: "audio/volume/set".to_owned(),
            payload,
            expires: None,
            received: Instant::now(),
            authority: CommandAuthority::Ordinary,
            door: DoorKind::Tcp,
            transfer: Transfer::None,
            reply,
        });
    }
    answers.recv().unwrap()
}

/// An answer may lead to the next command: with a lock that would be a deadlock.
#[tokio::test]
async fn an_answer_is_given_without_a_lock_and_with_the_request_id() {
    let rooms = rooms().await;
    for (room, refuses, code) in [
        ("1", false, ErrorCode::InvalidPayload),
        ("1", true, ErrorCode::Busy),
        ("2", false, ErrorCode::Offline),
        ("2", true, ErrorCode::Busy),
        ("3", false, ErrorCode::UnknownRoom),
        ("3", true, ErrorCode::Busy),
    ] {
        let (outcome, is_free) = answer(&rooms, room, refuses);
        assert!(is_free, "room {room}, refused: {refuses}");
        let request_id = outcome.request_id.as_ref().map(|id| id.as_str());
        assert_eq!(request_id, Some("1.50"), "room {room}, refused: {refuses}");
        assert_eq!(outcome.result.unwrap_err().code, code, "room {room}");
    }
    let (unknown, _) = answer(&rooms, "3", false);
    let message = unknown.result.unwrap_err().message;
    assert!(message.ends_with("configured are 1, 2"), "{message}");
    rooms.stop(Instant::now()).await;
    let (outcome, _) = answer(&rooms, "1", false);
    assert!(outcome.request_id.is_some(), "{outcome:?}");
}

/// The rooms that this gateway has.
#[derive(Debug)]
struct Here(Mutex<BTreeSet<&'static str>>);

impl RoomSharing for Here {
    fn owns(&self, room: &str) -> bool {
        self.0.lock().contains(room)
    }

    fn fence(&self, _: &Arc<str>) -> DeviceFence {
        DeviceFence::default()
    }

    fn sessions(&self, _: &Arc<str>, _: &config::RoomConfig) -> SessionStore {
        SessionStore::Shared(Arc::new(Nowhere))
    }
}

/// Where no sessions are kept.
#[derive(Debug)]
struct Nowhere;

impl SharedSessions for Nowhere {
    fn load(&self) -> KeptSessions {
        KeptSessions::default()
    }

    fn store(&self, _: Option<String>) {}
}

/// Stopping the rooms that are replaced takes seconds.
#[tokio::test(start_paused = true)]
async fn a_room_that_arrives_during_a_reload_starts_with_the_new_configuration() {
    let here = Arc::new(Here(Mutex::new(["2"].into())));
    let timings = DeviceTimings::default();
    let sharing: Arc<dyn RoomSharing> = here.clone();
    let rooms = Rooms::new(
        StateStore::new(),
        timings,
        Arc::default(),
        None,
        Some(sharing),
    );
    let config = |password: &str| {
        let room = |id| {
            format!("[rooms.{id}]\nurl = \"https://127.0.0.1:1\"\npassword = \"{password}\"\n")
        };
        let text = format!("[mqtt]\nurl = \"off\"\n{}{}", room("1"), room("2"));
        config::read("file".into(), &text, []).unwrap().config
    };
    rooms.apply(&config("old")).await.unwrap();
    let new = config("new");
    let mut applied = Box::pin(rooms.apply(&new));
    assert!((&mut applied).now_or_never().is_none());
    here.0.lock().insert("1");
    let arriving = ["1".into()];
    let arrived = rooms.arrive(&arriving, PreviousOwner::AnotherGateway);
    arrived.await.unwrap();
    applied.await.unwrap();
    let running = rooms.rooms.read();
    for (id, configured) in &new.rooms {
        assert_eq!(&running[&id.shared()].config, configured, "room {id}");
    }
}

/// Its device does not even refuse connections: the queue of the port is full.
#[tokio::test]
async fn a_room_with_nothing_but_a_log_in_under_way_ends_soon() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    let short = Duration::from_millis(100);
    while let Ok(connected) =
        tokio::time::timeout(short, tokio::net::TcpStream::connect(address)).await
    {
        filling.push(connected.unwrap());
    }
    let rooms = Rooms::new(
        StateStore::new(),
        DeviceTimings::default(),
        Arc::default(),
        None,
        None,
    );
    let text = format!(
        "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://{address}\"\npassword = \"456\"\n"
    );
    let config = config::read("file".into(), &text, []).unwrap().config;
    rooms.apply(&config).await.unwrap();
    assert_eq!(rooms.sample().len(), 1);
    // Its log-in begins.
    tokio::time::sleep(short).await;
    let began = Instant::now();
    rooms.apply(&Config::default()).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert!(rooms.sample().is_empty());
}

/// Also of a gateway that shares its rooms with none.
#[tokio::test]
async fn a_corrected_start_changes_nothing_else_of_what_the_gateway_says_of_itself() {
    let rooms = rooms().await;
    let said = || rooms.store.get(GATEWAY_INFO).map(|state| state.payload);
    let before = said();
    assert!(before.is_some());
    rooms.publish_corrected_start();
    assert_eq!(said(), before);
    rooms.stop(Instant::now()).await;
}
