//! Resolves every reference of every entry.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

fn commands() -> impl Iterator<Item = (&'static Operation, &'static Command)> {
    operations().flat_map(|operation| {
        let commands = operation.commands.iter();
        commands.map(move |command| (operation, command))
    })
}

/// What a test looks at. A test that looks at nothing would pass whatever the catalogue says.
fn some<T>(found: impl Iterator<Item = T>) -> Vec<T> {
    let found: Vec<T> = found.collect();
    assert!(!found.is_empty(), "nothing is looked at");
    found
}

fn names(pattern: &str) -> BTreeSet<&str> {
    parameters(pattern).collect()
}

/// The states that something refers to, with what does so.
fn referred_states() -> Vec<(String, StateTopic)> {
    let mut found = vec![
        ("the room".to_owned(), PRESETS),
        ("the room".to_owned(), CALLS),
    ];
    for (_, command) in commands() {
        let planned = match command.plan {
            Plan::From { state, .. } | Plan::Read(state) => Some(state),
            Plan::SwitchProvider => Some(PROVIDERS),
            _ => None,
        };
        let of_entities = command.entities.iter().filter_map(|entity| entity.of);
        let needs = command.entities.iter().flat_map(|entity| entity.needs);
        let states = command.refresh.iter().copied();
        let states = states.chain(command.sets).chain(command.toggles);
        let states = states.chain(needs.copied());
        for state in states.chain(planned).chain(of_entities) {
            found.push((command.topic.to_owned(), state));
        }
    }
    found
}

#[test]
fn every_state_that_is_referred_to_can_be_read() {
    let referred = referred_states();
    assert!(referred.len() > 100, "{}", referred.len());
    for (who, state) in referred {
        let (reader, _) = CATALOGUE
            .reader(state)
            .unwrap_or_else(|| panic!("{who}: nothing reads {state}"));
        // A read-back has no parameters but the call that is up.
        let given = names(reader.path).into_iter().all(|name| name == "conf_id");
        assert!(given, "{who}: {state} needs parameters");
    }
    // The device gives the session with the log-in, so it is stored.
    assert!(operations().any(|operation| operation.feeds(SESSION)));
    let session = CATALOGUE.pattern("session/get").unwrap();
    assert!(matches!(session.command().plan, Plan::Stored(SESSION)));
}

#[test]
fn what_a_command_sets_is_read_back() {
    let setting = commands().filter_map(|(_, command)| Some((command, command.sets?)));
    for (command, state) in some(setting) {
        let (reader, _) = CATALOGUE.reader(state).unwrap();
        let read = command.refresh.iter().any(|refresh| {
            let operation = CATALOGUE.reader(*refresh).unwrap().0;
            operation.feeds(state) || std::ptr::eq(operation, reader)
        });
        assert!(read, "{} sets {state} and does not read it", command.topic);
        if let Some(toggled) = command.toggles {
            assert_eq!(toggled, state, "{}", command.topic);
        }
    }
}

#[test]
fn every_parameter_comes_from_somewhere_and_goes_somewhere() {
    for (operation, command) in some(commands()) {
        let topic = command.topic;
        let of_path = names(operation.path);
        let of_topic = names(topic);
        let bound: BTreeSet<_> = command
            .path_constants
            .iter()
            .map(|(name, _)| *name)
            .collect();
        let carried: BTreeSet<_> = command
            .params_in_body
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert!(bound.is_subset(&of_path), "{topic}: {bound:?}");
        assert!(bound.is_disjoint(&of_topic), "{topic}: {bound:?}");
        assert!(carried.is_subset(&of_topic), "{topic}: {carried:?}");
        let used: BTreeSet<_> = of_path.union(&carried).copied().collect();
        assert!(of_topic.is_subset(&used), "{topic}: {of_topic:?}");
        // A plan of steps may name what the topic does not.
        if matches!(command.plan, Plan::Direct | Plan::Move) {
            let given: BTreeSet<_> = of_topic.union(&bound).copied().collect();
            assert!(of_path.is_subset(&given), "{topic}: {of_path:?}");
        }
    }
}

/// Body fields that are fixed or carried do not hide one of the payload's.
#[test]
fn no_body_field_is_sent_twice() {
    for (_, command) in some(commands()) {
        let more = command.body_constants.iter().map(|(name, _)| *name);
        let more = more.chain(command.params_in_body.iter().map(|(_, name)| *name));
        let mut sent: Vec<_> = more.collect();
        if let Payload::Fields { bare, fields, .. } = command.payload {
            let in_body = |field: &&Field| field.sent_in == SentIn::Body;
            sent.extend(fields.iter().filter(in_body).map(|field| field.wire));
            if let Some(bare) = bare {
                assert!(command.payload.has(bare), "{}: {bare}", command.topic);
            }
        }
        let all = sent.len();
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent.len(), all, "{}: {sent:?}", command.topic);
    }
}

/// Another spelling of a command differs from the first in its request only.
#[test]
fn every_fallback_is_like_the_first_of_its_topic() {
    let mut others = 0;
    for route in CATALOGUE.routes() {
        let first = &route.variants[0].command;
        assert!(!first.fallback, "{}", route.topic);
        for other in route
            .variants
            .iter()
            .map(|it| &it.command)
            .filter(|it| it.fallback)
        {
            others += 1;
            let fields = |command: &Command| match command.payload {
                Payload::Fields { bare, fields, .. } => {
                    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
                    (bare, names)
                }
                _ => (None, Vec::new()),
            };
            assert_eq!(fields(other), fields(first), "{}", route.topic);
            assert_eq!(other.idempotent, first.idempotent, "{}", route.topic);
            assert_eq!(other.answer, first.answer, "{}", route.topic);
            assert!(other.refresh.is_empty() && other.entities.is_empty());
            // What is made of the answer is what the first spelling says.
            assert!(other.map_answer.is_none(), "{}", route.topic);
            // Whether it is guarded, the first says.
            assert!(!other.guarded, "{}", route.topic);
        }
    }
    assert!(others > 0);
}

#[test]
fn every_stand_in_reads_the_states_of_another() {
    let stand_ins = operations().filter_map(|operation| Some((operation, operation.fallback_for?)));
    for (operation, path) in some(stand_ins) {
        let first = operations()
            .find(|it| it.reads() && it.path == path)
            .unwrap();
        let topics = |it: &Operation| it.states.iter().map(|it| it.topic).collect::<Vec<_>>();
        assert_eq!(topics(operation), topics(first), "{path}");
        assert_eq!(operation.poll, first.poll, "{path}");
        assert!(std::ptr::eq(
            CATALOGUE.fallback_of(first).unwrap(),
            operation
        ));
        for state in first.states {
            let (reader, _) = CATALOGUE.reader(state.topic).unwrap();
            assert!(reader.fallback_for.is_none(), "{}", state.topic);
        }
    }
}

#[test]
fn every_read_body_is_json() {
    let bodies = operations().filter_map(|operation| match operation.read {
        Some(ReadBody::Fixed(body)) => Some((operation, body)),
        _ => None,
    });
    for (operation, body) in some(bodies) {
        let json = serde_json::from_str::<serde_json::Value>(body);
        assert!(json.is_ok(), "{}", operation.path);
    }
    for operation in some(operations().filter(|operation| operation.poll.is_some())) {
        let method = operation.method.as_str();
        assert!(operation.reads(), "{method} {}", operation.path);
    }
}

#[test]
fn what_a_command_ends_is_there() {
    for ended in Ended::ALL {
        assert!(commands().any(|(_, it)| it.begins() == Some(ended)));
        assert!(commands().any(|(_, it)| it.urgency == Urgency::Ends(ended)));
    }
}

/// A hang-up must know them: otherwise the call comes up after it.
#[test]
fn what_starts_a_call_dials() {
    assert!(commands().any(|(_, command)| command.dials));
    for (_, command) in commands() {
        let changes_calls = command.refresh.contains(&CALLS);
        let starts = changes_calls && command.time_limit == TimeLimit::Slow;
        assert_eq!(command.dials, starts, "{}", command.topic);
        assert!(command.dials || !command.topic.ends_with("/dial"));
    }
}

#[test]
fn every_move_has_its_stop() {
    let mut moves = 0;
    for (_, command) in commands() {
        if let Plan::Move = command.plan {
            let route = CATALOGUE.pattern(command.topic).unwrap();
            let motion = Motion::of(&Call::of(route, Params::new())).unwrap();
            let stop = motion.stop.route.command();
            assert_eq!(
                stop.urgency,
                Urgency::Ends(Ended::Move),
                "{}",
                command.topic
            );
            moves += 1;
        }
    }
    assert!(moves > 5, "{moves}");
}

/// Every constant of the areas names something, also where only a plan's function uses it.
#[test]
fn every_named_state_and_command_is_there() {
    let areas = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalogue/areas");
    let (mut states, mut topics) = (0, 0);
    let mut paths = vec![areas];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let inside = std::fs::read_dir(path).unwrap();
            paths.extend(inside.map(|file| file.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let named = |constructor: &str| -> Vec<String> {
            let rest = text.split(constructor).skip(1);
            rest.map(|rest| rest.trim_start().trim_start_matches('"'))
                .map(|rest| rest.split('"').next().unwrap().to_owned())
                .collect()
        };
        for state in named("StateTopic::new(") {
            let fed = |it: &&Operation| it.states.iter().any(|it| it.topic.as_str() == state);
            assert!(
                operations().any(|it| fed(&it)),
                "{}: {state}",
                path.display()
            );
            states += 1;
        }
        for topic in named("CommandTopic::new(") {
            assert!(
                CATALOGUE.pattern(&topic).is_some(),
                "{}: {topic}",
                path.display()
            );
            topics += 1;
        }
    }
    assert!(states > 40 && topics > 8, "{states} {topics}");
}
