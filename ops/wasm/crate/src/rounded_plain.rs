//! Rounded products on any machine.

use crate::decode::half;
use crate::rounded_lanes::Lanes;
use crate::simd::{V, to_bytes};
use crate::span::{In, Out};

pub struct Plain;

#[inline(always)]
fn code<const SIGNED: bool>(code: u8) -> i32 {
    if SIGNED { code as i8 as i32 } else { code as i32 }
}

impl<const N: usize> Lanes<N> for Plain {
    type I = [i32; N];
    #[inline(always)]
    fn whole(x: i32) -> [i32; N] {
        [x; N]
    }
    #[inline(always)]
    fn wholes(x: [i32; N]) -> [i32; N] {
        x
    }
    #[inline(always)]
    unsafe fn load_whole(p: In<i32>) -> [i32; N] {
        // SAFETY: the caller's promise.
        core::array::from_fn(|i| unsafe { p.at(i) })
    }
    #[inline(always)]
    fn sum(x: [i32; N], y: [i32; N]) -> [i32; N] {
        core::array::from_fn(|i| x[i] + y[i])
    }
    #[inline(always)]
    fn product(x: [i32; N], y: [i32; N]) -> [i32; N] {
        core::array::from_fn(|i| x[i] * y[i])
    }

    type F = [f32; N];
    #[inline(always)]
    fn number(x: f32) -> [f32; N] {
        [x; N]
    }
    #[inline(always)]
    fn converted(x: [i32; N]) -> [f32; N] {
        x.map(|x| x as f32)
    }
    #[inline(always)]
    unsafe fn load(p: In<f32>) -> [f32; N] {
        // SAFETY: the caller's promise.
        core::array::from_fn(|i| unsafe { p.at(i) })
    }
    #[inline(always)]
    unsafe fn halves(p: [In<u8>; N], at: usize) -> [f32; N] {
        // SAFETY: the caller's promise.
        p.map(|p| half(unsafe { p.add(at).cast::<u16>().unaligned() }))
    }
    #[inline(always)]
    fn add(x: [f32; N], y: [f32; N]) -> [f32; N] {
        core::array::from_fn(|i| x[i] + y[i])
    }
    #[inline(always)]
    fn sub(x: [f32; N], y: [f32; N]) -> [f32; N] {
        core::array::from_fn(|i| x[i] - y[i])
    }
    #[inline(always)]
    fn mul(x: [f32; N], y: [f32; N]) -> [f32; N] {
        core::array::from_fn(|i| x[i] * y[i])
    }
    #[inline(always)]
    unsafe fn store(p: Out<f32>, x: [f32; N]) {
        for (i, x) in x.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { p.put(i, x) };
        }
    }

    type P = [i32; 2];
    #[inline(always)]
    fn nothing() -> [i32; 2] {
        [0; 2]
    }
    #[inline(always)]
    unsafe fn dot<const SIGNED: bool>(codes: [V; 2], x: In<i8>) -> [i32; 2] {
        // SAFETY: the caller's promise.
        let x = unsafe { x.slice(32) };
        core::array::from_fn(|side| {
            let codes = to_bytes(codes[side]);
            (0..16).map(|i| code::<SIGNED>(codes[i]) * x[16 * side + i] as i32).sum()
        })
    }
    #[inline(always)]
    fn scaled(sum: [i32; 2], parts: [i32; 2], scales: [i32; 2]) -> [i32; 2] {
        [sum[0] + scales[0] * parts[0], sum[1] + scales[1] * parts[1]]
    }
    #[inline(always)]
    fn totals(parts: [[i32; 2]; N]) -> [i32; N] {
        parts.map(|[low, high]| low + high)
    }

    type A = [i32; N];
    #[inline(always)]
    fn start(x: [i32; N]) -> [i32; N] {
        x
    }
    type W = [[u8; 4]; N];
    #[inline(always)]
    unsafe fn quads<const SIGNED: bool>(p: In<u8>) -> [[u8; 4]; N] {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[[u8; 4]; N]>().unaligned() }
    }
    #[inline(always)]
    unsafe fn quad<const SIGNED: bool>(sum: [i32; N], codes: [[u8; 4]; N], x: In<i8>) -> [i32; N] {
        // SAFETY: the caller's promise.
        let x = unsafe { x.slice(4) };
        core::array::from_fn(|i| sum[i] + (0..4).map(|j| code::<SIGNED>(codes[i][j]) * x[j] as i32).sum::<i32>())
    }
    #[inline(always)]
    fn end<const SIGNED: bool>(sum: [i32; N]) -> [i32; N] {
        sum
    }
}
