//! Derivatives of attention. With p = exp(scale · q kᵀ + bias − lse) computed again and D = rowsum(g ⊙ out):
//! dv = pᵀ g, ds = p ⊙ (g vᵀ − D), dq = scale · ds k, dk = scale · dsᵀ q. Where heads share out evenly, one task does a head
//! of k and v whole, in five products a pair of blocks. Else there are two passes, seven products: one task a block of keys
//! sums dk and dv over all rows, one task a block of rows sums dq over all keys. Nothing is summed across tasks, and both
//! ways add in the same order. Oracle: ops/reference/attention.ts.

use crate::ahead::Ahead;
use crate::attention::{KB, Problem, RB, Room, pack_rows, wide};
use crate::decode::{Weight, dtype};
use crate::gemm::tiles;
use crate::pack::{panel_a, panels_b};
use crate::simd::*;
use crate::tile::{MR, NR};
use crate::{math, memory, movement, pool};

/// Buffers of one task.
struct Buffers {
    flat_q: *mut f32,
    flat_g: *mut f32,
    packed_q: *mut f32,
    packed_g: *mut f32,
    keys: *mut f32,
    values: *mut f32,
    right: *mut f32,
    right_q: *mut f32,
    right_g: *mut f32,
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
    11 * RB * d + 3 * RB * KB + NR * KB.max(d) + 2 * RB + 256
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
    unsafe fn load_rows(&self, p: &Problem, b: usize, g: usize, first: usize, rows: usize) {
        unsafe {
            p.gather(p.q, b, g, first, rows, p.scale, self.flat_q);
            p.gather(p.grad, b, g, first, rows, 1.0, self.flat_g);
            pack_rows(self.flat_q, rows, p.d, self.packed_q);
            pack_rows(self.flat_g, rows, p.d, self.packed_g);
            for r in 0..rows {
                let out = (p.out as *const f32).add(p.at(b, g, first + r));
                let upstream = self.flat_g.add(r * p.d);
                let dot =
                    sum(p.d, |i| mul(load(out.add(i)), load(upstream.add(i))), |i| *out.add(i) * *upstream.add(i));
                *self.means.add(r) = dot as f32;
                *self.lse.add(r) = *(p.lse as *const f32).add(p.lse_at(b, g, first + r));
            }
        }
    }

    unsafe fn load_keys(&self, p: &Problem, b: usize, g: usize, key: usize, n: usize) {
        unsafe {
            let (k, lead) = p.keys(p.k, b, g);
            let (v, _) = p.keys(p.v, b, g);
            panels_b(&k, true, lead, 0, p.d, key, n, self.buffer, self.keys, NR * p.d);
            panels_b(&v, true, lead, 0, p.d, key, n, self.buffer, self.values, NR * p.d);
        }
    }

    /// p and ds [rows, KB] of loaded rows and keys.
    unsafe fn weights(&self, p: &Problem, b: usize, g: usize, first: usize, rows: usize, key: usize, n: usize) {
        unsafe {
            tiles(p.d, self.packed_q, p.d, self.keys, NR * p.d, rows, n, self.p, KB, true, &mut Ahead::nothing());
            tiles(p.d, self.packed_g, p.d, self.values, NR * p.d, rows, n, self.ds, KB, true, &mut Ahead::nothing());
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

    /// q and g of the loaded rows, as right sides of products over rows.
    unsafe fn pack_rights(&self, rows: usize, d: usize) {
        unsafe {
            for (flat, right) in [(self.flat_q, self.right_q), (self.flat_g, self.right_g)] {
                let w = Weight::new(dtype::F32, flat as usize, 0, d);
                panels_b(&w, false, d, 0, rows, 0, d, self.buffer, right, NR * rows);
            }
        }
    }

    /// dk += dsᵀ q and dv += pᵀ g for n keys whose vectors lie `lead` apart. q was scaled when it was gathered.
    unsafe fn add_to_keys(&self, rows: usize, n: usize, d: usize, dk: *mut f32, dv: *mut f32, lead: usize) {
        unsafe {
            for (x, right, sum) in [(self.ds, self.right_q, dk), (self.p, self.right_g, dv)] {
                for j in (0..n).step_by(MR) {
                    panel_a(x.add(j), MR.min(n - j), rows, 1, KB, self.left.add(j * rows));
                }
                tiles(rows, self.left, rows, right, NR * rows, n, d, sum, lead, false, &mut Ahead::nothing());
            }
        }
    }

    /// sum_a [rows, d] += ds k for keys key..key + n.
    unsafe fn add_to_rows(&self, p: &Problem, b: usize, g: usize, rows: usize, key: usize, n: usize) {
        unsafe {
            let (k, lead) = p.keys(p.k, b, g);
            panels_b(&k, false, lead, key, n, 0, p.d, self.buffer, self.right, NR * n);
            for r in (0..rows).step_by(MR) {
                panel_a(self.ds.add(r * KB), MR.min(rows - r), n, KB, 1, self.left.add(r * n));
            }
            tiles(n, self.left, n, self.right, NR * n, rows, p.d, self.sum_a, p.d, false, &mut Ahead::nothing());
        }
    }

    unsafe fn write_rows(&self, p: &Problem, b: usize, g: usize, first: usize, rows: usize) {
        unsafe {
            for r in 0..rows {
                let to = (p.dq as *mut f32).add(p.at(b, g, first + r));
                map1(self.sum_a.add(r * p.d), to, 0, p.d, |v| mul(v, splat(p.scale)));
            }
        }
    }

    unsafe fn write_bias(&self, p: &Problem, b: usize, g: usize, first: usize, rows: usize, key: usize, n: usize) {
        unsafe {
            if p.dbias != 0 {
                for r in 0..rows {
                    let to = (p.dbias as *mut f32).add(p.lse_at(b, g, first + r) * p.s + key);
                    core::ptr::copy_nonoverlapping(self.ds.add(r * KB), to, n);
                }
            }
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
            x.pack_rights(rows, p.d);
            x.weights(p, b, g, first, rows, key, n);
            x.add_to_keys(rows, n, p.d, x.sum_a, x.sum_b, p.d);
            x.write_bias(p, b, g, first, rows, key, n);
        }
        for j in 0..n {
            let at = ((b * p.s + key + j) * p.g + g) * p.d;
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
            x.add_to_rows(p, b, g, rows, key, n);
        }
        x.write_rows(p, b, g, first, rows);
    }
}

/// All derivatives of one head of k and v; dk and dv are summed where they lie.
unsafe fn head_pass(p: &Problem, b: usize, g: usize, x: &Buffers) {
    unsafe {
        let lead = p.g * p.d;
        let first_key = b * p.s * lead + g * p.d;
        let (dk, dv) = ((p.dk as *mut f32).add(first_key), (p.dv as *mut f32).add(first_key));
        for j in 0..p.s {
            zero(dk.add(j * lead), p.d);
            zero(dv.add(j * lead), p.d);
        }
        for first in (0..p.rows()).step_by(RB) {
            let rows = RB.min(p.rows() - first);
            zero(x.sum_a, rows * p.d);
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
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn attention_grad(words: usize) {
    let p = unsafe { Problem::read(words) };
    if p.dbias != 0 {
        movement::fill_zero(p.dbias, p.b * p.h * p.t * p.s);
    }
    let d = wide(p.d);
    let (scratch, step) = memory::private(4 * floats(d));
    let buffers = |thread: usize| unsafe { Buffers::new(d, Room((scratch + thread * step) as *mut f32)) };
    let work = p.b as u64 * p.g as u64 * p.rows() as u64 * p.s as u64 * (p.d as u64 / 4 + 4);
    let cost = work.min(u32::MAX as u64) as usize;
    let heads = p.b * p.g;
    let threads = pool::workers() + 1;
    if heads.div_ceil(threads) * threads * WHOLE <= heads * APART {
        pool::run(heads, cost, |task, thread| unsafe { head_pass(&p, task / p.g, task % p.g, &buffers(thread)) });
        return;
    }
    let blocks = p.s.div_ceil(KB);
    pool::run(heads * blocks, cost, |task, thread| unsafe {
        let (item, block) = (task / blocks, task % blocks);
        keys_pass(&p, item / p.g, item % p.g, block * KB, &buffers(thread));
    });
    let blocks = p.rows().div_ceil(RB);
    pool::run(heads * blocks, cost, |task, thread| unsafe {
        let (item, block) = (task / blocks, task % blocks);
        rows_pass(&p, item / p.g, item % p.g, block * RB, &buffers(thread));
    });
}
