//! Reaching the HTTP door of another member: the WebSocket of a link, and one connection for each file.
//!
//! Owns addresses, TLS, the token and time limits. Knows nothing of what is sent.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, error::ProtocolError};
use url::Url;

use super::{
    FORMAT, FORMAT_HEADER, LARGEST_MESSAGE, LINK_PATH, LinkSettings, MEMBER_HEADER, Member,
    PIECES_HEADER,
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
    client_certificate_hint: "gateways show each other a token, not a certificate",
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
    token: SecretString,
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
            token: settings.token.clone(),
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
            let stream = self.stream(&member.advertise).await?;
            let address = format!("ws://{}{LINK_PATH}", authority(&member.advertise));
            let request = address.into_client_request();
            let mut request = request.map_err(|error| error.to_string())?;
            self.introduce(request.headers_mut())?;
            let takes_pieces = HeaderValue::from_static("1");
            request.headers_mut().insert(PIECES_HEADER, takes_pieces);
            let limits = Some(self.limits);
            let opening = tokio_tungstenite::client_async_with_config(request, stream, limits);
            let (socket, response) = opening.await.map_err(|error| refusal(&error))?;
            Ok(OpenedLink {
                socket,
                takes_pieces: takes_pieces_by(response.headers()),
            })
        };
        within_limit(connecting).await
    }

    /// Sends a request over a connection of its own, and waits for the head of its response.
    ///
    /// # Errors
    /// `NotSent`: there is no connection. `Broken`: the connection ended before the response.
    pub async fn request(
        &self,
        member: &Member,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, MemberRequestError> {
        let connecting = async {
            let stream = self.stream(&member.advertise).await?;
            let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
            handshake.await.map_err(|error| error.to_string())
        };
        let connecting = within_limit(connecting).await;
        let (mut sender, connection) = connecting.map_err(MemberRequestError::NotSent)?;
        let host = HeaderValue::from_str(&authority(&member.advertise));
        let host = host.map_err(|error| MemberRequestError::NotSent(error.to_string()))?;
        request.headers_mut().insert(HOST, host);
        let introduced = self.introduce(request.headers_mut());
        introduced.map_err(MemberRequestError::NotSent)?;
        // It ends with the response's body, or when the other end goes away.
        tokio::spawn(connection);
        let response = sender.send_request(request).await;
        response.map_err(|error| MemberRequestError::Broken(error.to_string()))
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

    fn introduce(&self, headers: &mut HeaderMap) -> Result<(), String> {
        let token = format!("Bearer {}", self.token.expose_secret());
        let token = HeaderValue::from_str(&token);
        let mut token = token.map_err(|_| "the cluster's token cannot be sent".to_owned())?;
        token.set_sensitive(true);
        headers.insert(AUTHORIZATION, token);
        headers.insert(MEMBER_HEADER, self.name.clone());
        headers.insert(FORMAT_HEADER, HeaderValue::from_static(FORMAT));
        Ok(())
    }
}

/// Why a request has no response.
#[derive(Debug)]
pub enum MemberRequestError {
    /// There is no connection: nothing was sent.
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

/// Why a member opens no WebSocket.
fn refusal(error: &Error) -> String {
    match error {
        Error::Http(response) => match response.status().as_u16() {
            401 => "it has another cluster.token".into(),
            404 => "what answers there is no gateway of a cluster".into(),
            409 => "it has another version, which speaks differently".into(),
            429 => "it has too many clients, or was shown too many wrong tokens".into(),
            status => format!("it refuses the link with HTTP {status}"),
        },
        Error::Protocol(ProtocolError::HandshakeIncomplete) => "it closed the connection".into(),
        error => error.to_string(),
    }
}
