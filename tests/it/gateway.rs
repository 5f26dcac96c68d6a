//! The whole gateway, from a client at its broker to a simulated device over TLS, one file a subject.
mod bad_input;
mod call_log;
mod in_flight;
mod killed;
mod log_ins;
mod rooms;
mod session_ends;
mod session_list;
mod sessions;
mod states;
