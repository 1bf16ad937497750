//! Reads an expression and refuses what is not offered, with a sentence for its author.

use std::collections::BTreeSet;

use jaq_core::{
    load::{
        Lexer, Parser,
        lex::{StrPart, Token},
        parse::{BinaryOp, Pattern, Term},
        span,
    },
    path::{Part, Path},
};

use super::{MAX_NESTING, MAX_TEXT, library::OFFERED};

/// Refuses texts that are too long or nested too deep to be read safely.
pub(super) fn size(text: &str) -> Result<(), String> {
    if text.len() > MAX_TEXT {
        return Err(format!("the expression is longer than {MAX_TEXT} bytes"));
    }
    if text.trim().is_empty() {
        return Err("the expression is empty".to_owned());
    }
    let mut depth = 0usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(format!("the expression is nested deeper than {MAX_NESTING} brackets"));
        }
    }
    Ok(())
}

/// Parses the text.
pub(super) fn parse(text: &str) -> Result<Term<&str>, String> {
    let tokens = Lexer::new(text).lex().map_err(|errors| match errors.first() {
        Some((expected, rest)) => at(text, rest, expected.as_str()),
        None => "the expression cannot be read".to_owned(),
    })?;
    Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| match errors.first() {
        Some((expected, found)) => at(text, Token::opt_as_str(*found, text), expected.as_str()),
        None => "the expression cannot be read".to_owned(),
    })
}

fn at(text: &str, found: &str, expected: &str) -> String {
    let start = span(text, found).start.min(text.len());
    let character = text[..start].chars().count() + 1;
    let found: String = found.chars().take(20).collect();
    let found = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
    format!("expected {expected} at character {character}, found {found}")
}

/// Checks what a term calls and refers to. Returns the workflow's variables that it uses, each once.
pub(super) fn term(term: &Term<&str>, variables: &[String]) -> Result<Vec<String>, String> {
    let mut walk = Walk { used: BTreeSet::new() };
    walk.term(term)?;
    Ok(variables.iter().filter(|name| walk.used.contains(name.as_str())).cloned().collect())
}

struct Walk<'s> {
    used: BTreeSet<&'s str>,
}

// === impl Walk ===

impl<'s> Walk<'s> {
    fn term(&mut self, term: &Term<&'s str>) -> Result<(), String> {
        match term {
            Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Arr(None) => Ok(()),
            Term::Var(name) => {
                self.used.insert(name);
                if matches!(*name, "$ENV" | "$__loc__" | "$__prog_args") {
                    return Err(format!("{name} is not offered"));
                }
                Ok(())
            }
            Term::Str(format, parts) => {
                if let Some(format) = format {
                    offered(format, 0)?;
                }
                parts.iter().try_for_each(|part| match part {
                    StrPart::Term(inner) => self.term(inner),
                    StrPart::Str(_) | StrPart::Char(_) => Ok(()),
                })
            }
            Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => self.term(inner),
            Term::Obj(fields) => fields.iter().try_for_each(|(key, value)| {
                self.term(key)?;
                value.as_ref().map_or(Ok(()), |value| self.term(value))
            }),
            Term::BinOp(left, op, right) => {
                self.term(left)?;
                if let BinaryOp::Pipe(Some(binding)) = op {
                    self.pattern(binding)?;
                }
                self.term(right)
            }
            Term::Fold(_, source, binding, parts) => {
                self.term(source)?;
                self.pattern(binding)?;
                parts.iter().try_for_each(|part| self.term(part))
            }
            Term::TryCatch(inner, catch) => {
                self.term(inner)?;
                catch.as_ref().map_or(Ok(()), |catch| self.term(catch))
            }
            Term::IfThenElse(cases, otherwise) => {
                for (when, body) in cases {
                    self.term(when)?;
                    self.term(body)?;
                }
                otherwise.as_ref().map_or(Ok(()), |otherwise| self.term(otherwise))
            }
            Term::Def(_, _) => Err("functions cannot be defined (`def`)".to_owned()),
            Term::Call(name, args) => {
                offered(name, args.len())?;
                args.iter().try_for_each(|arg| self.term(arg))
            }
            Term::Path(head, Path(parts)) => {
                self.term(head)?;
                parts.iter().try_for_each(|(part, _)| match part {
                    Part::Index(index) => self.term(index),
                    Part::Range(from, to) => {
                        from.iter().chain(to).try_for_each(|bound| self.term(bound))
                    }
                })
            }
        }
    }

    fn pattern(&mut self, pattern: &Pattern<&'s str>) -> Result<(), String> {
        match pattern {
            Pattern::Var(_) => Ok(()),
            Pattern::Arr(items) => items.iter().try_for_each(|item| self.pattern(item)),
            Pattern::Obj(fields) => fields.iter().try_for_each(|(key, inner)| {
                self.term(key)?;
                self.pattern(inner)
            }),
        }
    }
}

fn offered(name: &str, arity: usize) -> Result<(), String> {
    // Walking data with `recurse` is fine; `recurse(f)` loops as long as `f` likes.
    let loops = name == "recurse" && arity > 0;
    if OFFERED.contains(&name) && !loops {
        return Ok(());
    }
    let name = if arity == 0 { name.to_owned() } else { format!("{name}/{arity}") };
    Err(format!("the function {name} is not offered"))
}
