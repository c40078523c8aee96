//! Derivatives of attention. With p = exp(scale · q kᵀ + bias − lse) computed again and D = rowsum(g ⊙ out):
//! dv = pᵀ g, ds = p ⊙ (g vᵀ − D), dq = scale · ds k, dk = scale · dsᵀ q. Where heads share out evenly, one task does a head
//! of k and v whole, in five products a pair of blocks. Else there are two passes, seven products: one task a block of keys
//! sums dk and dv over all rows, one task a block of rows sums dq over all keys. Nothing is summed across tasks, and both
//! ways add in the same order. Oracle: ops/reference/attention.ts.

use crate::ahead::Ahead;
use crate::attention::{KB, Problem, RB, Room, pack_rows, wide};
use crate::decode::Weight;
use crate::gemm::tiles;
use crate::pack::{panel_a, panels_b};
use crate::simd::*;
use crate::span::Out;
use crate::tile::{MR, NR};
use crate::{math, memory, movement, pool};

/// Buffers of one task.
struct Buffers {
    flat_q: Out<f32>,
    flat_g: Out<f32>,
    packed_q: Out<f32>,
    packed_g: Out<f32>,
    keys: Out<f32>,
    values: Out<f32>,
    right: Out<f32>,
    right_q: Out<f32>,
    right_g: Out<f32>,
    p: Out<f32>,
    ds: Out<f32>,
    left: Out<f32>,
    sum_a: Out<f32>,
    sum_b: Out<f32>,
    buffer: Out<f32>,
    means: Out<f32>,
    lse: Out<f32>,
}

const _: () = assert!(RB == KB);

fn floats(d: usize) -> usize {
    11 * RB * d + 3 * RB * KB + NR * KB.max(d) + 2 * RB + 256
}

impl Buffers {
    /// # Safety
    /// The room is `floats(d)` numbers.
    unsafe fn new(d: usize, mut room: Room) -> Self {
        // SAFETY: the caller's promise: `floats` is what is taken here, each rounded up.
        unsafe {
            Buffers {
                flat_q: room.take(RB * d),
                flat_g: room.take(RB * d),
                packed_q: room.take(RB * d),
                packed_g: room.take(RB * d),
                keys: room.take(KB * d),
                values: room.take(KB * d),
                right: room.take(RB * d),
                right_q: room.take(RB * d),
                right_g: room.take(RB * d),
                p: room.take(RB * KB),
                ds: room.take(RB * KB),
                left: room.take(RB * KB),
                sum_a: room.take(RB * d),
                sum_b: room.take(RB * d),
                buffer: room.take(NR * KB.max(d)),
                means: room.take(RB),
                lse: room.take(RB),
            }
        }
    }

    /// Rows first..first + rows: q and g, flat and packed, D and lse.
    ///
    /// # Safety
    /// The problem has the head and the rows, at most RB.
    unsafe fn load_rows(&self, p: &Problem, b: usize, g: usize, first: usize, rows: usize) {
        // SAFETY: the caller's promise; r < rows.
        unsafe {
            p.gather(p.q, b, g, first, rows, p.scale, self.flat_q);
            p.gather(p.grad, b, g, first, rows, 1.0, self.flat_g);
            pack_rows(*self.flat_q, rows, p.d, self.packed_q);
            pack_rows(*self.flat_g, rows, p.d, self.packed_g);
            for r in 0..rows {
                let out = (*p.out).add(p.at(b, g, first + r));
                let upstream = *self.flat_g.add(r * p.d);
                let dot = sum(p.d, |i| mul(load(out.add(i)), load(upstream.add(i))), |i| out.at(i) * upstream.at(i));
                self.means.put(r, dot as f32);
                self.lse.put(r, p.lse.at(p.lse_at(b, g, first + r)));
            }
        }
    }

    /// # Safety
    /// The problem has the head and the keys, at most KB.
    unsafe fn load_keys(&self, p: &Problem, b: usize, g: usize, key: usize, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let (k, lead) = p.keys(p.k, b, g);
            let (v, _) = p.keys(p.v, b, g);
            panels_b(&k, true, lead, 0, p.d, key, n, self.buffer, self.keys, NR * p.d);
            panels_b(&v, true, lead, 0, p.d, key, n, self.buffer, self.values, NR * p.d);
        }
    }

    /// p and ds [rows, KB] of loaded rows and keys.
    ///
    /// # Safety
    /// Rows and keys are loaded, as many as are given.
    unsafe fn weights(&self, p: &Problem, b: usize, g: usize, first: usize, rows: usize, key: usize, n: usize) {
        // SAFETY: the caller's promise; r < rows.
        unsafe {
            tiles(p.d, *self.packed_q, p.d, *self.keys, NR * p.d, rows, n, self.p, KB, true, &mut Ahead::nothing());
            tiles(p.d, *self.packed_g, p.d, *self.values, NR * p.d, rows, n, self.ds, KB, true, &mut Ahead::nothing());
            for r in 0..rows {
                let (w, ds) = (self.p.add(r * KB), self.ds.add(r * KB));
                p.dress(b, g, first + r, key, n, w);
                let (total, mean) = (splat(self.lse.at(r)), splat(self.means.at(r)));
                map1(*w, w, 0, n, |x| {
                    let hidden = f32x4_eq(x, splat(f32::NEG_INFINITY));
                    v128_andnot(math::exp_negative(sub(x, total)), hidden)
                });
                map2(*w, *ds, ds, 0, n, |w, x| {
                    // A hidden key stays 0 even where g vᵀ is not finite.
                    pick(splat(0.0), mul(w, sub(x, mean)), f32x4_eq(w, splat(0.0)))
                });
            }
        }
    }

    /// q and g of the loaded rows, as right sides of products over rows.
    ///
    /// # Safety
    /// As many rows are loaded.
    unsafe fn pack_rights(&self, rows: usize, d: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            for (flat, right) in [(self.flat_q, self.right_q), (self.flat_g, self.right_g)] {
                let w = Weight::plain(*flat);
                panels_b(&w, false, d, 0, rows, 0, d, self.buffer, right, NR * rows);
            }
        }
    }

    /// dk += dsᵀ q and dv += pᵀ g for n keys whose vectors lie `lead` apart. q was scaled when it was gathered.
    ///
    /// # Safety
    /// `weights` were made of as many rows and keys; dk and dv hold n vectors of d numbers, `lead` apart.
    unsafe fn add_to_keys(&self, rows: usize, n: usize, d: usize, dk: Out<f32>, dv: Out<f32>, lead: usize) {
        // SAFETY: the caller's promise; the panel at j has at most the keys that are left.
        unsafe {
            for (x, right, sum) in [(self.ds, self.right_q, dk), (self.p, self.right_g, dv)] {
                for j in (0..n).step_by(MR) {
                    panel_a(*x.add(j), MR.min(n - j), rows, 1, KB, self.left.add(j * rows));
                }
                tiles(rows, *self.left, rows, *right, NR * rows, n, d, sum, lead, false, &mut Ahead::nothing());
            }
        }
    }

    /// sum_a [rows, d] += ds k for keys key..key + n.
    ///
    /// # Safety
    /// `weights` were made of the head's keys and as many rows, whose sums sum_a holds.
    unsafe fn add_to_rows(&self, p: &Problem, b: usize, g: usize, rows: usize, key: usize, n: usize) {
        // SAFETY: the caller's promise; the panel at r has at most the rows that are left.
        unsafe {
            let (k, lead) = p.keys(p.k, b, g);
            panels_b(&k, false, lead, key, n, 0, p.d, self.buffer, self.right, NR * n);
            for r in (0..rows).step_by(MR) {
                panel_a(*self.ds.add(r * KB), MR.min(rows - r), n, KB, 1, self.left.add(r * n));
            }
            tiles(n, *self.left, n, *self.right, NR * n, rows, p.d, self.sum_a, p.d, false, &mut Ahead::nothing());
        }
    }

    /// # Safety
    /// The problem has the head and the rows, whose sums sum_a holds.
    unsafe fn write_rows(&self, p: &Problem, b: usize, g: usize, first: usize, rows: usize) {
        // SAFETY: the caller's promise; r < rows.
        unsafe {
            for r in 0..rows {
                let to = p.dq.add(p.at(b, g, first + r));
                map1(*self.sum_a.add(r * p.d), to, 0, p.d, |v| mul(v, splat(p.scale)));
            }
        }
    }

    /// # Safety
    /// `weights` were made of these rows and keys of the problem.
    unsafe fn write_bias(&self, p: &Problem, b: usize, g: usize, first: usize, rows: usize, key: usize, n: usize) {
        // SAFETY: the caller's promise; r < rows.
        unsafe {
            if let Some(dbias) = p.dbias {
                for r in 0..rows {
                    let to = dbias.add(p.lse_at(b, g, first + r) * p.s + key);
                    to.copy(*self.ds.add(r * KB), n);
                }
            }
        }
    }
}

/// dk and dv of keys key..key + KB.
///
/// # Safety
/// The problem has the head and key `key`.
unsafe fn keys_pass(p: &Problem, b: usize, g: usize, key: usize, x: &Buffers) {
    // SAFETY: the caller's promise; rows and keys of a block end with the problem's, and are at most RB and KB.
    unsafe {
        let n = KB.min(p.s - key);
        x.sum_a.fill(n * p.d, 0.0);
        x.sum_b.fill(n * p.d, 0.0);
        x.load_keys(p, b, g, key, n);
        for first in (0..p.rows()).step_by(RB) {
            let rows = RB.min(p.rows() - first);
            if p.hidden(first, rows, key, n) {
                continue;
            }
            x.load_rows(p, b, g, first, rows);
            x.pack_rights(rows, p.d);
            x.weights(p, b, g, first, rows, key, n);
            x.add_to_keys(rows, n, p.d, x.sum_a, x.sum_b, p.d);
            x.write_bias(p, b, g, first, rows, key, n);
        }
        for j in 0..n {
            let at = ((b * p.s + key + j) * p.g + g) * p.d;
            p.dk.add(at).copy(*x.sum_a.add(j * p.d), p.d);
            p.dv.add(at).copy(*x.sum_b.add(j * p.d), p.d);
        }
    }
}

/// dq of rows first..first + RB.
///
/// # Safety
/// The problem has the head and row `first`.
unsafe fn rows_pass(p: &Problem, b: usize, g: usize, first: usize, x: &Buffers) {
    // SAFETY: the caller's promise; rows and keys of a block end with the problem's, and are at most RB and KB.
    unsafe {
        let rows = RB.min(p.rows() - first);
        x.sum_a.fill(rows * p.d, 0.0);
        x.load_rows(p, b, g, first, rows);
        for key in (0..p.s).step_by(KB) {
            let n = KB.min(p.s - key);
            if p.hidden(first, rows, key, n) {
                continue;
            }
            x.load_keys(p, b, g, key, n);
            x.weights(p, b, g, first, rows, key, n);
            x.add_to_rows(p, b, g, rows, key, n);
        }
        x.write_rows(p, b, g, first, rows);
    }
}

/// All derivatives of one head of k and v; dk and dv are summed where they lie.
///
/// # Safety
/// The problem has the head.
unsafe fn head_pass(p: &Problem, b: usize, g: usize, x: &Buffers) {
    // SAFETY: the caller's promise; rows and keys of a block end with the problem's, and are at most RB and KB.
    unsafe {
        let lead = p.g * p.d;
        let first_key = b * p.s * lead + g * p.d;
        let (dk, dv) = (p.dk.add(first_key), p.dv.add(first_key));
        for j in 0..p.s {
            dk.add(j * lead).fill(p.d, 0.0);
            dv.add(j * lead).fill(p.d, 0.0);
        }
        for first in (0..p.rows()).step_by(RB) {
            let rows = RB.min(p.rows() - first);
            x.sum_a.fill(rows * p.d, 0.0);
            x.load_rows(p, b, g, first, rows);
            x.pack_rights(rows, p.d);
            for key in (0..p.s).step_by(KB) {
                let n = KB.min(p.s - key);
                if p.hidden(first, rows, key, n) {
                    continue;
                }
                x.load_keys(p, b, g, key, n);
                x.weights(p, b, g, first, rows, key, n);
                x.add_to_keys(rows, n, p.d, dk.add(key * lead), dv.add(key * lead), lead);
                x.add_to_rows(p, b, g, rows, key, n);
                x.write_bias(p, b, g, first, rows, key, n);
            }
            x.write_rows(p, b, g, first, rows);
        }
    }
}

/// Products of a pair of blocks when a task does a head whole, and in two passes.
const WHOLE: usize = 5;
const APART: usize = 7;

/// Words in `words` as in `Problem`.
///
/// # Safety
/// The problem is one that `Problem::read` may read, with out, lse and grad, and room for dq, dk and dv.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn attention_grad(words: usize) {
    // SAFETY: the caller's promise.
    let p = unsafe { Problem::read(words) };
    if let Some(dbias) = p.dbias {
        // SAFETY: that is how large it is.
        unsafe { movement::fill_zero(dbias, p.b * p.h * p.t * p.s) };
    }
    let d = wide(p.d);
    let scratch = memory::private(floats(d));
    // SAFETY: a thread's scratch is as large as the buffers.
    let buffers = |thread: usize| unsafe { Buffers::new(d, Room(scratch.of(thread))) };
    let work = p.b as u64 * p.g as u64 * p.rows() as u64 * p.s as u64 * (p.d as u64 / 4 + 4);
    let cost = work.min(u32::MAX as u64) as usize;
    let heads = p.b * p.g;
    let threads = pool::workers() + 1;
    if heads.div_ceil(threads) * threads * WHOLE <= heads * APART {
        // SAFETY: task / g < b.
        pool::run(heads, cost, |task, thread| unsafe { head_pass(&p, task / p.g, task % p.g, &buffers(thread)) });
        return;
    }
    let blocks = p.s.div_ceil(KB);
    // SAFETY: `blocks` blocks cover the keys of each head.
    pool::run(heads * blocks, cost, |task, thread| unsafe {
        let (item, block) = (task / blocks, task % blocks);
        keys_pass(&p, item / p.g, item % p.g, block * KB, &buffers(thread));
    });
    let blocks = p.rows().div_ceil(RB);
    // SAFETY: `blocks` blocks cover the rows of each head.
    pool::run(heads * blocks, cost, |task, thread| unsafe {
        let (item, block) = (task / blocks, task % blocks);
        rows_pass(&p, item / p.g, item % p.g, block * RB, &buffers(thread));
    });
}
