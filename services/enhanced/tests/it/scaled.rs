//! The same on PostgreSQL: every statement once.

use lightning_mesh::identity::Caller;
use lightning_proto::enhanced::v1::task::Status;

use super::support::{Mesh, refusal};

#[tokio::test]
async fn tasks_are_kept_on_postgres() {
    let Some(mesh) = Mesh::scaled().await else { return };
    let task = mesh.execute("sort", "sorter").await.unwrap();
    assert_eq!(mesh.get(Caller::local(), &task.task_id).await.unwrap(), task);
    let (_, info) = refusal(mesh.execute("sort", "busy").await);
    let failed = mesh.get(Caller::local(), &info.metadata["task_id"]).await.unwrap();
    assert_eq!(failed.status(), Status::Failed);
}
