//! Registries that answer anything: every status to every kind of request, bodies that drip, stall, never end or lie,
//! redirects, challenges and tokens. Each pull ends within its bound with the cause named, leaves knarrd as it was, and
//! disturbs no pull from a good registry. Without `KNARR_FULL` each 23rd attack is made; the count is printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use knarr_proto::v1;
use knarr_tests::scripted::{Answer, Request};
use knarr_tests::{Daemon, Grpc, Image, Layer, Scratch, Scripted, require};
use tonic::{Code, Status};

use crate::registry_attacks::{Attack, On, all};

/// Attacks at a time.
const WORKERS: usize = 16;
/// The longest that any pull may take: five tries of a document that stalls, or a minute without progress, and some
/// load.
const BOUND: Duration = Duration::from_secs(150);
/// A pull from a good registry, under all of that.
const GOOD_BOUND: Duration = Duration::from_secs(60);
/// More requests than this for one small image are an attack on somebody else, by us.
const MAX_REQUESTS: usize = 120;
/// Which attacks are made without `KNARR_FULL`: a prime, so that all kinds are among them.
const STRIDE: usize = 23;

/// What the client says of itself where an attack is on the POST of a token: docker's word for a user who is a token.
const IDENTITY: &str = "<token>";

fn image(number: usize) -> Image {
    let text = format!("attack {number} {}", "x".repeat(300));
    Image::empty()
        .layer(Layer::new().file("file", 0o644, text.as_bytes()))
        .config("Labels", serde_json::json!({ "n": number.to_string() }))
}

fn pull(grpc: &Grpc, reference: &str, user: &str) -> Result<v1::Image, Status> {
    let auth = (!user.is_empty())
        .then(|| v1::RegistryAuth { username: user.to_owned(), password: "secret".to_owned() });
    let request = v1::PullImageRequest { reference: reference.to_owned(), platform: String::new(), auth };
    let mut images = grpc.images();
    grpc.wait_within(BOUND + BOUND, async {
        let mut replies = images.pull(request).await?.into_inner();
        loop {
            match replies.message().await?.and_then(|reply| reply.message) {
                Some(v1::pull_image_reply::Message::Progress(_)) => {}
                Some(v1::pull_image_reply::Message::Done(done)) => return Ok(done.image.expect("an image")),
                None => return Err(Status::internal("the stream ended without a result")),
            }
        }
    })
}

/// The number in `…/attack-17/…`.
fn number(path: &str) -> Option<usize> {
    let (_, rest) = path.split_once("attack-")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// What the registry does with one request of one attack.
fn script(attacks: &[(Attack, String)], request: &Request) -> Answer {
    let Some((attack, config)) = number(&request.path).and_then(|number| attacks.get(number)) else {
        return Answer::Usual;
    };
    let number = number(&request.path).unwrap_or_default();
    let is_token = request.path.starts_with("/token/");
    // Also where a redirect has added something, or led to another name beside it.
    let is_config = request.path.contains(config.as_str());
    let is_attacked = match attack.on {
        On::ManifestByTag | On::ManifestByDigest => request.path.contains("/manifests/"),
        On::Config => request.is_blob() && is_config,
        On::Layer => request.is_blob() && !is_config,
        On::LayerRange => request.is_blob() && !is_config && !request.header("range").is_empty(),
        On::TokenGet | On::TokenPost => is_token,
        On::Challenge => !is_token && request.header("authorization").is_empty(),
    };
    match (attack.on, is_attacked) {
        (_, true) => (attack.answer)(request),
        // The download breaks, so that the rest of it is asked for.
        (On::LayerRange, false) if request.is_blob() && !is_config => Answer::Truncated(50),
        (On::TokenGet | On::TokenPost, false) if request.header("authorization") != "Bearer good" => {
            let realm = format!("http://{}/token/attack-{number}", request.header("host"));
            challenge(&format!(r#"Bearer realm="{realm}",service="x""#))
        }
        _ => Answer::Usual,
    }
}

fn challenge(text: &str) -> Answer {
    Answer::Other(401, format!("www-authenticate: {text}\r\n"), Vec::new())
}

/// What is wrong with how an attack ended; `None` if it ended as it should.
fn verdict(
    attack: &Attack,
    ended: &Result<v1::Image, Status>,
    expected_id: &str,
    took: Duration,
) -> Option<String> {
    if took > BOUND {
        return Some(format!("it took {took:?}"));
    }
    match ended {
        Ok(image) if image.id != expected_id => Some(format!("it is another image: {}", image.id)),
        Ok(_) if attack.must_fail => Some("it succeeded".to_owned()),
        Ok(_) => None,
        Err(status) => {
            let text = status.message();
            let is_told =
                attack.causes.is_empty() || attack.causes.iter().any(|cause| text.contains(cause.as_str()));
            let is_one_sentence = !text.is_empty() && !text.contains('\n') && text.len() < 1000;
            let is_lost = matches!(status.code(), Code::Internal | Code::Unknown | Code::Cancelled);
            (!is_told || !is_one_sentence || is_lost).then(|| format!("{:?}: {text}", status.code()))
        }
    }
}

struct Tally {
    tried: AtomicUsize,
    lost: std::sync::Mutex<Vec<String>>,
}

impl Tally {
    fn lose(&self, what: String) {
        self.lost.lock().expect("no test thread panics with it").push(what);
    }
}

#[test]
fn many_registries_that_answer_anything_are_survived() {
    require!(root);
    let scratch = Scratch::new();
    let stride = if require::full_sweeps().is_ok() { 1 } else { STRIDE };
    let chosen: Vec<Attack> = all().into_iter().step_by(stride).collect();
    let images: Vec<Image> = (0..chosen.len()).map(image).collect();
    let attacks: Arc<Vec<(Attack, String)>> =
        Arc::new(chosen.into_iter().zip(&images).map(|(attack, image)| (attack, image.id())).collect());
    let repositories = images.iter().enumerate().map(|(number, image)| (format!("attack-{number}"), image));
    let registry = Scripted::start_many(&scratch, repositories, {
        let attacks = Arc::clone(&attacks);
        move |request| script(&attacks, request)
    });
    let daemon = Daemon::start(&scratch);
    let tally = Tally { tried: AtomicUsize::new(0), lost: std::sync::Mutex::default() };
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let good_pulls = std::thread::scope(|scope| {
        let good = scope.spawn(|| pull_good_images(&scratch, &daemon, &is_over));
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                scope.spawn(|| {
                    let grpc = Grpc::connect(&daemon.socket());
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(attack) = attacks.get(number) else { return };
                        tally.tried.fetch_add(1, Ordering::Relaxed);
                        attempt(&grpc, &registry, number, attack)
                            .into_iter()
                            .for_each(|fault| tally.lose(fault));
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("no panic");
        }
        is_over.store(true, Ordering::Relaxed);
        good.join().expect("pulls from the good registry were not disturbed")
    });
    check_requests(&registry, &attacks, &tally);
    let (tried, lost) = (tally.tried.into_inner(), tally.lost.into_inner().expect("no panic"));
    println!("attacks: {tried} tried, lost {}; {good_pulls} good pulls meanwhile", lost.len());
    assert!(lost.is_empty(), "lost:\n{}", lost.join("\n"));
    assert!(rustix::process::test_kill_process(daemon.pid()).is_ok(), "knarrd is gone:\n{}", daemon.log());
    let left = std::fs::read_dir(daemon.root().join("content/ingest")).expect("the ingests").count();
    assert!(left <= tried, "{left} files are left");
}

fn attempt(
    grpc: &Grpc,
    registry: &Scripted,
    number: usize,
    (attack, id): &(Attack, String),
) -> Option<String> {
    let repository = format!("attack-{number}");
    let reference = match attack.on {
        On::ManifestByDigest => {
            format!("{}/{repository}@{}", registry.address(), registry.manifest_of(&repository))
        }
        _ => format!("{}/{repository}:1", registry.address()),
    };
    let user = match attack.on {
        On::TokenPost => IDENTITY,
        On::Challenge => "user",
        _ => "",
    };
    let began = Instant::now();
    let ended = pull(grpc, &reference, user);
    let fault = verdict(attack, &ended, id, began.elapsed())?;
    Some(format!("{number}: {} on {:?}: {fault}", attack.name, attack.on))
}

fn check_requests(registry: &Scripted, attacks: &[(Attack, String)], tally: &Tally) {
    let requests = registry.requests();
    let mut counts = vec![0; attacks.len()];
    for request in &requests {
        if let Some(count) = number(&request.path).and_then(|number| counts.get_mut(number)) {
            *count += 1;
        }
        if !matches!(request.method.as_str(), "GET" | "POST") || request.path == "/v2/" {
            tally.lose(format!("{} {} was sent", request.method, request.path));
        }
    }
    for ((attack, _), count) in attacks.iter().zip(counts) {
        if count > MAX_REQUESTS {
            tally.lose(format!("{} on {:?}: {count} requests", attack.name, attack.on));
        }
    }
}

/// Pulls and removes good images until all attacks are over. Returns how many.
fn pull_good_images(scratch: &Scratch, daemon: &Daemon<'_>, is_over: &AtomicBool) -> usize {
    let images: Vec<Image> = (0..8).map(|number| image(1_000_000 + number)).collect();
    let repositories = images.iter().enumerate().map(|(number, image)| (format!("good-{number}"), image));
    let registry = Scripted::start_many(scratch, repositories, |_| Answer::Usual);
    let grpc = Grpc::connect(&daemon.socket());
    let mut count = 0;
    while count == 0 || !is_over.load(Ordering::Relaxed) {
        let number = count % images.len();
        let began = Instant::now();
        let pulled =
            pull(&grpc, &format!("{}/good-{number}:1", registry.address()), "").expect("a good image");
        assert_eq!(pulled.id, images[number].id());
        assert!(began.elapsed() < GOOD_BOUND, "a good pull took {:?}", began.elapsed());
        let request = v1::RemoveImageRequest { image: pulled.id, force: true };
        grpc.wait(grpc.images().remove(request)).expect("removed");
        count += 1;
    }
    count
}
