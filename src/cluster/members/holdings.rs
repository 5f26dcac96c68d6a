//! The shards that this gateway holds, and how far each is on its way out.

use crate::cluster::fence::ShardFence;
use crate::cluster::members::HeldShard;
use crate::cluster::placement::Shard;

/// How many shards stop at the same time when others are to have them, an eighth of all: the rest serves its rooms
/// meanwhile.
const MOST_STOPPING: usize = 128;

/// What this gateway has of a shard.
#[derive(Debug, Clone, Default)]
enum Holding {
    /// Nothing.
    #[default]
    Free,
    /// Its rooms run here.
    Held(u64, ShardFence),
    /// Its rooms have been told to stop, and may still use their devices.
    Stopping(u64, ShardFence),
    /// Its rooms have stopped; the table still has to say so.
    Stopped,
}

/// All shards.
#[derive(Debug)]
pub struct Holdings {
    shards: Vec<Holding>,
    periods: u64,
}

impl Default for Holdings {
    fn default() -> Self {
        Self {
            shards: Shard::all().map(|_| Holding::Free).collect(),
            periods: 0,
        }
    }
}

impl Holdings {
    fn get(&self, shard: Shard) -> &Holding {
        &self.shards[shard.index()]
    }

    /// Nothing of it is here.
    pub fn is_free(&self, shard: Shard) -> bool {
        matches!(self.get(shard), Holding::Free)
    }

    /// Its rooms have stopped, and the table does not say so yet.
    pub fn is_stopped(&self, shard: Shard) -> bool {
        matches!(self.get(shard), Holding::Stopped)
    }

    /// Whether the table still has to say of any shard that it was given up.
    pub fn any_stopped(&self) -> bool {
        self.shards
            .iter()
            .any(|holding| matches!(holding, Holding::Stopped))
    }

    /// Nothing of any shard is here.
    pub fn is_empty(&self) -> bool {
        self.shards
            .iter()
            .all(|holding| matches!(holding, Holding::Free))
    }

    /// Holds a shard from now on.
    pub fn hold(&mut self, shard: Shard, fence: ShardFence) -> HeldShard {
        self.periods += 1;
        let period = self.periods;
        self.shards[shard.index()] = Holding::Held(period, fence);
        HeldShard { shard, period }
    }

    /// The fence of a shard that is held.
    pub fn fence(&self, shard: Shard) -> Option<ShardFence> {
        match self.get(shard) {
            Holding::Held(_, fence) | Holding::Stopping(_, fence) => Some(fence.clone()),
            Holding::Free | Holding::Stopped => None,
        }
    }

    /// The shards whose rooms are to stop now, of those that `leaves` says.
    pub fn stop(&mut self, leaves: impl Fn(Shard) -> bool) -> Vec<HeldShard> {
        let is_stopping = |holding: &&Holding| matches!(holding, Holding::Stopping(..));
        let room = MOST_STOPPING - self.shards.iter().filter(is_stopping).count();
        let mut stop = Vec::new();
        for shard in Shard::all() {
            if stop.len() == room {
                break;
            }
            let holding = &mut self.shards[shard.index()];
            if let Holding::Held(period, fence) = holding
                && leaves(shard)
            {
                let period = *period;
                *holding = Holding::Stopping(period, fence.clone());
                stop.push(HeldShard { shard, period });
            }
        }
        stop
    }

    /// The rooms of a shard have stopped. Its fence is closed from now on. Does nothing if it was not told to stop,
    /// or was lost since.
    pub fn stopped(&mut self, held: HeldShard) {
        let holding = &mut self.shards[held.shard.index()];
        if let Holding::Stopping(period, fence) = holding
            && *period == held.period
        {
            fence.give_up();
            *holding = Holding::Stopped;
        }
    }

    /// A shard that was told to stop stays held, with the same time of ownership. False if it was not told to stop, or
    /// was lost since.
    pub fn postponed(&mut self, held: HeldShard) -> bool {
        let holding = &mut self.shards[held.shard.index()];
        if let Holding::Stopping(period, fence) = holding
            && *period == held.period
        {
            *holding = Holding::Held(*period, fence.clone());
            return true;
        }
        false
    }

    /// A shard belongs to another or to nobody. Gives it if its rooms still ran.
    pub fn lose(&mut self, shard: Shard) -> Option<HeldShard> {
        match std::mem::take(&mut self.shards[shard.index()]) {
            Holding::Held(period, fence) | Holding::Stopping(period, fence) => {
                fence.give_up();
                Some(HeldShard { shard, period })
            }
            Holding::Free | Holding::Stopped => None,
        }
    }

    /// Loses all shards.
    pub fn lose_all(&mut self) -> Vec<HeldShard> {
        Shard::all().filter_map(|shard| self.lose(shard)).collect()
    }
}
