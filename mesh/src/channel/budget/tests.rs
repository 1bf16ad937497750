//! What the budget grants, on a clock that the test moves.

use std::time::Duration;

use super::*;

fn budget() -> Budget {
    Budget::new(&RetryConfig::default())
}

/// Makes calls that all fail and tells how many retries were granted.
fn fail(budget: &Budget, calls: usize) -> usize {
    let granted = |_| {
        budget.called();
        // Two more attempts, as the policy has them.
        usize::from(budget.withdraw()) + usize::from(budget.withdraw())
    };
    (0..calls).map(granted).sum()
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_every_call_is_asked_at_most_a_fifth_more() {
    for calls in [15, 16, 40, 100, 1_000] {
        let granted = fail(&budget(), calls);
        assert!(granted * 5 <= calls, "{granted} of {calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_target_has_a_reserve_that_failures_do_not_refill() {
    let budget = budget();
    let mut granted = 0;
    for _ in 0..20 {
        granted += fail(&budget, 1);
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    assert_eq!(granted, 3);
    // Answers do.
    (0..5).for_each(|_| budget.answered());
    assert_eq!(fail(&budget, 1), 1);
}

#[tokio::test(start_paused = true)]
async fn busy_traffic_earns_retries_for_all_calls_under_way() {
    let budget = budget();
    (0..500).for_each(|_| {
        budget.called();
        budget.answered();
    });
    assert_eq!((0..500).filter(|_| budget.withdraw()).count(), 100);
}

#[tokio::test(start_paused = true)]
async fn old_calls_earn_nothing_and_old_retries_cost_nothing() {
    let budget = budget();
    let _ = fail(&budget, 50);
    assert!(!budget.withdraw());
    tokio::time::advance(Duration::from_secs(4)).await;
    (0..50).for_each(|_| budget.called());
    assert_eq!((0..50).filter(|_| budget.withdraw()).count(), 10);
    // Ten seconds after the first burst, and then long after everything.
    tokio::time::advance(Duration::from_secs(7)).await;
    assert!(!budget.withdraw());
    tokio::time::advance(Duration::from_secs(1_000)).await;
    assert!(!budget.withdraw());
    (0..5).for_each(|_| budget.called());
    assert!(budget.withdraw() && !budget.withdraw());
}

#[tokio::test(start_paused = true)]
async fn retries_of_hops_before_us_count_too() {
    let budget = budget();
    (0..100).for_each(|_| budget.called());
    (0..20).for_each(|_| budget.repeated());
    assert!(!budget.withdraw());
}
