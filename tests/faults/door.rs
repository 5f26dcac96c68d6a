//! How clients reach the gateway. Each front door is one implementation in its own file.

use crate::commands::Command;

/// A client's connection. Whoever receives a result records it in the ledger.
pub trait Door: Send {
    /// Whether this door can send such a command.
    fn takes(&self, command: &Command) -> bool;

    /// Sends a command, or records in the ledger that it could not. Does not wait for the result.
    fn send(&self, command: Command);

    /// Disconnects without a closing message. Commands under way are abandoned.
    fn vanish(&mut self);
}
