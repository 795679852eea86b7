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

use rayon::prelude::*;

/// How many examples are looked at in one go. Sums are made in this order whatever the number of threads, so that the
/// same lessons always give the same layer.
const CHUNK: usize = 128;

/// Corrections of L-BFGS that are kept (Nocedal & Wright, *Numerical Optimization*, 2nd ed., algorithm 7.5).
const MEMORY: usize = 10;

/// A step is taken when it brings this share of what the slope promises (Armijo's rule, there 3.4).
const SUFFICIENT: f64 = 1e-4;

/// Fitting has ended when a step brings less than this share of the loss.
const ENOUGH: f64 = 1e-6;

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

/// Sounds of one kind of goal, side by side.
#[derive(Debug, Clone)]
pub struct Examples {
    goal: Goal,
    outputs: usize,
    size: usize,
    /// The logits with the layer that ships.
    logits: Vec<f32>,
    embeddings: Vec<f32>,
    goals: Vec<f32>,
    /// How much each counts.
    weight: f32,
}

impl Examples {
    /// No sounds yet. `weight` is how much each will count.
    pub fn new(goal: Goal, outputs: usize, size: usize, weight: f32) -> Self {
        Self { goal, outputs, size, logits: Vec::new(), embeddings: Vec::new(), goals: Vec::new(), weight }
    }

    /// Adds a sound: what the layer that ships makes of it, what went into that layer, and what it should be. One whose
    /// sizes are others is left out.
    pub fn push(&mut self, logits: &[f32], embedding: impl ExactSizeIterator<Item = f32>, goal: &[f32]) {
        if logits.len() == self.outputs && goal.len() == self.outputs && embedding.len() == self.size {
            self.logits.extend_from_slice(logits);
            self.embeddings.extend(embedding);
            self.goals.extend_from_slice(goal);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.logits.len() / self.outputs.max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.logits.is_empty()
    }

    /// The mean square of what goes into the layer.
    pub fn mean_square(&self) -> f64 {
        let sum: f64 = self.embeddings.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        sum / self.embeddings.len().max(1) as f64
    }

    /// Loss of the sounds with the change `change`, to which its gradient is added.
    fn loss(&self, change: &[f32], gradient: &mut [f64]) -> f64 {
        let (outputs, size) = (self.outputs.max(1), self.size.max(1));
        let chunks: Vec<(f64, Vec<f32>)> = self
            .logits
            .par_chunks(CHUNK * outputs)
            .zip(self.embeddings.par_chunks(CHUNK * size))
            .zip(self.goals.par_chunks(CHUNK * outputs))
            .map(|((logits, embeddings), goals)| {
                let mut part = vec![0f32; change.len()];
                let mut sum = 0.0;
                let mut scores = vec![0f32; outputs];
                let sounds = logits.chunks_exact(outputs).zip(embeddings.chunks_exact(size));
                for ((logits, embedding), goal) in sounds.zip(goals.chunks_exact(outputs)) {
                    scores.copy_from_slice(logits);
                    add_change(&mut scores, change, embedding);
                    sum += f64::from(self.slope(&mut scores, goal));
                    add_outer(&mut part, &scores, embedding);
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

    /// The loss of one sound with these logits, which become its gradient with respect to them.
    fn slope(&self, scores: &mut [f32], goal: &[f32]) -> f32 {
        softmax(scores);
        match self.goal {
            Goal::Soft => {
                let mut loss = 0.0;
                for (score, goal) in scores.iter_mut().zip(goal) {
                    if *goal > 0.0 {
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

fn add_outer(gradient: &mut [f32], slope: &[f32], embedding: &[f32]) {
    let rows = gradient.chunks_exact_mut(slope.len().max(1));
    for (row, value) in rows.zip(embedding.iter().copied().chain([1.0])) {
        if value != 0.0 {
            row.iter_mut().zip(slope).for_each(|(sum, slope)| *sum += value * slope);
        }
    }
}

/// The change of the last layer with the least loss on all of `examples`, beginning from `start` (none is no change).
/// One row a value of the embedding and one for the biases, one column an output. `lambda` holds it back.
pub fn fit(examples: &[&Examples], lambda: f64, start: Option<&[f32]>) -> Vec<f32> {
    let Some(first) = examples.first() else { return Vec::new() };
    let len = (first.size + 1) * first.outputs;
    let begin = start.filter(|start| start.len() == len).map_or_else(|| vec![0.0; len], <[f32]>::to_vec);
    let begin: Vec<f64> = begin.into_iter().map(f64::from).collect();
    let found = minimise(begin, |change, gradient| {
        let rounded: Vec<f32> = change.iter().map(|&value| value as f32).collect();
        let mut loss = 0.0;
        for (slope, value) in gradient.iter_mut().zip(change) {
            *slope = lambda * value;
            loss += 0.5 * lambda * value * value;
        }
        loss + examples.iter().map(|examples| examples.loss(&rounded, gradient)).sum::<f64>()
    });
    found.into_iter().map(|value| value as f32).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Where a smooth function is least: L-BFGS with backtracking. `function` gives the value and writes the gradient.
fn minimise(mut at: Vec<f64>, function: impl Fn(&[f64], &mut [f64]) -> f64) -> Vec<f64> {
    let mut slope = vec![0.0; at.len()];
    let mut value = function(&at, &mut slope);
    // Steps, changes of the slope, and the inverse of their product, the newest last.
    let mut memory: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for _ in 0..MAX_STEPS {
        let mut direction = descent(&slope, &memory);
        let mut promised = dot(&direction, &slope);
        if promised >= 0.0 {
            memory.clear();
            direction = slope.iter().map(|slope| -slope).collect();
            promised = -dot(&slope, &slope);
        }
        // Nothing is known of the scale yet: the first step is one of length 1.
        let mut step = if memory.is_empty() { 1.0 / promised.abs().sqrt().max(1.0) } else { 1.0 };
        let mut next_slope = vec![0.0; at.len()];
        let (next, next_value) = loop {
            let next: Vec<f64> = at.iter().zip(&direction).map(|(at, direction)| at + step * direction).collect();
            let next_value = function(&next, &mut next_slope);
            if next_value <= value + SUFFICIENT * step * promised {
                break (next, next_value);
            }
            step /= 2.0;
            // As low as rounding lets it be.
            if step < 1e-12 {
                return at;
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
        let gained = value - next_value;
        (at, slope, value) = (next, next_slope, next_value);
        if gained <= ENOUGH * value.abs().max(1e-9) {
            break;
        }
    }
    at
}

/// The direction to go: the slope, turned round and stretched by what the last steps told of the curvature.
fn descent(slope: &[f64], memory: &[(Vec<f64>, Vec<f64>, f64)]) -> Vec<f64> {
    let mut direction: Vec<f64> = slope.iter().map(|slope| -slope).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for (moved, turned, inverse) in memory.iter().rev() {
        let share = inverse * dot(moved, &direction);
        direction.iter_mut().zip(turned).for_each(|(direction, turned)| *direction -= share * turned);
        shares.push(share);
    }
    if let Some((_, turned, inverse)) = memory.last() {
        let scale = (inverse * dot(turned, turned)).recip();
        direction.iter_mut().for_each(|direction| *direction *= scale);
    }
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
            let change: Vec<f32> = numbers(5).take((SIZE + 1) * OUTPUTS).collect();
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
        let change = fit(&[&knowledge], 0.5, None);
        assert_eq!(change.len(), (SIZE + 1) * OUTPUTS);
        assert!(change.iter().all(|value| value.abs() < 1e-4), "{change:?}");
    }

    #[test]
    fn lessons_are_learnt_the_slope_at_the_end_is_flat_and_the_start_does_not_matter() {
        let (knowledge, lessons) = (examples(Goal::Soft, 300, 1, own), examples(Goal::OneOf, 60, 2, one_of));
        let all = [&knowledge, &lessons];
        let change = fit(&all, 0.1, None);
        let mut gradient: Vec<f64> = change.iter().map(|value| 0.1 * f64::from(*value)).collect();
        let loss = |change: &[f32]| lessons.loss(change, &mut vec![0.0; change.len()]);
        assert!(loss(&change) < 0.9 * loss(&vec![0.0; change.len()]));
        for examples in all {
            examples.loss(&change, &mut gradient);
        }
        assert!(gradient.iter().all(|slope| slope.abs() < 0.2), "{gradient:?}");
        let elsewhere: Vec<f32> = numbers(9).take(change.len()).collect();
        let again = fit(&all, 0.1, Some(&elsewhere));
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
