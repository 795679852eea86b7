//! More than 500 damaged audio files in one archive: each is told of in a sentence, and everything beside them is heard
//! as if they were not there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use drumfs::index::Status;

use crate::support::{Indexed, Known, Place, Running, archive, fingerprints, index_command, wav};

/// A file and what it is called.
type File = (String, Vec<u8>);

/// Numbers that are the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

/// A WAV with a header of these fields and this data.
fn wave(kind: u16, channels: u16, rate: u32, align: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend(kind.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend(rate.wrapping_mul(u32::from(align)).to_le_bytes());
    file.extend(align.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

/// A decaying tone of 0.2 s at 8 kHz, -1 to 1.
fn tone() -> Vec<f64> {
    (0..1600).map(|n| f64::from(n) / 8000.0).map(|t| 0.8 * (-t * 20.0).exp() * (1100.0 * t).sin()).collect()
}

/// Healthy WAV files of every kind that is read here, made by formula.
fn waves() -> Vec<File> {
    let tone = tone();
    let ints = |bytes: usize| -> Vec<u8> {
        let scale = 2f64.powi(bytes as i32 * 8 - 1) - 1.0;
        tone.iter().flat_map(|x| ((x * scale) as i32).to_le_bytes()[..bytes].to_vec()).collect()
    };
    let unsigned: Vec<u8> = tone.iter().map(|x| (x * 127.0 + 128.0) as u8).collect();
    let floats: Vec<u8> = tone.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect();
    let doubles: Vec<u8> = tone.iter().flat_map(|x| x.to_le_bytes()).collect();
    let companded: Vec<u8> = (0..1600u32).map(|n| (n * 37 % 256) as u8).collect();
    // Blocks of IMA ADPCM: a first sample, a step index, a zero, and nibbles.
    let block = |n: u8| [vec![n, 0, 20, 0], (0..252u8).map(|m| m.wrapping_mul(n)).collect()].concat();
    let adpcm: Vec<u8> = (1..5).flat_map(block).collect();
    let mut adpcm_file = wave(0x11, 1, 8000, 256, 4, &adpcm);
    // Its fmt chunk is longer: two bytes of size, two of frames a block.
    adpcm_file.splice(16..20, 20u32.to_le_bytes());
    adpcm_file.splice(36..36, [2, 0, 0xF9, 0x01]);
    let len = adpcm_file.len() as u32 - 8;
    adpcm_file.splice(4..8, len.to_le_bytes());
    let mut named: Vec<File> = vec![
        ("u8".into(), wave(1, 1, 8000, 1, 8, &unsigned)),
        ("s16".into(), wave(1, 1, 8000, 2, 16, &ints(2))),
        ("s16 stereo".into(), wave(1, 2, 8000, 4, 16, &ints(2))),
        ("s24".into(), wave(1, 1, 8000, 3, 24, &ints(3))),
        ("s32".into(), wave(1, 1, 8000, 4, 32, &ints(4))),
        ("f32".into(), wave(3, 1, 8000, 4, 32, &floats)),
        ("f64".into(), wave(3, 1, 8000, 8, 64, &doubles)),
        ("a-law".into(), wave(6, 1, 8000, 1, 8, &companded)),
        ("mu-law".into(), wave(7, 1, 8000, 1, 8, &companded)),
        ("adpcm".into(), adpcm_file),
    ];
    named.iter_mut().for_each(|(name, _)| name.push_str(".wav"));
    named
}

/// One healthy file of each other kind, the smallest that the archive of real sounds has.
fn others() -> Vec<File> {
    let mut smallest: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for path in crate::common::snapshot::files_below(&archive()) {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let kinds = ["aif", "aifc", "aiff", "caf", "flac", "mp3", "ogg", "aac", "m4a", "opus", "wv"];
        if !kinds.contains(&&extension[..]) || path.components().any(|part| part.as_os_str() == "broken") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        if smallest.get(&extension).is_none_or(|known| known.len() > bytes.len()) {
            smallest.insert(extension, bytes);
        }
    }
    assert!(smallest.len() >= 9, "{:?}", smallest.keys());
    smallest.into_iter().map(|(extension, bytes)| (format!("real.{extension}"), bytes)).collect()
}

/// What disks, copies and people do to any file.
fn harmed(files: &[File]) -> Vec<File> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut all = Vec::new();
    for (name, bytes) in files {
        let len = bytes.len();
        let (stem, extension) = name.rsplit_once('.').unwrap();
        let mut add = |what: String, bytes: Vec<u8>| all.push((format!("{stem} {what}.{extension}"), bytes));
        for at in [0, 1, 7, 12, 21, 40, 45, len / 10, len / 2, len - 1] {
            add(format!("cut at {at}"), bytes[..at.min(len)].to_vec());
        }
        for round in 0..6 {
            let mut flipped = bytes.clone();
            let at = if round < 4 { random.below(60) } else { random.below(len) };
            flipped[at.min(len - 1)] ^= 1 << random.below(8);
            add(format!("bit flipped {round}"), flipped);
        }
        for (from, until) in [(0, 4), (4, 32), (16, 64), (len / 3, len / 2)] {
            for byte in [0x00, 0xFF] {
                let mut filled = bytes.clone();
                filled[from.min(len)..until.min(len)].fill(byte);
                add(format!("{from} to {until} are {byte:02x}"), filled);
            }
        }
        let mut shifted = bytes.clone();
        shifted.remove(len / 4);
        add("a byte is lost".into(), shifted);
        add("twice".into(), [&bytes[..], bytes].concat());
        let junk: Vec<u8> = (0..2000).map(|_| random.below(256) as u8).collect();
        add("junk behind".into(), [&bytes[..], &junk].concat());
        add("junk before".into(), [&junk, &bytes[..]].concat());
        let halves: Vec<u8> = bytes[..len / 2].iter().chain(&junk).chain(&bytes[len / 2..]).copied().collect();
        add("junk within".into(), halves);
    }
    all
}

/// Headers that claim what can't be, and sounds that are none.
fn absurd() -> Vec<File> {
    let data: Vec<u8> = tone().iter().flat_map(|x| ((x * 30_000.0) as i16).to_le_bytes()).collect();
    let mut all = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>| all.push((name + ".wav", bytes));
    for rate in [0, 1, 7, 100, 999_999, 1_000_000, 1_000_001, 0x7FFF_FFFF, u32::MAX] {
        add(format!("{rate} Hz"), wave(1, 1, rate, 2, 16, &data));
    }
    for channels in [0, 3, 63, 64, 65, 255, 256, 0x7FFF, u16::MAX] {
        add(format!("{channels} channels"), wave(1, channels, 8000, channels.wrapping_mul(2), 16, &data));
        add(format!("{channels} channels, two bytes a frame"), wave(1, channels, 8000, 2, 16, &data));
    }
    for bits in [0, 1, 7, 9, 12, 17, 31, 33, 64, 65, u16::MAX] {
        add(format!("{bits} bits"), wave(1, 1, 8000, 2, bits, &data));
    }
    for kind in [0, 2, 4, 5, 0x55, 0x161, 0xFFFE, 0xFFFF] {
        add(format!("kind {kind}"), wave(kind, 1, 8000, 2, 16, &data));
    }
    for align in [0, 1, 3, u16::MAX] {
        add(format!("{align} bytes a frame"), wave(1, 1, 8000, align, 16, &data));
    }
    for (field, at) in [("RIFF", 4), ("fmt", 16), ("data", 40)] {
        for size in [0u32, 1, 15, 17, 40, 0x7FFF_FFFF, 0x8000_0000, u32::MAX - 8, u32::MAX - 1, u32::MAX] {
            let mut file = wave(1, 1, 8000, 2, 16, &data);
            file.splice(at..at + 4, size.to_le_bytes());
            add(format!("{field} says {size}"), file);
        }
    }
    let floats =
        |values: &[f32]| -> Vec<u8> { (0..2000).flat_map(|n| values[n % values.len()].to_le_bytes()).collect() };
    let of_floats = |values: &[f32]| wave(3, 1, 8000, 4, 32, &floats(values));
    add("NaN".into(), of_floats(&[f32::NAN]));
    add("infinite".into(), of_floats(&[f32::INFINITY, f32::NEG_INFINITY]));
    add("NaN here and there".into(), of_floats(&[0.1, f32::NAN, -0.2, 0.3, f32::INFINITY, -0.3, 0.2]));
    add("as large as floats go".into(), of_floats(&[f32::MAX, f32::MIN, 0.0, f32::MAX]));
    add("large in one place".into(), {
        let mut file = of_floats(&[0.1, -0.1]);
        file.splice(48..52, 1e38f32.to_le_bytes());
        file
    });
    add("denormal".into(), of_floats(&[1e-40, -1e-40]));
    add("stereo as large as floats go".into(), wave(3, 2, 8000, 8, 32, &floats(&[f32::MAX])));
    let doubles: Vec<u8> = (0..2000).flat_map(|n| [1e300f64, -1e300, f64::NAN][n % 3].to_le_bytes()).collect();
    add("doubles beyond floats".into(), wave(3, 1, 8000, 8, 64, &doubles));
    add("silence".into(), wave(1, 1, 8000, 2, 16, &[0; 4000]));
    add("silence of 8 bits".into(), wave(1, 1, 8000, 1, 8, &[0x80; 4000]));
    add("DC".into(), wave(1, 1, 8000, 2, 16, &[0x40; 4000]));
    add("full DC".into(), wave(1, 1, 8000, 2, 16, &[0xFF, 0x7F].repeat(2000)));
    add("one sample".into(), wave(1, 1, 8000, 2, 16, &[0xFF, 0x3F]));
    add("half a sample".into(), wave(1, 1, 8000, 2, 16, &[0xFF]));
    add("no sample".into(), wave(1, 1, 8000, 2, 16, &[]));
    add("one loud sample in silence".into(), {
        let mut data = vec![0; 8000];
        data[4000..4002].copy_from_slice(&[0xFF, 0x7F]);
        wave(1, 1, 8000, 2, 16, &data)
    });
    add("0 bytes".into(), Vec::new());
    let mut other = |name: &str, bytes: &[u8]| all.push((name.to_owned(), bytes.to_vec()));
    other("an ID3 tag of 256 MiB.mp3", b"ID3\x04\0\0\x7F\x7F\x7F\x7FTIT2");
    other("an ID3 tag that is all.mp3", b"ID3\x03\0\0\0\0\0\x0A\0\0\0\0\0\0\0\0\0\0");
    other("an atom of no size.m4a", b"\0\0\0\x14ftypM4A \0\0\0\0M4A \0\0\0\0moov");
    other("an atom of all sizes.m4a", b"\0\0\0\x14ftypM4A \0\0\0\0M4A \xFF\xFF\xFF\xFFmoov\0\0\0\x08trak");
    other("an atom of 64 bits.m4a", b"\0\0\0\x14ftypM4A \0\0\0\0M4A \0\0\0\x01moov\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    other("a page of nothing.ogg", b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0");
    other("only a flac tag.flac", b"fLaC");
    other("an empty flac block.flac", b"fLaC\x80\0\0\0");
    other("a block of 16 MiB.flac", b"fLaC\x04\xFF\xFF\xFF\0\0\0\0");
    other("sync after sync.mp3", &[0xFF, 0xFB].repeat(3000));
    other("frames of zeros.mp3", &[&[0xFF, 0xFB, 0x90, 0x00][..], &[0; 413]].concat().repeat(8));
    other("a matroska of nothing.wav", &[0x1A, 0x45, 0xDF, 0xA3, 0x80]);
    other("a matroska of everything.wav", &[0x1A, 0x45, 0xDF, 0xA3, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE]);
    other("a CAF without end.caf", b"caff\0\x01\0\0desc\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    let mut endless = b"caff\0\x01\0\0".to_vec();
    endless.extend(b"free\0\0\0\0\0\0\0\0".repeat(3000));
    other("a CAF of empty chunks.caf", &endless);
    let mut chunks = b"RIFF\xFF\xFF\xFF\xFFWAVE".to_vec();
    chunks.extend(b"LIST\0\0\0\0".repeat(3000));
    other("a WAV of empty chunks.wav", &chunks);
    all
}

/// A pass over an archive with a limit of time; its highest memory in MiB.
fn pass(place: &Place) -> (Indexed, u64) {
    let run = Running::start(&mut index_command(&place.archive(), &place.store(), &["--threads", "2"]));
    let (pid, deadline) = (run.0.id(), Instant::now() + Duration::from_secs(240));
    let (ended, waits) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while waits.recv_timeout(Duration::from_millis(5)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            if Instant::now() > deadline {
                // SAFETY: the process is reaped only after this thread was told to end.
                unsafe { libc::kill(pid as i32, libc::SIGKILL) };
            }
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
            peak = peak.max(line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024);
        }
        peak
    });
    let output = run.output();
    drop(ended);
    let peak = watch.join().unwrap();
    assert_eq!(output.status.signal(), None, "it crashed or hung");
    (Indexed::of(&output), peak)
}

#[test]
fn more_than_500_damaged_files_are_told_of_and_everything_beside_them_is_heard() {
    let healthy: Vec<File> = {
        let mut healthy: Vec<File> = (0..30).map(|seed| (format!("{seed:02}.wav"), wav(seed))).collect();
        healthy.extend(others().into_iter().filter(|(name, _)| !name.ends_with(".wv") && !name.ends_with(".opus")));
        healthy.extend(waves());
        healthy
    };
    let alone = Place::new();
    healthy.iter().for_each(|(name, bytes)| drop(alone.put(&format!("healthy/{name}"), bytes)));
    let (run, _) = pass(&alone);
    let alone = alone.known();
    let failed: Vec<_> = alone.heard.values().filter(|analysis| analysis.status != Status::Ok).collect();
    assert_eq!((run.code, run.count("heard")), (Some(0), healthy.len() as u64), "{failed:?}");

    let mut damaged = harmed(&[waves(), others()].concat());
    damaged.extend(absurd());
    assert!(damaged.len() > 500, "{}", damaged.len());
    let place = Place::new();
    // Between one another in the order of paths, so that each worker meets both.
    for (number, (name, bytes)) in damaged.iter().enumerate() {
        place.put(&format!("{:02} damaged/{number:03} {name}", number % 40), bytes);
    }
    healthy.iter().enumerate().for_each(|(number, (name, bytes))| {
        drop(place.put(&format!("{:02} healthy/{name}", number % 40), bytes));
    });
    let before = fingerprints(&place.archive());
    let (run, peak) = pass(&place);
    assert_eq!(before, fingerprints(&place.archive()), "the archive was touched");
    assert_eq!((run.code, run.count("found")), (Some(3), (damaged.len() + healthy.len()) as u64), "{run:?}");
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    assert!((1..400).contains(&peak), "{peak} MiB");

    let known = place.known();
    assert_eq!(known.samples.len(), damaged.len() + healthy.len());
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, entry) in &known.samples {
        let path = String::from_utf8_lossy(path);
        assert_eq!(entry.unreadable, None, "{path}");
        let analysis = known.analysis(&path);
        *told.entry(analysis.status.name()).or_default() += 1;
        if let Some(attributes) = &analysis.attributes {
            let numbers = [attributes.rms_dbfs, attributes.centroid_hz, attributes.rolloff_hz];
            assert!(numbers.iter().all(|number| number.is_finite()), "{path}: {attributes:?}");
            assert!(attributes.duration_sec.is_finite() && attributes.duration_sec >= 0.0, "{path}: {attributes:?}");
            assert!((1..=1_000_000).contains(&attributes.sample_rate), "{path}: {attributes:?}");
            assert!((1..=64).contains(&attributes.channels), "{path}: {attributes:?}");
        }
        if analysis.status == Status::Ok {
            assert_eq!(analysis.logits.len(), 34, "{path}");
            assert!(analysis.logits.iter().all(|logit| logit.is_finite()), "{path}: {analysis:?}");
            assert!(analysis.attributes.is_some() && analysis.error.is_none(), "{path}: {analysis:?}");
        } else {
            let error = analysis.error.as_deref().unwrap_or_default();
            assert!(error.len() > 8 && !error.contains("panicked"), "{path}: {error:?}");
            assert!(analysis.logits.is_empty(), "{path}");
        }
    }
    for status in ["ok", "too_short", "silent", "load_error", "unsupported"] {
        assert!(told.get(status).is_some_and(|&count| count > 3), "{status}: {told:?}");
    }
    assert_eq!(same(&known, &alone, &healthy), [] as [&str; 0], "heard differently beside damaged files");

    // Nothing is heard again and again.
    let (again, _) = pass(&place);
    assert_eq!(again.count("heard"), 0, "{again:?}");
}

/// The healthy files that were not heard the same in both.
fn same<'f>(here: &Known, there: &Known, healthy: &'f [File]) -> Vec<&'f str> {
    let heard = |known: &Known, bytes: &[u8]| {
        let hash = drumfs::archive::ContentHash::of(drumfs::archive::HashAlgorithm::Xxh3, bytes);
        known.heard.get(&hash.to_hex()).cloned()
    };
    let differs = |file: &&File| heard(here, &file.1).is_none() || heard(here, &file.1) != heard(there, &file.1);
    healthy.iter().filter(differs).map(|file| &file.0[..]).collect()
}
