//! Places at deployments.

use lightning_mesh::clock::Timestamp;

use super::*;
use crate::domain::{AgentId, Order};

fn deployment(replicas: i32) -> Deployment {
    let agent_id = AgentId::generate();
    let order = Order { agent_id, version: None, environment: "production".to_owned(), replicas };
    order.deployment("default", DeploymentId::generate(), 1, Timestamp::from_micros(0))
}

#[test]
fn a_deployment_admits_as_many_as_it_has_replicas() {
    let admission = Admission::new(100, Arc::default());
    let (two, other) = (deployment(2), deployment(1));
    let first = admission.enter(&two).unwrap();
    let _second = admission.enter(&two).unwrap();
    assert!(matches!(admission.enter(&two), Err(Error::ConcurrencyLimit { replicas: 2, .. })));
    assert!(admission.enter(&other).is_ok());
    drop(first);
    assert!(admission.enter(&two).is_ok());
}

#[test]
fn the_process_admits_no_more_than_its_bound() {
    let admission = Admission::new(2, Arc::default());
    let permits = [deployment(1), deployment(1)].map(|each| admission.enter(&each).unwrap());
    assert!(matches!(admission.enter(&deployment(1)), Err(Error::Busy { limit: 2 })));
    drop(permits);
    assert!(admission.enter(&deployment(1)).is_ok());
    assert!(admission.lock().by_deployment.is_empty());
}

#[test]
fn the_figures_count_what_runs_and_what_ran() {
    let tally = Arc::<Tally>::default();
    let admission = Admission::new(2, Arc::clone(&tally));
    let figure = |name: &str| {
        tally.figures().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    };
    let permit = admission.enter(&deployment(1)).unwrap();
    assert_eq!(figure("invocations_in_flight"), Some(1.0));
    drop(permit);
    assert_eq!(figure("invocations_in_flight"), Some(0.0));
    assert_eq!(figure("invocations_total"), Some(1.0));
}
