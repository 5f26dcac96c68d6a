//! Text in memory, compressed.
//!
//! Owns how. What is worth it, its holders decide: states and documents of Home Assistant are kept
//! for every room, rarely read, and much alike from line to line.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;

/// A room's document of 26 KB takes 3.8 KB at this level, 5 KB at the fastest, 3.6 KB at the highest.
const COMPRESSION_LEVEL: u8 = 4;

/// Compresses a text. The same text always gives the same bytes.
pub fn compressed(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, COMPRESSION_LEVEL)
}

/// The text again. `compressed` must be what [`compressed`] returned.
pub fn decompressed(compressed: &[u8]) -> Vec<u8> {
    decompress_to_vec(compressed).unwrap_or_default()
}
