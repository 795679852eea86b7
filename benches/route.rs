//! Routing 50,000 samples on one thread, and reading the rules. `cargo bench --bench route`

#![allow(clippy::expect_used)] // a bench may

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use drumfs::audio::Attributes;
use drumfs::index::Status;
use drumfs::rules::{Router, Rules, Subject, Vocabulary};

const SAMPLES: usize = 50_000;

struct Sample {
    path: String,
    attributes: Attributes,
    probs: Vec<f32>,
}

/// Numbers from 0 to 1 that are the same in every run: a 64-bit linear congruential generator with Knuth's constants.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Samples as an archive has them: a quarter with names that say what they are, a third that the model is unsure of.
fn archive() -> Vec<Sample> {
    let mut numbers = Numbers(1);
    let packs =
        ["Akai MPC/Layered", "Vinyl Rips Vol 2/One Shots", "field recordings/2019/kitchen", "808 & 909/Processed"];
    let names = ["BD", "Snare Tight", "HHClosed", "untitled", "take", "rec", "Layer", "hit"];
    (0..SAMPLES)
        .map(|i| {
            let sharpness = if numbers.next() < 0.33 { 2.0 } else { 9.0 };
            let logits: Vec<f32> = (0..34).map(|_| numbers.next() * sharpness).collect();
            let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
            let pick = |list: &[&'static str], at: f32| list[(at * list.len() as f32) as usize % list.len()];
            Sample {
                path: format!("{}/{}_{i:05}.wav", pick(&packs, numbers.next()), pick(&names, numbers.next())),
                attributes: Attributes {
                    duration_sec: f64::from(numbers.next() * 5.0),
                    rms_dbfs: -60.0 * numbers.next(),
                    centroid_hz: 8000.0 * numbers.next(),
                    rolloff_hz: 12_000.0 * numbers.next(),
                    sample_rate: 44_100,
                    channels: 1,
                    codec: "pcm_s16le".into(),
                },
                probs: logits.iter().map(|logit| logit.exp() / sum).collect(),
            }
        })
        .collect()
}

fn route_all(router: &Router, samples: &[Sample]) -> u64 {
    let mut folders = 0;
    for sample in samples {
        let verdict = router.route(&Subject {
            path: sample.path.as_bytes(),
            size: 50_000,
            status: Status::Ok,
            attributes: Some(&sample.attributes),
            probs: &sample.probs,
            override_label: None,
            gate_refused: false,
            gate_probability: None,
            read_name: None,
        });
        folders += u64::from(verdict.folder);
    }
    folders
}

const TEN_GLOBS: &str = r#"
routes:
  - {path: "Loops/**", to: Loops}
  - {path: "**/loops/**", to: Loops}
  - {name: "*demo*", hide: true}
  - {name: "*[0-9]bpm*", to: Loops}
  - {path: "**/*vocal*/**", to: Vocals}
  - {label: Kick, path: "**/*808*/**", to: Kick/808}
  - {label: Snare, path: "**/*909*/**", to: Snare/909}
  - {path: "field recordings/**/{kitchen,garden}/**", duration: "> 4.5", to: Foley}
  - {name: "rec_???00.wav", to: Foley}
  - {path: "**/vinyl*/**", rms: "< -55", to: Quiet}
"#;

fn routing(c: &mut Criterion) {
    let drums = Vocabulary::drums();
    let samples = archive();
    for (name, text) in [
        ("default rules", ""),
        ("names: ignore", "names: ignore"),
        ("names: trust", "names: trust"),
        ("ten routes with globs", TEN_GLOBS),
    ] {
        let router = Router::new(&Rules::parse(text, &drums).expect("valid rules"), &drums);
        c.bench_function(&format!("route 50,000 samples, {name}"), |b| {
            b.iter(|| black_box(route_all(&router, black_box(&samples))));
        });
    }
    let template = Rules::template(&drums);
    for (name, text) in [("the template", template.as_str()), ("ten routes with globs", TEN_GLOBS)] {
        c.bench_function(&format!("parse and compile {name}"), |b| {
            b.iter(|| Router::new(&Rules::parse(black_box(text), &drums).expect("valid rules"), &drums));
        });
    }
}

criterion_group!(benches, routing);
criterion_main!(benches);
