//! Runs that are told of: whose, by whom, how often GitHub is asked, and what is to stand in the chat.

use std::time::Duration;

use vaultgram::broker::ports::pipelines::{Repository, RunId, State};
use vaultgram::broker::{Broker, Followed, Looker, Outcome, Place, RunError, RunStanding};
use vaultgram::domain::{Action, PipelineAction};

use crate::github::{Fault, GitHub};
use crate::pipelines::{REPOSITORY, begin, refused, start, wanted, world};
use crate::world::{ALICE, World, user};

const WATCH: Action = Action::Pipeline(PipelineAction::Watch);
const DEPLOYS: &str = "github/acme/shop/deploy.yml#main";

/// What the messages say.
fn words(standing: &RunStanding<'_>) -> String {
    let state = match standing.run.state {
        State::Queued => "queued",
        State::Waiting => "waiting",
        State::Running => "running",
        State::Done(_) => "done",
    };
    format!("{} {state}", standing.run.id)
}

async fn look(broker: &Broker, looker: &mut Looker) -> Vec<Followed> {
    broker.look_at_pipelines(looker, &words).await.unwrap();
    broker.followed().await.unwrap()
}

fn texts(followed: &[Followed]) -> Vec<&str> {
    followed.iter().map(|it| it.text.as_str()).collect()
}

fn end(github: &GitHub, run: u64) {
    let mut world = github.world();
    world.advance(REPOSITORY, run, "completed", Some("success"));
}

/// Has Alice watch deployments.
async fn watching() -> (GitHub, World) {
    let (github, world) = world().await;
    let watched = world.ask(WATCH, DEPLOYS).await.unwrap();
    assert!(matches!(watched, Outcome::Watching(true)));
    (github, world)
}

#[tokio::test]
async fn who_looks_next_goes_on_where_the_last_one_ended() {
    let (github, world) = watching().await;
    let (first, second) = (world.broker(), world.broker());
    let (mut looker, mut other) = (Looker::default(), Looker::default());
    assert!(look(&first, &mut looker).await.is_empty());
    let run = begin(&github, "deploy.yml");
    begin(&github, "other.yml");
    world.clock.pass(Duration::from_secs(20));
    let followed = look(&first, &mut looker).await;
    assert_eq!(texts(&followed), [format!("{run} queued")]);
    assert!(followed[0].is_stale() && followed[0].revision == 1);
    let place = Place {
        message: Some(7),
        revision: Some(1),
        refused: false,
    };
    assert!(first.shown(&followed[0], place).await.unwrap());
    assert!(
        !first.shown(&followed[0], place).await.unwrap(),
        "it is another one by now"
    );
    end(&github, run);
    let followed = look(&second, &mut other).await;
    assert_eq!(texts(&followed), [format!("{run} done")]);
    assert_eq!((followed[0].revision, followed[0].place), (2, place));
    // What ended is not asked for again; in the end it is forgotten.
    let asked = || github.calls(&format!("/runs/{run}")).len();
    let before = asked();
    world.clock.pass(Duration::from_hours(1));
    look(&second, &mut other).await;
    assert_eq!(asked(), before);
    world.clock.pass(Duration::from_hours(72));
    assert!(look(&second, &mut other).await.is_empty());
}

#[tokio::test]
async fn github_is_asked_less_often_for_what_stands_still_and_not_when_it_wants_rest() {
    let (github, world) = watching().await;
    let (broker, mut looker) = (world.broker(), Looker::default());
    let run = begin(&github, "deploy.yml");
    look(&broker, &mut looker).await;
    let asked = || github.calls(&format!("/runs/{run}")).len();
    let before = asked();
    for _ in 0..360 {
        world.clock.pass(Duration::from_secs(20));
        look(&broker, &mut looker).await;
    }
    let often = asked() - before;
    assert!((20..60).contains(&often), "{often} times in two hours");
    // Away: then there is a wait, and a longer one.
    let calls = || github.calls("").len();
    for _ in 0..12 {
        github.fault("GET", Fault::Dropped);
    }
    world.clock.pass(Duration::from_hours(1));
    look(&broker, &mut looker).await;
    let before = calls();
    world.clock.pass(Duration::from_secs(4));
    look(&broker, &mut looker).await;
    assert_eq!(calls(), before, "nothing is asked for a while");
    github.world().faults.clear();
    end(&github, run);
    world.clock.pass(Duration::from_secs(10));
    let followed = look(&broker, &mut looker).await;
    assert_eq!(texts(&followed), [format!("{run} done")]);
}

#[tokio::test]
async fn what_policy_takes_back_is_told_no_more() {
    let (github, mut world) = watching().await;
    let chat = ALICE.0;
    let listed = world.broker().watched_in(chat, &user(ALICE)).await.unwrap();
    assert_eq!(listed.len(), 1);
    world.policy = "permit(principal, action == Action::\"read\", resource);".to_owned();
    let (broker, mut looker) = (world.broker(), Looker::default());
    begin(&github, "deploy.yml");
    let asked = github.calls("/runs").len();
    assert!(look(&broker, &mut looker).await.is_empty());
    assert_eq!(github.calls("/runs").len(), asked);
    assert!(
        broker
            .watched_in(chat, &user(ALICE))
            .await
            .unwrap()
            .is_empty()
    );
    let outcome = world.ask(WATCH, DEPLOYS).await.unwrap();
    assert!(matches!(outcome, Outcome::Denied(_)));
}

#[tokio::test]
async fn what_is_heard_is_looked_at_at_once_and_once() {
    let (github, world) = watching().await;
    let (broker, mut looker) = (world.broker(), Looker::default());
    let run = begin(&github, "deploy.yml");
    look(&broker, &mut looker).await;
    end(&github, run);
    assert_eq!(
        texts(&look(&broker, &mut looker).await),
        [format!("{run} queued")]
    );
    let repository = Repository::new(REPOSITORY).unwrap();
    let id = RunId::new(run).unwrap();
    // By another process.
    world.broker().hear_of_run(&repository, id).await.unwrap();
    assert_eq!(
        texts(&look(&broker, &mut looker).await),
        [format!("{run} done")]
    );
    let before = github.calls("").len();
    look(&broker, &mut looker).await;
    assert_eq!(github.calls("").len(), before);
    assert!(!broker.serves_pipelines_of(&Repository::new("evil/shop").unwrap()));
}

#[tokio::test]
async fn a_run_that_github_shows_late_is_told_and_one_that_it_never_shows_is_given_up() {
    let (github, world) = world().await;
    let (broker, mut looker) = (world.broker(), Looker::default());
    let request = wanted(&world, &broker, start(&[("version", "v1")])).await;
    assert!(matches!(
        broker.handle(request).await,
        Ok(Outcome::Operated(_))
    ));
    let asked = || github.calls("GET /repos/acme/shop/actions/runs/1001").len();
    let hide = || github.fault("/actions/runs/1001", Fault::Status(404));
    hide();
    assert_eq!(texts(&look(&broker, &mut looker).await), [""]);
    world.clock.pass(Duration::from_secs(20));
    let followed = look(&broker, &mut looker).await;
    assert_eq!(texts(&followed), ["1001 queued"]);
    // What was shown once and is gone is over.
    hide();
    world.clock.pass(Duration::from_secs(20));
    look(&broker, &mut looker).await;
    let before = asked();
    world.clock.pass(Duration::from_hours(1));
    look(&broker, &mut looker).await;
    assert_eq!(asked(), before);

    let request = wanted(&world, &broker, start(&[("version", "v1")])).await;
    assert!(matches!(
        broker.handle(request).await,
        Ok(Outcome::Operated(_))
    ));
    let asked = || github.calls("GET /repos/acme/shop/actions/runs/1002").len();
    let shown = asked();
    for _ in 0..30 {
        github.fault("/actions/runs/1002", Fault::Status(404));
        world.clock.pass(Duration::from_secs(20));
        look(&broker, &mut looker).await;
    }
    let times = asked() - shown;
    assert!((5..10).contains(&times), "{times} times in ten minutes");
}

#[tokio::test]
async fn there_is_an_end_to_what_is_watched() {
    let (github, world) = world().await;
    for branch in 0..20 {
        let target = format!("github/acme/shop#b{branch}");
        assert!(world.ask(WATCH, &target).await.is_ok());
    }
    let more = world.ask(WATCH, "github/acme/shop#more").await;
    assert_eq!(refused(more), RunError::TooManyWatches);
    assert!(
        world.ask(WATCH, "github/acme/shop#b7").await.is_ok(),
        "it is one of them"
    );
    let unwatch = Action::Pipeline(PipelineAction::Unwatch);
    let ended = world.ask(unwatch, "github/acme/shop#b7").await.unwrap();
    assert!(matches!(ended, Outcome::Watching(false)));
    let again = world.ask(unwatch, "github/acme/shop#b7").await;
    assert_eq!(refused(again), RunError::NotWatched);
    assert!(
        world
            .ask(WATCH, "github/acme/shop/nothing.yml")
            .await
            .is_err()
    );
    drop(github);
}
