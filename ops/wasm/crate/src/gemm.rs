//! out = a · b. A is packed once a slab of k; then strips of columns are handed out, each packs its own panels of B
//! (decoding there) and runs the tile over all rows. Blocks depend on the shape alone and every element sums over k in the
//! same order, so results do not depend on the number of threads. Oracle: ops/reference/matmul.ts.

use crate::decode::{Weight, dtype};
use crate::gemv;
use crate::pack::{MR, NR, panel_a, panels_b};
use crate::simd::*;
use crate::{memory, movement, pool};
use wasm_bindgen::prelude::*;

/// A tile of 4 × 8: c = Σ_k a[k][4] ⊗ b[k][8]. A comes as one vector whose lanes are broadcast by shuffles: in V8 that is
/// faster than a load for each lane.
#[inline(always)]
pub unsafe fn tile(k: usize, a: *const f32, b: *const f32) -> [[V; 2]; 4] {
    unsafe {
        let zero = splat(0.0);
        let mut c = [[zero; 2]; 4];
        let (mut a, mut b) = (a, b);
        let end = a.add(MR * k);
        while a != end {
            let (b0, b1) = (load(b), load(b.add(4)));
            let av = load(a);
            let a0 = i32x4_shuffle::<0, 0, 0, 0>(av, av);
            c[0] = [madd(a0, b0, c[0][0]), madd(a0, b1, c[0][1])];
            let a1 = i32x4_shuffle::<1, 1, 1, 1>(av, av);
            c[1] = [madd(a1, b0, c[1][0]), madd(a1, b1, c[1][1])];
            let a2 = i32x4_shuffle::<2, 2, 2, 2>(av, av);
            c[2] = [madd(a2, b0, c[2][0]), madd(a2, b1, c[2][1])];
            let a3 = i32x4_shuffle::<3, 3, 3, 3>(av, av);
            c[3] = [madd(a3, b0, c[3][0]), madd(a3, b1, c[3][1])];
            a = a.add(MR);
            b = b.add(NR);
        }
        c
    }
}

/// Writes a tile, or adds it, to `rows` × `columns` of out.
#[inline(always)]
pub unsafe fn put(c: &[[V; 2]; 4], out: *mut f32, lead: usize, rows: usize, columns: usize, fresh: bool) {
    unsafe {
        if rows == MR && columns == NR {
            for (r, row) in c.iter().enumerate() {
                let to = out.add(r * lead);
                if fresh {
                    store(to, row[0]);
                    store(to.add(4), row[1]);
                } else {
                    store(to, add(load(to), row[0]));
                    store(to.add(4), add(load(to.add(4)), row[1]));
                }
            }
        } else {
            let values: &[f32; MR * NR] = core::mem::transmute(c);
            for r in 0..rows {
                for j in 0..columns {
                    let to = out.add(r * lead + j);
                    *to = if fresh { 0.0 } else { *to } + values[r * NR + j];
                }
            }
        }
    }
}

/// Rows of one block times columns of one strip: all tiles over packed panels.
#[inline(always)]
pub unsafe fn tiles(
    k: usize,
    a: *const f32,
    a_step: usize,
    b: *const f32,
    rows: usize,
    columns: usize,
    out: *mut f32,
    lead: usize,
    fresh: bool,
) {
    unsafe {
        for j in (0..columns).step_by(NR) {
            let panel = b.add(j * k);
            for r in (0..rows).step_by(MR) {
                let c = tile(k, a.add(r * a_step), panel);
                put(&c, out.add(r * lead + j), lead, MR.min(rows - r), NR.min(columns - j), fresh);
            }
        }
    }
}

/// Inner axis packed at once: bounds the packed copy of A.
const SLAB: usize = 4096;
/// Inner axis of one panel block: 8 columns of it stay in the first-level cache.
const KC: usize = 384;
/// Rows that stay in the second-level cache beside a strip of B.
const MC: usize = 128;
/// Bytes of packed A at once.
const PACKED: usize = 16 << 20;

struct Product {
    w: Weight,
    a: usize,
    out: usize,
    offsets: usize,
    m: usize,
    n: usize,
    k: usize,
    lda: usize,
    ldb: usize,
    ta: bool,
    tb: bool,
    /// Columns of a strip, rows of a block, steps of k of a block.
    nc: usize,
    mb: usize,
    kc: usize,
}

impl Product {
    /// Elements before batch item i in a, b.
    unsafe fn offset(&self, i: usize) -> (usize, usize) {
        unsafe {
            if self.offsets == 0 {
                return (0, 0);
            }
            let words = self.offsets as *const u32;
            (*words.add(2 * i) as usize, *words.add(2 * i + 1) as usize)
        }
    }

    fn blocks(&self) -> usize {
        self.m.div_ceil(self.mb)
    }

    /// Packs rows r0..r0 + 64 of an item's block for k0..k0 + slab.
    unsafe fn pack_rows(&self, item: usize, r0: usize, k0: usize, slab: usize, out: *mut f32) {
        unsafe {
            let (batch, block) = (item / self.blocks(), item % self.blocks());
            let first = block * self.mb;
            let a = (self.a as *const f32).add(self.offset(batch).0);
            let rows = self.mb.min(self.m - first);
            let (across, along) = if self.ta { (1, self.lda) } else { (self.lda, 1) };
            for r in (r0..rows.min(r0 + 64)).step_by(MR) {
                let from = a.add((first + r) * across + k0 * along);
                panel_a(from, MR.min(rows - r), slab, across, along, out.add(r * slab));
            }
        }
    }

    /// One strip of columns of one item over a slab of k. `packed` is the item's A, `scratch` room for B.
    unsafe fn strip(&self, item: usize, strip: usize, k0: usize, slab: usize, packed: *const f32, scratch: *mut f32) {
        unsafe {
            let (batch, block) = (item / self.blocks(), item % self.blocks());
            let first = block * self.mb;
            let rows = self.mb.min(self.m - first);
            let n0 = strip * self.nc;
            let n = self.nc.min(self.n - n0);
            let mut w = self.w;
            w.base += 4 * self.offset(batch).1;
            let out = (self.out as *mut f32).add(batch * self.m * self.n + first * self.n + n0);
            let buffer = scratch.add(self.kc * self.nc);
            let mut p = 0;
            while p < slab {
                let kc = self.kc.min(slab - p);
                panels_b(&w, self.tb, self.ldb, k0 + p, kc, n0, n, buffer, scratch);
                for r in (0..rows).step_by(MC) {
                    let a = packed.add(r * slab + p * MR);
                    tiles(kc, a, slab, scratch, MC.min(rows - r), n, out.add(r * self.n), self.n, k0 + p == 0);
                }
                p += kc;
            }
        }
    }
}

/// out [batch, m, n] = a · b. `offsets`: for each batch item the elements before it in a and in b, or 0 when there is one
/// item. `lda`, `ldb`: lengths of stored rows. b has `elements` elements in rows of `last`, of any dtype when batch is 1.
#[wasm_bindgen]
pub unsafe fn matmul(
    code: u32,
    a: u32,
    b: u32,
    out: u32,
    batch: u32,
    offsets: u32,
    m: u32,
    n: u32,
    k: u32,
    lda: u32,
    ldb: u32,
    ta: bool,
    tb: bool,
    elements: u32,
    last: u32,
) {
    let w = Weight::new(code, b as usize, elements as usize, last as usize);
    let (batch, m, n, k) = (batch as usize, m as usize, n as usize, k as usize);
    if k == 0 {
        return movement::fill_zero(out as usize, batch * m * n);
    }
    if m <= 4 {
        return gemv::matmul(&gemv::Product {
            w,
            a: a as usize,
            out: out as usize,
            offsets: offsets as usize,
            batch,
            m,
            n,
            k,
            lda: lda as usize,
            ldb: ldb as usize,
            ta,
            tb,
        });
    }
    // 16 strips or so for sharing; blocks of 256 elements are decoded whole along n.
    let grain = if !tb && w.grain() == 256 { 256 } else { 32 };
    let nc = n.div_ceil(16).next_multiple_of(grain).clamp(64.max(grain), 256);
    let mb = if n >= 1024 {
        512
    } else if n >= 256 {
        256
    } else {
        128
    };
    let kc =
        if w.dtype > dtype::UDYNAMIC8 && tb { 256 } else { k.div_ceil(k.div_ceil(KC)).next_multiple_of(32).min(k) };
    let p = Product {
        w,
        a: a as usize,
        out: out as usize,
        offsets: offsets as usize,
        m,
        n,
        k,
        lda: lda as usize,
        ldb: ldb as usize,
        ta,
        tb,
        nc,
        mb: mb.min(m.next_multiple_of(MR)),
        kc,
    };
    let items = batch * p.blocks();
    let strips = n.div_ceil(nc);
    let slab = SLAB.min(k).next_multiple_of(kc).min(k);
    let each = p.mb * slab;
    let group = (PACKED / (4 * each)).clamp(1, items);
    let packed = memory::shared(4 * each * group);
    let (scratch, step) = memory::private(4 * (kc * nc.next_multiple_of(NR) + (8 * kc).max(nc)));
    let chunks = p.mb.div_ceil(64);
    for k0 in (0..p.k).step_by(slab) {
        let slab = slab.min(k - k0);
        for start in (0..items).step_by(group) {
            let count = group.min(items - start);
            pool::run(count * chunks, count * p.mb * slab / 2, |task, _| unsafe {
                let (item, chunk) = (task / chunks, task % chunks);
                let to = (packed as *mut f32).add(item * each);
                p.pack_rows(start + item, 64 * chunk, k0, slab, to);
            });
            let cost = (count as u64 * p.mb as u64 * slab as u64 * n as u64 / 24).min(u32::MAX as u64) as usize;
            pool::run(count * strips, cost, |task, thread| unsafe {
                let (item, strip) = (task / strips, task % strips);
                let from = (packed as *const f32).add(item * each);
                p.strip(start + item, strip, k0, slab, from, (scratch + thread * step) as *mut f32);
            });
        }
    }
}
