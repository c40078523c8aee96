//! out = a · b. A is packed once a slab of k; then strips of columns are handed out, each packs its own panels of B
//! (decoding there) and runs the tile over all rows. Every element sums over k in the same order, whatever strip it is in,
//! so results do not depend on the number of threads. Oracle: ops/reference/matmul.ts.

use crate::ahead::Ahead;
use crate::decode::{Weight, dtype};
use crate::gemv::Offsets;
use crate::pack::{panel_a, panels_b};
use crate::span::{In, Out};
use crate::tile::{KC, MR, NR, put, tile};
use crate::{coded_rows, gemv, memory, movement, narrow, pool};

/// A whole tile, in a function of its own: the compiler keeps all of a small one in registers.
///
/// # Safety
/// a and b hold panels of k steps, out is room for MR rows of NR numbers, `lead` apart.
#[inline(never)]
unsafe fn whole(k: usize, a: In<f32>, b: In<f32>, out: Out<f32>, lead: usize, fresh: bool) {
    // SAFETY: the caller's promise.
    unsafe { put(&tile(k, a, b), out, lead, MR, NR, fresh) }
}

/// Rows of one block times columns of one strip: all tiles over packed panels. `b_step`: values from a panel of B to the next.
///
/// # Safety
/// a holds panels of k steps of all rows, `a_step` values of each row, b panels of k steps of all columns; out is room for
/// the rows, `lead` apart.
#[inline(always)]
pub unsafe fn tiles(
    k: usize,
    a: In<f32>,
    a_step: usize,
    b: In<f32>,
    b_step: usize,
    rows: usize,
    columns: usize,
    out: Out<f32>,
    lead: usize,
    fresh: bool,
    ahead: &mut Ahead,
) {
    // SAFETY: the caller's promise; the tile at r and j ends at `rows` and `columns`.
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

/// As gemv's.
struct Product {
    w: Weight,
    a: In<f32>,
    out: Out<f32>,
    offsets: Offsets,
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
    fn blocks(&self) -> usize {
        self.m.div_ceil(self.mb)
    }

    /// Packs rows r0..r0 + 64 of an item's block for k0..k0 + slab.
    ///
    /// # Safety
    /// The product has the item and the steps of k; out is room for `mb` rows of them, a multiple of MR.
    unsafe fn pack_rows(&self, item: usize, r0: usize, k0: usize, slab: usize, out: Out<f32>) {
        // SAFETY: the caller's promise; rows first..first + rows of the block end at m.
        unsafe {
            let (batch, block) = (item / self.blocks(), item % self.blocks());
            let first = block * self.mb;
            let a = self.a.add(self.offsets.of(batch).0);
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
        Ahead::new(w.base.cast().wrapping_add(at), self.ldb, length, lines, shares)
    }

    /// One strip of columns of one item over a slab of k. `packed` is the item's A, `scratch` room for B.
    ///
    /// # Safety
    /// The product has the item, the strip and the steps of k; packed is what `pack_rows` made of them, and scratch room for
    /// the strip's panels and a buffer for `panels_b`.
    unsafe fn strip(&self, item: usize, strip: usize, k0: usize, slab: usize, packed: In<f32>, scratch: Out<f32>) {
        // SAFETY: the caller's promise; the block's rows end at m, the strip's columns at n.
        unsafe {
            let (batch, block) = (item / self.blocks(), item % self.blocks());
            let first = block * self.mb;
            let rows = self.mb.min(self.m - first);
            let n0 = strip * self.nc;
            let n = self.nc.min(self.n - n0);
            let w = self.w.after(self.offsets.of(batch).1);
            let out = self.out.add(batch * self.m * self.n + first * self.n + n0);
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
                    tiles(kc, a, slab, *scratch, step, rows, n, out.add(r * self.n), self.n, fresh, &mut ahead);
                }
                p += kc;
            }
        }
    }
}

/// out [batch, m, n] = a · b. `offsets`: for each batch item the elements before it in a and in b, or 0 when there is one
/// item. `lda`, `ldb`: lengths of stored rows. b has `elements` elements in rows of `last`, of any dtype when batch is 1.
///
/// # Safety
/// b is a weight of `elements`; a has, from each item's offset on, m rows of k numbers (k rows of m with `ta`), `lda` apart, and
/// b n rows of k (`tb`) or k rows of n, `ldb` apart; out is room for batch · m · n numbers, none of them an operand's.
/// `offsets` is 0 or the address of two words for each item.
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
    // SAFETY: the caller's promise, which is that of all kinds of product.
    unsafe {
        let w = Weight::new(code, b, elements, last);
        let out = Out::new(out, batch * m * n);
        if k == 0 {
            return movement::fill_zero(out, batch * m * n);
        }
        if batch * m * n == 0 {
            return;
        }
        let offsets = Offsets::new(offsets, batch);
        let a = In::new(a, reach(offsets, batch, if ta { (k, m) } else { (m, k) }, lda));
        let whole = gemv::Product { w, a, out, offsets, batch, m, n, k, lda, ldb, ta, tb };
        if coded_rows::matmul(&whole) {
            return;
        }
        if m <= 4 {
            gemv::matmul(&whole);
        } else if !narrow::matmul(&whole) {
            blocked(&whole);
        }
    }
}

/// Elements of a up to the last that a product reads: what debug builds assert; release builds do not ask.
///
/// # Safety
/// There are as many offsets.
unsafe fn reach(offsets: Offsets, batch: usize, (rows, length): (usize, usize), lead: usize) -> usize {
    if !cfg!(debug_assertions) {
        return 0;
    }
    // SAFETY: i < batch.
    let furthest = (0..batch).map(|i| unsafe { offsets.of(i).0 }).max().unwrap_or(0);
    furthest + (rows - 1) * lead + length
}

/// A product of neither few rows nor few columns.
///
/// # Safety
/// The product's operands are as large as it says.
unsafe fn blocked(p: &gemv::Product) {
    let gemv::Product { w, a, out, offsets, batch, m, n, k, lda, ldb, ta, tb } = *p;
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
    let packed = memory::shared(each * group);
    let scratch = memory::private(panel_step(kc) * nc.div_ceil(NR) + (NR * kc).max(nc));
    let chunks = p.mb.div_ceil(64);
    for k0 in (0..p.k).step_by(slab) {
        let slab = slab.min(k - k0);
        for start in (0..items).step_by(group) {
            let count = group.min(items - start);
            // SAFETY: items start..start + count are the product's, and each has `each` numbers of `packed`.
            pool::run(count * chunks, count * p.mb * slab / 2, |task, _| unsafe {
                let (item, chunk) = (task / chunks, task % chunks);
                p.pack_rows(start + item, 64 * chunk, k0, slab, packed.add(item * each));
            });
            let cost = (count as u64 * p.mb as u64 * slab as u64 * n as u64 / 24).min(u32::MAX as u64) as usize;
            // SAFETY: as above; `strips` strips cover n, and a thread's scratch is as large as the largest needs.
            pool::run(count * strips, cost, |task, thread| unsafe {
                let (item, strip) = (task / strips, task % strips);
                p.strip(start + item, strip, k0, slab, *packed.add(item * each), scratch.of(thread));
            });
        }
    }
}
