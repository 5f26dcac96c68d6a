//! Where MQTT packets begin and end, and the fields that they are made of.
//!
//! Pure. Copies nothing: a payload of megabytes is never looked at.

/// The types of packets, as the upper half of the first byte has them (MQTT 5, 2.1.2).
pub mod kind {
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
    pub const AUTH: u8 = 15;
}

/// Bytes that are no MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The beginning of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`].
    pub kind: u8,
    /// The lower half of the first byte.
    pub flags: u8,
    /// The bytes of the fixed header.
    pub header: usize,
    /// The bytes after it.
    pub body: usize,
}

impl Frame {
    /// The frame at the start of these bytes; `None` if more of them are needed.
    ///
    /// # Errors
    /// The length takes more bytes than it may.
    pub fn at(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some((first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let mut reader = FieldReader(rest);
        match reader.variable_integer() {
            Ok(body) => Ok(Some(Self {
                kind: first >> 4,
                flags: first & 0x0F,
                header: bytes.len() - reader.0.len(),
                body,
            })),
            Err(Malformed) if rest.len() < 4 && rest.iter().all(|byte| byte & 0x80 != 0) => {
                Ok(None)
            }
            Err(Malformed) => Err(Malformed),
        }
    }

    /// The bytes of the whole packet.
    pub fn length(&self) -> usize {
        self.header + self.body
    }

    /// The packet's body in bytes that begin with it, as far as they go.
    pub fn body_in<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.header..bytes.len().min(self.length())]
    }
}

/// Reads fields one after the other.
#[derive(Debug, Clone, Copy)]
pub struct FieldReader<'a>(pub &'a [u8]);

impl<'a> FieldReader<'a> {
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn two_bytes(&mut self) -> Result<u16, Malformed> {
        self.take(2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes with their length in front.
    pub fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.two_bytes()?;
        self.take(length.into())
    }

    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.binary()?).map_err(|_| Malformed)
    }

    /// MQTT 5, 1.5.5: seven bits a byte, at most four bytes, and no more than the value needs.
    pub fn variable_integer(&mut self) -> Result<usize, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7F) << shift;
            if byte == 0 && shift > 0 {
                return Err(Malformed);
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// The next property: its identifier and the bytes of its value (MQTT 5, 2.2.2).
    pub fn property(&mut self) -> Result<Property<'a>, Malformed> {
        let identifier = self.variable_integer()?;
        let before = self.0;
        match identifier {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2A => drop(self.take(1)?),
            0x13 | 0x21..=0x23 => drop(self.take(2)?),
            0x02 | 0x11 | 0x18 | 0x27 => drop(self.take(4)?),
            0x0B => drop(self.variable_integer()?),
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => drop(self.binary()?),
            0x26 => {
                self.binary()?;
                self.binary()?;
            }
            _ => return Err(Malformed),
        }
        Ok(Property {
            identifier,
            value: FieldReader(&before[..before.len() - self.0.len()]),
        })
    }

    /// Properties with their length in front.
    pub fn properties(&mut self) -> Result<Self, Malformed> {
        let length = self.variable_integer()?;
        self.take(length).map(FieldReader)
    }
}

/// One property of MQTT 5.
#[derive(Debug, Clone, Copy)]
pub struct Property<'a> {
    pub identifier: usize,
    pub value: FieldReader<'a>,
}

/// Appends a length as a variable integer.
pub fn put_variable_integer(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// A whole packet: first byte, length, body.
pub fn packet(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 5);
    bytes.push(kind << 4 | flags);
    put_variable_integer(&mut bytes, body.len());
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_as_soon_as_its_length_is_there() {
        assert_eq!(Frame::at(&[]), Ok(None));
        assert_eq!(Frame::at(&[0x30]), Ok(None));
        assert_eq!(Frame::at(&[0x30, 0x80]), Ok(None));
        let frame = Frame::at(&[0x32, 0x80, 0x01, 7]).unwrap().unwrap();
        assert_eq!((frame.kind, frame.flags), (kind::PUBLISH, 2));
        assert_eq!((frame.header, frame.body, frame.length()), (3, 128, 131));
        assert_eq!(frame.body_in(&[0x32, 0x80, 0x01, 7]), [7]);
        assert_eq!(Frame::at(&[0x30, 0x80, 0x80, 0x80]), Ok(None));
        assert_eq!(Frame::at(&[0x30, 0x80, 0x80, 0x80, 0x80]), Err(Malformed));
    }

    #[test]
    fn a_length_has_no_more_bytes_than_it_needs() {
        for length in [
            &[0x80, 0][..],
            &[0x85, 0],
            &[0xFF, 0x80, 0],
            &[0x81, 0x80, 0x80, 0],
        ] {
            assert_eq!(FieldReader(length).variable_integer(), Err(Malformed));
            let frame = [&[0x30], length].concat();
            assert_eq!(Frame::at(&frame), Err(Malformed), "{length:02x?}");
        }
        assert_eq!(FieldReader(&[0x80, 1]).variable_integer(), Ok(128));
    }

    #[test]
    fn lengths_come_back_as_they_were_written() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 268_435_455] {
            let mut bytes = Vec::new();
            put_variable_integer(&mut bytes, value);
            assert_eq!(FieldReader(&bytes).variable_integer(), Ok(value));
        }
    }

    #[test]
    fn a_property_ends_where_its_type_says() {
        let bytes = [
            0x23, 0, 5, 0x26, 0, 1, b'k', 0, 1, b'v', 0x0B, 0x80, 1, 0x7F,
        ];
        let mut reader = FieldReader(&bytes);
        assert_eq!(reader.property().unwrap().value.two_bytes(), Ok(5));
        assert_eq!(reader.property().unwrap().identifier, 0x26);
        assert_eq!(reader.property().unwrap().value.variable_integer(), Ok(128));
        assert!(reader.property().is_err(), "there is no property 127");
    }
}
