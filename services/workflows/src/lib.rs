//! x
mod definition;
mod expression;
mod samples;
