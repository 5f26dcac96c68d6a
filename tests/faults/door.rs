//! How clients reach the gateway. Each front door is one implementation, in a file of its own.

use crate::commands::Command;

/// One client's way in. Results are told to the ledger by whoever receives them.
pub trait Door: Send {
    /// Whether such a command can be sent this way at all.
    fn takes(&self, command: &Command) -> bool;

    /// Sends a command, or tells the ledger that it could not. Does not wait for the result.
    fn send(&self, command: Command);

    /// Goes away without a word; what was under way is left to itself.
    fn vanish(&mut self);
}
