//! A camera's move: how long it may run, and the stop that ends it.
//!
//! Pure. The room decides when a stop is sent.

use std::time::Duration;

use serde_json::Value;

use super::call::Call;
use super::command::{Ended, Urgency};
use super::router::CATALOGUE;
use crate::command::{ErrorCode, Failure};

/// A camera without a stop from a client is stopped after this time: longer than any move across
/// the whole range takes.
const LONGEST_MOVE: Duration = Duration::from_secs(10);

/// A running camera: its path, the longest time it may run, and its stop.
#[derive(Debug, Clone)]
pub struct Motion {
    /// The camera, as the path that both requests share.
    pub camera: String,
    /// After how long the stop must follow.
    pub duration: Duration,
    /// The stop.
    pub stop: Call,
}

impl Motion {
    /// The motion that a move starts.
    ///
    /// # Errors
    /// The catalogue has no stop beside the move: the entry is wrong.
    pub fn of(call: &Call) -> Result<Self, Failure> {
        let stop = call.route.topic.replace("/move", "/stop");
        let stop = CATALOGUE.pattern(&stop).ok_or_else(|| {
            Failure::new(ErrorCode::UnknownCommand, format!("there is no {stop}"))
        })?;
        let duration = call.values.get("duration_ms").and_then(Value::as_u64);
        Ok(Self {
            camera: Self::camera(call),
            duration: duration.map_or(LONGEST_MOVE, Duration::from_millis),
            stop: Call::of(stop, call.params.clone()),
        })
    }

    /// The camera that a call stops, if it is a stop.
    pub fn ended_by(call: &Call) -> Option<String> {
        let stop = call.route.command().urgency == Urgency::Ends(Ended::Move);
        stop.then(|| Self::camera(call))
    }

    /// The camera that a move or stop is about.
    pub fn camera(call: &Call) -> String {
        let mut camera = call.variant().operation.path.to_owned();
        for (_, value) in &call.params {
            camera.push(' ');
            camera.push_str(value);
        }
        camera
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_knows_its_stop() {
        let call = Call::of(
            CATALOGUE.pattern("camera/preset/{index}/move").unwrap(),
            vec![("index", "3".into())],
        );
        let motion = Motion::of(&call.with("duration_ms", 300)).unwrap();
        assert_eq!(motion.duration, Duration::from_millis(300));
        assert_eq!(motion.stop.route.topic, "camera/preset/{index}/stop");
        assert_eq!(Motion::camera(&motion.stop), motion.camera);
    }
}
