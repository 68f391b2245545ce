//! CBOR as a tree, to put entries into maps that the config's own code does not know.

use minicbor::{Decoder, Encoder, data::Type};

/// A data item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    /// Everything that holds no other items, as it is encoded.
    Leaf(Vec<u8>),
    /// An array.
    Array(Vec<Item>),
    /// A map with integer keys.
    Map(Vec<(u32, Item)>),
}

impl Item {
    /// Reads what must be exactly one item.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut input = Decoder::new(bytes);
        let item = Self::read(&mut input).expect("well-formed CBOR");
        assert_eq!(input.position(), bytes.len());
        item
    }

    fn read(input: &mut Decoder<'_>) -> Option<Self> {
        let start = input.position();
        match input.datatype().ok()? {
            Type::Array => {
                let count = input.array().ok()??;
                (0..count).map(|_| Self::read(input)).collect::<Option<_>>().map(Self::Array)
            }
            Type::Map => {
                let count = input.map().ok()??;
                let pair = |_| Some((input.u32().ok()?, Self::read(input)?));
                (0..count).map(pair).collect::<Option<_>>().map(Self::Map)
            }
            _ => {
                input.skip().ok()?;
                input.input().get(start..input.position()).map(|leaf| Self::Leaf(leaf.into()))
            }
        }
    }

    /// The bytes, with maps in ascending order of keys.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut output = Vec::new();
        self.write(&mut output);
        output
    }

    fn write(&self, output: &mut Vec<u8>) {
        match self {
            Self::Leaf(bytes) => output.extend_from_slice(bytes),
            Self::Array(items) => {
                Encoder::new(&mut *output).array(items.len() as u64).expect("a vector takes all");
                items.iter().for_each(|item| item.write(output));
            }
            Self::Map(pairs) => {
                Encoder::new(&mut *output).map(pairs.len() as u64).expect("a vector takes all");
                for (key, item) in pairs {
                    Encoder::new(&mut *output).u32(*key).expect("a vector takes all");
                    item.write(output);
                }
            }
        }
    }

    /// Calls `change` with the entries of this map and of every map inside; keeps them in ascending order.
    pub(crate) fn each_map(&mut self, change: &mut impl FnMut(&mut Vec<(u32, Item)>)) {
        match self {
            Self::Leaf(_) => {}
            Self::Array(items) => items.iter_mut().for_each(|item| item.each_map(change)),
            Self::Map(pairs) => {
                pairs.iter_mut().for_each(|(_, item)| item.each_map(change));
                change(pairs);
                pairs.sort_by_key(|(key, _)| *key);
            }
        }
    }

    /// The item at a path of keys and indices.
    pub(crate) fn at(&mut self, path: &[u32]) -> &mut Item {
        path.iter().fold(self, |item, step| match item {
            Self::Map(pairs) => {
                &mut pairs.iter_mut().find(|(key, _)| key == step).expect("a key of the map").1
            }
            Self::Array(items) => items.get_mut(*step as usize).expect("an index of the array"),
            Self::Leaf(_) => panic!("a leaf holds nothing"),
        })
    }
}
