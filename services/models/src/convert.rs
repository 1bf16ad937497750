//! Between the contract and the domain: decoding with every violation named by its field, encoding.

use lightning_mesh::{clock::Timestamp, fault::Fault};
use lightning_proto::models::v1::{self as pb, ErrorReason as Reason};

use crate::domain::{CostLine, Costs, GroupBy, dollars};

pub(crate) mod inferences;
pub(crate) mod models;

#[cfg(test)]
mod tests;

/// How far back costs are summed when no start is given: thirty days.
const DEFAULT_SPAN: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3_600);

/// What GetCosts asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) group_by: GroupBy,
}

/// Reads the span of a costs request.
pub(crate) fn span(request: &pb::GetCostsRequest, now: Timestamp) -> Result<Span, Fault> {
    let mut violations = lightning_mesh::fault::Violations::new();
    let mut time = |field: &str, given: &Option<prost_types::Timestamp>| match given {
        None => None,
        Some(given) => {
            let read = Timestamp::from_proto(given);
            violations.check(read.is_some(), field, "must be a time between the years 1 and 9999");
            read
        }
    };
    let end = time("end_time", &request.end_time).unwrap_or(now);
    let start = time("start_time", &request.start_time).unwrap_or_else(|| end.before(DEFAULT_SPAN));
    violations.check(start < end, "start_time", "must be before end_time");
    let group_by = GroupBy::parse(&request.group_by);
    violations.check(group_by.is_some(), "group_by", "must be model, provider, caller or day");
    violations.finish(Reason::RequestInvalid)?;
    Ok(Span { start, end, group_by: group_by.unwrap_or(GroupBy::Model) })
}

impl From<Costs> for pb::Costs {
    fn from(costs: Costs) -> Self {
        let Costs { start, end, total, lines } = costs;
        Self {
            start_time: Some(start.to_proto()),
            end_time: Some(end.to_proto()),
            total_cost_usd: dollars(total.cost),
            request_count: total.requests,
            input_tokens: total.usage.input_tokens,
            output_tokens: total.usage.output_tokens,
            lines: lines.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<CostLine> for pb::CostLine {
    fn from(line: CostLine) -> Self {
        Self {
            cost_usd: dollars(line.cost),
            request_count: line.requests,
            input_tokens: line.usage.input_tokens,
            output_tokens: line.usage.output_tokens,
            key: line.key,
        }
    }
}
