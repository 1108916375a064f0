//! The registry against a real (in-memory) object store; two `Projects` over one store stand for two processes.

use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};

use super::*;

fn new(name: &str) -> NewProject {
    NewProject { name: name.to_owned(), timezone: chrono_tz::Europe::Berlin, merge: MergeMode::Simplified, shards: 4 }
}

async fn open(store: &Arc<InMemory>) -> Projects {
    Projects::open(store.clone(), None).await.unwrap()
}

#[tokio::test]
async fn a_project_is_found_by_all_its_names() {
    let projects = open(&Arc::default()).await;
    let made = projects.create(new("My Shop")).await.unwrap();
    assert_eq!(made.project_id, ProjectId(1));
    let account = &made.service_account;
    assert!(account.username.starts_with("my-shop.") && account.username.ends_with(".mp-service-account"));

    let project = projects.by_id(ProjectId(1)).await.unwrap().unwrap();
    assert_eq!((project.name.as_str(), project.timezone, project.shards), ("My Shop", chrono_tz::Europe::Berlin, 4));
    for found in [
        projects.by_token(&made.token).await,
        projects.by_api_secret(&made.api_secret).await,
        projects.by_name_or_id("My Shop").await,
        projects.by_name_or_id("1").await,
    ] {
        assert_eq!(found.unwrap().unwrap(), project);
    }
    let who = projects.by_service_account(&account.username, &account.secret).await.unwrap().unwrap();
    assert!(who.may_access(ProjectId(1)) && !who.may_access(ProjectId(2)));
    assert_eq!(projects.by_service_account(&account.username, "wrong").await.unwrap(), None);
    assert_eq!(projects.by_token(&made.api_secret).await.unwrap(), None);
    assert_eq!(projects.by_api_secret(&made.token).await.unwrap(), None);
}

#[tokio::test]
async fn a_project_made_by_another_process_is_found_at_once() {
    let store = Arc::default();
    let (server, command) = (open(&store).await, open(&store).await);
    assert_eq!(server.by_token(&random_hex(16)).await.unwrap(), None);
    let made = command.create(new("a")).await.unwrap();
    assert!(server.by_token(&made.token).await.unwrap().is_some());
    let made = command.create(new("b")).await.unwrap();
    assert!(server.by_api_secret(&made.api_secret).await.unwrap().is_some());
}

#[tokio::test]
async fn unknown_tokens_share_listings() {
    let projects = Arc::new(open(&Arc::default()).await);
    let before = Instant::now();
    let lookups = (0..1000).map(|_| {
        let projects = projects.clone();
        tokio::spawn(async move { projects.by_token(&random_hex(16)).await.unwrap() })
    });
    for lookup in lookups.collect::<Vec<_>>() {
        assert_eq!(lookup.await.unwrap(), None);
    }
    assert!(before.elapsed() <= 2 * LISTING_INTERVAL);
}

#[tokio::test]
async fn creators_at_the_same_time_get_different_ids_and_one_gets_the_name() {
    let store = Arc::default();
    let (a, b) = (open(&store).await, open(&store).await);
    let (x, y) = tokio::join!(a.create(new("x")), b.create(new("y")));
    assert_ne!(x.unwrap().project_id, y.unwrap().project_id);
    let (x, y) = tokio::join!(a.create(new("same")), b.create(new("same")));
    assert_eq!([x.is_ok(), y.is_ok()].into_iter().filter(|ok| *ok).count(), 1);
    assert_eq!(a.list().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_rotated_token_replaces_the_old_one_everywhere() {
    let store = Arc::default();
    let (server, command) = (open(&store).await, open(&store).await);
    let made = command.create(new("a")).await.unwrap();
    server.by_token(&made.token).await.unwrap().unwrap();
    let rotated = command.rotate_token(made.project_id).await.unwrap();
    assert_ne!(rotated.token, made.token);
    assert!(server.by_token(&rotated.token).await.unwrap().is_some());
    assert_eq!(server.by_token(&made.token).await.unwrap(), None);
    let again = command.rotate_token(made.project_id).await.unwrap();
    assert_eq!(open(&store).await.by_id(made.project_id).await.unwrap().unwrap().token, again.token);
}

#[tokio::test]
async fn the_administrator_is_made_once() {
    let store = Arc::default();
    let (a, b) = (open(&store).await, open(&store).await);
    let admin = a.ensure_admin().await.unwrap().unwrap();
    assert!(a.ensure_admin().await.unwrap().is_none());
    assert!(b.ensure_admin().await.unwrap().is_none());
    let who = b.by_service_account(&admin.username, &admin.secret).await.unwrap().unwrap();
    assert!(who.may_access(ProjectId(77)) && who.only_project().is_none());
}

#[tokio::test]
async fn secrets_are_not_in_the_files() {
    let store: Arc<InMemory> = Arc::default();
    let made = open(&store).await.create(new("a")).await.unwrap();
    let file = store.get(&folder_path("1.json")).await.unwrap().bytes().await.unwrap();
    let text = String::from_utf8(file.to_vec()).unwrap();
    assert!(text.contains(&made.token));
    assert!(!text.contains(&made.api_secret) && !text.contains(&made.service_account.secret));
}

#[tokio::test]
async fn names_that_cannot_be_told_from_ids_are_refused() {
    let projects = open(&Arc::default()).await;
    for name in ["", "  ", "42", " a", "a\nb"] {
        assert_eq!(projects.create(new(name)).await.unwrap_err().kind, ErrorKind::Invalid, "{name:?}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_named_and_never_taken_for_another_project() {
    let store: Arc<InMemory> = Arc::default();
    open(&store).await.create(new("a")).await.unwrap();
    let path = folder_path("1.json");
    let file = store.get(&path).await.unwrap().bytes().await.unwrap();
    let shards = file.windows(8).position(|bytes| bytes == b"\"shards\"").unwrap();
    let mut damaged = file.to_vec();
    // `"shards": 4` becomes 5.
    damaged[shards + 10] ^= 1;
    store.put(&path, PutPayload::from(damaged)).await.unwrap();
    let error = Projects::open(store.clone(), None).await.err().unwrap();
    assert!(error.kind == ErrorKind::Corrupt && error.message.contains("projects/1.json"), "{error}");
}
