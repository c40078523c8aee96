//! out = softmax(scale · q kᵀ + bias, masked) v without storing the scores: blocks of rows meet blocks of keys, and the
//! running maximum and sum of each row are corrected as they grow (Dao et al. 2022, arXiv 2205.14135). The rows of one task
//! are those of all query heads that share a head of k and v: row r is head `r / t` of the group, token `r % t`.
//! Oracle: ops/reference/attention.ts.

use crate::ahead::Ahead;
use crate::decode::Weight;
use crate::gemm::tiles;
use crate::pack::{panel_a, panels_b};
use crate::simd::*;
use crate::span::{In, Out};
use crate::tile::{MR, NR};
use crate::{math, memory, pool};

/// Rows of a block.
pub const RB: usize = 64;
/// Keys of a block.
pub const KB: usize = 64;

/// What both directions need.
#[derive(Clone, Copy)]
pub struct Problem {
    /// [b, t, h, d], and k and v [b, s, g, d].
    pub q: In<f32>,
    pub k: In<f32>,
    pub v: In<f32>,
    /// [b, s].
    pub mask: Option<In<f32>>,
    pub bias: Option<In<f32>>,
    /// The bias's strides over [b, h, t, s].
    pub bias_steps: [usize; 4],
    pub b: usize,
    pub t: usize,
    pub s: usize,
    pub h: usize,
    pub g: usize,
    pub d: usize,
    pub scale: f32,
    pub causal: bool,
    pub offset: i32,
    pub window: i32,
    pub always: i32,
    /// As q, lse [b, h, t].
    pub out: Out<f32>,
    pub lse: Out<f32>,
    /// As out, q, k and v; nothing where the problem is not a derivative's.
    pub grad: In<f32>,
    pub dq: Out<f32>,
    pub dk: Out<f32>,
    pub dv: Out<f32>,
    /// [b, h, t, s].
    pub dbias: Option<Out<f32>>,
}

impl Problem {
    /// Words of a problem.
    const WORDS: usize = 27;

    /// Reads the words, each as wide as an address, that products.ts wrote in this order.
    ///
    /// # Safety
    /// They are there, and the operands whose addresses they give are as large as the sizes among them say; an address of 0
    /// stands for an operand that is not there.
    pub unsafe fn read(words: usize) -> Self {
        // SAFETY: the caller's promise.
        let word = |i: usize| unsafe { In::<usize>::new(words, Self::WORDS).at(i) };
        let [b, t, s, h, g, d] = [9, 10, 11, 12, 13, 14].map(word);
        let (queries, keys, rows) = (b * t * h * d, b * s * g * d, b * h * t);
        let bias_steps = [5, 6, 7, 8].map(word);
        let ends = [(b, 0), (h, 1), (t, 2), (s, 3)].map(|(n, axis)| n.saturating_sub(1) * bias_steps[axis]);
        let values = |i: usize, n: usize| {
            let n = if word(i) == 0 { 0 } else { n };
            // SAFETY: the caller's promise.
            unsafe { (In::new(word(i), n), Out::new(word(i), n)) }
        };
        let there = |i: usize, n: usize| (word(i) != 0).then(|| values(i, n));
        Problem {
            q: values(0, queries).0,
            k: values(1, keys).0,
            v: values(2, keys).0,
            mask: there(3, b * s).map(|mask| mask.0),
            bias: there(4, ends.iter().sum::<usize>() + 1).map(|bias| bias.0),
            bias_steps,
            b,
            t,
            s,
            h,
            g,
            d,
            scale: f32::from_bits(word(15) as u32),
            causal: word(16) != 0,
            offset: word(17) as i32,
            window: word(18) as i32,
            always: word(19) as i32,
            out: values(20, queries).1,
            lse: values(21, rows).1,
            grad: values(22, queries).0,
            dq: values(23, queries).1,
            dk: values(24, keys).1,
            dv: values(25, keys).1,
            dbias: there(26, rows * s).map(|dbias| dbias.1),
        }
    }

    /// Rows that share a head of k and v.
    pub fn rows(&self) -> usize {
        self.h / self.g * self.t
    }

    /// (head, token) of a row of group `g`.
    pub fn place(&self, g: usize, row: usize) -> (usize, usize) {
        (g * (self.h / self.g) + row / self.t, row % self.t)
    }

    /// Elements before a row's vector in q, out and their gradients.
    pub fn at(&self, b: usize, g: usize, row: usize) -> usize {
        let (head, token) = self.place(g, row);
        ((b * self.t + token) * self.h + head) * self.d
    }

    /// Elements before a row in lse.
    pub fn lse_at(&self, b: usize, g: usize, row: usize) -> usize {
        let (head, token) = self.place(g, row);
        (b * self.h + head) * self.t + token
    }

    /// k or v of one head as a matrix [s, d].
    ///
    /// # Safety
    /// The problem has the head.
    pub unsafe fn keys(&self, base: In<f32>, b: usize, g: usize) -> (Weight, usize) {
        let lead = self.g * self.d;
        // SAFETY: the caller's promise.
        (Weight::plain(unsafe { base.add(b * self.s * lead + g * self.d) }), lead)
    }

    /// Keys low..high are visible to a token, and those before `always`.
    fn range(&self, token: usize) -> (i32, i32) {
        let position = token as i32 + self.offset;
        let low = if self.window > 0 { position - self.window } else { 0 };
        let high = if self.causal { position + 1 } else { self.s as i32 };
        (low, high)
    }

    /// Whether no row of first..first + rows sees a key of key..key + keys, by order and window alone.
    pub fn hidden(&self, first: usize, rows: usize, key: usize, keys: usize) -> bool {
        if (key as i32) < self.always {
            return false;
        }
        let whole = first / self.t != (first + rows - 1) / self.t;
        let (early, late) = if whole { (0, self.t - 1) } else { (first % self.t, (first + rows - 1) % self.t) };
        key as i32 >= self.range(late).1 || (key + keys) as i32 <= self.range(early).0
    }

    /// Adds the bias and hides keys in a row of scores for keys key..key + n.
    ///
    /// # Safety
    /// The problem has the row and the keys; scores holds n numbers.
    pub unsafe fn dress(&self, b: usize, g: usize, row: usize, key: usize, n: usize, scores: Out<f32>) {
        // SAFETY: the caller's promise; j < n.
        unsafe {
            let (head, token) = self.place(g, row);
            if let Some(bias) = self.bias {
                let [sb, sh, st, ss] = self.bias_steps;
                let bias = bias.add(b * sb + head * sh + token * st + key * ss);
                for j in 0..n {
                    scores.put(j, scores.at(j) + bias.at(j * ss));
                }
            }
            if let Some(mask) = self.mask {
                let mask = mask.add(b * self.s + key);
                map2(*scores, mask, scores, 0, n, |x, m| pick(splat(f32::NEG_INFINITY), x, f32x4_eq(m, splat(0.0))));
            }
            let (low, high) = self.range(token);
            let (first, last) = (key as i32, (key + n) as i32);
            let hide = |from: i32, to: i32| {
                for j in from.max(first).max(self.always)..to.min(last) {
                    scores.put((j - first) as usize, f32::NEG_INFINITY);
                }
            };
            hide(first, low);
            hide(high, last);
        }
    }

    /// Copies the vectors of rows first..first + rows, times `factor`, to consecutive rows.
    ///
    /// # Safety
    /// base is as large as q, and has the rows; out is room for them.
    pub unsafe fn gather(
        &self,
        base: In<f32>,
        b: usize,
        g: usize,
        first: usize,
        rows: usize,
        factor: f32,
        out: Out<f32>,
    ) {
        // SAFETY: the caller's promise; r < rows.
        unsafe {
            for r in 0..rows {
                let from = base.add(self.at(b, g, first + r));
                map1(from, out.add(r * self.d), 0, self.d, |x| mul(x, splat(factor)));
            }
        }
    }
}

/// Panels of A from consecutive rows: [rows / MR][width][MR].
///
/// # Safety
/// from holds the rows, out room for as many, rounded up to a multiple of MR.
pub unsafe fn pack_rows(from: In<f32>, rows: usize, width: usize, out: Out<f32>) {
    // SAFETY: the caller's promise; the panel at r has at most the rows that are left.
    unsafe {
        for r in (0..rows).step_by(MR) {
            panel_a(from.add(r * width), MR.min(rows - r), width, width, 1, out.add(r * width));
        }
    }
}

/// Bump allocation of f32 from a scratch buffer.
pub struct Room(pub Out<f32>);
impl Room {
    /// The next `n` numbers, the room of sixteens.
    ///
    /// # Safety
    /// As many are left.
    pub unsafe fn take(&mut self, n: usize) -> Out<f32> {
        let at = self.0;
        // SAFETY: the caller's promise.
        unsafe {
            self.0 = at.add(n.next_multiple_of(16));
            at.first(n.next_multiple_of(16))
        }
    }
}

/// A vector's length rounded up to whole tiles.
pub fn wide(d: usize) -> usize {
    d.next_multiple_of(NR)
}

/// Words in `words` as in `Problem`.
///
/// # Safety
/// The problem is one that `Problem::read` may read, with room for out and lse.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn attention(words: usize) {
    // SAFETY: the caller's promise.
    let p = unsafe { Problem::read(words) };
    let blocks = p.rows().div_ceil(RB);
    if p.rows() == 0 || p.b == 0 {
        return;
    }
    let d = wide(p.d);
    let floats = 2 * RB * d + 2 * KB * d + 2 * RB * KB + RB * d + NR * KB.max(d) + 256;
    let scratch = memory::private(floats);
    let tasks = p.b * p.g * blocks;
    let cost = (p.b as u64 * p.g as u64 * p.rows() as u64 * p.s as u64 * (p.d as u64 / 8 + 4)).min(u32::MAX as u64);
    // SAFETY: `blocks` blocks cover the rows of each of b · g heads, and the scratch is as large as a block takes.
    pool::run(tasks, cost as usize, |task, thread| unsafe {
        let (item, block) = (task / blocks, task % blocks);
        let room = Room(scratch.of(thread));
        block_forward(&p, item / p.g, item % p.g, block * RB, room);
    });
}

/// # Safety
/// The problem has the head and row `first`; the room is as large as `attention` reckons.
unsafe fn block_forward(p: &Problem, b: usize, g: usize, first: usize, mut room: Room) {
    // SAFETY: the caller's promise; rows and keys of a block end with the problem's, and are at most RB and KB.
    unsafe {
        let rows = RB.min(p.rows() - first);
        let d = wide(p.d);
        let [flat, queries] = [room.take(RB * d), room.take(RB * d)];
        let [keys, values] = [room.take(KB * d), room.take(KB * d)];
        let [scores, weights] = [room.take(RB * KB), room.take(RB * KB)];
        let sums = room.take(RB * d);
        let buffer = room.take(NR * KB.max(d));
        let mut most = [f32::NEG_INFINITY; RB];
        let mut total = [0.0f64; RB];
        p.gather(p.q, b, g, first, rows, p.scale, flat);
        pack_rows(*flat, rows, p.d, queries);
        sums.fill(rows * p.d, 0.0);
        let (k, lead) = p.keys(p.k, b, g);
        let (v, _) = p.keys(p.v, b, g);
        for key in (0..p.s).step_by(KB) {
            let n = KB.min(p.s - key);
            if p.hidden(first, rows, key, n) {
                continue;
            }
            panels_b(&k, true, lead, 0, p.d, key, n, buffer, keys, NR * p.d);
            tiles(p.d, *queries, p.d, *keys, NR * p.d, rows, n, scores, KB, true, &mut Ahead::nothing());
            for r in 0..rows {
                let row = scores.add(r * KB);
                p.dress(b, g, first + r, key, n, row);
                let top = max_run(*row, n);
                let next = if top.is_nan() || top > most[r] { top } else { most[r] };
                if next == f32::NEG_INFINITY {
                    map1(*row, row, 0, n, |_| splat(0.0));
                    continue;
                }
                if next != most[r] {
                    let shrink = f32x4_extract_lane::<0>(math::exp_negative(splat(most[r] - next)));
                    total[r] *= shrink as f64;
                    let to = sums.add(r * p.d);
                    map1(*to, to, 0, p.d, |x| mul(x, splat(shrink)));
                    most[r] = next;
                }
                map1(*row, row, 0, n, |x| math::exp_negative(sub(x, splat(next))));
                total[r] += sum(n, |i| load(*row.add(i)), |i| row.at(i));
            }
            panels_b(&v, false, lead, key, n, 0, p.d, buffer, values, NR * n);
            for r in (0..rows).step_by(MR) {
                panel_a(*scores.add(r * KB), MR.min(rows - r), n, KB, 1, weights.add(r * n));
            }
            tiles(n, *weights, n, *values, NR * n, rows, p.d, sums, p.d, false, &mut Ahead::nothing());
        }
        for r in 0..rows {
            let seen = total[r] != 0.0;
            let factor = splat(if seen { (1.0 / total[r]) as f32 } else { 0.0 });
            let out = p.out.add(p.at(b, g, first + r));
            map1(*sums.add(r * p.d), out, 0, p.d, |x| mul(x, factor));
            let lse = if seen { (most[r] as f64 + total[r].ln()) as f32 } else { f32::NEG_INFINITY };
            p.lse.put(p.lse_at(b, g, first + r), lse);
        }
    }
}
