//! Small sounds made by formula, each different from every other.

/// Samples a second.
const RATE: u32 = 44_100;

/// A mono 16-bit WAV of 0.15 s: a decaying sine that falls in pitch for even seeds, a noise burst for odd ones. Two
/// seeds never give the same bytes.
pub fn wav(seed: u64) -> Vec<u8> {
    wav_of(seed, 0.15)
}

/// The same with a length in seconds.
pub fn wav_of(seed: u64, seconds: f64) -> Vec<u8> {
    let frames = (f64::from(RATE) * seconds) as u32;
    let mut noise = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut phase = 0.0f64;
    let samples = (0..frames).map(|n| {
        let t = f64::from(n) / f64::from(RATE);
        let value = if seed.is_multiple_of(2) {
            phase += std::f64::consts::TAU * (50.0 + (seed % 97) as f64 + 200.0 * (-t * 40.0).exp()) / f64::from(RATE);
            phase.sin() * (-t * 18.0).exp()
        } else {
            // xorshift64
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            (noise as i64 as f64 / i64::MAX as f64) * (-t * 30.0).exp()
        };
        (value * 20_000.0) as i16
    });
    let mut data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    // The seed itself in the last eight bytes, which are all but silent.
    let end = data.len() - 8;
    data[end..].copy_from_slice(&seed.to_le_bytes());
    let mut file = Vec::with_capacity(44 + data.len());
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + data.len() as u32).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    file.extend_from_slice(&1u16.to_le_bytes());
    file.extend_from_slice(&1u16.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * 2).to_le_bytes());
    file.extend_from_slice(&2u16.to_le_bytes());
    file.extend_from_slice(&16u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&(data.len() as u32).to_le_bytes());
    file.extend_from_slice(&data);
    file
}
