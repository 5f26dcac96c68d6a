//! Rights as tables: who may publish what, and subscribe to what.

mod property;

use super::*;

fn user(name: &str, rooms: Option<&[&str]>, control: bool) -> BrokerUser {
    BrokerUser {
        name: name.into(),
        password: "secret".to_owned().into(),
        rooms: rooms.map(|rooms| rooms.iter().map(|room| (*room).into()).collect()),
        control,
    }
}

fn rights(prefix: &str) -> BrokerRights {
    let users = vec![
        user("all", None, true),
        user("watches", None, false),
        user("panel", Some(&["1"]), true),
        user("screen", Some(&["1"]), false),
    ];
    BrokerRights::new(users, Prefix::new(prefix), DiscoveryTopics::default())
}

fn open() -> BrokerRights {
    BrokerRights::new(Vec::new(), Prefix::default(), DiscoveryTopics::default())
}

const EVERYONE: Result<Recipients, Refusal> = Ok(Recipients::Everyone);
const GATEWAY: Result<Recipients, Refusal> = Ok(Recipients::Gateway);

/// Topic, and what happens if an open broker's client, a user of all rooms and a user of room 1
/// publish to it.
fn table() -> Vec<(&'static str, [Result<Recipients, Refusal>; 3])> {
    use Refusal::{
        BrokersTopic, GatewaysDocument, GatewaysTopic, HomeAssistant, OtherRoom, OthersResponses,
    };
    let all = |result: Result<Recipients, Refusal>| [result.clone(), result.clone(), result];
    vec![
        ("room/1/audio/mute", all(EVERYONE)),
        ("room/1/audio/volume/get", all(EVERYONE)),
        ("room/1/camera/preset/3/activate", all(EVERYONE)),
        ("room/2/audio/mute", [EVERYONE, EVERYONE, Err(OtherRoom)]),
        ("room//audio/mute", [EVERYONE, EVERYONE, Err(OtherRoom)]),
        // States, whether or not one is there at the moment.
        ("room/1/audio/volume", all(Err(GatewaysTopic))),
        ("room/1/system/status/microphones", all(Err(GatewaysTopic))),
        ("room/1/camera/snapshot/near", all(Err(GatewaysTopic))),
        ("room/1/system/logs", all(Err(GatewaysTopic))),
        ("room/1/availability", all(Err(GatewaysTopic))),
        ("room/1/problem", all(Err(GatewaysTopic))),
        ("room/1/event/incoming_call", all(Err(GatewaysTopic))),
        ("room/1/audio/mute/result", all(Err(GatewaysTopic))),
        ("room/1", all(Err(GatewaysTopic))),
        ("room/1/", all(Err(GatewaysTopic))),
        ("gateway/info", all(Err(GatewaysTopic))),
        ("gateway/anything", all(Err(GatewaysTopic))),
        // No command: the gateway says so to the sender, nobody else gets it.
        ("room/1/make/coffee", all(GATEWAY)),
        ("room/1/audio/volum", all(GATEWAY)),
        // Home Assistant.
        (
            "homeassistant/device/poly2mqtt_1/config",
            [
                Err(GatewaysDocument),
                Err(GatewaysDocument),
                Err(HomeAssistant),
            ],
        ),
        (
            "homeassistant/device/poly2mqtt_unknown/config",
            [
                Err(GatewaysDocument),
                Err(GatewaysDocument),
                Err(HomeAssistant),
            ],
        ),
        (
            "homeassistant/device/poly2mqtt-gateway/config",
            [
                Err(GatewaysDocument),
                Err(GatewaysDocument),
                Err(HomeAssistant),
            ],
        ),
        (
            "homeassistant/device/zigbee/config",
            [EVERYONE, EVERYONE, Err(HomeAssistant)],
        ),
        (
            "homeassistant/status",
            [EVERYONE, EVERYONE, Err(HomeAssistant)],
        ),
        // Others.
        ("$SYS/broker/uptime", all(Err(BrokersTopic))),
        (
            "response/panel/7",
            [EVERYONE, Err(OthersResponses), EVERYONE],
        ),
        ("response/all/7", [EVERYONE, EVERYONE, Err(OthersResponses)]),
        ("lights/1", all(EVERYONE)),
        ("rooms/1/audio/volume", all(EVERYONE)),
    ]
}

#[test]
fn who_may_publish_what() {
    let rights = rights("");
    for (topic, [anyone, all, panel]) in table() {
        let attempt = PublishAttempt {
            empty: false,
            ..PublishAttempt::plain(topic)
        };
        assert_eq!(open().publish(None, &attempt), anyone, "{topic}");
        assert_eq!(rights.publish(Some("all"), &attempt), all, "{topic}");
        assert_eq!(rights.publish(Some("panel"), &attempt), panel, "{topic}");
        let gateway = rights.publish(Some(GATEWAY_USER), &attempt);
        assert_eq!(gateway, EVERYONE, "{topic}");
        for (name, refusal) in [
            (Some("screen"), Refusal::ReadsOnly),
            (Some("watches"), Refusal::ReadsOnly),
            (Some("stranger"), Refusal::NoUser),
            (None, Refusal::NoUser),
        ] {
            assert_eq!(rights.publish(name, &attempt), Err(refusal), "{topic}");
        }
    }
}

#[test]
fn nothing_of_clients_is_retained_below_the_gateways_topics_and_no_will_is_there() {
    for (topic, [anyone, all, panel]) in table() {
        let below = topic.starts_with("room/") || topic.starts_with("gateway/");
        let retained = PublishAttempt {
            retain: true,
            empty: false,
            ..PublishAttempt::plain(topic)
        };
        let will = PublishAttempt {
            will: true,
            ..retained
        };
        let clients = [
            (open(), None, anyone),
            (rights(""), Some("all"), all),
            (rights(""), Some("panel"), panel),
        ];
        for (rights, name, plain) in clients {
            let expected = match plain {
                Ok(_) if below => GATEWAY,
                other => other,
            };
            assert_eq!(rights.publish(name, &retained), expected, "{topic}");
            let expected = if below { Err(Refusal::Will) } else { expected };
            assert_eq!(rights.publish(name, &will), expected, "{topic}");
        }
    }
}

#[test]
fn a_result_goes_only_where_its_sender_may_publish_and_no_stranger_reads() {
    let rights = rights("av");
    let with = |name: Option<&str>, room: &str, response: &str| {
        let topic = format!("av/room/{room}/audio/mute");
        let attempt = PublishAttempt {
            response: Some(response),
            ..PublishAttempt::plain(&topic)
        };
        rights.publish(name, &attempt)
    };
    let public = || Err(Refusal::PublicResponse("av/response/all/".into()));
    for (name, room, response, expected) in [
        ("all", "2", "av/response/all/7", EVERYONE),
        ("all", "2", "av/room/2/audio/mute/result", EVERYONE),
        ("all", "2", "client/7", public()),
        (
            "all",
            "2",
            "av/response/panel/7",
            Err(Refusal::OthersResponses),
        ),
        // Every user sees room 1.
        ("all", "1", "client/7", EVERYONE),
        ("panel", "1", "client/7", EVERYONE),
        ("panel", "1", "av/response/panel/7", EVERYONE),
        (
            "panel",
            "1",
            "av/response/all/7",
            Err(Refusal::OthersResponses),
        ),
        // The gateway refuses these itself, and says why in the result.
        ("panel", "1", "av/room/1/audio/volume", EVERYONE),
        (
            "panel",
            "1",
            "homeassistant/device/poly2mqtt_1/config",
            EVERYONE,
        ),
    ] {
        assert_eq!(
            with(Some(name), room, response),
            expected,
            "{name} {response}"
        );
    }
    let attempt = PublishAttempt {
        response: Some("client/7"),
        ..PublishAttempt::plain("room/1/audio/mute")
    };
    assert_eq!(open().publish(None, &attempt), EVERYONE);
}

/// Home Assistant does so when a person deletes a device there.
#[test]
fn users_of_all_rooms_clear_documents() {
    let rights = rights("");
    let clear = PublishAttempt {
        retain: true,
        ..PublishAttempt::plain("homeassistant/device/poly2mqtt_1/config")
    };
    assert_eq!(open().publish(None, &clear), EVERYONE);
    assert_eq!(rights.publish(Some("all"), &clear), EVERYONE);
    for (name, refusal) in [
        ("panel", Refusal::HomeAssistant),
        ("watches", Refusal::ReadsOnly),
    ] {
        assert_eq!(rights.publish(Some(name), &clear), Err(refusal));
    }
}

#[test]
fn who_sees_some_rooms_subscribes_to_these() {
    for prefix in ["", "av", "av/site"] {
        let rights = rights(prefix);
        let with = |filter: &str| Prefix::new(prefix).add(filter);
        for (filter, expected) in [
            ("room/1/#", true),
            ("room/1/+/volume", true),
            ("$share/group/room/1/#", true),
            ("room/2/#", false),
            ("room/2", false),
            ("room//#", false),
            ("room/+/audio/volume", false),
            ("room/#", false),
            ("+/1/audio/volume", false),
            ("+/2/audio/volume", false),
            ("+/+", false),
            ("gateway/#", false),
            ("gateway/+", false),
            ("gateway/info", false),
            ("gateway/availability", true),
            ("gateway/health", false),
            ("gateway/log", false),
            ("response/screen/#", true),
            ("response/all/7", false),
            ("response/#", false),
            ("#", false),
        ] {
            let filter = match filter.strip_prefix("$share/group/") {
                Some(filter) => format!("$share/group/{}", with(filter)),
                None => with(filter),
            };
            let granted = rights.subscribe(Some("screen"), &filter).is_ok();
            assert_eq!(granted, expected, "{filter}");
            assert_eq!(
                rights.subscribe(Some("watches"), &filter),
                Ok(()),
                "{filter}"
            );
            let stranger = rights.subscribe(None, &filter);
            assert_eq!(stranger, Err(Refusal::NoUser), "{filter}");
        }
        for (filter, expected) in [
            ("#", false),
            ("lights/#", true),
            ("$share/group/lights/#", true),
            ("$share/group/#", false),
            ("$SYS/#", true),
            ("homeassistant/#", false),
            ("homeassistant/+/+/config", false),
            ("homeassistant/device/+/config", false),
            ("homeassistant/status", true),
            ("homeassistant/+/1/x", true),
        ] {
            let granted = rights.subscribe(Some("screen"), filter).is_ok();
            assert_eq!(granted, expected, "{filter}");
        }
    }
}

/// These were granted.
#[test]
fn wildcards_within_the_prefix_reach_the_rooms_as_well() {
    let rights = rights("av/site");
    for filter in [
        "av/#",
        "av/site/#",
        "av/+/room/2/#",
        "av/+/room/2/x",
        "+/site/room/2/x",
        "+/+/#",
        "+/+/+/+/#",
        "$share/g/av/#",
    ] {
        let answer = rights.subscribe(Some("panel"), filter);
        assert_eq!(answer, Err(Refusal::Filter), "{filter}");
    }
    for filter in [
        "+/site/room/1/x",
        "av/+/room/1/#",
        "other/#",
        "av",
        "+/other/#",
    ] {
        assert_eq!(rights.subscribe(Some("panel"), filter), Ok(()), "{filter}");
    }
}

#[test]
fn of_home_assistants_documents_only_those_of_the_users_rooms_are_seen() {
    let rights = rights("av");
    for (device, expected) in [
        ("poly2mqtt-av_1", true),
        ("poly2mqtt-av-gateway", true),
        ("zigbee", true),
        ("poly2mqtt-av_2", false),
        ("poly2mqtt-av_11", false),
        ("+", false),
    ] {
        let filter = format!("homeassistant/device/{device}/config");
        let granted = rights.subscribe(Some("panel"), &filter).is_ok();
        assert_eq!(granted, expected, "{device}");
    }
}
