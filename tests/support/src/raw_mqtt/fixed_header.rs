//! What is before the body of every packet: its type and its length (MQTT 5, 2.1.1).
//!
//! Uses nothing of this package: the fuzz targets include the file, and do not see the package.

/// A length in seven bits a byte (MQTT 5, 1.5.5).
pub fn variable_integer(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

/// A packet with this first byte.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first], &variable_integer(body.len())[..], body].concat()
}
