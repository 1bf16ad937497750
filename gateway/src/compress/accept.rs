//! Which encoding a client would like best (`Accept-Encoding`, RFC 9110 section 12.5.3).

use http::{HeaderMap, header};

/// An encoding that is offered, best first where the client does not mind: zstd costs least for what it
/// saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Zstd,
    Brotli,
    Gzip,
}

const OFFERED: [Encoding; 3] = [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];

impl Encoding {
    /// By its name in headers.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let known = OFFERED.into_iter().find(|it| name.eq_ignore_ascii_case(it.name()));
        known.or_else(|| name.eq_ignore_ascii_case("x-gzip").then_some(Self::Gzip))
    }

    /// Its name in headers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// The best of what is accepted; none if that is the plain answer, or nothing was said.
pub(crate) fn choose(headers: &HeaderMap) -> Option<Encoding> {
    // In thousandths, as the grammar has at most three decimals.
    let mut weights: [Option<u16>; 3] = [None; 3];
    let (mut any, mut plain) = (None, None);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let mut words = item.split(';').map(str::trim);
            let name = words.next().unwrap_or_default();
            let weight = words.find_map(weight).unwrap_or(1_000);
            match Encoding::of(name) {
                Some(encoding) => weights[encoding as usize] = Some(weight),
                None if name == "*" => any = Some(weight),
                None if name.eq_ignore_ascii_case("identity") => plain = Some(weight),
                None => {}
            }
        }
    }
    let weight = |encoding: Encoding| weights[encoding as usize].or(any).unwrap_or(0);
    // `max_by_key` takes the last of equals.
    let best = OFFERED.into_iter().rev().max_by_key(|encoding| weight(*encoding))?;
    (weight(best) > 0 && weight(best) >= plain.unwrap_or(0)).then_some(best)
}

/// `q=0.5` in thousandths; what is malformed counts as a refusal.
fn weight(parameter: &str) -> Option<u16> {
    let text = parameter.strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim();
    let weight: f32 = text.parse().unwrap_or(0.0);
    Some(if (0.0..=1.0).contains(&weight) { (weight * 1_000.0) as u16 } else { 0 })
}
