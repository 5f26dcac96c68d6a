//! What ends a run before it is complete: a command of somebody, or the end of the room's task.

use crate::command::{ErrorCode, Failure};

/// Why a run ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interruption {
    /// A command arrived. It is not held.
    Command {
        /// Its topic below the room.
        topic: String,
        /// It starts or stops the camera itself, so that the run's own stop would come in its way.
        takes_camera: bool,
    },
    /// The room's task ends.
    Stopping,
}

impl Interruption {
    /// The result of the run.
    pub fn failure(&self) -> Failure {
        let message = match self {
            Self::Command { topic, .. } => format!(
                "the check of the room was ended by {topic}: commands go first; run it again later"
            ),
            Self::Stopping => "the check of the room was ended: the gateway stops, or the room's \
                               configuration changed"
                .to_owned(),
        };
        Failure::new(ErrorCode::Busy, message)
    }

    /// Whether a command starts or stops the camera itself.
    pub fn takes_camera(&self) -> bool {
        matches!(
            self,
            Self::Command {
                takes_camera: true,
                ..
            }
        )
    }
}
