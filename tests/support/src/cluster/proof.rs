//! What another gateway does before it opens a link, by hand.

use std::sync::Arc;

use poly2mqtt::cluster::link::{
    Dialled, Exchange, FORMAT, FORMAT_HEADER, MEMBER_HEADER, Member, NONCE_HEADER, PROOF_HEADER,
    PROOF_PATH, TokenProof,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{CLUSTER_TOKEN, Cluster};

impl Cluster {
    /// The address at which the other gateways reach a gateway.
    pub fn advertise(&self, name: &str) -> String {
        let members = self.world.members.lock().unwrap();
        members[name].advertise.to_string()
    }

    /// Names a member that may be none, as whoever writes into the store can.
    pub fn names_member(&self, name: &'static str, advertise: &str) {
        let member = Member {
            name: name.into(),
            advertise: Arc::new(advertise.parse().unwrap()),
        };
        self.world.members.lock().unwrap().insert(name, member);
        self.tell();
    }

    /// A connection to a gateway over which it has proved that it has the token, as member `z` sees it, and the head
    /// lines of the next request, with the proof by this token.
    pub async fn proved(&self, name: &str, token: &str) -> (TcpStream, String) {
        let addr = self.gateways[name].service.http_addr().unwrap();
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let dialer_nonce = "a text that nobody has seen before";
        let request = format!(
            "GET {PROOF_PATH} HTTP/1.1\r\nHost: {addr}\r\n{FORMAT_HEADER}: {FORMAT}\r\n\
             {NONCE_HEADER}: {dialer_nonce}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        let header = |name: &str| {
            let mut lines = head.lines();
            let line = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
            line.unwrap_or_else(|| panic!("{name}: {head}")).to_owned()
        };
        let exchange = Exchange {
            dialer_nonce: dialer_nonce.to_owned(),
            door_nonce: header(NONCE_HEADER),
        };
        let advertise = self.advertise(name);
        let dialled = Dialled {
            name,
            advertise: &advertise,
        };
        let cluster = TokenProof::new(&CLUSTER_TOKEN.to_owned().into());
        assert!(cluster.is_of_door(&header(PROOF_HEADER), &exchange, dialled));
        let shown = TokenProof::new(&token.to_owned().into());
        let proof = shown.of_dialer(&exchange, dialled, "z");
        let lines = format!(
            "Host: {addr}\r\n{MEMBER_HEADER}: z\r\n{FORMAT_HEADER}: {FORMAT}\r\n{PROOF_HEADER}: {proof}\r\n"
        );
        (stream, lines)
    }
}

/// The head of a response without a body.
pub async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
