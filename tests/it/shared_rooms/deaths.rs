//! Owners die, are started again or stand still: their deputies answer, and nobody does twice.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deputy_settles_what_a_dead_owner_has_left() {
    an_owner_dies(false).await;
}

/// It takes its room itself, and has not received what came meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deputy_settles_for_an_owner_that_is_started_again_at_once() {
    an_owner_dies(true).await;
}

async fn an_owner_dies(starts_again: bool) {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let one = rooms(&["1"]);
    let [owner, deputy] = owner_and_deputy(broker.port, &one).await;
    let client = Client::connect(broker.port).await;
    let send = async |number: usize, command: &str, payload: &str, response: Option<&str>| {
        let topic = format!("room/1/{command}");
        let properties = numbered(number, response);
        client
            .publish_with(&topic, payload, false, properties)
            .await;
    };
    // Two that the owner answers, of which the deputy sees one by its result.
    send(1, "audio/volume/set", "11", None).await;
    send(2, "audio/volume/set", "12", Some("answers/here")).await;
    client
        .until("both answers", |client| answers(client).len() == 2)
        .await;
    deputy.remembers(0).await;
    owner.devices.are_mute.store(true, Ordering::Relaxed);
    send(3, "audio/volume/set", "13", None).await;
    send(4, "audio/volume/up", "", None).await;
    send(5, "audio/volume/set", "15", Some("answers/here")).await;
    send(6, "no/such/command", "", None).await;
    deputy.remembers(4).await;
    owner.kill_unanswered();
    client.expect("gateway/gw-1/availability", "offline").await;
    let again = starts_again.then(|| Member::start(broker.port, "gw-1"));
    match &again {
        None => deputy.take_over(&one).await,
        Some(again) => {
            again.connected().await;
            // For a moment it is a deputy.
            again.deputize(&one).await;
            again
                .shared
                .arrive(&one, Arrival::TakenBack, next_revision());
            soon("the rooms are its own", again.shared.established(&one)).await;
        }
    }
    send(7, "audio/volume/set", "17", None).await;
    client
        .until("an answer for each", |client| answers(client).len() == 7)
        .await;
    sleep(Duration::from_millis(300)).await;
    let answers = answers(&client);
    assert!(answers.values().all(|times| *times == 1), "{answers:?}");
    let carried_out: BTreeSet<_> = [Some(&deputy), again.as_ref()]
        .into_iter()
        .flatten()
        .flat_map(|member| member.devices.carried_out.lock().unwrap().clone())
        .map(|(what, _)| what)
        .collect();
    let expected = [
        "audio/volume/set 13",
        "audio/volume/set 15",
        "audio/volume/set 17",
        "no/such/command ",
    ];
    assert_eq!(carried_out, expected.map(str::to_owned).into());
    let unknown = client.message("room/1/audio/volume/up/result").await;
    let unknown: Value = serde_json::from_slice(&unknown.payload).unwrap();
    assert_eq!(unknown["error"]["code"], "outcome_unknown", "{unknown}");
    for member in [Some(deputy), again].into_iter().flatten() {
        member.kill();
    }
}

/// That the next owner could not repeat a command does not mean that the dead one has not carried it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_a_dead_owner_that_cannot_be_repeated_has_an_unknown_outcome() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let one = rooms(&["1"]);
    let [owner, deputy] = owner_and_deputy(broker.port, &one).await;
    let client = Client::connect(broker.port).await;
    let send = async |number: usize, payload: &str| {
        let properties = numbered(number, None);
        client
            .publish_with("room/1/audio/volume/set", payload, false, properties)
            .await;
    };
    owner.devices.are_mute.store(true, Ordering::Relaxed);
    send(1, "11").await;
    deputy.remembers(1).await;
    owner.kill_unanswered();
    client.expect("gateway/gw-1/availability", "offline").await;
    deputy.devices.are_late.store(true, Ordering::Relaxed);
    deputy.take_over(&one).await;
    send(2, "12").await;
    client
        .until("both answers", |client| answers(client).len() == 2)
        .await;
    let codes: Vec<String> = (client.messages("room/1/audio/volume/set/result").iter())
        .map(|result| serde_json::from_slice::<Value>(&result.payload).unwrap())
        .map(|result| result["error"]["code"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(codes, ["outcome_unknown", "expired"]);
    deputy.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_owner_that_comes_back_answers_nothing_a_second_time() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let one = rooms(&["1"]);
    let [owner, deputy] = owner_and_deputy(broker.port, &one).await;
    owner
        .store
        .set("room/1/audio/volume", StateValue::text("1"));
    let client = Client::connect(broker.port).await;
    client.expect("room/1/audio/volume", "1").await;
    owner.devices.are_mute.store(true, Ordering::Relaxed);
    let set = "room/1/audio/volume/set";
    client
        .publish_with(set, "1", false, numbered(1, None))
        .await;
    until(
        || "the owner has it".into(),
        async || !owner.devices.unanswered.lock().unwrap().is_empty(),
    )
    .await;
    // From now on it may not act. It still receives.
    owner.rules.may_act.store(false, Ordering::Relaxed);
    client
        .publish_with(set, "2", false, numbered(2, None))
        .await;
    deputy.take_over(&one).await;
    let unanswered: Vec<_> = owner.devices.unanswered.lock().unwrap().drain(..).collect();
    for reply in unanswered {
        reply.answer(Ok(Success::new(200, Value::Null)));
    }
    client
        .until("both answers", |client| answers(client).len() == 2)
        .await;
    until(
        || "the owner knows".into(),
        async || owner.shared.role("1") == Some(RoomRole::Deputy),
    )
    .await;
    owner.rules.may_act.store(true, Ordering::Relaxed);
    // What it knows of the room is not published any more, also on a new connection.
    owner
        .store
        .set("room/1/audio/volume", StateValue::text("9"));
    deputy
        .store
        .set("room/1/audio/volume", StateValue::text("2"));
    client.expect("room/1/audio/volume", "2").await;
    sleep(Duration::from_millis(1500)).await;
    let answers = answers(&client);
    assert!(answers.values().all(|times| *times == 1), "{answers:?}");
    assert_eq!(owner.devices.carried_out.lock().unwrap().len(), 1);
    assert_eq!(client.last("room/1/audio/volume").as_deref(), Some("2"));
    owner.kill();
    deputy.kill();
}
