//! The limit against simulated services, in paused time.

use http_body_util::BodyExt as _;
use tower::{Service as _, ServiceExt as _, service_fn};

use super::*;
use crate::figures::Figures;

const GET: &str = "/lightning.agents.v1.AgentService/GetAgent";
const WATCH: &str = "/lightning.monitoring.v1.MonitoringService/WatchServices";
const LOGIN: &str = "/lightning.auth.v1.AuthService/Login";

fn config(initial: usize, min: usize) -> ConcurrencyConfig {
    ConcurrencyConfig { initial, min, max: 4_096, max_long: 4 }
}

/// Serves `rounds` rounds of as many calls at once as are let in of `wanted`, at a service that does
/// `workers` calls at once in `work` each; tells the limit in the end.
async fn load(
    adaptive: &mut Adaptive,
    wanted: usize,
    workers: usize,
    work: Duration,
    rounds: usize,
) {
    for _ in 0..rounds {
        let takes = (0..wanted).map_while(|_| adaptive.take(GET, false, false));
        let taken: Vec<Class> = takes.collect();
        let mut latency = Duration::ZERO;
        for (call, class) in taken.into_iter().enumerate() {
            if call % workers == 0 {
                latency += work;
                tokio::time::advance(work).await;
            }
            adaptive.learn(GET, class, latency, Outcome::Worked, Instant::now());
            adaptive.give_back(class);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_falls_to_what_the_service_can_do_and_rises_again() {
    let mut adaptive = Adaptive::new(&config(512, 8), Instant::now());
    let work = Duration::from_millis(100);
    load(&mut adaptive, 4, 4, work, 100).await;
    assert_eq!(adaptive.limit(), 512, "little load says nothing");
    // Nor does it get used to being overloaded.
    for rounds in [100, 1_000] {
        load(&mut adaptive, 2_000, 4, work, rounds).await;
        let overloaded = adaptive.limit();
        assert!((8..=48).contains(&overloaded), "{overloaded}");
    }
    // The service grows: more calls at once, each as fast as ever.
    load(&mut adaptive, 2_000, 400, work, 200).await;
    let grown = adaptive.limit();
    assert!(grown >= 300, "{grown}");
    assert_eq!(adaptive.under_way(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_merely_busy_keeps_its_limit() {
    let mut adaptive = Adaptive::new(&config(512, 8), Instant::now());
    load(&mut adaptive, 1, 4, Duration::from_micros(100), 100).await;
    // A thousand callers at once, and none waits for longer than 13 ms.
    load(&mut adaptive, 1_000, 4, Duration::from_micros(100), 500).await;
    assert!(adaptive.limit() >= 512, "{}", adaptive.limit());
}

#[tokio::test(start_paused = true)]
async fn the_limit_stays_within_its_bounds() {
    let mut adaptive = Adaptive::new(&config(64, 64), Instant::now());
    load(&mut adaptive, 2, 1, Duration::from_millis(100), 50).await;
    load(&mut adaptive, 2_000, 1, Duration::from_millis(100), 50).await;
    assert_eq!(adaptive.limit(), 64);
    load(&mut adaptive, 100_000, 100_000, Duration::from_millis(100), 150).await;
    assert!(adaptive.limit() <= 4_096);
}

#[tokio::test(start_paused = true)]
async fn a_method_that_is_slow_by_nature_is_no_measure() {
    let mut adaptive = Adaptive::new(&config(64, 8), Instant::now());
    let slow = Duration::from_secs(5);
    adaptive.learn(GET, Class::Quick, slow, Outcome::Worked, Instant::now());
    for _ in 0..4 {
        assert_eq!(adaptive.take(GET, false, false), Some(Class::Long));
    }
    assert_eq!(adaptive.take(GET, false, false), None, "but it is bounded");
    for _ in 0..1_000 {
        tokio::time::advance(Duration::from_millis(10)).await;
        adaptive.learn(GET, Class::Long, slow * 10, Outcome::Worked, Instant::now());
    }
    assert_eq!(adaptive.limit(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_reached_teaches_nothing() {
    let mut adaptive = Adaptive::new(&config(64, 8), Instant::now());
    adaptive.learn(GET, Class::Quick, Duration::from_millis(20), Outcome::Worked, Instant::now());
    let silent = Outcome::of(Some(Code::Unavailable));
    for _ in 0..1_000 {
        tokio::time::advance(Duration::from_millis(1)).await;
        adaptive.learn(GET, Class::Quick, Duration::ZERO, silent, Instant::now());
    }
    load(&mut adaptive, 8, 8, Duration::from_millis(20), 100).await;
    assert_eq!(adaptive.limit(), 64);
}

/// A service whose answers have a body that never ends.
fn endless(
    places: &Places,
) -> Guarded<
    impl Clone
    + tower::Service<
        Request<Body>,
        Response = Response<Body>,
        Error = Infallible,
        Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
    >,
> {
    places.guard(service_fn(|_: Request<Body>| async {
        let body = http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, Status>,
        >());
        Ok(Response::new(Body::new(body)))
    }))
}

fn places(word: &'static str, initial: usize, min: usize) -> Places {
    Places::new(word, &config(initial, min), Figures::default().service(word))
}

fn ask(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_place_is_held_until_the_body_ends_and_more_are_refused_at_once() {
    let places = places("agents", 2, 1);
    let guarded = endless(&places);
    let first = guarded.clone().oneshot(ask(GET)).await.unwrap();
    let second = guarded.clone().oneshot(ask(GET)).await.unwrap();
    assert_eq!(places.with(|adaptive| adaptive.under_way()), (2, 0));
    let refused = guarded.clone().oneshot(ask(GET)).await.unwrap();
    let status = Status::from_header_map(refused.headers()).unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    let info = lightning_mesh::fault::error_info(&status).unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["service"].as_str()),
        ("LIMIT_EXCEEDED", "agents")
    );
    drop(first);
    let third = guarded.clone().oneshot(ask(GET)).await.unwrap();
    assert!(!third.headers().contains_key("grpc-status"));
    drop((second, third));
    assert_eq!(places.with(|adaptive| adaptive.under_way()), (0, 0));
}

#[tokio::test]
async fn a_call_that_is_given_up_gives_its_place_back() {
    let places = places("agents", 2, 1);
    let mut never = places.guard(service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    }));
    let call = never.call(ask(GET));
    assert_eq!(places.with(|adaptive| adaptive.under_way()), (1, 0));
    drop(call);
    assert_eq!(places.with(|adaptive| adaptive.under_way()), (0, 0));
}

#[tokio::test]
async fn a_body_that_ended_holds_nothing() {
    let places = places("agents", 2, 1);
    let ends = places.guard(service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::new(http_body_util::Full::from("x"))))
    }));
    let mut response = ends.oneshot(ask(GET)).await.unwrap();
    while response.body_mut().frame().await.is_some() {}
    assert_eq!(places.with(|adaptive| adaptive.under_way()), (0, 0));
}

#[tokio::test]
async fn signing_in_has_a_reserve_and_streams_have_places_of_their_own() {
    let places = places("auth", 4, 1);
    let guarded = endless(&places);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(guarded.clone().oneshot(ask(GET)).await.unwrap());
        held.push(guarded.clone().oneshot(ask(WATCH)).await.unwrap());
    }
    let is_refused = async |path: &str| {
        let answer = guarded.clone().oneshot(ask(path)).await.unwrap();
        answer.headers().contains_key("grpc-status")
    };
    assert!(is_refused(GET).await && is_refused(WATCH).await);
    assert!(!is_refused(LOGIN).await);
}
