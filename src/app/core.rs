//! What every door works with: states, rooms, and the links to the rooms of other gateways.

use std::path::PathBuf;
use std::sync::Arc;

use super::ClusterOptions;
use crate::cluster::link::ClusterLinks;
use crate::command::Submit;
use crate::config::Config;
use crate::device::DeviceTimings;
use crate::rooms::Rooms;
use crate::state::{StateStore, StateValue};
use crate::telemetry::Telemetry;
use crate::topics::{GATEWAY_AVAILABILITY, ONLINE};

/// The parts of a gateway that run before its doors.
pub struct Core {
    /// The configuration in use.
    pub config: Config,
    /// Every retained state.
    pub store: Arc<StateStore>,
    /// The rooms of this gateway.
    pub rooms: Arc<Rooms>,
    /// The links to the other gateways, if there are any.
    pub links: Option<ClusterLinks>,
    /// The events.
    pub telemetry: Arc<Telemetry>,
}

impl Core {
    /// Starts the rooms, and begins to connect to the other gateways. `runtime`: the directory that keeps the devices'
    /// sessions for the next start.
    ///
    /// # Errors
    /// A message about each room that cannot start.
    pub async fn start(
        config: Config,
        timings: DeviceTimings,
        runtime: Option<PathBuf>,
        cluster: Option<ClusterOptions>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, String> {
        let store = StateStore::new();
        let sharing = cluster.as_ref().map(|cluster| cluster.sharing.clone());
        let rooms = Rooms::new(store.clone(), timings, telemetry.clone(), runtime, sharing);
        let applied = rooms.apply(&config).await;
        applied.map_err(|failed| failed.join("\n"))?;
        store.set(GATEWAY_AVAILABILITY, StateValue::text(ONLINE));
        let links = cluster.map(|cluster| {
            ClusterLinks::start(
                cluster.links,
                cluster.holders,
                &store,
                rooms.clone(),
                telemetry.clone(),
            )
        });
        Ok(Self {
            config,
            store,
            rooms,
            links,
            telemetry,
        })
    }

    /// Where the doors send commands: to the rooms, or where other gateways have some, to the one that has the room.
    pub fn submit(&self) -> Arc<dyn Submit> {
        match &self.links {
            Some(links) => links.router.clone(),
            None => self.rooms.clone(),
        }
    }
}
