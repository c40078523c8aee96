//! out = a · b. A is packed once a slab of k; then strips of columns are handed out, each packs its own panels of B
//! (decoding there) and runs the tile over all rows. Every element sums over k in the same order, whatever strip it is in,
//! so results do not depend on the number of threads. Oracle: ops/reference/matmul.ts.

use crate::ahead::Ahead;
use crate::decode::{Weight, dtype};
use crate::pack::{panel_a, panels_b};
use crate::tile::{KC, MR, NR, put, tile};
use crate::{coded_rows, gemv, memory, movement, narrow, pool};

/// A whole tile, in a function of its own: the compiler keeps all of a small one in registers.
#[inline(never)]
unsafe fn whole(k: usize, a: *const f32, b: *const f32, out: *mut f32, lead: usize, fresh: bool) {
    unsafe { put(&tile(k, a, b), out, lead, MR, NR, fresh) }
}

/// Rows of one block times columns of one strip: all tiles over packed panels. `b_step`: values from a panel of B to the next.
#[inline(always)]
pub unsafe fn tiles(
    k: usize,
    a: *const f32,
    a_step: usize,
    b: *const f32,
    b_step: usize,
    rows: usize,
    columns: usize,
    out: *mut f32,
    lead: usize,
    fresh: bool,
    ahead: &mut Ahead,
) {
    unsafe {
        for j in (0..columns).step_by(NR) {
            let panel = b.add(j / NR * b_step);
            for r in (0..rows).step_by(MR) {
                ahead.step();
                let (from, to) = (a.add(r * a_step), out.add(r * lead + j));
                if rows - r >= MR && columns - j >= NR {
                    whole(k, from, panel, to, lead, fresh);
                } else {
                    put(&tile(k, from, panel), to, lead, MR.min(rows - r), NR.min(columns - j), fresh);
                }
            }
        }
    }
}

/// Values from a panel of k steps to the next: a line more than it holds where panels would begin a page apart, because such
/// addresses share one set of the first-level cache.
fn panel_step(k: usize) -> usize {
    NR * k + if (NR * k).is_multiple_of(1024) { 16 } else { 0 }
}

/// Inner axis packed at once: bounds the packed copy of A.
const SLAB: usize = 4096;
/// Rows that stay in the second-level cache beside a strip of B.
const MC: usize = 128;
/// Bytes of packed A at once.
const PACKED: usize = 2 << 20;

/// Columns of a strip, a multiple of `grain`. Where B's rows run along k, narrow strips share best. Where they run along n,
/// a strip reads a piece of every row, and long pieces are read faster: as few strips as keep all threads busy to the end.
fn strip_width(n: usize, grain: usize, along_k: bool, threads: usize) -> usize {
    if along_k {
        return grain.max(32);
    }
    let widest = 256.max(grain);
    let least = n.div_ceil(widest).max(2 * threads);
    let width = |strips: usize| n.div_ceil(strips).next_multiple_of(grain).min(widest);
    let busy = |strips: usize| n.div_ceil(width(strips)).div_ceil(threads) * width(strips);
    (least..=2 * least).min_by_key(|strips| busy(*strips)).map_or(widest, width)
}

/// Rows of a block, at most `largest`; fewer where strips alone would not keep all threads busy.
fn block_rows(m: usize, strips: usize, largest: usize) -> usize {
    let wanted = (2 * (pool::workers() + 1)).div_ceil(strips);
    m.div_ceil(wanted).max(16).next_multiple_of(MR).min(largest).min(m.next_multiple_of(MR))
}

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
            let words = self.offsets as *const usize;
            (*words.add(2 * i), *words.add(2 * i + 1))
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

    /// What a thread packs after step p of k of a strip, in shares of its `rows` rows' tiles: more of the strip, or the
    /// beginning of the one that it will probably get.
    fn next(&self, w: &Weight, strip: usize, k0: usize, slab: usize, p: usize, rows: usize) -> Ahead {
        let (strip, p) = if p < slab { (strip, p) } else { (strip + pool::workers() + 1, 0) };
        let n0 = strip * self.nc;
        if w.dtype != dtype::F32 || n0 >= self.n {
            return Ahead::nothing();
        }
        let (n, kc) = (self.nc.min(self.n - n0), self.kc.min(slab - p));
        let (at, length, lines) =
            if self.tb { (n0 * self.ldb + k0 + p, kc, n) } else { ((k0 + p) * self.ldb + n0, n, kc) };
        let shares = rows.div_ceil(MR) * n.div_ceil(NR);
        Ahead::new((w.base as *const f32).wrapping_add(at), self.ldb, length, lines, shares)
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
            let step = panel_step(self.kc);
            let buffer = scratch.add(step * self.nc.div_ceil(NR));
            let mut p = 0;
            while p < slab {
                let kc = self.kc.min(slab - p);
                panels_b(&w, self.tb, self.ldb, k0 + p, kc, n0, n, buffer, scratch, step);
                let mut ahead = self.next(&w, strip, k0, slab, p + kc, rows);
                for r in (0..rows).step_by(MC) {
                    let a = packed.add(r * slab + p * MR);
                    let rows = MC.min(rows - r);
                    let fresh = k0 + p == 0;
                    tiles(kc, a, slab, scratch, step, rows, n, out.add(r * self.n), self.n, fresh, &mut ahead);
                }
                p += kc;
            }
        }
    }
}

/// out [batch, m, n] = a · b. `offsets`: for each batch item the elements before it in a and in b, or 0 when there is one
/// item. `lda`, `ldb`: lengths of stored rows. b has `elements` elements in rows of `last`, of any dtype when batch is 1.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn matmul(
    code: u32,
    a: usize,
    b: usize,
    out: usize,
    batch: usize,
    offsets: usize,
    m: usize,
    n: usize,
    k: usize,
    lda: usize,
    ldb: usize,
    ta: bool,
    tb: bool,
    elements: usize,
    last: usize,
) {
    let w = Weight::new(code, b, elements, last);
    if k == 0 {
        return movement::fill_zero(out, batch * m * n);
    }
    let whole = gemv::Product { w, a, out, offsets, batch, m, n, k, lda, ldb, ta, tb };
    if coded_rows::matmul(&whole) {
        return;
    }
    if m <= 4 {
        return gemv::matmul(&whole);
    }
    if narrow::matmul(&whole) {
        return;
    }
    // Coded weights are decoded whole blocks at a time along n.
    let grain = match w.grain() {
        _ if tb => NR,
        1 => NR,
        256 => 256,
        _ => 32,
    };
    let nc = strip_width(n, grain, tb, pool::workers() + 1);
    let strips = n.div_ceil(nc);
    let mb = if n >= 1024 {
        512
    } else if n >= 256 {
        256
    } else {
        128
    };
    let kc =
        if w.dtype > dtype::UDYNAMIC8 && tb { 256 } else { k.div_ceil(k.div_ceil(KC)).next_multiple_of(32).min(k) };
    let p = Product { w, a, out, offsets, m, n, k, lda, ldb, ta, tb, nc, mb: block_rows(m, batch * strips, mb), kc };
    let items = batch * p.blocks();
    let slab = SLAB.min(k).next_multiple_of(kc).min(k);
    let each = p.mb * slab;
    let group = (PACKED / (4 * each)).clamp(1, items);
    let packed = memory::shared(4 * each * group);
    let (scratch, step) = memory::private(4 * (panel_step(kc) * nc.div_ceil(NR) + (NR * kc).max(nc)));
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
