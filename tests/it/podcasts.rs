//! What podcast clients keep in step: the rules of the domain (`src/domain/podcasts`), below any
//! dialect.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use gatelodge::domain::{
    Core,
    caller::{Caller, Credential, Origin},
    error::{Error, Field, Noun},
    podcasts::{
        MAX_ACTIONS, MAX_DEVICES, MAX_SUBSCRIPTIONS, SyncGroups,
        actions::ActionDraft,
        devices::DeviceName,
        episodes::{Action, ActionPage, ActionQuery},
        opml,
        subscriptions::SubscriptionChanges,
    },
    secret::Secret,
};
use rusqlite::Connection;

use super::house::{House, PASSWORD, START};

async fn caller(house: &House, name: &str) -> Caller {
    let password = Secret::new(PASSWORD);
    let credential = Credential::Basic { user: name.to_owned(), password };
    house.core.caller_of(Some(credential), Origin::local()).await.expect("somebody")
}

fn device(name: &str) -> DeviceName {
    DeviceName::parse(name).expect("a device's id")
}

fn feed(n: usize) -> String {
    format!("https://example.org/feed/{n}")
}

fn owned(urls: &[&str]) -> Vec<String> {
    urls.iter().map(|url| (*url).to_owned()).collect()
}

async fn change(core: &Core, who: &Caller, name: &str, add: &[&str], remove: &[&str]) -> i64 {
    let done = core.subscriptions_change(who, device(name), &owned(add), &owned(remove)).await;
    done.expect("a change").timestamp
}

async fn changes(core: &Core, who: &Caller, name: &str, since: i64) -> SubscriptionChanges {
    core.subscription_changes(who, device(name), since).await.expect("changes")
}

async fn added(core: &Core, who: &Caller, name: &str, since: i64) -> BTreeSet<String> {
    changes(core, who, name, since).await.added.into_iter().map(|one| one.url).collect()
}

async fn set_of(core: &Core, who: &Caller, name: &str) -> Vec<String> {
    let found = core.subscriptions_of_device(who, device(name)).await.expect("a set");
    found.into_iter().map(|one| one.url).collect()
}

fn draft(episode: &str, action: &str) -> ActionDraft {
    ActionDraft {
        podcast: feed(0),
        episode: format!("https://example.org/{episode}.mp3"),
        guid: None,
        device: Some("phone".to_owned()),
        action: action.to_owned(),
        timestamp: None,
        started: None,
        position: None,
        total: None,
    }
}

fn played(episode: &str, at: i64, position: i64) -> ActionDraft {
    ActionDraft {
        timestamp: Some(at.to_string()),
        started: Some(0),
        position: Some(position),
        total: Some(3600),
        ..draft(episode, "play")
    }
}

async fn upload(core: &Core, who: &Caller, drafts: Vec<ActionDraft>) -> i64 {
    core.actions_upload(who, drafts).await.expect("an upload").timestamp
}

async fn page(core: &Core, who: &Caller, query: &ActionQuery) -> ActionPage {
    core.actions_page(who, query, None).await.expect("a page")
}

async fn all(core: &Core, who: &Caller, query: &ActionQuery) -> (Vec<Action>, i64) {
    let mut read = page(core, who, query).await;
    let (mut actions, timestamp) = (read.actions, read.timestamp);
    while let Some(next) = read.next {
        read = core.actions_page(who, query, Some(next)).await.expect("a page");
        assert_eq!(read.timestamp, timestamp, "all pages tell up to one stamp");
        actions.append(&mut read.actions);
    }
    (actions, timestamp)
}

fn since(since: i64) -> ActionQuery {
    ActionQuery { since, ..ActionQuery::default() }
}

fn positions(actions: &[Action]) -> Vec<(String, Option<i64>)> {
    let short = |url: &str| url.trim_start_matches("https://example.org/").to_owned();
    let place = |action: &Action| action.playback.map(|playback| playback.position);
    actions.iter().map(|action| (short(&action.episode), place(action))).collect()
}

fn database(house: &House) -> Connection {
    Connection::open(house.database()).expect("the database")
}

fn count(house: &House, what: &str) -> i64 {
    let query = format!("SELECT count(*) FROM {what}");
    database(house).query_row(&query, [], |row| row.get(0)).expect(what)
}

#[tokio::test]
async fn stamps_grow_also_within_one_second_and_while_the_clock_stands() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    let first = change(core, &bob, "phone", &[&feed(1)], &[]).await;
    let second = change(core, &bob, "phone", &[&feed(2)], &[]).await;
    let third = upload(core, &bob, vec![draft("1", "new")]).await;
    assert_eq!((first, second, third), (START, START + 1, START + 2));
    assert_eq!(added(core, &bob, "phone", first).await, BTreeSet::from([feed(2)]));
    assert!(added(core, &bob, "phone", second).await.is_empty());
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(change(core, &bob, "phone", &[&feed(3)], &[]).await, START + 60);
    // A look changes nothing, so that it needs no stamp of its own.
    assert_eq!(changes(core, &bob, "phone", 0).await.timestamp, START + 60);
    assert_eq!(page(core, &bob, &since(0)).await.timestamp, START + 60);
    let ann = caller(&house, "ann").await;
    assert_eq!(page(core, &ann, &since(0)).await.timestamp, START + 60, "a clock of her own");
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_twice_under_concurrent_uploads() {
    let house = House::lived_in().await;
    let (core, bob) = (house.core.clone(), caller(&house, "bob").await);
    let (writers, each) = (8, 20);
    let write = |writer: usize| {
        let (core, bob) = (core.clone(), bob.clone());
        tokio::spawn(async move {
            for n in 0..each {
                let name = format!("{writer}-{n}");
                upload(&core, &bob, vec![draft(&name, "download"), draft(&name, "delete")]).await;
                change(&core, &bob, "phone", &[&feed(1 + writer * each + n)], &[]).await;
            }
        })
    };
    let tasks: Vec<_> = (0..writers).map(write).collect();
    let (mut actions, mut feeds) = (Vec::new(), Vec::new());
    let (mut last, mut seen) = (0, 0);
    loop {
        let done = tasks.iter().all(tokio::task::JoinHandle::is_finished);
        let (mut found, stamp) = all(&core, &bob, &since(last)).await;
        actions.append(&mut found);
        last = stamp;
        let found = changes(&core, &bob, "phone", seen).await;
        feeds.extend(found.added.into_iter().map(|one| one.url));
        seen = found.timestamp;
        if done {
            break;
        }
    }
    for ended in join_all(tasks).await {
        ended.expect("a writer");
    }
    let told: BTreeSet<_> = actions.iter().map(|one| (&one.episode, one.kind.name())).collect();
    assert_eq!((actions.len(), told.len()), (writers * each * 2, writers * each * 2));
    let told: BTreeSet<_> = feeds.iter().collect();
    assert_eq!((feeds.len(), told.len()), (writers * each, writers * each));
}

#[tokio::test]
async fn devices_of_a_group_share_what_they_subscribe_to() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    let (a, b, both) = (feed(1), feed(2), feed(3));
    change(core, &bob, "phone", &[&a, &both], &[]).await;
    let before = change(core, &bob, "desk", &[&b, &both], &[]).await;
    let groups = vec![vec![device("phone"), device("desk")]];
    let formed = core.sync_groups_change(&bob, groups, Vec::new()).await.expect("a group");
    let wanted = SyncGroups { groups: vec![owned(&["phone", "desk"])], alone: Vec::new() };
    assert_eq!(formed, wanted);
    // Each learns of what only the other had.
    assert!(added(core, &bob, "phone", before).await.contains(&b));
    assert!(added(core, &bob, "desk", before).await.contains(&a));
    assert_eq!(set_of(core, &bob, "phone").await, set_of(core, &bob, "desk").await);
    let after = changes(core, &bob, "desk", before).await.timestamp;

    change(core, &bob, "phone", &[&feed(4)], &[&b]).await;
    let told = changes(core, &bob, "desk", after).await;
    assert_eq!(told.removed, [b]);
    assert_eq!(added(core, &bob, "desk", after).await, BTreeSet::from([feed(4)]));

    let stop = vec![device("desk")];
    let parted = core.sync_groups_change(&bob, Vec::new(), stop).await.expect("no group");
    assert_eq!(parted, SyncGroups { groups: vec![], alone: owned(&["phone", "desk"]) });
    change(core, &bob, "phone", &[&feed(5)], &[&a]).await;
    assert_eq!(set_of(core, &bob, "desk").await, [a, both, feed(4)]);
}

#[tokio::test]
async fn groups_grow_together_and_a_device_must_be_there() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    for (n, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        change(core, &bob, name, &[&feed(n)], &[]).await;
    }
    let group = |names: &[&str]| names.iter().map(|name| device(name)).collect::<Vec<_>>();
    let groups = vec![group(&["a", "b"]), group(&["c", "d"]), group(&["b", "c"])];
    let formed = core.sync_groups_change(&bob, groups, group(&["e"])).await.expect("a group");
    assert_eq!((formed.groups.len(), formed.groups[0].len()), (1, 4));
    assert_eq!(formed.alone, ["e"]);
    assert_eq!(set_of(core, &bob, "d").await.len(), 4);
    for (groups, stop) in [(vec![group(&["a", "nobody"])], vec![]), (vec![], group(&["nobody"]))] {
        let refused = core.sync_groups_change(&bob, groups, stop).await;
        assert!(matches!(refused, Err(Error::NotFound(Noun::Device))));
    }
    let alone = core.sync_groups_change(&bob, vec![group(&["a"])], vec![]).await;
    assert!(matches!(alone, Err(Error::Invalid(Field::SyncGroup, _))));
    // Somebody else's devices are not there.
    let ann = caller(&house, "ann").await;
    let theirs = core.sync_groups_change(&ann, vec![group(&["a", "b"])], vec![]).await;
    assert!(matches!(theirs, Err(Error::NotFound(Noun::Device))));
}

#[tokio::test]
async fn who_asks_from_the_beginning_is_told_of_no_removal() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    let stamp = change(core, &bob, "phone", &[&feed(1), &feed(2)], &[]).await;
    change(core, &bob, "phone", &[], &[&feed(1)]).await;
    assert_eq!(changes(core, &bob, "phone", stamp).await.removed, [feed(1)]);
    let whole = changes(core, &bob, "phone", 0).await;
    assert_eq!((whole.added.len(), whole.removed.len()), (1, 0));
    // What never was leaves no trace, and what is so already keeps its stamp.
    let stamp = change(core, &bob, "phone", &[&feed(2)], &[&feed(9)]).await - 1;
    let nothing = changes(core, &bob, "phone", stamp).await;
    assert!(nothing.added.is_empty() && nothing.removed.is_empty());
}

#[tokio::test]
async fn the_same_action_again_changes_nothing() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    let sent = vec![played("1", START, 10), played("2", START, 20)];
    let stamp = upload(core, &bob, sent.clone()).await;
    let again = upload(core, &bob, sent).await;
    assert!(again > stamp);
    assert!(page(core, &bob, &since(stamp)).await.actions.is_empty());
    assert_eq!(page(core, &bob, &since(0)).await.actions.len(), 2);
    // The same moment with another position is the same action, told anew.
    upload(core, &bob, vec![played("1", START, 11)]).await;
    let told = page(core, &bob, &since(again)).await.actions;
    assert_eq!(positions(&told), [("1.mp3".to_owned(), Some(11))]);
    let whole = page(core, &bob, &since(0)).await.actions;
    let wanted = [("2.mp3".to_owned(), Some(20)), ("1.mp3".to_owned(), Some(11))];
    assert_eq!(positions(&whole), wanted);
    // Another device, another kind or another moment is another action.
    let other = ActionDraft { device: None, ..played("1", START, 11) };
    upload(core, &bob, vec![other, played("1", START + 1, 11), draft("1", "delete")]).await;
    assert_eq!(page(core, &bob, &since(0)).await.actions.len(), 5);
}

#[tokio::test]
async fn aggregated_is_the_latest_of_each_episode_by_when_it_happened() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    upload(core, &bob, vec![played("1", START + 50, 50), played("2", START, 5)]).await;
    let desk = ActionDraft { device: Some("desk".to_owned()), ..played("1", START + 20, 20) };
    let stamp = upload(core, &bob, vec![desk, played("3", START, 1)]).await;
    let latest = ActionQuery { aggregated: true, ..ActionQuery::default() };
    let found = positions(&page(core, &bob, &latest).await.actions);
    let wanted = [("1.mp3", 50), ("2.mp3", 5), ("3.mp3", 1)];
    assert_eq!(found, wanted.map(|(name, place)| (name.to_owned(), Some(place))));
    let on_desk = ActionQuery { device: Some("desk".to_owned()), ..latest.clone() };
    let found = positions(&page(core, &bob, &on_desk).await.actions);
    assert_eq!(found, [("1.mp3".to_owned(), Some(20))]);
    let lately = ActionQuery { since: stamp - 1, ..latest };
    assert_eq!(page(core, &bob, &lately).await.actions.len(), 2);
}

#[tokio::test]
async fn conditions_that_name_nothing_find_nothing() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    let other = ActionDraft { podcast: feed(7), device: None, ..draft("1", "new") };
    upload(core, &bob, vec![draft("1", "new"), other]).await;
    let of = |podcast: Option<&str>, device: Option<&str>| ActionQuery {
        podcast: podcast.map(str::to_owned),
        device: device.map(str::to_owned),
        ..ActionQuery::default()
    };
    for (query, found) in [
        (of(Some(&feed(7)), None), 1),
        (of(Some("HTTPS://Example.org:443/feed/7/#x"), None), 1),
        (of(None, Some("phone")), 1),
        (of(Some(&feed(7)), Some("phone")), 0),
        (of(Some("https://example.org/other"), None), 0),
        (of(Some("nonsense"), None), 0),
        (of(None, Some("desk")), 0),
        (of(None, Some("no device")), 0),
    ] {
        assert_eq!(page(core, &bob, &query).await.actions.len(), found, "{query:?}");
    }
}

#[tokio::test]
async fn a_large_answer_comes_in_pages_that_lack_nothing() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    let many = |from: i64| (from..from + 1250).map(|n| played(&n.to_string(), START, n));
    upload(core, &bob, many(0).collect()).await;
    let stamp = upload(core, &bob, many(1250).collect()).await;
    let first = page(core, &bob, &since(0)).await;
    assert_eq!((first.actions.len(), first.timestamp), (1000, stamp));
    // What changes between two pages is told the next time.
    upload(core, &bob, vec![played("2400", START, 9999), played("new", START, 1)]).await;
    let mut read: Vec<Action> = first.actions;
    let mut next = first.next;
    while let Some(from) = next {
        let page = core.actions_page(&bob, &since(0), Some(from)).await.expect("a page");
        read.extend(page.actions);
        next = page.next;
    }
    assert_eq!(read.len(), 2499);
    let told = page(core, &bob, &since(stamp)).await.actions;
    let wanted = [("2400.mp3".to_owned(), Some(9999)), ("new.mp3".to_owned(), Some(1))];
    assert_eq!(positions(&told), wanted);
    let (whole, _) = all(core, &bob, &since(0)).await;
    assert_eq!(whole.len(), 2501);
}

#[tokio::test]
async fn there_are_bounds_to_what_an_account_keeps() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    for n in 0..MAX_DEVICES {
        core.device_update(&bob, device(&format!("d{n}")), None, None).await.expect("a device");
    }
    let refused = core.device_update(&bob, device("more"), None, None).await;
    assert!(matches!(refused, Err(Error::Invalid(Field::Device, _))));
    core.device_update(&bob, device("d0"), Some("old"), None).await.expect("an old one");

    let urls: Vec<String> = (0..MAX_SUBSCRIPTIONS).map(feed).collect();
    let feeds = opml::of_addresses(urls.iter().map(String::as_str)).expect("feeds");
    core.subscriptions_replace(&bob, device("d0"), feeds).await.expect("as many as may be");
    let more = core.subscriptions_change(&bob, device("d0"), &owned(&["http://x.org"]), &[]).await;
    assert!(matches!(more, Err(Error::Invalid(Field::Subscriptions, _))));
    assert_eq!(set_of(core, &bob, "d0").await.len(), MAX_SUBSCRIPTIONS, "nothing of it was kept");
    let beyond = urls.iter().map(String::as_str).chain(["http://x.org"]);
    assert!(opml::of_addresses(beyond).is_err());
}

#[tokio::test]
async fn subscriptions_that_ended_are_not_remembered_without_end() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    for round in 0..3 {
        let urls: Vec<String> = (0..8000).map(|n| feed(round * 8000 + n)).collect();
        let feeds = opml::of_addresses(urls.iter().map(String::as_str)).expect("feeds");
        core.subscriptions_replace(&bob, device("phone"), feeds).await.expect("a set");
    }
    assert_eq!(count(&house, "subscriptions WHERE subscribed"), 8000);
    assert_eq!(count(&house, "subscriptions"), 18_000);
    assert_eq!(count(&house, "podcasts"), 18_000, "and what nobody needs is gone");
}

#[tokio::test]
async fn beyond_their_bound_the_oldest_actions_go() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    let first = ActionDraft { podcast: feed(77), ..played("first", START, 1) };
    upload(core, &bob, vec![first]).await;
    house.clock.advance(Duration::from_secs(10));
    upload(core, &bob, vec![played("kept", START, 2)]).await;
    database(&house)
        .execute_batch(&format!(
            "INSERT INTO episode_actions
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0} - 2)
             SELECT listener_id, stamp, i, episode_id, device_id, kind, at + i, 0, 0, 0
             FROM n, (SELECT * FROM episode_actions ORDER BY stamp DESC LIMIT 1);
             UPDATE listeners SET actions = {0};",
            MAX_ACTIONS
        ))
        .expect("as many as may be");
    upload(core, &bob, vec![played("new", START, 3)]).await;
    assert_eq!(count(&house, "episode_actions"), MAX_ACTIONS);
    assert_eq!(count(&house, &format!("listeners WHERE actions = {MAX_ACTIONS}")), 1);
    assert_eq!(count(&house, "episodes"), 2, "the first one's episode went with it");
    assert_eq!(count(&house, "podcasts"), 1, "and so did its podcast");
}

#[tokio::test]
async fn an_accounts_data_goes_with_the_account() {
    let house = House::lived_in().await;
    let (core, bob, ann) = (&house.core, caller(&house, "bob").await, caller(&house, "ann").await);
    for who in [&bob, &ann] {
        change(core, who, "phone", &[&feed(1)], &[]).await;
        change(core, who, "desk", &[&feed(1)], &[]).await;
        upload(core, who, vec![draft("1", "download"), draft("2", "delete")]).await;
    }
    let tables = [
        ("listeners", 1),
        ("podcast_sets", 2),
        ("podcast_devices", 2),
        ("podcasts", 2),
        ("subscriptions", 2),
        ("episodes", 2),
        ("episode_actions", 2),
    ];
    for (table, each) in tables {
        assert_eq!(count(&house, table), each * 2, "{table}");
    }
    let id = bob.account().expect("an account").id;
    core.user_delete(&Caller::operator(), id).await.expect("gone");
    for (table, each) in tables {
        assert_eq!(count(&house, table), each, "{table}");
    }
    let late = core.actions_upload(&bob, vec![draft("3", "new")]).await;
    assert!(matches!(late, Err(Error::NotFound(Noun::Account))), "no row comes back");
    assert_eq!(added(core, &ann, "phone", 0).await.len(), 1);
}

#[tokio::test]
async fn what_is_new_for_a_device_comes_in_one_answer() {
    let house = House::lived_in().await;
    let (core, bob) = (&house.core, caller(&house, "bob").await);
    let list = b"<opml><outline text='Tea' xmlUrl='https://example.org/feed/0'/></opml>";
    let feeds = opml::parse(list).expect("feeds");
    core.subscriptions_replace(&bob, device("phone"), feeds).await.expect("a set");
    let elsewhere = ActionDraft { podcast: feed(9), ..draft("other", "new") };
    let played = vec![draft("1", "download"), played("1", START + 9, 70), elsewhere];
    upload(core, &bob, played).await;
    let updates = core.device_updates(&bob, device("phone"), 0).await.expect("updates");
    let titles: Vec<_> =
        updates.subscriptions.added.iter().map(|one| one.title.as_deref()).collect();
    assert_eq!(titles, [Some("Tea")]);
    let told: Vec<_> = updates.episodes.iter().map(|one| one.action.clone()).collect();
    assert_eq!(positions(&told), [("1.mp3".to_owned(), Some(70))]);
    assert_eq!(updates.episodes[0].podcast_title.as_deref(), Some("Tea"));
    let stamp = updates.subscriptions.timestamp;
    let nothing = core.device_updates(&bob, device("phone"), stamp).await.expect("updates");
    assert!(nothing.subscriptions.added.is_empty() && nothing.episodes.is_empty());
}
