//! Values of the coded types, built at compile time; f32 wherever bitsandbytes rounds to f32.

/// A four-bit type: value of each code, the same as byte planes for lookups by swizzle, the f32 midpoints between
/// neighbours in ascending order, and the code of each rank.
pub struct Book {
    pub values: [f32; 16],
    // Only vectors of four lanes look up byte by byte.
    #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
    pub planes: [[u8; 16]; 4],
    pub bounds: [f32; 15],
    pub codes: [u8; 16],
}

const fn book(values: [f32; 16], codes: [u8; 16], count: usize) -> Book {
    let mut planes = [[0; 16]; 4];
    let mut i = 0;
    while i < 16 {
        let bytes = values[i].to_le_bytes();
        planes[0][i] = bytes[0];
        planes[1][i] = bytes[1];
        planes[2][i] = bytes[2];
        planes[3][i] = bytes[3];
        i += 1;
    }
    let mut bounds = [f32::INFINITY; 15];
    let mut i = 0;
    while i + 1 < count {
        bounds[i] = (values[codes[i + 1] as usize] + values[codes[i] as usize]) / 2.0;
        i += 1;
    }
    Book { values, planes, bounds, codes }
}

/// Positive values, then the same negated.
const fn signed(half: [f32; 8]) -> [f32; 16] {
    let mut all = [0.0; 16];
    let mut i = 0;
    while i < 8 {
        all[i] = half[i];
        all[i + 8] = 0.0 - half[i]; // no −0: both codes of zero decode to +0
        i += 1;
    }
    all
}

/// Ranks of a sign-and-magnitude code without its second zero; the last entry is never reached.
const MAGNITUDES: [u8; 16] = [15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7, 7];

pub static NF4: Book = book(
    [
        -1.0,
        -0.696_192_8,
        -0.525_073_05,
        -0.394_917_5,
        -0.284_441_38,
        -0.184_773_43,
        -0.091_050_036,
        0.0,
        0.079_580_3,
        0.160_930_2,
        0.246_112_3,
        0.337_915_24,
        0.440_709_83,
        0.562_617,
        0.722_956_84,
        1.0,
    ],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    16,
);
pub static FP4: Book = book(
    signed([
        0.0,
        (0.0625f64 / 12.0) as f32,
        (8.0f64 / 12.0) as f32,
        1.0,
        (4.0f64 / 12.0) as f32,
        0.5,
        (2.0f64 / 12.0) as f32,
        0.25,
    ]),
    // Both zeros take part: a positive value that rounds to zero gets code 8, as in bitsandbytes.
    [11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3],
    16,
);
/// The code is two's complement: c / 7 for c in −7..=7; −8 is never written.
pub static INT4: Book = {
    let mut values = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        let c = if i < 8 { i as f64 } else { i as f64 - 16.0 };
        values[i] = (c / 7.0) as f32;
        i += 1;
    }
    book(values, [9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 7], 15)
};
pub static E2M1: Book = {
    let v = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let mut half = [0.0; 8];
    let mut i = 0;
    while i < 8 {
        half[i] = (v[i] / 6.0f64) as f32;
        i += 1;
    }
    book(signed(half), MAGNITUDES, 15)
};
pub static E3M0: Book = book(signed([0.0, 0.015_625, 0.031_25, 0.0625, 0.125, 0.25, 0.5, 1.0]), MAGNITUDES, 15);

/// An 8-bit dynamic map, ascending, and the midpoints between its values.
pub struct Map {
    pub values: [f32; 256],
    pub bounds: [f32; 255],
}

/// For each decade 10^(i − 6), i = 0..=6: the middles of 2^i (signed) or 2^(i+1) equal steps from 0.1 to 1; then 0 and 1.
const fn dynamic(signed: bool) -> Map {
    const DECADES: [f32; 7] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
    let mut values = [0.0f32; 256];
    values[1] = 1.0;
    let mut count = 2;
    let mut i = 0;
    while i < 7 {
        let steps = if signed { 1 << i } else { 2 << i };
        let mut j = 0;
        while j < steps {
            let middle = DECADES[i] * ((edge(j, steps + 1) + edge(j + 1, steps + 1)) / 2.0);
            values[count] = middle;
            count += 1;
            if signed {
                values[count] = -middle;
                count += 1;
            }
            j += 1;
        }
        i += 1;
    }
    let mut i = 1;
    while i < 256 {
        let mut j = i;
        while j > 0 && values[j - 1] > values[j] {
            values.swap(j - 1, j);
            j -= 1;
        }
        i += 1;
    }
    let mut bounds = [0.0; 255];
    let mut i = 0;
    while i < 255 {
        bounds[i] = (values[i] + values[i + 1]) / 2.0;
        i += 1;
    }
    Map { values, bounds }
}

/// Point i of n equal steps from 0.1 to 1, counted from the nearer end with one rounding to f32, as torch does.
const fn edge(i: usize, n: usize) -> f32 {
    let step = (1.0 - 0.1f32) / (n - 1) as f32;
    let step = step as f64;
    (if 2 * i < n { 0.1f32 as f64 + step * i as f64 } else { 1.0 - step * (n - 1 - i) as f64 }) as f32
}

pub static SIGNED: Map = dynamic(true);
pub static UNSIGNED: Map = dynamic(false);
