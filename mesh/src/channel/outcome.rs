//! What the layers of a channel tell each other about an attempt, in the extensions of its answer.
/// The request was never written to a peer, so that sending it again is safe for any method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotSent;
