//! Checks policies before they are published: their syntax, and strictly against the schema, so that
//! none of them can fail to be evaluated later.

use cedar_policy::{ActionConstraint, EntityUid, Policy, PolicyId, PolicySet, ValidationMode};
use miette::Diagnostic;

use super::schema;

/// A policy that somebody wrote.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its id.
    pub id: &'a str,
    /// One policy in Cedar's language, without an `@id`.
    pub text: &'a str,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    /// Which policy.
    pub policy_id: String,
    /// Where, counted from 1 in lines and characters; 0 if it is about the policy as a whole.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
    /// What, and what may help.
    pub message: String,
    /// Whether it can be published all the same.
    pub warning: bool,
}

/// What a policy without faults does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Which policy.
    pub policy_id: String,
    /// Whether it gives (`permit`) or takes away (`forbid`).
    pub permits: bool,
    /// The permissions of the contract that its scope covers.
    pub permissions: Vec<String>,
}

/// Checks policies one by one and against the schema. Answers the faults, in the order of the policies,
/// and what the faultless ones do.
pub fn check<'a>(sources: impl IntoIterator<Item = Source<'a>>) -> (Vec<PolicyFault>, Vec<Effect>) {
    let Some(validator) = schema::validator() else {
        let message = "there is no schema to check policies against".to_owned();
        let policy_id = String::new();
        return (
            vec![PolicyFault { policy_id, line: 0, column: 0, message, warning: false }],
            vec![],
        );
    };
    let (mut faults, mut effects) = (Vec::new(), Vec::new());
    for source in sources {
        let policy = match parse(source) {
            Ok(policy) => policy,
            Err(wrong) => {
                faults.extend(wrong);
                continue;
            }
        };
        effects.push(effect(source.id, &policy));
        let mut set = PolicySet::new();
        if let Err(error) = set.add(policy) {
            faults.push(fault(source, &error, false));
            continue;
        }
        let found = validator.validate(&set, ValidationMode::default());
        faults.extend(found.validation_errors().map(|error| fault(source, error, false)));
        faults.extend(found.validation_warnings().map(|warning| fault(source, warning, true)));
    }
    (faults, effects)
}

fn parse(source: Source<'_>) -> Result<Policy, Vec<PolicyFault>> {
    let policy = Policy::parse(Some(PolicyId::new(source.id)), source.text).map_err(|errors| {
        errors.iter().map(|error| fault(source, error, false)).collect::<Vec<_>>()
    })?;
    match policy.annotation("id") {
        None => Ok(policy),
        Some(_) => Err(vec![PolicyFault {
            policy_id: source.id.to_owned(),
            line: 0,
            column: 0,
            message: "the annotation @id is set when policies are published; leave it out"
                .to_owned(),
            warning: false,
        }]),
    }
}

fn effect(id: &str, policy: &Policy) -> Effect {
    let all = crate::contract::permissions().into_iter();
    let covers = |named: &[EntityUid], permission: &str| {
        let groups = schema::groups(permission).into_iter().flatten();
        let mut names = groups.chain([permission.to_owned()]);
        names.any(|name| named.iter().any(|uid| uid.id().unescaped() == name))
    };
    let permissions = match policy.action_constraint() {
        ActionConstraint::Any => all.collect(),
        ActionConstraint::Eq(uid) => {
            all.filter(|name| covers(std::slice::from_ref(&uid), name)).collect()
        }
        ActionConstraint::In(uids) => all.filter(|name| covers(&uids, name)).collect(),
    };
    let permits = policy.effect() == cedar_policy::Effect::Permit;
    Effect { policy_id: id.to_owned(), permits, permissions }
}

fn fault(source: Source<'_>, error: &(impl Diagnostic + ?Sized), warning: bool) -> PolicyFault {
    let label = error.labels().and_then(|mut labels| labels.next());
    let (line, column) = label.map_or((0, 0), |label| position(source.text, label.offset()));
    // The position is told beside the message, and the policy is named by its id already.
    let text = error.to_string();
    let text = text.strip_prefix(&format!("for policy `{}`, ", source.id)).unwrap_or(&text);
    let message = match error.help() {
        Some(help) => format!("{text}; {help}"),
        None => text.to_owned(),
    };
    PolicyFault { policy_id: source.id.to_owned(), line, column, message, warning }
}

/// The line and the character, from 1, of a byte.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
