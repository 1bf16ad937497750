//! The rival's code: prost's types and pbjson's serde, as their generators wrote them.

#![expect(clippy::allow_attributes, unreachable_pub, reason = "generators write for everyone")]

include!("generated.inc");
