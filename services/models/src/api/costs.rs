//! CostService.

use lightning_mesh::identity::Caller;
use lightning_proto::models::v1::{self as pb, cost_service_server::CostService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::convert;

#[tonic::async_trait]
impl CostService for Api {
    async fn get_costs(
        &self,
        request: Request<pb::GetCostsRequest>,
    ) -> Result<Response<pb::Costs>, Status> {
        let (caller, request) = Caller::split(request)?;
        let span = convert::span(&request, self.engine.clock.now())?;
        let costs = self.store.costs(caller.organization()?, span.start, span.end, span.group_by);
        let costs = costs.await?;
        Ok(Response::new(costs.into()))
    }
}
