//! The arm of a user is the same for every instance and for Postgres.

use brune::rollouts;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::support::TestApp;

/// Returns a user id of up to 60 characters of all scripts, without NUL, which no text of Postgres contains.
fn random_user(random: &mut StdRng) -> String {
    let length = random.random_range(0..60);
    let limits = [0x80, 0x800, 0x1_0000, 0x11_0000];
    let mut letter = || loop {
        let limit = limits[random.random_range(0..limits.len())];
        // Surrogates are no characters.
        if let Some(letter) = char::from_u32(random.random_range(1..limit)) {
            return letter;
        }
    };
    (0..length).map(|_| letter()).collect()
}

#[tokio::test]
async fn postgres_and_the_service_compute_the_same_bucket() {
    let app = TestApp::new().await;
    let mut random = StdRng::seed_from_u64(17);
    let pairs = std::iter::repeat_with(|| {
        let salt: [u8; 16] = random.random();
        (salt.to_vec(), random_user(&mut random))
    });
    let (salts, users): (Vec<_>, Vec<_>) = pairs.take(20_000).unzip();
    let sql = "select brune_rollout_bucket(salt, user_id)
        from unnest($1::bytea[], $2::text[]) with ordinality as pairs (salt, user_id, position) order by position";
    let query = sqlx::query_scalar(sql).bind(&salts).bind(&users);
    let buckets: Vec<i32> = query.fetch_all(&app.db.owner()).await.unwrap();
    assert_eq!(buckets.len(), users.len());
    for ((salt, user), bucket) in salts.iter().zip(&users).zip(buckets) {
        assert_eq!(i32::from(rollouts::bucket(salt, user)), bucket, "{user:?}");
    }
}
