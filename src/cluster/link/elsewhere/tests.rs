use super::super::frame::{FrameHead, LinkFrame};
use super::super::{Holder, HolderChanges, Member};
use super::*;
use crate::state::{Item, Outbox};

/// The cluster, as a test says.
#[derive(Debug)]
struct Said {
    holder: Mutex<Holder>,
    changed: watch::Sender<()>,
}

impl RoomHolders for Said {
    fn holder(&self, _: &str) -> Holder {
        self.holder.lock().clone()
    }

    fn changed_since(&self, look: u64) -> HolderChanges {
        HolderChanges {
            look: look + 1,
            rooms: vec!["1".into()],
            are_all: true,
        }
    }

    fn members(&self) -> Vec<Member> {
        Vec::new()
    }

    fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

struct Fixture {
    said: Arc<Said>,
    own: Arc<StateStore>,
    elsewhere: Arc<RoomsElsewhere>,
    told: Arc<Outbox<()>>,
}

impl Fixture {
    fn new(holder: Holder) -> Self {
        let said = Arc::new(Said {
            holder: Mutex::new(holder),
            changed: watch::Sender::new(()),
        });
        let settings = super::super::LinkSettings {
            name: "a".into(),
            advertise: "http://192.0.2.1:8080".into(),
            token: "token".to_owned().into(),
            tls: None,
        };
        let dialer = Arc::new(super::super::connect::Dialer::new(&settings));
        let own = StateStore::new();
        let elsewhere = RoomsElsewhere::new(
            "a".into(),
            said.clone(),
            &own,
            Links::new(dialer, Arc::default()),
        );
        let told = Arc::<Outbox<()>>::default();
        let subscriber: Arc<dyn Subscriber> = told.clone();
        own.subscribe(Arc::downgrade(&subscriber));
        elsewhere.subscribe(Arc::downgrade(&subscriber));
        Self {
            said,
            own,
            elsewhere,
            told,
        }
    }

    fn becomes(&self, holder: Holder) {
        *self.said.holder.lock() = holder;
        self.elsewhere.refresh();
    }

    fn set(&self, topic: &str, value: &str) {
        self.own.set(topic, StateValue::text(value.to_owned()));
    }

    fn complete(&self, complete: bool) {
        let status = RoomStatus {
            online: true,
            known: true,
            complete,
        };
        self.own.set_room(&"1".into(), status);
        self.elsewhere.forget_completed();
    }

    fn reads(&self, topic: &str) -> Option<String> {
        let value = self.elsewhere.get(topic)?;
        Some(String::from_utf8(value.payload.to_vec()).unwrap())
    }

    fn told(&self) -> Vec<String> {
        let items = std::iter::from_fn(|| self.told.try_next());
        let topic = |item| match item {
            Item::State(topic) => topic.to_string(),
            other => format!("{other:?}"),
        };
        items.map(topic).collect()
    }
}

fn nobody() -> Holder {
    Holder::Nobody("no gateway that runs has it".into())
}

const VOLUME: &str = "room/1/audio/volume";
const AVAILABILITY: &str = "room/1/availability";
const PROBLEM: &str = "room/1/problem";

#[tokio::test]
async fn the_gateways_own_topics_and_rooms_are_read_as_without_others() {
    let it = Fixture::new(Holder::Me);
    it.set(VOLUME, "40");
    it.set("gateway/availability", "online");
    assert_eq!(it.reads(VOLUME).as_deref(), Some("40"));
    assert_eq!(it.reads("gateway/availability").as_deref(), Some("online"));
    assert_eq!(it.elsewhere.topics_below("").len(), 2);
    assert_eq!(it.elsewhere.topics_below("room/2/").len(), 0);
}

#[tokio::test]
async fn what_was_known_of_a_room_that_leaves_stays_and_nobody_is_told_of_it() {
    let it = Fixture::new(Holder::Me);
    let _wanted = it.elsewhere.want(WantedRooms::All);
    it.set(VOLUME, "40");
    it.set(AVAILABILITY, "online");
    it.told();
    it.becomes(Holder::Moving);
    assert_eq!(it.told(), [""; 0]);
    it.becomes(nobody());
    assert_eq!(it.told(), [PROBLEM, AVAILABILITY]);
    assert_eq!(it.reads(VOLUME).as_deref(), Some("40"));
    assert_eq!(it.reads(AVAILABILITY).as_deref(), Some("offline"));
    assert!(it.reads(PROBLEM).unwrap().contains("\"no_owner\""));
    // What the store of this gateway still holds is old.
    it.set(VOLUME, "41");
    assert_eq!(it.reads(VOLUME).as_deref(), Some("40"));
}

#[tokio::test]
async fn of_a_room_that_comes_each_state_stays_until_it_is_read_anew() {
    let it = Fixture::new(Holder::Me);
    let _wanted = it.elsewhere.want(WantedRooms::All);
    for topic in [VOLUME, "room/1/audio/muted", "room/1/calls"] {
        it.set(topic, "1");
    }
    it.complete(true);
    it.becomes(nobody());
    it.becomes(Holder::Me);
    it.complete(false);
    it.set(AVAILABILITY, "online");
    it.told();
    it.set(VOLUME, "2");
    assert_eq!(it.told(), [VOLUME]);
    assert_eq!(it.reads(VOLUME).as_deref(), Some("2"));
    assert_eq!(it.reads("room/1/calls").as_deref(), Some("1"));
    assert_eq!(it.reads(AVAILABILITY).as_deref(), Some("online"));
    it.own.clear("room/1/calls");
    assert_eq!(it.reads("room/1/calls"), None);
    it.told();
    it.complete(true);
    // Nothing is different now, so nobody is told.
    assert_eq!(it.told(), [""; 0]);
    assert_eq!(it.reads("room/1/audio/muted").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_state_that_a_room_has_no_more_goes_when_all_are_read() {
    let it = Fixture::new(Holder::Me);
    let _wanted = it.elsewhere.want(WantedRooms::All);
    it.set(VOLUME, "1");
    it.becomes(nobody());
    // As after a start: nothing is known of the room here.
    it.own.take_room_quietly("1");
    it.becomes(Holder::Me);
    assert_eq!(it.reads(VOLUME).as_deref(), Some("1"));
    it.told();
    it.complete(true);
    assert_eq!(it.told(), [VOLUME]);
    assert_eq!(it.reads(VOLUME), None);
    assert_eq!(it.elsewhere.topics_below("room/1/").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_room_whose_owner_cannot_be_reached_is_said_to_be_away() {
    let it = Fixture::new(Holder::Member(Member {
        name: "b".into(),
        advertise: Arc::new("http://192.0.2.2:8080".parse().unwrap()),
    }));
    it.elsewhere.upkeep();
    assert_eq!(it.reads(AVAILABILITY), None);
    tokio::time::advance(Duration::from_secs(3)).await;
    it.elsewhere.upkeep();
    assert_eq!(it.reads(AVAILABILITY).as_deref(), Some("offline"));
    assert!(it.reads(PROBLEM).unwrap().contains("gateway \\\"b\\\""));
    it.told();
    it.elsewhere.upkeep();
    assert_eq!(it.told(), [""; 0]);
}

#[tokio::test]
async fn only_the_answer_to_the_newest_question_counts() {
    let member = Member {
        name: "b".into(),
        advertise: Arc::new("http://192.0.2.2:8080".parse().unwrap()),
    };
    let it = Fixture::new(Holder::Member(member.clone()));
    let links = &it.elsewhere.links;
    let no_news = LinkFrame::head(FrameHead::Taken(0)).encode();
    links
        .receive_bytes(&it.elsewhere, member, Vec::new(), no_news)
        .unwrap();
    let link = links.get("b").unwrap();
    let number = || {
        let message = link.next_message().expect("something is wanted");
        match LinkFrame::decode(message).unwrap().head {
            FrameHead::Watch { number, .. } => number.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let wanted = it.elsewhere.want(WantedRooms::These(["1".into()].into()));
    let all = number();
    let state = |topic| {
        it.elsewhere
            .state(&link, topic, Some(StateValue::text("x")))
    };
    let has_arrived = || it.elsewhere.rooms.lock().have_arrived(&wanted.rooms);
    state(AVAILABILITY);
    // What was asked for before was only that.
    it.elsewhere.all_sent(&link, "1", true, Some(all - 1));
    assert!(!has_arrived());
    assert_eq!(it.reads(AVAILABILITY).as_deref(), Some("x"));
    state(VOLUME);
    it.elsewhere.all_sent(&link, "1", true, Some(all));
    assert!(has_arrived());
    assert_eq!(it.reads(VOLUME).as_deref(), Some("x"));
    // A gateway of a version that numbers nothing.
    it.elsewhere.link_up(&link);
    assert!(!has_arrived());
    it.elsewhere.all_sent(&link, "1", false, None);
    assert!(has_arrived());
}

#[tokio::test]
async fn rooms_that_clients_invent_are_not_kept() {
    let it = Fixture::new(Holder::Me);
    for n in 0..100 {
        let room: Arc<str> = format!("invented-{n}").into();
        let wanted = it.elsewhere.want(WantedRooms::These([room].into()));
        it.elsewhere.arrival(&wanted).await;
    }
    it.elsewhere.refresh();
    assert_eq!(it.elsewhere.rooms.lock().len(), 0);
}
