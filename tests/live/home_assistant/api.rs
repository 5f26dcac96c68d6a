//! Home Assistant's own interfaces: HTTP for states and services, WebSocket for the rest.
use std::env::var;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use poly2mqtt_test_support::SOON;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// What the gateway removes when a device has been online for a minute.
pub const SETTLED: Duration = Duration::from_secs(100);

pub struct Api {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Api {
    pub fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token = std::fs::read_to_string(var("HA_TOKEN_FILE").unwrap()).unwrap();
        Self {
            http: reqwest::Client::new(),
            url: var("HA_URL").unwrap(),
            token: token.trim().to_owned(),
        }
    }

    pub async fn request(&self, method: Method, path: &str, body: &Value) -> reqwest::Response {
        let request = self
            .http
            .request(method, format!("{}/api/{path}", self.url));
        let request = request.bearer_auth(&self.token).json(body);
        request.send().await.unwrap()
    }

    /// The state of an entity; `None` if Home Assistant does not know it.
    pub async fn state(&self, entity: &str) -> Option<Value> {
        let path = format!("states/{entity}");
        let answer = self.request(Method::GET, &path, &Value::Null).await;
        match answer.status().as_u16() {
            200 => Some(answer.json().await.unwrap()),
            _ => None,
        }
    }

    /// All entities whose id has this in it: id, name and state.
    pub async fn list(&self, part: &str) -> Vec<[String; 3]> {
        let answer = self.request(Method::GET, "states", &Value::Null).await;
        let states: Vec<Value> = answer.json().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entity = |state: &Value| {
            let name = text(&state["attributes"]["friendly_name"]);
            [text(&state["entity_id"]), name, text(&state["state"])]
        };
        let all = states.iter().map(entity);
        let mut wanted: Vec<_> = all.filter(|[id, ..]| id.contains(part)).collect();
        wanted.sort();
        wanted
    }

    pub async fn call(&self, service: &str, entity: &str, mut data: Value) {
        data["entity_id"] = entity.into();
        let path = format!("services/{service}");
        let status = self.request(Method::POST, &path, &data).await.status();
        assert!(status.is_success(), "{service} {entity}: {status}");
    }

    /// What a template makes.
    pub async fn render(&self, template: &str, variables: Value) -> String {
        let body = json!({"template": template, "variables": variables});
        let answer = self.request(Method::POST, "template", &body).await;
        answer.text().await.unwrap()
    }

    pub async fn until(&self, entity: &str, what: &str, holds: impl Fn(Option<&Value>) -> bool) {
        self.until_in(SOON, entity, what, holds).await;
    }

    pub async fn until_in(
        &self,
        time: Duration,
        entity: &str,
        what: &str,
        holds: impl Fn(Option<&Value>) -> bool,
    ) {
        let deadline = Instant::now() + time;
        loop {
            let state = self.state(entity).await;
            if holds(state.as_ref()) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{entity}: never {what}, but {state:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn shows(&self, entity: &str, wanted: &str) {
        self.until(entity, wanted, |state| {
            state.is_some_and(|state| state["state"] == wanted)
        })
        .await;
    }

    /// The answer to one message over WebSocket.
    pub async fn ask(&self, mut question: Value) -> Value {
        let url = self.url.replacen("http", "ws", 1);
        let (mut socket, _) = connect_async(format!("{url}/api/websocket")).await.unwrap();
        let login = json!({"type": "auth", "access_token": self.token});
        question["id"] = 1.into();
        for message in [&login, &question] {
            let message = Message::text(message.to_string());
            socket.send(message).await.unwrap();
        }
        while let Some(message) = socket.next().await {
            let message = message.unwrap();
            let answer: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
            if answer["id"] == 1 {
                assert_eq!(answer["success"], true, "{question}: {answer}");
                return answer["result"].clone();
            }
        }
        panic!("no answer to {question}")
    }
}
