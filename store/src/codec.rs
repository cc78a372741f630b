//! Bytes in the store's own files: little-endian fixed numbers, LEB128 varints, length-prefixed strings.

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn var(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn len(&mut self, value: usize) {
        self.var(value as u64);
    }

    /// A signed number, zigzag.
    pub(crate) fn signed(&mut self, value: i64) {
        self.var(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.raw(bytes);
    }

    pub(crate) fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.u8(0),
            Some(bytes) => {
                self.u8(1);
                self.bytes(bytes);
            }
        }
    }
}

/// Takes values from a slice; `None` when they are not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (head, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn var(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn var32(&mut self) -> Option<u32> {
        self.var().and_then(|value| u32::try_from(value).ok())
    }

    /// A count of things that each take at least one byte of what is left: never larger than that.
    pub(crate) fn len(&mut self) -> Option<usize> {
        let value = usize::try_from(self.var()?).ok()?;
        (value <= self.0.len()).then_some(value)
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let value = self.var()?;
        Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.len()?;
        self.raw(length)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        match self.u8()? {
            0 => Some(None),
            1 => self.bytes().map(Some),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_round_trip(a: u64, b: i64, c: u32, d: Vec<u8>) {
            let mut writer = Writer::default();
            writer.var(a);
            writer.signed(b);
            writer.u32(c);
            writer.bytes(&d);
            writer.optional(Some(&d));
            writer.optional(None);
            let mut reader = Reader(&writer.0);
            prop_assert_eq!(reader.var(), Some(a));
            prop_assert_eq!(reader.signed(), Some(b));
            prop_assert_eq!(reader.u32(), Some(c));
            prop_assert_eq!(reader.bytes(), Some(d.as_slice()));
            prop_assert_eq!(reader.optional(), Some(Some(d.as_slice())));
            prop_assert_eq!(reader.optional(), Some(None));
            prop_assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_length_larger_than_the_rest_is_refused() {
        assert_eq!(Reader(&[5, 1, 2, 3, 4]).bytes(), None);
        assert_eq!(Reader(&[0xff; 11]).var(), None);
    }
}
