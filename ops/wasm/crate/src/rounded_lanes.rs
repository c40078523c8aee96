//! What rounded products ask of a machine: N lanes of whole numbers and of f32, a row of the weight or an element of out each, and
//! sums of products of codes. Sums of codes are whole, and every operation on f32 rounds by itself, so that all machines
//! leave the same bits.

use crate::simd::V;
use crate::span::{In, Out};

pub trait Lanes<const N: usize> {
    /// What `dot` and `quad` add to codes that are signed: the caller takes it away again.
    const BIAS: i32 = 0;

    /// N whole numbers.
    type I: Copy;
    fn whole(x: i32) -> Self::I;
    fn wholes(x: [i32; N]) -> Self::I;
    /// # Safety
    /// N numbers are there.
    unsafe fn load_whole(p: In<i32>) -> Self::I;
    fn sum(x: Self::I, y: Self::I) -> Self::I;
    fn product(x: Self::I, y: Self::I) -> Self::I;

    /// N numbers of f32.
    type F: Copy;
    fn number(x: f32) -> Self::F;
    fn converted(x: Self::I) -> Self::F;
    /// # Safety
    /// N numbers are there.
    unsafe fn load(p: In<f32>) -> Self::F;
    /// The f16 numbers at N addresses.
    ///
    /// # Safety
    /// They are there.
    unsafe fn halves(p: [In<u8>; N], at: usize) -> Self::F;
    fn add(x: Self::F, y: Self::F) -> Self::F;
    fn sub(x: Self::F, y: Self::F) -> Self::F;
    fn mul(x: Self::F, y: Self::F) -> Self::F;
    /// # Safety
    /// There is room for N numbers.
    unsafe fn store(p: Out<f32>, x: Self::F);

    /// Part sums of a row's products.
    type P: Copy;
    fn nothing() -> Self::P;
    /// Σ code · x over 32 codes, in the first half of the parts over the first sixteen.
    ///
    /// # Safety
    /// 32 numbers of x are there.
    unsafe fn dot<const SIGNED: bool>(codes: [V; 2], x: In<i8>) -> Self::P;
    /// sum + parts, times the scale of each half.
    fn scaled(sum: Self::P, parts: Self::P, scales: [i32; 2]) -> Self::P;
    /// The sums of N rows' parts.
    fn totals(parts: [Self::P; N]) -> Self::I;

    /// Sums over quads of codes, four for each lane.
    type A: Copy;
    fn start(x: Self::I) -> Self::A;
    /// Four codes for each lane.
    type W: Copy;
    /// # Safety
    /// 4 · N bytes are there.
    unsafe fn quads<const SIGNED: bool>(p: In<u8>) -> Self::W;
    /// sum + the products of each lane's four codes with the same four numbers.
    ///
    /// # Safety
    /// The four are there.
    unsafe fn quad<const SIGNED: bool>(sum: Self::A, codes: Self::W, x: In<i8>) -> Self::A;
    fn end<const SIGNED: bool>(sum: Self::A) -> Self::I;
}
