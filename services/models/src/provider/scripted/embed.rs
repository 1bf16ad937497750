//! Vectors by feature hashing: texts that share words and letter triples point the same way.
//!
//! There is no meaning in them beyond spelling, but they are deterministic, need no weights and rank
//! near-duplicates and common words sensibly, which is what an offline default has to do.

use super::{super::Upstream, text, tokens};
use crate::domain::{EmbedRequest, Embeddings, Usage};

/// The length of the vectors unless another is asked for.
const DIMENSIONS: u32 = 256;

/// The longest vectors that can be asked for.
const MAX_DIMENSIONS: u32 = 4_096;

/// How much a whole word counts, against 1 for three letters.
const WORD: f32 = 2.0;

/// One unit vector for each text.
pub(super) fn embed(request: &EmbedRequest) -> Result<Embeddings, Upstream> {
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        let message = format!("dimensions must be 1 to {MAX_DIMENSIONS}");
        return Err(Upstream::Rejected { status: 400, message });
    }
    let vectors = request.inputs.iter().map(|input| vector(input, dimensions as usize)).collect();
    let input_tokens = request.inputs.iter().map(|input| tokens::count(input)).sum();
    Ok(Embeddings { vectors, usage: Some(Usage { input_tokens, output_tokens: 0 }) })
}

fn vector(input: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    let mut add = |feature: &[u8], weight: f32| {
        let hash = fnv(feature);
        // The top bit gives the sign, so that collisions cancel out on average.
        let sign = if hash >> 63 == 0 { weight } else { -weight };
        let place = usize::try_from((hash & 0x7fff_ffff_ffff_ffff) % dimensions as u64);
        vector[place.expect("below the number of dimensions")] += sign;
    };
    let normal = text::normal(input);
    let mut marked = [0_u8; 16];
    for word in normal.split_whitespace() {
        add(word.as_bytes(), WORD);
        let letters: Vec<char> =
            std::iter::once('<').chain(word.chars()).chain(std::iter::once('>')).collect();
        for triple in letters.windows(3) {
            let mut length = 0;
            for letter in triple {
                length += letter.encode_utf8(&mut marked[length..]).len();
            }
            add(&marked[..length], 1.0);
        }
    }
    let norm = vector.iter().map(|each| each * each).sum::<f32>().sqrt();
    if norm == 0.0 {
        // A text without words still needs a direction: cosine similarity with zero is undefined.
        vector[0] = 1.0;
        return vector;
    }
    vector.iter_mut().for_each(|each| *each /= norm);
    vector
}

/// FNV-1a with 64 bits: stable between releases of Rust and easy to repeat in other languages. Its low
/// bits are weak for short texts, so they are mixed once more.
fn fnv(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 29)
}
