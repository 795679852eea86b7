//! Contents are named as config.yml says, so that the files of older pipelines go on working.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Place, wav};

/// Digests as md5sum and sha256sum make them, by path.
fn of_coreutils(place: &Place, algorithm: &str) -> BTreeMap<String, String> {
    let script = "cd \"$1\" && find . -type f -exec \"$2\" {} +";
    let program = format!("{algorithm}sum");
    let output = Command::new("sh").args(["-c", script, "sh"]).arg(place.archive()).arg(program).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| line.split_once("  ./").map(|(digest, path)| (path.to_owned(), digest.to_owned()));
    text.lines().filter_map(line).collect()
}

/// XXH64 with seed 0, after the specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md, 0.2.0).
fn xxh64(data: &[u8]) -> u64 {
    const P: [u64; 5] = [
        0x9E37_79B1_85EB_CA87,
        0xC2B2_AE3D_27D4_EB4F,
        0x1656_67B1_9E37_79F9,
        0x85EB_CA77_C2B2_AE63,
        0x27D4_EB2F_1656_67C5,
    ];
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let round = |acc: u64, lane: u64| acc.wrapping_add(lane.wrapping_mul(P[1])).rotate_left(31).wrapping_mul(P[0]);
    let mut rest = data;
    let mut acc = if data.len() < 32 {
        P[4]
    } else {
        let mut lanes = [P[0].wrapping_add(P[1]), P[1], 0, 0u64.wrapping_sub(P[0])];
        while rest.len() >= 32 {
            for (lane, bytes) in lanes.iter_mut().zip(rest.chunks_exact(8)) {
                *lane = round(*lane, word(bytes));
            }
            rest = &rest[32..];
        }
        let [a, b, c, d] = lanes;
        let mut acc = a.rotate_left(1);
        acc = acc.wrapping_add(b.rotate_left(7)).wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18));
        for lane in lanes {
            acc = (acc ^ round(0, lane)).wrapping_mul(P[0]).wrapping_add(P[3]);
        }
        acc
    };
    acc = acc.wrapping_add(data.len() as u64);
    while rest.len() >= 8 {
        acc = (acc ^ round(0, word(&rest[..8]))).rotate_left(27).wrapping_mul(P[0]).wrapping_add(P[3]);
        rest = &rest[8..];
    }
    if rest.len() >= 4 {
        let half = u64::from(u32::from_le_bytes(rest[..4].try_into().unwrap()));
        acc = (acc ^ half.wrapping_mul(P[0])).rotate_left(23).wrapping_mul(P[1]).wrapping_add(P[2]);
        rest = &rest[4..];
    }
    for &byte in rest {
        acc = (acc ^ u64::from(byte).wrapping_mul(P[4])).rotate_left(11).wrapping_mul(P[0]);
    }
    acc = (acc ^ (acc >> 33)).wrapping_mul(P[1]);
    acc = (acc ^ (acc >> 29)).wrapping_mul(P[2]);
    acc ^ (acc >> 32)
}

fn sounds() -> Place {
    let place = Place::new();
    for (seed, len) in [(0, 0), (1, 1), (2, 7), (3, 31), (4, 32), (5, 33), (6, 100), (7, 2044)] {
        place.put(&format!("{seed}.wav"), &wav(seed)[..len]);
    }
    // Larger than what is held in memory: hashed in pieces.
    let mut large = wav(8);
    large.resize((16 << 20) + 12_345, 7);
    place.put("folder/large.wav", &large);
    place
}

fn index_with(place: &Place, algorithm: &str) -> BTreeMap<String, String> {
    let config = place.path().join("config.yml");
    fs::write(&config, format!("hash_algorithm: {algorithm}\n")).unwrap();
    let run = place.index(&["--config", config.to_str().unwrap()]);
    assert_eq!((run.code, run.count("found")), (Some(3), 9), "{run:?}");
    let named = |(path, entry): (Vec<u8>, drumfs::store::SampleEntry)| {
        let hash = entry.hash.unwrap();
        assert_eq!(hash.algorithm().name(), algorithm);
        (String::from_utf8(path).unwrap(), hash.to_hex())
    };
    place.known().samples.into_iter().map(named).collect()
}

#[test]
fn md5_and_sha256_are_those_of_the_usual_tools_and_changing_the_algorithm_names_everything_anew() {
    let place = sounds();
    assert_eq!(index_with(&place, "md5"), of_coreutils(&place, "md5"));
    assert_eq!(index_with(&place, "sha256"), of_coreutils(&place, "sha256"));
}

#[test]
fn xxh64_is_that_of_its_specification() {
    assert_eq!(xxh64(b""), 0xEF46_DB37_51D8_E999);
    let place = sounds();
    for (path, digest) in index_with(&place, "xxh64") {
        let bytes = fs::read(place.archive().join(Path::new(&path))).unwrap();
        assert_eq!(digest, format!("{:016x}", xxh64(&bytes)), "{path}");
    }
}
