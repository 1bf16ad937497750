//! A lookup from names to small values, for names that are known at start.
//!
//! Open addressing over a power of two of cells, at most half of them full, all names in one run of
//! bytes. The hash is a multiplication for each eight bytes: the keys come from descriptors, so no
//! caller can choose them to collide, and a lookup is bounded by the longest run of full cells.

/// A map from names to values.
pub(crate) struct NameMap<T> {
    cells: Box<[Option<Cell<T>>]>,
    text: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Cell<T> {
    hash: u32,
    start: u32,
    length: u32,
    value: T,
}

impl<T: Copy> NameMap<T> {
    /// Builds the map; of equal names the first stands.
    pub(crate) fn new<N: AsRef<str>>(names: impl IntoIterator<Item = (N, T)>) -> Self {
        let names: Vec<(N, T)> = names.into_iter().collect();
        let size = (names.len() * 2).next_power_of_two().max(2);
        let mut map = Self { cells: vec![None; size].into(), text: Vec::new() };
        for (name, value) in names {
            map.insert(name.as_ref().as_bytes(), value);
        }
        map
    }

    fn insert(&mut self, name: &[u8], value: T) {
        if self.get(name).is_some() {
            return;
        }
        let index = |at: usize| u32::try_from(at).expect("descriptors are far smaller than 4 GiB");
        let hash = hash(name);
        let cell = Cell { hash, start: index(self.text.len()), length: index(name.len()), value };
        self.text.extend_from_slice(name);
        let mask = self.cells.len() - 1;
        let mut at = hash as usize & mask;
        while self.cells[at].is_some() {
            at = (at + 1) & mask;
        }
        self.cells[at] = Some(cell);
    }

    /// The value of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<T> {
        let hash = hash(name);
        let mask = self.cells.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(cell) = &self.cells[at] {
            if cell.hash == hash {
                let start = cell.start as usize;
                if self.text[start..start + cell.length as usize] == *name {
                    return Some(cell.value);
                }
            }
            at = (at + 1) & mask;
        }
        None
    }
}

fn hash(name: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = name.as_chunks::<8>();
    let mut hash = name.len() as u64;
    for word in words {
        hash = (hash.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
    }
    let tail = rest.iter().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
    hash = (hash.rotate_left(23) ^ tail).wrapping_mul(FACTOR);
    // The upper half is where a multiplication has mixed well.
    (hash >> 32) as u32
}
