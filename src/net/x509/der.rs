//! Reading DER, the binary form of certificates, element by element (ITU-T X.690).

/// Tags of the elements that certificates are made of.
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OBJECT_IDENTIFIER: u8 = 0x06;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// Elements that are still to be read.
#[derive(Debug, Clone, Copy)]
pub struct Der<'a>(pub &'a [u8]);

/// One element.
#[derive(Debug)]
pub struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    /// The content with tag and length.
    pub whole: &'a [u8],
}

impl<'a> Der<'a> {
    /// The next element; none at the end, or if what comes is not DER.
    pub fn element(&mut self) -> Option<Element<'a>> {
        let all = self.0;
        let (tag, rest) = all.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            // The length takes one to three bytes itself. No certificate is larger.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let add = |length: usize, byte: &u8| (length << 8) | usize::from(*byte);
                (bytes.iter().fold(0, add), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Element {
            tag: *tag,
            content,
            whole: &all[..all.len() - rest.len()],
        })
    }

    /// The content of the next element, which must have this tag.
    pub fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let element = self.element()?;
        (element.tag == tag).then_some(element.content)
    }

    /// The content of the next element if it has this tag; another one stays.
    pub fn take_if(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let content = ahead.take(tag)?;
        *self = ahead;
        Some(content)
    }
}
