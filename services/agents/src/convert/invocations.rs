//! Questions and answers.

use lightning_mesh::fault::{Fault, Violations};
use lightning_proto::agents::v1::{self as pb, ErrorReason as Reason, invocation_event::Event};

use super::{check_text, data, deployments::environment};
use crate::{
    domain::{AgentId, Invocation, MAX_CONTEXT, MAX_HISTORY, MAX_INPUT, Question, Role, Turn},
    invocations::Piece,
};

/// Reads what an agent is asked. `prefix` is where the question stands in the request.
pub(crate) fn question(request: pb::InvokeAgentRequest, prefix: &str) -> Result<Question, Fault> {
    let mut v = Violations::new();
    let path = |field: &str| format!("{prefix}{field}");
    let agent_id = v.take(path("id"), AgentId::parse(&request.id));
    check_text(&mut v, &path("input"), &request.input, 1, MAX_INPUT);
    let context = data(&mut v, &path("context"), request.context.as_ref(), MAX_CONTEXT);
    let environment = environment(&mut v, &path("environment"), &request.environment);
    let turns = request.history.len();
    let few = format!("must have at most {MAX_HISTORY} turns, not {turns}");
    v.check(turns <= MAX_HISTORY, path("history"), few);
    let numbered = request.history.into_iter().take(MAX_HISTORY).enumerate();
    let history = numbered
        .map(|(number, given)| turn(&mut v, &path(&format!("history[{number}]")), given))
        .collect();
    v.finish(Reason::InvocationInvalid)?;
    let agent_id = agent_id.expect("a missing id is a violation");
    Ok(Question { agent_id, environment, input: request.input, context, history })
}

fn turn(v: &mut Violations, path: &str, turn: pb::Turn) -> Turn {
    let role = Role::parse(&turn.role);
    v.check(role.is_some(), format!("{path}.role"), "must be user or assistant");
    check_text(v, &format!("{path}.content"), &turn.content, 1, MAX_INPUT);
    Turn { role: role.unwrap_or(Role::User), content: turn.content }
}

impl From<Invocation> for pb::Invocation {
    fn from(invocation: Invocation) -> Self {
        let answer = invocation.answer;
        Self {
            id: invocation.id.into(),
            agent_id: invocation.agent_id.into(),
            agent_version: invocation.agent_version,
            deployment_id: invocation.deployment_id.into(),
            output: answer.output,
            model: answer.model,
            finish_reason: answer.finish_reason,
            usage: Some(pb::TokenUsage {
                input_tokens: answer.input_tokens,
                output_tokens: answer.output_tokens,
            }),
            cost_usd: answer.cost_usd,
            execution_id: answer.execution_id,
            latency: prost_types::Duration::try_from(invocation.latency).ok(),
            create_time: Some(invocation.create_time.to_proto()),
        }
    }
}

impl From<Piece> for pb::InvocationEvent {
    fn from(piece: Piece) -> Self {
        let event = match piece {
            Piece::Delta(text) => Event::Delta(text),
            Piece::Done(invocation) => Event::Done((*invocation).into()),
        };
        Self { event: Some(event) }
    }
}
