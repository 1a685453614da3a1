//! The outbox in the console, with a sink that rejects its first message.

use crate::{
    run, scripts,
    support::{
        SECRET, TestApp, admin,
        binary::Home,
        receiver::{Receiver, status},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_is_retried_from_the_console() {
    let app = TestApp::new().await;
    let mut deliveries = 0;
    let receiver = Receiver::answering(move |_| {
        deliveries += 1;
        status(if deliveries == 1 { 400 } else { 204 })
    })
    .await;
    let home = Home::on(&app.db)
        .with("JWT_SECRET", SECRET)
        .with("ALERT_ALLOW_PRIVATE", "true")
        .with("DISCORD_WEBHOOK_URL", &receiver.address());
    let service = home.serve();
    let base = format!("http://{}", service.address());
    let ada = admin("ada");
    let ben = admin("ben");
    let variables =
        [("BASE", &*base), ("ADMIN", &ada), ("OTHER", &ben), ("NO_PROXY", "127.0.0.1,localhost")];
    run(&scripts(), "journey_outbox.mjs", &variables).await;
    assert_eq!(receiver.taken().len(), 1);
}
