//! The packed catalogue, against the list of samples it was made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use drumfs::archive::{ContentHash, HashAlgorithm};
use drumfs::index::{GateAnswer, Status};
use drumfs::view::{Builder, Catalogue, Packed, Sample};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::generate::samples;

/// What the samples of `generate` do not have: other algorithms, gates, huge files, labels of other models, attributes
/// that are missing or of another format.
fn stranger(sample: &Sample, odd: u64) -> Arc<Sample> {
    let algorithm = HashAlgorithm::ALL[odd as usize % 4];
    let number = odd / 4;
    let mut attributes = sample.attributes.filter(|_| !number.is_multiple_of(5));
    if let Some(attributes) = &mut attributes
        && number.is_multiple_of(3)
    {
        attributes.channels = number as u16 % 7;
        attributes.codec = ["flac", "mp3", ""][odd as usize % 3].into();
        attributes.duration_sec = f64::from_bits(odd.rotate_left(17));
    }
    Arc::new(Sample {
        size: if number.is_multiple_of(7) { odd << 20 } else { odd % 1000 },
        mtime_ns: odd as i64,
        hash: sample.hash.map(|_| ContentHash::of(algorithm, &odd.to_le_bytes())),
        gate: number
            .is_multiple_of(2)
            .then_some(GateAnswer { probability: odd as f32, refused: odd.is_multiple_of(3) }),
        probs: sample.probs.iter().copied().take(odd as usize % 40).collect(),
        error: sample.error.clone().or_else(|| number.is_multiple_of(11).then(|| format!("why {number}").into())),
        attributes,
        ..sample.clone()
    })
}

/// Every sample is there as it was put in, and is found by id, path and inode number.
fn holds(catalogue: &Catalogue, samples: &[Arc<Sample>]) -> TestCaseResult {
    prop_assert_eq!(catalogue.samples().len(), samples.len());
    // NaN is no reason not to be the same.
    let same = |a: &Sample, b: &Sample| format!("{a:?}") == format!("{b:?}");
    for (id, (found, sample)) in (0..).zip(catalogue.samples().iter().zip(samples)) {
        prop_assert!(same(&found.to_sample(), sample), "{:?} for {:?}", found, sample);
        prop_assert!(same(&catalogue.sample(id).to_sample(), sample));
        prop_assert_eq!(catalogue.by_path(&sample.path).map(|(id, _)| id), Some(id));
        prop_assert_eq!(catalogue.by_ino(catalogue.ino(id)).map(|(id, _)| id), Some(id));
        let longer = [&sample.path[..], b"\0"].concat();
        prop_assert_eq!(catalogue.by_path(&longer).map(|(id, _)| id), None);
    }
    prop_assert_eq!(catalogue.by_path(b"").map(|(id, _)| id), None);
    prop_assert!(catalogue.samples().get(samples.len()).is_none());
    Ok(())
}

fn parts(catalogue: &Catalogue) -> Vec<Vec<u8>> {
    catalogue.packed().collect()
}

fn unpacked(parts: &[Vec<u8>]) -> Option<Catalogue> {
    let parts: Option<Vec<Packed>> = parts.iter().map(|part| Packed::read(part)).collect();
    Catalogue::unpacked(parts?)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_catalogue_holds_what_was_put_in_and_reads_back_what_it_wrote(samples in samples(), odd in vec(any::<u64>(), 60)) {
        let samples: Vec<Arc<Sample>> = samples.iter().zip(odd).map(|(sample, odd)| stranger(sample, odd)).collect();
        let catalogue = Catalogue::new(samples.clone());
        holds(&catalogue, &samples)?;
        let back = unpacked(&parts(&catalogue)).unwrap();
        holds(&back, &samples)?;
        prop_assert_eq!(back.by_hash(), catalogue.by_hash());
    }

    /// Bytes that a failing disk, or somebody, has changed make no catalogue, or one that can be looked at.
    #[test]
    fn damaged_bytes_make_no_catalogue_and_no_panic(
        samples in samples(),
        odd in vec(any::<u64>(), 60),
        damage in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..8),
    ) {
        let samples: Vec<Arc<Sample>> = samples.iter().zip(odd).map(|(sample, odd)| stranger(sample, odd)).collect();
        let mut parts = parts(&Catalogue::new(samples));
        for part in &mut parts {
            for (place, byte, how) in &damage {
                if part.is_empty() {
                    break;
                }
                let place = place.index(part.len());
                match how {
                    0 => part[place] = *byte,
                    1 => part.truncate(place),
                    2 => part.insert(place, *byte),
                    // A length of 4 GiB.
                    _ => part.iter_mut().skip(place).take(4).for_each(|byte| *byte = 0xFF),
                }
            }
        }
        if let Some(catalogue) = unpacked(&parts) {
            for (id, sample) in (0..).zip(catalogue.samples().iter()) {
                catalogue.by_ino(catalogue.ino(id)).unwrap();
                catalogue.by_path(sample.path).unwrap();
            }
            catalogue.by_hash();
        }
    }
}

fn plain(path: String, size: u64) -> Arc<Sample> {
    Arc::new(Sample {
        hash: (!size.is_multiple_of(9)).then(|| ContentHash::of(HashAlgorithm::Xxh3, &(size / 3).to_le_bytes())),
        path: path.into_bytes().into(),
        size,
        mtime_ns: 0,
        status: if size.is_multiple_of(13) { Status::Missing } else { Status::Ok },
        error: None,
        attributes: None,
        probs: vec![size as f32; if size.is_multiple_of(5) { 0 } else { 2 }].into(),
        gate: None,
    })
}

/// Catalogues of many chunks, through changes of all sizes: one sample here, thousands there, whole stretches gone.
#[test]
fn thousands_of_changes_leave_what_they_should() {
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut below = |end: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % end
    };
    let path = |number: u64| format!("pack {:03}/{number:06}.wav", number / 700);
    let mut expected: BTreeMap<Vec<u8>, Arc<Sample>> = BTreeMap::new();
    let mut catalogue = Catalogue::default();
    for round in 0..40 {
        let (mut changed, mut removed) = (Vec::new(), Vec::new());
        match round % 4 {
            // Many at once, all over.
            0 => changed.extend((0..below(9000)).map(|_| plain(path(below(60_000)), below(1 << 40)))),
            // A stretch that goes.
            1 => {
                let from = below(60_000);
                removed.extend((from..from + below(12_000)).map(|number| path(number).into_bytes()));
            }
            // A new stretch, in front of, behind or between all others.
            2 => {
                let from = below(70_000);
                changed.extend((from..from + below(9000)).map(|number| plain(path(number), number)));
            }
            // One here and there; the last word on a path counts, and one that comes is not gone.
            _ => {
                for _ in 0..3 {
                    let number = below(60_000);
                    changed.push(plain(path(number), below(1 << 40)));
                    changed.push(plain(path(number), below(1 << 40)));
                    removed.push(path(number).into_bytes());
                    removed.push(path(below(60_000)).into_bytes());
                }
            }
        }
        removed.iter().for_each(|path| drop(expected.remove(path)));
        changed.iter().for_each(|sample| drop(expected.insert(sample.path.to_vec(), Arc::clone(sample))));
        catalogue = catalogue.with(changed, removed);
        let samples: Vec<Arc<Sample>> = expected.values().cloned().collect();
        let whole = Catalogue::new(samples.clone());
        assert_eq!(catalogue.samples().len(), samples.len(), "round {round}");
        assert!(catalogue.samples().iter().zip(&samples).all(|(found, sample)| found == sample.borrowed()));
        assert!((0..samples.len() as u32).all(|id| catalogue.ino(id) == whole.ino(id)), "round {round}");
        assert_eq!(catalogue.by_hash(), whole.by_hash(), "round {round}");
        let mut built = Builder::default();
        samples.chunks(1500).for_each(|part| built.add(part.iter().map(|sample| (**sample).clone())));
        assert!(built.finish().samples().iter().eq(catalogue.samples().iter()), "round {round}");
        if round % 8 == 7 {
            holds(&unpacked(&parts(&catalogue)).unwrap(), &samples).unwrap();
            let found = catalogue.each(0, |sample, _| sample.size);
            assert!(found.iter().eq(samples.iter().map(|sample| &sample.size)));
        }
    }
    assert!(catalogue.samples().len() > 10_000);
    let mut parts = parts(&catalogue);
    parts.swap(0, 1);
    assert!(unpacked(&parts).is_none(), "parts that are out of order are no catalogue");
}
