//! Cards where several front ends share one state.

use super::*;
use crate::company::Company;
use crate::support::SOON;

#[tokio::test]
async fn cards_are_posted_once_and_answered_through_any_replica() {
    let (world, company) = (desk().await, Company::new());
    let first = world.replica(&company).await;
    let _second = world.replica(&company).await;
    let mut posted = 0;
    let mut asked = vec![];
    for path in ["one", "two", "open"] {
        let id = world
            .request(ALICE, &format!("/request_secret {path} to fix the login"))
            .await;
        let card = world.shows(&id, "waits for approval").await;
        posted += 1;
        assert_eq!(world.cards(&id).len(), 1);
        asked.push((id, card));
    }
    // Whichever replica takes the replies: only one has posted the cards.
    for (_, card) in &asked {
        world.post_to_desk(BOB, Draft::new("approve").reply_to(card.id));
    }
    world.shows(&asked[0].0, "✅ is granted").await;
    world.shows(&asked[2].0, "✅ is granted").await;
    world.shows(&asked[1].0, "so far 1").await;
    let edits = world.dc.count("messages.editMessage");
    assert!(edits >= 3, "{edits}");

    // Another goes on when that one ends.
    first.kill().await;
    world.post_to_desk(CAROL, Draft::new("approve").reply_to(asked[1].1.id));
    world.shows(&asked[1].0, "✅ is granted").await;
    let all = world.desk().into_iter();
    let cards = all.filter(|it| it.text.starts_with("📋")).count();
    assert_eq!(cards, posted);
}

#[tokio::test]
async fn a_reply_to_a_card_of_another_replica_is_a_vote() {
    let (world, company) = (desk().await, Company::new());
    let first = world.replica(&company).await;
    let _second = world.replica(&company).await;
    let (_, card) = world.waiting("one").await;
    assert_eq!(company.owner("cards/"), Some(0));
    world.quiet().await;
    // The second alone sees the reply; the cards are still the first one's.
    first.fall_silent().await;
    world.post_to_desk(BOB, Draft::new("approve").reply_to(card.id));
    let granted = async {
        loop {
            let answer = world.ask(ALICE, "/get_secret one").await;
            if answer.text.contains("hunter2") {
                break;
            }
            tokio::time::sleep(A_WHILE).await;
        }
    };
    tokio::time::timeout(SOON, granted).await.expect("a grant");
    assert_eq!(company.owner("duties/chat"), Some(0));
}
