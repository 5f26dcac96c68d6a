//! Home Assistant's templates that make a binary sensor of the words of devices: `up`, `ALL_UP`,
//! `TIMESERVER_DOWN`.
//!
//! Pure text. Case does not matter, and the device's own word stays in the attributes. A word of neither
//! kind, such as `unknown`, makes the sensor unknown. Of a list of words one that says yes is enough: `["up", "down"]`
//! is connected, and for the problem sensors `["up", "down"]` is a problem.

/// What is there: `up`, `all_up`, `some_up`, `LAN_UP`, `ONLINE`. Not `none_up`, nor `NOT_REGISTERED`.
macro_rules! up {
    () => {
        "'(?!none|not)([a-z]+_)?(up|on|ok|online|registered|connected)$', true"
    };
}

/// What is not there, or is switched off.
macro_rules! down {
    () => {
        "'(none_up|not_.*|([a-z]+_)?(down|off|offline|unregistered|disconnected|disabled|failed))$', true"
    };
}

/// The words of a payload: a plain one, or a JSON list.
macro_rules! words {
    () => {
        "{% set words = (value_json if value_json is list else [value]) | select('string') | list %}"
    };
}

/// On if something is connected.
pub const CONNECTED: &str = concat!(
    words!(),
    "{{ 'true' if words | select('match', ",
    up!(),
    ") | list else 'false' if words | select('match', ",
    down!(),
    ") | list else 'None' }}"
);

/// On if something is wrong. What is switched off is not.
pub const AMISS: &str = concat!(
    words!(),
    "{{ 'true' if words | select('match', '(none_up|some_up|all_down|down|full|failed|offline)$', true) \
     | list else 'false' if words | select('match', '(up|all_up|off|on|ok)$', true) | list else 'None' }}"
);

/// The words as the device says them.
pub const WORDS: &str = "{{ {'state': value_json if value_json is list else value} | tojson }}";

/// On if all servers of a list that have an address are connected.
pub const ALL_REGISTERED: &str = concat!(
    "{% set words = (value_json if value_json is list else []) | selectattr('address', 'string') \
     | rejectattr('address', 'in', ['', '0.0.0.0']) | map(attribute='state', default='') \
     | map('string') | list %}{{ 'None' if not words else 'false' if words | reject('match', ",
    up!(),
    ") | list else 'true' }}"
);
