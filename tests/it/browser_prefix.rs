//! The dashboard below a path: behind a reverse proxy that takes a prefix off, as nginx and the ingress of
//! Home Assistant do.
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use poly2mqtt_test_support::browser::{Browser, LINK_IS_UP};
use poly2mqtt_test_support::door::Doors;

/// What the proxy answers to any path that is not below the prefix.
const NOT_MINE: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A proxy that passes on what is below `prefix`, without it. The rest never gets to the gateway.
async fn proxy(to: SocketAddr, prefix: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut browser, _)) = listener.accept().await {
            tokio::spawn(async move {
                // One request a connection: the browser sends its head in one piece.
                let mut head = vec![0; 64 << 10];
                let read = browser.read(&mut head).await?;
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let (method, rest) = head.split_once(' ').unwrap_or_default();
                let Some(rest) = rest.strip_prefix(prefix) else {
                    return browser.write_all(NOT_MINE.as_bytes()).await;
                };
                let slash = if rest.starts_with('/') { "" } else { "/" };
                let rest = rest.replace("Connection: keep-alive", "Connection: close");
                let mut gateway = TcpStream::connect(to).await?;
                let head = format!("{method} {slash}{rest}");
                gateway.write_all(head.as_bytes()).await?;
                let (mut from_browser, mut to_browser) = browser.into_split();
                let (mut from_gateway, mut to_gateway) = gateway.into_split();
                tokio::spawn(async move { copy(&mut from_browser, &mut to_gateway).await });
                copy(&mut from_gateway, &mut to_browser).await?;
                Ok(())
            });
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_works_below_a_path() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start().await;
    for (prefix, path) in [
        ("/rooms/poly", "/rooms/poly/"),
        // Without the slash at the end a relative address would miss the last part.
        ("/rooms/poly", "/rooms/poly"),
        (
            "/api/hassio_ingress/Zk3x-_9",
            "/api/hassio_ingress/Zk3x-_9/",
        ),
    ] {
        let page = format!("http://{}{path}", proxy(doors.addr(), prefix).await);
        browser.open(&page).await;
        browser.until(LINK_IS_UP).await;
        browser.click("[data-room='1']").await;
        browser
            .until("!document.querySelector('fieldset.columns').disabled")
            .await;
        let muted = "document.querySelector(\"[data-command='audio/muted/set']\").ariaPressed";
        browser.until(&format!("{muted} !== null")).await;
        let before = browser.value(muted).await;
        browser.click("[data-command='audio/muted/set']").await;
        browser
            .until(&format!("{muted} !== '{}'", before.as_str().unwrap()))
            .await;
        browser.click("[aria-label='Take a new picture']").await;
        browser
            .until("document.querySelector('figure img').naturalWidth === 640")
            .await;
        for name in ["console", "log"] {
            browser.click(&format!("[data-page={name}]")).await;
            browser
                .until(&format!(
                    "location.pathname === '{path}' && location.hash.startsWith('#/{name}')"
                ))
                .await;
        }
        let origin = page.split('/').take(3).collect::<Vec<_>>().join("/");
        for request in browser.requests(&page).await {
            let is_page = request.starts_with(&format!("{origin}{prefix}"));
            let is_socket = request.starts_with(&format!("ws{}{prefix}/ws", &origin[4..]));
            let own = is_page
                || is_socket
                || request.starts_with("blob:")
                || request.starts_with("data:");
            assert!(own, "{path}: {request}");
        }
    }
    drop(browser);
    doors.stop().await;
}
