//! The functions that expressions may call, and the checks that the rewriting puts in.
//!
//! The names below are a list of what is offered, not of what is taken away: a function that a later
//! jaq brings is not there until somebody has looked at it.

use std::sync::LazyLock;

use jaq_core::{
    Bind, Ctx, DataT, Error, Exn, Lut, Native, ValXs,
    box_iter::box_once,
    data::HasLut,
    load::{
        Arena, File, Loader,
        parse::{Def, Term},
    },
    native::{Fun, v},
};
use jaq_json::Val;

use super::{
    fuel::{Fuel, Limit},
    rewrite,
};

/// What an expression may call.
pub(super) const OFFERED: &[&str] = &[
    "abs",
    "acos",
    "add",
    "all",
    "any",
    "arrays",
    "ascii_downcase",
    "ascii_upcase",
    "asin",
    "atan",
    "booleans",
    "bsearch",
    "capture",
    "cbrt",
    "ceil",
    "combinations",
    "contains",
    "cos",
    "del",
    "delpaths",
    "empty",
    "endswith",
    "error",
    "exp",
    "exp10",
    "exp2",
    "explode",
    "fabs",
    "false",
    "finites",
    "first",
    "flatten",
    "floor",
    "from_entries",
    "fromdate",
    "fromdateiso8601",
    "fromjson",
    "getpath",
    "gmtime",
    "group_by",
    "gsub",
    "has",
    "implode",
    "in",
    "index",
    "indices",
    "infinite",
    "inside",
    "isarray",
    "isboolean",
    "isempty",
    "isfinite",
    "isinfinite",
    "isnan",
    "isnormal",
    "isnumber",
    "isobject",
    "isstring",
    "iterables",
    "join",
    "keys",
    "keys_unsorted",
    "last",
    "length",
    "limit",
    "log",
    "log10",
    "log2",
    "ltrim",
    "ltrimstr",
    "map",
    "map_values",
    "match",
    "max",
    "max_by",
    "min",
    "min_by",
    "mktime",
    "nan",
    "normals",
    "not",
    "nth",
    "null",
    "nulls",
    "numbers",
    "objects",
    "path",
    "paths",
    "pick",
    "pow",
    "range",
    "recurse",
    "reverse",
    "rindex",
    "round",
    "rtrim",
    "rtrimstr",
    "scalars",
    "scan",
    "select",
    "setpath",
    "sin",
    "skip",
    "sort",
    "sort_by",
    "split",
    "splits",
    "sqrt",
    "startswith",
    "strftime",
    "strings",
    "strptime",
    "sub",
    "tan",
    "test",
    "to_entries",
    "toboolean",
    "todate",
    "todateiso8601",
    "tojson",
    "tonumber",
    "tostring",
    "transpose",
    "trim",
    "true",
    "trunc",
    "type",
    "unique",
    "unique_by",
    "utf8bytelength",
    "values",
    "walk",
    "with_entries",
    "@base64",
    "@base64d",
    "@html",
    "@json",
    "@sh",
    "@text",
    "@uri",
    "@urid",
];

/// Definitions of jaq's that are left out: they see the machine or loop by themselves.
const WITHOUT_DEFS: &[(&str, usize)] = &[
    ("stderr", 0),
    ("debug", 0),
    ("debug", 1),
    ("halt", 0),
    ("halt_error", 0),
    ("halt_error", 1),
    ("repeat", 1),
    ("while", 2),
    ("until", 2),
    ("recurse", 2),
    ("combinations", 1),
];

/// Native functions of jaq's that are left out; `range` is replaced by one that burns fuel.
const WITHOUT_FUNS: &[&str] =
    &["env", "now", "halt", "debug_empty", "stderr_empty", "localtime", "strflocaltime", "range"];

/// The name under which the expression itself is compiled. Not among the offered, so it cannot call
/// itself.
const MAIN: &str = "expression";

/// Which data evaluations carry.
pub(super) struct Data;

/// The data of one evaluation.
#[derive(Clone)]
pub(super) struct Session<'a> {
    pub(super) lut: &'a Lut<Data>,
    pub(super) fuel: &'a Fuel,
}

impl DataT for Data {
    type V<'a> = Val;
    type Data<'a> = Session<'a>;
}

impl<'a> HasLut<'a, Data> for Session<'a> {
    fn lut(&self) -> &'a Lut<Data> {
        self.lut
    }
}

static DEFS: LazyLock<Vec<Def<&'static str>>> = LazyLock::new(|| {
    jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|def| !WITHOUT_DEFS.contains(&(def.name, def.args.len())))
        .map(rewrite::def)
        .collect()
});

/// Compiles a rewritten term that uses `variables`.
pub(super) fn compile(
    body: Term<&str>,
    variables: &[String],
) -> Result<jaq_core::Filter<Data>, String> {
    let args: Vec<&str> = variables.iter().map(String::as_str).collect();
    let call =
        if args.is_empty() { MAIN.to_owned() } else { format!("{MAIN}({})", args.join("; ")) };
    let main = Def { name: MAIN, args: args.clone(), body };
    let arena = Arena::default();
    let modules = Loader::new(DEFS.iter().cloned().chain([main]))
        .load(&arena, File { code: &*call, path: () })
        .map_err(|_| "the expression cannot be read".to_owned())?;
    jaq_core::Compiler::default()
        .with_funs(funs())
        .with_global_vars(args)
        .compile(modules)
        .map_err(|errors| undefined(&errors))
}

fn undefined(errors: &jaq_core::compile::Errors<&str, ()>) -> String {
    let first = errors.iter().flat_map(|(_, errors)| errors).next();
    match first {
        Some((name, kind)) => format!("{} {name} is not defined", kind.as_str()),
        None => "the expression cannot be compiled".to_owned(),
    }
}

fn funs() -> impl Iterator<Item = Fun<Data>> {
    let theirs = jaq_core::funs::<Data>().chain(jaq_std::funs()).chain(jaq_json::funs());
    theirs.filter(|(name, _, _)| !WITHOUT_FUNS.contains(name)).chain(checks())
}

fn stop<'a, T: 'a>(limit: Limit) -> ValXs<'a, T, Val> {
    box_once(Err(Exn::from(Error::str(limit))))
}

/// A function that gives back its input if `$check` lets it pass, in all three ways in which jaq runs
/// functions: for values, for paths, and on the left of an assignment.
macro_rules! gate {
    ($name:expr, $check:expr, $update:expr) => {
        ($name, v(0), {
            Native::new(|cv: (Ctx<'_, Data>, Val)| match $check(cv.0.data().fuel, &cv.1) {
                Ok(()) => box_once(Ok(cv.1)),
                Err(limit) => stop(limit),
            })
            .with_paths(|cv| match $check(cv.0.data().fuel, &cv.1.0) {
                Ok(()) => box_once(Ok(cv.1)),
                Err(limit) => stop(limit),
            })
            .with_update(|cv, update| match $update(cv.0.data().fuel, &cv.1) {
                Ok(()) => update(cv.1),
                Err(limit) => stop(limit),
            })
        })
    };
}

/// The same with one argument, of which the value is looked at too.
macro_rules! gate_with {
    ($name:expr, $check:expr) => {
        (
            $name,
            v(1),
            Native::new(|mut cv: (Ctx<'_, Data>, Val)| {
                let other = cv.0.pop_var();
                match $check(cv.0.data().fuel, &cv.1, &other) {
                    Ok(()) => box_once(Ok(cv.1)),
                    Err(limit) => stop(limit),
                }
            }),
        )
    };
}

fn checks() -> impl Iterator<Item = Fun<Data>> {
    [
        gate!(rewrite::STEP, Fuel::step, Fuel::step),
        gate!(rewrite::ROUND, Fuel::round, Fuel::update_round),
        gate!(rewrite::WHOLE, Fuel::whole, Fuel::whole),
        gate!(rewrite::JSON, Fuel::json, Fuel::json),
        gate_with!(rewrite::PAIR, Fuel::pair),
        gate_with!(rewrite::SCALE, Fuel::scale),
        gate!(rewrite::PIECES, Fuel::pieces, Fuel::pieces),
        gate_with!(rewrite::SEARCH, Fuel::search),
        gate_with!(rewrite::SEARCH_ALL, Fuel::search_all),
        (
            rewrite::ONE,
            [Bind::Fun(())].into(),
            Native::new(|mut cv: (Ctx<'_, Data>, Val)| {
                let (f, ctx) = cv.0.pop_fun();
                ahead(f.run((ctx, cv.1)))
            })
            .with_paths(|mut cv| {
                let (f, ctx) = cv.0.pop_fun();
                ahead(f.paths((ctx, cv.1)))
            })
            .with_update(|mut cv, update| {
                let (f, ctx) = cv.0.pop_fun();
                f.update((ctx, cv.1), update)
            }),
        ),
        ("range", v(3), Native::<Data>::new(|cv| range(cv))),
    ]
    .into_iter()
}

/// The same values, each taken only when it is known whether another one follows; after the last one
/// nothing is kept.
fn ahead<'a, T: 'a>(mut values: ValXs<'a, T, Val>) -> ValXs<'a, T, Val> {
    let Some(first) = values.next() else { return Box::new(std::iter::empty()) };
    match values.next() {
        None => box_once(first),
        Some(second) => Box::new([first, second].into_iter().chain(values)),
    }
}

/// `range(from; to; by)` as jaq has it, except that each value is a step, so that a range without end
/// ends.
fn range<'a>(mut cv: (Ctx<'a, Data>, Val)) -> ValXs<'a, Val> {
    let (by, to, mut next) = (cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var());
    let fuel = cv.0.data().fuel;
    let zero = Val::from(0usize);
    let mut ended = false;
    Box::new(std::iter::from_fn(move || {
        let more = !ended
            && match by.cmp(&zero) {
                std::cmp::Ordering::Greater => next < to,
                std::cmp::Ordering::Less => next > to,
                std::cmp::Ordering::Equal => next != to,
            };
        if !more {
            return None;
        }
        if let Err(limit) = fuel.step(&next) {
            ended = true;
            return Some(Err(Exn::from(Error::str(limit))));
        }
        match next.clone() + by.clone() {
            Ok(after) => Some(Ok(std::mem::replace(&mut next, after))),
            Err(error) => {
                ended = true;
                Some(Err(Exn::from(error)))
            }
        }
    }))
}
