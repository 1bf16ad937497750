//! `MetricsService`: the figures of a service as part of the contract, so that they are REST too.

use std::collections::HashMap;

use lightning_proto::telemetry::v1::{
    GetMetricsRequest, Metrics as Snapshot, metrics_service_client::MetricsServiceClient,
    metrics_service_server::MetricsService,
};
use lightning_transcode::MatchedRoute;
use tonic::{Request, Response, Status};

use super::Health;
use crate::{channel::Channel, identity::Caller, service::Figures, telemetry::Metrics};

/// Answers with the figures of one service.
pub(super) struct Api {
    pub(super) metrics: Metrics,
    pub(super) health: Health,
    pub(super) figures: Vec<Figures>,
    /// Whose figures REST callers see instead (see [`Service::edge`](crate::Service::edge)).
    pub(super) rest_metrics: Option<Channel>,
}

#[tonic::async_trait]
impl MetricsService for Api {
    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<Snapshot>, Status> {
        let over_rest = request.extensions().get::<MatchedRoute>().is_some();
        if let (Some(other), true) = (&self.rest_metrics, over_rest) {
            let (caller, message) = Caller::split(request)?;
            let mut client = MetricsServiceClient::new(other.clone());
            return client.get_metrics(caller.request(message)).await;
        }
        let figures: HashMap<_, _> = self.figures.iter().flat_map(|figures| figures()).collect();
        Ok(Response::new(self.metrics.snapshot(self.health.is_serving(), figures)))
    }
}
