//! The dashboard behind a proxy that does not pass everything on: the page itself says what to change.
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use poly2mqtt_test_support::browser::Browser;
use poly2mqtt_test_support::door::Doors;

/// A proxy that writes `new` for `old` in what the browser sends.
async fn proxy(to: SocketAddr, change: impl Fn(SocketAddr) -> (String, String)) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (old, new) = change(addr);
    tokio::spawn(async move {
        while let Ok((browser, _)) = listener.accept().await {
            let (old, new) = (old.clone(), new.clone());
            tokio::spawn(async move {
                let gateway = TcpStream::connect(to).await?;
                let (mut from_browser, mut to_browser) = browser.into_split();
                let (mut from_gateway, mut to_gateway) = gateway.into_split();
                tokio::spawn(async move { copy(&mut from_gateway, &mut to_browser).await });
                let mut bytes = vec![0; 64 << 10];
                loop {
                    let read = from_browser.read(&mut bytes).await?;
                    if read == 0 {
                        return to_gateway.shutdown().await;
                    }
                    let text = String::from_utf8_lossy(&bytes[..read]).replace(&old, &new);
                    to_gateway.write_all(text.as_bytes()).await?;
                }
            });
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_says_what_a_proxy_must_pass_on() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let doors = Doors::start().await;
    let gateway = doors.addr();
    let without_upgrade = proxy(gateway, |_| {
        ("Upgrade: websocket".to_owned(), "X: y".to_owned())
    });
    // What nginx does without `proxy_set_header Host`.
    let with_own_host = proxy(gateway, |addr| {
        (format!("Host: {addr}"), format!("Host: {gateway}"))
    });
    for (proxy, wanted) in [
        (without_upgrade.await, "proxy_set_header Upgrade"),
        (with_own_host.await, "$http_host"),
    ] {
        browser.open(&format!("http://{proxy}/")).await;
        let shown = format!("document.getElementById('notice')?.textContent.includes('{wanted}')");
        browser.until(&shown).await;
    }
    doors.stop().await;
}
