//! What packets mean, without a connection.

use parking_lot::Mutex;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use tokio::sync::{mpsc, watch};

use super::super::ExtraTopics;
use super::super::settings::MqttSettings;
use super::super::settings::tests::settings;
use super::*;
use crate::command::{Submit, Success};
use crate::home_assistant::DocumentLimits;
use crate::state::{Item, StateStore};
use crate::topics::Prefix;

/// Answers at once; a command named `hold` waits.
#[derive(Default)]
pub struct FakeGateway {
    pub submitted: Mutex<Vec<String>>,
    pub refused: Mutex<Vec<(String, ErrorCode)>>,
    pub held: Mutex<Vec<Submission>>,
}

impl Submit for FakeGateway {
    fn submit(&self, submission: Submission) {
        let topic = format!("{}/{}", submission.room, submission.command);
        self.submitted.lock().push(topic);
        if submission.command == "hold" {
            self.held.lock().push(submission);
        } else {
            submission.reply.answer(Ok(Success::new(200, true.into())));
        }
    }

    fn refuse(&self, _: DoorKind, reply: Reply, _: &Bytes, failure: Failure) {
        let refused = (reply.command().to_owned(), failure.code);
        self.refused.lock().push(refused);
        reply.answer(Err(failure));
    }
}

/// A door with the prefix `av` that is not connected.
pub fn context() -> (Arc<DoorContext>, Arc<FakeGateway>) {
    let gateway = Arc::<FakeGateway>::default();
    let settings = MqttSettings {
        prefix: Prefix::new("av"),
        ..settings()
    };
    let context = DoorContext::new(settings, StateStore::new(), gateway.clone(), Arc::default());
    context.subscribe();
    (Arc::new(context), gateway)
}

pub fn publish(topic: &str, payload: &str) -> Publish {
    Publish {
        pkid: 7,
        qos: QoS::AtLeastOnce,
        topic: topic.to_owned().into(),
        payload: payload.to_owned().into(),
        ..Publish::default()
    }
}

#[test]
fn only_commands_are_handed_in() {
    let (context, gateway) = context();
    let mut receiver = Receiver::new(context);
    for (topic, is_command) in [
        ("av/room/1/audio/mute", true),
        ("room/1/audio/mute", false),
        ("av/room/1/audio/mute/result", false),
        ("av/room/1/availability", false),
        ("av/room/1/event/call_ended", false),
        ("av/gateway/info", false),
        ("av/room/1/", false),
        ("homeassistant/status", false),
    ] {
        assert_eq!(receiver.publish(publish(topic, "")), is_command, "{topic}");
    }
    assert_eq!(*gateway.submitted.lock(), ["1/audio/mute"]);
    let not_text = Publish {
        topic: vec![0xff].into(),
        ..publish("", "")
    };
    assert!(!receiver.publish(not_text));
}

#[test]
fn a_redelivered_command_is_carried_out_once() {
    let (context, gateway) = context();
    let mut receiver = Receiver::new(context);
    let first = publish("av/room/1/audio/mute", "");
    let again = Publish {
        dup: true,
        ..first.clone()
    };
    assert!(receiver.publish(first.clone()));
    assert!(!receiver.publish(again.clone()));
    // Without DUP it is the next message with this id; with DUP and not known, it is new.
    assert!(receiver.publish(first));
    let unknown = Publish { pkid: 8, ..again };
    assert!(receiver.publish(unknown));
    assert_eq!(gateway.submitted.lock().len(), 3);
}

#[test]
fn what_is_refused_has_its_answer() {
    let (context, gateway) = context();
    let mut receiver = Receiver::new(context.clone());
    let response = |topic: &str| {
        Some(PublishProperties {
            response_topic: Some(topic.into()),
            ..PublishProperties::default()
        })
    };
    let wildcard = Publish {
        properties: response("replies/+"),
        ..publish("av/room/1/audio/mute", "")
    };
    let retained = Publish {
        retain: true,
        ..publish("av/room/1/audio/unmute", "x")
    };
    let large = "x".repeat(context.settings.max_payload + 1);
    let large = publish("av/room/1/directory/import", &large);
    for refused in [wildcard, retained, large] {
        assert!(receiver.publish(refused));
    }
    let refused = [
        ("audio/mute", ErrorCode::InvalidPayload),
        ("audio/unmute", ErrorCode::IgnoredRetained),
        ("directory/import", ErrorCode::TooLarge),
    ];
    let refused = refused.map(|(command, code)| (command.to_owned(), code));
    assert_eq!(*gateway.refused.lock(), refused);
    assert!(gateway.submitted.lock().is_empty());
    // A refused response topic is not used for the answer either.
    let Some(Item::Reply(delivery)) = context.subscriber.outbox.try_next() else {
        panic!("no answer");
    };
    assert_eq!(delivery.address.response, None);
}

#[test]
fn only_a_file_may_be_longer_than_the_payloads_of_the_other_doors() {
    use crate::doors::clients::ClientLimits;

    assert_eq!(COMMAND_PAYLOAD_LIMIT, ClientLimits::default().max_message);
    let (context, gateway) = context();
    let context = DoorContext {
        settings: MqttSettings {
            max_payload: 4 * COMMAND_PAYLOAD_LIMIT,
            ..context.settings.clone()
        },
        ..DoorContext::new(
            settings(),
            StateStore::new(),
            gateway.clone(),
            Arc::default(),
        )
    };
    let mut receiver = Receiver::new(Arc::new(context));
    for (command, over, is_refused) in [
        ("audio/volume/set", 0, false),
        ("audio/volume/set", 1, true),
        ("no/such/command", 1, true),
        ("directory/import", 1, false),
        ("directory/import", 3 * COMMAND_PAYLOAD_LIMIT + 1, true),
    ] {
        let payload = "1".repeat(COMMAND_PAYLOAD_LIMIT + over);
        assert!(receiver.publish(publish(&format!("av/room/1/{command}"), &payload)));
        let refused = gateway.refused.lock().pop();
        let expected = is_refused.then(|| (command.to_owned(), ErrorCode::TooLarge));
        assert_eq!(refused, expected, "{command} {over}");
    }
}

#[test]
fn a_retained_state_is_no_command_and_a_retained_command_is_refused() {
    let (context, gateway) = context();
    let mut receiver = Receiver::new(context);
    for (topic, payload, is_command) in [
        ("av/room/1/audio/volume", "5", false),
        ("av/room/1/audio/volume", "", false),
        ("av/room/1/availability", "", false),
        ("av/room/1/camera/snapshot/near", "", false),
        ("av/room/1/audio/mute/result", "", false),
        ("av/room/1/event/call_ended", "", false),
        ("av/gateway/info", "{}", false),
        ("av/gateway/info", "", false),
        // Commands and queries, whatever the payload.
        ("av/room/1/audio/mute", "", true),
        ("av/room/1/audio/volume/set", "5", true),
        ("av/room/1/camera/preset/3/activate", "", true),
        ("av/room/1/audio/volume/get", "", true),
        ("av/room/1/no/such/command", "", true),
    ] {
        let retained = Publish {
            retain: true,
            ..publish(topic, payload)
        };
        assert_eq!(receiver.publish(retained), is_command, "{topic} {payload}");
    }
    let refused = gateway.refused.lock();
    assert_eq!(refused.len(), 5);
    assert!(
        refused
            .iter()
            .all(|(_, code)| *code == ErrorCode::IgnoredRetained)
    );
    assert!(gateway.submitted.lock().is_empty());
}

#[test]
fn other_programs_messages_are_handed_over_while_there_is_room() {
    let (sender, mut inbound) = mpsc::channel(1);
    let gateway = Arc::<FakeGateway>::default();
    let mut context = DoorContext::new(settings(), StateStore::new(), gateway, Arc::default());
    context.extra_topics = Some(ExtraTopics {
        store: StateStore::new(),
        encode: |payload| payload.to_vec().into(),
        filters: vec!["homeassistant/status".into()],
        inbound: sender,
        document_limits: watch::Sender::new(DocumentLimits::new(0)),
    });
    let mut receiver = Receiver::new(Arc::new(context));
    for _ in 0..2 {
        assert!(!receiver.publish(publish("homeassistant/status", "online")));
    }
    assert_eq!(inbound.try_recv().unwrap().topic, "homeassistant/status");
    assert!(inbound.try_recv().is_err());
    // The session may have subscriptions of an earlier configuration.
    for topic in [
        "ha/status",
        "old/room/1/audio/mute",
        "homeassistant/status/x",
    ] {
        assert!(!receiver.publish(publish(topic, "online")));
        assert!(inbound.try_recv().is_err(), "{topic}");
    }
}

/// A publish with the mark of the gateway with this client id.
fn marked(client_id: &str, topic: &str, payload: &str) -> Publish {
    let settings = MqttSettings {
        gateway_id: crate::gateway_id::GatewayId::of_client(client_id),
        ..settings()
    };
    Publish {
        properties: Some(PublishProperties {
            user_properties: Mark::own(&settings),
            ..PublishProperties::default()
        }),
        ..publish(topic, payload)
    }
}

#[test]
fn what_a_gateway_has_marked_is_no_command_without_the_retain_flag_either() {
    let (context, gateway) = context();
    let mut receiver = Receiver::new(context.clone());
    for client_id in ["poly2mqtt", "another"] {
        for topic in [
            "av/room/1/audio/volume",
            "av/room/1/availability",
            "av/room/1/camera/snapshot/near",
            "av/room/1/a/state/of/another/version",
            "av/gateway/info",
        ] {
            for payload in ["5", ""] {
                let message = marked(client_id, topic, payload);
                assert!(!receiver.publish(message), "{client_id} {topic}");
            }
        }
    }
    // A property of the same name is no mark.
    let mut message = marked("another", "av/room/1/audio/mute", "");
    let properties = message.properties.as_mut().unwrap();
    properties.user_properties[0].1 = "hall-3".into();
    assert!(receiver.publish(message));
    assert_eq!(*gateway.submitted.lock(), ["1/audio/mute"]);
    // A leftover of this gateway is one without the flag too.
    receiver.publish(marked("poly2mqtt", "av/room/1/audio/volume", "5"));
    context.subscriber.settle(&context.store, Instant::now());
    let Some(Item::State(cleared)) = std::iter::from_fn(|| context.subscriber.outbox.try_next())
        .find(|item| matches!(item, Item::State(_)))
    else {
        panic!("nothing is cleared");
    };
    assert_eq!(&*cleared, "room/1/audio/volume");
}

#[test]
fn a_command_among_retained_messages_without_the_flag_is_refused() {
    let state = || marked("poly2mqtt", "av/room/1/audio/volume", "5");
    let with_flag = |publish: Publish| Publish {
        retain: true,
        ..publish
    };
    let other = || with_flag(publish("av/room/1/availability", "online"));
    let command = || publish("av/room/1/audio/mute", "");
    for (case, messages, is_carried_out) in [
        ("alone", vec![command()], true),
        ("the flag is set", vec![with_flag(state()), command()], true),
        ("set, told later", vec![command(), with_flag(state())], true),
        ("set by others", vec![command(), other()], true),
        ("the flag is lacking", vec![state(), command()], false),
        ("lacking, told later", vec![command(), state()], false),
        (
            "lacking, and a live message",
            vec![state(), command(), other()],
            false,
        ),
    ] {
        let (context, gateway) = context();
        let mut receiver = Receiver::new(context);
        receiver.asked_for_retained();
        for message in messages {
            receiver.publish(message);
        }
        receiver.first_commands.answered(Instant::now());
        receiver.first_commands_over();
        let submitted = gateway.submitted.lock().len();
        let refused = gateway.refused.lock().clone();
        assert_eq!(submitted, usize::from(is_carried_out), "{case}");
        let expected = ("audio/mute".to_owned(), ErrorCode::IgnoredRetained);
        let expected = Vec::from_iter((!is_carried_out).then_some(expected));
        assert_eq!(refused, expected, "{case}");
        // Later commands have nothing to do with it.
        assert!(receiver.publish(command()), "{case}");
        assert_eq!(gateway.submitted.lock().len(), submitted + 1);
    }
}
