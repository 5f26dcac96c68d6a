//! A device that answers as a real one did, from a recording in `tests/recorded`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use poly2mqtt_test_support::tls::acceptor;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use url::Url;

#[derive(Clone)]
struct Answer {
    status: u64,
    content_type: String,
    body: String,
}

/// By method and path.
type Answers = BTreeMap<String, Answer>;

/// A recording: what the device answered, and what it answered at other moments.
pub struct Recording {
    answers: Answers,
    /// By method, path and, in brackets, when: `GET /rest/conferences (in a call)`.
    moments: Answers,
}

impl Recording {
    pub fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        let text = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();
        let entries = file["answers"].as_object().unwrap().iter();
        let entries = entries.map(|(request, answer)| {
            let answer = Answer {
                status: answer["status"].as_u64().unwrap(),
                content_type: text(answer, "content_type"),
                body: text(answer, "body"),
            };
            (request.clone(), answer)
        });
        let (moments, answers) = entries.partition(|(request, _)| request.contains(" ("));
        Self { answers, moments }
    }

    /// What the device answered to a request, as JSON.
    pub fn body(&self, request: &str) -> Value {
        let mut both = self.answers.iter().chain(&self.moments);
        let (_, answer) = both.find(|(known, _)| *known == request).unwrap();
        serde_json::from_str(&answer.body).unwrap()
    }
}

/// A device that plays a recording. What is not recorded it does not have.
pub struct Replay {
    pub url: Url,
    answers: Arc<Mutex<Answers>>,
    moments: Answers,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Replay {
    pub async fn start(recording: Recording) -> Self {
        let Recording {
            mut answers,
            moments,
        } = recording;
        // One recording has no log-in.
        let login = "{\"success\":true,\"session\":{\"sessionId\":\"PS/1+2\",\"role\":\"ADMIN\",\
             \"userId\":\"admin\",\"isAuthenticated\":true}}";
        answers
            .entry("POST /rest/session".into())
            .or_insert_with(|| Answer {
                status: 200,
                content_type: "application/json".into(),
                body: login.into(),
            });
        let acceptor = acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Arc::new(Mutex::new(answers));
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (played, noted) = (answers.clone(), requests.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, played, noted) = (acceptor.clone(), played.clone(), noted.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &played, &noted).await;
                    }
                });
            }
        });
        Self {
            url: Url::parse(&format!("https://127.0.0.1:{port}")).unwrap(),
            answers,
            moments,
            requests,
        }
    }

    /// Another moment begins: from now on the device answers as it did then.
    pub fn goes_on(&self, moment: &str) {
        let at = |request: &&String| request.ends_with(&format!(" ({moment})"));
        let then: Vec<_> = self.moments.keys().filter(at).collect();
        assert!(!then.is_empty(), "{moment}");
        for request in then {
            let path = request.split(" (").next().unwrap();
            let answer = self.moments[request].clone();
            self.answers.lock().unwrap().insert(path.into(), answer);
        }
    }

    /// Every request so far: method, path and body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Serves a connection until the other side has gone.
async fn serve(
    mut stream: TlsStream<TcpStream>,
    answers: &Mutex<Answers>,
    requests: &Mutex<Vec<String>>,
) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.ok()?;
        let request = head.split(" HTTP/").next()?.to_owned();
        let answer = answers.lock().unwrap().get(&request).cloned();
        let noted = format!("{request} {}", String::from_utf8_lossy(&body));
        requests.lock().unwrap().push(noted.trim_end().to_owned());
        let answer = answer.unwrap_or_else(|| Answer {
            status: 404,
            content_type: "text/html".into(),
            body: "<html><body>404 Not Found</body></html>".into(),
        });
        let text = format!(
            "HTTP/1.1 {} X\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}",
            answer.status,
            answer.content_type,
            answer.body.len(),
            answer.body
        );
        stream.write_all(text.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
    }
}
