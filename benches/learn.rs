//! Learning from 1,000 overrides of 25 packs: what is fitted and measured once the sounds are known.
#![allow(clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use drumfs::classify::{Embedding, Knowledge, Labels, knowledge};
use drumfs::learn::{Course, Lesson};
use xxhash_rust::xxh3::xxh3_64;

const OUTPUTS: usize = 34;
const SIZE: usize = 96;

/// Numbers between -1 and 1, always the same.
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 as f32 / 2f32.powi(31) - 1.0
    }

    /// Roughly normal, with a deviation of 1.
    fn normal(&mut self) -> f32 {
        (0..3).map(|_| self.next()).sum()
    }

    /// Around the centre of a label, as a ReLU leaves it: a third of the values is not zero.
    fn embedding(&mut self, label: usize, shift: f32) -> Embedding {
        let centre = |place: usize| (xxh3_64(&[label as u8, place as u8]) % 1000) as f32 / 250.0 - 3.0;
        let values: Vec<f32> =
            (0..SIZE).map(|place| (centre(place) + 1.3 * self.normal() + shift * centre(place + 1)).max(0.0)).collect();
        Embedding::of(&values).unwrap()
    }
}

/// A model of 34 labels that knows `count` sounds.
fn knowledge(count: usize, numbers: &mut Numbers) -> Knowledge {
    let mut file = b"drumknow".to_vec();
    [1, OUTPUTS as u32, SIZE as u32, count as u32].iter().for_each(|number| file.extend(number.to_le_bytes()));
    for text in ["m", "l"] {
        file.extend((text.len() as u16).to_le_bytes());
        file.extend(text.as_bytes());
    }
    let samples: Vec<(usize, Embedding)> =
        (0..count).map(|index| (index % OUTPUTS, numbers.embedding(index % OUTPUTS, 0.0))).collect();
    let mean = |label: usize| {
        let mut sum = vec![0f32; SIZE];
        for (_, embedding) in samples.iter().filter(|(other, _)| *other == label) {
            sum.iter_mut().zip(embedding.values()).for_each(|(sum, value)| *sum += value);
        }
        let count = samples.iter().filter(|(other, _)| *other == label).count() as f32;
        sum.into_iter().map(|sum| sum / count).collect::<Vec<_>>()
    };
    let means: Vec<Vec<f32>> = (0..OUTPUTS).map(mean).collect();
    means.iter().flatten().for_each(|value| file.extend((0.4 * value).to_le_bytes()));
    for mean in &means {
        let bias: f32 = -0.2 * mean.iter().map(|value| value * value).sum::<f32>();
        file.extend(bias.to_le_bytes());
    }
    for (label, embedding) in &samples {
        file.extend((*label as u16).to_le_bytes());
        let values: Vec<f32> = embedding.values().collect();
        let max = values.iter().fold(0f32, |max, value| max.max(*value));
        file.extend(0f32.to_le_bytes());
        file.extend((max / 255.0).to_le_bytes());
        file.extend(values.iter().map(|value| (value / max * 255.0).round() as u8));
    }
    file.extend(xxh3_64(&file).to_le_bytes());
    let owner = knowledge::Owner { model: "m", labels_checksum: "l", outputs: OUTPUTS, size: SIZE };
    Knowledge::parse(&file, owner).unwrap()
}

fn bench(criterion: &mut Criterion) {
    let mut numbers = Numbers(1);
    let knowledge = knowledge(6000, &mut numbers);
    let names: Vec<String> = (0..OUTPUTS).map(|label| format!("L{label}")).collect();
    let labels = Labels::parse(&serde_json::to_string(&names).unwrap(), "{}").unwrap();
    let lessons: Vec<Lesson> = (0..1000)
        .map(|index| {
            let (label, pack) = (index % OUTPUTS, index % 25);
            let embedding = numbers.embedding(label, 0.02 * pack as f32);
            let logits = knowledge.logits(&embedding);
            Lesson { logits, embedding, meant: vec![label], pack: format!("pack {pack}").into_bytes() }
        })
        .collect();
    let probabilities = |logits: &[f32]| {
        let mut scores = logits.to_vec();
        drumfs::learn::fit::softmax(&mut scores);
        scores
    };
    let learn = || Course::new(&knowledge, &labels, &probabilities).learn(&lessons).unwrap();
    let effect = learn().1;
    assert!(effect.after.nll < effect.before.nll, "{effect:?}");
    criterion.bench_function("learn/1000 overrides of 25 packs", |bencher| bencher.iter(learn));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = bench
}
criterion_main!(benches);
