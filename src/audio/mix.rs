//! The mono mix of a file's channels.

use symphonia::core::audio::sample::Sample;
use symphonia::core::audio::{Audio, GenericAudioBufferRef, conv::IntoSample};

/// The mean of the channels is taken for cancelled where it is this much weaker than the first channel: -40 dB.
const CANCELLED: f64 = 1e-4;

/// The mono mix in the making.
#[derive(Default)]
pub(super) struct Mix {
    /// Sum of the channels, then their mean.
    mono: Vec<f32>,
    /// The first channel, where there are others.
    first: Vec<f32>,
    channels: u16,
    max_frames: usize,
}

impl Mix {
    pub fn start(&mut self, channels: u16, max_frames: usize) {
        // A 10 s buffer at 1 MHz is not kept for the next one-shot.
        const KEEP: usize = 1 << 20;
        for buffer in [&mut self.mono, &mut self.first] {
            buffer.clear();
            buffer.shrink_to(KEEP);
        }
        self.channels = channels;
        self.max_frames = max_frames;
    }

    pub fn frames(&self) -> usize {
        self.mono.len()
    }

    pub fn is_full(&self) -> bool {
        self.mono.len() >= self.max_frames
    }

    /// Adds whole frames of interleaved samples of `N` bytes each; returns `name`.
    pub fn push_bytes<const N: usize>(
        &mut self,
        data: &[u8],
        name: &'static str,
        sample: impl Fn([u8; N]) -> f32,
    ) -> &'static str {
        let (samples, _) = data.as_chunks::<N>();
        let number = |bytes: &[u8; N]| {
            let value = sample(*bytes);
            // What is not a number is silence.
            if value.is_finite() { value } else { 0.0 }
        };
        match self.channels {
            0 | 1 => self.mono.extend(samples.iter().map(number)),
            2 => {
                let (frames, _) = samples.as_chunks::<2>();
                self.first.extend(frames.iter().map(|[left, _]| number(left)));
                self.mono.extend(frames.iter().map(|[left, right]| number(left) + number(right)));
            }
            channels => {
                for frame in samples.chunks_exact(usize::from(channels)) {
                    self.first.extend(frame.first().map(number));
                    self.mono.push(frame.iter().map(number).sum());
                }
            }
        }
        name
    }

    pub fn push(&mut self, buffer: GenericAudioBufferRef) {
        match buffer {
            GenericAudioBufferRef::U8(buffer) => self.push_planes(buffer),
            GenericAudioBufferRef::U16(buffer) => self.push_planes(buffer),
            GenericAudioBufferRef::U24(buffer) => self.push_planes(buffer),
            GenericAudioBufferRef::U32(buffer) => self.push_planes(buffer),
            GenericAudioBufferRef::S8(buffer) => self.push_planes(buffer),
            GenericAudioBufferRef::S16(buffer) => self.push_planes(buffer),
            GenericAudioBufferRef::S24(buffer) => self.push_planes(buffer),
            GenericAudioBufferRef::S32(buffer) => self.push_planes(buffer),
            GenericAudioBufferRef::F32(buffer) => self.push_planes(buffer),
            GenericAudioBufferRef::F64(buffer) => self.push_planes(buffer),
        }
    }

    fn push_planes<S: Sample + IntoSample<f32>>(&mut self, buffer: &impl Audio<S>) {
        let begin = self.mono.len();
        let count = buffer.frames().min(self.max_frames.saturating_sub(begin));
        // What is not a number is silence.
        let number = |sample: &S| {
            let value: f32 = (*sample).into_sample();
            if value.is_finite() { value } else { 0.0 }
        };
        for (channel, plane) in buffer.iter_planes().enumerate() {
            let plane = plane.get(..count).unwrap_or(plane);
            if channel == 0 {
                self.mono.extend(plane.iter().map(number));
                if self.channels > 1 {
                    self.first.extend_from_slice(self.mono.get(begin..).unwrap_or_default());
                }
            } else {
                for (sum, sample) in self.mono.iter_mut().skip(begin).zip(plane) {
                    *sum += number(sample);
                }
            }
        }
    }

    /// The mean of the channels, or the first channel where they cancel.
    pub fn finish(&mut self) -> &[f32] {
        if self.channels > 1 {
            let gain = 1.0 / f32::from(self.channels);
            for sample in &mut self.mono {
                // The sum of finite samples may not be finite.
                let mean = *sample * gain;
                *sample = if mean.is_finite() { mean } else { 0.0 };
            }
            if energy(&self.mono) < energy(&self.first) * CANCELLED {
                return &self.first;
            }
        }
        &self.mono
    }
}

fn energy(samples: &[f32]) -> f64 {
    samples.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum()
}
