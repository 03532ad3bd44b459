//! A thousand questions at once: none lost, none answered twice.

use std::collections::HashMap;

use telegram_dc::Chat;

use crate::setting;
use crate::stage::{BROKER, PASSWORD, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_are_each_answered_once() {
    let crowd: Vec<i64> = (20_000..20_050).collect();
    let mut setting = setting();
    setting.crowd.clone_from(&crowd);
    setting.log = "vaultgram=info";
    let mut stage = Stage::build(setting).await;
    stage.start().await;
    let mut sent = HashMap::new();
    for round in 0..20 {
        for person in &crowd {
            // In every other round a different field, so that answers can be told apart.
            let field = if round % 2 == 0 {
                "password"
            } else {
                "username"
            };
            let text = format!("/get_secret django/database#{field}");
            stage.dc.send(*person, Chat::User(BROKER), text).unwrap();
            *sent.entry(*person).or_insert(0) += 1;
        }
    }
    let answers = |person: i64| {
        let chat = stage.chat(person);
        let passwords = chat
            .iter()
            .filter(|m| !m.out && m.text.contains(PASSWORD))
            .count();
        (chat.iter().filter(|m| !m.out).count(), passwords)
    };
    let all = || crowd.iter().map(|person| answers(*person).0).sum::<usize>();
    stage.wait("everybody is answered", || all() >= 1000).await;
    // Whatever would come twice would come now.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    for person in crowd {
        assert_eq!(answers(person), (20, 10), "{person}");
    }
}
