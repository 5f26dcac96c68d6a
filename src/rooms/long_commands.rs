//! Which rooms have a command that may take much longer than an ordinary request: dialling, a file, a check of the
//! room.
//!
//! Owns the question for those who move rooms to other gateways. The rooms count.

use std::sync::Arc;

use super::Rooms;

impl Rooms {
    /// Whether any room that runs here has such a command.
    pub fn any_has_long_command(&self) -> bool {
        let rooms = self.rooms.read();
        let mut rooms = rooms.values();
        rooms.any(|running| running.room.has_long_command())
    }

    /// Whether one of these rooms has such a command.
    pub fn have_long_command(&self, of: &[Arc<str>]) -> bool {
        let rooms = self.rooms.read();
        let mut running = of.iter().filter_map(|id| rooms.get(id));
        running.any(|running| running.room.has_long_command())
    }
}
