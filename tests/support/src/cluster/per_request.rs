//! A way that opens a connection for each request, as reverse proxies do.

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::SocketAddr;

/// Carries requests without a body until either end closes.
pub async fn per_request(mut near: TcpStream, to: SocketAddr) {
    while let Some(request) = head(&mut near).await {
        let Ok(mut far) = TcpStream::connect(to).await else {
            return;
        };
        let _ = far.write_all(&request).await;
        let Some(response) = head(&mut far).await else {
            return;
        };
        let _ = near.write_all(&response).await;
        let is_next = response
            .windows(19)
            .any(|it| it == b"content-length: 0\r\n");
        if !is_next {
            // Its body, or a WebSocket.
            let _ = copy_bidirectional(&mut near, &mut far).await;
            return;
        }
    }
}

/// A head with the empty line after it; `None` at the end of the connection.
async fn head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(head)
}
