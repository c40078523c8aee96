//! Rounded products by every kind of instructions that the CPU has: the same bits, those of whole numbers summed one by one.

use crate::decode::{Parts, dtype, half};
use crate::encode::encode;
use crate::gguf;
use crate::rounded::{Kind, by};
use crate::threads;

/// Numbers of any size around one that do not repeat.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// n · k elements: encoded where we encode the type, else blocks of any bytes with scales that are numbers.
fn weight(code: u32, n: usize, k: usize) -> Vec<u8> {
    let bytes = Parts::new(code, n * k, k).bytes();
    let mut words = vec![0u32; bytes.div_ceil(4)];
    if code <= gguf::Q8_0 {
        let values = noise(n * k, 7);
        // SAFETY: the codes have room.
        unsafe { encode(code, values.as_ptr() as usize, n * k, k, words.as_mut_ptr() as usize) };
    } else {
        let (elements, block) = gguf::shape(code);
        let raw = noise(bytes, 8);
        let mut made: Vec<u8> = raw.iter().map(|x| ((x + 1.0) * 128.0) as u8).collect();
        for i in 0..n * k / elements {
            for at in if code > gguf::Q5_K { vec![208] } else { vec![0, 2] } {
                made[i * block + at + 1] = 0x20 | made[i * block + at + 1] & 0x83;
            }
        }
        return made;
    }
    // SAFETY: words are bytes.
    unsafe { core::slice::from_raw_parts(words.as_ptr() as *const u8, bytes) }.to_vec()
}

#[test]
fn all_kinds_of_instructions_and_numbers_of_threads_leave_the_same_bits() {
    for code in dtype::Q4_0..=gguf::Q5_K + 1 {
        let elements = gguf::shape(code).0;
        for (m, n, blocks) in [(1, 1, 1), (1, 19, 3), (3, 8, 2), (4, 33, 1), (5, 17, 2), (9, 40, 3), (70, 16, 1)] {
            let k = blocks * elements;
            let (a, w) = (noise(m * k, m as u32), weight(code, n, k));
            let made = |kind: Kind| {
                let mut out = vec![f32::NAN; m * n];
                // SAFETY: the operands are as large as is said.
                unsafe { by(kind, code, a.as_ptr() as usize, w.as_ptr() as usize, out.as_mut_ptr() as usize, m, n, k) };
                out.iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
            };
            let plain = made(Kind::Plain);
            for kind in Kind::all() {
                assert_eq!(made(*kind), plain, "{kind:?} of type {code}, {m} {n} {k}");
            }
            threads::start_workers(2);
            let shared = made(Kind::best());
            threads::end_workers();
            assert_eq!(shared, plain);
        }
    }
}

#[test]
fn rows_alone_and_rows_together_leave_the_same_bits() {
    for code in dtype::Q4_0..=gguf::Q5_K + 1 {
        let (m, n, k) = (7, 21, 512);
        let (a, w) = (noise(m * k, 3), weight(code, n, k));
        let (mut together, mut alone) = (vec![f32::NAN; m * n], vec![f32::NAN; m * n]);
        let at = w.as_ptr() as usize;
        // SAFETY: the operands are as large as is said.
        unsafe {
            by(Kind::best(), code, a.as_ptr() as usize, at, together.as_mut_ptr() as usize, m, n, k);
            for i in 0..m {
                by(Kind::best(), code, a[i * k..].as_ptr() as usize, at, alone[i * n..].as_mut_ptr() as usize, 1, n, k);
            }
        }
        assert_eq!(together, alone, "{code}");
    }
}

#[test]
fn numbers_that_are_not_finite_leave_none_that_are() {
    let w = weight(gguf::Q4_1, 3, 64);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut a = noise(64, 5);
        a[40] = bad;
        let mut out = [0.0f32; 3];
        // SAFETY: the operands are as large as is said.
        unsafe {
            by(Kind::best(), gguf::Q4_1, a.as_ptr() as usize, w.as_ptr() as usize, out.as_mut_ptr() as usize, 1, 3, 64);
        }
        assert!(out.iter().all(|x| !x.is_finite()));
    }
}

#[test]
fn a_row_of_numbers_that_eight_bits_have_is_not_changed() {
    // Blocks whose largest number is 127: scale 1, so the product is that of the codes.
    let w = weight(gguf::Q8_0, 5, 64);
    let a: Vec<f32> = (0..64).map(|i| if i % 32 == 3 { 127.0 } else { (i * 37 % 255) as f32 - 127.0 }).collect();
    let mut out = [0.0f32; 5];
    // SAFETY: the operands are as large as is said.
    unsafe {
        by(Kind::best(), gguf::Q8_0, a.as_ptr() as usize, w.as_ptr() as usize, out.as_mut_ptr() as usize, 1, 5, 64);
    }
    for (row, got) in out.iter().enumerate() {
        let expected: f64 = (0..64)
            .map(|i| {
                let block = &w[(row * 2 + i / 32) * 34..];
                half(u16::from_le_bytes([block[0], block[1]])) as f64 * block[2 + i % 32] as i8 as f64 * a[i] as f64
            })
            .sum();
        assert!((*got as f64 - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{got} for {expected}");
    }
}
