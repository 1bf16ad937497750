//! Expressions: jq, compiled once, evaluated with limits on threads of their own.
//!
//! The DSL demands jq. jaq gives the language; this room decides what of it a stranger's workflow may
//! use. Every expression is parsed, checked against a list of functions that can neither run without
//! end by themselves nor see the machine (no environment, clock, input, output), and rewritten so that
//! each step of each loop burns fuel and no value outgrows its bounds. So "runs without end" ends
//! with an error, whatever the text. What remains: one call of a library function on values within the
//! bounds runs to its end unobserved (a few seconds at most, for numbers of a million digits), on a
//! thread that nobody else of the service waits for except other expressions.
//!
//! It knows nothing of workflows: variables are names and values.

use std::sync::Arc;

use jaq_core::{Ctx, Vars, unwrap_valr};
use jaq_json::Val;
use serde_json::Value;

mod check;
mod fuel;
mod library;
mod pool;
mod rewrite;
mod value;

#[cfg(test)]
mod tests;

/// The longest expression, in bytes.
pub(crate) const MAX_TEXT: usize = 8 * 1024;
/// Brackets may be nested this deep in an expression.
pub(crate) const MAX_NESTING: usize = 64;

/// A compiled expression.
pub(crate) struct Filter {
    text: Box<str>,
    /// The variables that the expression uses, with `$`, in the order in which they are bound.
    uses: Vec<Box<str>>,
    compiled: jaq_core::Filter<library::Data>,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The expression itself failed, as `error("...")` or `1 + {}` do.
    #[error("{0}")]
    Error(String),
    /// It would have gone beyond a limit.
    #[error("the expression was stopped: {0}")]
    Limit(String),
    /// It gave no value, or more than one.
    #[error("the expression must give exactly one value and gave {0}")]
    Count(&'static str),
}

// === impl Filter ===

impl Filter {
    /// Compiles `text`; `variables` (with `$`) are what it may refer to. The error says what is wrong,
    /// for the author.
    pub(crate) fn compile(text: &str, variables: &[String]) -> Result<Self, String> {
        check::size(text)?;
        let (text_owned, names) = (text.to_owned(), variables.to_vec());
        // Parsing recurses, so it runs on a thread with room for it, as evaluating does.
        pool::shared().run(move || Self::compile_here(&text_owned, &names))?
    }

    fn compile_here(text: &str, variables: &[String]) -> Result<Self, String> {
        let term = check::parse(text)?;
        let used = check::term(&term, variables)?;
        let compiled = library::compile(rewrite::term(term), &used)?;
        Ok(Self { text: text.into(), uses: used.into_iter().map(Into::into).collect(), compiled })
    }

    /// The names of the variables it uses, with `$`.
    pub(crate) fn uses(&self) -> impl Iterator<Item = &str> {
        self.uses.iter().map(AsRef::as_ref)
    }

    /// Evaluates on the present thread. `values` are those of [`Self::uses`], in that order.
    fn run(&self, input: &Value, values: &[Value]) -> Result<Value, Failure> {
        let fuel = fuel::Fuel::full();
        let session = library::Session { lut: &self.compiled.lut, fuel: &fuel };
        let vars = Vars::new(values.iter().map(value::to_val));
        let ctx = Ctx::<library::Data>::new(session, vars);
        let mut outputs = self.compiled.id.run((ctx, value::to_val(input))).map(unwrap_valr);
        let first = outputs.next();
        let more = first.as_ref().is_some_and(Result::is_ok) && outputs.next().is_some();
        // Fuel first: an expression may catch the error that stopped it, but not get past it.
        if let Some(limit) = fuel.spent() {
            return Err(Failure::Limit(limit.to_string()));
        }
        match first {
            None => Err(Failure::Count("none")),
            Some(_) if more => Err(Failure::Count("more")),
            Some(Ok(val)) => value::from_val(&val).map_err(Failure::Limit),
            Some(Err(error)) => Err(Failure::Error(value::error_text(&error))),
        }
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${{ {} }}", self.text)
    }
}

/// Evaluates `filter` on one of the threads for it.
pub(crate) async fn evaluate(
    filter: Arc<Filter>,
    input: Value,
    values: Vec<Value>,
) -> Result<Value, Failure> {
    match pool::shared().spawn(move || filter.run(&input, &values)).await {
        Ok(result) => result,
        Err(reason) => Err(Failure::Limit(reason)),
    }
}

/// Runs something that recurses as deep as its input on a thread with room for it, and waits. Not from
/// such a thread itself.
pub(crate) fn with_room<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    pool::shared().run(job)
}

/// What a value counts as in `if`, `when` and `while`: everything but false and null is true.
pub(crate) fn truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

impl Failure {
    /// Whether a limit stopped it.
    #[cfg(test)]
    fn is_limit(&self) -> bool {
        matches!(self, Self::Limit(_))
    }
}

/// Evaluates a text without variables.
#[cfg(test)]
fn eval_text(text: &str, input: Value) -> Result<Value, Failure> {
    let filter = Filter::compile(text, &[]).map_err(Failure::Error)?;
    let filter = Arc::new(filter);
    match pool::shared().run(move || filter.run(&input, &[])) {
        Ok(result) => result,
        Err(reason) => Err(Failure::Limit(reason)),
    }
}

/// The value type of jaq, named once.
type JaqError = jaq_core::Error<Val>;
