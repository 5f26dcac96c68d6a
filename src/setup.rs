//! A first room: tries a device, and writes the room into the configuration.
//!
//! Owns what `add`, `discover` and `run --setup` share. Prints nothing and asks nobody: the commands and
//! the page do. A password is only ever sent to the certificate that was shown before.
//!
//! ```text
//! trial       which certificate does a device show? does it take the password?
//! room        the id and the checks of a new room
//! file        the configuration file: read, checked, replaced in one step
//! discovery   which addresses of a network are Poly devices?
//! server      the page of `run --setup`, from `page/`; code: its one-time code
//! ```

mod code;
mod discovery;
mod file;
mod room;
mod server;
mod trial;

pub use code::OneTimeCode;
pub use discovery::{FoundDevice, addresses_of, discover};
pub use file::{SetupError, SetupFile};
pub use room::{DeviceAddress, suggested_id};
pub use server::serve_setup;
pub use trial::{TrialError, log_in, shown_certificate};

/// The user of a room that names none.
pub const DEFAULT_USER: &str = "admin";
