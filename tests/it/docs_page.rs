//! The page at `/docs`: what it holds, how its files go out, and that it can be switched off.

use std::{collections::BTreeSet, fs, io::Read};

use aws_lc_rs::digest::{SHA256, digest};
use flate2::read::GzDecoder;

use super::house::{Answer, House};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/docs");
const PACKED: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).expect("gzip");
    plain
}

/// What the page loads, by the names that it gives.
async fn named(house: &House) -> Vec<String> {
    let page = house.get("/docs").send().await;
    assert_eq!(page.status, 200);
    let html = page.text();
    html.split('"').filter(|part| part.starts_with("docs/")).map(str::to_owned).collect()
}

async fn file(house: &House, name: &str, encoding: &str) -> Answer {
    house.get(&format!("/{name}")).header("accept-encoding", encoding).send().await
}

#[test]
fn what_is_stored_is_what_was_published_and_small() {
    let readme = fs::read_to_string(format!("{FOLDER}/README.md")).expect("a file");
    for name in PACKED {
        let stored = fs::read(format!("{FOLDER}/files/{name}.gz")).expect("a file");
        let sum = digest(&SHA256, &unpacked(&stored));
        let sum: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(readme.contains(&format!("| `{name}` | `{sum}` |")), "{name}: {sum}");
    }
    let files = fs::read_dir(format!("{FOLDER}/files")).expect("a folder");
    let all: u64 = files.map(|file| file.expect("a file").metadata().expect("known").len()).sum();
    assert!(all < 600_000, "{all}");
}

#[tokio::test]
async fn the_page_offers_the_documents_of_the_dialects_that_are_on() {
    let all = House::new().await.get("/docs").send().await.text();
    for dialect in ["native", "pin", "pair", "signup", "gpodder"] {
        assert!(all.contains(&format!("<option value=\"{dialect}\">")), "{dialect}");
    }
    let house = House::with(|plan| {
        plan.http.dialects.pin = false;
        plan.http.dialects.gpodder = false;
    });
    let some = house.await.get("/docs").send().await.text();
    assert_eq!(some.matches("<option").count(), 3);
    assert!(!some.contains("\"pin\"") && !some.contains("\"gpodder\""), "{some}");
    for html in [all, some] {
        for forbidden in ["{", "<style", " style=", "onclick", "src=\"http", "href=\"http"] {
            assert!(!html.contains(forbidden), "holds {forbidden}");
        }
    }
}

#[tokio::test]
async fn the_page_lets_in_nothing_from_elsewhere() {
    let house = House::new().await;
    let page = house.get("/docs").send().await;
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                  img-src 'self' data:; form-action 'self'; base-uri 'none'; \
                  frame-ancestors 'none'";
    assert_eq!(page.header("content-security-policy"), policy);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-cache");
    assert_eq!(page.header("x-frame-options"), "DENY");
    let slash = house.get("/docs/").send().await;
    assert_eq!((slash.status, slash.header("location")), (302, "../docs".to_owned()));
}

#[tokio::test]
async fn files_go_out_packed_to_those_who_take_it_and_plain_to_others() {
    let house = House::new().await;
    let names = named(&house).await;
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        let (plain, packed) =
            (file(&house, &name, "").await, file(&house, &name, "gzip, br").await);
        assert_eq!((plain.status, packed.status), (200, 200), "{name}");
        assert_eq!(plain.header("content-encoding"), "");
        let is_large = PACKED.iter().any(|large| {
            name.starts_with(&format!("docs/{}.", large.rsplit_once('.').expect("an end").0))
        });
        if is_large {
            assert_eq!(packed.header("content-encoding"), "gzip", "{name}");
            assert!(unpacked(&packed.body) == plain.body, "{name}");
            assert_ne!(plain.header("etag"), packed.header("etag"));
        } else {
            assert!(packed.header("content-encoding").is_empty() && packed.body == plain.body);
        }
        let kind = if name.ends_with(".js") { "text/javascript" } else { "text/css" };
        for answer in [plain, packed] {
            assert_eq!(answer.header("content-type"), format!("{kind}; charset=utf-8"));
            assert_eq!(answer.header("vary"), "Accept-Encoding");
            let keep = "public, max-age=31536000, immutable";
            assert_eq!(answer.header("cache-control"), keep);
        }
    }
}

#[tokio::test]
async fn a_file_that_is_known_is_not_sent_again() {
    let house = House::new().await;
    for name in named(&house).await {
        for encoding in ["gzip", "identity"] {
            let first = file(&house, &name, encoding).await;
            let again = house
                .get(&format!("/{name}"))
                .header("accept-encoding", encoding)
                .header("if-none-match", &first.header("etag"));
            let again = again.send().await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{name}");
            assert_eq!(again.header("etag"), first.header("etag"));
            assert_eq!(again.header("vary"), "Accept-Encoding");
        }
        assert_eq!(
            house.ask(poem::http::Method::HEAD, &format!("/{name}")).send().await.status,
            200
        );
    }
}

#[tokio::test]
async fn a_name_tells_the_content() {
    let names: BTreeSet<_> = named(&House::new().await).await.into_iter().collect();
    for name in &names {
        let marks: Vec<_> = name.rsplit('.').collect();
        assert!(marks.len() == 3 && marks[1].len() == 24, "{name}");
    }
    let house = House::new().await;
    for gone in ["/docs/docs.js", "/docs/index.html", "/docs/swagger-ui.css.gz", "/docs/README.md"]
    {
        assert_eq!(house.get(gone).send().await.status, 404, "{gone}");
    }
}

#[tokio::test]
async fn switched_off_there_is_no_page_and_no_file() {
    let names = named(&House::new().await).await;
    let house = House::with(|plan| plan.http.docs = false).await;
    for path in ["docs", "docs/"].into_iter().chain(names.iter().map(String::as_str)) {
        let answer = house.get(&format!("/{path}")).send().await;
        assert_eq!(answer.problem(404, "not_found"), "no such page");
    }
    let document = house.get("/openapi.json").send().await;
    assert_eq!(document.status, 200, "the documents stay");
}
