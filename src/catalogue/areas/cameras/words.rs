//! What the five actions do that every camera and every preset takes.

/// A sentence for each action.
pub struct ActionWords {
    pub start: &'static str,
    pub stop: &'static str,
    pub store: &'static str,
    pub clear: &'static str,
    pub activate: &'static str,
}

/// The sentences for a camera or input.
macro_rules! of_source {
    ($source:literal) => {
        ActionWords {
            start: concat!(
                "Starts to move, zoom or focus ",
                $source,
                "; it stops after `duration_ms`, at `stop`, or after 10 seconds."
            ),
            stop: concat!("Stops ", $source, " at once, before all waiting commands."),
            store: concat!("Lets ", $source, " remember where it points now."),
            clear: concat!("Lets ", $source, " forget the position that was stored."),
            activate: concat!("Puts ", $source, " in use, so that its picture is shown."),
        }
    };
}

pub const NEAR: ActionWords = of_source!("the camera or input of the room with this number");
pub const NEAR_PEOPLE: ActionWords = of_source!("the camera that shows the people in the room");
pub const NEAR_CONTENT: ActionWords = of_source!("the input that content is taken from");
pub const FAR: ActionWords = of_source!("the camera with this number at the other end of the call");
pub const FAR_PEOPLE: ActionWords =
    of_source!("the camera that shows the people at the other end of the call");
pub const PRESET: ActionWords = ActionWords {
    start: "Starts to move, zoom or focus the camera of this preset; it stops after `duration_ms`, \
            at `stop`, or after 10 seconds.",
    stop: "Stops the camera of this preset at once, before all waiting commands.",
    store: "Stores where the camera points now as this preset, in place of what was there.",
    clear: "Empties this preset.",
    activate: "Moves the camera to where this preset points.",
};
