//! What decoding and features promise, on files that the tests make themselves.

use std::f64::consts::TAU;

use super::features::{Sound, Unheard, frame_time};
use super::{DecodeError, Decoder, Extractor, FRAMES, Features, MEL_BANDS, Source, decode, mel};

/// A sine of a level, as one channel of samples.
fn sine(hz: f64, rate: u32, seconds: f64, level: f64) -> Vec<f32> {
    let count = (f64::from(rate) * seconds) as usize;
    (0..count).map(|n| (level * (TAU * hz * n as f64 / f64::from(rate)).sin()) as f32).collect()
}

/// How a WAV file writes its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

impl Form {
    const ALL: [Form; 6] = [Form::U8, Form::I16, Form::I24, Form::I32, Form::F32, Form::F64];

    fn bytes(self) -> u16 {
        match self {
            Form::U8 => 1,
            Form::I16 => 2,
            Form::I24 => 3,
            Form::I32 | Form::F32 => 4,
            Form::F64 => 8,
        }
    }

    fn is_float(self) -> bool {
        matches!(self, Form::F32 | Form::F64)
    }

    /// Largest error that rounding to this form makes.
    fn step(self) -> f32 {
        match self {
            Form::U8 => 1.0 / 127.0,
            Form::I16 => 1.0 / 32_767.0,
            _ => 1e-6,
        }
    }

    fn codec(self) -> &'static str {
        match self {
            Form::U8 => "pcm_u8",
            Form::I16 => "pcm_s16le",
            Form::I24 => "pcm_s24le",
            Form::I32 => "pcm_s32le",
            Form::F32 => "pcm_f32le",
            Form::F64 => "pcm_f64le",
        }
    }

    fn write(self, sample: f32, out: &mut Vec<u8>) {
        let x = f64::from(sample);
        match self {
            Form::U8 => out.push((x * 127.0 + 128.0).round() as u8),
            Form::I16 => out.extend(((x * 32_767.0).round() as i16).to_le_bytes()),
            Form::I24 => out.extend(&((x * 8_388_607.0).round() as i32).to_le_bytes()[..3]),
            Form::I32 => out.extend(((x * 2_147_483_647.0).round() as i32).to_le_bytes()),
            Form::F32 => out.extend(sample.to_le_bytes()),
            Form::F64 => out.extend(x.to_le_bytes()),
        }
    }
}

/// A WAV file of equally long channels.
fn wav(channels: &[Vec<f32>], rate: u32, form: Form, extensible: bool) -> Vec<u8> {
    let mut data = Vec::new();
    for frame in 0..channels[0].len() {
        for channel in channels {
            form.write(channel[frame], &mut data);
        }
    }
    let count = channels.len() as u16;
    let kind: u16 = if form.is_float() { 3 } else { 1 };
    let mut fmt = Vec::new();
    fmt.extend((if extensible { 0xFFFE } else { kind }).to_le_bytes());
    fmt.extend(count.to_le_bytes());
    fmt.extend(rate.to_le_bytes());
    fmt.extend((rate * u32::from(count * form.bytes())).to_le_bytes());
    fmt.extend((count * form.bytes()).to_le_bytes());
    fmt.extend((form.bytes() * 8).to_le_bytes());
    if extensible {
        fmt.extend(22u16.to_le_bytes());
        fmt.extend((form.bytes() * 8).to_le_bytes());
        fmt.extend(0u32.to_le_bytes());
        fmt.extend(kind.to_le_bytes());
        fmt.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71]);
    }
    let mut file = Vec::new();
    for (tag, body) in [(b"fmt ", &fmt), (b"data", &data)] {
        file.extend(tag);
        file.extend((body.len() as u32).to_le_bytes());
        file.extend(body);
        file.resize(file.len().next_multiple_of(2), 0);
    }
    [b"RIFF".as_slice(), &(file.len() as u32 + 4).to_le_bytes(), b"WAVE", &file].concat()
}

/// A 16-bit AIFF file, or an AIFC file with a compression.
fn aiff(samples: &[f32], rate: u32, compression: Option<&[u8; 4]>) -> Vec<u8> {
    let mut comm = Vec::new();
    comm.extend(1u16.to_be_bytes());
    comm.extend((samples.len() as u32).to_be_bytes());
    comm.extend(16u16.to_be_bytes());
    // An 80-bit float: the leading one of the rate moved to the top of 64 bits.
    let shift = rate.leading_zeros();
    comm.extend((16_383 + 31 - shift as u16).to_be_bytes());
    comm.extend((u64::from(rate << shift) << 32).to_be_bytes());
    comm.extend(compression.into_iter().flatten());
    comm.extend(compression.map_or(&[][..], |_| &[0, 0]));
    let mut ssnd = vec![0; 8];
    for sample in samples {
        let value = (sample * 32_767.0).round() as i16;
        ssnd.extend(if compression == Some(b"sowt") { value.to_le_bytes() } else { value.to_be_bytes() });
    }
    let mut file = Vec::new();
    for (tag, body) in [(b"COMM", &comm), (b"SSND", &ssnd)] {
        file.extend(tag);
        file.extend((body.len() as u32).to_be_bytes());
        file.extend(body);
    }
    let form = if compression.is_some() { b"AIFC" } else { b"AIFF" };
    [b"FORM".as_slice(), &(file.len() as u32 + 4).to_be_bytes(), form, &file].concat()
}

/// A mono 16-bit CAF file.
fn caf(samples: &[f32], rate: u32) -> Vec<u8> {
    let mut file = b"caff\0\x01\0\0desc".to_vec();
    file.extend(32u64.to_be_bytes());
    file.extend(f64::from(rate).to_be_bytes());
    file.extend(b"lpcm");
    for field in [0u32, 2, 1, 1, 16] {
        file.extend(field.to_be_bytes());
    }
    file.extend(b"data");
    file.extend((samples.len() as u64 * 2 + 4).to_be_bytes());
    file.extend(0u32.to_be_bytes());
    file.extend(samples.iter().flat_map(|x| ((x * 32_767.0).round() as i16).to_be_bytes()));
    file
}

/// A mono 16-bit FLAC file of verbatim blocks.
fn flac(samples: &[f32], rate: u32) -> Vec<u8> {
    const BLOCK: usize = 256;
    let crc = |bytes: &[u8], polynomial: u16, bits: u32| {
        let top = 1u32 << (bits - 1);
        bytes.iter().fold(0u32, |mut crc, byte| {
            crc ^= u32::from(*byte) << (bits - 8);
            for _ in 0..8 {
                crc = if crc & top != 0 { crc << 1 ^ u32::from(polynomial) } else { crc << 1 };
            }
            crc & (top | (top - 1))
        })
    };
    let whole = &samples[..samples.len() / BLOCK * BLOCK];
    let mut file = b"fLaC\x80\0\0\x22".to_vec();
    file.extend((BLOCK as u16).to_be_bytes());
    file.extend((BLOCK as u16).to_be_bytes());
    file.extend([0; 6]);
    // 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of length, then an MD5 of zeros: not computed.
    file.extend((u64::from(rate) << 44 | 15 << 36 | whole.len() as u64).to_be_bytes());
    file.extend([0; 16]);
    for (number, block) in whole.chunks(BLOCK).enumerate() {
        assert!(number < 128);
        // Sync, a block of 256, the header's rate, mono, 16 bits.
        let mut frame = vec![0xFF, 0xF8, 0x80, 0x08, number as u8];
        frame.push(crc(&frame, 0x07, 8) as u8);
        frame.push(0x02);
        frame.extend(block.iter().flat_map(|x| ((x * 32_767.0).round() as i16).to_be_bytes()));
        frame.extend((crc(&frame, 0x8005, 16) as u16).to_be_bytes());
        file.extend(frame);
    }
    file
}

fn decoded(bytes: &[u8]) -> (Vec<f32>, u32, u16, &'static str, u64) {
    let mut decoder = Decoder::new();
    let decoded = decoder.decode(Source::Bytes(bytes), bytes.len() as u64, None).unwrap();
    (decoded.samples.to_vec(), decoded.sample_rate, decoded.channels, decoded.codec, decoded.total_frames)
}

fn error(bytes: &[u8], extension: Option<&str>) -> DecodeError {
    Decoder::new().decode(Source::Bytes(bytes), bytes.len() as u64, extension).unwrap_err()
}

fn assert_near(heard: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(heard.len(), expected.len());
    for (index, (a, b)) in heard.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "sample {index}: {a} for {b}");
    }
}

#[test]
fn wav_files_of_every_form_and_width_give_their_samples() {
    let left = sine(440.0, 22_050, 0.1, 0.5);
    let right = sine(660.0, 22_050, 0.1, 0.3);
    for form in Form::ALL {
        for extensible in [false, true] {
            for count in [1usize, 2, 6] {
                let channels: Vec<_> =
                    (0..count).map(|c| if c % 2 == 0 { left.clone() } else { right.clone() }).collect();
                let (samples, rate, heard, codec, frames) = decoded(&wav(&channels, 22_050, form, extensible));
                assert_eq!((rate, usize::from(heard), codec), (22_050, count, form.codec()));
                assert_eq!(frames, left.len() as u64);
                let mean: Vec<f32> = (0..left.len())
                    .map(|n| channels.iter().map(|channel| channel[n]).sum::<f32>() / count as f32)
                    .collect();
                assert_near(&samples, &mean, form.step());
            }
        }
    }
}

#[test]
fn aiff_caf_and_flac_files_give_their_samples() {
    let tone = sine(440.0, 44_100, 1024.5 / 44_100.0, 0.5);
    for (file, codec) in [
        (aiff(&tone, 44_100, None), "pcm_s16be"),
        (aiff(&tone, 44_100, Some(b"sowt")), "pcm_s16le"),
        (aiff(&tone, 44_100, Some(b"NONE")), "pcm_s16be"),
        (caf(&tone, 44_100), "pcm_s16be"),
        (flac(&tone, 44_100), "flac"),
    ] {
        let (samples, rate, channels, heard, frames) = decoded(&file);
        assert_eq!((rate, channels, heard, frames), (44_100, 1, codec, 1024), "{codec}");
        assert_near(&samples, &tone, 1.0 / 32_767.0);
    }
}

#[test]
fn channels_that_cancel_give_the_first() {
    let tone = sine(440.0, 44_100, 0.1, 0.5);
    let mirrored: Vec<f32> = tone.iter().map(|x| -x).collect();
    let (samples, ..) = decoded(&wav(&[tone.clone(), mirrored], 44_100, Form::F32, false));
    assert_near(&samples, &tone, 0.0);
}

#[test]
fn samples_that_are_not_numbers_are_silence() {
    let mut tone = sine(440.0, 44_100, 0.1, 0.5);
    tone[10] = f32::NAN;
    tone[11] = f32::INFINITY;
    tone[12] = f32::MAX;
    for count in [1, 2, 3] {
        let (samples, ..) = decoded(&wav(&vec![tone.clone(); count], 44_100, Form::F32, false));
        assert!(samples.iter().all(|x| x.is_finite()));
        assert_eq!(samples[10..12], [0.0, 0.0]);
        let sound = Extractor::new().extract(&samples, 44_100);
        assert!(sound.rms_dbfs.is_finite() && sound.centroid_hz.is_finite());
        let features = sound.features.unwrap();
        assert!(features.as_slice().iter().all(|x| x.is_finite()));
        assert!(features.as_slice()[..Features::PICTURE].iter().all(|x| (0.0..=1.0).contains(x)));
    }
}

#[test]
fn headers_that_lie_about_lengths_are_not_believed() {
    let tone = sine(440.0, 44_100, 0.1, 0.5);
    let whole = wav(std::slice::from_ref(&tone), 44_100, Form::I16, false);
    let expected = decoded(&whole);
    for claimed in [0, 7, u32::MAX, u32::MAX - 1, 0x7FFF_FFFF, whole.len() as u32 * 2] {
        let mut file = whole.clone();
        file[4..8].copy_from_slice(&claimed.to_le_bytes());
        assert_eq!(decoded(&file), expected, "a RIFF of {claimed} bytes");
        if claimed != 7 {
            file[40..44].copy_from_slice(&claimed.to_le_bytes());
            assert_eq!(decoded(&file), expected, "data of {claimed} bytes");
        }
    }
    let mut file = aiff(&tone, 44_100, None);
    let expected = decoded(&file);
    file[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    file[42..46].copy_from_slice(&u32::MAX.to_be_bytes());
    file[22..26].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(decoded(&file), expected, "an AIFF of 4 GB");
}

#[test]
fn a_length_that_no_file_of_that_size_could_have_is_not_believed() {
    // Longer than is decoded, so that nobody counts to the end.
    let mut file = flac(&sine(100.0, 1000, 12.0, 0.5), 1000);
    let honest = decoded(&file).4;
    assert_eq!(honest, 12_000 / 256 * 256);
    // The 36 bits of length, all set.
    file[21] |= 0x0F;
    file[22..26].fill(0xFF);
    let total = decoded(&file).4;
    assert!(total >= honest && total < 1 << 30, "{total} frames in {} bytes", file.len());
}

#[test]
fn files_that_are_cut_short_are_used_as_far_as_they_go() {
    let tone = sine(440.0, 44_100, 0.1, 0.5);
    for file in [
        wav(std::slice::from_ref(&tone), 44_100, Form::I16, false),
        aiff(&tone, 44_100, None),
        caf(&tone, 44_100),
        flac(&tone, 44_100),
    ] {
        let half = &file[..file.len() / 2];
        let (samples, .., frames) = decoded(half);
        assert!(samples.len() > tone.len() / 3 && samples.len() < tone.len());
        assert_eq!(frames, samples.len() as u64);
        assert_near(&samples, &tone[..samples.len()], 1.0 / 32_767.0);
    }
}

#[test]
fn no_format_is_unsupported_and_a_damaged_one_is_damaged() {
    let whole = wav(&[sine(440.0, 44_100, 0.1, 0.5)], 44_100, Form::I16, false);
    let garbage: Vec<u8> = (0u32..5000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x7F).collect();
    assert!(matches!(error(&garbage, Some("wav")), DecodeError::Unsupported(_)));
    assert!(matches!(error(&garbage, None), DecodeError::Unsupported(_)));
    assert!(matches!(error(b"hello", Some("mp3")), DecodeError::Unsupported(_)));
    let mp3_in_wav = error(&patched(&whole, 20, &0x55u16.to_le_bytes()), Some("wav"));
    assert!(matches!(mp3_in_wav, DecodeError::Unsupported(_)), "{mp3_in_wav:?}");
    let ima_in_aifc = error(&aiff(&[0.5; 100], 44_100, Some(b"ima4")), Some("aif"));
    assert!(matches!(ima_in_aifc, DecodeError::Unsupported(_)), "{ima_in_aifc:?}");
    assert!(matches!(error(b"\0\0\0\x0cftypM4A ", Some("m4a")), DecodeError::Damaged { .. }));
    for (damaged, what) in [
        (Vec::new(), "the file is empty"),
        (whole[..12].to_vec(), "no fmt chunk (at byte 12)"),
        (whole[..36].to_vec(), "no data chunk (at byte 36)"),
        (whole[..30].to_vec(), "the fmt chunk is cut short (at byte 20)"),
        (patched(&whole, 22, &0u16.to_le_bytes()), "0 channels"),
        (patched(&whole, 22, &65u16.to_le_bytes()), "65 channels"),
        (patched(&whole, 24, &0u32.to_le_bytes()), "a sample rate of 0 Hz"),
        (patched(&whole, 24, &1_000_001u32.to_le_bytes()), "a sample rate of 1000001 Hz"),
        (patched(&whole, 32, &[9, 0, 70, 0]), "70 bits a sample in a WAV of kind 1 (at byte 20)"),
    ] {
        let error = error(&damaged, Some("wav"));
        assert!(matches!(error, DecodeError::Damaged { .. }), "{error:?}");
        assert_eq!(error.to_string(), what);
    }
}

fn patched(file: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn only_the_beginning_of_a_long_file_is_decoded_and_its_length_is_known() {
    let long = vec![0.25f32; 8_000 * 30];
    let (samples, .., frames) = decoded(&wav(std::slice::from_ref(&long), 8_000, Form::U8, false));
    assert_eq!(samples.len(), 8_000 * decode::MAX_SECONDS as usize);
    assert_eq!(frames, long.len() as u64);
    // A CAF that claims years: the file's size is the bound.
    let mut file = caf(&long, 8_000);
    let at = 20 + 32 + 4;
    file[at..at + 8].copy_from_slice(&(i64::MAX as u64).to_be_bytes());
    let mut decoder = Decoder::new();
    if let Ok(decoded) = decoder.decode(Source::Bytes(&file), file.len() as u64, None) {
        assert!(decoded.duration_sec() <= file.len() as f64 * 8192.0 / 8_000.0);
        assert!(decoded.samples.len() <= 8_000 * decode::MAX_SECONDS as usize);
    }
}

#[test]
fn a_file_on_disk_gives_what_it_gives_in_memory() {
    use std::io::Write as _;
    let tone = sine(440.0, 22_050, 12.0, 0.5);
    let long = wav(&[tone.clone(), tone.clone()], 22_050, Form::I16, false);
    // The samples behind a chunk that is larger than what is read to look for them.
    let mut hidden = long[..36].to_vec();
    hidden.extend(b"JUNK");
    hidden.extend(400_000u32.to_le_bytes());
    hidden.resize(hidden.len() + 400_000, 0);
    hidden.extend(&long[36..]);
    let riff_len = hidden.len() as u32 - 8;
    hidden[4..8].copy_from_slice(&riff_len.to_le_bytes());
    for bytes in [long, hidden, aiff(&tone, 22_050, None), caf(&tone, 22_050), flac(&tone[..20_000], 22_050)] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let mut decoder = Decoder::new();
        let decoded_file = decoder.decode(Source::File(&file), bytes.len() as u64, None).unwrap();
        let (samples, rate, channels, codec, frames) = decoded(&bytes);
        assert_eq!(decoded_file.samples, samples);
        assert_eq!(
            (decoded_file.sample_rate, decoded_file.channels, decoded_file.codec, decoded_file.total_frames),
            (rate, channels, codec, frames)
        );
    }
}

#[test]
fn no_change_of_bytes_makes_decoding_panic() {
    let tone = sine(440.0, 44_100, 0.05, 0.5);
    let mut decoder = Decoder::new();
    let mut extractor = Extractor::new();
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for base in [
        wav(&[tone.clone(), tone.clone()], 44_100, Form::I24, true),
        wav(std::slice::from_ref(&tone), 44_100, Form::F32, false),
        aiff(&tone, 44_100, None),
        aiff(&tone, 44_100, Some(b"fl32")),
        caf(&tone, 44_100),
        flac(&tone, 44_100),
    ] {
        for _ in 0..2_000 {
            let mut file = base.clone();
            for _ in 0..=random(4) {
                // Mostly headers: that is where a wrong byte matters.
                let at = if random(4) > 0 { random(80) } else { random(file.len()) };
                file[at] = [0, 1, 0x7F, 0x80, 0xFF, random(256) as u8][random(6)];
            }
            if random(3) == 0 {
                file.truncate(random(file.len()));
            }
            if let Ok(decoded) = decoder.decode(Source::Bytes(&file), file.len() as u64, Some("wav")) {
                assert!(decoded.samples.iter().all(|x| x.is_finite()));
                assert!(decoded.samples.len() <= decoded.sample_rate as usize * decode::MAX_SECONDS as usize);
                let sound =
                    extractor.extract(&decoded.samples[..decoded.samples.len().min(20_000)], decoded.sample_rate);
                assert!(sound.rms_dbfs.is_finite() && sound.centroid_hz.is_finite() && sound.rolloff_hz.is_finite());
            }
        }
    }
}

/// The band with the most energy in a frame.
fn loudest_band(sound: &Sound, frame: usize) -> usize {
    let features = sound.features.as_ref().unwrap().as_slice();
    (0..MEL_BANDS).max_by(|a, b| features[a * FRAMES + frame].total_cmp(&features[b * FRAMES + frame])).unwrap()
}

const RATES: [u32; 5] = [8_000, 22_050, 44_100, 48_000, 96_000];

#[test]
fn a_sine_is_loudest_in_its_band_at_every_rate() {
    let mut extractor = Extractor::new();
    for rate in RATES {
        for hz in [60.0, 200.0, 1_000.0, 3_000.0, 9_000.0] {
            if hz > f64::from(rate) * 0.45 {
                continue;
            }
            let sound = extractor.extract(&sine(hz, rate, 1.0, 0.5), rate);
            let [low, _, high] = mel::PICTURE.triangles().nth(loudest_band(&sound, 10)).unwrap();
            assert!(low < hz && hz < high, "{hz} Hz at {rate} Hz is loudest between {low} and {high} Hz");
        }
    }
}

#[test]
fn the_same_sound_has_the_same_features_at_every_rate() {
    let mut extractor = Extractor::new();
    let tone = |rate: u32| -> Vec<f32> {
        let count = rate * 6 / 10;
        let at = |n: u32| {
            let t = f64::from(n) / f64::from(rate);
            // 20 ms of nothing, then partials below every rate's Nyquist frequency.
            let t = t - 0.02;
            if t < 0.0 {
                return 0.0;
            }
            let partials = [(110.0, 0.5), (430.0, 0.3), (1_700.0, 0.15)];
            // An attack without a corner, whose overtones would be cut off differently at every rate.
            let envelope = (1.0 - (-t / 0.004).exp()).powi(2) * (-t / 0.05).exp();
            partials.iter().map(|(hz, level)| level * envelope * (TAU * hz * t).sin()).sum::<f64>() as f32
        };
        (0..count).map(at).collect()
    };
    let reference = extractor.extract(&tone(44_100), 44_100);
    let expected = reference.features.unwrap();
    for rate in RATES {
        let sound = extractor.extract(&tone(rate), rate);
        let features = sound.features.unwrap();
        let nyquist = f64::from(rate) / 2.0;
        let below = mel::PICTURE.triangles().take_while(|[_, _, high]| *high < nyquist * 0.9).count();
        let differences: Vec<f32> =
            (0..below * FRAMES).map(|index| (features.as_slice()[index] - expected.as_slice()[index]).abs()).collect();
        let mean = differences.iter().sum::<f32>() / differences.len() as f32;
        assert!(mean < 0.01, "mean difference {mean} at {rate} Hz");
        // Bands that reach the Nyquist frequency hold nothing.
        let above = mel::PICTURE.triangles().position(|[low, ..]| low > nyquist).unwrap_or(MEL_BANDS);
        assert!(features.as_slice()[above * FRAMES..Features::PICTURE].iter().all(|x| *x == 0.0));
        assert!((sound.rms_dbfs - reference.rms_dbfs).abs() < 0.01);
        assert!((sound.centroid_hz / reference.centroid_hz - 1.0).abs() < 0.05, "{} Hz", sound.centroid_hz);
    }
}

#[test]
fn attributes_of_a_sine_are_those_of_a_sine() {
    let mut extractor = Extractor::new();
    for rate in [22_050, 44_100, 96_000] {
        let sound = extractor.extract(&sine(1_000.0, rate, 2.0, 1.0), rate);
        assert!((sound.rms_dbfs + 3.0103).abs() < 0.01, "{} dBFS", sound.rms_dbfs);
        assert!((sound.centroid_hz - 1_000.0).abs() < 30.0, "centroid {} Hz", sound.centroid_hz);
        assert!((sound.rolloff_hz - 1_000.0).abs() < 50.0, "rolloff {} Hz", sound.rolloff_hz);
    }
    let square: Vec<f32> = (0..44_100).map(|n| if n / 50 % 2 == 0 { 1.0 } else { -1.0 }).collect();
    assert!(extractor.extract(&square, 44_100).rms_dbfs.abs() < 1e-4);
}

#[test]
fn features_do_not_depend_on_level_or_on_silence_around_the_sound() {
    let mut extractor = Extractor::new();
    let hit: Vec<f32> =
        sine(180.0, 44_100, 0.4, 0.9).iter().enumerate().map(|(n, x)| x * (-(n as f32) / 5_000.0).exp()).collect();
    let expected = extractor.extract(&hit, 44_100).features.unwrap();
    let mut padded = vec![0.0; 3_000];
    padded.extend(hit.iter().map(|x| x * 0.05));
    padded.extend([0.0; 9_000]);
    let features = extractor.extract(&padded, 44_100).features.unwrap();
    for (a, b) in features.as_slice().iter().zip(expected.as_slice()) {
        assert!((a - b).abs() < 2e-3, "{a} for {b}");
    }
}

#[test]
fn too_short_and_silent_sounds_are_told_apart() {
    let mut extractor = Extractor::new();
    let features = |extractor: &mut Extractor, samples: &[f32]| extractor.extract(samples, 44_100).features.err();
    assert_eq!(features(&mut extractor, &sine(2_000.0, 44_100, 0.004, 0.5)), Some(Unheard::TooShort));
    assert_eq!(features(&mut extractor, &sine(2_000.0, 44_100, 0.006, 0.5)), None);
    assert_eq!(features(&mut extractor, &[]), Some(Unheard::TooShort));
    assert_eq!(features(&mut extractor, &[0.0; 44_100]), Some(Unheard::Silent));
    assert_eq!(features(&mut extractor, &sine(100.0, 44_100, 1.0, 5e-5)), Some(Unheard::Silent));
    assert_eq!(extractor.extract(&[0.0; 44_100], 44_100).rms_dbfs, super::SILENCE_DBFS);
}

#[test]
fn frame_times_rise_from_the_onset_to_the_second_after_it() {
    let times: Vec<f64> = (0..FRAMES).map(frame_time).collect();
    assert_eq!(times[0], 0.0);
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    assert!((times[12] - 0.12).abs() < 1e-9 && (times[32] - 0.52).abs() < 1e-9 && (times[47] - 1.12).abs() < 1e-9);
    assert!((times[63] - 2.36).abs() < 1e-9, "{}", times[63]);
}
