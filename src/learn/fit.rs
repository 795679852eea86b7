//! Fits a last layer: multinomial logistic regression of the difference to the one that ships.
//!
//! What is minimised over the change D of weights and biases is
//!
//! ```text
//! Σ knowledge  w · KL(p₀ ‖ p)  +  Σ lessons  −log Σ_{meant} p  +  λ/2 · ‖D‖²       p = softmax(logits + D·[e; 1])
//! ```
//!
//! For what ships the target is not its label but what the shipped layer says (p₀): learning without forgetting (Li &
//! Hoiem, ECCV 2016). So with no lessons nothing changes, and where lessons say nothing the model says what it said,
//! with the certainty that its calibration was fitted for. A lesson may mean several labels (`misc`): then the
//! probability of all of them together counts.

use std::ops::Range;

use rayon::prelude::*;

/// How many examples are looked at in one go. Sums are made in this order whatever the number of threads, so that the
/// same lessons always give the same layer.
const CHUNK: usize = 128;

/// Corrections of L-BFGS that are kept (Nocedal & Wright, *Numerical Optimization*, 2nd ed., algorithm 7.5).
const MEMORY: usize = 10;

/// A step is taken when it brings this share of what the slope promises (Armijo's rule, there 3.4).
const SUFFICIENT: f64 = 1e-4;

/// Fitting has ended when the slope promises less than this share of the loss.
const ENOUGH: f64 = 1e-5;

/// The most steps.
const MAX_STEPS: usize = 200;

/// What a sound should be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// A probability for each label.
    Soft,
    /// 1 for each label that is meant, 0 for the others: any of them will do.
    OneOf,
}

/// Labels are looked at so many at a time, which processors do at once.
const LANES: usize = 8;

/// Sounds of one kind of goal, side by side. Each has room for a multiple of [`LANES`] labels; those beyond the
/// model's have no probability. Of what goes into the layer only what is not zero is kept, which is the smaller part
/// where it comes out of a ReLU; a one for the biases stands at its end.
#[derive(Debug, Clone)]
pub struct Examples {
    goal: Goal,
    outputs: usize,
    size: usize,
    /// The logits with the layer that ships.
    logits: Vec<f32>,
    goals: Vec<f32>,
    /// Row of the layer and value.
    inputs: Vec<(u32, f32)>,
    /// Where the inputs of each sound end.
    ends: Vec<usize>,
    /// How much each counts.
    weight: f32,
}

impl Examples {
    /// No sounds yet. `weight` is how much each will count.
    pub fn new(goal: Goal, outputs: usize, size: usize, weight: f32) -> Self {
        let (logits, goals) = (Vec::new(), Vec::new());
        Self { goal, outputs, size, logits, goals, inputs: Vec::new(), ends: Vec::new(), weight }
    }

    /// Adds a sound: what the layer that ships makes of it, what went into that layer, and what it should be. One whose
    /// sizes are others is left out.
    pub fn push(&mut self, logits: &[f32], embedding: impl ExactSizeIterator<Item = f32>, goal: &[f32]) {
        if logits.len() != self.outputs || goal.len() != self.outputs || embedding.len() != self.size {
            return;
        }
        let room = self.ends.len().saturating_add(1) * lanes(self.outputs);
        self.logits.extend_from_slice(logits);
        self.logits.resize(room, f32::NEG_INFINITY);
        self.goals.extend_from_slice(goal);
        self.goals.resize(room, 0.0);
        let inputs = (0u32..).zip(embedding.chain([1.0]));
        self.inputs.extend(inputs.filter(|(_, value)| *value != 0.0));
        self.ends.push(self.inputs.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The mean square of what goes into the layer.
    pub fn mean_square(&self) -> f64 {
        let sum: f64 = self.inputs.iter().map(|(_, value)| f64::from(value * value)).sum();
        (sum - self.len() as f64).max(0.0) / (self.len() * self.size).max(1) as f64
    }

    /// Logits, inputs and goal of each sound of a range.
    fn sounds(&self, range: Range<usize>) -> impl Iterator<Item = (&[f32], &[(u32, f32)], &[f32])> {
        let lanes = lanes(self.outputs);
        range.map_while(move |sound| {
            let from = sound.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
            let room = sound * lanes..(sound + 1) * lanes;
            let inputs = self.inputs.get(from..*self.ends.get(sound)?)?;
            Some((self.logits.get(room.clone())?, inputs, self.goals.get(room)?))
        })
    }

    /// Loss of the sounds with the change `change`, whose rows have room for a multiple of [`LANES`] labels; its
    /// gradient is added to `gradient`.
    fn loss(&self, change: &[f32], gradient: &mut [f64]) -> f64 {
        let lanes = lanes(self.outputs);
        let chunks: Vec<(f64, Vec<f32>)> = (0..self.len().div_ceil(CHUNK))
            .into_par_iter()
            .map(|chunk| {
                let mut part = vec![0f32; change.len()];
                let mut sum = 0.0;
                let mut scores = vec![0f32; lanes];
                for (logits, inputs, goal) in self.sounds(chunk * CHUNK..((chunk + 1) * CHUNK).min(self.len())) {
                    scores.copy_from_slice(logits);
                    for (row, value) in inputs {
                        add(&mut scores, row_of(change, *row, lanes), *value);
                    }
                    sum += f64::from(self.slope(&mut scores, goal));
                    for (row, value) in inputs {
                        if let Some(part) = part.get_mut(*row as usize * lanes..(*row as usize + 1) * lanes) {
                            add(part, &scores, *value);
                        }
                    }
                }
                (sum, part)
            })
            .collect();
        let mut sum = 0.0;
        for (loss, part) in chunks {
            sum += loss;
            for (total, part) in gradient.iter_mut().zip(part) {
                *total += f64::from(part);
            }
        }
        sum
    }

    /// Adds about the second derivative of the loss by each number of a change, at no change: the sum over the sounds of
    /// the square of what goes in, times p (1 - p).
    fn add_curvature(&self, curvature: &mut [f64]) {
        let lanes = lanes(self.outputs);
        let mut scores = vec![0f32; lanes];
        for (logits, inputs, _) in self.sounds(0..self.len()) {
            scores.copy_from_slice(logits);
            softmax(&mut scores);
            for (row, value) in inputs {
                let square = self.weight * value * value;
                let Some(row) = curvature.get_mut(*row as usize * lanes..(*row as usize + 1) * lanes) else { continue };
                row.iter_mut().zip(&scores).for_each(|(sum, p)| *sum += f64::from(square * p * (1.0 - p)));
            }
        }
    }

    /// The loss of one sound with these logits, which become its gradient with respect to them.
    fn slope(&self, scores: &mut [f32], goal: &[f32]) -> f32 {
        softmax(scores);
        match self.goal {
            Goal::Soft => {
                let mut loss = 0.0;
                for (score, goal) in scores.iter_mut().zip(goal) {
                    // A logarithm costs more than all the rest; what is this unlikely adds nothing that counts.
                    if *goal > 1e-5 {
                        loss += goal * (goal / score.max(f32::MIN_POSITIVE)).ln();
                    }
                    *score = self.weight * (*score - goal);
                }
                self.weight * loss
            }
            Goal::OneOf => {
                let meant: f32 = scores.iter().zip(goal).map(|(score, goal)| score * goal).sum();
                let meant = meant.max(f32::MIN_POSITIVE);
                for (score, goal) in scores.iter_mut().zip(goal) {
                    *score = self.weight * (*score - *score * goal / meant);
                }
                -self.weight * meant.ln()
            }
        }
    }
}

/// The room that so many labels take.
fn lanes(outputs: usize) -> usize {
    outputs.next_multiple_of(LANES).max(LANES)
}

fn row_of(change: &[f32], row: u32, lanes: usize) -> &[f32] {
    change.get(row as usize * lanes..(row as usize + 1) * lanes).unwrap_or_default()
}

/// Adds `value` times each of `from`.
fn add(to: &mut [f32], from: &[f32], value: f32) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += value * from);
}

/// Probabilities of logits, in place.
pub fn softmax(scores: &mut [f32]) {
    let max = scores.iter().fold(f32::NEG_INFINITY, |max, &score| max.max(score));
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// Adds what a change makes of an embedding: one row a value, and one for the biases.
pub fn add_change(scores: &mut [f32], change: &[f32], embedding: &[f32]) {
    let outputs = scores.len();
    let rows = change.chunks_exact(outputs.max(1));
    for (row, value) in rows.zip(embedding.iter().copied().chain([1.0])) {
        // Half of what a ReLU gives is zero.
        if value != 0.0 {
            scores.iter_mut().zip(row).for_each(|(score, weight)| *score += value * weight);
        }
    }
}

/// A change of the last layer that was fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// One row a value of the embedding and one for the biases, one column an output.
    pub change: Vec<f32>,
    /// The same, with the room that fitting wants.
    at: Vec<f64>,
    /// How the slope turned in the last steps, for a fit of much the same.
    memory: Memory,
}

/// The change of the last layer with the least loss on all of `examples`; `lambda` holds it back. `near` is a fit of
/// much the same, from which this one starts.
pub fn fit(examples: &[&Examples], lambda: f64, near: Option<&Fit>) -> Fit {
    let Some(first) = examples.first() else {
        return Fit { change: Vec::new(), at: Vec::new(), memory: Memory::new() };
    };
    let lanes = lanes(first.outputs);
    let len = (first.size + 1) * lanes;
    let near = near.filter(|near| near.at.len() == len);
    let begin = near.map_or_else(|| vec![0.0; len], |near| near.at.clone());
    let mut curvature = vec![lambda; len];
    examples.iter().for_each(|examples| examples.add_curvature(&mut curvature));
    let memory = near.map(|near| near.memory.clone()).unwrap_or_default();
    let (at, memory) = minimise(begin, &curvature, memory, |change, gradient| {
        let rounded: Vec<f32> = change.iter().map(|&value| value as f32).collect();
        let mut loss = 0.0;
        for (slope, value) in gradient.iter_mut().zip(change) {
            *slope = lambda * value;
            loss += 0.5 * lambda * value * value;
        }
        loss + examples.iter().map(|examples| examples.loss(&rounded, gradient)).sum::<f64>()
    });
    let rows = at.chunks_exact(lanes).flat_map(|row| row.iter().take(first.outputs));
    Fit { change: rows.map(|&value| value as f32).collect(), at, memory }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Steps, changes of the slope, and the inverse of their product, the newest last.
type Memory = Vec<(Vec<f64>, Vec<f64>, f64)>;

/// Where a smooth function is least: L-BFGS with backtracking. `function` gives the value and writes the gradient;
/// `curvature` is about the second derivative by each variable.
fn minimise(
    mut at: Vec<f64>,
    curvature: &[f64],
    mut memory: Memory,
    function: impl Fn(&[f64], &mut [f64]) -> f64,
) -> (Vec<f64>, Memory) {
    let mut slope = vec![0.0; at.len()];
    let mut value = function(&at, &mut slope);
    let mut evaluations = 1;
    for _ in 0..MAX_STEPS {
        let mut direction = descent(&slope, curvature, &memory);
        let mut promised = dot(&direction, &slope);
        if promised >= 0.0 {
            memory.clear();
            direction = descent(&slope, curvature, &memory);
            promised = dot(&direction, &slope);
        }
        // What is left to gain is about half of what the slope promises.
        if -promised <= ENOUGH * value.abs() {
            break;
        }
        let mut step = 1.0;
        let mut next_slope = vec![0.0; at.len()];
        let (next, next_value) = loop {
            let next: Vec<f64> = at.iter().zip(&direction).map(|(at, direction)| at + step * direction).collect();
            let next_value = function(&next, &mut next_slope);
            evaluations += 1;
            if next_value <= value + SUFFICIENT * step * promised {
                break (next, next_value);
            }
            step /= 2.0;
            // As low as rounding lets it be.
            if step < 1e-6 {
                return (at, memory);
            }
        };
        let moved: Vec<f64> = next.iter().zip(&at).map(|(next, at)| next - at).collect();
        let turned: Vec<f64> = next_slope.iter().zip(&slope).map(|(next, slope)| next - slope).collect();
        let product = dot(&moved, &turned);
        if product > 1e-12 * dot(&turned, &turned) {
            if memory.len() == MEMORY {
                memory.remove(0);
            }
            memory.push((moved, turned, product.recip()));
        }
        (at, slope, value) = (next, next_slope, next_value);
    }
    log::debug!("fitted with {evaluations} evaluations: loss {value:.4}");
    (at, memory)
}

/// The direction to go: the slope, turned round and stretched by the curvature and what the last steps told of it.
fn descent(slope: &[f64], curvature: &[f64], memory: &Memory) -> Vec<f64> {
    let mut direction: Vec<f64> = slope.iter().map(|slope| -slope).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for (moved, turned, inverse) in memory.iter().rev() {
        let share = inverse * dot(moved, &direction);
        direction.iter_mut().zip(turned).for_each(|(direction, turned)| *direction -= share * turned);
        shares.push(share);
    }
    // The curvatures know nothing of each other; the last step tells how much they are too small together.
    let scale = memory.last().map_or(1.0, |(_, turned, inverse)| {
        let stretched: f64 = turned.iter().zip(curvature).map(|(turned, curvature)| turned * turned / curvature).sum();
        (inverse * stretched).recip()
    });
    direction.iter_mut().zip(curvature).for_each(|(direction, curvature)| *direction *= scale / curvature);
    for ((moved, turned, inverse), share) in memory.iter().zip(shares.into_iter().rev()) {
        let share = share - inverse * dot(turned, &direction);
        direction.iter_mut().zip(moved).for_each(|(direction, moved)| *direction += share * moved);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1, always the same.
    fn numbers(seed: u32) -> impl Iterator<Item = f32> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / 2f32.powi(31) - 1.0
        })
    }

    const OUTPUTS: usize = 4;
    const SIZE: usize = 5;

    /// Sounds with random logits and embeddings; the goal of each is what `goal` makes of them.
    fn examples(kind: Goal, count: usize, seed: u32, goal: impl Fn(&[f32], &[f32]) -> Vec<f32>) -> Examples {
        let mut numbers = numbers(seed);
        let mut examples = Examples::new(kind, OUTPUTS, SIZE, 0.7);
        for _ in 0..count {
            let logits: Vec<f32> = numbers.by_ref().take(OUTPUTS).map(|number| 2.0 * number).collect();
            let embedding: Vec<f32> = numbers.by_ref().take(SIZE).map(|number| number.max(0.0)).collect();
            let goal = goal(&logits, &embedding);
            examples.push(&logits, embedding.into_iter(), &goal);
        }
        examples
    }

    fn own(logits: &[f32], _: &[f32]) -> Vec<f32> {
        let mut probabilities = logits.to_vec();
        softmax(&mut probabilities);
        probabilities
    }

    /// The label whose place holds the largest value, or the last label where that is large.
    fn one_of(_: &[f32], embedding: &[f32]) -> Vec<f32> {
        let largest = (0..OUTPUTS).max_by(|a, b| embedding[*a].total_cmp(&embedding[*b])).unwrap();
        let meant = |label| label == largest || (label == 3 && embedding[3] > 0.5);
        (0..OUTPUTS).map(|label| f32::from(u8::from(meant(label)))).collect()
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        for (kind, goal) in [(Goal::Soft, own as fn(&[f32], &[f32]) -> Vec<f32>), (Goal::OneOf, one_of)] {
            let examples = examples(kind, 9, 3, goal);
            let change: Vec<f32> = numbers(5).take((SIZE + 1) * LANES).collect();
            let mut gradient = vec![0.0; change.len()];
            examples.loss(&change, &mut gradient);
            for place in 0..change.len() {
                let at = |by: f32| {
                    let mut moved = change.clone();
                    moved[place] += by;
                    examples.loss(&moved, &mut vec![0.0; change.len()])
                };
                let measured = (at(0.01) - at(-0.01)) / 0.02;
                assert!((measured - gradient[place]).abs() < 2e-3, "{kind:?} {place}: {measured} {}", gradient[place]);
            }
        }
    }

    #[test]
    fn with_no_lessons_nothing_changes() {
        let knowledge = examples(Goal::Soft, 300, 1, own);
        let change = fit(&[&knowledge], 0.5, None).change;
        assert_eq!(change.len(), (SIZE + 1) * OUTPUTS);
        assert!(change.iter().all(|value| value.abs() < 1e-4), "{change:?}");
    }

    #[test]
    fn lessons_are_learnt_the_slope_at_the_end_is_flat_and_the_start_does_not_matter() {
        let (knowledge, lessons) = (examples(Goal::Soft, 300, 1, own), examples(Goal::OneOf, 60, 2, one_of));
        let all = [&knowledge, &lessons];
        let fitted = fit(&all, 0.1, None);
        let change = fitted.change.clone();
        let mut gradient: Vec<f64> = fitted.at.iter().map(|value| 0.1 * value).collect();
        let at: Vec<f32> = fitted.at.iter().map(|value| *value as f32).collect();
        let loss = |change: &[f32]| lessons.loss(change, &mut vec![0.0; change.len()]);
        assert!(loss(&at) < 0.9 * loss(&vec![0.0; at.len()]));
        for examples in all {
            examples.loss(&at, &mut gradient);
        }
        assert!(gradient.iter().all(|slope| slope.abs() < 0.2), "{gradient:?}");
        let elsewhere = Fit { at: numbers(9).map(f64::from).take(fitted.at.len()).collect(), ..fitted };
        let again = fit(&all, 0.1, Some(&elsewhere)).change;
        assert!(change.iter().zip(&again).all(|(a, b)| (a - b).abs() < 0.02), "{change:?} {again:?}");
    }

    #[test]
    fn the_same_lessons_give_the_same_layer_with_any_number_of_threads() {
        let (knowledge, lessons) = (examples(Goal::Soft, 1000, 1, own), examples(Goal::OneOf, 300, 2, one_of));
        let fit_with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit(&[&knowledge, &lessons], 0.1, None))
        };
        assert_eq!(fit_with(1), fit_with(5));
    }
}
