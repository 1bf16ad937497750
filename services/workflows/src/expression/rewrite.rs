//! Rewrites a parsed expression so that it cannot run or grow without end.
//!
//! The places where jq can do much with little text are few: collecting (`[f]`), piping many values,
//! folding, products of several-valued operands, growing operators, and library functions that walk
//! whole values. Each gets a call of a check from `library`; the checks give back their input, so the
//! meaning of the expression stays. jaq's own definitions are rewritten in the same way. The names of
//! the checks and of the variables put in hold a `!`, which the language cannot write.

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{BinaryOp, Def, Pattern, Term},
    },
    ops::Math,
    path::{Part, Path},
};

/// One step; looks at the length of the value.
pub(super) const STEP: &str = "!step";
/// One round of a fold; now and then looks at the whole value.
pub(super) const ROUND: &str = "!round";
/// Lets go of what a round needed as soon as it has given its last value. Without it a fold keeps every
/// value that it went through, which for a growing text is the square of its length.
pub(super) const ONE: &str = "!one";
/// Looks at the whole value.
pub(super) const WHOLE: &str = "!whole";
/// Looks at a text before it is read as JSON.
pub(super) const JSON: &str = "!json";
/// Looks at two values that are compared part by part.
pub(super) const PAIR: &str = "!pair";
/// Looks at the two sides of `*`.
pub(super) const SCALE: &str = "!scale";
/// Looks at a text before it is taken to pieces.
pub(super) const PIECES: &str = "!pieces";
/// Looks at a text and a regular expression.
pub(super) const SEARCH: &str = "!search";
/// Looks at a text of which every match is described.
pub(super) const SEARCH_ALL: &str = "!search_all";

const LEFT: &str = "$!left";
const RIGHT: &str = "$!right";
const BY: &str = "$!by";

/// Native functions that walk the whole of their input or of the values they compare.
const WALKERS: &[&str] = &[
    "tojson",
    "tobytes",
    "sort",
    "sort_by",
    "group_by",
    "min_by_or_empty",
    "max_by_or_empty",
    "bsearch",
    "strftime",
    "strptime",
    "mktime",
    "todateiso8601",
];

type T<'s> = Term<&'s str>;

/// Rewrites a definition of jaq's library.
pub(super) fn def(def: Def<&'static str>) -> Def<&'static str> {
    Def { name: def.name, args: def.args, body: term(def.body) }
}

/// Rewrites a term and everything in it.
pub(super) fn term(t: T<'_>) -> T<'_> {
    match t {
        Term::Id | Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(None) => t,
        Term::Recurse => then(Term::Recurse, STEP),
        Term::Str(format, parts) => {
            then(Term::Str(format, parts.into_iter().map(part).collect()), STEP)
        }
        Term::Arr(Some(items)) => then(Term::Arr(Some(Box::new(then(term(*items), STEP)))), STEP),
        Term::Obj(fields) => then(Term::Obj(fields.into_iter().map(field).collect()), STEP),
        Term::Neg(inner) => Term::Neg(boxed(*inner)),
        Term::BinOp(left, op, right) => binary(*left, op, *right),
        Term::Label(name, inner) => Term::Label(name, boxed(*inner)),
        Term::Fold(kind, source, binding, parts) => {
            let mut parts = parts.into_iter().map(term);
            let first = parts.next();
            let round = |part| Term::Call(ONE, vec![pipe(call(ROUND), part)]);
            let rest = parts.map(round);
            Term::Fold(
                kind,
                boxed(*source),
                pattern(binding),
                first.into_iter().chain(rest).collect(),
            )
        }
        Term::TryCatch(inner, catch) => {
            Term::TryCatch(boxed(*inner), catch.map(|catch| boxed(*catch)))
        }
        Term::IfThenElse(cases, otherwise) => {
            let cases = cases.into_iter().map(|(when, body)| (term(when), term(body))).collect();
            then(Term::IfThenElse(cases, otherwise.map(|otherwise| boxed(*otherwise))), STEP)
        }
        Term::Def(defs, body) => {
            let defs = defs.into_iter().map(|def| Def { body: term(def.body), ..def }).collect();
            Term::Def(defs, boxed(*body))
        }
        Term::Call(name, args) => pipe(call(STEP), function(name, args)),
        Term::Path(head, Path(parts)) => {
            let parts = parts.into_iter().map(|(part, opt)| (path_part(part), opt)).collect();
            then(Term::Path(boxed(*head), Path(parts)), STEP)
        }
    }
}

fn function<'s>(name: &'s str, args: Vec<T<'s>>) -> T<'s> {
    let args = args.into_iter().map(term);
    if WALKERS.contains(&name) {
        let args = args.map(|arg| then(arg, WHOLE)).collect();
        return pipe(call(WHOLE), Term::Call(name, args));
    }
    match name {
        "fromjson" => pipe(call(JSON), Term::Call(name, args.collect())),
        "explode" | "implode" | "escape_html" | "unescape_html" | "encode_uri" | "decode_uri" => {
            pipe(call(PIECES), Term::Call(name, args.collect()))
        }
        "matches" | "split_matches" | "split_" => {
            // `re as $!right | flags as $!by | !search($!right) | !search_all($!by)
            // | matches($!right; $!by)`
            let found = Term::Call(name, vec![Term::Var(RIGHT), Term::Var(BY)]);
            // Pieces are texts, without a description of each match.
            let found = if name == "split_" {
                found
            } else {
                pipe(Term::Call(SEARCH_ALL, vec![Term::Var(BY)]), found)
            };
            let body = pipe(Term::Call(SEARCH, vec![Term::Var(RIGHT)]), found);
            let names = [RIGHT, BY].into_iter();
            args.zip(names)
                .collect::<Vec<_>>()
                .into_iter()
                .rfold(body, |body, (arg, name)| bind(arg, name, body))
        }
        "indices" => {
            // `a as $!right | !pieces | !pair($!right) | indices($!right)`
            let pair = Term::Call(PAIR, vec![Term::Var(RIGHT)]);
            let body = Term::Call(name, vec![Term::Var(RIGHT)]);
            let body = pipe(call(PIECES), pipe(pair, body));
            args.fold(body, |body, arg| bind(arg, RIGHT, body))
        }
        "contains" => {
            // `a as $!right | !pair($!right) | contains($!right)`
            let body = pipe(
                Term::Call(PAIR, vec![Term::Var(RIGHT)]),
                Term::Call(name, vec![Term::Var(RIGHT)]),
            );
            args.fold(body, |body, arg| bind(arg, RIGHT, body))
        }
        _ => Term::Call(name, args.collect()),
    }
}

fn binary<'s>(left: T<'s>, op: BinaryOp<&'s str>, right: T<'s>) -> T<'s> {
    match op {
        BinaryOp::Pipe(binding) => {
            let right = pipe(call(STEP), term(right));
            Term::BinOp(boxed(left), BinaryOp::Pipe(binding.map(pattern)), Box::new(right))
        }
        BinaryOp::Comma => Term::BinOp(boxed(left), BinaryOp::Comma, boxed(right)),
        BinaryOp::Alt | BinaryOp::Or | BinaryOp::And => {
            then(Term::BinOp(boxed(left), op, boxed(right)), STEP)
        }
        BinaryOp::Math(Math::Mul) => multiply(term(left), term(right)),
        BinaryOp::Math(Math::Sub) => then(both_whole(term(left), op, term(right)), STEP),
        // Division takes texts to pieces.
        BinaryOp::Math(Math::Div) => {
            then(both_whole(then(term(left), PIECES), op, term(right)), STEP)
        }
        BinaryOp::Math(Math::Add | Math::Rem) => {
            then(Term::BinOp(boxed(left), op, boxed(right)), STEP)
        }
        BinaryOp::Cmp(_) if plain(&left) || plain(&right) => {
            then(Term::BinOp(boxed(left), op, boxed(right)), STEP)
        }
        BinaryOp::Cmp(_) => then(both_whole(term(left), op, term(right)), STEP),
        BinaryOp::Assign => then(Term::BinOp(boxed(left), op, boxed(right)), STEP),
        BinaryOp::Update | BinaryOp::UpdateAlt => {
            let right = pipe(call(STEP), term(right));
            then(Term::BinOp(boxed(left), op, Box::new(right)), STEP)
        }
        BinaryOp::UpdateMath(math) => {
            // `l += r` is `r as $!by | l |= . + $!by`; written out, the growing is looked at.
            let grown = binary(Term::Id, BinaryOp::Math(math), Term::Var(BY));
            let update = Term::BinOp(boxed(left), BinaryOp::Update, Box::new(grown));
            bind(term(right), BY, then(update, STEP))
        }
    }
}

/// `l as $!left | r as $!right | ($!left | !scale($!right)) * $!right`, in jaq's order of operands.
fn multiply<'s>(left: T<'s>, right: T<'s>) -> T<'s> {
    let checked = pipe(Term::Var(LEFT), Term::Call(SCALE, vec![Term::Var(RIGHT)]));
    let product =
        Term::BinOp(Box::new(checked), BinaryOp::Math(Math::Mul), Box::new(Term::Var(RIGHT)));
    // The right operand is evaluated inside the binding of the left one, and may itself multiply: its
    // own bindings end with it, so the names can be the same.
    bind(left, LEFT, bind(right, RIGHT, then(product, STEP)))
}

fn both_whole<'s>(left: T<'s>, op: BinaryOp<&'s str>, right: T<'s>) -> T<'s> {
    Term::BinOp(Box::new(then(left, WHOLE)), op, Box::new(then(right, WHOLE)))
}

/// Whether comparing with it costs next to nothing.
fn plain(t: &T<'_>) -> bool {
    let text =
        |parts: &[StrPart<&str, T<'_>>]| !parts.iter().any(|part| matches!(part, StrPart::Term(_)));
    matches!(t, Term::Num(_) | Term::Arr(None) | Term::Call("null" | "true" | "false", _))
        || matches!(t, Term::Str(None, parts) if text(parts))
        || matches!(t, Term::Obj(fields) if fields.is_empty())
}

/// A field of an object. Without a value (`{a}`, `{$x}`) the form of the key carries the meaning.
fn field<'s>((key, value): (T<'s>, Option<T<'s>>)) -> (T<'s>, Option<T<'s>>) {
    match (key, value) {
        (key, Some(value)) => (then(term(key), WHOLE), Some(term(value))),
        (Term::Str(format, parts), None) => {
            (Term::Str(format, parts.into_iter().map(part).collect()), None)
        }
        (key, None) => (key, None),
    }
}

fn part<'s>(part: StrPart<&'s str, T<'s>>) -> StrPart<&'s str, T<'s>> {
    match part {
        StrPart::Term(inner) => StrPart::Term(then(term(inner), WHOLE)),
        StrPart::Str(text) => StrPart::Str(text),
        StrPart::Char(char) => StrPart::Char(char),
    }
}

fn path_part<'s>(part: Part<T<'s>>) -> Part<T<'s>> {
    match part {
        Part::Index(index) => {
            Part::Index(if plain(&index) { index } else { then(term(index), WHOLE) })
        }
        Part::Range(from, to) => Part::Range(from.map(term), to.map(term)),
    }
}

fn pattern(pattern_: Pattern<&str>) -> Pattern<&str> {
    match pattern_ {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(pattern).collect()),
        Pattern::Obj(fields) => {
            let fields =
                fields.into_iter().map(|(key, inner)| (then(term(key), WHOLE), pattern(inner)));
            Pattern::Obj(fields.collect())
        }
    }
}

fn boxed(t: T<'_>) -> Box<T<'_>> {
    Box::new(term(t))
}

fn call(name: &str) -> T<'_> {
    Term::Call(name, Vec::new())
}

fn pipe<'s>(left: T<'s>, right: T<'s>) -> T<'s> {
    Term::BinOp(Box::new(left), BinaryOp::Pipe(None), Box::new(right))
}

fn then<'s>(t: T<'s>, check: &'s str) -> T<'s> {
    pipe(t, call(check))
}

fn bind<'s>(value: T<'s>, name: &'s str, body: T<'s>) -> T<'s> {
    Term::BinOp(Box::new(value), BinaryOp::Pipe(Some(Pattern::Var(name))), Box::new(body))
}
