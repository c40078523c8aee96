//! Derivatives of attention. With p = exp(scale · q kᵀ + bias − lse) computed again and D = rowsum(g ⊙ out):
//! dv = pᵀ g, ds = p ⊙ (g vᵀ − D), dq = scale · ds k, dk = scale · dsᵀ q. Two passes: one task a block of keys sums dk and
//! dv over all rows, one task a block of rows sums dq over all keys; nothing is summed across tasks, so the order is fixed.
//! Oracle: ops/reference/attention.ts.

use crate::attention::{KB, Problem, RB, Room, pack_rows, wide};
use crate::decode::{Weight, dtype};
use crate::gemm::tiles;
use crate::pack::{MR, NR, panel_a, panels_b};
use crate::simd::*;
use crate::{math, memory, movement, pool};
use wasm_bindgen::prelude::*;

/// Buffers of one task.
struct Buffers {
    flat_q: *mut f32,
    flat_g: *mut f32,
    packed_q: *mut f32,
    packed_g: *mut f32,
    keys: *mut f32,
    values: *mut f32,
    right: *mut f32,
    p: *mut f32,
    ds: *mut f32,
    left: *mut f32,
    sum_a: *mut f32,
    sum_b: *mut f32,
    buffer: *mut f32,
    means: *mut f32,
    lse: *mut f32,
}

const _: () = assert!(RB == KB);

fn floats(d: usize) -> usize {
    9 * RB * d + 3 * RB * KB + NR * KB.max(d) + 2 * RB + 256
}

impl Buffers {
    unsafe fn new(d: usize, mut room: Room) -> Self {
        unsafe {
            Buffers {
                flat_q: room.take(RB * d),
                flat_g: room.take(RB * d),
                packed_q: room.take(RB * d),
                packed_g: room.take(RB * d),
                keys: room.take(KB * d),
                values: room.take(KB * d),
                right: room.take(RB * d),
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
    unsafe fn load_rows(&self, p: &Problem, b: usize, g: usize, first: usize, rows: usize) {
        unsafe {
            p.gather(p.q, b, g, first, rows, p.scale, self.flat_q);
            p.gather(p.grad, b, g, first, rows, 1.0, self.flat_g);
            pack_rows(self.flat_q, rows, p.d, self.packed_q);
            pack_rows(self.flat_g, rows, p.d, self.packed_g);
            for r in 0..rows {
                let out = (p.out as *const f32).add(p.at(b, g, first + r));
                let upstream = self.flat_g.add(r * p.d);
                let dot = sum(p.d, |i| mul(load(out.add(i)), load(upstream.add(i))), |i| *out.add(i) * *upstream.add(i));
                *self.means.add(r) = dot as f32;
                *self.lse.add(r) = *(p.lse as *const f32).add(p.lse_at(b, g, first + r));
            }
        }
    }

    unsafe fn load_keys(&self, p: &Problem, b: usize, g: usize, key: usize, n: usize) {
        unsafe {
            let (k, lead) = p.keys(p.k, b, g);
            let (v, _) = p.keys(p.v, b, g);
            panels_b(&k, true, lead, 0, p.d, key, n, self.buffer, self.keys);
            panels_b(&v, true, lead, 0, p.d, key, n, self.buffer, self.values);
        }
    }

    /// p and ds [rows, KB] of loaded rows and keys.
    unsafe fn weights(&self, p: &Problem, b: usize, g: usize, first: usize, rows: usize, key: usize, n: usize) {
        unsafe {
            tiles(p.d, self.packed_q, p.d, self.keys, rows, n, self.p, KB, true);
            tiles(p.d, self.packed_g, p.d, self.values, rows, n, self.ds, KB, true);
            for r in 0..rows {
                let (w, ds) = (self.p.add(r * KB), self.ds.add(r * KB));
                p.dress(b, g, first + r, key, n, w);
                let (total, mean) = (splat(*self.lse.add(r)), splat(*self.means.add(r)));
                map1(w, w, 0, n, |x| {
                    let hidden = f32x4_eq(x, splat(f32::NEG_INFINITY));
                    v128_andnot(math::exp_negative(sub(x, total)), hidden)
                });
                map2(w, ds, ds, 0, n, |w, x| {
                    // A hidden key stays 0 even where g vᵀ is not finite.
                    pick(splat(0.0), mul(w, sub(x, mean)), f32x4_eq(w, splat(0.0)))
                });
            }
        }
    }

    /// Rows that lie one after another, as the right side of a product over them.
    unsafe fn pack_right(&self, from: *const f32, rows: usize, d: usize) {
        unsafe {
            let w = Weight::new(dtype::F32, from as usize, 0, d);
            panels_b(&w, false, d, 0, rows, 0, d, self.buffer, self.right);
        }
    }

    /// `sum` [n, d] += xᵀ · right, for x [rows, KB].
    unsafe fn add_transposed(&self, x: *const f32, rows: usize, n: usize, d: usize, sum: *mut f32) {
        unsafe {
            for j in (0..n).step_by(MR) {
                panel_a(x.add(j), MR.min(n - j), rows, 1, KB, self.left.add(j * rows));
            }
            tiles(rows, self.left, rows, self.right, n, d, sum, d, false);
        }
    }
}

unsafe fn zero(at: *mut f32, n: usize) {
    unsafe { core::slice::from_raw_parts_mut(at, n).fill(0.0) }
}

/// dk and dv of keys key..key + KB.
unsafe fn keys_pass(p: &Problem, b: usize, g: usize, key: usize, x: &Buffers) {
    unsafe {
        let n = KB.min(p.s - key);
        zero(x.sum_a, n * p.d);
        zero(x.sum_b, n * p.d);
        x.load_keys(p, b, g, key, n);
        for first in (0..p.rows()).step_by(RB) {
            let rows = RB.min(p.rows() - first);
            if p.hidden(first, rows, key, n) {
                continue;
            }
            x.load_rows(p, b, g, first, rows);
            x.weights(p, b, g, first, rows, key, n);
            x.pack_right(x.flat_g, rows, p.d);
            x.add_transposed(x.p, rows, n, p.d, x.sum_b);
            x.pack_right(x.flat_q, rows, p.d);
            x.add_transposed(x.ds, rows, n, p.d, x.sum_a);
            if p.dbias != 0 {
                for r in 0..rows {
                    let to = (p.dbias as *mut f32).add(p.lse_at(b, g, first + r) * p.s + key);
                    core::ptr::copy_nonoverlapping(x.ds.add(r * KB), to, n);
                }
            }
        }
        for j in 0..n {
            let at = ((b * p.s + key + j) * p.g + g) * p.d;
            // q was scaled when it was gathered.
            core::ptr::copy_nonoverlapping(x.sum_a.add(j * p.d), (p.dk as *mut f32).add(at), p.d);
            core::ptr::copy_nonoverlapping(x.sum_b.add(j * p.d), (p.dv as *mut f32).add(at), p.d);
        }
    }
}

/// dq of rows first..first + RB.
unsafe fn rows_pass(p: &Problem, b: usize, g: usize, first: usize, x: &Buffers) {
    unsafe {
        let rows = RB.min(p.rows() - first);
        zero(x.sum_a, rows * p.d);
        x.load_rows(p, b, g, first, rows);
        for key in (0..p.s).step_by(KB) {
            let n = KB.min(p.s - key);
            if p.hidden(first, rows, key, n) {
                continue;
            }
            x.load_keys(p, b, g, key, n);
            x.weights(p, b, g, first, rows, key, n);
            let (k, lead) = p.keys(p.k, b, g);
            panels_b(&k, false, lead, key, n, 0, p.d, x.buffer, x.right);
            for r in (0..rows).step_by(MR) {
                panel_a(x.ds.add(r * KB), MR.min(rows - r), n, KB, 1, x.left.add(r * n));
            }
            tiles(n, x.left, n, x.right, rows, p.d, x.sum_a, p.d, false);
        }
        for r in 0..rows {
            let to = (p.dq as *mut f32).add(p.at(b, g, first + r));
            map1(x.sum_a.add(r * p.d), to, 0, p.d, |v| mul(v, splat(p.scale)));
        }
    }
}

/// Words in `words` as in `Problem`.
#[wasm_bindgen]
pub unsafe fn attention_grad(words: u32) {
    let p = unsafe { *(words as usize as *const Problem) };
    if p.dbias != 0 {
        movement::fill_zero(p.dbias, p.b * p.h * p.t * p.s);
    }
    let d = wide(p.d);
    let (scratch, step) = memory::private(4 * floats(d));
    let buffers = |thread: usize| unsafe { Buffers::new(d, Room((scratch + thread * step) as *mut f32)) };
    let cost = (p.b as u64 * p.g as u64 * p.rows() as u64 * p.s as u64 * (p.d as u64 / 4 + 4)).min(u32::MAX as u64) as usize;
    let blocks = p.s.div_ceil(KB);
    pool::run(p.b * p.g * blocks, cost, |task, thread| unsafe {
        let (item, block) = (task / blocks, task % blocks);
        keys_pass(&p, item / p.g, item % p.g, block * KB, &buffers(thread));
    });
    let blocks = p.rows().div_ceil(RB);
    pool::run(p.b * p.g * blocks, cost, |task, thread| unsafe {
        let (item, block) = (task / blocks, task % blocks);
        rows_pass(&p, item / p.g, item % p.g, block * RB, &buffers(thread));
    });
}
