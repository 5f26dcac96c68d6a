//! The rooms of a configuration.
//!
//! A gateway of a cluster has thousands of rooms that others run, and several of its parts keep them all. So a copy
//! shares the map, and each room in it.

use std::collections::{BTreeMap, btree_map};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{RoomConfig, RoomId};

/// The rooms by id. A copy costs nothing; whoever changes one of several copies has a map of its own from then on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoomConfigs(Arc<BTreeMap<RoomId, Arc<RoomConfig>>>);

impl Deref for RoomConfigs {
    type Target = BTreeMap<RoomId, Arc<RoomConfig>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for RoomConfigs {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl FromIterator<(RoomId, Arc<RoomConfig>)> for RoomConfigs {
    fn from_iter<T: IntoIterator<Item = (RoomId, Arc<RoomConfig>)>>(rooms: T) -> Self {
        Self(Arc::new(rooms.into_iter().collect()))
    }
}

impl<'a> IntoIterator for &'a RoomConfigs {
    type Item = (&'a RoomId, &'a Arc<RoomConfig>);
    type IntoIter = btree_map::Iter<'a, RoomId, Arc<RoomConfig>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
