//! As a service: what the manager is told, and whose files they are.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        net::UnixDatagram,
    },
    process::Command,
    time::Duration,
};

use super::{
    house::Server,
    program::{folder, run},
};

#[test]
fn the_service_manager_hears_of_start_health_and_stop() {
    let home = folder();
    let path = home.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(20))).expect("a bound");
    let socket = path.to_str().expect("text");
    let environment = [("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "200000")];
    let server = Server::start(home.path(), &environment);
    let hear = |wanted: &str| {
        let mut bytes = [0; 512];
        loop {
            let length = manager.recv(&mut bytes).expect("a word");
            let said = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if said.lines().any(|line| line == wanted) {
                return;
            }
            assert!(said.starts_with("WATCHDOG=1") || wanted == "WATCHDOG=1", "{said}");
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    let pid = server.pid().to_string();
    Command::new("kill").arg(pid).status().expect("kill");
    hear("STOPPING=1");
}

#[test]
fn root_looks_after_a_house_as_its_owner() {
    const OWNER: u32 = 54321;
    let home = folder();
    if chown(home.path(), Some(OWNER), Some(OWNER)).is_err() {
        println!("NOT CHECKED: only root can give folders away");
        return;
    }
    run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    run(home.path(), &["doctor", "--json"]);
    let owners: Vec<_> = fs::read_dir(home.path())
        .expect("a folder")
        .map(|one| one.expect("a file").metadata().expect("data"))
        .map(|data| (data.uid(), data.gid()))
        .collect();
    assert!(!owners.is_empty() && owners.iter().all(|it| *it == (OWNER, OWNER)), "{owners:?}");
}

#[test]
fn a_copy_ends_up_where_root_wants_it_and_nothing_is_left_when_it_fails() {
    const OWNER: u32 = 54321;
    let (home, elsewhere) = (folder(), folder());
    if chown(home.path(), Some(OWNER), Some(OWNER)).is_err() {
        println!("NOT CHECKED: only root can give folders away");
        return;
    }
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o700)).expect("closed");
    run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    let copy = elsewhere.path().join("copy.db");
    let name = copy.to_str().expect("text");
    run(home.path(), &["backup", name]).succeeded();
    let made = fs::metadata(&copy).expect("a copy");
    assert_eq!((made.uid(), made.mode() & 0o777), (0, 0o600));
    run(home.path(), &["backup", "--drill", name]).succeeded();
    let told = run(home.path(), &["backup", name]).in_trouble();
    assert!(told.contains("is there already"), "{told}");
    fs::write(home.path().join("gatelodge.db"), "no database").expect("written");
    let failed = elsewhere.path().join("failed.db");
    run(home.path(), &["backup", failed.to_str().expect("text")]).in_trouble();
    assert_eq!(fs::read_dir(elsewhere.path()).expect("a folder").count(), 1);
}

#[test]
fn two_restores_in_one_second_keep_two_databases() {
    let home = folder();
    run(home.path(), &["user", "add", "ann", "--generate"]).succeeded();
    run(home.path(), &["backup", "copy.db"]).succeeded();
    for _ in 0..2 {
        run(home.path(), &["restore", "--yes", "copy.db"]).succeeded();
    }
    let kept = fs::read_dir(home.path()).expect("a folder");
    let kept = kept.map(|one| one.expect("a file").file_name().into_string().expect("text"));
    assert_eq!(kept.filter(|name| name.starts_with("gatelodge-before-restore-")).count(), 2);
}

#[test]
fn a_template_is_a_configuration_that_sets_nothing() {
    let home = folder();
    let template = run(home.path(), &["config", "template"]).succeeded();
    fs::write(home.path().join("gatelodge.yaml"), template).expect("written");
    let told = run(home.path(), &["config", "check"]).succeeded();
    assert!(told.starts_with("The configuration is right: 0 settings from the file"), "{told}");
}
