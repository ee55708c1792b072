//! How a component lays values out in its memory: the canonical ABI, as far as the contract needs it.

/// A value of a component, valid or not.
#[derive(Clone, Debug)]
pub enum Abi {
    /// One byte: a number, or a bool.
    U8(u8),
    /// Four bytes: a number or an address.
    U32(u32),
    /// Eight bytes.
    S64(i64),
    /// A string: its bytes elsewhere, address and length here.
    Text(Vec<u8>),
    /// Its elements elsewhere, address and length here.
    List(Vec<Abi>),
    /// Its fields one after the other, each aligned.
    Record(Vec<Abi>),
    /// A case of a variant: the discriminant, then the payload, in the space that the largest case needs.
    Case {
        /// The discriminant.
        case: u8,
        /// What the case holds; an empty record if nothing.
        payload: Box<Abi>,
        /// Bytes that the variant occupies.
        size: usize,
        /// Alignment of the variant and of every payload.
        align: usize,
    },
}

/// A string.
pub fn text(text: &str) -> Abi {
    Abi::Text(text.as_bytes().to_vec())
}

/// A list of strings.
pub fn texts(all: &[&str]) -> Abi {
    Abi::List(all.iter().map(|one| text(one)).collect())
}

/// A list of numbers.
pub fn numbers(numbers: &[u32]) -> Abi {
    Abi::List(numbers.iter().map(|number| Abi::U32(*number)).collect())
}

/// A string or list that claims to be `length` long and to be at `address`.
pub fn span(address: u32, length: u32) -> Abi {
    Abi::Record(vec![Abi::U32(address), Abi::U32(length)])
}

impl Abi {
    fn align(&self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::U32(_) | Self::Text(_) | Self::List(_) => 4,
            Self::S64(_) => 8,
            Self::Record(fields) => fields.iter().map(Self::align).max().unwrap_or(1),
            Self::Case { align, .. } => *align,
        }
    }
}

/// The initial contents of a memory.
#[derive(Debug)]
pub struct Memory {
    bytes: Vec<u8>,
}

impl Default for Memory {
    fn default() -> Self {
        // Nothing lies at address 0, where what is forgotten would point.
        Self { bytes: vec![0; 1024] }
    }
}

impl Memory {
    /// Everything from address 0.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Lays out `value` and returns its address.
    pub fn place(&mut self, value: &Abi) -> u32 {
        let bytes = self.layout(value);
        self.put(&bytes, value.align())
    }

    fn put(&mut self, bytes: &[u8], align: usize) -> u32 {
        pad(&mut self.bytes, align);
        let address = self.bytes.len();
        self.bytes.extend(bytes);
        u32::try_from(address).unwrap()
    }

    fn layout(&mut self, value: &Abi) -> Vec<u8> {
        match value {
            Abi::U8(byte) => vec![*byte],
            Abi::U32(number) => number.to_le_bytes().to_vec(),
            Abi::S64(number) => number.to_le_bytes().to_vec(),
            Abi::Text(bytes) => self.elsewhere(bytes, 1, bytes.len()),
            Abi::List(elements) => {
                let bytes = elements.iter().flat_map(|element| self.layout(element)).collect::<Vec<_>>();
                self.elsewhere(&bytes, elements.first().map_or(8, Abi::align), elements.len())
            }
            Abi::Record(fields) => {
                let mut bytes = Vec::new();
                for field in fields {
                    pad(&mut bytes, field.align());
                    bytes.extend(self.layout(field));
                }
                pad(&mut bytes, value.align());
                bytes
            }
            Abi::Case { case, payload, size, align } => {
                let mut bytes = vec![*case];
                pad(&mut bytes, *align);
                bytes.extend(self.layout(payload));
                bytes.resize(*size, 0);
                bytes
            }
        }
    }

    /// Address and length of `bytes`, which are put somewhere.
    fn elsewhere(&mut self, bytes: &[u8], align: usize, length: usize) -> Vec<u8> {
        let address = self.put(bytes, align);
        [address.to_le_bytes(), u32::try_from(length).unwrap().to_le_bytes()].concat()
    }
}

fn pad(bytes: &mut Vec<u8>, align: usize) {
    bytes.resize(bytes.len().next_multiple_of(align), 0);
}
