//! x
mod expression;
