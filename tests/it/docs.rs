//! The pages for users are correct: links lead somewhere, configurations load, commands exist,
//! and every code and key has its line.
mod comments;
mod imports;
mod links;
mod maps;
mod project;
mod shell;
mod site;
mod topics;
mod types;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use poly2mqtt::catalogue::Call;
use poly2mqtt::command::ErrorCode;
use poly2mqtt::config::generate::schema;
use poly2mqtt::config::load;
use poly2mqtt::device::ProblemCode;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    for dir in [
        "",
        "docs",
        "docs/decisions",
        "examples/home-assistant",
        "fuzz",
        "simulator",
    ] {
        let dir = root().join(dir);
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    assert!(pages.len() > 5);
    pages
}

/// The examples for the shell.
fn shell() -> impl Iterator<Item = (PathBuf, String)> {
    let dir = std::fs::read_dir(root().join("examples/shell")).unwrap();
    dir.map(|entry| {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    })
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The fenced blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// Files that a configuration names are made, since the loader reads them.
fn with_files(dir: &Path, block: &str) -> String {
    let mut text = String::new();
    for (n, line) in block.lines().enumerate() {
        match line.split_once("_file = \"") {
            Some((key, rest)) if !line.starts_with('#') => {
                let file = dir.join(format!("file-{n}"));
                std::fs::write(&file, format!("a long secret, number {n}\n")).unwrap();
                let after = rest.split_once('"').unwrap().1;
                text += &format!("{key}_file = \"{}\"{after}\n", file.display());
            }
            _ => {
                text += line;
                text += "\n";
            }
        }
    }
    text
}

#[test]
fn configurations_load() {
    let mut count = 0;
    for (path, text) in pages() {
        for block in blocks(&text, "toml") {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("poly2mqtt.toml");
            std::fs::write(&file, with_files(dir.path(), block)).unwrap();
            let loaded = load(&file, []);
            assert!(loaded.is_ok(), "{}: {loaded:?}\n{block}", path.display());
            count += 1;
        }
    }
    assert!(count > 3);
    for example in [
        "examples/docker/poly2mqtt.toml",
        "examples/docker/cluster.toml",
        "examples/cluster.toml",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("poly2mqtt.toml");
        std::fs::write(&file, with_files(dir.path(), &page(example))).unwrap();
        let loaded = load(&file, []);
        assert!(loaded.is_ok(), "{example}: {loaded:?}");
    }
}

#[test]
fn commands_exist() {
    let mut count = 0;
    for (path, text) in pages().into_iter().chain(shell()) {
        let sends = ["mosquitto_pub", "mosquitto_rr", "mqtt pub"];
        let lines = text.lines().filter(|line| {
            let line = line.trim_start_matches(['$', ' ']);
            sends.iter().any(|send| line.starts_with(send))
        });
        for line in lines {
            let Some((_, rest)) = line.split_once("-t room/") else {
                continue;
            };
            let topic = rest.split_whitespace().next().unwrap();
            let command = topic.split_once('/').unwrap().1;
            let code = match Call::parse(command, &Bytes::new(), &mut None) {
                Ok(_) => None,
                Err(failure) => Some(failure.code),
            };
            let known = code != Some(ErrorCode::UnknownCommand);
            assert!(known, "{}: {line}", path.display());
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
}

#[test]
fn every_problem_code_has_its_line() {
    let text = page("docs/states.md");
    for code in ProblemCode::ALL {
        let name = serde_json::to_value(code).unwrap();
        let line = format!("| `{}` |", name.as_str().unwrap());
        assert!(text.contains(&line), "{line}");
    }
}

/// Whoever has a code and a page finds one on the other.
#[test]
fn every_code_is_on_the_page_about_trouble() {
    let text = page("docs/troubleshooting.md");
    let problems = ProblemCode::ALL.map(|code| serde_json::to_value(code).unwrap());
    let problems = problems.iter().map(|code| code.as_str().unwrap());
    let errors = ErrorCode::ALL.into_iter().map(ErrorCode::as_str);
    for (heading, codes) in [
        ("## Problem codes", problems.collect::<Vec<_>>()),
        ("## Error codes", errors.collect()),
    ] {
        let (_, after) = text.split_once(heading).expect(heading);
        let section = after.split("\n## ").next().unwrap();
        for code in codes {
            assert!(
                section.contains(&format!("| `{code}` |")),
                "{heading}: {code}"
            );
        }
    }
    let (before, _) = text.split_once("poly2mqtt check --connect").unwrap();
    assert!(
        before.lines().count() < 12,
        "the page begins with check --connect"
    );
}

/// The keys of a table of the schema, and of the tables in it.
fn keys(table: &Value, found: &mut Vec<String>) {
    let properties = table["properties"].as_object().into_iter().flatten();
    for (name, property) in properties {
        found.push(name.clone());
        keys(property, found);
        keys(&property["items"], found);
        let by_id = property["patternProperties"].as_object();
        for table in by_id.into_iter().flatten().map(|(_, table)| table) {
            keys(table, found);
        }
    }
}

#[test]
fn every_key_is_explained() {
    let mut found = Vec::new();
    keys(&schema(), &mut found);
    assert!(found.len() > 30);
    let text = page("docs/configuration.md");
    let file = page("config/poly2mqtt.toml");
    for key in found {
        let explained = text.contains(&format!("`{key}`"))
            || text.contains(&format!("[{key}]"))
            || text.contains(&format!("`[{key}."))
            || text.contains(&format!("`[[mqtt.{key}]]`"))
            || text.contains(&format!("`[[http.{key}]]`"));
        assert!(explained, "docs/configuration.md: {key}");
        assert!(file.contains(&key), "config/poly2mqtt.toml: {key}");
    }
}

/// Limits on the pages are those of the code.
#[test]
fn limits_are_as_the_pages_say() {
    use poly2mqtt::doors::clients::{
        ClientLimits, MOST_UNSENT_ANSWERS_FACTOR, PAUSE_READING_BYTES,
    };
    use poly2mqtt::doors::payers::{LARGE_MESSAGE, WAITING_BYTES};
    let limits = ClientLimits::default();
    let kib = |bytes: usize| format!("{} KiB", bytes >> 10);
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    let told = |page_name: &str, lines: &[String]| {
        let text = page(page_name);
        for line in lines {
            assert!(text.contains(line), "{page_name}: {line}");
        }
    };
    told(
        "docs/websocket.md",
        &[
            format!("together | {} |", limits.max_clients),
            format!("to the gateway | {} |", kib(limits.max_message)),
            format!("larger than {}.", kib(limits.max_message)),
            format!("1024 bytes | {} |", limits.max_subscriptions),
            format!("`busy` | {} |", limits.max_in_flight),
            format!("one client | {} MiB |", limits.max_file_bytes >> 20),
            format!("all clients | {} MiB,", WAITING_BYTES >> 20),
            format!("frame above {} to come", kib(LARGE_MESSAGE)),
            format!(
                "frames are read | {}, or {} MiB |",
                MOST_UNSENT_ANSWERS_FACTOR * limits.max_in_flight,
                PAUSE_READING_BYTES >> 20
            ),
            format!(
                "counted | {} |",
                poly2mqtt::state::Outbox::<()>::MOST_EVENTS
            ),
            format!("pings every | {} |", seconds(limits.ping_interval)),
            format!(
                "not even a pong, is dropped after | {} |",
                seconds(2 * limits.ping_interval)
            ),
            format!(
                "is sent is dropped after | {} |",
                seconds(limits.send_timeout)
            ),
        ],
    );
    told(
        "docs/tcp.md",
        &[
            format!("within {}, before", seconds(limits.greeting_timeout)),
            format!(
                "takes {}, the first one with its token {}.",
                kib(limits.max_message),
                kib(poly2mqtt::doors::tcp::LARGEST_GREETING)
            ),
            format!("{}\nclients together", limits.max_clients),
            format!(
                "{} filters and {} commands",
                limits.max_subscriptions, limits.max_in_flight
            ),
        ],
    );
    told(
        "docs/http.md",
        &[
            format!("takes {}", kib(limits.max_message)),
            format!("within {}.", seconds(limits.body_timeout)),
            format!("| {} |", limits.max_clients + limits.max_connections),
            format!(
                "{} and {} headers, within {} |",
                kib(poly2mqtt::doors::http::LARGEST_HEAD),
                poly2mqtt::doors::http::MOST_HEADERS,
                seconds(limits.greeting_timeout)
            ),
            format!(
                "a request is closed after | {} |",
                seconds(limits.greeting_timeout)
            ),
            format!(
                "a payload | {}, within {} |",
                kib(limits.max_message),
                seconds(limits.body_timeout)
            ),
            format!(
                "answer is dropped after | {} |",
                seconds(limits.send_timeout)
            ),
            format!(
                "given up after | {} |",
                seconds(poly2mqtt::device::DeviceTimings::default().request_timeout)
            ),
        ],
    );
}

/// The program on the page is the one in the examples.
#[test]
fn the_mute_button_is_the_example() {
    let text = page("docs/websocket.md");
    assert_eq!(blocks(&text, "js"), [page("examples/mute.mjs").as_str()]);
}

/// What Node-RED's flow sends is taken, and what it listens to is published.
#[test]
fn the_flow_for_node_red_knows_the_topics() {
    let flow: Value = serde_json::from_str(&page("examples/node-red-flow.json")).unwrap();
    let table = page("docs/topics.md");
    let mut count = 0;
    let tab = &flow[0]["env"];
    let variable = |name: &str| -> &Value {
        let mut all = tab.as_array().unwrap().iter();
        &all.find(|it| it["name"] == name).unwrap()["value"]
    };
    assert_eq!(variable("ROOM"), "1");
    for node in flow.as_array().unwrap() {
        // Only the tab's variable names the room.
        assert!(!node.to_string().contains("room/1/"), "{node}");
        let below = |topic: &Value| -> String {
            let topic = topic.as_str().unwrap().strip_prefix("room/${ROOM}/");
            topic.unwrap().to_owned()
        };
        match node["type"].as_str().unwrap() {
            "inject" => {
                let payload = node["payload"].as_str().unwrap().to_owned().into();
                let call = Call::parse(&below(&node["props"][1]["v"]), &payload, &mut None);
                assert!(call.is_ok(), "{node}");
                count += 1;
            }
            "mqtt in" if node["topic"] == "gateway/availability" => {
                assert_eq!(node["wires"], serde_json::json!([["p2m-online"]]));
                count += 1;
            }
            "mqtt in" => {
                let name = node["topic"].as_str().unwrap().strip_prefix("${");
                let topic = below(variable(name.unwrap().strip_suffix('}').unwrap()));
                let known = table.contains(&format!("| `{topic}` |"))
                    || table.contains(&format!("| `room/<room>/{topic}` |"));
                assert!(known, "{node}");
                count += 1;
            }
            "mqtt out" => assert_eq!(node["retain"], "false"),
            _ => {}
        }
    }
    assert!(count > 15, "{count}");
}

/// Plain lines have one port on all pages and in all examples.
#[test]
fn plain_lines_have_one_port_everywhere() {
    let pages = ["tcp.md", "crestron.md", "shell.md"].map(|name| page(&format!("docs/{name}")));
    for text in &pages {
        let listens = text.split("[tcp]\nlisten = \"").skip(1);
        for listen in listens {
            let address = listen.split('"').next().unwrap();
            assert!(address.ends_with(":8023"), "{address}");
        }
        let by_hand = text.split("`nc ").skip(1);
        for words in by_hand {
            let words = words.split('`').next().unwrap();
            let is_port = words.ends_with(|c: char| c.is_ascii_digit());
            assert!(!is_port || words.ends_with(" 8023"), "nc {words}");
        }
        assert!(text.contains("8023"));
    }
    let module = page("examples/crestron/poly2mqtt_room.usp");
    assert!(module.contains("propDefaultValue = 8023d;"));
    assert!(page("docs/crestron.md").contains("\"boardroom\", \"a long random text"));
    assert!(page("examples/shell/netcat.sh").contains("port=${2:-8023}"));
    for name in ["qsys", "crestron", "companion"] {
        let text = page(&format!("docs/{name}.md"));
        assert!(text.contains("in clear"), "{name}: the token");
    }
}

/// What OpenAVC's driver sends is taken, and what it listens to is published.
#[test]
fn the_driver_for_openavc_knows_the_topics() {
    let driver = page("examples/openavc/poly2mqtt_room.avcdriver");
    let table = page("docs/topics.md");
    let known = |topic: &str| {
        let own = format!("| `room/<room>/{topic}` |");
        table.contains(&format!("| `{topic}` |")) || table.contains(&own)
    };
    let (mut sent, mut heard) = (0, 0);
    for line in driver.lines().map(str::trim) {
        if let Some((_, text)) = line.split_once("send: ") {
            let Some((_, text)) = text.split_once("room/{room}/") else {
                continue;
            };
            let end = if line.contains("send: '") { '\'' } else { '"' };
            let text = text.split(end).next().unwrap();
            let text = text.replace("{number}", "1").replace("{level}", "40");
            let text = text.replace("{address}", "a@example.com");
            let text = text.replace("{direction}", "left");
            let (topic, payload) = text.split_once(' ').unwrap_or((&text, ""));
            let payload = payload.to_owned().into();
            let call = Call::parse(topic, &payload, &mut None);
            assert!(call.is_ok(), "{line}: {call:?}");
            sent += 1;
        } else if let Some((_, topic)) = line.split_once("match: '^room/{room}/") {
            let topic = topic.split([' ', '$', '\'']).next().unwrap();
            assert!(known(topic) || topic.starts_with(".*/result"), "{line}");
            heard += 1;
        } else if line.starts_with("- \"subscribe ") {
            for topic in line.split("room/{room}/").skip(1) {
                let topic = topic.split([' ', '\\']).next().unwrap();
                assert!(known(topic), "{line}: {topic}");
                heard += 1;
            }
        }
    }
    assert!(sent >= 15 && heard > 15, "{sent} {heard}");
}
