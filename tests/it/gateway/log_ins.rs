//! Many rooms start at once: at most twenty log-ins are under way, and rooms whose device is off do not
//! delay the others.

use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use poly2mqtt::app::App;
use poly2mqtt::config::{BrokerUrl, RoomConfig, RoomId};
use poly2mqtt::state::StateValue;
use poly2mqtt_simulator::{Fault, FaultKind, Options, SimulatedDevice};
use socket2::{Domain, Socket, Type};
use tokio::time::{Instant, sleep};
use url::Url;

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::gateway::{config, room, timings};

const DEVICES: usize = 50;
const AT_ONCE: usize = 20;

async fn devices(count: usize) -> Vec<SimulatedDevice> {
    let mut devices = Vec::new();
    for _ in 0..count {
        let device = SimulatedDevice::start(Options::default()).await.unwrap();
        // Long enough for all permitted log-ins to be under way together.
        let late = FaultKind::Delay(Duration::from_millis(100));
        device.add_fault(Fault::on("/rest/session", late).method("POST").times(1));
        devices.push(device);
    }
    devices
}

/// Rooms with these numbers.
async fn start(rooms: impl Iterator<Item = (usize, RoomConfig)>) -> App {
    let named = rooms.map(|(n, room)| (RoomId::new(&n.to_string()).unwrap(), room));
    let config = config(BrokerUrl::Off, named.collect());
    App::start(config, timings()).await.unwrap()
}

async fn online(service: &App, rooms: Range<usize>, within: Duration) {
    let deadline = Instant::now() + within;
    let off = |n: &usize| {
        let state = service.store().get(&format!("room/{n}/availability"));
        state != Some(StateValue::text("online"))
    };
    while rooms.clone().any(|n| off(&n)) {
        let off: Vec<_> = rooms.clone().filter(off).collect();
        assert!(Instant::now() < deadline, "not online: {off:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn few_log_ins_run_at_once() {
    let devices = devices(DEVICES).await;
    let service = start((1..).zip(devices.iter().map(room))).await;
    online(&service, 1..DEVICES + 1, SOON).await;
    let mut spans = Vec::new();
    for device in &devices {
        let journal = device.journal();
        let mut logins = journal.iter().filter(|it| it.path == "/rest/session");
        let login = logins.next().unwrap();
        spans.push((login.came, login.answered));
        assert_eq!(logins.count(), 0);
    }
    let at_once = |at: Instant| {
        let during = |(came, answered): &&(Instant, Instant)| *came <= at && at < *answered;
        spans.iter().filter(during).count()
    };
    let most = spans.iter().map(|(came, _)| at_once(*came)).max();
    // A place is kept for a quarter of a second at most, and a busy machine needs longer for some.
    let most_at_once = AT_ONCE + AT_ONCE / 2;
    assert!((2..=most_at_once).contains(&most.unwrap()), "{most:?}");
    service.stop().await;
}

/// An address that neither accepts nor refuses connections, as if the machine were switched off.
struct Silent {
    addr: SocketAddr,
    _held: (Socket, Vec<TcpStream>),
}

impl Silent {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let mut held = Vec::new();
        // Once the listener's queue is full, the system ignores further connections.
        while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
            held.push(stream);
        }
        Self {
            addr,
            _held: (socket, held),
        }
    }
}

#[tokio::test]
async fn devices_that_are_switched_off_take_nobodys_turn() {
    let devices = devices(5).await;
    let silent = Silent::new();
    let off = (0..3 * AT_ONCE).map(|_| RoomConfig {
        url: Url::parse(&format!("https://{}", silent.addr)).unwrap(),
        ..room(&devices[0])
    });
    // The rooms with a device that answers come last.
    let rooms = (100..)
        .zip(off)
        .chain((901..).zip(devices.iter().map(room)));
    let service = start(rooms).await;
    // Sooner than three connections, one after the other, to devices that are off time out. On a busy machine each
    // of the eight rounds before them may take a second.
    online(&service, 901..906, Duration::from_secs(12)).await;
    service.stop().await;
}
