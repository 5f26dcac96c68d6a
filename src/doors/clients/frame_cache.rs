//! Keeps the JSON frame of each state, so that it is written once however many clients get it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::json;
use crate::state::StateValue;

#[derive(Debug)]
struct CachedFrame {
    state: StateValue,
    text: Arc<str>,
}

/// The newest JSON frame of each state. Bounded by the number of states.
#[derive(Debug, Default)]
pub struct FrameCache {
    frames: Mutex<HashMap<Arc<str>, CachedFrame>>,
}

impl FrameCache {
    /// The frame of a state as it is now.
    pub fn state(&self, topic: &Arc<str>, state: Option<&StateValue>) -> Arc<str> {
        let frames = || self.frames.lock();
        let Some(state) = state else {
            frames().remove(topic);
            return json::write_state(topic, None).into();
        };
        if let Some(known) = frames().get(topic)
            && known.state == *state
        {
            return known.text.clone();
        }
        let text: Arc<str> = json::write_state(topic, Some(state)).into();
        let frame = CachedFrame {
            state: state.clone(),
            text: text.clone(),
        };
        frames().insert(topic.clone(), frame);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_state_is_written_once_and_another_anew() {
        let cache = FrameCache::default();
        let topic: Arc<str> = "a".into();
        let one = cache.state(&topic, Some(&StateValue::text("1")));
        let same = cache.state(&topic, Some(&StateValue::text("1")));
        assert!(Arc::ptr_eq(&one, &same));
        let two = cache.state(&topic, Some(&StateValue::text("2")));
        assert_eq!(&*two, r#"{"topic":"a","payload":2,"retain":true}"#);
        cache.state(&topic, None);
        assert!(cache.frames.lock().is_empty());
    }
}
