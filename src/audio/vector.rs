//! Eight numbers at a time. What is computed with them is written once, over [`Vector`], and compiled twice: with AVX2, and
//! without any vector instruction. Both do the same operations in the same order, so that their results are equal.

/// Eight numbers, one of each lane.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(align(32))]
pub(super) struct Eight(pub [f32; Eight::LANES]);

impl Eight {
    /// How many.
    pub const LANES: usize = 8;
    /// Nothing in any lane.
    pub const ZERO: Self = Self([0.0; Self::LANES]);
}

/// Arithmetic on [`Eight`]s. Multiplications and additions are never fused, which would round otherwise.
pub(super) trait Vector: Copy {
    fn load(from: &[f32; Eight::LANES]) -> Self;
    fn store(self, to: &mut [f32; Eight::LANES]);
    fn splat(value: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    /// The larger one of `self`, which is not negative, and the size of `other`.
    fn larger_size(self, other: Self) -> Self;
    /// Rows for columns.
    fn transpose(rows: [Self; Eight::LANES]) -> [Self; Eight::LANES];
}

/// Brings rows together, one a lane: `lanes` has one [`Eight`] for each column.
#[inline(always)]
pub(super) fn side_by_side<V: Vector>(rows: &[Vec<f32>; Eight::LANES], lanes: &mut Vec<Eight>) {
    let columns = rows.iter().map(Vec::len).min().unwrap_or(0);
    lanes.resize(columns, Eight::ZERO);
    let mut blocks = lanes.chunks_exact_mut(Eight::LANES);
    let mut first = 0;
    for block in &mut blocks {
        let mut values = [V::splat(0.0); Eight::LANES];
        for (value, row) in values.iter_mut().zip(rows) {
            if let Some(row) = row.get(first..).and_then(<[f32]>::first_chunk) {
                *value = V::load(row);
            }
        }
        for (slot, value) in block.iter_mut().zip(V::transpose(values)) {
            value.store(&mut slot.0);
        }
        first += Eight::LANES;
    }
    for (column, slot) in blocks.into_remainder().iter_mut().enumerate() {
        for (value, row) in slot.0.iter_mut().zip(rows) {
            *value = row.get(first + column).copied().unwrap_or(0.0);
        }
    }
}

/// Without vector instructions.
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; Eight::LANES]);

impl Plain {
    #[inline(always)]
    fn zip(self, other: Self, of: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| of(self.0[lane], other.0[lane])))
    }
}

impl Vector for Plain {
    #[inline(always)]
    fn load(from: &[f32; Eight::LANES]) -> Self {
        Self(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; Eight::LANES]) {
        *to = self.0;
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; Eight::LANES])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(f32::sqrt))
    }

    #[inline(always)]
    fn larger_size(self, other: Self) -> Self {
        // Not `f32::max`, whose care for NaN costs more than the comparison.
        self.zip(other, |a, b| if b.abs() > a { b.abs() } else { a })
    }

    #[inline(always)]
    fn transpose(rows: [Self; Eight::LANES]) -> [Self; Eight::LANES] {
        std::array::from_fn(|column| Self(std::array::from_fn(|row| rows[row].0[column])))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use wide::Wide;

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    use super::{Eight, Vector};

    /// With AVX2. Its functions may only run on a processor that has it: they are for code that was asked for after
    /// `is_x86_feature_detected!("avx2")`, and is compiled for AVX2 so that they become single instructions. Closures and
    /// what is not `#[inline(always)]` are not: there each would be a call.
    #[derive(Clone, Copy)]
    pub struct Wide(__m256);

    impl Vector for Wide {
        #[inline(always)]
        fn load(from: &[f32; Eight::LANES]) -> Self {
            // SAFETY: 32 bytes are read from a reference to 32 bytes; AVX is there (see the type).
            Self(unsafe { _mm256_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f32; Eight::LANES]) {
            // SAFETY: 32 bytes are written to a reference to 32 bytes; AVX is there (see the type).
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) };
        }

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: AVX is there (see the type).
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: as in `splat`.
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            // SAFETY: as in `splat`.
            Self(unsafe { _mm256_mul_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn sqrt(self) -> Self {
            // SAFETY: as in `splat`.
            Self(unsafe { _mm256_sqrt_ps(self.0) })
        }

        #[inline(always)]
        fn larger_size(self, other: Self) -> Self {
            // SAFETY: as in `splat`.
            Self(unsafe { _mm256_max_ps(self.0, _mm256_andnot_ps(_mm256_set1_ps(-0.0), other.0)) })
        }

        #[inline(always)]
        fn transpose(rows: [Self; Eight::LANES]) -> [Self; Eight::LANES] {
            let [Self(a), Self(b), Self(c), Self(d), Self(e), Self(f), Self(g), Self(h)] = rows;
            // SAFETY: as in `splat`.
            unsafe {
                // Pairs of rows, then fours, then the halves of both.
                let (ab, ab2) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (cd, cd2) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                let (ef, ef2) = (_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f));
                let (gh, gh2) = (_mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h));
                const LOW: i32 = 0x44;
                const HIGH: i32 = 0xEE;
                let (ad0, eh0) = (_mm256_shuffle_ps::<LOW>(ab, cd), _mm256_shuffle_ps::<LOW>(ef, gh));
                let (ad1, eh1) = (_mm256_shuffle_ps::<HIGH>(ab, cd), _mm256_shuffle_ps::<HIGH>(ef, gh));
                let (ad2, eh2) = (_mm256_shuffle_ps::<LOW>(ab2, cd2), _mm256_shuffle_ps::<LOW>(ef2, gh2));
                let (ad3, eh3) = (_mm256_shuffle_ps::<HIGH>(ab2, cd2), _mm256_shuffle_ps::<HIGH>(ef2, gh2));
                const LOWER: i32 = 0x20;
                const UPPER: i32 = 0x31;
                [
                    Self(_mm256_permute2f128_ps::<LOWER>(ad0, eh0)),
                    Self(_mm256_permute2f128_ps::<LOWER>(ad1, eh1)),
                    Self(_mm256_permute2f128_ps::<LOWER>(ad2, eh2)),
                    Self(_mm256_permute2f128_ps::<LOWER>(ad3, eh3)),
                    Self(_mm256_permute2f128_ps::<UPPER>(ad0, eh0)),
                    Self(_mm256_permute2f128_ps::<UPPER>(ad1, eh1)),
                    Self(_mm256_permute2f128_ps::<UPPER>(ad2, eh2)),
                    Self(_mm256_permute2f128_ps::<UPPER>(ad3, eh3)),
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length_come_side_by_side() {
        for len in [0, 1, 7, 8, 9, 1025] {
            let rows = std::array::from_fn(|row| (0..len).map(|column| (column * 10 + row) as f32).collect());
            let mut lanes = vec![Eight([9.0; 8]); 3];
            side_by_side::<Plain>(&rows, &mut lanes);
            let expected = |column| Eight(std::array::from_fn(|row| (column * 10 + row) as f32));
            assert_eq!(lanes, (0..len).map(expected).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rows_become_columns() {
        let rows: [Plain; 8] =
            std::array::from_fn(|row| Plain(std::array::from_fn(|column| (8 * row + column) as f32)));
        let columns = Plain::transpose(rows);
        for (column, values) in columns.iter().enumerate() {
            for (row, value) in values.0.iter().enumerate() {
                assert_eq!(*value, (8 * row + column) as f32);
            }
        }
    }
}
