//! Products whose A is rounded to eight bits before it meets weights in GGUF blocks, as llama.cpp computes them: products of codes
//! are summed as whole numbers, block by block, and the blocks' sums, scaled, in f32 in order. So bits do not depend on the
//! machine, on the number of rows or on that of threads. Oracle: ops/reference/rounded.ts.

use crate::decode::Weight;
use crate::gemv::{cost, piece_rows};
use crate::halves::Halves;
use crate::rounded_codes::*;
use crate::rounded_inputs::Rounded;
use crate::rounded_lanes::Lanes;
use crate::rounded_panels::{PANEL, Panel, multiply, size};
use crate::rounded_rows::dots;
use crate::span::{In, Out};
use crate::{gguf, memory, movement, pool};

/// Instructions that compute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    #[cfg(any(not(target_arch = "wasm32"), test))]
    Plain,
    #[cfg(target_arch = "wasm32")]
    Relaxed,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

impl Kind {
    /// The best that the CPU has.
    pub fn best() -> Self {
        *Kind::all().last().unwrap_or(&Kind::FIRST)
    }

    #[cfg(target_arch = "wasm32")]
    const FIRST: Kind = Kind::Relaxed;
    #[cfg(not(target_arch = "wasm32"))]
    const FIRST: Kind = Kind::Plain;

    /// All that the CPU has, the best last.
    pub fn all() -> &'static [Kind] {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
                let wide = is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw");
                return if wide { &[Kind::Plain, Kind::Avx2, Kind::Vnni] } else { &[Kind::Plain, Kind::Avx2] };
            }
        }
        &[Kind::FIRST]
    }
}

/// Rows of A that meet the weight where it lies; more meet panels.
const FEW: usize = 4;

/// The operands: what holds of them is what `matmul_rounded` says.
#[derive(Clone, Copy)]
struct Product {
    w: In<u8>,
    a: Rounded,
    out: Out<f32>,
    m: usize,
    n: usize,
    k: usize,
}

/// N rows of the weight from `first` on.
///
/// # Safety
/// The product has the row, and the CPU has L's instructions.
#[inline(always)]
unsafe fn few<C: Codes, L: Lanes<N>, const N: usize>(p: &Product, first: usize, end: usize) {
    let blocks = p.k / C::BLOCK;
    for first in (first..end).step_by(N) {
        let there = N.min(end - first);
        // SAFETY: rows first..first + there are the product's; those that are missing are the last again.
        unsafe {
            let mut rows = [p.w; N];
            for (r, row) in rows.iter_mut().enumerate() {
                *row = p.w.add((first + r.min(there - 1)) * blocks * C::BYTES);
            }
            for m in 0..p.m {
                let sums = dots::<C, L, N>(rows, blocks, p.a.row::<C>(m));
                let to = p.out.add(m * p.n + first);
                if there == N {
                    L::store(to, sums);
                } else {
                    let mut whole = [0.0f32; N];
                    L::store(Out::of(&mut whole), sums);
                    to.copy(In::of(&whole), there);
                }
            }
        }
    }
}

/// The product's columns of one panel.
///
/// # Safety
/// The product has the panel, the scratch is room for it, and the CPU has L's instructions.
#[inline(always)]
unsafe fn many<C: Codes, L: Lanes<N>, const N: usize>(p: &Product, first: usize, scratch: Out<f32>) {
    let (blocks, columns) = (p.k / C::BLOCK, PANEL.min(p.n - first));
    // SAFETY: the caller's promise.
    unsafe {
        let panel = Panel::new::<C>(scratch, p.k);
        panel.fill::<C>(p.w.add(first * blocks * C::BYTES), columns, blocks);
        multiply::<C, L, N>(&panel, &p.a, p.m, blocks, columns, p.out.add(first), p.n);
    }
}

/// Both, compiled for each kind of machine.
macro_rules! kinds {
    ($($few:ident $many:ident = $lanes:ty: $rows:literal $columns:literal $(if $features:literal on $arch:literal)?;)*) => { $(
        /// # Safety
        /// As for `few`.
        $(#[cfg(target_arch = $arch)]
        #[target_feature(enable = $features)])?
        unsafe fn $few<C: Codes>(p: &Product, first: usize, end: usize) {
            // SAFETY: the caller's promise.
            unsafe { few::<C, $lanes, $rows>(p, first, end) }
        }
        /// # Safety
        /// As for `many`.
        $(#[cfg(target_arch = $arch)]
        #[target_feature(enable = $features)])?
        unsafe fn $many<C: Codes>(p: &Product, first: usize, scratch: Out<f32>) {
            // SAFETY: the caller's promise.
            unsafe { many::<C, $lanes, $columns>(p, first, scratch) }
        }
    )* };
}
#[cfg(not(target_arch = "wasm32"))]
kinds! {
    few_plain many_plain = crate::rounded_plain::Plain: 4 16;
    few_avx2 many_avx2 = crate::rounded_x86::Avx2: 8 8 if "avx2,f16c" on "x86_64";
    few_vnni many_vnni = crate::rounded_x86::Vnni: 8 16 if "avx2,f16c,avx512f,avx512bw,avx512vl,avx512vnni" on "x86_64";
}
#[cfg(target_arch = "wasm32")]
kinds! {
    few_relaxed many_relaxed = crate::rounded_wasm::Relaxed: 4 4;
}

/// # Safety
/// As for `matmul_rounded`; the CPU has the kind's instructions.
unsafe fn product<C: Codes>(kind: Kind, w: In<u8>, a: In<f32>, out: Out<f32>, m: usize, n: usize, k: usize) {
    // SAFETY: the caller's promise; pieces end at n.
    unsafe {
        let p = Product { w, a: Rounded::of::<C>(a, m, k, k), out, m, n, k };
        let work = cost(m, n, k) / 4;
        if m <= FEW {
            let piece = piece_rows(n, k).next_multiple_of(8);
            pool::run(n.div_ceil(piece), work, |task, _| {
                let (first, end) = (task * piece, n.min((task + 1) * piece));
                match kind {
                    #[cfg(not(target_arch = "wasm32"))]
                    Kind::Plain => few_plain::<C>(&p, first, end),
                    #[cfg(target_arch = "wasm32")]
                    Kind::Relaxed => few_relaxed::<C>(&p, first, end),
                    #[cfg(target_arch = "x86_64")]
                    Kind::Avx2 => few_avx2::<C>(&p, first, end),
                    #[cfg(target_arch = "x86_64")]
                    Kind::Vnni => few_vnni::<C>(&p, first, end),
                }
            });
        } else {
            let scratch = memory::private(size::<C>(k));
            pool::run(n.div_ceil(PANEL), work, |task, thread| {
                let (first, scratch) = (task * PANEL, scratch.of(thread));
                match kind {
                    #[cfg(not(target_arch = "wasm32"))]
                    Kind::Plain => many_plain::<C>(&p, first, scratch),
                    #[cfg(target_arch = "wasm32")]
                    Kind::Relaxed => many_relaxed::<C>(&p, first, scratch),
                    #[cfg(target_arch = "x86_64")]
                    Kind::Avx2 => many_avx2::<C>(&p, first, scratch),
                    #[cfg(target_arch = "x86_64")]
                    Kind::Vnni => many_vnni::<C>(&p, first, scratch),
                }
            });
        }
    }
}

/// As `matmul_rounded` by one kind of instructions.
///
/// # Safety
/// As for `matmul_rounded`; the CPU has them.
pub unsafe fn by(kind: Kind, code: u32, a: usize, b: usize, out: usize, m: usize, n: usize, k: usize) {
    Halves::new();
    // SAFETY: the caller's promise.
    unsafe {
        let w = Weight::new(code, b, n * k, k).base;
        let (a, out) = (In::new(a, m * k), Out::new(out, m * n));
        if k == 0 {
            return movement::fill_zero(out, m * n);
        }
        match code {
            gguf::Q4_0 => product::<Q40>(kind, w, a, out, m, n, k),
            gguf::Q4_1 => product::<Q41>(kind, w, a, out, m, n, k),
            gguf::Q5_0 => product::<Q50>(kind, w, a, out, m, n, k),
            gguf::Q5_1 => product::<Q51>(kind, w, a, out, m, n, k),
            gguf::Q8_0 => product::<Q80>(kind, w, a, out, m, n, k),
            gguf::Q4_K => product::<Q4K>(kind, w, a, out, m, n, k),
            gguf::Q5_K => product::<Q5K>(kind, w, a, out, m, n, k),
            _ => product::<Q6K>(kind, w, a, out, m, n, k),
        }
    }
}

/// out [m, n] = a · bᵀ for a [m, k], rounded to eight bits in blocks as long as b's, and b [n, k] in GGUF blocks.
///
/// # Safety
/// b is a weight of n · k elements of a GGUF type, k whole blocks; a is m · k numbers and out room for m · n, not a's.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn matmul_rounded(code: u32, a: usize, b: usize, out: usize, m: usize, n: usize, k: usize) {
    // SAFETY: the caller's promise.
    unsafe { by(Kind::best(), code, a, b, out, m, n, k) }
}
