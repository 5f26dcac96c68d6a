//! What the publisher needs to know of the gateways that share the rooms.
//!
//! Owns only the questions. A gateway that is alone asks none: it publishes every document.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use tokio::sync::watch;

/// Which documents this one of several gateways publishes.
pub trait DocumentSharing: Debug + Send + Sync {
    /// This gateway's name.
    fn name(&self) -> &str;

    /// The rooms that it has, each with whether it has asked the broker what that holds of the room's document. It
    /// publishes none before, since an earlier gateway may have known more of the room.
    fn rooms(&self) -> BTreeMap<Arc<str>, bool>;

    /// Whether it publishes the document that is about all gateways together.
    fn speaks(&self) -> bool;

    /// Changes whenever one of the answers may have changed.
    fn changed(&self) -> watch::Receiver<()>;
}
