//! The documents of rooms for Home Assistant, which the door of each gateway hears and publishes.

use super::*;

/// The document that Home Assistant gets of a room, which has its topic outside of the rooms.
const DOCUMENT: &str = "homeassistant/device/poly2mqtt_1/config";

/// A gateway that publishes documents, and what it hears of them.
struct DocumentMember {
    shared: Arc<SharedRooms>,
    documents: Arc<StateStore>,
    heard: mpsc::Receiver<InboundMessage>,
    door: MqttDoor,
}

impl DocumentMember {
    fn start(port: u16, name: &str) -> Self {
        let shared = SharedRooms::new(name, rules());
        let documents = StateStore::new();
        let (sender, heard) = mpsc::channel(64);
        let extra = ExtraTopics {
            store: documents.clone(),
            encode: Bytes::copy_from_slice,
            filters: vec!["homeassistant/status".into()],
            inbound: sender,
            document_limits: watch::channel(DocumentLimits::new(1 << 20)).0,
        };
        let mut settings = settings(port).sharing(CLUSTER, shared.clone());
        settings.discovery.room_devices = Some("poly2mqtt_".into());
        let devices = Arc::<Devices>::default();
        let door = MqttDoor::start(
            settings,
            StateStore::new(),
            devices,
            Arc::default(),
            Some(extra),
        );
        Self {
            shared,
            documents,
            heard,
            door: door.unwrap(),
        }
    }

    /// Waits until the broker has answered the filter of room 1's document.
    async fn is_asked(&self) {
        let mut changes = self.shared.document_changes();
        let is_asked = || self.shared.documents().get("1") == Some(&true);
        while !is_asked() {
            soon("the filter is answered", changes.changed())
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_owner_hears_a_rooms_document_and_the_former_one_never_clears_it() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let client = Client::connect(broker.port).await;
    let mut old = DocumentMember::start(broker.port, "gw-1");
    let mut new = DocumentMember::start(broker.port, "gw-2");
    let one = rooms(&["1"]);
    // Nothing is published of a room that another gateway has.
    new.documents.set(DOCUMENT, StateValue::text("of another"));
    old.shared.arrive(&one, Arrival::TakenOver, next_revision());
    old.is_asked().await;
    old.documents.set(DOCUMENT, StateValue::text("first"));
    client.expect(DOCUMENT, "first").await;
    let published = || -> Vec<String> { client.messages(DOCUMENT).iter().map(text).collect() };
    assert_eq!(published(), ["first"]);

    new.documents.remove_quietly(DOCUMENT);
    old.shared.lose(&one);
    old.shared.unsubscribe(&one);
    new.shared.arrive(&one, Arrival::TakenOver, next_revision());
    new.is_asked().await;
    let heard = soon("the document", new.heard.recv()).await.unwrap();
    assert_eq!(
        (&*heard.topic, &heard.payload[..]),
        (DOCUMENT, &b"first"[..])
    );
    assert_eq!(heard.owner, MessageOwner::ThisGateway);
    // Whatever the former owner does with its copy, the broker gets nothing of it.
    old.documents.repeat();
    old.documents.clear_everywhere(DOCUMENT);
    new.documents.set(DOCUMENT, StateValue::text("second"));
    client.expect(DOCUMENT, "second").await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(published(), ["first", "second"]);
    // It hears nothing of it any more, nor of others' documents at any time.
    assert!(old.heard.try_recv().is_err());
    // A person deletes the device in Home Assistant: the owner hears it.
    client
        .publish_with(DOCUMENT, "", true, PublishProperties::default())
        .await;
    let heard = soon("the deletion", new.heard.recv()).await.unwrap();
    assert_eq!((&*heard.topic, heard.payload.len()), (DOCUMENT, 0));
    assert!(old.heard.try_recv().is_err());
    for member in [old, new] {
        soon("the end", member.door.stop(Instant::now() + SOON)).await;
    }
}
