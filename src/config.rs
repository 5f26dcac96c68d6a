//! stub
#![allow(missing_docs)]
#[derive(Debug, Clone, PartialEq)]
pub enum Certificate {
    Pinned([u8; 32]),
    System,
    CaFile(std::path::PathBuf),
    Insecure,
    Unset,
}
