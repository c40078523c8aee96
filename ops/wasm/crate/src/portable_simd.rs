//! The WebAssembly vector instructions that the kernels use, for machines other than WebAssembly, through `core::simd`: the
//! compiler makes SSE, AVX or NEON of them. Names and meanings are those of `core::arch::wasm32`; relaxed instructions round
//! a multiply-add once where the machine has one.
// The names of `core::arch::wasm32`.
#![allow(non_camel_case_types)]

use core::simd::cmp::{SimdPartialEq, SimdPartialOrd};
use core::simd::num::{SimdFloat, SimdInt, SimdUint};
use core::simd::{
    Select, Simd, Swizzle, f32x4 as F, f64x2 as D, i8x16 as B, i16x8 as H, i32x4 as I, simd_swizzle, u8x16 as UB,
};
use core::simd::{u16x8 as UH, u32x4 as U, u64x2 as UL};
use std::simd::StdFloat;

/// Sixteen bytes of any lanes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct v128(U);

/// Bits as lanes of another type, and back.
macro_rules! lanes {
    ($($name:ident: $lanes:ty),*) => { $(
        #[inline(always)]
        fn $name(v: v128) -> $lanes {
            // SAFETY: both are sixteen bytes, and any bytes are lanes.
            unsafe { core::mem::transmute(v) }
        }
        impl From<$lanes> for v128 {
            #[inline(always)]
            fn from(x: $lanes) -> v128 {
                // SAFETY: both are sixteen bytes, and any bytes are a vector.
                unsafe { core::mem::transmute(x) }
            }
        }
    )* };
}
lanes!(f: F, d: D, i: I, u: U, h: H, uh: UH, b: B, ub: UB, ul: UL);

/// The bytes of a vector.
#[inline(always)]
pub fn bytes_u8(x: v128) -> UB {
    ub(x)
}
#[inline(always)]
pub fn bytes_i8(x: v128) -> B {
    b(x)
}

/// Instructions of one operand and of two, by what they do with lanes.
macro_rules! one {
    ($($name:ident($x:ident: $read:ident) = $value:expr;)*) => { $(
        #[inline(always)]
        pub fn $name(x: v128) -> v128 {
            let $x = $read(x);
            v128::from($value)
        }
    )* };
}
macro_rules! two {
    ($($name:ident($x:ident, $y:ident: $read:ident) = $value:expr;)*) => { $(
        #[inline(always)]
        pub fn $name(x: v128, y: v128) -> v128 {
            let ($x, $y) = ($read(x), $read(y));
            v128::from($value)
        }
    )* };
}

one! {
    f32x4_sqrt(x: f) = x.sqrt();
    f32x4_abs(x: f) = x.abs();
    f32x4_neg(x: f) = -x;
    f32x4_floor(x: f) = x.floor();
    f32x4_nearest(x: f) = F::from_array(x.to_array().map(f32::round_ties_even));
    f32x4_convert_i32x4(x: i) = x.cast::<f32>();
    f32x4_convert_u32x4(x: u) = x.cast::<f32>();
    i32x4_trunc_sat_f32x4(x: f) = x.cast::<i32>();
    i16x8_extend_low_i8x16(x: b) = simd_swizzle!(x, [0, 1, 2, 3, 4, 5, 6, 7]).cast::<i16>();
    u16x8_extend_low_u8x16(x: ub) = simd_swizzle!(x, [0, 1, 2, 3, 4, 5, 6, 7]).cast::<u16>();
    i32x4_extend_low_i16x8(x: h) = simd_swizzle!(x, [0, 1, 2, 3]).cast::<i32>();
    u32x4_extend_low_u16x8(x: uh) = simd_swizzle!(x, [0, 1, 2, 3]).cast::<u32>();
    f64x2_promote_low_f32x4(x: f) = simd_swizzle!(x, [0, 1]).cast::<f64>();
    f32x4_demote_f64x2_zero(x: d) = simd_swizzle!(x.cast::<f32>(), Simd::from_array([0.0; 2]), [0, 1, 2, 3]);
}

two! {
    f32x4_add(x, y: f) = x + y;
    f32x4_sub(x, y: f) = x - y;
    f32x4_mul(x, y: f) = x * y;
    f32x4_div(x, y: f) = x / y;
    f32x4_eq(x, y: f) = x.simd_eq(y).to_simd();
    f32x4_ne(x, y: f) = x.simd_ne(y).to_simd();
    f32x4_lt(x, y: f) = x.simd_lt(y).to_simd();
    f32x4_le(x, y: f) = x.simd_le(y).to_simd();
    f32x4_gt(x, y: f) = x.simd_gt(y).to_simd();
    f32x4_pmin(x, y: f) = y.simd_lt(x).select(y, x);
    f32x4_pmax(x, y: f) = x.simd_lt(y).select(y, x);
    i32x4_add(x, y: i) = x + y;
    i32x4_sub(x, y: i) = x - y;
    i32x4_mul(x, y: i) = x * y;
    i32x4_min(x, y: i) = x.simd_lt(y).select(x, y);
    i32x4_max(x, y: i) = x.simd_gt(y).select(x, y);
    i32x4_eq(x, y: i) = x.simd_eq(y).to_simd();
    i32x4_ne(x, y: i) = x.simd_ne(y).to_simd();
    i32x4_lt(x, y: i) = x.simd_lt(y).to_simd();
    i32x4_le(x, y: i) = x.simd_le(y).to_simd();
    i32x4_gt(x, y: i) = x.simd_gt(y).to_simd();
    u32x4_lt(x, y: u) = x.simd_lt(y).to_simd();
    u32x4_gt(x, y: u) = x.simd_gt(y).to_simd();
    u32x4_ge(x, y: u) = x.simd_ge(y).to_simd();
    i8x16_sub(x, y: b) = x - y;
    u8x16_eq(x, y: ub) = x.simd_eq(y).to_simd();
    v128_and(x, y: u) = x & y;
    v128_andnot(x, y: u) = x & !y;
    v128_or(x, y: u) = x | y;
    v128_xor(x, y: u) = x ^ y;
    u8x16_swizzle(x, y: ub) = x.swizzle_dyn(y);
    i16x8_narrow_i32x4(x, y: i) = joined(x, y, |v| v.clamp(i16::MIN as i32, i16::MAX as i32) as i16);
    u16x8_narrow_i32x4(x, y: i) = joined(x, y, |v| v.clamp(0, u16::MAX as i32) as u16);
    i8x16_narrow_i16x8(x, y: h) = joined16(x, y, |v| v.clamp(i8::MIN as i16, i8::MAX as i16) as i8);
    u8x16_narrow_i16x8(x, y: h) = joined16(x, y, |v| v.clamp(0, u8::MAX as i16) as u8);
}

#[inline(always)]
fn joined<T: core::simd::SimdElement>(x: I, y: I, narrow: impl Fn(i32) -> T) -> Simd<T, 8> {
    Simd::from_array(core::array::from_fn(|k| narrow(if k < 4 { x[k] } else { y[k - 4] })))
}

#[inline(always)]
fn joined16<T: core::simd::SimdElement>(x: H, y: H, narrow: impl Fn(i16) -> T) -> Simd<T, 16> {
    Simd::from_array(core::array::from_fn(|k| narrow(if k < 8 { x[k] } else { y[k - 8] })))
}

/// NaN where there is one.
#[inline(always)]
pub fn f32x4_min(x: v128, y: v128) -> v128 {
    with_nan(x, y, f32x4_pmin(x, y))
}
#[inline(always)]
pub fn f32x4_max(x: v128, y: v128) -> v128 {
    with_nan(x, y, f32x4_pmax(x, y))
}
#[inline(always)]
fn with_nan(x: v128, y: v128, z: v128) -> v128 {
    let (x, y) = (f(x), f(y));
    (x.simd_ne(x) | y.simd_ne(y)).select(F::splat(f32::NAN), f(z)).into()
}

#[inline(always)]
pub fn f32x4_relaxed_madd(x: v128, y: v128, z: v128) -> v128 {
    madd(f(x), f(y), f(z)).into()
}
#[inline(always)]
pub fn f32x4_relaxed_nmadd(x: v128, y: v128, z: v128) -> v128 {
    madd(-f(x), f(y), f(z)).into()
}
#[inline(always)]
pub fn f64x2_relaxed_madd(x: v128, y: v128, z: v128) -> v128 {
    if FUSED { d(x).mul_add(d(y), d(z)).into() } else { (d(x) * d(y) + d(z)).into() }
}

/// Whether the machine that is compiled for has fused multiply-adds; without, each would be a call of a function.
pub const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

/// x · y + z of any number of lanes.
#[inline(always)]
pub fn madd<const N: usize>(x: Simd<f32, N>, y: Simd<f32, N>, z: Simd<f32, N>) -> Simd<f32, N> {
    if FUSED { x.mul_add(y, z) } else { x * y + z }
}

#[inline(always)]
pub fn i32x4_relaxed_laneselect(x: v128, y: v128, mask: v128) -> v128 {
    i(mask).simd_lt(I::splat(0)).select(u(x), u(y)).into()
}
#[inline(always)]
pub fn v128_bitselect(x: v128, y: v128, mask: v128) -> v128 {
    ((u(x) & u(mask)) | (u(y) & !u(mask))).into()
}
#[inline(always)]
pub fn v128_any_true(x: v128) -> bool {
    u(x) != U::splat(0)
}

#[inline(always)]
pub fn i32x4_shl(x: v128, n: u32) -> v128 {
    (u(x) << U::splat(n)).into()
}
#[inline(always)]
pub fn u32x4_shl(x: v128, n: u32) -> v128 {
    (u(x) << U::splat(n)).into()
}
#[inline(always)]
pub fn i32x4_shr(x: v128, n: u32) -> v128 {
    (i(x) >> I::splat(n as i32)).into()
}
#[inline(always)]
pub fn u32x4_shr(x: v128, n: u32) -> v128 {
    (u(x) >> U::splat(n)).into()
}
#[inline(always)]
pub fn u8x16_shl(x: v128, n: u32) -> v128 {
    (ub(x) << UB::splat(n as u8)).into()
}
#[inline(always)]
pub fn u8x16_shr(x: v128, n: u32) -> v128 {
    (ub(x) >> UB::splat(n as u8)).into()
}

/// Lanes of two operands by number.
macro_rules! shuffles {
    ($($name:ident $order:ident $n:literal: $read:ident[$($lane:ident),*];)*) => { $(
        struct $order<$(const $lane: usize),*>;
        impl<$(const $lane: usize),*> Swizzle<$n> for $order<$($lane),*> {
            const INDEX: [usize; $n] = [$($lane),*];
        }
        #[inline(always)]
        pub fn $name<$(const $lane: usize),*>(x: v128, y: v128) -> v128 {
            $order::<$($lane),*>::concat_swizzle($read(x), $read(y)).into()
        }
    )* };
}
shuffles! {
    i64x2_shuffle Order2 2: ul[A0, A1];
    i32x4_shuffle Order4 4: u[A0, A1, A2, A3];
    i8x16_shuffle Order16 16: ub[A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15];
}

macro_rules! splats {
    ($($name:ident: $value:ty = $lanes:ty;)*) => { $(
        #[inline(always)]
        pub fn $name(x: $value) -> v128 {
            <$lanes>::splat(x).into()
        }
    )* };
}
splats! {
    f32x4_splat: f32 = F;
    f64x2_splat: f64 = D;
    i32x4_splat: i32 = I;
    u32x4_splat: u32 = U;
    u16x8_splat: u16 = UH;
    i8x16_splat: i8 = B;
    u8x16_splat: u8 = UB;
}

macro_rules! lane {
    ($($name:ident: $read:ident -> $value:ty;)*) => { $(
        #[inline(always)]
        pub fn $name<const N: usize>(x: v128) -> $value {
            $read(x)[N]
        }
    )* };
}
lane! {
    f32x4_extract_lane: f -> f32;
    i32x4_extract_lane: i -> i32;
    u32x4_extract_lane: u -> u32;
}

#[inline(always)]
pub const fn f32x4(a: f32, b: f32, c: f32, d: f32) -> v128 {
    u32x4(a.to_bits(), b.to_bits(), c.to_bits(), d.to_bits())
}
#[inline(always)]
pub const fn i32x4(a: i32, b: i32, c: i32, d: i32) -> v128 {
    u32x4(a as u32, b as u32, c as u32, d as u32)
}
#[inline(always)]
pub const fn u32x4(a: u32, b: u32, c: u32, d: u32) -> v128 {
    v128(U::from_array([a, b, c, d]))
}
#[inline(always)]
pub const fn u8x16(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u8,
    n: u8,
    o: u8,
    p: u8,
) -> v128 {
    v128(U::from_array([
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes([i, j, k, l]),
        u32::from_ne_bytes([m, n, o, p]),
    ]))
}

/// # Safety
/// Sixteen bytes are there, aligned or not.
#[inline(always)]
pub unsafe fn v128_load(p: *const v128) -> v128 {
    // SAFETY: the caller's promise; no alignment is asked for.
    unsafe { p.read_unaligned() }
}
/// # Safety
/// There is room for sixteen bytes, aligned or not.
#[inline(always)]
pub unsafe fn v128_store(p: *mut v128, x: v128) {
    // SAFETY: the caller's promise; no alignment is asked for.
    unsafe { p.write_unaligned(x) }
}
/// # Safety
/// Four bytes are there, aligned or not.
#[inline(always)]
pub unsafe fn v128_load32_zero(p: *const u32) -> v128 {
    // SAFETY: the caller's promise; no alignment is asked for.
    unsafe { u32x4(p.read_unaligned(), 0, 0, 0) }
}
/// # Safety
/// There is room for four bytes, aligned or not.
#[inline(always)]
pub unsafe fn v128_store32_lane<const N: usize>(x: v128, p: *mut u32) {
    // SAFETY: the caller's promise; no alignment is asked for.
    unsafe { p.write_unaligned(u(x)[N]) }
}
/// # Safety
/// There is room for eight bytes, aligned or not.
#[inline(always)]
pub unsafe fn v128_store64_lane<const N: usize>(x: v128, p: *mut u64) {
    // SAFETY: the caller's promise; no alignment is asked for.
    unsafe { p.write_unaligned(ul(x)[N]) }
}
/// # Safety
/// Eight bytes are there, aligned or not.
#[inline(always)]
pub unsafe fn u32x4_load_extend_u16x4(p: *const u16) -> v128 {
    // SAFETY: the caller's promise; no alignment is asked for.
    unsafe { (p as *const Simd<u16, 4>).read_unaligned().cast::<u32>().into() }
}
/// # Safety
/// Eight bytes are there, aligned or not.
#[inline(always)]
pub unsafe fn i32x4_load_extend_i16x4(p: *const i16) -> v128 {
    // SAFETY: the caller's promise; no alignment is asked for.
    unsafe { (p as *const Simd<i16, 4>).read_unaligned().cast::<i32>().into() }
}
