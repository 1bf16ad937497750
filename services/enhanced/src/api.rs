//! `lightning.enhanced.v1.TaskService`: decode, ask, encode. Nothing is decided here.

use lightning_mesh::identity::Caller;
use lightning_proto::enhanced::v1::{self as pb, task_service_server::TaskService};
use tonic::{Request, Response, Status, async_trait};

use crate::{convert, tasks::Tasks};

/// The RPCs.
pub(crate) struct Api {
    tasks: Tasks,
}

// === impl Api ===

impl Api {
    pub(crate) fn new(tasks: Tasks) -> Self {
        Self { tasks }
    }
}

#[async_trait]
impl TaskService for Api {
    async fn get_task(
        &self,
        request: Request<pb::GetTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, request) = Caller::split(request)?;
        let id = convert::task_id(&request.task_id)?;
        Ok(Response::new(self.tasks.get(&caller, &id).await?.into()))
    }

    async fn execute_task(
        &self,
        request: Request<pb::ExecuteTaskRequest>,
    ) -> Result<Response<pb::Task>, Status> {
        let (caller, request) = Caller::split(request)?;
        let wish = convert::wish(request)?;
        Ok(Response::new(self.tasks.execute(caller, wish).await?.into()))
    }
}
