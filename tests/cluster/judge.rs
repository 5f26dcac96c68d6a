//! The judgements. All are pure: they get what devices, etcd and clients have seen.

pub mod commands;
pub mod recovery;
pub mod requests;
