//! Rounded products with AVX2, in eight lanes, and with AVX-512's VNNI, in eight for few rows and sixteen for panels. Callers have
//! made sure that the CPU has the instructions.

use crate::rounded_lanes::Lanes;
use crate::simd::V;
use crate::span::{In, Out};
use core::arch::x86_64::*;

pub struct Avx2;
pub struct Vnni;

/// Both halves.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
unsafe fn joined(codes: [V; 2]) -> __m256i {
    // SAFETY: any sixteen bytes are lanes, and the CPU has the instruction.
    unsafe {
        let [low, high]: [__m128i; 2] = core::mem::transmute(codes);
        _mm256_set_m128i(high, low)
    }
}

/// Sums of pairs of lanes, of x and y in turn by halves.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn pairs(x: __m256i, y: __m256i) -> __m256i {
    // SAFETY: the CPU has the instruction.
    unsafe { _mm256_hadd_epi32(x, y) }
}

/// u · s by bytes, the sums of fours: u unsigned, and no sum of two products beyond sixteen bits.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn fours(u: __m256i, s: __m256i) -> __m256i {
    // SAFETY: the CPU has the instructions.
    unsafe { _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)) }
}

/// What eight lanes do alike in both sets of instructions.
macro_rules! eight_lanes {
    () => {
        type I = __m256i;
        #[inline(always)]
        fn whole(x: i32) -> __m256i {
            // SAFETY: the CPU has the instruction, as it has those below.
            unsafe { _mm256_set1_epi32(x) }
        }
        #[inline(always)]
        fn wholes(x: [i32; 8]) -> __m256i {
            // SAFETY: both are 32 bytes.
            unsafe { core::mem::transmute(x) }
        }
        #[inline(always)]
        unsafe fn load_whole(p: In<i32>) -> __m256i {
            p.holds(8);
            // SAFETY: the caller's promise.
            unsafe { _mm256_loadu_si256(p.ptr().cast()) }
        }
        #[inline(always)]
        fn sum(x: __m256i, y: __m256i) -> __m256i {
            // SAFETY: as above.
            unsafe { _mm256_add_epi32(x, y) }
        }
        #[inline(always)]
        fn product(x: __m256i, y: __m256i) -> __m256i {
            // SAFETY: as above.
            unsafe { _mm256_mullo_epi32(x, y) }
        }

        type F = __m256;
        #[inline(always)]
        fn number(x: f32) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        fn converted(x: __m256i) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_cvtepi32_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: In<f32>) -> __m256 {
            p.holds(8);
            // SAFETY: the caller's promise.
            unsafe { _mm256_loadu_ps(p.ptr()) }
        }
        #[inline(always)]
        unsafe fn halves(p: [In<u8>; 8], at: usize) -> __m256 {
            // SAFETY: the caller's promise.
            unsafe {
                let word = |i: usize| p[i].add(at).cast::<i16>().unaligned();
                let words = _mm_set_epi16(word(7), word(6), word(5), word(4), word(3), word(2), word(1), word(0));
                _mm256_cvtph_ps(words)
            }
        }
        #[inline(always)]
        fn add(x: __m256, y: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_add_ps(x, y) }
        }
        #[inline(always)]
        fn sub(x: __m256, y: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_sub_ps(x, y) }
        }
        #[inline(always)]
        fn mul(x: __m256, y: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe { _mm256_mul_ps(x, y) }
        }
        #[inline(always)]
        unsafe fn store(p: Out<f32>, x: __m256) {
            p.holds(8);
            // SAFETY: the caller's promise.
            unsafe { _mm256_storeu_ps(p.ptr(), x) }
        }

        type P = __m256i;
        #[inline(always)]
        fn nothing() -> __m256i {
            // SAFETY: as above.
            unsafe { _mm256_setzero_si256() }
        }
        #[inline(always)]
        fn scaled(sum: __m256i, parts: __m256i, scales: [i32; 2]) -> __m256i {
            // SAFETY: as above.
            unsafe {
                let scales = _mm256_set_m128i(_mm_set1_epi32(scales[1]), _mm_set1_epi32(scales[0]));
                _mm256_add_epi32(sum, _mm256_mullo_epi32(parts, scales))
            }
        }
        #[inline(always)]
        fn totals(p: [__m256i; 8]) -> __m256i {
            // SAFETY: as above.
            unsafe {
                let low = pairs(pairs(p[0], p[1]), pairs(p[2], p[3]));
                let high = pairs(pairs(p[4], p[5]), pairs(p[6], p[7]));
                _mm256_add_epi32(
                    _mm256_permute2x128_si256::<0x20>(low, high),
                    _mm256_permute2x128_si256::<0x31>(low, high),
                )
            }
        }
    };
}

impl Lanes<8> for Avx2 {
    eight_lanes!();
    #[inline(always)]
    unsafe fn dot<const SIGNED: bool>(codes: [V; 2], x: In<i8>) -> __m256i {
        x.holds(32);
        // SAFETY: the caller's promise.
        unsafe {
            let (codes, x) = (joined(codes), _mm256_loadu_si256(x.ptr().cast()));
            if SIGNED { fours(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes)) } else { fours(codes, x) }
        }
    }

    type A = __m256i;
    #[inline(always)]
    fn start(x: __m256i) -> __m256i {
        x
    }
    type W = __m256i;
    #[inline(always)]
    unsafe fn quads<const SIGNED: bool>(p: In<u8>) -> __m256i {
        p.holds(32);
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_si256(p.ptr().cast()) }
    }
    #[inline(always)]
    unsafe fn quad<const SIGNED: bool>(sum: __m256i, codes: __m256i, x: In<i8>) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe {
            let x = _mm256_set1_epi32(x.cast::<i32>().unaligned());
            let products =
                if SIGNED { fours(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes)) } else { fours(codes, x) };
            _mm256_add_epi32(sum, products)
        }
    }
    #[inline(always)]
    fn end<const SIGNED: bool>(sum: __m256i) -> __m256i {
        sum
    }
}

/// What makes of a signed code an unsigned one that is 128 more.
const FLIP: i8 = -128;

impl Lanes<8> for Vnni {
    const BIAS: i32 = 128;
    eight_lanes!();
    #[inline(always)]
    unsafe fn dot<const SIGNED: bool>(codes: [V; 2], x: In<i8>) -> __m256i {
        x.holds(32);
        // SAFETY: the caller's promise.
        unsafe {
            let (codes, x) = (joined(codes), _mm256_loadu_si256(x.ptr().cast()));
            let codes = if SIGNED { _mm256_xor_si256(codes, _mm256_set1_epi8(FLIP)) } else { codes };
            _mm256_dpbusd_epi32(_mm256_setzero_si256(), codes, x)
        }
    }

    type A = __m256i;
    #[inline(always)]
    fn start(x: __m256i) -> __m256i {
        x
    }
    type W = __m256i;
    #[inline(always)]
    unsafe fn quads<const SIGNED: bool>(p: In<u8>) -> __m256i {
        p.holds(32);
        // SAFETY: the caller's promise.
        unsafe {
            let codes = _mm256_loadu_si256(p.ptr().cast());
            if SIGNED { _mm256_xor_si256(codes, _mm256_set1_epi8(FLIP)) } else { codes }
        }
    }
    #[inline(always)]
    unsafe fn quad<const SIGNED: bool>(sum: __m256i, codes: __m256i, x: In<i8>) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_dpbusd_epi32(sum, codes, _mm256_set1_epi32(x.cast::<i32>().unaligned())) }
    }
    #[inline(always)]
    fn end<const SIGNED: bool>(sum: __m256i) -> __m256i {
        sum
    }
}

impl Lanes<16> for Vnni {
    const BIAS: i32 = 128;
    type I = __m512i;
    #[inline(always)]
    fn whole(x: i32) -> __m512i {
        // SAFETY: the CPU has the instruction, as it has those below.
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    fn wholes(x: [i32; 16]) -> __m512i {
        // SAFETY: both are 64 bytes.
        unsafe { core::mem::transmute(x) }
    }
    #[inline(always)]
    unsafe fn load_whole(p: In<i32>) -> __m512i {
        p.holds(16);
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(p.ptr().cast()) }
    }
    #[inline(always)]
    fn sum(x: __m512i, y: __m512i) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_add_epi32(x, y) }
    }
    #[inline(always)]
    fn product(x: __m512i, y: __m512i) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_mullo_epi32(x, y) }
    }

    type F = __m512;
    #[inline(always)]
    fn number(x: f32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn converted(x: __m512i) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_cvtepi32_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: In<f32>) -> __m512 {
        p.holds(16);
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(p.ptr()) }
    }
    #[inline(always)]
    unsafe fn halves(p: [In<u8>; 16], at: usize) -> __m512 {
        // SAFETY: the caller's promise; both are 32 bytes.
        unsafe {
            let words: [i16; 16] = core::array::from_fn(|i| p[i].add(at).cast::<i16>().unaligned());
            _mm512_cvtph_ps(core::mem::transmute::<[i16; 16], __m256i>(words))
        }
    }
    #[inline(always)]
    fn add(x: __m512, y: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_add_ps(x, y) }
    }
    #[inline(always)]
    fn sub(x: __m512, y: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_sub_ps(x, y) }
    }
    #[inline(always)]
    fn mul(x: __m512, y: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(x, y) }
    }
    #[inline(always)]
    unsafe fn store(p: Out<f32>, x: __m512) {
        p.holds(16);
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(p.ptr(), x) }
    }

    type P = __m256i;
    #[inline(always)]
    fn nothing() -> __m256i {
        <Vnni as Lanes<8>>::nothing()
    }
    #[inline(always)]
    unsafe fn dot<const SIGNED: bool>(codes: [V; 2], x: In<i8>) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { <Vnni as Lanes<8>>::dot::<SIGNED>(codes, x) }
    }
    #[inline(always)]
    fn scaled(sum: __m256i, parts: __m256i, scales: [i32; 2]) -> __m256i {
        <Vnni as Lanes<8>>::scaled(sum, parts, scales)
    }
    #[inline(always)]
    fn totals(p: [__m256i; 16]) -> __m512i {
        // SAFETY: as above.
        unsafe {
            let half = |at: usize| {
                <Vnni as Lanes<8>>::totals([
                    p[at],
                    p[at + 1],
                    p[at + 2],
                    p[at + 3],
                    p[at + 4],
                    p[at + 5],
                    p[at + 6],
                    p[at + 7],
                ])
            };
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(half(0)), half(8))
        }
    }

    type A = __m512i;
    #[inline(always)]
    fn start(x: __m512i) -> __m512i {
        x
    }
    type W = __m512i;
    #[inline(always)]
    unsafe fn quads<const SIGNED: bool>(p: In<u8>) -> __m512i {
        p.holds(64);
        // SAFETY: the caller's promise.
        unsafe {
            let codes = _mm512_loadu_si512(p.ptr().cast());
            if SIGNED { _mm512_xor_si512(codes, _mm512_set1_epi8(FLIP)) } else { codes }
        }
    }
    #[inline(always)]
    unsafe fn quad<const SIGNED: bool>(sum: __m512i, codes: __m512i, x: In<i8>) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(x.cast::<i32>().unaligned())) }
    }
    #[inline(always)]
    fn end<const SIGNED: bool>(sum: __m512i) -> __m512i {
        sum
    }
}
