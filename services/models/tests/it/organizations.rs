//! Registered models and costs are an organisation's own; configured models are everybody's.

use lightning_mesh::identity::Caller;
use lightning_proto::models::v1 as pb;

use crate::rig::{Rig, ask, reason};

fn admin(organization: &str) -> Caller {
    Caller::new("user:o", "otto", ["*"]).member_of(organization)
}

fn registration(id: &str, name: &str) -> pb::RegisterModelRequest {
    pb::RegisterModelRequest {
        id: id.to_owned(),
        name: name.to_owned(),
        provider: "up".to_owned(),
        upstream_model: "echo".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_registered_model_does_not_exist_for_another_organization() {
    let rig = Rig::start().await;
    rig.models().register_model(registration("mine", "ours")).await.expect("registered");
    let mut other = rig.models_as(admin("other"));
    let get = || pb::GetModelRequest { id: "mine".to_owned() };
    assert_eq!(reason(&other.get_model(get()).await.expect_err("gone")), "MODEL_NOT_FOUND");
    let delete = || pb::DeleteModelRequest { id: "mine".to_owned() };
    assert_eq!(reason(&other.delete_model(delete()).await.expect_err("gone")), "MODEL_NOT_FOUND");
    let asked = rig.inferences_as(admin("other")).infer(ask("mine", "hi")).await;
    assert_eq!(reason(&asked.expect_err("gone")), "MODEL_NOT_FOUND");
    let listed = other.list_models(pb::ListModelsRequest::default()).await.expect("models");
    let ids: Vec<_> = listed.into_inner().models.into_iter().map(|model| model.id).collect();
    assert_eq!(ids, ["priced", "scripted-1", "scripted-embed-1"]);

    other.register_model(registration("mine", "theirs")).await.expect("the id is free there");
    assert_eq!(other.get_model(get()).await.expect("theirs").into_inner().name, "theirs");
    other.delete_model(delete()).await.expect("deleted");
    assert_eq!(rig.models().get_model(get()).await.expect("ours").into_inner().name, "ours");
}

#[tokio::test]
async fn an_organization_sees_what_it_spent_alone() {
    let rig = Rig::start().await;
    rig.infer("priced", "hi").await.expect("an answer");
    let costs = rig.costs_as(admin("other")).get_costs(pb::GetCostsRequest::default()).await;
    let costs = costs.expect("costs").into_inner();
    assert_eq!((costs.request_count, costs.lines.len()), (0, 0));
    let mut inferences = rig.inferences_as(admin("other"));
    inferences.infer(ask("priced", "hi")).await.expect("a configured model is everybody's");
    inferences.infer(ask("", "hi")).await.expect("so is the default");
    assert_eq!(rig.costs("caller").await.request_count, 1);
}
