//! Reaching the HTTP door of another member: the WebSocket of a link, and one connection for each file.
//!
//! Owns addresses, TLS, time limits, and the proof that both have the cluster's token: whoever answers at an address
//! that the store names is told nothing before it has proved that. Knows nothing of what is sent.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use http::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use url::Url;

use super::proof::{Dialled, Exchange, TokenProof, is_nonce, nonce};
use super::{
    FORMAT, FORMAT_HEADER, LARGEST_MESSAGE, LINK_PATH, LinkSettings, MEMBER_HEADER, Member,
    NONCE_HEADER, PIECES_HEADER, PROOF_HEADER, PROOF_PATH,
};
use crate::net::{ClientTls, ClientTlsSettings, ServerWords, Stream, dial};
use crate::os_error;

/// From the look-up of a member's name to its answer. Members are in one campus, and a second is long there.
const MEMBER_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How messages name a member and the keys about it.
static MEMBER_WORDS: ServerWords = ServerWords {
    server: "the other gateway",
    address_key: "cluster.advertise of that gateway",
    pin_key: None,
    authorities_key: "cluster.ca_file",
    port_hint: "cluster.advertise of that gateway names its HTTP port",
    client_certificate_hint: "gateways prove a token to each other, and show no certificate",
    tls_hint: "http.tls_cert_file of that gateway",
    alpn_hint: "cluster.advertise must be the HTTP port of that gateway",
};

/// TLS towards other members, which trusts the authorities in this file; without one, those of the operating
/// system.
///
/// # Errors
/// The file cannot be used.
pub fn member_tls(authorities: Option<PathBuf>) -> Result<ClientTls, String> {
    let settings = ClientTlsSettings {
        authorities,
        ..ClientTlsSettings::default()
    };
    ClientTls::new(settings, &MEMBER_WORDS)
}

/// A WebSocket to another member.
pub(super) struct OpenedLink {
    pub socket: WebSocketStream<Box<dyn Stream>>,
    /// The member takes large frames in pieces.
    pub takes_pieces: bool,
}

/// Whether a member that has sent these headers takes large frames in pieces.
pub fn takes_pieces_by(headers: &HeaderMap) -> bool {
    headers.get(PIECES_HEADER).is_some_and(|value| value == "1")
}

/// Connects to other members.
#[derive(Debug)]
pub struct Dialer {
    name: HeaderValue,
    token: TokenProof,
    tls: Option<ClientTls>,
    limits: WebSocketConfig,
}

impl Dialer {
    /// As this member, with the cluster's token.
    pub fn new(settings: &LinkSettings) -> Self {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(LARGEST_MESSAGE))
            .max_frame_size(Some(LARGEST_MESSAGE))
            .read_buffer_size(64 << 10)
            .write_buffer_size(64 << 10);
        Self {
            name: HeaderValue::from_str(&settings.name)
                .unwrap_or(HeaderValue::from_static("unnamed")),
            token: TokenProof::new(&settings.token),
            tls: settings.tls.clone(),
            limits,
        }
    }

    /// Opens the WebSocket to a member.
    ///
    /// # Errors
    /// Why it cannot be opened, for the log.
    pub(super) async fn websocket(&self, member: &Member) -> Result<OpenedLink, String> {
        let connecting = async {
            let mut proved = self.connect(member).await?;
            let key = generate_key();
            let request = Request::get(LINK_PATH)
                .header(CONNECTION, "Upgrade")
                .header(UPGRADE, "websocket")
                .header(SEC_WEBSOCKET_VERSION, "13")
                .header(SEC_WEBSOCKET_KEY, &key)
                .header(PIECES_HEADER, "1")
                .body(Body::empty());
            let mut request = request.map_err(|error| error.to_string())?;
            request.headers_mut().extend(proved.headers);
            let response = proved.sender.send_request(request).await;
            let response = response.map_err(|error| broken(&error))?;
            let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
            let is_accepted =
                accepted.is_some_and(|accepted| *accepted == derive_accept_key(key.as_bytes()));
            if response.status() == StatusCode::UNAUTHORIZED {
                return Err(ANOTHER_CONNECTION.into());
            }
            if response.status() != StatusCode::SWITCHING_PROTOCOLS || !is_accepted {
                return Err(refusal(response.status()));
            }
            let takes_pieces = takes_pieces_by(response.headers());
            let upgraded = hyper::upgrade::on(response).await;
            let stream = TokioIo::new(upgraded.map_err(|error| broken(&error))?);
            let stream: Box<dyn Stream> = Box::new(stream);
            let limits = Some(self.limits);
            Ok(OpenedLink {
                socket: WebSocketStream::from_raw_socket(stream, Role::Client, limits).await,
                takes_pieces,
            })
        };
        within_limit(connecting).await
    }

    /// Sends a request over a connection of its own, and waits for the head of its response.
    ///
    /// # Errors
    /// `NotSent`: there is no connection that was proved. `Broken`: the connection ended before the response.
    pub async fn request(
        &self,
        member: &Member,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, MemberRequestError> {
        let connecting = within_limit(self.connect(member)).await;
        let mut proved = connecting.map_err(MemberRequestError::NotSent)?;
        request.headers_mut().extend(proved.headers);
        let response = proved.sender.send_request(request).await;
        match response {
            Ok(response) if response.status() == StatusCode::UNAUTHORIZED => {
                Err(MemberRequestError::NotSent(ANOTHER_CONNECTION.into()))
            }
            response => response.map_err(|error| MemberRequestError::Broken(error.to_string())),
        }
    }

    /// Connects to a member, and lets it prove that it is the one.
    ///
    /// # Errors
    /// Why there is no such connection, for the log.
    async fn connect(&self, member: &Member) -> Result<ProvedConnection, String> {
        let stream = self.stream(&member.advertise).await?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
        // It ends with the last response's body, or when the other end goes away.
        tokio::spawn(connection.with_upgrades());
        let host = HeaderValue::from_str(&authority(&member.advertise));
        let host = host.map_err(|error| error.to_string())?;
        let dialer_nonce = nonce().map_err(|error| error.to_string())?;
        let request = Request::get(PROOF_PATH)
            .header(HOST, &host)
            .header(FORMAT_HEADER, FORMAT)
            .header(NONCE_HEADER, &dialer_nonce)
            .body(Body::empty());
        let request = request.map_err(|error| error.to_string())?;
        let sent = sender.send_request(request).await;
        let response = sent.map_err(|error| broken(&error))?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response.status()));
        }
        let header = |name| {
            let value: Option<&HeaderValue> = response.headers().get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or("")
        };
        let exchange = Exchange {
            dialer_nonce,
            door_nonce: header(NONCE_HEADER).to_owned(),
        };
        let dialled = Dialled {
            name: &member.name,
            advertise: member.advertise.as_str(),
        };
        let is_proved = self
            .token
            .is_of_door(header(PROOF_HEADER), &exchange, dialled);
        if !is_nonce(&exchange.door_nonce) || !is_proved {
            return Err(NO_PROOF.into());
        }
        sender.ready().await.map_err(|error| broken(&error))?;
        let name = self.name.to_str().unwrap_or_default();
        let proof = self.token.of_dialer(&exchange, dialled, name);
        let proof = HeaderValue::from_str(&proof).map_err(|error| error.to_string())?;
        let headers = [
            (HOST, host),
            (HeaderName::from_static(MEMBER_HEADER), self.name.clone()),
            (
                HeaderName::from_static(FORMAT_HEADER),
                HeaderValue::from_static(FORMAT),
            ),
            (HeaderName::from_static(PROOF_HEADER), proof),
        ];
        Ok(ProvedConnection {
            sender,
            headers: headers.into_iter().collect(),
        })
    }

    async fn stream(&self, advertise: &Url) -> Result<Box<dyn Stream>, String> {
        let host = advertise.host_str().ok_or("its address has no host")?;
        let port = advertise.port_or_known_default().unwrap_or(80);
        let dialled = dial(host, port).await;
        let stream = dialled.map_err(|error| os_error::words(&error))?;
        if advertise.scheme() != "https" {
            return Ok(Box::new(stream));
        }
        let tls = self.tls.as_ref();
        let tls = tls.ok_or("it wants TLS, and no authority is trusted here")?;
        let host = host.trim_matches(['[', ']']);
        let stream = tls.connect(host, stream).await;
        Ok(Box::new(stream.map_err(|error| error.to_string())?))
    }
}

/// A connection whose other end has proved that it is the member that was meant.
struct ProvedConnection {
    sender: SendRequest<Body>,
    /// What the next request over it carries, and no other one.
    headers: HeaderMap,
}

/// Why a request has no response.
#[derive(Debug)]
pub enum MemberRequestError {
    /// There is no connection: nothing was sent, or it was not taken.
    NotSent(String),
    /// The connection ended after that.
    Broken(String),
}

async fn within_limit<T>(connecting: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match timeout(MEMBER_CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err("it does not answer".into()),
    }
}

fn authority(advertise: &Url) -> String {
    let host = advertise.host_str().unwrap_or_default();
    match advertise.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// What is said of one that proves nothing, or proves that it is another one.
const NO_PROOF: &str = "it does not prove that it is this gateway: it has another cluster.token, cluster.name or \
                        cluster.advertise";

/// What is said of one that has proved that it is the member, and then does not know who asks. The proof is of one
/// connection, and something between sent the next request over another one.
const ANOTHER_CONNECTION: &str = "it proved that it is this gateway, and the next request reached it over another \
                                  connection: no proxy may stand at its cluster.advertise";

/// Why a connection to a member broke.
fn broken(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() {
        "it closed the connection".into()
    } else {
        error.to_string()
    }
}

/// Why a member opens no link.
fn refusal(status: StatusCode) -> String {
    match status.as_u16() {
        401 => NO_PROOF.into(),
        404 => "what answers there is no gateway of a cluster, or has an earlier version".into(),
        409 => "it has another version, which speaks differently".into(),
        429 => "it has too many clients, or was shown too many wrong tokens".into(),
        status => format!("it refuses the link with HTTP {status}"),
    }
}
