//! Documents made from the catalogue: the topic table and page, the broker's access list, the
//! dashboard's console and the AsyncAPI document. The table of error codes is made here too.
//!
//! Pure: reads the catalogue and returns text or JSON. `tools/regen.sh` writes the files.

mod access_list;
pub mod asyncapi;
mod console;
mod error_codes;
mod table;
mod topic_page;

pub use access_list::mosquitto_acl;
pub use console::{command as console_command, console};
pub use error_codes::commands_page;
pub use table::{files, read, requests, states, takes, topic_table};
pub use topic_page::topic_page;
